"""Prefill and decode on replicas of their own, possibly on different kinds of chip: what each carries, and both together."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from suanzhang.app.serve_size_way import CELL, HIGHEST_USE, Demand, Prepared, latencies, prepare, requests_at
from suanzhang.errors import Infeasible
from suanzhang.perf.serving.precision import kv_bytes
from suanzhang.sim.disaggregated import Disaggregated, Pool, simulate_disaggregated
from suanzhang.sim.replica import simulate
from suanzhang.spec.job import SloSpec
from suanzhang.spec.serve import Percentiles
from suanzhang.spec.serve_way import Way
from suanzhang.spec.sim import RequestBatch, SimResult

COUNT = 6_000
"""Requests of one run."""
WITHIN = 0.02
LEAST_LINK_BYTES_PER_S = 1e9


@dataclass(frozen=True, slots=True)
class Role:
    """What one replica of a pool carries within the targets that concern it.

    Args:
        way: how it runs.
        ready: its iteration times.
        requests_per_s: highest rate per replica; 0 when no rate meets the targets.
        simulated: requests of all runs.
    """

    way: Way
    ready: Prepared
    requests_per_s: float
    simulated: int

    @property
    def per_chip(self) -> float:
        """Highest rate per chip."""
        return self.requests_per_s / self.way.layout.chips


def link_bytes_per_s(sender: Way, receiver: Way) -> float:
    """Bandwidth at which a cache leaves a prefill replica: the slower of the two sides, all their network ports together."""
    sides = (way.chip.node.nic_bytes_per_s * way.layout.chips for way in (sender, receiver))
    return max(min(sides), LEAST_LINK_BYTES_PER_S)


def cache_bytes_per_token(way: Way) -> float:
    """Cache of one token over all layers."""
    return way.model.kv_bytes_per_token(kv_bytes(way.kv_dtype))


def _prompts(demand: Demand, rate: float, share: float) -> RequestBatch:
    batch = requests_at(demand, rate, COUNT, share)
    return replace(batch, output_tokens=np.ones(len(batch), np.int64))


def _answers(demand: Demand, rate: float) -> RequestBatch:
    batch = requests_at(demand, rate, COUNT)
    more = batch.output_tokens > 1
    inputs = batch.input_tokens[more] + 1
    return RequestBatch(batch.arrival_s[more], inputs, batch.output_tokens[more] - 1, inputs - 1)


def _highest(start: float, fine: object) -> float:
    """The highest rate that is fine, by doubling and halving."""
    assert callable(fine)
    low, high = 0.0, start
    for _ in range(12):
        if not fine(high):
            break
        low, high = high, 1.5 * high
    while high - low > WITHIN * high and high > 0.01 * start:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if fine(middle) else (low, middle)
    return low


def _over(limit: float | None, value: float) -> bool:
    return limit is not None and value > limit


def prefill_role(way: Way, demand: Demand, slo: SloSpec) -> Role:
    """A prefill replica: highest rate of prompts whose first token comes in time.

    Raises:
        InputError, OutOfDomain, Infeasible: the way cannot be.
    """
    ready, runs = prepare(way, demand.input, demand.output), 0

    def fine(rate: float) -> bool:
        nonlocal runs
        batch = _prompts(demand, rate * CELL, way.prefix.share)
        found = simulate(batch, ready.table, ready.settings, replicas=CELL, router="least-loaded", warmup_s=_warm(batch))
        runs += found.requests
        ttft = latencies(found, ready)[0]
        return not (_failed(found) or _over(slo.ttft_p50_s, ttft.p50) or _over(slo.ttft_p99_s, ttft.p99))

    alone = 0.5 * ready.settings.max_batched_tokens / demand.input.mean
    seconds = float(np.interp(0.5 * ready.settings.max_batched_tokens, ready.table.mixed_tokens, ready.table.mixed_base_s))
    return Role(way, ready, _highest(alone / seconds, fine) * (1.0 if slo.any else HIGHEST_USE), runs)


def decode_role(way: Way, demand: Demand, slo: SloSpec, transfer_s: float = 0.0) -> Role:
    """A decode replica: highest rate of answers whose tokens come in time, the transfer of the cache included.

    Raises:
        InputError, OutOfDomain, Infeasible: the way cannot be.
    """
    ready, runs = prepare(way, demand.input, demand.output), 0
    extra = transfer_s / max(demand.output.mean - 1.0, 1.0)

    def fine(rate: float) -> bool:
        nonlocal runs
        batch = _answers(demand, rate * CELL)
        found = simulate(batch, ready.table, ready.settings, replicas=CELL, router="least-loaded", warmup_s=_warm(batch))
        runs += found.requests
        tpot = latencies(found, ready)[1]
        return not (_failed(found) or _over(slo.tpot_p50_s, tpot.p50 + extra) or _over(slo.tpot_p99_s, tpot.p99 + extra))

    return Role(way, ready, _highest(ready.estimate.capacity_requests_per_s, fine) * (1.0 if slo.any else HIGHEST_USE), runs)


def _warm(batch: RequestBatch) -> float:
    return 0.2 * float(batch.arrival_s[-1])


def _failed(found: SimResult) -> bool:
    return found.overloaded or found.rejected > 0


def together(prefill: Role, decode: Role, demand: Demand, replicas: tuple[int, int], rate: float) -> Disaggregated | None:
    """Both pools in one simulation at a rate over all of them, scaled down to a few replicas; None when a pool falls behind."""
    scale = min(1.0, 12.0 / max(sum(replicas), 1))
    pair = [max(round(count * scale), 1) for count in replicas]
    share = rate * min(pair[0] / replicas[0], pair[1] / replicas[1])
    pools = [
        Pool(role.ready.table, role.ready.settings, count, "least-loaded")
        for role, count in zip((prefill, decode), pair, strict=True)
    ]
    try:
        return simulate_disaggregated(
            requests_at(demand, share, COUNT, prefill.way.prefix.share), *pools,
            kv_bytes_per_token=cache_bytes_per_token(prefill.way),
            link_bytes_per_s=link_bytes_per_s(prefill.way, decode.way),
        )  # fmt: skip
    except Infeasible:
        return None


def percentiles(four: tuple[float, float, float, float], ready: Prepared | None = None, front: float = 0.0) -> Percentiles:
    """Mean and percentiles of a pair of pools, with the time before the engine and through the stages of a pipeline."""
    pipe = ready.pipe_s if ready is not None else (0.0, 0.0, 0.0, 0.0)
    mean, p50, p90, p99 = (value + extra + front for value, extra in zip(four, pipe, strict=True))
    return Percentiles(mean, p50, p90, p99)
