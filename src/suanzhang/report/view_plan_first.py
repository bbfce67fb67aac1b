"""The part of the report of ``plan`` that a reader acts on first: what is to be signed, and the cash that it takes."""

from __future__ import annotations

from dataclasses import replace

from suanzhang.report.blocks import Block, Column, Facts, Notes, Section, Table, money_fact, ranged
from suanzhang.report.view_orders import ARRIVES, BINDING_ACTIONS
from suanzhang.spec.plan import PlanResult
from suanzhang.spec.result import Interval, Money
from suanzhang.units import MEGA

_FIRST_MONTHS = 3


def first_section(result: PlanResult) -> Section:
    """What binds for longer than a month and is to be signed in the first months, and the cash of these months."""
    return Section("What to decide first", (_first_facts(result), *_first_orders(result)))


def _first_facts(result: PlanResult) -> Facts:
    """The cash that the first months take, and the month that takes the most."""
    months, currency = result.buy.months, result.currency
    if not months:
        return Facts("", ())
    most = max(months, key=lambda month: month.cash)
    first = months[:_FIRST_MONTHS]
    spans = together([month.cash_interval for month in first if month.cash])
    amount = Money(sum(month.cash for month in first), currency, result.start)
    last = f"{first[0].month} to {first[-1].month}" if len(first) > 1 else first[0].month
    note = "income of sold chips taken off" if any(row.action == "resell" for row in result.buy.schedule) else ""
    return Facts(
        "Cash",
        (
            replace(money_fact(f"cash of {last}", amount, spans), note=note),
            replace(
                money_fact("the month that takes most", Money(most.cash, currency, result.start), most.cash_interval),
                note=most.month,
            ),
        ),
    )


def cash_table(result: PlanResult) -> Table:
    """What is paid in each month, and so far: the months sum to the cash of the plan.

    Prices and physics move months together, so that the ends of what is paid so far add.
    """
    scale, unit = money_scale(result)
    rows, paid = [], 0.0
    for number, month in enumerate(result.buy.months, start=1):
        paid += month.cash
        spans = together([other.cash_interval for other in result.buy.months[:number] if other.cash])
        rows.append((month.month, ranged(month.cash, month.cash_interval, 1.0 / scale), ranged(paid, spans, 1.0 / scale)))
    columns = (Column("month"), Column("paid", unit), Column("paid so far", unit))
    sold = any(row.action == "resell" for row in result.buy.schedule)
    note = f"sums to the cash paid out{', income of sold chips taken off' if sold else ''}"
    return Table("Cash by month", columns, tuple(rows), note, limit=100)


def _first_orders(result: PlanResult) -> tuple[Block, ...]:
    """What binds for longer than a month and is to be signed in the first months of the plan."""
    scale, unit = money_scale(result)
    opening = [month.month for month in result.buy.months[:_FIRST_MONTHS]]
    rows = [row for row in result.buy.schedule if row.month in opening and row.action in BINDING_ACTIONS]
    later = [row.month for row in result.buy.schedule if row.month not in opening and row.action in BINDING_ACTIONS]
    then = f"the next order or sale is in {min(later)}" if later else "no order or sale comes later"
    if not rows:
        return (Notes("Orders", (f"nothing is to be ordered, signed or sold in the first {len(opening)} months; {then}",)),)
    columns = (
        Column("month"), Column("action"), Column("offer"), Column("chip"), Column("chips", "chips"), Column("cost", unit),
        Column("in use from"),
    )  # fmt: skip
    lines = tuple(
        (
            row.month, row.action, f"{row.offer}, {row.site}" if row.site else row.offer, row.chip or "–",
            round(row.chips) if row.chip else None, ranged(row.cost.amount, row.cost_interval, 1.0 / scale),
            row.note.removeprefix(ARRIVES) if row.note.startswith(ARRIVES) else "–",
        )
        for row in rows
    )  # fmt: skip
    note = f"{then}; rents by the hour bind for no longer than their month; cost has interest in it"
    return (Table("Orders", columns, lines, note),)


def money_scale(result: PlanResult) -> tuple[float, str]:
    """What amounts of this plan are divided by for people, and the unit that gives."""
    largest = max(abs(result.cost.amount), abs(result.buy.cash.amount))
    return (MEGA, f"million {result.currency}") if largest >= MEGA else (1.0, result.currency)


def together(intervals: list[Interval | None]) -> Interval | None:
    """Equal months in one row: their prices and physics move together, so that the ends add."""
    known = [interval for interval in intervals if interval is not None]
    if len(known) < len(intervals) or not known:
        return None
    return Interval(sum(one.p05 for one in known), sum(one.p50 for one in known), sum(one.p95 for one in known))
