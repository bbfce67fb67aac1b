"""Many scenarios: orders in a master programme, recourse as cuts from the cells of each month and scenario.

Every cut is a bound from below that holds everywhere, so that the value of the master programme is a proven bound; the
cost of any whole-lot orders, with all cells solved, is a plan. The gap is between the two.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suanzhang.errors import SolverError
from suanzhang.money.procurement.highs import Programme, compress, solve_programme
from suanzhang.money.procurement.master import Master
from suanzhang.money.procurement.monthcell import INF, Cell, cell_of
from suanzhang.money.procurement.orders import Floats
from suanzhang.money.procurement.outcome import Outcome, standing
from suanzhang.money.procurement.recourse import Answer, Recourse
from suanzhang.money.procurement.relax import explain_infeasible
from suanzhang.money.procurement.shape import Shape
from suanzhang.money.procurement.totals import holding_lines
from suanzhang.money.procurement.watch import QUIET, Watch
from suanzhang.spec.buy import Binding

_ROUNDS = 150
_FURTHER = 40
_INWARD = 0.5
_NO_PLAN = 1e25
_SOME = 1e-6
_BRIEF_S = 3.0
_AT_ONCE = 4
_MOST_ENTRIES = 30_000_000


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


def solve_decomposed(
    shape: Shape, begin: float, watch: Watch = QUIET
) -> tuple[Outcome, Cell, float, float, float, tuple[Binding, ...]]:
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
    constant = sum(sum(holding_lines(shape, k).values()) for k in range(len(shape.chips)))
    held = float(np.einsum("k,kt->", shape.keep * (shape.hold + shape.energy_idle), shape.have_site))
    told = watch.raised(constant + held)
    search = _Search(master, recourse, programme, problem.gap, begin + problem.time_limit_s, told)
    search.relaxed()
    search.whole()
    if search.best is None:
        raise SolverError("no plan was found in the time given", fix="give it more time or fewer scenarios")
    lots, starts = search.best
    answer = recourse(lots, starts, master.purse)
    site, hosted = standing(shape, lots)
    sales = np.zeros((len(shape.chips), shape.months))
    outcome = Outcome(lots, starts, sales, site, hosted, np.maximum(answer.columns, 0.0))
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
    watch: Watch = QUIET
    bound: float = -INF
    best: tuple[Floats, Floats] | None = None
    best_cost: float = INF
    rows: list[tuple[Floats, Floats, np.ndarray, np.ndarray, Floats]] = field(default_factory=list)
    duals: Floats = field(default_factory=lambda: np.zeros(0))
    price: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    worth: list[Floats] = field(default_factory=list)

    def _over(self) -> bool:
        """Whether the time is up or the user wants what there is."""
        return self.watch.stop() or self.watch.clock() > self.deadline

    def _patient(self) -> Watch:
        """A watch that stops only once there is a plan to stop at."""
        some = [self.best is not None]

        def tell(cost: float, bound: float) -> None:
            del bound
            some[0] = some[0] or abs(cost) < _NO_PLAN

        return Watch(stop=lambda: some[0] and self.watch.stop(), tell=tell)

    def relaxed(self) -> None:
        """Cuts until the relaxed master programme is within a third of the gap."""
        shape, master = self.master.shape, self.master
        solver, scale = _open(self._offered(self.programme))
        inner: tuple[Floats, Floats] | None = None
        inner_cost = INF
        for _ in range(_ROUNDS):
            solver.run()
            status = solver.modelStatusToString(solver.getModelStatus())
            if status not in ("Optimal", "Infeasible"):
                raise SolverError(f"the optimiser stopped with {status!r}", fix="report the question")
            if status == "Infeasible":
                if master.held.any():
                    self._offer(master.held.copy())
                    solver, scale = _open(self._with_cuts())
                    continue
                raise explain_infeasible(shape.problem, self.watch)
            value = solver.getInfo().objective_function_value / scale
            self.bound = self.bound if master.held.any() else max(self.bound, value)
            found = solver.getSolution()
            self.duals = np.array(found.row_dual) / scale
            lots, starts = master.point(np.array(found.col_value))
            if inner is not None:
                lots = _INWARD * lots + (1.0 - _INWARD) * inner[0]
                starts = _INWARD * starts + (1.0 - _INWARD) * inner[1]
            answer = self.recourse(lots, starts, self.master.purse)
            cost = master.objective(lots, starts, answer)
            if cost < inner_cost:
                inner, inner_cost = (lots, starts), cost
            self.watch.tell(INF, self.bound)
            if inner_cost - value <= self.gap / 3.0 * abs(inner_cost) or self._over():
                gaining = self._gaining()
                if not gaining.any():
                    self.bound = max(self.bound, value)
                if not gaining.any() or self._over():
                    break
                self._offer(gaining)
                solver, scale = _open(self._offered(self._with_cuts()))
                continue
            row = self._cut(lots, starts, answer)
            solver.addRows(len(row[0]), row[0], row[1], len(row[3]), row[2], row[3], row[4])
        if inner is not None:
            self._try_rounded(*self._with_whole_starts(solver, *inner))

    def _cut(self, lots: Floats, starts: Floats, answer: Answer) -> tuple[Floats, Floats, np.ndarray, np.ndarray, Floats]:
        """The cuts at a point, kept; what one more chip was worth there is kept as well, for the sales that may still enter."""
        row = self.master.add_cuts(*self.master.cuts(lots, starts, answer))
        self.rows.append(row)
        if self.master.held.any():
            self.worth.append(self.master.weighed(answer))
        return row

    def _offered(self, programme: Programme) -> Programme:
        """A programme without the sales that have not entered."""
        upper = programme.upper.copy()
        upper[: len(self.master.held)][self.master.held] = 0.0
        return replace(programme, upper=upper)

    def _gaining(self) -> NDArray[np.bool_]:
        """Sales that have not entered and by which the relaxed plan would gain: the best few of each order."""
        master, base = self.master, self.programme
        found = np.zeros_like(master.held)
        if not master.held.any():
            return found
        col_of = np.repeat(np.arange(len(base.cost)), np.diff(base.start))
        count = len(base.row_lower)
        priced = np.bincount(col_of, base.value * self.duals[:count][base.index], len(base.cost))
        reduced = (base.cost - priced)[: len(found)]
        worth = np.zeros((master.shape.count, master.shape.months, len(master.shape.chips)))
        for one in self.worth:
            if count < len(self.duals):
                worth += self.duals[count : count + master.groups][master.group][:, :, None] * one
            count += master.groups
        reduced += master.sale_prices(worth) * 1e-6
        gains = master.held & (reduced < -_SOME * np.maximum(np.abs(base.cost[: len(found)]), 1.0))
        for sales in master.resold.values():
            mine = [j for j in sales if gains[j]]
            found[sorted(mine, key=lambda j: float(reduced[j]))[:_AT_ONCE]] = True
        return found

    def _offer(self, which: NDArray[np.bool_]) -> None:
        """Let some sales enter, with their part of the cuts so far."""
        for i, (row, worth) in enumerate(zip(self.rows, self.worth, strict=True)):
            self.rows[i] = self.master.joined(row, self.master.sale_slopes(worth, which))
        self.master.held &= ~which

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
            answer = self.recourse(found, whole, self.master.purse)
            cost = master.objective(found, whole, answer)
            if cost < best_cost:
                best, best_cost = (found, whole), cost
            if best_cost - value <= self.gap / 3.0 * abs(best_cost) or self._over():
                break
            row = self._cut(found, whole, answer)
            solver.addRows(len(row[0]), row[0], row[1], len(row[3]), row[2], row[3], row[4])
        return best

    def _try_rounded(self, lots: Floats, starts: Floats) -> None:
        """Whole lots near a relaxed plan: running totals of each offer are rounded, so that stocks still hold."""
        shape, cols = self.master.shape, self.master.cols
        taken = any(order.source >= 0 and order.parent < 0 for order in shape.orders)
        if np.any(self.programme.upper[cols.minimum : cols.starts] > 0.0) or shape.problem.places or taken:
            self._try_minimum(lots, starts)
            return
        tight = shape.problem.power_limit_w is not None or shape.problem.budget is not None or shape.problem.budget_by_month
        whole = np.zeros_like(lots)
        groups: dict[tuple[int, str], list[int]] = {}
        for j, order in enumerate(shape.orders):
            groups.setdefault((order.parent, order.name if order.parent < 0 else ""), []).append(j)
        for (parent, _), members in sorted(groups.items()):
            running = np.floor(np.cumsum(lots[members]) + (1e-6 if tight else 0.5))
            running = np.minimum(running, whole[parent]) if parent >= 0 else running
            whole[members] = np.diff(running, prepend=0.0)
        self._take(whole, np.round(starts))
        if self.best_cost - self.bound > self.gap / 4.0 * abs(self.best_cost):
            self._try_minimum(lots, starts, _BRIEF_S)

    def _try_minimum(self, lots: Floats, starts: Floats, most_s: float = INF) -> None:
        """Whole lots where orders have a least size: the master programme with its starts held decides.

        What the relaxed plan orders is sold only in the months in which that plan sells some of it.
        """
        cols, programme = self.master.cols, self._with_cuts()
        lower, upper = programme.lower.copy(), programme.upper.copy()
        for j, order in enumerate(self.master.shape.orders):
            upper[j] = upper[j] if order.parent < 0 or lots[j] > _SOME else 0.0
        lower[cols.starts : cols.sales] = upper[cols.starts : cols.sales] = np.round(starts)
        held = replace(programme, lower=lower, upper=upper)
        left = min(max(self.deadline - self.watch.clock(), 10.0), most_s)
        try:
            found = solve_programme(held, gap=self.gap / 4.0, time_limit_s=left, watch=self._patient())
        except SolverError:
            if self.best is None:
                raise
            return
        if found.status != "infeasible":
            self._take(np.round(self.master.point(found.values)[0]), np.round(starts))

    def _take(self, lots: Floats, starts: Floats) -> Answer:
        answer = self.recourse(lots, starts, self.master.purse)
        cost = self.master.objective(lots, starts, answer)
        purse = self.master.purse
        if cost < self.best_cost and (purse is None or purse.holds(lots)):
            self.best, self.best_cost, self.price = (lots, starts), cost, answer.price
        self.watch.tell(self.best_cost, self.bound)
        return answer

    def _proved(self) -> bool:
        return self.best is not None and self.best_cost - self.bound <= self.gap * abs(self.best_cost)

    def whole(self) -> None:
        """Whole lots by the master programme with its cuts, until the gap is closed or the time is up."""
        for _ in range(20):
            left = self.deadline - self.watch.clock()
            if self._proved() or ((left <= 0.0 or self.watch.stop()) and self.best is not None):
                return
            try:
                found = solve_programme(
                    self._offered(self._with_cuts()),
                    gap=self.gap / 4.0,
                    time_limit_s=max(left, 10.0 if self.best is None else 1.0),
                    watch=self._patient(),
                )
            except SolverError:
                if self.best is not None:  # its time was up before it had a plan of its own
                    return
                raise
            if found.status == "infeasible":
                raise explain_infeasible(self.master.shape.problem, self.watch)
            partly, before = bool(self.master.held.any()), self.best_cost
            self.bound = self.bound if partly else max(self.bound, found.bound)
            lots, starts = self.master.point(found.values)
            lots, starts = np.round(lots), np.round(starts)
            answer = self._take(lots, starts)
            if partly and self.best_cost >= before:  # only with all sales does the bound of whole lots hold
                if int(self.master.held.sum()) * self.master.groups * len(self.rows) > _MOST_ENTRIES:
                    return
                self._offer(self.master.held.copy())
            self._cut(lots, starts, answer)

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
        for name, mark in self.master.form.marks.items():
            worth = abs(float(self.duals[mark.row])) / mark.per if mark.row < len(self.duals) else 0.0
            if worth * max(mark.value, 1.0) > 1e-6 * abs(self.best_cost):
                found.append(Binding(name, mark.value, mark.unit, worth, mark.kind, subject=mark.subject))
        found += self._budgets()
        return tuple(sorted(found, key=lambda binding: -binding.worth * max(binding.value, 1e-9)))

    def _budgets(self) -> list[Binding]:
        """Limits of what is paid: what one more unit saves in the orders, and in the mean of what futures then rent."""
        purse, found, shape = self.master.purse, [], self.master.shape
        for i, name in enumerate(purse.names if purse else ()):
            first = self.master.purse_rows[i]
            orders = self.duals[first : first + shape.count]
            worth = float(np.abs(orders).sum()) / 1e6 + float(shape.weights @ self.price[i])
            limit = float(purse.limits[i]) if purse else 0.0
            if worth * limit > 1e-6 * abs(self.best_cost):
                found.append(Binding(name, round(limit), shape.problem.currency, worth, "budget"))
        return found
