"""Requests out of random numbers: Poisson or bursty arrivals under any load shape, and lengths of three kinds.

Arrivals are a renewal process in operational time, in which the rate is one, carried to the clock by the inverse of
the expected count. So one stream serves every load shape, and the same seed gives the same requests in pieces of
any size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from suanzhang.errors import InputError
from suanzhang.jit import event_loop
from suanzhang.spec.draws import lognormal_sigma
from suanzhang.spec.job import LengthSpec, LoadSpec
from suanzhang.spec.result import Z95
from suanzhang.spec.sim import Floats, Ints, RequestBatch
from suanzhang.units import DAY_S

MAX_TOKENS = 32_768
"""Lengths are cut here; a longer context than most engines serve."""
SLOT_S = 60.0
"""The rate is constant over a slot of a load shape."""
PIECE = 32_768


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests of a service.

    Args:
        requests_per_s: mean rate over the day.
        input_tokens, output_tokens: length distributions.
        load: how the rate moves over the day.
        burstiness: coefficient of variation of the gaps between arrivals; 1 is Poisson, above it gamma bursts.
        max_tokens: lengths are cut here.
        cached: share of each prompt that a replica holds already.
        urgent: share of the requests that go before the others.
        cancelled: share of the answers that their reader stops, each at any of its tokens alike.
    """

    requests_per_s: float
    input_tokens: LengthSpec
    output_tokens: LengthSpec
    load: LoadSpec = field(default_factory=LoadSpec)
    burstiness: float = 1.0
    max_tokens: int = MAX_TOKENS
    cached: float = 0.0
    urgent: float = 0.0
    cancelled: float = 0.0


def lognormal_parameters(mean: float, p95: float) -> tuple[float, float]:
    """Mean and deviation of the logarithm, of the two roots the one with the smaller deviation.

    Raises:
        InputError: no lognormal distribution has such a mean and 95th percentile.
    """
    ratio = p95 / mean if mean > 0.0 else 0.0
    if not 1.0 <= ratio <= math.exp(Z95**2 / 2.0):
        raise InputError(
            f"lengths: no lognormal distribution has mean {mean:g} and 95th percentile {p95:g}",
            fix=f"the 95th percentile must be 1 to {math.exp(Z95**2 / 2.0):.2f} times the mean",
        )
    sigma = lognormal_sigma(ratio)
    return math.log(mean) - sigma**2 / 2.0, sigma


def lengths(spec: LengthSpec, count: int, draws: np.random.Generator, max_tokens: int = MAX_TOKENS) -> Ints:
    """Whole token counts of at least 1, rounded and cut at ``max_tokens``.

    Raises:
        InputError: the mean is below 1 or the distribution does not exist.
    """
    if not spec.mean >= 1.0:
        raise InputError(f"lengths: mean of {spec.mean:g} tokens", fix="give a mean of at least 1 token")
    if spec.kind == "fixed":
        values = np.full(count, float(spec.mean))
    elif spec.kind == "uniform":
        half = (spec.p95 - spec.mean) / 0.9
        if not 0.0 <= half < spec.mean:
            raise InputError(
                f"lengths: no uniform distribution has mean {spec.mean:g} and 95th percentile {spec.p95:g}",
                fix="the 95th percentile must be 1 to 1.9 times the mean",
            )
        values = draws.uniform(spec.mean - half, spec.mean + half, count)
    else:
        mu, sigma = lognormal_parameters(spec.mean, spec.p95)
        values = draws.standard_normal(count)
        values *= sigma
        values += mu
        np.exp(values, out=values)
    np.rint(values, out=values)
    np.clip(values, 1.0, float(max_tokens), out=values)
    return values.astype(np.int64)


def rate_table(traffic: Traffic) -> Floats:
    """Mean rate in each slot of a day [requests/s]; the diurnal shape is a sinusoid with its peak at ``peak_hour``.

    Raises:
        InputError: the rate is not positive, or the peak is not 1 to 2 times the mean of a sinusoid.
    """
    rate, peak = traffic.requests_per_s, traffic.load.peak_to_mean
    if not (math.isfinite(rate) and rate > 0.0):
        raise InputError(f"requests_per_s: {rate:g} is not positive", fix="give a rate above 0")
    slots = round(DAY_S / SLOT_S)
    if traffic.load.shape == "flat":
        return np.full(slots, rate)
    if not 1.0 <= peak <= 2.0:
        raise InputError(f"peak_to_mean: {peak:g}", fix="a sinusoid that is never negative has a peak of 1 to 2 times its mean")
    middle = (np.arange(slots) + 0.5) * SLOT_S
    shape = 1.0 + (peak - 1.0) * np.cos(2.0 * math.pi * (middle / DAY_S - traffic.load.peak_hour / 24.0))
    return np.asarray(np.maximum(rate * shape, 1e-9 * rate), np.float64)


