"""Lengths of answers, and how many micro-batches they fill."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from suanzhang.spec.draws import lognormal_sigma
from suanzhang.spec.post_training import RolloutSpec
from suanzhang.spec.sim import Ints

LEAST_SIGMA = 0.6
"""Least deviation of the logarithm of a length before the longest cuts it: models that think differ that much between
questions, also where most of their answers reach the limit."""

REACH = 2.0537489106318225
"""98th percentile of the standard normal."""

_NORMAL = NormalDist()


def cut_mean(middle: float, sigma: float, most: float) -> float:
    """Mean of a lognormal that is cut at the longest.

    Args:
        middle: mean of the logarithm.
        sigma: deviation of the logarithm.
        most: the longest.

    Example:
        >>> round(cut_mean(0.0, 1e-6, 5.0), 3)
        1.0
    """
    z = (math.log(most) - middle) / sigma
    return math.exp(middle + 0.5 * sigma**2) * _NORMAL.cdf(z - sigma) + most * (1.0 - _NORMAL.cdf(z))


def _middle(mean: float, sigma: float, most: float) -> float:
    """Mean of the logarithm that gives a mean after the cut."""
    low, high = math.log(mean) - sigma**2, math.log(most) + 8.0 * sigma
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if cut_mean(middle, sigma, most) < mean else (low, middle)
    return 0.5 * (low + high)


def lengths(rollout: RolloutSpec, count: int, seed: int) -> Ints:
    """Tokens of answers: lognormal with the mean asked for, cut at the longest.

    Model:
        The spread is that at which two in a hundred answers reach the longest, and at least ``LEAST_SIGMA``: where the mean
        lies near the longest, more answers reach it. The lengths are the quantiles in a random order, so that their mean is
        that asked for whatever the seed.
    """
    mean, most = rollout.response_tokens, rollout.response_max
    if most <= 1.02 * mean:
        return np.full(count, round(mean), dtype=np.int64)
    sigma = max(LEAST_SIGMA, lognormal_sigma(most / mean, REACH))
    middle = _middle(mean, sigma, most)
    shares = (np.arange(count) + 0.5) / count
    drawn = np.exp(middle + sigma * np.array([_NORMAL.inv_cdf(float(share)) for share in shares]))
    whole = np.clip(np.rint(drawn), 1, most).astype(np.int64)
    return np.asarray(np.random.default_rng(seed).permutation(whole), dtype=np.int64)


def bins(tokens: Ints, capacity: int) -> int:
    """Micro-batches that sequences fill when each is put into the first that has room, longest first.

    Example:
        >>> bins(np.array([60, 50, 40, 30, 20]), 100)
        2
    """
    room = np.full(len(tokens), capacity, dtype=np.int64)
    used = 0
    for size in -np.sort(-tokens):
        place = int(np.argmax(room >= min(int(size), capacity)))
        room[place] -= size
        used = max(used, place + 1)
    return used
