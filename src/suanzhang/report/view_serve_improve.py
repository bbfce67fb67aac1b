"""The report of ``improve``: a waterfall of what the levers save, and every lever alone."""

from __future__ import annotations

from suanzhang.report.blocks import Chart, Column, Fact, Facts, Notes, Point, Report, Section, Table, money_fact, ranged
from suanzhang.report.common import warnings_section
from suanzhang.spec.serve_improve import Deployment, ImproveResult, Lever
from suanzhang.units import MILLI


def improve(result: ImproveResult) -> Report:
    """Levers by saving, the best combination as a waterfall, quality beside what is lossy."""
    together = " + ".join(result.combination) or "nothing"
    verdict = (
        f"{together} together save {_percent(result)} of the rent of {result.service} at the same latency targets: "
        f"{chips_words(result.baseline)} become {chips_words(result.combined)}."
    )
    sections = (
        Section("Best combination", (_facts(result), waterfall(result), _steps(result))),
        Section("Each lever alone", (levers_table(result), quality_table(result))),
        Section("Deployments", (_deployments(result),), folded=True),
        warnings_section(result.warnings, weak=result.weak_inputs),
        Section("Sources", (Notes("Sources", result.sources),), folded=True),
    )
    return Report(f"Levers of {result.service}: {result.model} on {result.chip}", verdict, sections, main="Levers by saving")


def chips_words(one: Deployment) -> str:
    """Chips by kind, with the count that would be needed."""
    words, span = ", ".join(one.chips), one.chips_interval
    return words if span is None or span.p05 == span.p95 else f"{words} ({span.p05:,.0f}–{span.p95:,.0f})"


def _percent(result: ImproveResult) -> str:
    span = result.saving_fraction_interval
    ends = f" ({span.p05:.0%} to {span.p95:.0%})" if span else ""
    return f"{result.saving_fraction:.0%}{ends}"


def _facts(result: ImproveResult) -> Facts:
    return Facts(
        "Today and with the best combination",
        (
            money_fact("rent per month today", result.baseline.rent_per_month, result.baseline.rent_per_month_interval),
            money_fact("rent per month with them", result.combined.rent_per_month, result.combined.rent_per_month_interval),
            money_fact("saved per month", result.saving_per_month, result.saving_per_month_interval),
            Fact("today", result.baseline.words),
            Fact("with them", result.combined.words),
            Fact("requests simulated", result.requests_simulated, "requests"),
        ),
    )


def waterfall(result: ImproveResult) -> Chart:
    """Rent left after each lever of the combination, over that of today, and what each takes away."""
    points: list[Point] = []
    before = 1.0
    for step in result.steps:
        span = step.cost_fraction_interval
        left = span.scaled(100.0) if span and span.p05 < span.p95 else None
        points.append(Point(step.name, "rent left", 100.0 * step.cost_fraction, left))
        if before > step.cost_fraction:
            points.append(Point(step.name, "saved by it", 100.0 * (before - step.cost_fraction)))
        before = step.cost_fraction
    return Chart("What each lever takes off the rent", "bars", "lever", "rent over that of today", "%", tuple(points))


def _steps(result: ImproveResult) -> Table:
    currency = result.saving_per_month.currency if result.saving_per_month else ""
    rows = tuple(
        (
            step.name, ranged(step.chips, step.chips_interval), ranged(step.cost_fraction, step.cost_fraction_interval, 100.0),
            ranged(step.saving_per_month.amount, step.saving_per_month_interval) if step.saving_per_month else None,
        )
        for step in result.steps
    )  # fmt: skip
    columns = (
        Column("lever"), Column("chips", "chips"), Column("rent over that of today", "%"),
        Column("saves per month", currency or "money"),
    )  # fmt: skip
    return Table("One lever after the other", columns, rows)


def levers_table(result: ImproveResult) -> Table:
    """Every lever alone, the one that saves most first."""
    currency = result.saving_per_month.currency if result.saving_per_month else ""
    columns = (
        Column("lever"), Column("saves", "%"), Column("per month", currency or "money", optional=True), Column("what changes"),
        Column("chips"), Column("since", optional=True), Column("remark"),
    )  # fmt: skip
    rows = tuple(
        (
            item.name,
            ranged(item.saving_fraction, item.saving_fraction_interval, 100.0) if item.deployment else None,
            ranged(item.saving_per_month.amount, item.saving_per_month_interval) if item.saving_per_month else None,
            item.words,
            chips_words(item.deployment) if item.deployment else "",
            item.since,
            item.why_not,
        )
        for item in result.levers
    )
    return Table("Levers by saving", columns, rows, "each alone, at the same latency targets, by simulation")


def quality_table(result: ImproveResult) -> Table:
    """What is published about the cost in quality of the lossy levers."""
    rows = tuple((item.name, item.quality, item.quality_source, item.grade) for item in result.levers if _lossy(item))
    return Table(
        "Quality of the answers", (Column("lever"), Column("published"), Column("source"), Column("grade")), rows,
        "levers that are not named here leave the answers as they are",
    )  # fmt: skip


def _lossy(item: Lever) -> bool:
    return bool(item.quality)


def _deployments(result: ImproveResult) -> Table:
    columns = (
        Column("lever"), Column("deployment"), Column("replicas", "replicas"), Column("per replica", "requests/s"),
        Column("first token p99", "s"), Column("per token p99", "ms"),
    )  # fmt: skip
    named: list[tuple[str, Deployment]] = [("today", result.baseline), ("together", result.combined)]
    named += [(item.name, item.deployment) for item in result.levers if item.deployment]
    rows = tuple(
        (
            name, one.words, ranged(one.replicas, one.replicas_interval),
            ranged(one.requests_per_s_per_replica, one.requests_per_s_per_replica_interval),
            ranged(one.ttft_s.p99, one.ttft_s.p99_interval), ranged(one.tpot_s.p99, one.tpot_s.p99_interval, 1.0 / MILLI),
        )
        for name, one in named
    )  # fmt: skip
    return Table("Deployments", columns, rows)
