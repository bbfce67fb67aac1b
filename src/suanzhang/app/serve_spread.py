"""How far the figures of a service may be off: of a replica, of whole chips, and of percentiles that were simulated."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from suanzhang.app.spread import draw_factors, factors_by_metric, grade_of, grade_on, inverse
from suanzhang.evidence.conformal import Grade, multipliers
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import ServiceSpec
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.result import Z95, Interval, Term
from suanzhang.spec.serve import (
    ChipCount,
    ClosedLoop,
    OpenLoop,
    Percentiles,
    Refusal,
    ServeEstimate,
    ServeMemory,
    SizedService,
    Workload,
)

_RESOLUTION = 0.004
"""Half the width of a bucket of the histogram that simulated percentiles are read from, as a logarithm."""


@dataclass(frozen=True, slots=True)
class Off:
    """Measured over predicted figures of one replica.

    Args:
        ttft, tpot, e2e: latencies.
        rate: tokens and requests per second under the load asked about.
        capacity: the most that it carries.
        energy: energy of a token.
        draw: draw of a chip.
        memory: what a chip holds beside the cache.
        memory_basis: what that rests on.
    """

    ttft: Interval
    tpot: Interval
    e2e: Interval
    rate: Interval
    capacity: Interval
    energy: Interval
    draw: Interval
    memory: Interval
    memory_basis: str


def off_of(replica: ServeEstimate, work: Workload, model: ModelSpec, chip: ChipSpec) -> Off:
    """Factors of one replica under a load."""
    grade = grade_of(replica, chip)
    names = ("ttft_s", "tpot_s", "e2e_s", "output_tokens_per_s", "j_per_output_token")
    ttft, tpot, e2e, rate, energy = factors_by_metric(replica, work, model, chip, names, grade).values()
    isl, osl = (work.input.mean, work.output.mean) if isinstance(work, OpenLoop) else (work.isl, work.osl)
    busy = ClosedLoop(max(replica.running_batch, 1.0), isl, osl)
    capacity = factors_by_metric(replica, busy, model, chip, names[3:4], grade)[names[3]]
    return Off(ttft, tpot, e2e, rate, capacity, energy, draw_factors(), *memory_factors(grade))


def memory_factors(grade: Grade) -> tuple[Interval, str]:
    """Measured over predicted memory of a chip beside the cache, and what that rests on.

    No published row of a served model states its memory. The residuals of trainings do: there too most of it follows from the
    architecture, and the working set, the runtime and the allocator make the error.
    """
    found = multipliers("training", grade, 0.0, "memory_bytes")
    told = f"{found.rows} trainings of {found.sources} sources" if found.rows else "trainings on other chips"
    return Interval(found.p05, found.p50, found.p95), f"measured memory of {told}; no served model states its memory"


def spread_memory(memory: ServeMemory, factors: Interval, basis: str) -> ServeMemory:
    """Where the memory goes, with an interval at each part that does not follow from the architecture.

    Model:
        Weights, working set and reserve together err by the factors. What they take more or less, the cache has less or more;
        of the parts themselves the weights are known, so the others bear it in proportion.
    """
    loose = memory.activation_bytes + memory.reserve_bytes
    used = memory.weights_bytes + loose
    whole_ = used + memory.kv_bytes
    takes = around(used, factors)
    kv = Interval(*(max(whole_ - end, 0.0) for end in (takes.p95, takes.p50, takes.p05)))
    shares = [
        max((end - memory.weights_bytes) / loose, 0.0) if loose > 0.0 else 1.0 for end in (takes.p05, takes.p50, takes.p95)
    ]
    rest = Interval(*shares)
    room = memory.kv_bytes > 0.0
    return replace(
        memory,
        used_bytes_interval=takes,
        activation_bytes_interval=rest.scaled(memory.activation_bytes),
        reserve_bytes_interval=rest.scaled(memory.reserve_bytes),
        kv_bytes_interval=kv if room else None,
        kv_tokens_interval=kv.scaled(memory.kv_tokens / memory.kv_bytes) if room else None,
        basis=basis,
    )


def times(*factors: Interval) -> Interval:
    """The product of independent factors: of lognormals the variances of the logarithms add, on each side of the median."""
    middle = sum(math.log(one.p50) for one in factors)
    below = math.sqrt(sum(math.log(one.p50 / one.p05) ** 2 for one in factors))
    above = math.sqrt(sum(math.log(one.p95 / one.p50) ** 2 for one in factors))
    return Interval(math.exp(middle - below), math.exp(middle), math.exp(middle + above))


def around(value: float, factors: Interval, most: float = math.inf) -> Interval:
    """The interval of a predicted value, which it never leaves out, nowhere above ``most`` where it cannot be."""
    if not math.isfinite(value):
        return Interval(value, value, value)
    found = factors.scaled(value)
    low, middle, high = (min(end, most) for end in (found.p05, found.p50, found.p95))
    return Interval(min(low, value), middle, max(high, value))


def percentiles_around(values: Percentiles, factors: Interval, requests: float = 0.0, batch: float = 1.0) -> Percentiles:
    """Latencies with our interval at the mean and at each percentile.

    Model:
        The error of the model, and on simulated ones the chance in the requests that were drawn. The chance of a percentile
        ``q`` of ``n`` independent requests is ``sqrt(q/((1 - q) n))`` of the logarithm of the share above it, which the slope
        of the latency over that logarithm turns into one of the latency. Requests that run together see the same queue, so
        that only ``n`` over the batch are independent. Left out: that the tail may err by more than the mean.

    Args:
        values: mean and percentiles [s].
        factors: measured over predicted latency.
        requests: how many were simulated; 0 for formulas.
        batch: sequences that run at once.
    """
    chance = _chance(values, requests / max(batch, 1.0)) if requests > 0.0 else (0.0, 0.0, 0.0, 0.0)
    spans = []
    for value, error in zip((values.mean, values.p50, values.p90, values.p99), chance, strict=True):
        noise = Interval(math.exp(-Z95 * error), 1.0, math.exp(Z95 * error))
        spans.append(around(value, times(factors, noise) if error else factors))
    return replace(
        values, mean_interval=spans[0], p50_interval=spans[1], p90_interval=spans[2], p99_interval=spans[3],
    )  # fmt: skip


def _chance(values: Percentiles, count: float) -> tuple[float, float, float, float]:
    """Standard errors of the logarithm of a simulated mean, p50, p90 and p99 over so many independent requests."""
    count = max(count, 1.0)

    def slope(upper: float, lower: float, shares: float) -> float:
        return max(math.log(upper / lower), 0.0) / math.log(shares) if lower > 0.0 else 0.0

    low, high = slope(values.p90, values.p50, 5.0), slope(values.p99, values.p90, 10.0)
    found = (low * math.sqrt(1.0 / count), low * math.sqrt(1.0 / count), low * math.sqrt(9.0 / count))
    errors = (*found, high * math.sqrt(99.0 / count))
    a, b, c, d = (math.hypot(error, _RESOLUTION) for error in errors)
    return a, b, c, d


def spread_estimate(replica: ServeEstimate, off: Off) -> ServeEstimate:
    """What one replica does with an interval at each figure."""
    done, batch = replica.requests_simulated, replica.running_batch
    return replace(
        replica,
        memory=spread_memory(replica.memory, off.memory, off.memory_basis),
        ttft_s=percentiles_around(replica.ttft_s, off.ttft, done, batch),
        tpot_s=percentiles_around(replica.tpot_s, off.tpot, done, batch),
        e2e_s=percentiles_around(replica.e2e_s, off.e2e, done, batch),
        output_tokens_per_s_interval=around(replica.output_tokens_per_s, off.rate),
        requests_per_s_interval=around(replica.requests_per_s, off.rate),
        capacity_requests_per_s_interval=around(replica.capacity_requests_per_s, off.capacity),
        utilisation_interval=use_interval(replica.utilisation, off.capacity),
        running_batch_interval=around(batch, off.tpot, max(replica.batch_limit, batch)),
        decode_iteration_s_interval=around(replica.decode_iteration_s, off.tpot),
        terms=_spread_terms(replica.terms, off.tpot),
        prefill_terms=_spread_terms(replica.prefill_terms, off.ttft),
        power_w_per_chip_interval=around(replica.power_w_per_chip, off.draw),
        energy_j_per_response_interval=around(replica.energy_j_per_response, off.energy),
        energy_j_per_output_token_interval=around(replica.energy_j_per_output_token, off.energy),
    )


def _spread_terms(terms: tuple[Term, ...], factors: Interval) -> tuple[Term, ...]:
    """Parts of a time: each errs as the whole does."""
    return tuple(replace(term, value_interval=around(term.value, factors)) for term in terms)


def use_interval(value: float, capacity: Interval) -> Interval:
    """Share of a capacity in use, at most all of it."""
    return around(value, inverse(capacity), max(value, 1.0))


def whole(needed: Callable[[float], int], capacity: Interval, size: int = 1) -> Interval:
    """The whole count that would be needed, were the capacity so many times the predicted one: the more the less is carried.

    Args:
        needed: count at a capacity of so many times the predicted one.
        capacity: measured over predicted capacity.
        size: chips of each that is counted.
    """
    counts = [float(needed(factor) * size) for factor in (capacity.p95, capacity.p50, capacity.p05)]
    now = float(needed(1.0) * size)
    return Interval(min(counts[0], now), counts[1], max(counts[2], now))


def replicas_for(rate: float, per_replica: float) -> int:
    """Whole replicas that carry a rate."""
    return max(math.ceil(rate / per_replica - 1e-9), 1)


def spread_sized(sized: SizedService, service: ServiceSpec, chip: ChipSpec) -> SizedService:
    """A sized service with an interval at each figure: chips are those needed, were the capacity as far off as it may be."""
    peak, mean = service.requests_per_s * service.load.peak_to_mean, service.requests_per_s
    at_peak = off_of(sized.peak, OpenLoop(sized.peak.requests_per_s, service.input_tokens, service.output_tokens),
                     service.model, chip)  # fmt: skip
    at_mean = off_of(sized.mean, OpenLoop(sized.mean.requests_per_s, service.input_tokens, service.output_tokens),
                     service.model, chip)  # fmt: skip
    size, one, off = sized.layout.chips, sized.replica_requests_per_s, at_peak.capacity

    def spared(factor: float) -> int:
        return with_spares(service, replicas_for(peak, one * factor))

    return replace(
        sized,
        chips_interval=whole(spared, off, size),
        replicas_interval=whole(spared, off),
        chips_mean_interval=whole(lambda f: replicas_for(mean, one * f), off, size),
        replicas_mean_interval=whole(lambda f: replicas_for(mean, one * f), off),
        chips_mean_no_slo_interval=_spread_count(sized.counts[0], sized, service, off).chips_interval if sized.counts else None,
        counts=tuple(_spread_count(count, sized, service, off) for count in sized.counts),
        replica_requests_per_s_interval=around(one, off),
        replica_requests_per_s_no_slo_interval=around(sized.replica_requests_per_s_no_slo, off),
        peak=spread_estimate(sized.peak, at_peak),
        mean=spread_estimate(sized.mean, at_mean),
        utilisation_mean_interval=use_interval(sized.utilisation_mean, off),
        energy_j_per_response_interval=around(sized.energy_j_per_response, at_mean.energy),
        power_w_interval=around(sized.power_w, at_mean.draw),
        power_peak_w_interval=around(sized.power_peak_w, at_peak.draw),
    )


def spread_refusal(refused: Refusal, chip: ChipSpec) -> Refusal:
    """A refusal with our interval at the nearest figures that a chip could reach, by the grade of its timings alone."""
    if not refused.nearest:
        return refused
    grade, found = grade_on(chip, "bf16"), {}
    for name, value in refused.nearest.items():
        if name == "chips":
            factors = multipliers("serving", grade, 0.0, "output_tokens_per_s").inverse()
        else:
            factors = multipliers("serving", grade, 0.0, f"{name.split('_')[0]}_s")
        found[name] = around(value, Interval(factors.p05, factors.p50, factors.p95))
    return replace(refused, nearest_interval=found)


def with_spares(service: ServiceSpec, replicas: int) -> int:
    """Replicas with those kept for redundancy."""
    rule = service.redundancy
    return replicas + rule.count + math.ceil(rule.fraction * replicas - 1e-9)


def _spread_count(count: ChipCount, sized: SizedService, service: ServiceSpec, off: Interval) -> ChipCount:
    """A count with the one needed, were the capacity as far off as it may be."""
    size = count.chips // count.replicas
    spare = "with spares" in count.condition
    limited = "no latency limit" not in count.condition
    capacity = count.requests_per_s / (count.replicas * count.utilisation)
    one = sized.replica_requests_per_s if limited else capacity

    def needed(factor: float) -> int:
        carrying = replicas_for(count.requests_per_s, one * factor)
        return with_spares(service, carrying) if spare else carrying

    return replace(
        count,
        chips_interval=whole(needed, off, size),
        replicas_interval=whole(needed, off),
        utilisation_interval=use_interval(count.utilisation, off),
    )
