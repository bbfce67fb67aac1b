"""No run that waits for nothing: of plans that cost the same, the one in which runs on rented chips start at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from suanzhang.errors import Infeasible, SolverError
from suanzhang.money.procurement.calendar import month_number
from suanzhang.spec.buy import BuyResult, Demand, RunWindow

if TYPE_CHECKING:
    from suanzhang.app.plan import Sized

SAME_COST = 1e-3
"""Plans whose costs differ by less than this share cost the same: the search stops that near to its bound."""
_SLACK_MONTHS = 1e-6


def with_early_starts(
    sized: Sized, found: BuyResult, solve: Callable[[Sized], BuyResult], stop: Callable[[], bool] = lambda: False
) -> BuyResult:
    """A plan that costs the same and lets runs start as soon as they may, where chips that are rented wait for nobody.

    A later start of a run takes time from its deadline, which the optimiser does not price: it takes either of two months in
    which the rent is the same.

    Args:
        sized: what the plan is for.
        found: the plan.
        solve: makes it again.
        stop: whether the user wants what there is; the plan then stays as it is.
    """
    most = found.cost.amount + SAME_COST * abs(found.cost.amount)
    for name in [run.demand for run in found.runs]:
        run = next(run for run in found.runs if run.demand == name)
        if found.stopped or stop() or not _waits_for_nothing(sized, found, run):
            continue
        earlier = replace(sized, demands=tuple(_at_once(demand, run) for demand in sized.demands))
        try:
            again = solve(earlier)
        except (Infeasible, SolverError):
            continue
        if not again.stopped and again.cost.amount <= most:
            sized, found = earlier, again
    return found


def _at_once(demand: Demand, run: RunWindow) -> Demand:
    """A run that must end as soon as it does from its first month on; any other demand as it is."""
    return replace(demand, due_months=run.months + _SLACK_MONTHS) if demand.name == run.demand else demand


def _waits_for_nothing(sized: Sized, found: BuyResult, run: RunWindow) -> bool:
    """Whether a run starts later than it may, in a month in which its kind of chip is only rented."""
    first = next(demand.first_month for demand in sized.demands if demand.name == run.demand)
    if month_number(run.start) - month_number(found.months[0].month) <= first:
        return False
    return all(state.owned.get(run.chip, 0.0) <= 0.0 for state in found.months if state.month == run.start)
