"""The master programme of a decomposition: first stage, bounds on the recourse, and the cuts that hold them up."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from suanzhang.money.procurement.columns import Columns
from suanzhang.money.procurement.form import Form, add_first_stage, order_total
from suanzhang.money.procurement.monthcell import INF, Cell, run_months
from suanzhang.money.procurement.orders import Floats
from suanzhang.money.procurement.purse import Purse, purse_of
from suanzhang.money.procurement.recourse import Answer
from suanzhang.money.procurement.shape import Shape

_MOST_GROUPS = 720
_MOST_ENTRIES = 500_000
"""With more entries of sales of ordered chips in a round of cuts, only those enter by which a relaxed plan would gain."""
_MILLION = 1e6
"""Bounds on the recourse count in millions: a column that costs a millionth looks free to a solver's tolerance."""


@dataclass
class Master:
    """The master programme: first stage, one bound for each month (or scenario, with a tail or a budget), and the cuts so far.

    A budget couples the months of a scenario, so that each then has one bound for all its months.
    """

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
    purse: Purse | None = field(init=False)
    purse_rows: list[int] = field(default_factory=list)
    resold: dict[int, list[int]] = field(default_factory=dict)
    held: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        shape = self.shape
        self.purse, tail = purse_of(shape), self.by_scenario
        self.by_scenario = tail or self.purse is not None
        blocks = max(1, min(shape.months, _MOST_GROUPS // shape.count)) if self.by_scenario and self.purse is None else 1
        month = np.arange(shape.months)[None, :] + np.zeros((shape.count, 1), dtype=np.int64)
        self.group = np.arange(shape.count)[:, None] * blocks + month * blocks // shape.months if self.by_scenario else month
        self.groups = shape.count * blocks if self.by_scenario else shape.months
        self.share = np.repeat(shape.weights, blocks) if self.by_scenario else np.ones(shape.months)
        self.form, self.cols = add_first_stage(shape, self.cell, self.groups + (1 + shape.count if tail else 0))
        self.theta = self.cols.site
        form = self.form
        self.hold = np.zeros((shape.count, len(shape.orders)))
        for j, order in enumerate(shape.orders):
            if order.kind >= 0 and not order.hosted:
                stay = np.clip(np.minimum(order.leave, shape.months) - order.arrival, 0, None)
                self.hold[:, j] = order.lot * stay * shape.keep * float(shape.hold[order.kind] + shape.energy_idle[order.kind])
            if order.source >= 0:
                gone = shape.keep * float(shape.hold[order.source] + shape.energy_idle[order.source])
                self.hold[:, j] -= order.lot * np.clip(shape.months - order.taken, 0, None) * gone
        form.cost[: len(shape.orders)] += shape.weights @ self.hold
        form.cost[self.theta : self.theta + self.groups] = self.share * _MILLION
        for j, order in enumerate(shape.orders):
            if order.parent >= 0:
                self.resold.setdefault(order.parent, []).append(j)
        self.held = np.array([order.parent >= 0 for order in shape.orders], dtype=bool)
        if self.held.sum() * self.groups <= _MOST_ENTRIES:
            self.held[:] = False
        self._budget()
        if tail:
            self._tail()

    def _budget(self) -> None:
        """Orders and the upkeep of their chips within the budget in every scenario; recourse keeps to what they leave."""
        if self.purse is None:
            return
        shape, form = self.shape, self.form
        for i, limit in enumerate(self.purse.limits - self.purse.held):
            first = form.add_rows(np.full(shape.count, -INF), np.full(shape.count, limit / 1e6))
            self.purse_rows.append(first)
            for s in range(shape.count):
                form.add(first + s, np.arange(len(shape.orders)), self.purse.paid[i, s] / 1e6)

    def _tail(self) -> None:
        shape, form, weight = self.shape, self.form, self.shape.problem.cvar_weight
        level = self.theta + self.groups
        form.cost *= 1.0 - weight
        form.cost[level] = weight * _MILLION
        form.lower[level] = -INF
        form.cost[level + 1 :] = weight * shape.weights / shape.problem.cvar_tail * _MILLION
        row = form.add_rows(np.full(shape.count, -INF), np.zeros(shape.count))
        totals = np.array([order_total(shape, j) for j in range(len(shape.orders))]).reshape(-1, shape.count)
        for s in range(shape.count):
            form.add(row + s, np.arange(len(totals)), (totals[:, s] + self.hold[s]) / 1e6)
            waits = [start.wait_cost / 1e6 for start in shape.starts]
            form.add(row + s, np.arange(self.cols.starts, self.cols.sales), waits)
            form.add(row + s, self.theta + np.unique(self.group[s]), 1.0)
            form.add(row + s, [level, level + 1 + s], [-1.0, -1.0])

    def cuts(self, lots: Floats, starts: Floats, answer: Answer) -> tuple[Floats, Floats]:
        """Cuts at a point: coefficients of orders and starts (group, column) and constants (group)."""
        shape = self.shape
        weight = np.ones_like(shape.weights) if self.by_scenario else shape.weights
        presence, holding, work = (part * weight[:, None, None] for part in (answer.presence, answer.held, answer.work))
        hosted = presence + work * shape.most_busy
        slope = np.zeros((self.groups, len(shape.orders) + len(shape.starts)))
        months = np.arange(shape.months)
        for j, order in enumerate(shape.orders):
            if order.parent >= 0:
                continue
            there = (months >= order.arrival[:, None]) & (months < order.leave[:, None])
            if order.kind >= 0:
                worth = hosted if order.hosted else presence
                slope[:, j] = order.lot * self._gather(worth[:, :, order.kind] * there)
            if order.source >= 0:
                slope[:, j] -= order.lot * self._gather(presence[:, :, order.source] * (months >= order.month))
        slope[:, : len(shape.orders)] += self.sale_slopes(presence, ~self.held)
        for j, start in enumerate(shape.starts):
            k = shape.chips.index(start.need.chip)
            change = np.zeros((shape.count, shape.months))
            for month, share in run_months(start.month, start.need.months):
                change[:, month] = holding[:, month, k] + work[:, month, k] * start.need.busy * share
            slope[:, len(shape.orders) + j] = -start.need.chips * self._gather(change)
        value = self._gather(answer.bound * weight[:, None])
        if self.purse is not None:
            value -= np.einsum("is,is->s", answer.price, self.purse.room(lots))
            slope[:, : len(shape.orders)] += np.einsum("is,isj->sj", answer.price, self.purse.paid)
        point = np.concatenate([lots, starts])
        return slope, value - slope @ point

    def sale_slopes(self, presence: Floats, which: NDArray[np.bool_]) -> Floats:
        """Slopes of some sales of what is ordered: group, order; zero for all others."""
        months, slope = np.arange(self.shape.months), np.zeros((self.groups, len(self.shape.orders)))
        begins = np.flatnonzero(np.diff(self.group[0], prepend=-1)) if self.by_scenario else months
        for parent, every in self.resold.items():
            order, sales = self.shape.orders[parent], [j for j in every if which[j]]
            if sales:
                gone = np.array([self.shape.orders[j].taken for j in sales])
                parts = presence[:, :, order.kind] * (months >= gone[:, :, None])
                parts = parts if self.by_scenario else parts.sum(axis=1, keepdims=True)
                slope[:, sales] -= order.lot * np.add.reduceat(parts, begins, axis=2).reshape(len(sales), -1).T
        return slope

    def weighed(self, answer: Answer) -> Floats:
        """Worth of one more chip on the site as cuts count it: scenario, month, chip."""
        weight = np.ones_like(self.shape.weights) if self.by_scenario else self.shape.weights
        return answer.presence * weight[:, None, None]

    def sale_prices(self, worth: Floats) -> Floats:
        """What is lost with the chips of each sale, where one more on the site is worth so much (less than nothing)."""
        shape, lost = self.shape, np.zeros(len(self.shape.orders))
        after = np.zeros((shape.count, shape.months + 1, len(shape.chips)))
        after[:, :-1] = np.cumsum(worth[:, ::-1], axis=1)[:, ::-1]
        for parent, sales in self.resold.items():
            order = shape.orders[parent]
            gone = np.minimum([shape.orders[j].taken for j in sales], shape.months)
            lost[sales] = -order.lot * after[np.arange(shape.count), gone, order.kind].sum(axis=1)
        return lost

    def _gather(self, amounts: Floats) -> Floats:
        """Sum of amounts by scenario and month over each group."""
        return np.asarray(np.bincount(self.group.ravel(), amounts.ravel(), self.groups), dtype=np.float64)

    def point(self, values: Floats) -> tuple[Floats, Floats]:
        """Orders and starts of a solution."""
        return values[: len(self.shape.orders)], values[self.cols.starts : self.cols.sales]

    def add_cuts(self, slope: Floats, constant: Floats) -> tuple[Floats, Floats, np.ndarray, np.ndarray, Floats]:
        """The rows of cuts for the solver: theta - slope x >= constant, in millions."""
        shape = self.shape
        columns = np.concatenate([np.arange(len(shape.orders)), self.cols.starts + np.arange(len(shape.starts))])
        starts, index, value = [0], [], []
        for g in range(self.groups):
            used = np.abs(slope[g]) > 1e-9
            index.append(np.concatenate([columns[used], [self.theta + g]]))
            value.append(np.concatenate([-slope[g, used] / _MILLION, [1.0]]))
            starts.append(starts[-1] + int(used.sum()) + 1)
        return (
            constant * 1e-6, np.full(self.groups, INF), np.array(starts[:-1], dtype=np.int32),
            np.concatenate(index).astype(np.int32), np.concatenate(value),
        )  # fmt: skip

    def joined(
        self, row: tuple[Floats, Floats, np.ndarray, np.ndarray, Floats], slope: Floats
    ) -> tuple[Floats, Floats, np.ndarray, np.ndarray, Floats]:
        """Rows of cuts with the slopes of orders that were none in them so far, and at 0 where they were made."""
        lower, upper, starts, index, value = row
        g, j = np.nonzero(np.abs(slope) > 1e-9)
        lengths = np.diff(np.append(starts, len(index)))
        rows = np.concatenate([np.repeat(np.arange(len(lower)), lengths), g])
        order = np.argsort(rows, kind="stable")
        begins = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(lower)))[:-1]])
        return (
            lower, upper, begins.astype(np.int32), np.concatenate([index, j])[order].astype(np.int32),
            np.concatenate([value, -slope[g, j] / _MILLION])[order],
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
    """Mean of the worst share ``tail`` of weighted totals.

    Equation:
        sum of w_s C_s over the dearest futures, up to a weight of tail, over tail.

    Sources:
        [rockafellar-2000] conditional value at risk of a discrete distribution.
    """
    order = np.argsort(-totals)
    left, total = tail, 0.0
    for index in order:
        part = min(float(weights[index]), left)
        total += part * float(totals[index])
        left -= part
        if left <= 1e-15:
            break
    return total / tail
