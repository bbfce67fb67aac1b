"""Energy by the hour in a purchase plan: when each kind of chip works, and what is drawn at each price."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from suanzhang.app.focus import in_cents
from suanzhang.money.procurement.calendar import HOURS_PER_MONTH
from suanzhang.money.procurement.places import AT
from suanzhang.money.procurement.solve import ProcurementPlan, describe, solve_shape
from suanzhang.money.procurement.watch import Watch
from suanzhang.money.tariff import paid_at_work
from suanzhang.spec.buy import ChipCosts, Demand, Need, PurchaseProblem, ScheduleRow
from suanzhang.spec.result import Money
from suanzhang.spec.tariff import HOURS, EnergyBand, HourTariff
from suanzhang.units import J_PER_KWH, KILO

_FLAT = (1.0 / HOURS,) * HOURS
_SETTLED_GAP = 5e-3


def with_work_hours(costs: ChipCosts, chip: str, demands: Iterable[Demand]) -> ChipCosts:
    """Costs of a kind of chip with the price of energy that its work pays, where energy is priced by the hour.

    The work of all jobs that may run on the kind is put together, each with its load curve and what it would take of it:
    trainings work at all hours alike.
    """
    if costs.tariff is None:
        return costs
    work, total = [0.0] * HOURS, 0.0
    for demand in demands:
        curve = demand.work_by_hour or _FLAT
        needs = [need for need in demand.options if need.chip == chip]
        amount = max((_amount(demand, need) for need in needs), default=0.0)
        work = [sum_ + amount * share for sum_, share in zip(work, curve, strict=True)]
        total += amount
    return _at_work(costs, work, total)


def settled(problem: PurchaseProblem, watch: Watch) -> PurchaseProblem:
    """The problem with the price of energy at work of the jobs that a plan really puts on each kind of chip.

    Where jobs with unlike curves could run on one kind, a plan for the expected future says which of them do; kinds that it
    leaves out keep the price of all that could.

    Raises:
        Infeasible: no plan exists.
    """
    hourly = [key for key, costs in problem.costs.items() if costs.tariff is not None]
    if not any(_mixed(problem, key.partition(AT)[0]) for key in hourly):
        return problem
    plain = replace(problem, cvar_weight=0.0, gap=max(problem.gap, _SETTLED_GAP))
    plan = describe(solve_shape(plain, (problem.expected,), Watch(watch.clock, watch.stop)))
    work = _work_of(problem, plan)
    costs = {
        key: _at_work(one, work[key], sum(work[key])) if one.tariff is not None and key in work else one
        for key, one in problem.costs.items()
    }
    return replace(problem, costs=costs)


def _mixed(problem: PurchaseProblem, chip: str) -> bool:
    """Whether jobs with unlike curves may run on a kind of chip."""
    return len({demand.work_by_hour or _FLAT for demand in problem.demands if any(n.chip == chip for n in demand.options)}) > 1


def _work_of(problem: PurchaseProblem, plan: ProcurementPlan) -> dict[str, list[float]]:
    """Work by hour of the day that a plan puts on each kind of chip."""
    found: dict[str, list[float]] = {}
    demands = {demand.name: demand for demand in problem.demands}
    done = [(run.demand, run.chip, run.site, run.chips * run.months) for run in plan.runs]
    done += [(share.demand, share.chip, share.site, share.chips) for share in plan.shares if share.chips > 0.0]
    for name, chip, site, amount in done:
        demand = demands[name]
        busy = next(need.busy for need in demand.options if need.chip == chip)
        key = chip + AT + site if chip + AT + site in problem.costs else chip
        work = found.setdefault(key, [0.0] * HOURS)
        for hour, share in enumerate(demand.work_by_hour or _FLAT):
            work[hour] += amount * busy * share
    return found


def _at_work(costs: ChipCosts, work: Sequence[float], total: float) -> ChipCosts:
    """Costs with the price that work at these hours pays."""
    assert costs.tariff is not None
    shares = tuple(part / total for part in work) if total > 0.0 else _FLAT
    return replace(costs, tariff=HourTariff(costs.tariff.prices, shares), work_price=paid_at_work(costs.tariff.prices, shares))


def _amount(demand: Demand, need: Need) -> float:
    months = need.months if demand.kind == "train" else sum(demand.level) or 1.0
    return need.chips * need.busy * months


def energy_bands(problem: PurchaseProblem, rows: Iterable[ScheduleRow]) -> tuple[EnergyBand, ...]:
    """What is drawn at each price of energy, by site; the costs sum to the line ``power`` to the cent."""
    energy: dict[tuple[str, str, float], float] = {}
    beside: dict[tuple[str, str, float], float] = {}
    cents: dict[str, int] = {}
    for row in rows:
        power = dict(row.lines).get("power", 0.0)
        if not power:
            continue
        costs = _costs_at(problem, row.chip, row.site)
        cents[row.site] = cents.get(row.site, 0) + round(100.0 * power)
        work = costs.tariff.work if costs.tariff else _FLAT
        idle = costs.idle_w / KILO * HOURS_PER_MONTH * costs.pue * row.chips
        rate = costs.energy_per_kwh * costs.work_price
        busy = max(power - idle * costs.energy_per_kwh, 0.0) / rate if rate > 0.0 else 0.0
        for words, price, hours in bands_of(costs):
            drawn = sum(idle / HOURS + busy * work[hour] for hour in hours)
            key = (row.site, words, price)
            energy[key] = energy.get(key, 0.0) + drawn
            beside[key] = beside.get(key, 0.0) + drawn * (1.0 - 1.0 / costs.pue)
    found: list[EnergyBand] = []
    for site, total in cents.items():
        kept = {key: kwh for key, kwh in energy.items() if key[0] == site}
        parts = in_cents({key[1]: kwh * key[2] for key, kwh in kept.items()}, total)
        for (_, words, price), kwh in kept.items():
            cost = Money(parts[words] / 100.0, problem.currency, problem.start)
            overhead = cost.scaled(beside[site, words, price] / kwh if kwh else 0.0)
            found.append(EnergyBand(site, words, price, kwh * J_PER_KWH, cost, overhead))
    return tuple(found)


def _costs_at(problem: PurchaseProblem, chip: str, site: str) -> ChipCosts:
    return problem.costs.get(chip + AT + site) or problem.costs[chip]


def bands_of(costs: ChipCosts) -> list[tuple[str, float, list[int]]]:
    """Hours of one price, in words, the price and the hours."""
    prices = costs.tariff.prices if costs.tariff else (costs.energy_per_kwh,) * HOURS
    found = []
    for price in dict.fromkeys(prices):
        hours = [hour for hour in range(HOURS) if prices[hour] == price]
        found.append(("all hours" if len(hours) == HOURS else _words(hours), price, hours))
    return found


def _words(hours: list[int]) -> str:
    """Runs of hours such as 8-22; one past midnight is written as one run."""
    starts = [hour for hour in hours if (hour - 1) % HOURS not in hours]
    runs = []
    for start in starts:
        end = start
        while end % HOURS in hours and end - start < HOURS:
            end += 1
        runs.append(f"{start}-{end if end <= HOURS else end - HOURS}")
    return ", ".join(runs)
