"""How a solve is watched from outside: the clock that it may read, the wish to stop, and who is told of its progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace


def _no_clock() -> float:
    return 0.0


def _go_on() -> bool:
    return False


def _nobody(cost: float, bound: float) -> None:
    del cost, bound


@dataclass(frozen=True, slots=True)
class Watch:
    """What a solve may ask and tell.

    Args:
        clock: seconds of a clock; one that stands still when the caller gives none, so that only counts of rounds limit
            a solve and its time is reported as zero.
        stop: whether the user wants the best plan so far.
        tell: called with the cost of the best plan so far and the bound proved so far; the cost is infinite before
            there is a plan.
        patience_s: how long a search that has no plan yet goes on after the wish to stop; 0 to stop at once.
    """

    clock: Callable[[], float] = _no_clock
    stop: Callable[[], bool] = _go_on
    tell: Callable[[float, float], None] = _nobody
    patience_s: float = 0.0

    def raised(self, constant: float) -> Watch:
        """The same watch for a programme that leaves out a constant of the cost."""
        if self is QUIET:
            return self
        return replace(self, tell=lambda cost, bound: self.tell(cost + constant, bound + constant))


QUIET = Watch()
"""No clock, no stop, nobody told."""
