"""What it is worth to plan with scenarios, and to know which of them will come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from suanzhang.money.procurement.form import build_form, programme_of
from suanzhang.money.procurement.highs import solve_programme
from suanzhang.money.procurement.master import Master
from suanzhang.money.procurement.monthcell import cell_of
from suanzhang.money.procurement.orders import sale_name
from suanzhang.money.procurement.outcome import really_there, run_load, standing
from suanzhang.money.procurement.purse import purse_of
from suanzhang.money.procurement.recourse import Recourse
from suanzhang.money.procurement.resales import resale_name
from suanzhang.money.procurement.shape import build
from suanzhang.money.procurement.solve import ProcurementPlan, Solved, solve_shape
from suanzhang.money.procurement.totals import holding_lines
from suanzhang.money.procurement.watch import QUIET, Watch
from suanzhang.spec.buy import PurchaseProblem, Scenario


def expected_scenario(scenarios: tuple[Scenario, ...]) -> Scenario:
    """The one scenario in which everything is as expected: mean paths and median delays, nothing barred."""

    def mean_paths(name: str) -> dict[str, tuple[float, ...]]:
        keys = {key for scenario in scenarios for key in getattr(scenario, name)}
        weights = np.array([scenario.weight for scenario in scenarios])
        paths = {key: np.array([getattr(scenario, name)[key] for scenario in scenarios]) for key in keys}
        return {key: tuple(weights @ rows) for key, rows in paths.items()}

    keys = {key for scenario in scenarios for key in scenario.delay_months}
    delays = {key: int(np.median([scenario.delay_months[key] for scenario in scenarios])) for key in keys}
    return Scenario(1.0, mean_paths("price"), mean_paths("rent"), delays, {}, mean_paths("growth"))


_SAMPLE = 24
"""Scenarios that are solved by themselves at most."""


def cost_of_orders(
    problem: PurchaseProblem,
    scenarios: tuple[Scenario, ...],
    orders: dict[tuple[str, int], float],
    starts: dict[tuple[int, str, float, int], float],
) -> float:
    """Mean cost over scenarios of given orders (lots by offer and month) and starts, with the best recourse.

    Model:
        Orders and starts are held; every month of every scenario is then solved by itself.

    Args:
        problem: the problem.
        scenarios: the scenarios.
        orders: lots by offer id and month.
        starts: 1 for a start, by run, chip, chips and month.

    Returns:
        Mean cost [currency].

    Equation:
        E[c x + Q(x)].

    Validity:
        Rents keep to what the orders leave of a budget; whether the orders keep to it, and limits of power, are not checked.

    Sources:
        [dantzig-1955] two stages, the first one held.

    Example:
        The orders of a plan cost what the plan costs.
    """
    shape = build(problem, scenarios, lateness_priced=True, decided=orders)
    cell = cell_of(shape)
    lots = np.array([orders.get((order.name, order.month), 0.0) for order in shape.orders])
    begun = np.array([starts.get((s.demand, s.need.chip, s.need.chips, s.month), 0.0) for s in shape.starts])
    site, hosted = standing(shape, lots)
    answer = Recourse(shape, cell).answer(really_there(shape, site), hosted, *run_load(shape, begun), purse_of(shape), lots)
    totals = Master(shape, cell, False).first_cost(lots, begun) + answer.value.sum(axis=1)
    constant = sum(sum(holding_lines(shape, k).values()) for k in range(len(shape.chips)))
    held = float(np.einsum("k,kt->", shape.keep * (shape.hold + shape.energy_idle), shape.have_site))
    return float(shape.weights @ totals) + constant + held


def stochastic_solution(
    problem: PurchaseProblem,
    scenarios: tuple[Scenario, ...],
    plan: ProcurementPlan,
    watch: Watch = QUIET,
    seen: Callable[[Solved], None] = lambda _: None,
) -> float:
    """What is saved on average by planning with scenarios rather than with what is expected.

    Model:
        The orders of the plan for the expected future are held in every scenario, and compared.

    Args:
        problem: the problem.
        scenarios: the scenarios.
        plan: the plan made with them.
        watch: who may stop it.
        seen: called with the plan for the expected future.

    Returns:
        Value of the stochastic solution [currency]; within the gap it may come out slightly negative.

    Raises:
        Infeasible: the expected future has no plan.

    Equation:
        VSS = E[C(x_expected)] - E[C(x)].

    Validity:
        Orders are held; rents, tokens and waiting adapt.

    Sources:
        [birge-1982].

    Example:
        Zero when all scenarios are the same.
    """
    risk_free = replace(problem, cvar_weight=0.0)
    naive = solve_shape(risk_free, (expected_scenario(scenarios),), watch)
    seen(naive)
    orders = {(order.name, order.month): float(naive.outcome.lots[j]) for j, order in enumerate(naive.shape.orders)}
    orders |= _sold(naive)
    starts = {
        (start.demand, start.need.chip, start.need.chips, start.month): float(naive.outcome.starts[j])
        for j, start in enumerate(naive.shape.starts)
    }
    weights = np.array([scenario.weight for scenario in scenarios])
    return cost_of_orders(problem, scenarios, orders, starts) - float(weights @ plan.cost_by_scenario)


def _sold(solved: Solved) -> dict[tuple[str, int], float]:
    """Lots that a plan for one future sells, as orders of a plan for many: first of the chips owned from the start.

    Then of the chips that it orders, those that have stood longest first.
    """
    shape, lots = solved.shape, solved.outcome.lots
    found: dict[tuple[str, int], float] = {}
    for k, chip in enumerate(shape.chips):
        left = float(shape.have_site[k].max(initial=0.0))
        bought = [j for j, o in enumerate(shape.orders) if o.kind == k and not o.hosted and o.offer >= 0 and lots[j] > 0.0]
        bought = [j for j in bought if shape.problem.offers[shape.orders[j].offer].kind == "buy"]
        bought.sort(key=lambda j: int(shape.orders[j].arrival[0]))
        rest = {j: float(lots[j]) * shape.orders[j].lot for j in bought}
        for t in np.flatnonzero(solved.outcome.sales[k]):
            chips = float(solved.outcome.sales[k, t])
            found[sale_name(chip), int(t) + 1] = min(chips, left) / float(shape.sale_lot[k])
            chips, left = chips - min(chips, left), left - min(chips, left)
            for j in bought:
                order, part = shape.orders[j], min(chips, rest[j])
                if part > 0.0 and order.arrival[0] <= t:
                    found[resale_name(order), int(t) + 1] = part / order.lot
                    chips, rest[j] = chips - part, rest[j] - part
    return found


def perfect_information(problem: PurchaseProblem, scenarios: tuple[Scenario, ...], plan: ProcurementPlan) -> float:
    """What it would be worth on average to know the scenario before ordering.

    Model:
        Scenarios (at most 24 of them, evenly taken) are solved by themselves as linear programmes, bounds from below,
        so that the value is one from above; it is set against the cost of the plan in the same scenarios.

    Args:
        problem: the problem.
        scenarios: the scenarios.
        plan: the plan made without knowing.

    Returns:
        Value of perfect information [currency].

    Equation:
        EVPI = E[C(x)] - E[min C].

    Validity:
        Lots are small against the demand.

    Sources:
        [raiffa-1961].

    Example:
        Zero with one scenario, up to the rounding of lots.
    """
    chosen = np.unique(np.linspace(0, len(scenarios) - 1, min(len(scenarios), _SAMPLE)).round().astype(int))
    weights = np.array([scenarios[index].weight for index in chosen])
    known = []
    for index in chosen:
        alone = (replace(scenarios[index], weight=1.0),)
        shape = build(replace(problem, cvar_weight=0.0), alone, lateness_priced=True)
        form, _ = build_form(shape)
        found = solve_programme(programme_of(form), gap=0.0, time_limit_s=30.0, relax=True)
        known.append(found.objective + sum(sum(holding_lines(shape, k).values()) for k in range(len(shape.chips))))
    return float(weights @ (plan.cost_by_scenario[chosen] - np.array(known)) / weights.sum())
