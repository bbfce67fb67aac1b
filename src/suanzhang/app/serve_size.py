"""Sizing: the fewest chips of one kind that carry a service within its latency targets."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from suanzhang.app.serve_args import batch_rules, front_factor, iteration_args, memory_bytes
from suanzhang.app.serve_estimate import MANY, estimate_serve, fitted, length_quantile, traffic_of
from suanzhang.errors import OutOfDomain
from suanzhang.perf.serving.args import IterationArgs
from suanzhang.perf.serving.memory import replica_memory
from suanzhang.perf.serving.precision import compute_dtype
from suanzhang.perf.serving.steady import (
    HIGHEST_LOAD,
    BatchRules,
    Traffic,
    best_open_rate,
    closed_loop,
    open_loop,
    open_loop_tail,
)
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import LengthSpec, ServiceSpec, SloSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.serve import ChipCount, OpenLoop, Refusal, ServeCoefficients, ServeEstimate, SizedService
from suanzhang.spec.stack import ServeStack

LEAST_USE = 0.15
"""Share of its capacity below which a replica counts as unable to meet the targets: it would idle to be fast enough."""
LOSSY = ("fp8", "int8", "int4", "fp4")
_Z99 = 2.3263
"""Standard score that 99 % do not exceed."""


@dataclass(frozen=True, slots=True)
class _Option:
    """One layout and precision with what one replica of it carries."""

    layout: ServeLayout
    weight_dtype: str
    kv_dtype: str
    capacity: float
    within: float


def serve_layouts(model: ModelSpec, chip: ChipSpec) -> Iterator[ServeLayout]:
    """Layouts that an engine could run: tensor ranks within the scale-up link, stages beyond, attention groups for experts."""
    domain = max(chip.scale_up_domain, chip.node.chips, 1)
    widest = min(domain, 64 if model.moe else 16)
    sizes = [2**k for k in range(7) if 2**k <= widest]
    for tp in sizes:
        if model.heads % tp:
            continue
        experts = model.moe.experts if model.moe else 0
        if experts and tp > 1 and experts % tp == 0:
            yield ServeLayout(tp=tp, ep=tp)
        for pp in (1, 2, 4, 8):
            if pp <= model.layers and tp * pp <= 64:
                yield ServeLayout(tp=tp, pp=pp)
    if model.moe:
        for dp in [2**k for k in range(1, 7) if 2**k <= max(domain, 64)]:
            for tp in (1, 2, 4):
                if tp * dp <= 64 and model.moe.experts % (tp * dp) == 0 and model.heads % tp == 0:
                    yield ServeLayout(tp=tp, dp=dp, ep=tp * dp)


def precisions(service: ServiceSpec, chip: ChipSpec) -> tuple[tuple[str, str], ...]:
    """Pairs of weight and cache dtype that may be tried on a chip."""
    half = compute_dtype(chip, "bf16")
    cache = service.kv_dtype or half
    if service.weight_dtype:
        return ((service.weight_dtype, cache),)
    pairs = [(half, cache)]
    if service.lossy_precision:
        for dtype in LOSSY:
            if dtype in chip.peak_flop_per_s or dtype == "int4":
                pairs.append((dtype, service.kv_dtype or ("fp8" if dtype in {"fp8", "fp4"} else half)))
    return tuple(pairs)


def _limits(service: ServiceSpec, floor: dict[str, float]) -> tuple[float, float, float, float, float]:
    """The targets, infinite where there is none.

    Where answers differ in length, the longest of a hundred decides when 99 % are complete: a limit of its pace stands for one
    of the whole, which the formulas would hold against the mean length.
    """
    slo = service.slo
    values = (slo.ttft_p50_s, slo.ttft_p99_s, slo.tpot_p50_s, slo.tpot_p99_s, slo.e2e_p99_s)
    a, b, c, d, e = (math.inf if value is None else value for value in values)
    if slo.e2e_p99_s is not None and service.output_tokens.kind != "fixed":
        pace = (slo.e2e_p99_s - floor["ttft_p50_s"]) / max(length_quantile(service.output_tokens, _Z99) - 1.0, 1.0)
        return a, b, min(c, pace), d, math.inf
    return a, b, c, d, e


def _floor(traffic: Traffic, output: LengthSpec, rules: BatchRules, args: IterationArgs) -> dict[str, float]:
    """The latencies of a replica that is almost idle: nothing can be faster on it."""
    rate = 1e-6
    s = open_loop(rate, math.inf, traffic, rules, args)
    t = open_loop_tail(rate, traffic, s, rules, args)
    e2e = t.ttft_p99 + (traffic.osl - 1.0) * t.tpot_p99
    if output.kind != "fixed":
        e2e = t.ttft_p50 + max(length_quantile(output, _Z99) - 1.0, 0.0) * t.tpot_p50
    return {
        "ttft_p50_s": t.ttft_p50,
        "ttft_p99_s": t.ttft_p99,
        "tpot_p50_s": t.tpot_p50,
        "tpot_p99_s": t.tpot_p99,
        "e2e_p99_s": e2e,
    }


def _missed(floor: dict[str, float], slo: SloSpec) -> list[str]:
    return [
        name
        for name, value in floor.items()
        if getattr(slo, name) is not None and value > getattr(slo, name)
    ]  # fmt: skip


@dataclass(slots=True)
class _Search:
    """What the search over layouts has found so far."""

    options: list[_Option]
    reasons: Counter[str]
    nearest: dict[str, float]
    tried: int = 0


def _try(
    search: _Search,
    service: ServiceSpec,
    chip: ChipSpec,
    stack: ServeStack,
    layout: ServeLayout,
    dtypes: tuple[str, str],
    coefficients: ServeCoefficients,
) -> None:
    """Add what one layout and precision can do to the search."""
    search.tried += 1
    weight, cache = dtypes
    work = OpenLoop(service.requests_per_s, service.input_tokens, service.output_tokens)
    traffic = traffic_of(work)
    prompt = 0.0 if stack.chunked_prefill else max(traffic.isl_p99, float(stack.max_batched_tokens))
    memory = replica_memory(service.model, memory_bytes(chip), layout, stack, weight, cache, prompt)
    longest = traffic.isl_p99 + traffic.osl * (1.0 + 2.0 * math.sqrt(traffic.osl_cv2))
    if not memory.fits or memory.kv_tokens / layout.dp < longest:
        search.reasons["memory"] += 1
        return
    args, _ = iteration_args(service.model, chip, layout, stack, weight, cache, coefficients)
    front = front_factor(coefficients, stack)
    rules, _ = batch_rules(stack, memory, layout, traffic.isl, traffic.osl, traffic.isl_cv2, front)
    floor = _floor(traffic, service.output_tokens, rules, args)
    for name, value in floor.items():
        search.nearest[name] = min(value, search.nearest.get(name, math.inf))
    missed = _missed(floor, service.slo)
    for name in missed:
        search.reasons[name] += 1
    capacity = closed_loop(MANY, traffic.isl, traffic.osl, rules, args).requests_per_s
    within = 0.0
    if not missed:
        within = best_open_rate(capacity, *_limits(service, floor), traffic, rules, args)
    search.options.append(_Option(layout, weight, cache, capacity, within))


def _replicas(rate: float, per_replica: float) -> int:
    return max(math.ceil(rate / per_replica - 1e-9), 1)


def _spares(service: ServiceSpec, replicas: int) -> int:
    return service.redundancy.count + math.ceil(service.redundancy.fraction * replicas - 1e-9)


def _chips(option: _Option, service: ServiceSpec, peak: float) -> int:
    n = _replicas(peak, option.within)
    return (n + _spares(service, n)) * option.layout.chips


def _refuse(service: ServiceSpec, chip: ChipSpec, search: _Search) -> Refusal:
    if not search.options:
        reason = f"{service.model.name} does not fit any layout of up to 64 x {chip.name} with this engine"
        binding: tuple[str, ...] = ("memory",)
    else:
        beyond = [
            name
            for name, value in search.nearest.items()
            if getattr(service.slo, name) is not None and value > getattr(service.slo, name)
        ]
        binding = tuple(sorted(beyond, key=lambda name: -search.reasons[name])) or ("latency targets together",)
        parts = [
            f"{name} of {getattr(service.slo, name):g} s, nearest reachable {search.nearest[name]:.3g} s" for name in beyond
        ]
        least = f"the latency targets together unless it runs below {LEAST_USE:.0%} of its capacity"
        reason = f"{chip.name} cannot meet " + ("; ".join(parts) or least)
    return Refusal(service.name, chip.id, reason, binding, dict(search.nearest), search.tried, dict(search.reasons))


def _at(
    service: ServiceSpec, chip: ChipSpec, stack: ServeStack, option: _Option, rate: float, c: ServeCoefficients
) -> ServeEstimate:
    work = OpenLoop(rate, service.input_tokens, service.output_tokens)
    return estimate_serve(service.model, chip, option.layout, stack, option.weight_dtype, option.kv_dtype, work, c)


def size_service(
    service: ServiceSpec, chip: ChipSpec, stack: ServeStack, coefficients: ServeCoefficients | None = None
) -> SizedService | Refusal:
    """The fewest chips of one kind that carry a service at its peak, within its latency targets and with its spares.

    Args:
        service: model, traffic, targets, redundancy.
        chip: kind of chip.
        stack: engine generation.
        coefficients: fitted coefficients; None for those that ship with the package.

    Returns:
        Chips under every condition (mean and peak load, with and without targets and spares), layout and precision,
        or the reason why no layout can and the nearest figures that one could reach.
    """
    c = coefficients or fitted()
    search = _Search([], Counter(), {})
    try:
        pairs = precisions(service, chip)
    except OutOfDomain as error:
        return Refusal(service.name, chip.id, str(error), ("arithmetic",))
    for layout in serve_layouts(service.model, chip):
        for dtypes in pairs:
            try:
                _try(search, service, chip, stack, layout, dtypes, c)
            except OutOfDomain as error:
                search.reasons[str(error)] += 1
    able = [option for option in search.options if option.within > LEAST_USE * option.capacity]
    if not able:
        return _refuse(service, chip, search)
    return _sized(service, chip, stack, search, able, c)


def _sized(
    service: ServiceSpec, chip: ChipSpec, stack: ServeStack, search: _Search, able: list[_Option], c: ServeCoefficients
) -> SizedService:
    mean, peak = service.requests_per_s, service.requests_per_s * service.load.peak_to_mean
    ranked = sorted(able, key=lambda option: (_chips(option, service, peak), -option.within / option.layout.chips))
    best = ranked[0]
    loosest = min(search.options, key=lambda option: _replicas(mean, option.capacity) * option.layout.chips)
    at_peak = _replicas(peak, best.within)
    spares = _spares(service, at_peak)
    at_mean = _replicas(mean, best.within)
    counts = []

    def count(condition: str, option: _Option, replicas: int, rate: float) -> None:
        share = rate / (replicas * option.capacity)
        counts.append(ChipCount(replicas * option.layout.chips, replicas, condition, rate, share))

    count("mean load, no latency limit, no spares", loosest, _replicas(mean, loosest.capacity), mean)
    count("mean load within the latency targets, no spares", best, at_mean, mean)
    count("peak load, no latency limit, no spares", loosest, _replicas(peak, loosest.capacity), peak)
    count("peak load within the latency targets, no spares", best, at_peak, peak)
    count("peak load within the latency targets, with spares", best, at_peak + spares, peak)
    total = at_peak + spares
    loaded = min(peak / at_peak, HIGHEST_LOAD * best.capacity)
    peak_estimate = _at(service, chip, stack, best, loaded, c)
    mean_estimate = _at(service, chip, stack, best, min(mean / total, loaded), c)
    power = mean_estimate.power_w_per_chip * total * best.layout.chips
    others = tuple(
        (option.layout, option.weight_dtype, _chips(option, service, peak)) for option in ranked[1:6]
    )  # fmt: skip
    return SizedService(
        service=service.name,
        chip=chip.id,
        chips=total * best.layout.chips,
        replicas=total,
        spare_replicas=spares,
        chips_mean=at_mean * best.layout.chips,
        replicas_mean=at_mean,
        chips_mean_no_slo=counts[0].chips,
        counts=tuple(counts),
        layout=best.layout,
        stack=stack.id,
        weight_dtype=best.weight_dtype,
        kv_dtype=best.kv_dtype,
        replica_requests_per_s=best.within,
        replica_requests_per_s_no_slo=best.capacity,
        peak=peak_estimate,
        mean=mean_estimate,
        utilisation_mean=mean / (total * best.capacity),
        energy_j_per_response=power / mean,
        power_w=power,
        power_peak_w=peak_estimate.power_w_per_chip * total * best.layout.chips,
        layouts_evaluated=search.tried,
        alternatives=others,
    )
