"""What chance alone moves in a simulated day: the same day again with other seeds."""

from __future__ import annotations

from collections.abc import Callable

from suanzhang.errors import InputError
from suanzhang.sim.statistics import estimate
from suanzhang.spec.result import Interval
from suanzhang.spec.serve_day import DayChance, DayResult

MOST = 20
_USUAL = ((3_000_000, 5), (10_000_000, 3))
"""Requests of a day up to which so many days are followed when nobody says how many; one beyond."""
_STRIDE = 1_000_003
"""Between the seeds of two days, so that no stream of one is a stream of the other."""
_FIGURES: tuple[tuple[str, str, Callable[[DayResult], float]], ...] = (
    ("first token, p99", "s", lambda day: day.ttft_s.p99),
    ("per further token, p99", "s", lambda day: day.tpot_s.p99),
    ("end to end, p99", "s", lambda day: day.e2e_s.p99),
    ("output of those followed", "tokens/s", lambda day: day.output_tokens_per_s),
)


def days_of(replications: int, requests: int) -> int:
    """How many days are followed.

    Args:
        replications: as asked; 0 for as many as are quick.
        requests: of one day.

    Raises:
        InputError: fewer than 0 or more than ``MOST``.
    """
    if not 0 <= replications <= MOST:
        raise InputError(f"replications: {replications}", fix=f"give 1 to {MOST}, or 0 for as many as are quick")
    return replications or next((days for most, days in _USUAL if requests <= most), 1)


def by_chance(first: DayResult, again: Callable[[int], DayResult], days: int) -> tuple[DayChance, ...]:
    """Means over independent days, each with the interval that chance leaves to it.

    Args:
        first: the day that is answered with.
        again: the day of another seed.
        days: in all, the first included.

    Returns:
        One line for each latency and the output; empty with a single day, or where a day is overloaded.
    """
    if days < 2 or first.overloaded:
        return ()
    seen = (first, *(again(first.header.seed + _STRIDE * number) for number in range(1, days)))
    if any(day.overloaded for day in seen):
        return ()
    found = [(name, unit, estimate([value(day) for day in seen])) for name, unit, value in _FIGURES]
    return tuple(
        DayChance(name, days, one.mean, unit, Interval(one.mean - one.half_width, one.mean, one.mean + one.half_width))
        for name, unit, one in found
    )
