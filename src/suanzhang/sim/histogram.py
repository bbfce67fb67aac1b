"""Streaming histograms with logarithmic buckets: a billion latencies in a few kilobytes, within 0.8 %."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from suanzhang.jit import event
from suanzhang.spec.sim import LatencySummary

SUB_BITS = 6
"""Each factor of two is cut into 64 equal buckets: the middle of a bucket is within 1/128 of each value in it."""
LOWEST_EXPONENT = -24
HIGHEST_EXPONENT = 24
BUCKETS = (HIGHEST_EXPONENT - LOWEST_EXPONENT) << SUB_BITS
RELATIVE_ERROR = 0.5 ** (SUB_BITS + 1)
_SHIFT = 52 - SUB_BITS
_OFFSET = (1023 + LOWEST_EXPONENT) << SUB_BITS


@intrinsic
def _bits(typing_context: Any, value: Any) -> Any:
    """The 64 bits of a float as an integer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), generate


@event
def bucket(value: float) -> int:
    """Bucket of a value; values outside 2**-24 .. 2**24 go to the first and the last."""
    index = (_bits(value) >> _SHIFT) - _OFFSET  # type: ignore[call-arg]
    return min(max(index, 0), BUCKETS - 1)


def bucket_middles() -> NDArray[np.float64]:
    """Middle of every bucket."""
    index = np.arange(BUCKETS)
    octave = 2.0 ** (LOWEST_EXPONENT + (index >> SUB_BITS))
    middles: NDArray[np.float64] = octave * (1.0 + ((index & ((1 << SUB_BITS) - 1)) + 0.5) / (1 << SUB_BITS))
    return middles


def quantile(counts: NDArray[np.int64], share: float) -> float:
    """The value below which a share of the counted values lies, within 0.8 %; NaN of an empty histogram."""
    total = int(counts.sum())
    if total == 0:
        return float("nan")
    rank = min(max(int(np.ceil(share * total)), 1), total)
    return float(bucket_middles()[int(np.searchsorted(np.cumsum(counts), rank))])


def summarise(counts: NDArray[np.int64], moments: NDArray[np.float64]) -> LatencySummary:
    """Mean, percentiles and maximum of one latency from its buckets and its exact sum and maximum."""
    total = int(counts.sum())
    largest = float(moments[2]) if total else float("nan")
    p50, p90, p95, p99, p999 = (min(quantile(counts, share), largest) for share in (0.5, 0.9, 0.95, 0.99, 0.999))
    mean = float(moments[0]) / total if total else float("nan")
    return LatencySummary(mean=mean, p50=p50, p90=p90, p95=p95, p99=p99, p999=p999, max=largest, count=total)
