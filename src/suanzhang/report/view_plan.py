"""The report of ``plan``: the whole answer on one page."""

from __future__ import annotations

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
    Scalar,
    Section,
    Table,
    money_fact,
    ranged,
)
from suanzhang.report.common import layout_words, sources_section, warnings_section
from suanzhang.report.view_buy import binding_table, cost_facts, schedule_table, spanned, with_series
from suanzhang.report.view_costs import energy_table, tax_table, units_table
from suanzhang.report.view_orders import ARRIVES, offers_table, order_words
from suanzhang.report.view_plan_first import cash_table, first_section, money_scale, together
from suanzhang.report.view_plan_service import fleet_words, service_details, service_section
from suanzhang.report.view_train import options_table
from suanzhang.spec.buy import ScheduleRow
from suanzhang.spec.plan import CostLine, PlanResult, Risk, ServicePlan, TrainingPlan
from suanzhang.units import DAY_S, J_PER_KWH, KILO, MEGA, format_count, format_figure

_WHOLE = 0.9995
LEAST_CHANCE = 1e-4
"""A smaller chance is printed as being below this one."""
TOLD_CHANCE = 0.05
"""From which chance on the headline says that a training ends after its deadline."""


def plan(result: PlanResult) -> Report:
    """Chips over time, trainings, services, bill, power, what binds, what would change the answer, risks, sources."""
    sections = (
        Section("The plan", (_facts(result), _bill_chart(result))),
        first_section(result),
        Section("Chips over time", (_chips_chart(result),)),
        *(_training(part) for part in result.train),
        *(service_section(part) for part in result.serve),
        Section("Purchases and rents", (_schedule(result), offers_table(result.buy.offers))),
        Section("Cash by month", (cash_table(result),)),
        Section("Power", (_power_facts(result), _power_chart(result))),
        Section("What a unit costs", (units_table(result.unit_costs),)),
        *((Section("Energy by price", (energy_table(result.buy.energy),)),) if result.buy.energy else ()),
        *((Section("Taxes", (tax_table(result.buy.tax),)),) if result.buy.tax else ()),
        Section("What decides the answer", (Notes("What binds", result.binding),)),
        Section("What would change the answer", (_flips(result),)),
        Section("Risks", (_risks(result),)),
        warnings_section((*result.warnings, *result.buy.warnings), weak=result.weak_inputs),
        Section("Bill", (_bill(result),), folded=True),
        Section("Chips by month", (_chips(result),), folded=True),
        Section("Power by month", (_power(result),), folded=True),
        *(service_details(part) for part in result.serve),
        *(_others(part) for part in result.train),
        Section(
            "Procurement",
            (
                schedule_table(result.buy),
                cost_facts(result.buy),
                binding_table(result.buy),
                Notes("Assumed figures", result.buy.assumptions),
            ),
            folded=True,
        ),
        sources_section(result.sources),
    )
    return Report(result.title, _verdict(result), sections, main="Schedule")


def _verdict(result: PlanResult) -> str:
    parts = [_training_words(result, training) for training in result.train]
    for service in result.serve:
        fleet = " + ".join(fleet_words(share) for share in service.fleet) or "no chips of its own"
        since = (
            f"in full from {service.full_from}{_before(service)}" if service.full_from else f"never in full{_before(service)}"
        )
        cost = service.cost_per_response
        parts.append(f"{service.name}: {fleet}, {since}, {_thousand(service)} {cost.currency} per 1000 responses.")
    return " ".join([order_words(result.buy.schedule), *parts, *_money_words(result)]).strip()


def _training_words(result: PlanResult, training: TrainingPlan) -> str:
    """Chips and days of a training, and the chance that it ends after its deadline where that is not small."""
    option = training.option
    chance = next((risk.value for risk in result.risks if risk.name == f"{training.name} misses its deadline"), 0.0)
    late = f", {chance:.0%} likely to end after its deadline" if chance >= TOLD_CHANCE else ""
    return f"{training.name}: {format_count(option.chips)} x {option.chip} for {_days(training)} days{late}."


def _before(service: ServicePlan) -> str:
    """How much of the demand is carried in the months in which a part of it waits; nothing where none waits."""
    begun = [share for share in service.served if share > 0.0]
    least = min(begun, default=1.0)
    return f" (before that as little as {least:.1%})" if service.full_from and least < _WHOLE else ""


