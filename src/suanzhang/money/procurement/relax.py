"""Why no plan exists, and the smallest change of each limit that would give one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from suanzhang.errors import Infeasible, SolverError
from suanzhang.money.procurement.form import Form, build_form, demand_rows, programme_of
from suanzhang.money.procurement.highs import Programme, solve_programme
from suanzhang.money.procurement.monthcell import INF
from suanzhang.money.procurement.shape import build
from suanzhang.money.procurement.watch import QUIET, Watch
from suanzhang.spec.buy import Demand, PurchaseProblem
from suanzhang.spec.market import Offer
from suanzhang.units import DAY_S, MONTH_S, format_figure

_TIME_S = 10.0
_GAP = 5e-3
"""How well the smallest limit is known at least, where the plan itself need not be known better."""
_MOST_NAMED = 3
_ROW_UNIT = {"budget": 1e6, "power": 1000.0, "room": 1.0}
"""What one unit of a row of limits is."""


def explain_infeasible(problem: PurchaseProblem, watch: Watch = QUIET) -> Infeasible:
    """The error for a problem without a plan: what binds, and the nearest point for each limit alone.

    When the user stops the search for the nearest points, the error says that there is no plan and no more.
    """
    asides = Watch(watch.clock, watch.stop)
    try:
        return _explained(problem, asides)
    except SolverError:
        if not watch.stop():
            raise
        return Infeasible(NO_PLAN, binding=(), fix="stopped before the nearest feasible limits were found")


NO_PLAN = "no purchase plan meets every demand under these limits"


def _explained(problem: PurchaseProblem, watch: Watch) -> Infeasible:
    binding: list[str] = []
    nearest: dict[str, Any] = {}
    later = _months_later(problem, watch)
    if later is not None:
        nearest["due_months_later"] = later
        alone = _days_later(problem, watch)
        for name, days in alone.items():
            nearest[f"{name}_due_days_later"] = days
            run = any(demand.name == name and demand.kind == "train" for demand in problem.demands)
            fewer = "; fewer chips for longer may do as well: ask again with a later deadline" if run else ""
            binding.append(f"due date of {name}: {days} more days would do with the chips that it is sized for{fewer}")
        if not alone:
            words = "month" if later == 1 else "months"
            binding.append(f"due dates: all runs and services together would have to be allowed {later} more {words}")
    for kind, key, unit in (
        ("budget", "budget", problem.currency),
        ("power", "power_limit_w", "W"),
    ):
        limit = problem.budget if kind == "budget" else None if problem.places else problem.power_limit_w
        limited = limit is not None or (kind == "budget" and bool(problem.budget_by_month))
        extra = _least_slack(problem, kind, watch) if limited else None
        if extra is not None:
            base = limit if limit is not None else max(problem.budget_by_month)
            need = (base + extra) * (1.0 + 2e-6)
            nearest[key] = need
            waits = (
                f" for no more to wait than at any {kind}"
                if any(one.kind == "serve" and one.wait_price for one in problem.demands)
                else ""
            )
            binding.append(f"{kind} of {format_figure(base, unit)}: at least {format_figure(need, unit)} needed{waits}")
    _relax_sites(problem, binding, nearest, watch)
    word = "one"
    if not binding and (joint := _together(problem, watch)):
        word, (binding, nearest) = "all", joint
    if not binding:
        line, found = _supply(problem, watch)
        binding.append(line)
        nearest.update(found)
    relaxed = [name for name in nearest if name != "demand_share"]
    fix = f"relax {word} of: " + ", ".join(relaxed) if relaxed else "add offers, or ask for less"
    return Infeasible(NO_PLAN, binding=binding, nearest=nearest, fix=fix)


def _together(problem: PurchaseProblem, watch: Watch) -> tuple[list[str], dict[str, Any]] | None:
    """Limits that must give together where none alone does: one due date first, then power, then the budget that it takes.

    Each is the smallest with those after it lifted and those before it moved, so that the point that is named has a plan; as
    few kinds of limits as can be are lifted. None where limits of sites or months hold, or where supply is short at any height.
    """
    if problem.places or problem.budget_by_month:
        return None
    for lifted in ({"power_limit_w": None}, {"budget": None}, {"power_limit_w": None, "budget": None}):
        free = replace(problem, **lifted)  # type: ignore[arg-type]
        if feasible(free, watch):
            return _named(problem, problem, [], {}, watch)
        moves = _moved(free, watch)
        if moves:
            name, days, demands = min(moves, key=lambda move: move[1])
            line = f"due date of {name}: {days} more days would do with the chips that it is sized for"
            return _named(problem, replace(problem, demands=demands), [line], {f"{name}_due_days_later": days}, watch)
    return None


def _named(
    problem: PurchaseProblem, moved: PurchaseProblem, lines: list[str], nearest: dict[str, Any], watch: Watch
) -> tuple[list[str], dict[str, Any]] | None:
    """The power and then the budget that a problem takes whose due date has moved, with the lines that name them."""
    if problem.power_limit_w is not None:
        extra = _least_slack(moved, "power", watch)
        if extra is None:
            extra = _least_slack(replace(moved, budget=None), "power", watch) or 0.0
        if extra > 0.0:
            power = (problem.power_limit_w + extra) * (1.0 + 2e-6)
            nearest["power_limit_w"], moved = power, replace(moved, power_limit_w=power)
            lines.append(f"power of {format_figure(problem.power_limit_w, 'W')}: at least {format_figure(power, 'W')} needed")
    if problem.budget is not None and not feasible(moved, watch):
        more = _least_slack(moved, "budget", watch)
        if more is None:
            return None
        nearest["budget"] = (problem.budget + more) * (1.0 + 2e-6)
        held, need = (format_figure(amount, problem.currency) for amount in (problem.budget, nearest["budget"]))
        lines.append(f"budget of {held}: at least {need} needed")
    return ["no limit alone gives a plan, these together do", *lines], nearest


def _lifted(problem: PurchaseProblem) -> PurchaseProblem:
    """The problem at any budget and power."""
    open_sites = tuple(replace(place, power_w=(), racks=()) for place in problem.places)
    return replace(problem, budget=None, budget_by_month=(), power_limit_w=None, places=open_sites)


def _relax_sites(problem: PurchaseProblem, binding: list[str], nearest: dict[str, Any], watch: Watch) -> None:
    """Power and room by site and month: the smallest amount by which all of them must rise together."""
    for kind, key, unit in (("power", "power_more_w", "W"), ("room", "racks_more", "racks")):
        extra = _least_slack(problem, kind, watch) if problem.places else None
        if extra is not None:
            nearest[key] = extra * (1.0 + 2e-6)
            binding.append(f"{kind} of the sites: at least {format_figure(nearest[key], unit)} more needed in every month")


def _slack_rows(form: Form, kind: str) -> list[int]:
    return [mark.row for mark in form.marks.values() if mark.kind == kind]


def enough_budget(problem: PurchaseProblem, watch: Watch = QUIET) -> float | None:
    """Smallest budget with which no more waits than supply makes wait; None where budgets do not help."""
    extra = _least_slack(problem, "budget", watch)
    base = problem.budget if problem.budget is not None else max(problem.budget_by_month, default=0.0)
    return None if extra is None else (base + extra) * (1.0 + 2e-6)


def _least_slack(problem: PurchaseProblem, kind: str, watch: Watch) -> float | None:
    """Smallest amount by which all limits of one kind must rise together; None when that does not help.

    What may wait waits no more than it would at any height of these limits: a budget is not small because nothing is carried.
    The search minimises the raised limit, not the amount by which it rises, which need not be known better than the limit.
    """
    shape = build(problem, (problem.expected,))
    form, cols = build_form(shape)
    rows = _slack_rows(form, kind)
    if not rows:
        return None
    base = max(float(np.concatenate(form.row_upper)[rows].max()), 0.0)
    column = len(form.cost)
    form.cost = np.concatenate([np.zeros(column), [1.0]])
    form.lower, form.upper = np.append(form.lower, base), np.append(form.upper, float("inf"))
    form.integer = np.append(form.integer, False)
    form.add(rows, column, -1.0)
    cells = cols.cells + np.arange(shape.months)[:, None] * cols.cell_cols
    waits = (cells + np.arange(form.cell.wait, form.cell.hours)).ravel()
    waits_cost = shape.wait_cost[0]
    price = np.where(shape.wait_allowed, waits_cost, 0.0).T.ravel() / max(float(waits_cost.max(initial=0.0)), 1e-9)
    if np.any(price > 0.0):
        programme = _raised(form, rows, base)
        waiting = np.zeros(column + 1)
        waiting[waits] = price
        first = solve_programme(replace(programme, cost=waiting), gap=1e-3, time_limit_s=_TIME_S, watch=watch)
        if first.status == "infeasible":
            return None
        row = form.add_rows(np.array([-INF]), np.array([float(waiting @ first.values) * (1.0 + 1e-6) + 1e-9]))
        form.add(row, waits, price)
    gap = min(max(problem.gap, 1e-3), _GAP)
    found = solve_programme(_raised(form, rows, base), gap=gap, time_limit_s=_TIME_S, watch=watch)
    if found.status == "infeasible":
        return None
    return float((found.objective * (1.0 + 1e-6) - base) * _ROW_UNIT[kind])


def _raised(form: Form, rows: list[int], base: float) -> Programme:
    """The programme with rows whose limit stands on a column, from the highest of these limits upwards."""
    programme = programme_of(form)
    upper = programme.row_upper.copy()
    upper[rows] -= base
    return replace(programme, row_upper=upper)


def _days_later(problem: PurchaseProblem, watch: Watch) -> dict[str, int]:
    """By job: the fewest days by which its due date alone must move; without those whose date alone does not help."""
    return {name: days for name, days, _ in _moved(problem, watch)}


def _moved(problem: PurchaseProblem, watch: Watch) -> list[tuple[str, int, tuple[Demand, ...]]]:
    """Jobs whose due date alone helps, the fewest days by which it must move, and the demands with it."""
    found = []
    for index, demand in enumerate(problem.demands):
        moves = _moves_of(problem, demand)

        def works(at: int, index: int = index, moves: tuple[Demand, ...] = tuple(move for _, move in moves)) -> bool:
            demands = (*problem.demands[:index], moves[at], *problem.demands[index + 1 :])
            return feasible(replace(problem, demands=demands), watch)

        at = _smallest(0, len(moves) - 1, works)
        if at is not None:
            days = math.ceil(moves[at][0] * MONTH_S / DAY_S - 1e-6)
            found.append((demand.name, days, (*problem.demands[:index], moves[at][1], *problem.demands[index + 1 :])))
    return found


def _moves_of(problem: PurchaseProblem, demand: Demand) -> list[tuple[float, Demand]]:
    """The later due dates of a job that change what it may do, with the months by which they are later, nearest first."""
    if demand.kind == "serve":
        base = demand.first_month if demand.due_month is None else demand.due_month
        return [(float(month - base), replace(demand, due_month=month)) for month in range(base + 1, problem.months)]
    if demand.due_months is None and demand.due_month is None:
        return []
    by_month = math.inf if demand.due_month is None else demand.due_month + 1.0 - demand.first_month
    due = min(by_month, math.inf if demand.due_months is None else demand.due_months)
    starts = range(problem.months - demand.first_month)
    ends = sorted({month + need.months for need in demand.options for month in starts})
    return [
        (end - due, replace(demand, due_month=None, due_months=end))
        for end in ends
        if end > due + 1e-9 and demand.first_month + end <= problem.months + 1e-9
    ]


def _shifted(problem: PurchaseProblem, months: int) -> PurchaseProblem:
    def later(demand: Demand) -> Demand:
        if demand.kind == "train":
            due = None if demand.due_month is None else min(demand.due_month + months, problem.months - 1)
            span = None if demand.due_months is None else demand.due_months + months
            return replace(demand, due_month=due, due_months=span)
        base = demand.first_month if demand.due_month is None else demand.due_month
        return replace(demand, due_month=max(base, min(base + months, problem.months - 1)))

    return replace(problem, demands=tuple(later(demand) for demand in problem.demands))


def _smallest(low: int, high: int, works: Callable[[int], bool]) -> int | None:
    if high < low or not works(high):
        return None
    while low < high:
        middle = (low + high) // 2
        if works(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _months_later(problem: PurchaseProblem, watch: Watch) -> int | None:
    """Smallest number of months by which all due dates must move together; None when that does not help."""

    def works(months: int) -> bool:
        return feasible(_shifted(problem, months), watch)

    return _smallest(1, max(problem.months - 1, 1), works)


def feasible(problem: PurchaseProblem, watch: Watch = QUIET) -> bool:
    """Whether any plan exists."""
    shape = build(problem, (problem.expected,))
    if {start.demand for start in shape.starts} != set(range(len(shape.runs))):
        return False
    form, _ = build_form(shape)
    form.cost = np.zeros_like(form.cost)
    return solve_programme(programme_of(form), gap=1.0, time_limit_s=_TIME_S, watch=watch).status != "infeasible"


def _supply(problem: PurchaseProblem, watch: Watch) -> tuple[str, dict[str, Any]]:
    """The line for a problem that no budget or power makes feasible, and how much of its demand can be carried."""
    chips = sorted({need.chip for demand in problem.demands for need in demand.options})
    offers = [offer for offer in problem.offers if offer.chip in chips]
    if not offers:
        return f"supply: no offer of {', '.join(chips)} is open in these months", {}
    free = _lifted(problem)
    if feasible(free, watch):
        return "budget and power together: neither alone gives a plan", {}
    share, short = carried_share(free)
    scarce = "; ".join(short[:_MOST_NAMED]) or "lead times leave nothing in time"
    line = f"supply: at any budget and power {share:.0%} of the demand can be carried in time; short are {scarce}"
    return line, {"demand_share": math.floor(share * 1e4) / 1e4}


def carried_share(problem: PurchaseProblem) -> tuple[float, list[str]]:
    """Largest share of all demands together that supply can carry in time, and the offers that run short, worst first.

    Model:
        Every service and run shrinks by one factor, which is made as large as stocks and lead times allow.

    Args:
        problem: demands and offers; budget and power are not looked at.

    Returns:
        Share within 0 and 1, and a line for each offer that more of would raise it.

    Equation:
        max f subject to served >= f level for each service and month, starts = f for each run, 0 <= f <= 1.

    Validity:
        Lots and runs may be split here, so that the share is one from above.

    Sources:
        [dantzig-1955] linear programming under uncertainty; offers are ranked by their duals.

    Example:
        A stock of 50 chips carries half of a service that needs 100.
    """
    shape = build(problem, (problem.expected,))
    form, cols = build_form(shape)
    share = len(form.cost)
    form.cost = np.concatenate([np.zeros(share), [-1.0]])
    form.lower, form.upper = np.append(form.lower, 0.0), np.append(form.upper, 1.0)
    form.integer = np.append(form.integer, False)
    for row, amount in demand_rows(form):
        form.free_row(row)
        form.add(row, share, -amount)
    found = solve_programme(programme_of(form), gap=0.0, time_limit_s=_TIME_S, relax=True)
    if found.status == "infeasible":
        return 0.0, []
    worth: dict[str, float] = {}
    for mark in form.marks.values():
        if mark.kind == "stock":
            worth[mark.subject] = worth.get(mark.subject, 0.0) + abs(float(found.row_duals[mark.row])) / mark.per
    for r, rent in enumerate(shape.rents):
        columns = [cols.cell_at(0, t) + form.cell.hours + r for t in range(cols.months)]
        full = any(found.values[c] >= form.upper[c] - 1e-6 for c in columns)
        worth[rent.id] = sum(abs(float(found.col_duals[c])) for c in columns) / rent.lot_chips if full else 0.0
    named = [offer for offer in problem.offers if worth.get(offer.id, 0.0) > 1e-12]
    named.sort(key=lambda offer: -worth[offer.id])
    return float(min(max(found.values[share], 0.0), 1.0)) + 0.0, [_stock_words(offer) for offer in named]


def _stock_words(offer: Offer) -> str:
    parts = []
    if offer.stock_chips is not None:
        parts.append(f"{offer.stock_chips:,.0f} chips")
    if offer.stock_per_month:
        parts.append(f"{offer.stock_per_month:,.0f} more a month")
    if offer.lead.median_months >= 0.5:
        parts.append(f"{offer.lead.median_months:.0f} months to deliver")
    return f"{offer.id} ({', '.join(parts)})"
