"""The reports of ``serve --by-hour`` and ``serve --together``."""

from __future__ import annotations

from collections.abc import Iterable

from suanzhang.report.blocks import Chart, Column, Fact, Facts, Point, Report, Section, Table, money_fact, ranged
from suanzhang.report.common import between, warnings_section
from suanzhang.report.view_serve_improve import chips_words
from suanzhang.spec.result import Interval, Money
from suanzhang.spec.serve_share import ShareResult
from suanzhang.spec.serve_units import HourCost, UnitsResult
from suanzhang.units import MILLI


def units(result: UnitsResult) -> Report:
    """Cost and energy of a response by the hour, idle chips by reason, what would save."""
    idle = 1.0 - result.day.utilisation
    busy = result.day.utilisation_interval
    used = Interval(1.0 - busy.p95, 1.0 - busy.p50, 1.0 - busy.p05) if busy else None
    cost = result.day.cost_per_response
    span = result.day.cost_per_response_interval
    ends = f" ({1000.0 * span.p05:,.3g} to {1000.0 * span.p95:,.3g})" if span else ""
    price = f"{1000.0 * cost.amount:,.3g}{ends} {cost.currency} per 1000 responses" if cost else "no rent is known"
    verdict = (
        f"{chips_words(result.deployment)} serve {result.service} at {price} over the day; "
        f"{idle:.0%}{between(used, '.0%')} of what they could carry within the targets stands idle."
    )
    sections = (
        Section("By tier of the day", (hours_table("Tiers", (*result.tiers, result.day)), cost_chart(result))),
        Section("What the chips are held for", (_idle(result),)),
        Section("What would save", (_savings(result),)),
        warnings_section(result.warnings, weak=result.weak_inputs),
        Section("Hours", (hours_table("Hours", result.hours),), folded=True),
    )
    return Report(f"Unit costs of {result.service}: {result.model} on {result.chip}", verdict, sections, main="Tiers")


def _amount(money: Money | None, interval: Interval | None, factor: float = 1.0) -> float | None:
    return None if money is None else ranged(money.amount, interval, factor)


def _between(interval: Interval | None) -> str:
    return "" if interval is None or interval.p05 == interval.p95 else f" ({interval.p05:,.0f} to {interval.p95:,.0f})"


def _unit(money: Money | None) -> str:
    return money.currency if money else "money"


def hours_table(title: str, hours: Iterable[HourCost]) -> Table:
    """Load, use, latency, energy and cost of hours."""
    rows_of = tuple(hours)
    unit = _unit(rows_of[0].cost_per_response)
    columns = (
        Column("hours"), Column("length", "h"), Column("load", "requests/s"), Column("use", "%"),
        Column("first token p99", "s", optional=True), Column("per token p99", "ms", optional=True),
        Column("energy per response", "J", optional=True), Column("energy per 1000", unit, optional=True),
        Column("per 1000 responses", unit), Column("per million tokens", unit, optional=True),
    )  # fmt: skip
    rows = tuple(
        (
            hour.name, hour.hours, hour.requests_per_s, ranged(hour.utilisation, hour.utilisation_interval, 100.0),
            ranged(hour.ttft_p99_s, hour.ttft_p99_s_interval), ranged(hour.tpot_p99_s, hour.tpot_p99_s_interval, 1.0 / MILLI),
            ranged(hour.energy_j_per_response, hour.energy_j_per_response_interval),
            _amount(hour.energy_cost_per_response, hour.energy_cost_per_response_interval, 1000.0),
            _amount(hour.cost_per_response, hour.cost_per_response_interval, 1000.0),
            _amount(hour.cost_per_mtoken, hour.cost_per_mtoken_interval),
        )
        for hour in rows_of
    )  # fmt: skip
    return Table(title, columns, rows, "all chips are paid for all day; energy is shown beside the rent, not added to it")


WIDE = 20.0
"""Costs further apart than this are drawn on a logarithmic axis: a nearly empty hour would hide all the others."""


