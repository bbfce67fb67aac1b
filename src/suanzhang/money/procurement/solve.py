"""Solve a purchase problem: one programme in full for few scenarios, a decomposition for many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from suanzhang.errors import InputError, SolverError
from suanzhang.money.procurement.calendar import month_name
from suanzhang.money.procurement.columns import Columns
from suanzhang.money.procurement.form import Form, build_form, programme_of
from suanzhang.money.procurement.highs import Programme, Solution, solve_programme
from suanzhang.money.procurement.monthcell import Cell, cell_of
from suanzhang.money.procurement.orders import Floats
from suanzhang.money.procurement.outcome import Outcome, outcome_of
from suanzhang.money.procurement.relax import explain_infeasible
from suanzhang.money.procurement.schedule import schedule_rows
from suanzhang.money.procurement.shape import Shape, build
from suanzhang.money.procurement.states import month_states, run_windows, service_shares
from suanzhang.money.procurement.totals import holding_lines, scenario_totals
from suanzhang.money.procurement.watch import QUIET, Watch
from suanzhang.money.procurement.wholelots import closed_further
from suanzhang.spec.buy import (
    LINES,
    NOT_CASH,
    Binding,
    MonthState,
    PurchaseProblem,
    RunWindow,
    Scenario,
    ScheduleRow,
    ServiceShare,
)

FULL_SCENARIOS = 4
"""Up to this many scenarios the programme is solved in full."""
PLAIN_S = 8.0
"""Seconds after which a search that has not closed its gap is begun anew from its plan, with chips counted in lots."""
_AGREE = 1e-4


@dataclass(frozen=True, slots=True)
class ProcurementPlan:
    """A solved plan; every amount is in the currency of the problem, and ``cost`` is the sum of the rows."""

    rows: tuple[ScheduleRow, ...]
    cost: float
    lines: Mapping[str, float]
    cash: float
    cost_by_scenario: Floats
    gap: float
    bound: float
    solve_s: float
    binding: tuple[Binding, ...]
    runs: tuple[RunWindow, ...]
    shares: tuple[ServiceShare, ...]
    months: tuple[MonthState, ...]
    lots: Floats
    starts: Floats
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Solved:
    """Shape, decisions and proof of one solve."""

    shape: Shape
    cell: Cell
    outcome: Outcome
    objective: float
    gap: float
    bound: float
    seconds: float
    binding: tuple[Binding, ...]


def solve(problem: PurchaseProblem, scenarios: tuple[Scenario, ...] = ()) -> ProcurementPlan:
    """The cheapest plan that meets every demand within the limits.

    Model:
        Orders in lots, starts of runs and sales are decided once and hold in every scenario; how services are spread,
        what is rented by the hour, which tokens are bought and what waits is decided in each scenario and month.

    Args:
        problem: demands, offers and limits.
        scenarios: ways in which the future may turn out; one that is as expected when empty.

    Returns:
        The plan; its cost equals the objective and the sum of the rows to the cent.

    Raises:
        Infeasible: no plan exists; names what binds and the smallest relaxation of each limit.
        InputError: the problem is not well posed.
        SolverError: the optimiser failed.

    Equation:
        min (1 - w) E[C] + w CVaR(C), C = orders + running + rents + tokens + waiting + interest - value left.

    Validity:
        Months as steps; a rented chip is paid as long as it is held; an order is paid when it is placed, a commitment
        in full.

    Sources:
        [dantzig-1955] two stages; [rockafellar-2000] the mean of the tail.

    Example:
        See ``tests/unit/money/test_procurement.py`` for cases worked by hand.
    """
    return describe(solve_shape(problem, scenarios or (problem.expected,)))


def solve_shape(problem: PurchaseProblem, scenarios: tuple[Scenario, ...], watch: Watch = QUIET) -> Solved:
    """Decisions and proof for given scenarios; ``watch`` gives the clock and may stop at the best plan so far."""
    total = sum(scenario.weight for scenario in scenarios)
    if abs(total - 1.0) > 1e-6:
        raise InputError(f"the weights of the scenarios sum to {total:g}", fix="make them sum to 1")
    begin = watch.clock()
    shape = build(problem, scenarios)
    if {start.demand for start in shape.starts} != set(range(len(shape.runs))):
        raise explain_infeasible(problem, watch)
    if len(scenarios) <= FULL_SCENARIOS:
        return _solve_full(shape, begin, watch)
    from suanzhang.money.procurement.decompose import solve_decomposed

    outcome, cell, objective, gap, bound, limits = solve_decomposed(shape, begin, watch)
    return Solved(shape, cell, outcome, objective, gap, bound, watch.clock() - begin, limits)


def _solve_full(shape: Shape, begin: float, watch: Watch) -> Solved:
    problem = shape.problem
    form, cols = build_form(shape)
    programme = programme_of(form)
    constant = sum(sum(holding_lines(shape, k).values()) for k in range(len(shape.chips)))
    told = watch.raised(constant)
    found = _searched(form, cols, programme, told)
    if found.status == "infeasible":
        raise explain_infeasible(problem, watch)
    try:
        exact = _fix(programme, found, programme.integer)
    except SolverError:  # a whole number or a limit held only within the tolerance of the search
        found = solve_programme(programme, gap=problem.gap, time_limit_s=problem.time_limit_s, strict=True, watch=told)
        if found.status == "infeasible":
            raise explain_infeasible(problem, watch) from None
        exact = _fix(programme, found, programme.integer)
    column = np.arange(len(programme.cost))
    taken = (column >= len(shape.orders)) & (column < cols.sales)
    priced = _fix(programme, found, programme.integer & taken)
    outcome = outcome_of(shape, form.cell, cols, exact.values)
    seconds = watch.clock() - begin
    objective, bound = exact.objective + constant, found.bound + constant
    gap = max(objective - bound, 0.0) / max(abs(objective), 1e-9)
    binding = bindings(form, cols, priced)
    return Solved(shape, form.cell, outcome, objective, gap, bound, seconds, binding)


def _searched(form: Form, cols: Columns, programme: Programme, watch: Watch) -> Solution:
    """The plain search; where it does not close in its time, another one that begins at its plan."""
    limit, gap = form.shape.problem.time_limit_s, form.shape.problem.gap
    found: Solution | None = None
    try:
        found = solve_programme(programme, gap=gap, time_limit_s=min(limit, PLAIN_S), watch=watch)
    except SolverError:
        if limit <= PLAIN_S or watch.stop():
            raise
    left = limit - PLAIN_S
    if found is not None and (found.status != "limit" or left <= 0.0 or watch.stop() or form.shape.count > 1):
        return found
    return closed_further(form, cols, programme, found, left, watch)


def _fix(programme: Programme, found: Solution, which: NDArray[np.bool_]) -> Solution:
    """The linear programme with some integers at their values: all for exact decisions, all but lots for prices."""
    whole = np.where(which, np.round(found.values), 0.0)
    lower, upper = np.where(which, whole, programme.lower), np.where(which, whole, programme.upper)
    again = solve_programme(replace(programme, lower=lower, upper=upper), gap=0.0, time_limit_s=120.0, relax=True)
    if again.status == "infeasible":
        raise SolverError("the plan does not hold when its integers are fixed", fix="report the question")
    return again


def bindings(form: Form, cols: Columns, duals: Solution) -> tuple[Binding, ...]:
    """Limits with a price, the dearest first; a price is what one more unit of the limit would save."""
    found = []
    for name, mark in form.marks.items():
        dual = float(duals.row_duals[mark.row])
        if abs(dual) >= 1e-9 * max(abs(duals.objective), 1.0):
            found.append(
                (abs(dual), Binding(name, mark.value, mark.unit, abs(dual) / mark.per, mark.kind, subject=mark.subject))
            )
    found += _rent_bindings(form, cols, duals)
    found.sort(key=lambda pair: -pair[1].worth * max(pair[1].value, 1e-9))
    return tuple(binding for _, binding in found[:40])


def _rent_bindings(form: Form, cols: Columns, duals: Solution) -> list[tuple[float, Binding]]:
    """Stocks of rented chips that are used up, one limit for each offer: its dearest month."""
    shape, cell = form.shape, form.cell
    if shape.count > 1:
        return []
    found = []
    for r, offer in enumerate(shape.rents):
        reduced = [float(duals.col_duals[cols.cell_at(0, t) + cell.hours + r]) for t in range(cols.months)]
        month = int(np.argmin(reduced))
        if reduced[month] < -1e-6:
            name = f"stock of {offer.id} in {month_name(shape.problem.start, month)}"
            stock, worth = float(shape.rent_stock[r, month]), -reduced[month] / offer.lot_chips
            found.append((-reduced[month], Binding(name, stock, "chips", worth, "stock", subject=offer.id)))
    return found


def describe(solved: Solved) -> ProcurementPlan:
    """A solved problem in rows, lines and totals.

    Raises:
        SolverError: the rows do not sum to the objective.
    """
    shape, cell, outcome = solved.shape, solved.cell, solved.outcome
    rows = schedule_rows(shape, cell, outcome)
    cents = dict.fromkeys(LINES, 0)
    for row in rows:
        for name, amount in row.lines:
            cents[name] += round(amount * 100.0)
    total = sum(cents.values()) / 100.0
    totals = scenario_totals(shape, cell, outcome)
    mean = float(shape.weights @ totals)
    expected = mean if shape.problem.cvar_weight > 0.0 else solved.objective
    if abs(total - expected) > max(_AGREE * abs(expected), 1.0 + 0.05 * len(rows)):
        raise SolverError(f"the rows sum to {total:,.2f} but the objective is {expected:,.2f}", fix="report the question")
    return ProcurementPlan(
        rows=rows,
        cost=total,
        lines={name: amount / 100.0 for name, amount in cents.items()},
        cash=sum(amount for name, amount in cents.items() if name not in NOT_CASH) / 100.0,
        cost_by_scenario=totals,
        gap=solved.gap,
        bound=solved.bound,
        solve_s=solved.seconds,
        binding=solved.binding,
        runs=run_windows(shape, outcome),
        shares=service_shares(shape, cell, outcome),
        months=month_states(shape, cell, outcome, rows),
        lots=outcome.lots,
        starts=outcome.starts,
    )


__all__ = ["NOT_CASH", "ProcurementPlan", "Solved", "cell_of", "describe", "solve", "solve_shape"]
