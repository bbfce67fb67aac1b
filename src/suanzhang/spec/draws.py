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


def lognormal_sigma(ratio: float, z: float = Z95) -> float:
    """Deviation of the logarithm of a lognormal whose percentile at ``z`` is ``ratio`` times its mean: the smaller root.

    A ratio that no lognormal has, above ``exp(z**2 / 2)``, gives that of the largest one.

    Example:
        >>> sigma = lognormal_sigma(2.0)
        >>> round(math.exp(Z95 * sigma - sigma**2 / 2), 9)
        2.0
    """
    return z - math.sqrt(max(z**2 - 2.0 * math.log(max(ratio, 1.0)), 0.0))


def interval_of(values: Floats) -> Interval:
    """The 5th, 50th and 95th percentile of drawn values."""
    return Interval(*(float(value) for value in np.quantile(values, (0.05, 0.5, 0.95))))
