"""What of a schedule is to be signed first, in one sentence: buys, contracts and sales that bind for longer than a month."""

from __future__ import annotations

from collections.abc import Sequence

from suanzhang.report.blocks import Column, Fact, Facts, Table
from suanzhang.spec.buy import BuyResult, OfferTaken, ScheduleRow
from suanzhang.units import format_count

ARRIVES = "in use from "
"""What the note of an order begins with that arrives later."""
BINDING_ACTIONS = ("buy", "lease", "reserve", "build", "move", "resell")
_NAMED = 3
_VERBS = {"resell": "sell"}


def order_words(schedule: Sequence[ScheduleRow]) -> str:
    """The orders and sales of the first month that has any, and how many follow, with the dearest where it is dearer.

    Sales that differ from one future to another are left out: they are no decision of today.
    """
    binding = [row for row in schedule if row.action in BINDING_ACTIONS and row.chips_interval is None]
    if not binding:
        return "Nothing is to be ordered or signed for longer than a month." if schedule else ""
    first = min(row.month for row in binding)
    opening = [row for row in binding if row.month == first]
    opening.sort(key=lambda row: -abs(row.cost.amount))
    later = opening[_NAMED:] + [row for row in binding if row.month != first]
    words = f"Decide in {first}: {'; '.join(map(_one, opening[:_NAMED]))}."
    if later:
        last, dearest = max(row.month for row in later), max(later, key=lambda row: abs(row.cost.amount))
        more = "1 more order or sale," if len(later) == 1 else f"{len(later)} more orders and sales, the last"
        dear = f"; the dearest, in {dearest.month}: {_one(dearest)}" if _dearer(dearest, opening) else ""
        words += f" Later: {more} in {last}{dear}."
    return words


def _dearer(row: ScheduleRow, others: Sequence[ScheduleRow]) -> bool:
    """Whether an order or sale weighs more than each of others."""
    return all(abs(row.cost.amount) > abs(other.cost.amount) for other in others)


def _one(row: ScheduleRow) -> str:
    """One order in words: what, from which offer, where, and from when it is in use."""
    verb = _VERBS.get(row.action, row.action)
    what = f"{verb} {format_count(row.chips)} x {row.chip}" if row.chip else f"{verb} {row.offer}"
    where = [row.offer] if row.chip and row.offer != "own" else []
    where += [row.site] if row.site else []
    since = f", {row.note}" if row.note.startswith(ARRIVES) else ""
    return f"{what} ({', '.join(where)}){since}" if where else f"{what}{since}"


def offers_table(offers: Sequence[OfferTaken]) -> Table:
    """What was asked by each offer that the schedule takes, when and where that was published, and how fast it comes."""
    columns = (
        Column("offer"),
        Column("how"),
        Column("price", offers[0].unit.partition("/")[0] if offers else "1"),
        Column("per"),
        Column("dated"),
        Column("comes after", "months"),
        Column("one in ten after", "months"),
        Column("grade"),
        Column("source"),
    )
    rows = tuple(
        (
            one.offer, f"{one.kind}, {one.term_months} months" if one.term_months else one.kind, one.price,
            one.unit.partition("/")[2].replace("chip_h", "chip-hour"), one.date, one.delivery_months, one.delivery_p90_months,
            f"{one.grade}, delivery {one.delivery_grade}" if one.delivery_p90_months else one.grade,
            f"{one.source_title}: {one.note}" if one.note else one.source_title,
        )
        for one in offers
    )  # fmt: skip
    note = "as quoted, before what is expected of prices; an order also pays for network, storage and server where not in it"
    return Table("Prices that it rests on", columns, rows, note)


def asked_facts(result: BuyResult) -> Facts:
    """Market, site, months and currency of the plan."""
    if not result.market or not result.months:
        return Facts("What was asked", ())
    start, currency = result.months[0].month, result.cost.currency
    return Facts(
        "What was asked",
        (
            Fact("market, site", f"{result.market}, {result.site}"),
            Fact("months", f"{len(result.months)} from {start}"),
            Fact("amounts", f"{currency}, prices of {result.cost.date}", note="and as they move in the futures from there"),
        ),
    )
