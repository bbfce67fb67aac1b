"""No kind of chip in a plan that never holds one whole replica of the service that it is to carry."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from suanzhang.errors import Infeasible, SolverError
from suanzhang.spec.buy import BuyResult

if TYPE_CHECKING:
    from suanzhang.app.plan import Sized

_ROUNDS = 3


def with_whole_replicas(
    sized: Sized, found: BuyResult, solve: Callable[[Sized], BuyResult], stop: Callable[[], bool] = lambda: False
) -> tuple[Sized, BuyResult]:
    """A plan for one future without kinds of chip that never hold a replica of a service, and the demands that it is for.

    The optimiser counts chips in proportion to what a whole fleet carries, so that a few chips of a kind may seem to carry
    a sliver of a service whose model they cannot hold. Such a kind is taken from its options, and the plan made again.

    Args:
        sized: what the plan is for.
        found: the plan.
        solve: makes it again.
        stop: whether the user wants what there is; the plan then stays as it is.
    """
    for _ in range(_ROUNDS):
        slivers = _slivers(sized, found)
        if not slivers or found.stopped or stop():
            break
        less = _without(sized, slivers)
        try:
            again = solve(less)
        except (Infeasible, SolverError):
            break
        if again.stopped:
            break
        sized, found = less, again
    return sized, found


def replica_chips(sized: Sized) -> dict[tuple[str, str], float]:
    """Chips of one replica by service and kind of chip."""
    return {
        (service.ask.name, option.chip): option.chips / option.replicas
        for service in sized.services
        for option in service.options
        if option.replicas > 0
    }


def _slivers(sized: Sized, found: BuyResult) -> Mapping[str, set[str]]:
    """By service: kinds that carry part of it in some month, and hold a whole replica in none.

    Of a service that stands on no whole replica at all, the kind that carries most stays.
    """
    size = replica_chips(sized)
    most: dict[tuple[str, str], float] = {}
    for share in found.shares:
        key = share.demand, share.chip
        if share.chips > 0.0 and key in size:
            most[key] = max(most.get(key, 0.0), share.chips)
    slivers: dict[str, set[str]] = defaultdict(set)
    for service in {name for name, _ in most}:
        parts = {chip: chips / size[name, chip] for (name, chip), chips in most.items() if name == service}
        kept = max(parts, key=lambda chip: parts[chip])
        slivers[service] = {chip for chip, part in parts.items() if part < 1.0 - 1e-6 and chip != kept}
    return {name: chips for name, chips in slivers.items() if chips}


def _without(sized: Sized, slivers: Mapping[str, set[str]]) -> Sized:
    demands = tuple(
        replace(demand, options=tuple(need for need in demand.options if need.chip not in slivers.get(demand.name, ())))
        if demand.kind == "serve"
        else demand
        for demand in sized.demands
    )
    return replace(sized, demands=demands)
