"""Limits that bind: what one more unit of each is, and what larger changes of the dearest ones save when solved again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from suanzhang.errors import Infeasible, SolverError
from suanzhang.money.procurement.solve import ProcurementPlan, describe, solve_shape
from suanzhang.money.procurement.watch import Watch
from suanzhang.spec.buy import Binding, PurchaseProblem, Scenario
from suanzhang.spec.result import Money

_STEP = 0.1
_MOST = 3


def one_more(limit: Binding) -> str:
    """What one more unit of a limit is, in words."""
    words = {
        "budget": f"1 {limit.unit} that may be paid",
        "power": "1 kW of peak draw",
        "room": "1 rack",
        "stock": "1 chip on offer",
        "due": "a month in which it need not be carried",
    }
    return words.get(limit.kind, f"1 {limit.unit}")


def with_words(limits: tuple[Binding, ...]) -> tuple[Binding, ...]:
    """Limits with what one more unit of each is."""
    return tuple(replace(limit, one_more=one_more(limit)) for limit in limits)


def tried_again(
    problem: PurchaseProblem,
    plan: ProcurementPlan,
    watch: Watch,
    tell: Callable[[str], None],
    futures: Callable[[PurchaseProblem], tuple[Scenario, ...]],
) -> tuple[Binding, ...]:
    """The limits that bind with what larger changes of the dearest ones save: the plan is solved again for each.

    A shadow price holds for small changes only. A saving is never below nothing: with more room the old plan still holds.

    Args:
        problem: what was asked.
        plan: its plan.
        watch: stops the solves.
        tell: called with a line for each limit.
        futures: the futures of a changed problem, drawn as those of the plan.
    """
    limits = list(with_words(plan.binding))
    known: set[str] = set()
    for index, limit in enumerate(limits):
        changed = None if len(known) >= _MOST else _raised(problem, limit)
        if changed is None or changed[0] in known or watch.stop():
            continue
        key, words, case = changed
        known.add(key)
        tell(f"what if: {words}")
        try:
            other = describe(solve_shape(case, futures(case), Watch(watch.clock, watch.stop)))
        except (Infeasible, SolverError):
            continue
        if not watch.stop():
            limits[index] = replace(limit, step=words, step_saves=_money(problem, plan.cost - other.cost))
    return tuple(limits)


def _money(problem: PurchaseProblem, amount: float) -> Money:
    return Money(max(round(amount, 2), 0.0), problem.currency, problem.start)


def _raised(problem: PurchaseProblem, limit: Binding) -> tuple[str, str, PurchaseProblem] | None:
    """A limit that is known by its name raised by a tenth, a due date by a month: key, words and the changed problem."""
    if limit.kind == "budget":
        by_month = tuple(amount * (1.0 + _STEP) for amount in problem.budget_by_month)
        whole = None if problem.budget is None else problem.budget * (1.0 + _STEP)
        return "budget", "budget 10 % larger", replace(problem, budget=whole, budget_by_month=by_month)
    if limit.kind == "power" and problem.power_limit_w is not None and not problem.places:
        return "power", "power limit 10 % higher", replace(problem, power_limit_w=problem.power_limit_w * (1.0 + _STEP))
    name = limit.subject
    if limit.kind == "stock":
        return _more_stock(problem, name)
    if limit.kind == "due":
        later = tuple(
            replace(one, due_month=(one.first_month if one.due_month is None else one.due_month) + 1)
            if one.name == name
            else one
            for one in problem.demands
        )
        return f"due {name}", f"{name} due a month later", replace(problem, demands=later)
    return None


def _more_stock(problem: PurchaseProblem, name: str) -> tuple[str, str, PurchaseProblem] | None:
    def more(chips: float | None, lot: int) -> float | None:
        return chips and max(chips * (1.0 + _STEP), chips + lot)

    offers = tuple(
        replace(one, stock_chips=more(one.stock_chips, one.lot_chips), stock_per_month=more(one.stock_per_month, one.lot_chips))
        if one.id == name
        else one
        for one in problem.offers
    )
    return None if offers == problem.offers else (f"stock {name}", f"10 % more of {name}", replace(problem, offers=offers))
