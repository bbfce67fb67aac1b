"""Warm-up, replications and confidence intervals: what a simulated number is worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from suanzhang.errors import InputError
from suanzhang.spec.sim import Floats, RequestBatch, SimResult

# 97.5th percentiles of Student's t for 1 to 30 degrees of freedom; beyond, 1.96 + 2.4/n is within 0.2 %.
_T975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over replications with its 95 % confidence interval.

    Args:
        mean: over the replications.
        half_width: half of the interval; infinite for a single replication.
        replications: how many.
    """

    mean: float
    half_width: float
    replications: int

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.mean + self.half_width

    def covers(self, value: float) -> bool:
        """Whether a value lies in the interval."""
        return self.low <= value <= self.high


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and 95 % interval of independent values, by Student's t.

    Raises:
        InputError: there are no values.
    """
    count = len(values)
    if count == 0:
        raise InputError("replications: none given", fix="run at least one")
    mean = float(np.mean(values))
    if count == 1:
        return Estimate(mean, math.inf, 1)
    freedom = count - 1
    quantile = _T975[freedom - 1] if freedom <= len(_T975) else 1.96 + 2.4 / freedom
    return Estimate(mean, quantile * float(np.std(values, ddof=1)) / math.sqrt(count), count)


@dataclass(frozen=True, slots=True)
class Replications:
    """Independent runs of one case, each with its own seed.

    Args:
        runs: the results, in order of their seeds.
    """

    runs: tuple[SimResult, ...]

    def of(self, value: Callable[[SimResult], float]) -> Estimate:
        """One quantity with its interval, such as ``of(lambda run: run.ttft_s.p99)``."""
        return estimate([value(run) for run in self.runs])

    @property
    def overloaded(self) -> bool:
        """Whether most runs piled up requests."""
        return 2 * sum(run.overloaded for run in self.runs) > len(self.runs)


def replicate(
    draw: Callable[[int], RequestBatch],
    run: Callable[[RequestBatch, float, int], SimResult],
    *,
    replications: int = 5,
    seed: int = 0,
    warmup: float = 0.1,
) -> Replications:
    """Run a case with several seeds, the first part of each left out of the statistics.

    Args:
        draw: the requests of a seed.
        run: the result of requests, a warm-up [s] and a seed.
        replications: how many.
        seed: of the first; the others follow.
        warmup: share of the time of the arrivals that is not counted.

    Returns:
        The runs.

    Raises:
        InputError: fewer than one replication, or a warm-up that leaves nothing.
    """
    if replications < 1 or not 0.0 <= warmup < 1.0:
        raise InputError(
            f"replications: {replications} with a warm-up of {warmup:g}", fix="at least one run, and a warm-up of 0 to below 1"
        )
    runs = []
    for number in range(replications):
        requests = draw(seed + number)
        span = float(requests.arrival_s[-1] - requests.arrival_s[0])
        runs.append(run(requests, warmup * span, seed + number))
    return Replications(tuple(runs))


def settled_after(values: Floats, batch: int = 50) -> int:
    """Where a series has left its start behind: the cut that minimises the error of the mean of the rest.

    The marginal standard error rule (MSER) on means of ``batch`` values; at most half is cut.

    Args:
        values: in order of time.
        batch: values per mean.

    Returns:
        How many values to leave out.
    """
    count = len(values) // batch
    if count < 4:
        return 0
    means = np.asarray(values[: count * batch]).reshape(count, batch).mean(axis=1)
    means -= means.mean()
    left = np.arange(count, 0.0, -1.0)
    sums, squares = (np.cumsum(part[::-1])[::-1] for part in (means, means * means))
    scores = (squares - sums * sums / left) / (left * left)
    return int(np.argmin(scores[: count // 2])) * batch
