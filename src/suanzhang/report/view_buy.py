"""The report of ``buy``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from suanzhang.report.blocks import (
    Block,
    Chart,
    Column,
    Fact,
    Facts,
    Notes,
    Point,
    Report,
    Section,
    Table,
    contents,
    money_fact,
    ranged,
    show_interval,
)
from suanzhang.report.common import sources_section, warnings_section
from suanzhang.report.view_buy_monte import monte_blocks
from suanzhang.report.view_buy_sites import has_sites, sites_table
from suanzhang.report.view_costs import carbon_table, energy_table, tax_table, teams_table, units_table
from suanzhang.report.view_orders import asked_facts, offers_table, order_words
from suanzhang.spec.buy import BuyResult, MonthState
from suanzhang.spec.result import Interval, Money
from suanzhang.units import J_PER_KWH, KILO, MEGA, format_figure


def buy(result: BuyResult) -> Report:
    """The schedule of purchases and rents, its cost and spread, and what binds."""
    cost, cash = result.cost, result.cash
    paid, whole = spanned(cash, result.cash_interval), spanned(cost, result.cost_interval)
    taxes = ", taxes" if result.tax else ""
    verdict = f"{order_words(result.schedule)} ".lstrip() + (
        f"The plan pays out {paid}; with interest, the price of waiting{taxes} and what is left at the end it costs {whole}."
    )
    if result.decision in ("tokens", "nothing"):
        verdict += " No chip is taken: others answer for tokens." if result.decision == "tokens" else " No chip is taken."
    elif result.decision:
        verdict += f" Of all chip-months {result.decision}."
    if result.binding:
        verdict += f" What binds most: {result.binding[0].limit}."
    elif result.schedule:
        verdict += " No limit of budget, power or stock binds the orders."
    sections = (
        Section("Cost", (cost_facts(result), lines_chart(result.lines, intervals=result.lines_interval))),
        Section("Schedule", (schedule_table(result), offers_table(result.offers))),
        Section("What was asked", (asked_facts(result),)),
        Section("Chips over time", (chips_chart(result.months, scenarios=result.scenarios),)),
        Section("What binds", (binding_table(result),)),
        Section("Rent or buy", (_rent_or_buy(result),)),
        *((Section("In many futures", monte_blocks(result)),) if result.monte_carlo else ()),
        Section("What would change it", (tornado(result), _surprises(result), _swings(result), _two_way(result))),
        Section("What a unit costs", (units_table(result.unit_costs),)),
        Section("Taxes", (tax_table(result.tax),)),
        Section("Energy by price", (energy_table(result.energy),)),
        Section("Energy and carbon by site", (carbon_table(result.carbon),)),
        Section("Whose cost it is", (_charge_back(result), teams_table(result.charge_back, result.cost.currency))),
        Section("Plan against actuals", (_actuals(result),)),
        Section("Trainings and services", (_runs(result), _shares(result))),
        warnings_section(result.warnings, weak=result.weak_inputs),
        Section("Each future", (_outcomes(result),), folded=True),
        Section("Months", (months_table(result),), folded=True),
        *((Section("Sites", (sites_table(result),)),) if has_sites(result) else ()),
        Section("Assumed figures", (Notes("Assumed figures", result.assumptions),), folded=True),
        sources_section(result.sources),
    )
    kept = tuple(section for section in sections if any(contents(block) for block in section.blocks))
    return Report(result.title or "What to get, when", verdict, kept, main="Schedule")


def spanned(money: Money, interval: Interval | None) -> str:
    """An amount of a sentence with its percentiles."""
    text = format_figure(money.amount, money.currency)
    return text if interval is None else f"{text} ({show_interval(interval, money.currency)})"


def cost_facts(result: BuyResult) -> Facts:
    """What is paid, what is only priced, the total and its spread, and what waiting and knowing would be worth."""
    spread = f"over {result.scenarios} futures and our physics" if result.scenarios > 1 else "as prices and physics move"
    limited = (
        f"; the budget of {format_figure(result.budget.amount, result.budget.currency)} limits this" if result.budget else ""
    )
    return Facts(
        "Cost",
        (
            money_fact("cash paid out", result.cash, result.cash_interval, f"what leaves the account{limited}"),
            *_optional("+ interest on tied capital", result.interest, "priced, not in the cash", result.interest_interval),
            *_optional("+ price of waiting", result.waiting, "priced, never paid", result.waiting_interval),
            *_optional(
                "+ value of what was there", result.lines.get("value at start") if _had(result) else None,
                "what chips owned from the start would then fetch", result.lines_interval.get("value at start"),
            ),
            *_optional(
                "+ value left at the end", result.value_left, "what chips and servers would fetch, an income",
                result.value_left_interval,
            ),
            *_optional(
                "+ tax shield", result.tax.amount if result.tax else None, "what taxes give back, not in the cash",
                result.tax.amount_interval if result.tax else None,
            ),
            money_fact("= cost", result.cost, result.cost_interval, spread),
            money_fact(f"95th percentile {spread}", result.cost_p95),
            *_optional(
                f"mean of the dearest {result.tail_share:.0%} of futures", result.tail_mean,
                f"weighs {result.tail_weight:.0%} in what is minimised; a higher weight lowers this, not each percentile",
                result.tail_mean_interval,
            ),
            Fact("proved gap to the optimum", result.gap, "fraction"),
            *_optional(
                "value of planning with many futures (VSS)", result.vss, "against the plan for the expected future",
                result.vss_interval,
            ),
            *_optional(
                "value of knowing the future (EVPI)", result.evpi, "at most worth paying for certainty", result.evpi_interval
            ),
            *_optional(
                "value of waiting a month", result.value_of_waiting, "negative: waiting costs", result.value_of_waiting_interval
            ),
            *_optional(
                "value of firm delivery dates", result.value_of_firm_delivery,
                "every order at its median; negative: chances to come early are worth more",
                result.value_of_firm_delivery_interval,
            ),
            Fact("solve", result.solve_s, "s"),
        ),
    )  # fmt: skip


def _had(result: BuyResult) -> bool:
    """Whether chips were owned from the start that had a worth."""
    start = result.lines.get("value at start")
    return start is not None and start.amount != 0.0


def _optional(name: str, money: Money | None, note: str = "", interval: Interval | None = None) -> tuple[Fact, ...]:
    span = interval if interval is not None and interval.p05 < interval.p95 else None
    return (money_fact(name, money, span, note),) if money is not None else ()


def _amount(money: Money | None, interval: Interval | None) -> float | None:
    return None if money is None else ranged(money.amount, interval)


def _rent_or_buy(result: BuyResult) -> Block:
    if not result.rent_or_buy:
        return Notes("Rent or buy", ("no kind of chip is both sold and rented by the hour here: there is no break-even",))
    currency = result.cost.currency
    columns = (
        Column("chip"),
        Column("rent", f"{currency}/chip-hour"),
        Column("own, always at work", f"{currency}/chip-hour"),
        Column("owning pays above", "% of the time"),
        Column("owning pays after", "months"),
        Column("buy from", optional=True),
        Column("rent from", optional=True),
    )
    rows = tuple(
        (
            r.chip, r.rent_per_chip_h.amount, ranged(r.own_per_chip_h.amount, r.own_per_chip_h_interval),
            ranged(r.utilisation, r.utilisation_interval, 100.0), ranged(r.month, r.month_interval), r.buy, r.rent,
        )
        for r in result.rent_or_buy
    )  # fmt: skip
    taxes = ", taxes included" if result.tax else ""
    counted = f"over the months of the plan, interest and what is left counted as in its total{taxes}"
    return Table("Rent or buy", columns, rows, f"{counted}; own: the rent that costs as much")


def tornado(result: BuyResult) -> Chart:
    """What each fact adds to or takes from the cost, the largest swing first."""
    base = next((cell.cost for cell in result.two_way if cell.factor_a == 1.0 and cell.factor_b == 1.0), None)
    points = []
    for swing in result.swings:
        for series, cost in (("fact lower", swing.cost_low), ("fact higher", swing.cost_high)):
            if cost is not None and base is not None:
                points.append(Point(swing.fact, series, (cost.amount - base.amount) / MEGA))
    return Chart(
        "Change of the cost when one fact is a quarter off", "bars", "fact", "change of cost",
        f"million {result.cost.currency}", tuple(points),
    )  # fmt: skip


def _surprises(result: BuyResult) -> Notes:
    """What the bars do not say: no plan, another decision, a cost that moves the other way."""
    return Notes("In words", tuple(line for swing in result.swings for line in swing.words))


def _swings(result: BuyResult) -> Table:
    currency = result.cost.currency
    columns = (
        Column("fact"),
        Column("lower"),
        Column("cost then", currency),
        Column("higher"),
        Column("cost if higher", currency),
        Column("flips the decision"),
        Column("decision if lower", optional=True),
        Column("decision if higher", optional=True),
        Column("what moves it if lower", optional=True),
        Column("what moves it if higher", optional=True),
    )
    rows = tuple(
        (
            s.fact, s.low, _amount(s.cost_low, s.cost_low_interval), s.high, _amount(s.cost_high, s.cost_high_interval),
            s.flips, s.decision_low, s.decision_high, s.why_low, s.why_high,
        )
        for s in result.swings
    )  # fmt: skip
    return Table("One fact at a time", columns, rows, "the plan is solved again each time, with one future as expected")


def _two_way(result: BuyResult) -> Table:
    if not result.two_way:
        return Table("Two facts at a time", (Column("fact"),), ())
    columns = (
        Column(result.two_way[0].fact_a, "times"),
        Column(result.two_way[0].fact_b, "times"),
        Column("cost", result.cost.currency),
        Column("decision"),
    )
    rows = tuple((c.factor_a, c.factor_b, _amount(c.cost, c.cost_interval), c.decision) for c in result.two_way)
    return Table("Two facts at a time", columns, rows)


def _charge_back(result: BuyResult) -> Table:
    currency = result.cost.currency
    columns = (
        Column("job"),
        Column("cash", currency),
        Column("cost", currency),
        Column("chip-months", "chip-months"),
        Column("cost per chip-hour", currency),
    )
    rows = tuple(
        (
            c.demand, _amount(c.cash, c.cash_interval), _amount(c.cost, c.cost_interval), c.chip_months,
            _amount(c.cost_per_chip_h, c.cost_per_chip_h_interval),
        )
        for c in result.charge_back
    )  # fmt: skip
    return Table("Charge-back", columns, rows, "divided by the chips that each uses; the parts sum to cash and cost")


def _actuals(result: BuyResult) -> Table:
    currency = result.cost.currency
    columns = (
        Column("month"),
        Column("planned", currency),
        Column("paid", currency),
        Column("paid ahead of plan so far", currency),
        Column("planned chips", "chips"),
        Column("chips", "chips"),
        Column("planned energy", "kWh"),
        Column("energy", "kWh"),
    )
    rows = tuple(
        (
            a.month, _amount(a.planned, a.planned_interval), a.paid.amount, _amount(a.ahead, a.ahead_interval),
            a.planned_chips, a.chips, ranged(a.planned_energy_kwh, a.planned_energy_kwh_interval), a.energy_kwh,
        )
        for a in result.actuals
    )  # fmt: skip
    return Table("Plan against actuals", columns, rows)


def _outcomes(result: BuyResult) -> Table:
    columns = (
        Column("future"),
        Column("cost", result.cost.currency),
        Column("prices", "times today"),
        Column("rents", "times today"),
        Column("delivery", "months"),
        Column("demand", "times expected"),
        Column("rented by the hour", "chip-months"),
        Column("waits", "%"),
    )
    rows = tuple(
        (
            str(o.scenario), o.cost.amount, o.price_factor, o.rent_factor, o.delay_months, o.growth_factor,
            o.rented_chip_months, 100.0 * o.waiting_fraction,
        )
        for o in result.outcomes
    )  # fmt: skip
    return Table("Each future", columns, rows, "the same orders in every future; rents and waiting adapt", limit=200)


def lines_chart(
    lines: Mapping[str, Money], title: str = "Cost by line", intervals: Mapping[str, Interval] | None = None
) -> Chart:
    """Cost by line as bars, in millions; incomes (value left) are negative."""
    currency = next(iter(lines.values())).currency if lines else "1"
    spans = {name: interval.scaled(1.0 / MEGA) for name, interval in (intervals or {}).items()}
    points = tuple(
        Point(name, "", money.amount / MEGA, spans.get(name)) for name, money in lines.items() if abs(money.amount) > 0.0
    )
    return Chart(title, "bars", "line", "cost", f"million {currency}", points)


def schedule_table(result: BuyResult, title: str = "Schedule") -> Table:
    """One row for each action of each month."""
    sited = any(row.site for row in result.schedule)
    columns = (
        Column("month"),
        Column("action"),
        Column("offer"),
        Column("chip"),
        Column("chips", "chips"),
        Column("cost", result.cost.currency),
        Column("note"),
        *((Column("site"),) if sited else ()),
    )
    rows = tuple(
        (
            r.month, r.action, r.offer, r.chip, ranged(r.chips, r.chips_interval) if r.chip else None,
            _amount(r.cost, r.cost_interval), r.note,
            *((r.site,) if sited else ()),
        )
        for r in result.schedule
    )  # fmt: skip
    total = sum(row.cost.amount for row in result.schedule)
    words = f"the rows sum to {format_figure(total, result.cost.currency)}; an income is negative"
    if any(row.chips_interval for row in result.schedule):
        words += (
            f"; chips with a range are means over {result.scenarios} futures, with the 5th to 95th percentile of these: orders "
            "are whole and the same in all of them, when they come and what is rented by the hour differs"
        )
    return Table(title, columns, rows, words, limit=100)


def chips_chart(months: Iterable[MonthState], title: str = "Chips over time", scenarios: int = 1) -> Chart:
    """Chips that stand in each month, by kind and by how they are had; a month without any has an empty bar."""
    points: list[Point] = []
    for state in months:
        of_month = [
            Point(state.month, f"{chip} {how}", count)
            for how, chips in (("owned", state.owned), ("rented", state.rented))
            for chip, count in chips.items()
            if count > 0.0
        ]
        points += of_month or [Point(state.month, "", 0.0)]
    words = f"mean chips over {scenarios} futures" if scenarios > 1 else "chips"
    return Chart(title, "stacked", "month", words, "chips", with_series(points))


def with_series(points: Sequence[Point]) -> tuple[Point, ...]:
    """Points of a stacked chart; empty ones belong to the first series that there is."""
    first = next((point.series for point in points if point.series), "")
    return () if not first else tuple(replace(point, series=first) if not point.series else point for point in points)


def binding_table(result: BuyResult) -> Table:
    """Limits that bind, and what one more unit of each would save."""
    tried = any(b.step for b in result.binding)
    columns = (
        Column("limit"),
        Column("value", "in its unit"),
        Column("unit"),
        Column("one more is"),
        Column("one more saves", result.cost.currency),
        *((Column("a larger change"), Column("solved again it saves", result.cost.currency)) if tried else ()),
    )
    rows = tuple(
        (
            b.limit, b.value, b.unit, b.one_more, ranged(b.worth, b.worth_interval),
            *((b.step, _amount(b.step_saves, b.step_saves_interval)) if tried else ()),
        )
        for b in result.binding
    )  # fmt: skip
    words = "what one more saves is a shadow price: true for small changes, with starts of runs and sales as they are"
    return Table("Worth of limits", columns, rows, words)


def months_table(result: BuyResult) -> Table:
    """Draw, energy and cash of each month."""
    columns = (
        Column("month"),
        Column("mean draw", "MW"),
        Column("peak draw", "MW"),
        Column("energy", "MWh"),
        Column("cost of energy", result.cost.currency),
        Column("carbon", "t"),
        Column("cash", result.cost.currency),
    )
    rows = tuple(
        (
            m.month, ranged(m.draw_w, m.draw_w_interval, 1.0 / MEGA), ranged(m.peak_w, m.peak_w_interval, 1.0 / MEGA),
            ranged(m.energy_j, m.energy_j_interval, 1.0 / J_PER_KWH / KILO),
            ranged(m.energy_cost, m.energy_cost_interval), ranged(m.carbon_kg, m.carbon_kg_interval, 1.0 / KILO),
            ranged(m.cash, m.cash_interval),
        )
        for m in result.months
    )  # fmt: skip
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
        "Trainings",
        columns,
        tuple((r.demand, r.chip, r.chips, r.label, r.start, r.end, ranged(r.months, r.months_interval)) for r in result.runs),
    )


def _shares(result: BuyResult) -> Block:
    columns = (Column("service"), Column("month"), Column("carried by"), Column("chips", "chips"), Column("share", "%"))
    rows = tuple((s.demand, s.month, s.chip or "tokens bought", s.chips or None, 100.0 * s.share) for s in result.shares)
    means = f", chips as means over {result.scenarios} futures" if result.scenarios > 1 else ""
    return Table("Services", columns, rows, f"share of what the service is in that month{means}")
