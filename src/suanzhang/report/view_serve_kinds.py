"""The report of ``serve`` over several kinds of chip: the cheapest ways, those refused, and the front of speed."""

from __future__ import annotations

from suanzhang.report.blocks import Chart, Column, Point, Report, Section, Table, ranged
from suanzhang.report.common import sources_section, warnings_section
from suanzhang.report.view_serve import refusals_table
from suanzhang.report.view_serve_improve import chips_words
from suanzhang.spec.serve_improve import Deployment
from suanzhang.spec.serve_kinds import FrontPoint, KindsResult
from suanzhang.units import MILLI


def kinds(result: KindsResult) -> Report:
    """Options by rent, refusals with the nearest figures, tokens per chip against tokens per user."""
    best = result.options[0]
    how = "prompts and answers apart" if best.apart else "prompts and answers together"
    verdict = (
        f"{chips_words(best.deployment)} carry {result.requests_per_s:,.4g} requests/s of {result.model} in time, "
        f"{how}: {best.deployment.words}."
    )
    sections = (
        Section("Ways", (options_table(result),)),
        Section("Refused", (refusals_table("Kinds that cannot", result.refused),) if result.refused else ()),
        Section("Speed against throughput", (front_chart(result.front), front_table(result.front))),
        warnings_section(result.warnings, weak=result.weak_inputs),
        sources_section(result.sources),
    )
    return Report(f"Serving {result.model}: which chips", verdict, sections, main="Ways to carry the service")


def options_table(result: KindsResult) -> Table:
    """Every way that a simulation confirmed, the cheapest first."""
    first = result.options[0].deployment.cost_per_response
    unit = first.currency if first else ""
    columns = (
        Column("chips"), Column("per 1000 responses", unit or "money"),
        Column("first token p99", "s"),
        Column("per token p99", "ms"), Column("deployment"), Column("token budget", "tokens", optional=True),
    )  # fmt: skip
    rows = tuple(
        (
            chips_words(item.deployment),
            _thousand(item.deployment),
            ranged(item.deployment.ttft_s.p99, item.deployment.ttft_s.p99_interval),
            ranged(item.deployment.tpot_s.p99, item.deployment.tpot_s.p99_interval, 1.0 / MILLI),
            item.deployment.words,
            item.max_batched_tokens or None,
        )
        for item in result.options
    )
    note = "ranked by rent" if result.by_money else "ranked by chips"
    return Table("Ways to carry the service", columns, rows, f"{note}; {result.requests_simulated:,} requests simulated")


def _thousand(one: Deployment) -> float | None:
    cost = one.cost_per_response
    return None if cost is None else ranged(cost.amount, one.cost_per_response_interval, 1000.0)


def front_chart(front: tuple[FrontPoint, ...]) -> Chart:
    """Tokens per second and chip against tokens per second and user, a line for each kind."""
    ordered = sorted(front, key=lambda point: point.tokens_per_s_per_user)
    points = tuple(
        Point(f"{p.tokens_per_s_per_user:.4g}", p.chip, p.tokens_per_s_per_chip, p.tokens_per_s_per_chip_interval)
        for p in ordered
    )
    title = "Throughput of a chip against speed for a user"
    return Chart(title, "line", "tokens/s/user", "output", "tokens/s/chip", points, numbers=True)


def front_table(front: tuple[FrontPoint, ...]) -> Table:
    """The points of the front; the knee of each kind is where the product of both is largest."""
    columns = (
        Column("chip"), Column("speed", "tokens/s/user"), Column("output", "tokens/s/chip"), Column("in a replica", "requests"),
        Column("layout and formats"), Column("knee"),
    )  # fmt: skip
    rows = tuple(
        (
            p.chip, ranged(p.tokens_per_s_per_user, p.tokens_per_s_per_user_interval),
            ranged(p.tokens_per_s_per_chip, p.tokens_per_s_per_chip_interval), p.concurrency, p.words,
            "knee" if p.knee else "",
        )
        for p in front
    )  # fmt: skip
    return Table("The front", columns, rows, limit=24)