def _days(training: TrainingPlan) -> str:
    span = training.option.days_interval
    return f"{training.option.days:,.1f} ({span.p05:,.0f} to {span.p95:,.0f})"


def _thousand(service: ServicePlan) -> str:
    cost, span = 1000.0 * service.cost_per_response.amount, service.cost_per_response_interval.scaled(1000.0)
    return f"{cost:.3g} ({span.p05:.3g} to {span.p95:.3g})"


def _money_words(result: PlanResult) -> list[str]:
    """What is paid, what is left, what waits, and the cost that remains, each with its interval."""

    words = []
    if result.cash is not None:
        limit = f" of a budget of {format_figure(result.budget.amount, result.currency)}" if result.budget else ""
        words.append(f"Pays {spanned(result.cash, result.cash_interval)} in cash over {result.months} months{limit}.")
    if result.value_left is not None and result.value_left.amount > 0.0:
        words.append(f"Chips and servers worth {spanned(result.value_left, result.value_left_interval)} are left at the end.")
    if result.waiting is not None and result.waiting.amount > 0.0:
        words.append(f"Demand that waits counts {spanned(result.waiting, result.waiting_interval)}, which nobody pays.")
    taxes = " and what taxes give back" if result.buy.tax else ""
    if (start := _start(result)) is not None:
        words.append(
            f"What was there at the start would then have fetched {spanned(start.cost, start.cost_interval)}, and is charged."
        )
    words.append(f"Cost with interest, less what is left{taxes}: {spanned(result.cost, result.cost_interval)}.")
    return words


def _start(result: PlanResult) -> CostLine | None:
    """The line of what chips owned from the start would then have fetched; None where none was there."""
    return next((line for line in result.costs if line.name == "value at start"), None)


def _facts(result: PlanResult) -> Facts:
    tax = result.buy.tax
    taxes = " and the tax shield" if tax else ""
    money = [
        money_fact("cash paid out", result.cash, result.cash_interval, "this is what a budget limits"),
        *((money_fact("budget", result.budget),) if result.budget else ()),
        money_fact(
            "value left at the end", result.value_left, result.value_left_interval, "what chips and servers would fetch"
        ),
        *(
            (
                money_fact(
                    "value of what was there", start.cost, start.cost_interval, "what owned chips would fetch at the start"
                ),
            )
            if (start := _start(result))
            else ()
        ),
        money_fact("waiting", result.waiting, result.waiting_interval, "a price on demand not carried; nothing is paid"),
        *((money_fact("tax shield", tax.amount, tax.amount_interval, "what taxes give back, not in the cash"),) if tax else ()),
        money_fact("cost", result.cost, result.cost_interval, f"cash, interest and waiting, less the value left{taxes}"),
    ]
    return Facts(
        "The plan",
        (
            Fact("market, site", f"{result.market}, {result.site}"),
            Fact("months", f"{result.months} from {result.start}"),
            Fact("amounts", f"{result.currency}, prices of {result.start}", note="and as they are expected to move from there"),
            *(replace(fact, note=fact.note.removeprefix(f"prices of {result.start}; ")) for fact in money if fact.value),
            *_futures(result),
        ),
    )


def _futures(result: PlanResult) -> tuple[Fact, ...]:
    """What planning over many futures told, when it was asked for."""
    bought = result.buy
    if bought.scenarios < 2:
        return ()
    return (
        Fact("futures planned over", bought.scenarios, "futures"),
        money_fact(
            "cost over the futures, mean",
            bought.cost_mean,
            bought.cost_interval,
            "5th to 95th percentile over the futures and our physics",
        ),
        *(
            money_fact(name, money)
            for name, money in (
                ("planning for many futures saves", bought.vss),
                ("knowing the future would save", bought.evpi),
                ("ordering nothing in the first month saves", bought.value_of_waiting),
            )
            if money is not None
        ),
    )


def _bill_chart(result: PlanResult) -> Chart:
    scale, unit = money_scale(result)
    points = tuple(
        Point(line.name, "", line.cost.amount / scale, line.cost_interval.scaled(1.0 / scale))
        for line in result.costs
        if line.cost.amount
    )
    return Chart("Cost by line", "bars", "line", "cost", unit, points)


