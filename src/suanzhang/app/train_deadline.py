"""How sure a deadline is met or a memory holds, and how many chips a deadline may turn out to need."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist

from suanzhang.spec.result import Z95, Interval
from suanzhang.spec.train import TrainOption
from suanzhang.units import DAY_S


def chance_to_meet(option: TrainOption, deadline_s: float) -> float:
    """Share of the cases of the interval of the days in which a deadline is met.

    Example:
        >>> from suanzhang.spec.layout import TrainLayout
        >>> span = Interval(8.0, 10.0, 15.0)
        >>> option = TrainOption("", 8, TrainLayout(), 1.0, 10.0, span, 1.0, 0.0, 0.0, 0.5, 0.0)
        >>> round(chance_to_meet(option, 15.0 * DAY_S), 3), round(chance_to_meet(option, 10.0 * DAY_S), 3)
        (0.95, 0.5)
    """
    return chance_below(option.days_interval, deadline_s / DAY_S)


def chance_below(span: Interval, limit: float) -> float:
    """Share of the cases of a positive interval that do not pass a limit: two halves of lognormals that meet at the median.

    Example:
        >>> round(chance_below(Interval(8.0, 10.0, 15.0), 8.0), 3)
        0.05
    """
    off = math.log(limit / span.p50)
    end = math.log(span.p95 / span.p50) if off > 0.0 else math.log(span.p50 / span.p05)
    return NormalDist().cdf(off * Z95 / end) if end > 0.0 else float(off >= 0.0)


def chips_needed(options: Iterable[TrainOption], best: TrainOption, deadline_s: float, gang: int) -> tuple[int, Interval]:
    """Fewest chips that meet a deadline, and what they may turn out to be.

    Model:
        The fewest of the counts that were looked at whose days, times what the days of the best way may be off by, meet the
        deadline: only these are known to divide the batch and the model. Beyond the largest of them the days fall as one over
        the count, in whole gangs.

    Args:
        options: the best way on each count of chips of several kinds.
        best: the one that was chosen; its kind of chip counts.
        deadline_s: the deadline.
        gang: chips come in multiples of this.
    """
    own = sorted({one.chips: one.days for one in options if one.chip == best.chip}.items())
    limit = deadline_s / DAY_S
    factors = [end / best.days for end in (best.days_interval.p05, best.days, best.days_interval.p50, best.days_interval.p95)]
    low, fewest, middle, high = (_count(own, limit / factor, gang) for factor in factors)
    return fewest, Interval(float(min(low, fewest)), float(min(max(middle, low), high)), float(max(high, fewest)))


def _count(own: list[tuple[int, float]], days: float, gang: int) -> int:
    """Fewest chips whose days do not pass a number."""
    holding = [count for count, each in own if each <= days * (1.0 + 1e-12)]
    if holding:
        return min(holding)
    most, fastest = own[-1]
    return max(most, math.ceil(most * fastest / days / gang - 1e-6) * gang)
