"""The report of ``buy``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from suanzhang.report.blocks import Block, Chart, Column, Fact, Facts, Notes, Point, Report, Section, Table, money_fact
from suanzhang.report.common import sources_section, warnings_section
from suanzhang.spec.buy import BuyResult, MonthState
from suanzhang.spec.result import Money
from suanzhang.units import J_PER_KWH, KILO, MEGA, format_figure


def buy(result: BuyResult) -> Report:
    """The schedule of purchases and rents, its cost and spread, and what binds."""
    cost, spread = result.cost, result.cost_interval
    low, high = (format_figure(value, cost.currency) for value in (spread.p05, spread.p95))
    verdict = f"The plan costs {format_figure(cost.amount, cost.currency)} ({low} to {high})."
    if result.binding:
        verdict += f" What binds most: {result.binding[0].limit}."
    sections = (
        Section("Cost", (cost_facts(result), lines_chart(result.lines))),
        Section("Schedule", (schedule_table(result),)),
        Section("Chips over time", (chips_chart(result.months),)),
        Section("What binds", (binding_table(result),)),
        Section("Trainings and services", (_runs(result), _shares(result))),
        warnings_section(result.warnings),
        Section("Months", (months_table(result),), folded=True),
        Section("Assumed figures", (Notes("Assumed figures", result.assumptions),), folded=True),
        sources_section(result.sources),
    )
    return Report("What to get, when", verdict, sections, main="Schedule")


def cost_facts(result: BuyResult) -> Facts:
    """The total and its spread, and what waiting and knowing would be worth."""
    spread = f"over {result.scenarios} scenarios" if result.scenarios > 1 else "from the spread of prices"
    return Facts(
        "Cost",
        (
            money_fact("cost", result.cost, result.cost_interval, spread),
            money_fact("mean over scenarios", result.cost_mean),
            money_fact("95th percentile over scenarios", result.cost_p95),
            money_fact("cash paid out", result.cash, note="without waiting, interest and value left"),
            Fact("proved gap to the optimum", result.gap, "fraction"),
            *_optional("value of the stochastic solution", result.vss),
            *_optional("value of perfect information", result.evpi),
            *_optional("value of waiting a month", result.value_of_waiting),
            Fact("solve", result.solve_s, "s"),
        ),
    )


def _optional(name: str, money: Money | None) -> tuple[Fact, ...]:
    return (money_fact(name, money),) if money is not None else ()


def lines_chart(lines: Mapping[str, Money], title: str = "Cost by line") -> Chart:
    """Cost by line as bars, in millions; incomes (value left) are negative."""
    currency = next(iter(lines.values())).currency if lines else "1"
    points = tuple(Point(name, "", money.amount / MEGA) for name, money in lines.items() if abs(money.amount) > 0.0)
    return Chart(title, "bars", "line", "cost", f"million {currency}", points)


def schedule_table(result: BuyResult, title: str = "Schedule") -> Table:
    """One row for each action of each month."""
    columns = (
        Column("month"),
        Column("action"),
        Column("offer"),
        Column("chip"),
        Column("chips", "chips"),
        Column("cost", result.cost.currency),
        Column("note"),
    )
    rows = tuple((r.month, r.action, r.offer, r.chip, r.chips, r.cost.amount, r.note) for r in result.schedule)
    total = sum(row.cost.amount for row in result.schedule)
    return Table(
        title, columns, rows, f"the rows sum to {format_figure(total, result.cost.currency)}; an income is negative", limit=100
    )


def chips_chart(months: Iterable[MonthState], title: str = "Chips over time") -> Chart:
    """Chips that stand in each month, by kind and by how they are had."""
    points = []
    for state in months:
        for how, chips in (("owned", state.owned), ("rented", state.rented)):
            points += [Point(state.month, f"{chip} {how}", count) for chip, count in chips.items() if count > 0.0]
    return Chart(title, "stacked", "month", "chips", "chips", tuple(points))


def binding_table(result: BuyResult) -> Table:
    """Limits that bind, and what one more unit of each would save."""
    columns = (
        Column("limit"),
        Column("value", "in its unit"),
        Column("unit"),
        Column("one more unit saves", result.cost.currency),
    )
    return Table("Worth of limits", columns, tuple((b.limit, b.value, b.unit, b.worth) for b in result.binding))


def months_table(result: BuyResult) -> Table:
    """Draw, energy and cash of each month."""
    columns = (
        Column("month"),
        Column("mean draw", "MW"),
        Column("peak draw", "MW"),
        Column("energy", "MWh"),
        Column("cash", result.cost.currency),
    )
    rows = tuple((m.month, m.draw_w / MEGA, m.peak_w / MEGA, m.energy_j / J_PER_KWH / KILO, m.cash) for m in result.months)
    return Table("Months", columns, rows)


def _runs(result: BuyResult) -> Block:
    columns = (
        Column("training"),
        Column("chip"),
        Column("chips", "chips"),
        Column("layout"),
        Column("start"),
        Column("end"),
        Column("length", "months"),
    )
    return Table(
        "Trainings", columns, tuple((r.demand, r.chip, r.chips, r.label, r.start, r.end, r.months) for r in result.runs)
    )


def _shares(result: BuyResult) -> Block:
    columns = (Column("service"), Column("month"), Column("carried by"), Column("chips", "chips"), Column("share", "%"))
    return Table(
        "Services",
        columns,
        tuple((s.demand, s.month, s.chip or "tokens bought", s.chips, 100.0 * s.share) for s in result.shares),
    )
