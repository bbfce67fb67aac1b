"""Many scenarios: orders in a master programme, recourse as cuts from the cells of each month and scenario.

Every cut is a bound from below that holds everywhere, so that the value of the master programme is a proven bound; the
cost of any whole-lot orders, with all cells solved, is a plan. The gap is between the two.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suanzhang.errors import SolverError
from suanzhang.money.procurement.form import Cell, Columns, Form, add_first_stage, cell_of, order_total, run_months, spendable
from suanzhang.money.procurement.highs import Programme, compress, solve_programme
from suanzhang.money.procurement.outcome import Outcome, standing
from suanzhang.money.procurement.recourse import Answer, Recourse
from suanzhang.money.procurement.relax import explain_infeasible
from suanzhang.money.procurement.schedule import holding_lines
from suanzhang.money.procurement.shape import Floats, Shape
from suanzhang.spec.buy import Binding

INF = float("inf")
_ROUNDS = 150
_MOST_GROUPS = 720
_FURTHER = 40
_INWARD = 0.5


@dataclass
class Master:
    """The master programme: first stage, one bound for each month (or scenario, with a tail), and the cuts so far."""

    shape: Shape
    cell: Cell
    by_scenario: bool
    form: Form = field(init=False)
    cols: Columns = field(init=False)
    theta: int = field(init=False)
    groups: int = field(init=False)
    group: NDArray[np.int64] = field(init=False)
    share: Floats = field(init=False)
    hold: Floats = field(init=False)

    def __post_init__(self) -> None:
        shape, problem = self.shape, self.shape.problem
        blocks = max(1, min(shape.months, _MOST_GROUPS // shape.count)) if self.by_scenario else 1
        month = np.arange(shape.months)[None, :] + np.zeros((shape.count, 1), dtype=np.int64)
        self.group = np.arange(shape.count)[:, None] * blocks + month * blocks // shape.months if self.by_scenario else month
        self.groups = shape.count * blocks if self.by_scenario else shape.months
        self.share = np.repeat(shape.weights, blocks) if self.by_scenario else np.ones(shape.months)
        self.form, self.cols = add_first_stage(shape, self.cell, self.groups + (1 + shape.count if self.by_scenario else 0))
        self.theta = self.cols.site
        form = self.form
        self.hold = np.zeros((shape.count, len(shape.orders)))
        for j, order in enumerate(shape.orders):
            offer = problem.offers[order.offer]
            if offer.kind != "reserve":
                k = shape.chips.index(offer.chip)
                stay = np.clip(np.minimum(order.leave, shape.months) - order.arrival, 0, None)
                self.hold[:, j] = order.lot * stay * float(shape.hold[k] + shape.energy_idle[k])
        form.cost[: len(shape.orders)] += shape.weights @ self.hold
        form.cost[self.theta : self.theta + self.groups] = self.share
        self._budget()
        if self.by_scenario:
            self._tail()

    def _budget(self) -> None:
        """Orders, running and all recourse, waiting at its price, within the budget on average."""
        shape, problem, form = self.shape, self.shape.problem, self.form
        limits = {shape.months - 1: problem.budget} if problem.budget is not None else {}
        for t, amount in enumerate(problem.budget_by_month[: problem.months]):
            limits[t] = min(amount, limits.get(t) or amount)
        for t, limit in sorted(limits.items()):
            row = form.add_rows(np.array([-INF]), np.array([spendable(limit or 0.0) / 1e6]))
            form.marks["budget" if t == shape.months - 1 else f"budget by month {t + 1}"] = (
                row, float(limit or 0.0), problem.currency, "budget",
            )  # fmt: skip
            members = [j for j, order in enumerate(shape.orders) if order.month <= t]
            if members:
                cash = [float(shape.weights @ (shape.orders[j].cash + self.hold[:, j])) / 1e6 for j in members]
                form.add(row, members, cash)
            whole = self.by_scenario
            used = np.arange(self.groups) if whole else np.arange(t + 1)
            form.add(row, self.theta + used, self.share[used] / 1e6)

    def _tail(self) -> None:
        shape, form, weight = self.shape, self.form, self.shape.problem.cvar_weight
        level = self.theta + self.groups
        form.cost *= 1.0 - weight
        form.cost[level] = weight
        form.lower[level] = -INF
        form.cost[level + 1 :] = weight * shape.weights / shape.problem.cvar_tail
        row = form.add_rows(np.full(shape.count, -INF), np.zeros(shape.count))
        totals = np.array([order_total(shape, j) for j in range(len(shape.orders))]).reshape(-1, shape.count)
        for s in range(shape.count):
            form.add(row + s, np.arange(len(totals)), (totals[:, s] + self.hold[s]) / 1e6)
            waits = [start.wait_cost / 1e6 for start in shape.starts]
            form.add(row + s, np.arange(self.cols.starts, self.cols.sales), waits)
            form.add(row + s, self.theta + np.unique(self.group[s]), 1e-6)
            form.add(row + s, [level, level + 1 + s], [-1e-6, -1e-6])

    def cuts(self, lots: Floats, starts: Floats, answer: Answer) -> tuple[Floats, Floats]:
        """Cuts at a point: coefficients of orders and starts (group, column) and constants (group)."""
        shape = self.shape
        weight = np.ones_like(shape.weights) if self.by_scenario else shape.weights
        presence, work = answer.presence * weight[:, None, None], answer.work * weight[:, None, None]
        hosted = presence + work * shape.most_busy
        slope = np.zeros((self.groups, len(shape.orders) + len(shape.starts)))
        months = np.arange(shape.months)
        for j, order in enumerate(shape.orders):
            offer = shape.problem.offers[order.offer]
            k = shape.chips.index(offer.chip)
            there = (months >= order.arrival[:, None]) & (months < order.leave[:, None])
            worth = hosted if offer.kind == "reserve" else presence
            slope[:, j] = order.lot * self._gather(worth[:, :, k] * there)
        for j, start in enumerate(shape.starts):
            k = shape.chips.index(start.need.chip)
            change = np.zeros((shape.count, shape.months))
            for month, share in run_months(start.month, start.need.months):
                change[:, month] = presence[:, month, k] + work[:, month, k] * start.need.busy * share
            slope[:, len(shape.orders) + j] = -start.need.chips * self._gather(change)
        value = self._gather(answer.value * weight[:, None])
        point = np.concatenate([lots, starts])
        return slope, value - slope @ point

    def _gather(self, amounts: Floats) -> Floats:
        """Sum of amounts by scenario and month over each group."""
        return np.asarray(np.bincount(self.group.ravel(), amounts.ravel(), self.groups), dtype=np.float64)

    def point(self, values: Floats) -> tuple[Floats, Floats]:
        """Orders and starts of a solution."""
        return values[: len(self.shape.orders)], values[self.cols.starts : self.cols.sales]

    def add_cuts(self, slope: Floats, constant: Floats) -> tuple[Floats, Floats, np.ndarray, np.ndarray, Floats]:
        """The rows of cuts for the solver: theta - slope x >= constant, scaled."""
        shape = self.shape
        columns = np.concatenate([np.arange(len(shape.orders)), self.cols.starts + np.arange(len(shape.starts))])
        starts, index, value = [0], [], []
        for g in range(self.groups):
            used = np.abs(slope[g]) > 1e-9
            index.append(np.concatenate([columns[used], [self.theta + g]]))
            value.append(np.concatenate([-slope[g, used], [1.0]]) * 1e-6)
            starts.append(starts[-1] + int(used.sum()) + 1)
        return (
            constant * 1e-6, np.full(self.groups, INF), np.array(starts[:-1], dtype=np.int32),
            np.concatenate(index).astype(np.int32), np.concatenate(value),
        )  # fmt: skip

    def first_cost(self, lots: Floats, starts: Floats) -> Floats:
        """Cost of orders, running and starts by scenario."""
        shape = self.shape
        cost = np.zeros(shape.count)
        for j in np.flatnonzero(lots):
            cost += lots[j] * (order_total(shape, int(j)) + self.hold[:, j])
        waits = np.array([start.wait_cost for start in shape.starts])
        return np.asarray(cost + waits @ starts)

    def objective(self, lots: Floats, starts: Floats, answer: Answer) -> float:
        """What the master programme minimises, with the true recourse."""
        problem = self.shape.problem
        totals = self.first_cost(lots, starts) + answer.value.sum(axis=1)
        mean = float(self.shape.weights @ totals)
        if problem.cvar_weight <= 0.0:
            return mean
        return (1.0 - problem.cvar_weight) * mean + problem.cvar_weight * tail_mean(
            totals, self.shape.weights, problem.cvar_tail
        )


def tail_mean(totals: Floats, weights: Floats, tail: float) -> float:
    """Mean of the worst share ``tail`` of weighted totals."""
    order = np.argsort(-totals)
    left, total = tail, 0.0
    for index in order:
        part = min(float(weights[index]), left)
        total += part * float(totals[index])
        left -= part
        if left <= 1e-15:
            break
    return total / tail


def _open(programme: Programme) -> tuple[Any, float]:
    """A solver that holds the linear master programme, and the scale of its costs."""
    import highspy

    solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.silent()
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(programme.cost), len(programme.row_lower)
    model.col_cost_ = programme.cost * 1e-6
    model.col_lower_, model.col_upper_ = programme.lower, programme.upper
    model.row_lower_, model.row_upper_ = programme.row_lower, programme.row_upper
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_, model.a_matrix_.index_ = programme.start, programme.index
    model.a_matrix_.value_ = programme.value
    solver.passModel(model)
    return solver, 1e-6


def solve_decomposed(shape: Shape, begin: float) -> tuple[Outcome, Cell, float, float, float, tuple[Binding, ...]]:
    """Orders that hold in all scenarios, within the gap of the proven bound.

    Returns:
        Decisions, cell, objective, gap, bound, and the limits that bind.

    Raises:
        Infeasible: the orders alone cannot meet the limits.
        SolverError: no plan was found in the time given.
    """
    problem = shape.problem
    cell = cell_of(shape)
    recourse = Recourse(shape, cell)
    master = Master(shape, cell, problem.cvar_weight > 0.0)
    form = master.form
    triplets = tuple(np.concatenate([part[i] for part in form.triplets]) if form.triplets else np.zeros(0) for i in range(3))
    rows = (
        np.concatenate([*form.row_lower, np.zeros(0)]),
        np.concatenate([*form.row_upper, np.zeros(0)]),
    )
    programme = compress(
        form.cost, (form.lower, form.upper), form.integer, rows,
        (triplets[0].astype(np.int64), triplets[1].astype(np.int64), triplets[2]),
    )  # fmt: skip
    search = _Search(master, recourse, programme, problem.gap, begin + problem.time_limit_s)
    search.relaxed()
    search.whole()
    if search.best is None:
        raise SolverError("no plan was found in the time given", fix="give it more time or fewer scenarios")
    lots, starts = search.best
    answer = recourse(lots, starts)
    site, hosted = standing(shape, lots)
    sales = np.zeros((len(shape.chips), shape.months))
    outcome = Outcome(lots, starts, sales, site, hosted, np.maximum(answer.columns, 0.0))
    constant = sum(sum(holding_lines(shape, k).values()) for k in range(len(shape.chips)))
    held = float(np.einsum("k,kt->", shape.hold + shape.energy_idle, shape.have_site))
    objective, bound = search.best_cost + constant + held, search.bound + constant + held
    gap = max(objective - bound, 0.0) / max(abs(objective), 1e-9)
    return outcome, cell, objective, gap, bound, search.bindings()


@dataclass
class _Search:
    """Rounds of cuts, first on the relaxed master programme, then on the one in whole lots."""

    master: Master
    recourse: Recourse
    programme: Programme
    gap: float
    deadline: float
    bound: float = -INF
    best: tuple[Floats, Floats] | None = None
    best_cost: float = INF
    rows: list[tuple[Floats, Floats, np.ndarray, np.ndarray, Floats]] = field(default_factory=list)
    duals: Floats = field(default_factory=lambda: np.zeros(0))

    def relaxed(self) -> None:
        """Cuts until the relaxed master programme is within a third of the gap."""
        shape, master = self.master.shape, self.master
        solver, scale = _open(self.programme)
        inner: tuple[Floats, Floats] | None = None
        inner_cost = INF
        for _ in range(_ROUNDS):
            solver.run()
            status = solver.modelStatusToString(solver.getModelStatus())
            if status not in ("Optimal", "Infeasible"):
                raise SolverError(f"the optimiser stopped with {status!r}", fix="report the question")
            if status == "Infeasible":
                raise explain_infeasible(shape.problem)
            self.bound = max(self.bound, solver.getInfo().objective_function_value / scale)
            found = solver.getSolution()
            self.duals = np.array(found.row_dual) / scale
            lots, starts = master.point(np.array(found.col_value))
            if inner is not None:
                lots = _INWARD * lots + (1.0 - _INWARD) * inner[0]
                starts = _INWARD * starts + (1.0 - _INWARD) * inner[1]
            answer = self.recourse(lots, starts)
            cost = master.objective(lots, starts, answer)
            if cost < inner_cost:
                inner, inner_cost = (lots, starts), cost
            if inner_cost - self.bound <= self.gap / 3.0 * abs(inner_cost) or time.perf_counter() > self.deadline:
                break
            row = master.add_cuts(*master.cuts(lots, starts, answer))
            self.rows.append(row)
            solver.addRows(len(row[0]), row[0], row[1], len(row[3]), row[2], row[3], row[4])
        if inner is not None:
            self._try_rounded(*self._with_whole_starts(solver, *inner))

    def _with_whole_starts(self, solver: Any, lots: Floats, starts: Floats) -> tuple[Floats, Floats]:
        """A relaxed plan in which every run has one start, the likeliest; its orders follow by further rounds."""
        shape, master = self.master.shape, self.master
        if np.all(np.abs(starts - np.round(starts)) <= 1e-6):
            return lots, np.round(starts)
        whole = np.zeros_like(starts)
        for run in range(len(shape.runs)):
            members = [j for j, start in enumerate(shape.starts) if start.demand == run]
            whole[max(members, key=lambda j: starts[j])] = 1.0
        for j, value in enumerate(whole):
            solver.changeColBounds(master.cols.starts + j, value, value)
        best, best_cost = (lots, whole), INF
        for _ in range(_FURTHER):
            solver.run()
            if solver.modelStatusToString(solver.getModelStatus()) != "Optimal":
                break
            value = solver.getInfo().objective_function_value * 1e6
            found, _ = master.point(np.array(solver.getSolution().col_value))
            found = found if best_cost == INF else _INWARD * found + (1.0 - _INWARD) * best[0]
            answer = self.recourse(found, whole)
            cost = master.objective(found, whole, answer)
            if cost < best_cost:
                best, best_cost = (found, whole), cost
            if best_cost - value <= self.gap / 3.0 * abs(best_cost) or time.perf_counter() > self.deadline:
                break
            row = master.add_cuts(*master.cuts(found, whole, answer))
            self.rows.append(row)
            solver.addRows(len(row[0]), row[0], row[1], len(row[3]), row[2], row[3], row[4])
        return best

    def _try_rounded(self, lots: Floats, starts: Floats) -> None:
        """Whole lots near a relaxed plan: running totals of each offer are rounded, so that stocks still hold."""
        shape, cols = self.master.shape, self.master.cols
        if np.any(self.programme.upper[cols.minimum : cols.starts] > 0.0):
            self._try_minimum(lots, starts)
            return
        tight = shape.problem.power_limit_w is not None or shape.problem.budget is not None or shape.problem.budget_by_month
        whole = np.zeros_like(lots)
        for offer in {order.offer for order in shape.orders}:
            members = [j for j, order in enumerate(shape.orders) if order.offer == offer]
            running = np.floor(np.cumsum(lots[members]) + (1e-6 if tight else 0.5))
            whole[members] = np.diff(running, prepend=0.0)
        self._take(whole, np.round(starts))

    def _try_minimum(self, lots: Floats, starts: Floats) -> None:
        """Whole lots where orders have a least size: the master programme with its starts held decides."""
        cols, programme = self.master.cols, self._with_cuts()
        lower, upper = programme.lower.copy(), programme.upper.copy()
        lower[cols.starts : cols.sales] = upper[cols.starts : cols.sales] = np.round(starts)
        held = replace(programme, lower=lower, upper=upper)
        found = solve_programme(held, gap=self.gap / 4.0, time_limit_s=max(self.deadline - time.perf_counter(), 10.0))
        if found.status != "infeasible":
            self._take(np.round(self.master.point(found.values)[0]), np.round(starts))

    def _take(self, lots: Floats, starts: Floats) -> Answer:
        answer = self.recourse(lots, starts)
        cost = self.master.objective(lots, starts, answer)
        if cost < self.best_cost:
            self.best, self.best_cost = (lots, starts), cost
        return answer

    def _proved(self) -> bool:
        return self.best is not None and self.best_cost - self.bound <= self.gap * abs(self.best_cost)

    def whole(self) -> None:
        """Whole lots by the master programme with its cuts, until the gap is closed or the time is up."""
        for _ in range(20):
            left = self.deadline - time.perf_counter()
            if self._proved() or (left <= 0.0 and self.best is not None):
                return
            found = solve_programme(
                self._with_cuts(), gap=self.gap / 4.0, time_limit_s=max(left, 10.0 if self.best is None else 1.0)
            )
            if found.status == "infeasible":
                raise explain_infeasible(self.master.shape.problem)
            self.bound = max(self.bound, found.bound)
            lots, starts = self.master.point(found.values)
            lots, starts = np.round(lots), np.round(starts)
            answer = self._take(lots, starts)
            self.rows.append(self.master.add_cuts(*self.master.cuts(lots, starts, answer)))

    def _with_cuts(self) -> Programme:
        base = self.programme
        col_of = np.repeat(np.arange(len(base.cost)), np.diff(base.start))
        rows, cols, values = [base.index.astype(np.int64)], [col_of], [base.value]
        lower, upper = [base.row_lower], [base.row_upper]
        count = len(base.row_lower)
        for low, high, starts, index, value in self.rows:
            lengths = np.diff(np.append(starts, len(index)))
            rows.append(count + np.repeat(np.arange(len(low)), lengths))
            cols.append(index.astype(np.int64))
            values.append(value)
            lower.append(low)
            upper.append(high)
            count += len(low)
        triplets = (np.concatenate(rows), np.concatenate(cols), np.concatenate(values))
        return compress(
            base.cost, (base.lower, base.upper), base.integer, (np.concatenate(lower), np.concatenate(upper)), triplets
        )

    def bindings(self) -> tuple[Binding, ...]:
        """Limits of orders with a price, by the relaxed master programme."""
        found = []
        for name, (row, value, unit, kind) in self.master.form.marks.items():
            worth = abs(float(self.duals[row])) if row < len(self.duals) else 0.0
            if kind == "budget":
                worth /= 1e6
            elif kind == "power":
                value /= 1000.0
            elif kind == "stock":
                offer = name.removeprefix("stock of ").split(" by month")[0]
                worth /= next(o.lot_chips for o in self.master.shape.problem.offers if o.id == offer)
            if worth * max(value, 1.0) > 1e-6 * abs(self.best_cost):
                found.append(Binding(name, value, unit, worth, kind))
        return tuple(sorted(found, key=lambda binding: -binding.worth * max(binding.value, 1e-9)))
