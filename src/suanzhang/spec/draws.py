"""An interval as a distribution: values drawn from it, and the interval of values."""

from __future__ import annotations

import math
import zlib
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from suanzhang.spec.result import Z95, Interval

Floats = NDArray[np.float64]
DRAWS = 2000
"""Draws of one factor: the ends of an interval are then good to about 3 % of its width."""


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


@cache
def standard_normal(name: str, count: int = DRAWS) -> Floats:
    """Standard normal draws that belong to a name: the same wherever it is asked, so that one cause moves everything alike.

    They are the quantiles of the distribution in a random order, so that the percentiles of a single factor are exact.

    Args:
        name: of the cause.
        count: of the draws.
    """
    quantiles = _quantiles(count)
    order = np.random.default_rng(zlib.crc32(name.encode())).permutation(count)
    found = quantiles[order]
    found.flags.writeable = False
    return found


@cache
def _quantiles(count: int) -> Floats:
    normal = NormalDist()
    return np.asarray([normal.inv_cdf((step + 0.5) / count) for step in range(count)])


def stratified_normal(stream: np.random.Generator, count: int) -> Floats:
    """Standard normal draws for few draws: the quantiles of the distribution in the random order of a stream."""
    return _quantiles(count)[stream.permutation(count)]


def in_order_of(values: Floats) -> Floats:
    """Standard normal values in the order of others: what is left of their distribution is who comes first."""
    found = np.empty(len(values))
    found[np.argsort(values, kind="stable")] = _quantiles(len(values))
    return found


def interval_of(values: Floats) -> Interval:
    """The 5th, 50th and 95th percentile of drawn values."""
    return Interval(*(float(value) for value in np.quantile(values, (0.05, 0.5, 0.95))))