def _bill(result: PlanResult) -> Table:
    scale, unit = money_scale(result)
    columns = (Column("line"), Column("cost", unit), Column("grade"))
    rows = tuple((r.name, ranged(r.cost.amount, r.cost_interval, 1.0 / scale), r.grade) for r in result.costs)
    return Table("Costs", columns, rows, "an income is negative")


def _schedule(result: PlanResult) -> Table:
    """The schedule with equal neighbouring months in one row."""
    place = {state.month: index for index, state in enumerate(result.buy.months)}
    scale, unit = money_scale(result)
    merged: list[list[ScheduleRow]] = []
    last: dict[tuple[str, ...], list[ScheduleRow]] = {}
    for row in result.buy.schedule:
        key = (row.action, row.offer, row.site, row.chip, f"{row.chips:.0f}", "" if row.action == "wait" else row.note)
        run = last.get(key)
        if run is not None and place.get(row.month, -1) == place.get(run[-1].month, -1) + 1 > 0:
            run.append(row)
        else:
            last[key] = [row]
            merged.append(last[key])
    rows = tuple(
        (
            run[0].month if len(run) == 1 else f"{run[0].month} to {run[-1].month}",
            run[0].action,
            f"{run[0].offer}, {run[0].site}" if run[0].site else run[0].offer,
            run[0].chip,
            round(run[0].chips) if run[0].chip else None,
            ranged(sum(row.cost.amount for row in run), together([row.cost_interval for row in run]), 1.0 / scale),
            run[0].note.removeprefix(ARRIVES) if run[0].note.startswith(ARRIVES) else "",
        )
        for run in merged
    )
    columns = (
        Column("months"),
        Column("action"),
        Column("offer"),
        Column("chip", optional=True),
        Column("chips", "chips"),
        Column("cost", unit),
        Column("in use from", optional=True),
    )
    total = format_figure(sum(row.cost.amount for row in result.buy.schedule), result.currency)
    return Table("Purchases and rents by run of months", columns, rows, f"the rows sum to {total}; an income is negative", 100)


def _chips_chart(result: PlanResult) -> Chart:
    """Chips by month, those without any included."""
    points: list[Point] = []
    months = [state.month for state in result.buy.months] or sorted({row.month for row in result.chips})
    for month in months:
        rows = [row for row in result.chips if row.month == month]
        points += [Point(month, f"{row.chip} {row.how}", float(row.chips)) for row in rows] or [Point(month, "", 0.0)]
    return Chart("Chips over time", "stacked", "month", "chips", "chips", with_series(points))


def _chips(result: PlanResult) -> Table:
    columns = (Column("month"), Column("chip"), Column("how"), Column("chips", "chips"))
    return Table("Chips by month", columns, tuple((r.month, r.chip, r.how, r.chips) for r in result.chips))


def _training(part: TrainingPlan) -> Section:
    option = part.option
    facts = (
        Fact("model", part.model),
        Fact("chips", f"{format_count(option.chips)} x {option.chip}"),
        Fact("months", part.start if part.start == part.finish else f"{part.start} to {part.finish}"),
        Fact("duration", option.days * DAY_S, "s", option.days_interval.scaled(DAY_S)),
        Fact("layout", layout_words(option.layout)),
        Fact("step time", option.step_s, "s", option.step_s_interval),
        Fact("mfu", option.mfu, "fraction", option.mfu_interval),
        Fact("memory of the fullest chip", option.memory_bytes, "B", option.memory_bytes_interval),
        Fact(
            "energy",
            option.energy_j / J_PER_KWH / KILO,
            "MWh",
            option.energy_j_interval.scaled(1.0 / J_PER_KWH / KILO) if option.energy_j_interval else None,
            "chips and hosts",
        ),
        money_fact("cost", part.cost, part.cost_interval, "its share of the plan's cost"),
    )
    return Section(f"Training {part.name}", (Facts(f"Training {part.name}", facts),))


def _others(part: TrainingPlan) -> Section:
    blocks: list[Block] = [options_table(f"{part.name} on other chips", part.alternatives)]
    refused = tuple((item.chip, item.reason) for item in part.refused)
    blocks.append(Table(f"{part.name}: chips that cannot", (Column("chip"), Column("reason")), refused))
    return Section(f"Other chips for {part.name}", tuple(blocks), folded=True)


