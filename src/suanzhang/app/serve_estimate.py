"""What one replica does with a workload, by steady-state formulas."""

from __future__ import annotations

import math
from functools import cache

from suanzhang.app.serve_args import batch_rules, check_layout, front_factor, iteration_args, memory_bytes
from suanzhang.app.serve_energy import replica_power_w
from suanzhang.errors import Infeasible
from suanzhang.perf.serving.args import IterationArgs
from suanzhang.perf.serving.iteration import iteration_terms
from suanzhang.perf.serving.memory import activation_bytes, replica_memory
from suanzhang.perf.serving.rounds import first_token_s, token_s
from suanzhang.perf.serving.steady import (
    BatchRules,
    Steady,
    Traffic,
    closed_loop,
    open_loop,
    open_loop_tail,
    static_batch,
)
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.draws import lognormal_sigma
from suanzhang.spec.job import LengthSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.result import Term
from suanzhang.spec.serve import (
    ClosedLoop,
    OpenLoop,
    Percentiles,
    ServeCoefficients,
    ServeEstimate,
    ServeMemory,
    StaticBatch,
    Workload,
    check_workload,
)
from suanzhang.spec.stack import ServeStack
from suanzhang.units import GIB

MANY = 1e7
"""Concurrency that keeps any replica full."""

_KINDS = {
    "projections": "memory",
    "prefill_attention": "compute",
    "decode_attention": "memory",
    "mixer": "memory",
    "ffn": "memory",
    "experts": "memory",
    "elementwise": "memory",
    "tensor_comm": "communication",
    "expert_comm": "communication",
    "pipeline_comm": "communication",
    "head": "memory",
    "launch": "host",
    "host": "host",
}


@cache
def fitted() -> ServeCoefficients:
    """The coefficients that ship with the package."""
    from suanzhang.app.serve_fit import load_coefficients

    return load_coefficients()


def length_quantile(length: LengthSpec, z: float) -> float:
    """Tokens that a share of the requests does not exceed, by its standard score: 0 for half, 2.3263 for 99 %."""
    if length.kind == "fixed":
        return length.mean
    if length.kind == "uniform":
        share = {0.0: 0.5, 1.2816: 0.9, 2.3263: 0.99}[z]
        half = (length.p95 - length.mean) / 0.45
        return length.mean + half * (share - 0.5)
    sigma = lognormal_sigma(length.p95 / length.mean)
    return length.mean * math.exp(-0.5 * sigma**2 + z * sigma)


def _cv2(length: LengthSpec) -> float:
    if length.kind == "fixed":
        return 0.0
    if length.kind == "uniform":
        half = (length.p95 - length.mean) / 0.45
        return (half / length.mean) ** 2 / 12.0
    return math.exp(lognormal_sigma(length.p95 / length.mean) ** 2) - 1.0


def traffic_of(work: OpenLoop) -> Traffic:
    """Lengths of an open loop as the steady-state formulas take them."""
    i, o = work.input, work.output
    return Traffic(i.mean, o.mean, _cv2(i), _cv2(o), length_quantile(i, 1.2816), length_quantile(i, 2.3263))


def _terms(load: tuple[float, float, float, float, float], args: IterationArgs) -> tuple[Term, ...]:
    parts = iteration_terms(*load, args)
    formula = "suanzhang.perf.serving.iteration.iteration_terms"
    return tuple(Term(name, value, "s", formula) for name, value in zip(parts._fields, parts, strict=True) if value > 0.0)


def _bound_by(terms: tuple[Term, ...], by: str, full: bool) -> str:
    if full and by == "kv-capacity":
        return by
    sums: dict[str, float] = {}
    for term in terms:
        kind = _KINDS[term.name]
        sums[kind] = sums.get(kind, 0.0) + term.value
    return max(sums, key=lambda kind: sums[kind])


def _lengths(workload: Workload) -> tuple[float, float]:
    if isinstance(workload, OpenLoop):
        return workload.input.mean, workload.output.mean
    return workload.isl, workload.osl


def serve_memory(
    model: ModelSpec, chip: ChipSpec, layout: ServeLayout, stack: ServeStack, weight: str, kv: str, workload: Workload
) -> ServeMemory:
    """Memory of one replica under a workload.

    Raises:
        Infeasible: the model and one request do not fit.
    """
    isl, osl = _lengths(workload)
    tokens = 0.0
    if isinstance(workload, StaticBatch):
        tokens = min(workload.batch * isl / layout.dp, 65536.0)
    elif not stack.chunked_prefill:
        tokens = max(isl, float(min(stack.max_batched_tokens, 65536)))
    memory = replica_memory(model, memory_bytes(chip), layout, stack, weight, kv, tokens)
    needed = (isl + osl) * memory.kv_bytes_per_token + memory.state_bytes_per_seq
    if memory.fits and memory.kv_bytes >= needed:
        return memory
    total = memory.weights_bytes + activation_bytes(model, layout, stack, tokens or stack.max_batched_tokens) + needed
    raise Infeasible(
        f"{model.name} in {weight} does not fit {layout.chips} x {chip.name} (tp={layout.tp}, pp={layout.pp}, dp={layout.dp})",
        binding=[
            f"memory of a chip: {total / GIB:.1f} GiB and the engine's reserve against {memory_bytes(chip) / GIB:.1f} GiB"
        ],
        fix="use more chips per replica or narrower weights",
    )


