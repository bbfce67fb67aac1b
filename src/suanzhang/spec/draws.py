"""An interval as a distribution: values drawn from it, and the interval of values."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from suanzhang.spec.result import Z95, Interval

Floats = NDArray[np.float64]


def two_piece_lognormal(factor: Interval, z: Floats) -> Floats:
    """Values whose 5th, 50th and 95th percentile are those of a positive interval, from standard normal draws.

    Two halves of lognormals that meet at the median, so that an interval may lean to one side.
    """
    middle = math.log(factor.p50)
    below = (middle - math.log(factor.p05)) / Z95
    above = (math.log(factor.p95) - middle) / Z95
    return np.asarray(np.exp(middle + np.where(z < 0.0, below, above) * z))


def interval_of(values: Floats) -> Interval:
    """The 5th, 50th and 95th percentile of drawn values."""
    return Interval(*(float(value) for value in np.quantile(values, (0.05, 0.5, 0.95))))