def _power_facts(result: PlanResult) -> Facts:
    rows = result.power
    energy, carbon = sum(row.energy_j for row in rows), sum(row.carbon_kg for row in rows)
    top = max(rows, key=lambda row: row.peak_w, default=None)
    limit = next((row.limit_w for row in rows if row.limit_w is not None), None)
    used, emitted = together([row.energy_j_interval for row in rows]), together([row.carbon_kg_interval for row in rows])
    drawn = top.peak_w_interval.scaled(1.0 / MEGA) if top is not None and top.peak_w_interval else None
    facts = [
        Fact("highest peak", top.peak_w / MEGA if top else 0.0, "MW", drawn, "with the building's overhead"),
        Fact("energy", energy / J_PER_KWH / MEGA, "GWh", used.scaled(1.0 / J_PER_KWH / MEGA) if used else None),
        Fact("carbon", carbon / KILO, "t", emitted.scaled(1.0 / KILO) if emitted else None),
    ]
    if limit is not None:
        facts.insert(1, Fact("limit of the site", limit / MEGA, "MW"))
    return Facts("Power", tuple(facts))


def _power_chart(result: PlanResult) -> Chart:
    points = tuple(
        Point(row.month, "mean draw", row.mean_w / MEGA, row.mean_w_interval.scaled(1.0 / MEGA)) for row in result.power
    )
    limit = next((row.limit_w for row in result.power if row.limit_w is not None), None)
    return Chart("Power draw", "line", "month", "mean draw", "MW", points, limit / MEGA if limit is not None else None)


def _power(result: PlanResult) -> Table:
    columns = (
        Column("month"),
        *(Column(name, "MW") for name in ("mean draw", "peak draw", "limit")),
        Column("energy", "MWh"),
        Column("carbon", "t"),
        Column("cost of energy", result.currency),
        Column("paid per kWh", result.currency),
    )
    rows = tuple(
        (
            row.month,
            ranged(row.mean_w, row.mean_w_interval, 1.0 / MEGA),
            ranged(row.peak_w, row.peak_w_interval, 1.0 / MEGA),
            row.limit_w / MEGA if row.limit_w is not None else None,
            ranged(row.energy_j, row.energy_j_interval, 1.0 / J_PER_KWH / KILO),
            ranged(row.carbon_kg, row.carbon_kg_interval, 1.0 / KILO),
            ranged(row.energy_cost.amount, row.energy_cost_interval) if row.energy_cost else None,
            row.tariff_per_kwh,
        )
        for row in result.power
    )
    return Table("Power", columns, rows)


def _flips(result: PlanResult) -> Table:
    scale, unit = money_scale(result)
    columns = (
        Column("change"),
        Column("cash", unit, optional=True),
        Column("cost", unit),
        Column("more cost", "%"),
        Column("more chips", "chips"),
        Column("effect"),
    )
    rows = tuple(
        (
            flip.change,
            ranged(flip.cash.amount, flip.cash_interval, 1.0 / scale) if flip.cash else None,
            ranged(flip.cost.amount, flip.cost_interval, 1.0 / scale) if flip.cost else None,
            ranged(flip.cost_change_fraction, flip.cost_change_fraction_interval, 100.0),
            flip.chips_change,
            flip.effect,
        )
        for flip in result.flips
    )
    return Table("What would change the answer", columns, rows, "each change alone, all else planned again")


def _risks(result: PlanResult) -> Table:
    columns = (Column("risk"), Column("size", "in its unit"), Column("unit"), Column("explanation"))
    return Table("Risks", columns, tuple((risk.name, *_size(risk), risk.explanation) for risk in result.risks))


def _size(risk: Risk) -> tuple[Scalar, str]:
    """How large a risk is, with its unit: chances in percent, those of nobody's concern as a bound."""
    if risk.unit != "fraction":
        return ranged(risk.value, risk.value_interval), risk.unit
    if abs(risk.value) < LEAST_CHANCE:
        return f"below {100.0 * LEAST_CHANCE:g}", "%"
    return ranged(risk.value, risk.value_interval, 100.0), "%"
