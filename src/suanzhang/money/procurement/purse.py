"""The budget as a limit of every future: what has been paid by the end of a month never exceeds what may be paid by then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from suanzhang.money.procurement.calendar import month_name
from suanzhang.money.procurement.orders import Floats
from suanzhang.money.procurement.shape import Shape
from suanzhang.spec.buy import PurchaseProblem


def budget_limits(problem: PurchaseProblem, sales: bool) -> dict[int, float]:
    """Most that may have been paid by the end of a month; only the months whose limit the others do not imply.

    Args:
        problem: the limits.
        sales: whether chips may be sold, so that less may have been paid in all than by some month.
    """
    last = problem.months - 1
    limits = {t: float(amount) for t, amount in enumerate(problem.budget_by_month[: problem.months])}
    if problem.budget is not None:
        for t in range(problem.months) if sales else (last,):
            limits[t] = min(problem.budget, limits.get(t, problem.budget))
    return dict(sorted(limits.items()))


def budget_name(problem: PurchaseProblem, month: int) -> str:
    """The limit of what has been paid by the end of a month, in words."""
    return "budget" if month == problem.months - 1 else f"budget up to {month_name(problem.start, month)}"


def spendable(limit: float) -> float:
    """A budget less the tolerance of the solver (one unit of money at most), so that no plan exceeds it by a cent.

    Equation:
        B - min(1, 1e-6 B).

    Sources:
        [derived].
    """
    return limit - min(1.0, 1e-6 * limit)


@dataclass(frozen=True, slots=True)
class Purse:
    """Limits of what is paid with what orders take of them; sales later on do not fill it.

    Args:
        names: the limits in words.
        months: their months.
        limits: their amounts.
        paid: what a lot of an order has taken by then, by limit, future and order; upkeep of the chips included.
        held: what the upkeep of chips that are there from the start has taken, by limit.
    """

    names: tuple[str, ...]
    months: tuple[int, ...]
    limits: Floats
    paid: Floats
    held: Floats

    def holds(self, lots: Floats) -> bool:
        """Whether orders with the upkeep of their chips stay within every limit in every future, by one unit of money."""
        return bool(np.all(self.paid @ lots <= (self.limits - self.held)[:, None] + 1.0))

    def room(self, lots: Floats) -> Floats:
        """What orders leave for rents, tokens and energy at work, by limit and future; never below 0."""
        return np.maximum(self.limits[:, None] - self.held[:, None] - self.paid @ lots, 0.0)


def purse_of(shape: Shape) -> Purse | None:
    """The purse of a shape; None without a budget."""
    problem = shape.problem
    found = budget_limits(problem, sales=False)
    if not found:
        return None
    upkeep = shape.hold + shape.energy_idle
    paid, held = np.zeros((len(found), shape.count, len(shape.orders))), np.zeros(len(found))
    for i, t in enumerate(found):
        held[i] = float(np.einsum("k,kt->", upkeep, shape.have_site[:, : t + 1]))
        for j, order in enumerate(shape.orders):
            if order.month > t:
                continue
            paid[i, :, j] = order.paid_by(t, problem.months)
            if order.kind >= 0 and not order.hosted:
                stay = np.clip(np.minimum(order.leave, t + 1) - order.arrival, 0, None)
                paid[i, :, j] += order.lot * stay * float(upkeep[order.kind])
            if order.source >= 0:
                paid[i, :, j] -= order.lot * np.clip(t + 1 - order.taken, 0, None) * float(upkeep[order.source])
    limits = np.array([spendable(limit) for limit in found.values()])
    return Purse(tuple(budget_name(problem, t) for t in found), tuple(found), limits, paid, held)
