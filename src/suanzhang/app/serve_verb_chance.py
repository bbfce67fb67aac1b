"""What chance alone moves in a simulated day: the same day again with other seeds, or the cells of a long one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from suanzhang.errors import InputError
from suanzhang.sim.histogram import RELATIVE_ERROR
from suanzhang.sim.statistics import estimate
from suanzhang.spec.result import Interval
from suanzhang.spec.serve_day import DayChance, DayResult
from suanzhang.spec.sim import SimResult

MOST = 20
_USUAL = ((3_000_000, 5), (10_000_000, 3))
"""Requests of a day up to which so many days are followed when nobody says how many."""
_FEW_CELLS = ((30_000_000, 3), (200_000_000, 2))
"""The same for longer days with so few cells that these say nothing; one beyond."""
LEAST_CELLS = 4
"""Cells of a day, each with requests and random numbers of its own, that stand for days of their own."""
_STRIDE = 1_000_003
"""Between the seeds of two days, so that no stream of one is a stream of the other."""
_FIGURES: tuple[tuple[str, str, Callable[[DayResult], float]], ...] = (
    ("first token, p99", "s", lambda day: day.ttft_s.p99),
    ("per further token, p99", "s", lambda day: day.tpot_s.p99),
    ("end to end, p99", "s", lambda day: day.e2e_s.p99),
    ("output of those followed", "tokens/s", lambda day: day.output_tokens_per_s),
)


def days_of(replications: int, requests: int, cells: int = 1) -> int:
    """How many days are followed.

    Args:
        replications: as asked; 0 for as many as are quick.
        requests: of one day.
        cells: of one day, each with requests of its own.

    Raises:
        InputError: fewer than 0 or more than ``MOST``.
    """
    if not 0 <= replications <= MOST:
        raise InputError(f"replications: {replications}", fix=f"give 1 to {MOST}, or 0 for as many as are quick")
    usual = _USUAL if cells >= LEAST_CELLS else (*_USUAL, *_FEW_CELLS)
    return replications or next((days for most, days in usual if requests <= most), 1)


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
    known = 0.0 if first.pools else RELATIVE_ERROR
    found = [
        chance_of(name, unit, [value(day) for day in seen], days, resolution=known if unit == "s" else 0.0)
        for name, unit, value in _FIGURES
    ]
    return tuple(one for one in found if math.isfinite(one.value))


def by_cell(first: DayResult, found: SimResult) -> tuple[DayChance, ...]:
    """The same from the cells of a long day that was followed once: its requests went to them by chance alone.

    Args:
        first: the day that is answered with; what it adds to a latency of the simulation is the same in each cell.
        found: the simulation.

    Returns:
        One line for each latency and the output; empty where the cells are few or the day is overloaded.
    """
    if first.overloaded or found.by_cell is None or len(found.by_cell) < LEAST_CELLS:
        return ()
    cells = len(found.by_cell)
    added = (first.ttft_s.p99 - found.ttft_s.p99, first.tpot_s.p99 - found.tpot_s.p99, first.e2e_s.p99 - found.e2e_s.p99, 0.0)
    lines = []
    for place, (name, unit, _) in enumerate(_FIGURES):
        values = found.by_cell[:, place] * (cells if unit != "s" else 1.0) + added[place]
        known = RELATIVE_ERROR if unit == "s" else 0.0
        lines.append(chance_of(name, unit, [float(value) for value in values], cells, "cells", known))
    return tuple(one for one in lines if math.isfinite(one.value))


def chance_of(
    name: str, unit: str, values: Sequence[float], count: int, over: str = "days", resolution: float = 0.0
) -> DayChance:
    """The mean of independent values with its 95 % confidence interval, not narrower than the values are known."""
    one = estimate(values)
    half = max(one.half_width, resolution * abs(one.mean))
    return DayChance(name, count, one.mean, unit, Interval(max(one.mean - half, 0.0), one.mean, one.mean + half), over)