def _steady(workload: Workload, rules: BatchRules, args: IterationArgs) -> tuple[Steady, Percentiles, Percentiles, float, bool]:
    """The steady state, both latencies, the capacity and whether arrivals exceed it."""
    if isinstance(workload, StaticBatch):
        s = static_batch(float(workload.batch), workload.isl, workload.osl, args)
        return s, Percentiles.constant(s.ttft_s + rules.call_s), Percentiles.constant(s.tpot_s), s.requests_per_s, False
    isl, osl = _lengths(workload)
    full = closed_loop(MANY, isl, osl, rules, args).requests_per_s
    if isinstance(workload, ClosedLoop):
        s = closed_loop(workload.concurrency, isl, osl, rules, args)
        burst = workload.requests if workload.together else 0.0
        ttft = first_token_s(s, workload.concurrency, burst, isl, osl, workload.spread, rules, args)
        tpot = token_s(s, workload.concurrency, burst, isl, osl, rules, args)
        return s, Percentiles(ttft, s.ttft_s, 1.5 * ttft, 2.0 * ttft), Percentiles.constant(tpot), full, False
    traffic = traffic_of(workload)
    s = open_loop(workload.requests_per_s, full, traffic, rules, args)
    if s.stable == 0.0:
        s = closed_loop(MANY, isl, osl, rules, args)
        endless = Percentiles.constant(math.inf)
        return s, endless, Percentiles.constant(s.tpot_s), full, True
    t = open_loop_tail(workload.requests_per_s, traffic, s, rules, args)
    ttft_p = Percentiles(s.ttft_s, t.ttft_p50, t.ttft_p90, t.ttft_p99)
    return s, ttft_p, Percentiles(s.tpot_s, t.tpot_p50, t.tpot_p90, t.tpot_p99), full, False


def _end_to_end(ttft: Percentiles, tpot: Percentiles, workload: Workload, osl: float) -> Percentiles:
    """From arrival to the last token. Where lengths differ, they and not the pace decide who waits longest."""
    mean = ttft.mean + tpot.mean * (osl - 1.0)
    if isinstance(workload, OpenLoop) and workload.output.kind != "fixed":
        p50, p90, p99 = (max(length_quantile(workload.output, z) - 1.0, 0.0) for z in (0.0, 1.2816, 2.3263))
        first, pace = ttft.mean, tpot.mean
        return Percentiles(mean, first + pace * p50, first + pace * p90, first + pace * p99)
    steps = osl - 1.0
    return Percentiles(mean, ttft.p50 + tpot.p50 * steps, ttft.p90 + tpot.p90 * steps, ttft.p99 + tpot.p99 * steps)


def estimate_serve(
    model: ModelSpec,
    chip: ChipSpec,
    layout: ServeLayout,
    stack: ServeStack,
    weight_dtype: str,
    kv_dtype: str,
    workload: Workload,
    coefficients: ServeCoefficients | None = None,
) -> ServeEstimate:
    """What one replica does with a workload, by steady-state formulas.

    Args:
        model: shape.
        chip: kind of chip.
        layout: of the replica.
        stack: engine generation.
        weight_dtype, kv_dtype: storage formats; an empty cache dtype means 16 bit.
        workload: static batch, closed loop or open loop.
        coefficients: fitted coefficients; None for those that ship with the package.

    Returns:
        Latencies, rates, memory, energy and the terms of the iteration.

    Raises:
        InputError: layout, format or workload cannot be.
        OutOfDomain: the chip lacks the arithmetic of the format.
        Infeasible: the model and one request do not fit the memory.
    """
    check_workload(workload)
    if isinstance(workload, ClosedLoop) and workload.split is not None:
        from suanzhang.app.serve_split import estimate_split

        return estimate_split(model, chip, layout, stack, weight_dtype, kv_dtype, workload, coefficients)
    check_layout(model, layout, stack.pads_heads)
    kv_dtype = kv_dtype or "bf16"
    args, origin = iteration_args(model, chip, layout, stack, weight_dtype, kv_dtype, coefficients or fitted())
    isl, osl = _lengths(workload)
    memory = serve_memory(model, chip, layout, stack, weight_dtype, kv_dtype, workload)
    spread = _cv2(workload.input) if isinstance(workload, OpenLoop) else 0.0
    front = front_factor(coefficients or fitted(), stack)
    rules, by = batch_rules(stack, memory, layout, isl, osl, spread, front)
    s, ttft, tpot, capacity, saturated = _steady(workload, rules, args)
    e2e = _end_to_end(ttft, tpot, workload, osl)
    context = s.decoding * (isl + 0.5 * osl)
    terms = _terms((0.0, 0.0, 0.0, s.decoding, context), args)
    first = float(workload.batch) if isinstance(workload, StaticBatch) else 1.0
    prefill_terms = _terms((first, first * isl, 0.0, 0.0, 0.0), args)
    power = replica_power_w(model, chip, layout, args, s, isl, osl)
    per_token = power * layout.chips / (s.requests_per_s * osl)
    full = s.running >= 0.999 * rules.limit
    return ServeEstimate(
        chips=layout.chips,
        layout=layout,
        stack=stack.id,
        weight_dtype=weight_dtype,
        kv_dtype=kv_dtype,
        ttft_s=ttft,
        tpot_s=tpot,
        e2e_s=e2e,
        output_tokens_per_s=s.requests_per_s * osl,
        requests_per_s=s.requests_per_s,
        capacity_requests_per_s=capacity,
        utilisation=1.0 if saturated else min(s.requests_per_s / capacity, 1.0),
        saturated=saturated,
        running_batch=s.running,
        batch_limit=rules.limit,
        batch_limited_by=by,
        decode_iteration_s=sum(term.value for term in terms),
        terms=terms,
        prefill_terms=prefill_terms,
        memory=memory,
        bound_by=_bound_by(terms, by, full),
        power_w_per_chip=power,
        energy_j_per_response=per_token * osl,
        energy_j_per_output_token=per_token,
        origin=origin,
        warnings=("the arrivals exceed the capacity: the queue grows without end",) if saturated else (),
    )