@event_loop
def to_clock(gaps: Floats, place: Floats, rates: Floats, slot_s: float, arrivals: Floats) -> None:
    """Carry gaps of operational time to the clock; ``place`` holds the time and goes on from piece to piece."""
    now, slots = place[0], len(rates)
    slot = int(now / slot_s)
    end = (slot + 1) * slot_s
    rate = rates[slot % slots]
    for i in range(len(gaps)):
        gap = gaps[i]
        while now + gap / rate >= end:
            gap = max(gap - (end - now) * rate, 0.0)
            now = end
            slot += 1
            end = (slot + 1) * slot_s
            rate = rates[slot % slots]
        now += gap / rate
        arrivals[i] = now
    place[0] = now


def stream(
    traffic: Traffic, count: int, seed: int, cell: int = 0, cells: int = 1, start_s: float = 0.0
) -> Iterator[RequestBatch]:
    """The requests of one of several equal cells, in pieces, in order of arrival.

    Args:
        traffic: of all cells together.
        count: requests of this cell.
        seed: of the run.
        cell: number of the cell; each has its own streams of random numbers.
        cells: number of cells, which share the rate equally.
        start_s: time of day at which the stream begins [s].

    Yields:
        Pieces of at most ``PIECE`` requests; arrivals are counted from midnight.
    """
    gaps_draws, input_draws, output_draws, cancel_draws, urgent_draws = (
        np.random.Generator(np.random.SFC64(np.random.SeedSequence(entropy=seed, spawn_key=(cell, kind))))
        for kind in (0, 1, 2, 4, 5)
    )
    for name, value in (("cached", traffic.cached), ("urgent", traffic.urgent), ("cancelled", traffic.cancelled)):
        if not 0.0 <= value <= 1.0:
            raise InputError(f"{name}: {value:g} is no fraction", fix="give a share from 0 to 1")
    if not traffic.burstiness > 0.0:
        raise InputError(f"burstiness: {traffic.burstiness:g} is not positive", fix="1 is Poisson, 2 is bursty")
    rates = rate_table(traffic) / cells
    place = np.array([start_s])
    shape = 1.0 / traffic.burstiness**2
    for first in range(0, count, PIECE):
        size = min(PIECE, count - first)
        if traffic.burstiness == 1.0:
            gaps = gaps_draws.standard_exponential(size)
        else:
            gaps = gaps_draws.standard_gamma(shape, size) / shape
        arrivals = np.empty(size)
        to_clock(gaps, place, rates, SLOT_S, arrivals)
        inputs = lengths(traffic.input_tokens, size, input_draws, traffic.max_tokens)
        outputs = lengths(traffic.output_tokens, size, output_draws, traffic.max_tokens)
        if traffic.cancelled > 0.0:
            outputs = stopped_early(outputs, traffic.cancelled, cancel_draws)
        cached = (inputs * traffic.cached).astype(np.int64) if traffic.cached > 0.0 else None
        urgent = (urgent_draws.random(size) < traffic.urgent).astype(np.int64) if traffic.urgent > 0.0 else None
        yield RequestBatch(arrivals, inputs, outputs, cached, urgent)


def stopped_early(outputs: Ints, share: float, draws: np.random.Generator) -> Ints:
    """Answer lengths when a share of them is stopped by its reader, each at any of its tokens alike."""
    stopped = draws.random(len(outputs)) < share
    kept = np.maximum(np.ceil(outputs * draws.random(len(outputs))), 1.0).astype(np.int64)
    return np.where(stopped, kept, outputs)


def draw(traffic: Traffic, count: int, seed: int) -> RequestBatch:
    """So many requests in one piece.

    Raises:
        InputError: the traffic cannot be drawn, or no request is asked for.
    """
    if count < 1:
        raise InputError(f"requests: {count} asked for", fix="ask for at least 1")
    return joined(list(stream(traffic, count, seed)))


def joined(pieces: list[RequestBatch]) -> RequestBatch:
    """Pieces of a stream as one."""
    return RequestBatch(
        np.concatenate([piece.arrival_s for piece in pieces]),
        np.concatenate([piece.input_tokens for piece in pieces]),
        np.concatenate([piece.output_tokens for piece in pieces]),
        _joined([piece.cached_tokens for piece in pieces]),
        _joined([piece.urgent for piece in pieces]),
    )


def _joined(columns: list[Ints | None]) -> Ints | None:
    found = [column for column in columns if column is not None]
    return np.concatenate(found) if found else None