def cost_chart(result: UnitsResult) -> Chart:
    """Cost of a thousand responses by the hour."""
    unit = _unit(result.day.cost_per_response)
    points = tuple(
        Point(
            hour.name, "", 1000.0 * hour.cost_per_response.amount,
            hour.cost_per_response_interval.scaled(1000.0) if hour.cost_per_response_interval else None,
        )
        for hour in result.hours
        if hour.cost_per_response
    )  # fmt: skip
    costs = [point.y for point in points]
    wide = min(costs, default=0.0) > 0.0 and max(costs) > WIDE * min(costs)
    return Chart("Cost of 1000 responses by the hour", "line", "hour", "cost", unit, points, log=wide)


def _idle(result: UnitsResult) -> Table:
    unit = _unit(result.idle[0].cost_per_month)
    rows = tuple(
        (
            part.reason, ranged(part.chips, part.chips_interval), ranged(part.share, part.share_interval, 100.0),
            _amount(part.cost_per_month, part.cost_per_month_interval),
        )
        for part in result.idle
    )  # fmt: skip
    columns = (Column("held for"), Column("chips", "chips"), Column("share", "%"), Column("per month", unit))
    return Table(
        "Chips by reason", columns, rows, "each reason on top of those above it; all but the first stand idle on average"
    )


def _savings(result: UnitsResult) -> Table:
    unit = _unit(result.day.cost_per_response)
    columns = (
        Column("change"), Column("saves", "%"), Column("per month", unit), Column("how"), Column("targets"), Column("quality"),
    )  # fmt: skip
    rows = tuple(
        (
            item.name, ranged(item.saving_fraction, item.saving_fraction_interval, 100.0),
            _amount(item.saving_per_month, item.saving_per_month_interval), item.words,
            "met" if item.meets_targets else "missed", item.quality,
        )
        for item in result.savings
    )  # fmt: skip
    return Table("Savings", columns, rows, "each by itself; they overlap")


def share(result: ShareResult) -> Report:
    """What services and trainings take on chips of their own, and what on one fleet."""
    verdict = (
        f"On one fleet of {result.chip} they take "
        f"{result.chips_shared:,}{between(result.chips_shared_interval, ',.0f')} chips, on their own "
        f"{result.chips_apart:,}{between(result.chips_apart_interval, ',.0f')}: "
        f"{result.saved_chips:,}{between(result.saved_chips_interval, ',.0f')} chips are saved."
    )
    unit = _unit(result.saved_per_month)
    alone = Table(
        "Alone",
        (
            Column("service"),
            Column("model"),
            Column("chips", "chips"),
            Column("replicas", "replicas"),
            Column("per month", unit),
            Column("deployment"),
        ),
        tuple(
            (
                one.name,
                one.model,
                ranged(one.chips, one.chips_interval),
                ranged(one.replicas, one.replicas_interval),
                _amount(one.cost_per_month, one.cost_per_month_interval),
                one.words,
            )
            for one in result.alone
        ),
    )
    ways = Table(
        "Ways to share",
        (
            Column("way"), Column("what"), Column("who"), Column("apart", "chips"), Column("together", "chips"),
            Column("saves", "chips"), Column("per month", unit), Column("targets"), Column("remark"),
        ),
        tuple(
            (
                way.name, way.words, ", ".join(way.members), ranged(way.chips_apart, way.chips_apart_interval),
                ranged(way.chips_shared, way.chips_shared_interval), ranged(way.saved_chips, way.saved_chips_interval),
                _amount(way.saved_per_month, way.saved_per_month_interval), "met" if way.meets_targets else "missed", way.note,
            )
            for way in result.ways
        ),
        "each against chips of their own; a training at night against chips that would train all day at the same pace",
    )  # fmt: skip
    facts = Facts(
        "Together",
        (
            Fact("chips apart", result.chips_apart, "chips", result.chips_apart_interval),
            Fact("chips together", result.chips_shared, "chips", result.chips_shared_interval),
            Fact("saved", result.saved_chips, "chips", result.saved_chips_interval),
            money_fact("saved per month", result.saved_per_month, result.saved_per_month_interval),
        ),
    )
    sections = (
        Section("One fleet", (facts, ways)),
        Section("Alone", (alone,)),
        warnings_section(result.warnings, weak=result.weak_inputs),
    )
    return Report(f"Sharing {result.chip}", verdict, sections, main="Ways to share")
