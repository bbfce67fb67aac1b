"""The verb ``serve``: from what a user writes to what is deployed, how fast it answers and what one response costs."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from suanzhang.app.own_profile import check_profile
from suanzhang.app.serve_estimate import MANY
from suanzhang.app.serve_input import parse_serve_layout, read_trace, request_rate, trace_lengths
from suanzhang.app.serve_size import serve_layouts, size_service
from suanzhang.app.serve_verb_answer import answer_of
from suanzhang.app.serve_verb_confirm import Ask, cheapest_confirmed, hashes_of, simulated, targets_missed
from suanzhang.app.serve_verb_lengths import hold_context, spec_of_lengths, trace_rate
from suanzhang.app.serve_verb_replay import keep_simulated, replayed
from suanzhang.app.serve_verb_way import estimator, levers_of, plain
from suanzhang.catalog import chips as chip_catalog
from suanzhang.catalog import models as model_catalog
from suanzhang.catalog import stacks as stack_catalog
from suanzhang.errors import Infeasible, InputError, PlannerError
from suanzhang.perf.serving.precision import compute_dtype
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import LoadSpec, ServiceSpec, SloSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.serve import ClosedLoop, OpenLoop, Refusal, ServeEstimate, ServeResult, SizedService
from suanzhang.spec.sim import RequestBatch
from suanzhang.spec.stack import ServeStack

DEFAULT_STACK = "vllm-0.12"


def _best_layout(ask: Ask, concurrency: float) -> ServeLayout:
    """The layout with the most tokens per second and chip at a concurrency, fewest chips first among equals."""
    best: tuple[float, ServeLayout] | None = None
    work = ClosedLoop(concurrency, ask.input.mean, ask.output.mean)
    for layout in serve_layouts(ask.model, ask.chip):
        try:
            found = estimator(ask, layout)(work)
        except PlannerError:
            continue
        if best is None or found.output_tokens_per_s_per_chip > best[0]:
            best = (found.output_tokens_per_s_per_chip, layout)
    if best is None:
        raise Infeasible(
            f"{ask.model.name} in {ask.weight_dtype} does not fit any layout of {ask.chip.name}",
            binding=["memory of the chips"],
            fix="use narrower weights or chips with more memory",
        )
    return best[1]


def _fixed_layout(ask: Ask, layout: ServeLayout, rate: float) -> tuple[int, ServeEstimate]:
    """Replicas of a given layout for a rate, and the estimate of one of them under its share."""
    estimate = estimator(ask, layout)
    full = estimate(ClosedLoop(MANY, ask.input.mean, ask.output.mean))
    replicas = max(math.ceil(rate / (0.95 * full.capacity_requests_per_s)), 1)
    for _ in range(400):
        found = estimate(OpenLoop(rate / replicas, ask.input, ask.output))
        if not found.saturated and not targets_missed(found, ask.slo):
            return replicas, found
        replicas = max(replicas + 1, math.ceil(replicas * 1.05))
        if rate / replicas < 1e-3 * full.capacity_requests_per_s:
            break
    missed = ", ".join(targets_missed(found, ask.slo))
    raise Infeasible(
        f"layout tp={layout.tp}, pp={layout.pp}, dp={layout.dp} of {ask.chip.name} cannot meet {missed} at any load",
        binding=targets_missed(found, ask.slo),
        nearest={"ttft_p99_s": found.ttft_s.p99, "tpot_p99_s": found.tpot_s.p99},
        fix="relax the target, or leave the layout to the planner",
    )


def _fewest(ask: Ask, rate: float) -> tuple[int, ServeEstimate]:
    """The layout that carries a rate on the fewest chips as the simulation confirms it, the fastest first among equals."""
    found: list[tuple[int, float, int, ServeEstimate]] = []
    refusal: PlannerError | None = None
    for layout in serve_layouts(ask.model, ask.chip):
        try:
            replicas, replica = _fixed_layout(ask, layout, rate)
        except PlannerError as error:
            refusal = error
            continue
        found.append((replicas * replica.chips, replica.tpot_s.mean, replicas, replica))
    if not found:
        raise refusal or Infeasible(f"no layout of {ask.chip.name} holds {ask.model.name}", binding=["memory of the chips"])
    best: tuple[int, ServeEstimate] | None = None
    for chips, _, replicas, replica in sorted(found, key=lambda each: each[:2]):
        if best is not None and chips >= best[0] * best[1].chips:
            break
        count, sure = cheapest_confirmed(ask, replica, rate, replicas, None)
        if best is None or count * sure.chips < best[0] * best[1].chips:
            best = (count, sure)
    assert best is not None
    return best


def _sized(ask: Ask, rate: float, load: LoadSpec, free_precision: bool) -> SizedService:
    service = ServiceSpec(
        name="service",
        model=ask.model,
        requests_per_s=rate,
        input_tokens=ask.input,
        output_tokens=ask.output,
        load=load,
        slo=ask.slo,
        weight_dtype="" if free_precision else ask.weight_dtype,
        kv_dtype=ask.kv_dtype,
    )
    found = size_service(service, ask.chip, ask.stack)
    if isinstance(found, Refusal):
        raise Infeasible(
            found.reason, binding=found.binding, nearest=found.nearest, fix="relax the target or take another chip"
        )
    return found


def _lookup(
    model: str | ModelSpec, chip: str | ChipSpec, stack: str | ServeStack | None, weight: str, kv: str
) -> tuple[ModelSpec, ChipSpec, ServeStack, str, str]:
    found = model_catalog.model(model) if isinstance(model, str) else model
    kind = chip_catalog.chip(chip) if isinstance(chip, str) else chip
    engine = stack if isinstance(stack, ServeStack) else stack_catalog.serve_stack(stack or DEFAULT_STACK)
    check_profile(engine.profile, kind)
    half = compute_dtype(kind, "bf16")
    return found, kind, engine, weight or half, kv or half


def serve(
    model: str | ModelSpec,
    chip: str | ChipSpec,
    *,
    isl: float | None = None,
    osl: float | None = None,
    isl_p95: float | None = None,
    osl_p95: float | None = None,
    rate: float | None = None,
    concurrency: float | None = None,
    visits_per_day: float | None = None,
    trace: str = "",
    layout: str | ServeLayout | None = None,
    stack: str | ServeStack | None = None,
    weight_dtype: str = "",
    kv_dtype: str = "",
    ttft_p99_s: float | None = None,
    tpot_p99_s: float | None = None,
    peak_to_mean: float = 1.0,
    draft_tokens: int = 0,
    acceptance: float | None = None,
    prefix_share: float = 0.0,
    offloaded: float = 0.0,
    simulated_requests: int = 20_000,
    seed: int = 0,
    requests_file: str | Path = "",
) -> ServeResult:
    """What is deployed for a traffic, how fast it answers and what one response costs.

    Args:
        model: catalog id, alias, path of a configuration, or a shape.
        chip: catalog id, alias, or a chip.
        isl, osl: mean tokens of a prompt and of an answer; not needed with a trace.
        isl_p95, osl_p95: their 95th percentiles, for lognormal lengths; all are equally long when left out.
        rate, visits_per_day, concurrency, trace: the traffic; exactly one of them.
        layout: of a replica, such as ``tp=8``; searched when left out.
        stack: generation of the engine.
        weight_dtype, kv_dtype: formats of weights and cache; 16 bit when left out.
        ttft_p99_s, tpot_p99_s: latency targets.
        peak_to_mean: peak of the day over its mean; the deployment carries the peak.
        draft_tokens: drafted per round of decoding; 0 for none.
        acceptance: chance that a drafted token is accepted; 0.75 when left out.
        prefix_share: share of each prompt that is found in the cache.
        offloaded: share of that which lies in the memory of the host.
        simulated_requests: requests followed by the event simulation; 0 for the analytic steady state alone.
        seed: of everything random.
        requests_file: where to write one row for each simulated request, a Parquet file; nowhere when left out.

    Returns:
        Deployment, latencies, rates, cost and energy, each prediction with its interval.

    Raises:
        InputError: what was given cannot be used.
        Infeasible: it does not fit the memory, or a target cannot be met; says what binds.
    """
    given = [name for name, value in
             (("rate", rate), ("concurrency", concurrency), ("visits_per_day", visits_per_day), ("trace", trace or None))
             if value is not None]  # fmt: skip
    if len(given) != 1:
        raise InputError(
            f"serve: expected one kind of traffic, got {', '.join(given) or 'none'}",
            fix="give one of rate, concurrency, visits per day or trace",
        )
    shape, kind, engine, weight, kv = _lookup(model, chip, stack, weight_dtype, kv_dtype)
    recorded = read_trace(trace) if trace else None
    slo = SloSpec(ttft_p99_s=ttft_p99_s, tpot_p99_s=tpot_p99_s)
    lengths = (
        (trace_lengths(recorded.input_tokens), trace_lengths(recorded.output_tokens))
        if recorded
        else spec_of_lengths(isl, osl, isl_p95, osl_p95)
    )
    if recorded is None:
        hold_context(shape, *lengths)
    kept = _checked_file(requests_file, concurrency, len(recorded) if recorded else simulated_requests)
    levers = levers_of(draft_tokens, acceptance, prefix_share, offloaded, trace=bool(trace))
    ask = Ask(shape, kind, engine, weight, kv, *lengths, slo, seed, simulated_requests, hashes_of(trace, engine), *levers)
    place = parse_serve_layout(layout) if isinstance(layout, str) else layout
    if concurrency is not None:
        place = place or _best_layout(ask, concurrency)
        work = ClosedLoop(concurrency, ask.input.mean, ask.output.mean)
        found = estimator(ask, place)(work)
        return answer_of(ask, found, 1, found.requests_per_s, None, work)
    mean = trace_rate(recorded) if recorded else request_rate(rate, visits_per_day)
    assert mean is not None
    return _open(ask, mean, peak_to_mean, place, recorded, kept, free_precision=not weight_dtype)


def _checked_file(place: str | Path, concurrency: float | None, requests: int) -> Path | None:
    """Where to write the requests, refused before anything is sized."""
    if not place:
        return None
    if concurrency is not None or not requests:
        raise InputError("requests file: nothing is simulated", fix="give a rate or a trace, and requests to simulate")
    from suanzhang.app.requests_file import checked_file

    return checked_file(place, requests)


def _keep(ask: Ask, replica: ServeEstimate, rate: float, kept: Path | None) -> None:
    if kept is not None:
        keep_simulated(ask, replica, rate, kept)


def serve_service(
    service: ServiceSpec,
    chip: ChipSpec,
    engine: ServeStack,
    sized: SizedService,
    *,
    simulated_requests: int = 20_000,
    seed: int = 0,
) -> ServeResult:
    """The answer of the verb for a service that was sized on a kind of chip.

    Args:
        service: what is served.
        chip, engine: on what.
        sized: its sizing on them.
        simulated_requests, seed: as in :func:`serve`.
    """
    ask = Ask(
        service.model, chip, engine, sized.weight_dtype, sized.kv_dtype, service.input_tokens, service.output_tokens,
        service.slo, seed, simulated_requests,
    )  # fmt: skip
    carrying = max(sized.replicas - sized.spare_replicas, 1)
    rate = service.requests_per_s * service.load.peak_to_mean / carrying
    replica = simulated(ask, sized.layout, sized.peak, rate)
    return answer_of(ask, replica, sized.replicas, service.requests_per_s, sized)


def _open(
    ask: Ask, mean: float, peak_to_mean: float, place: ServeLayout | None, trace: RequestBatch | None, kept: Path | None,
    *, free_precision: bool,
) -> ServeResult:  # fmt: skip
    """Deployment for an open traffic: sized, or of the given layout."""
    if trace is not None:
        per_minute = np.histogram(trace.arrival_s, bins=np.arange(0.0, float(trace.arrival_s[-1]) + 60.0, 60.0))[0]
        peak_to_mean = max(float(per_minute.max()) / 60.0 / mean, 1.0) if len(per_minute) > 1 else 1.0
    peak = mean * peak_to_mean
    sized: SizedService | None = None
    if place is None and not plain(ask):
        replicas, replica = _fewest(ask, peak)
        _keep(ask, replica, peak / replicas, kept)
        return answer_of(ask, replica, replicas, mean, None)
    if place is None:
        sized = _sized(ask, mean, LoadSpec("flat" if peak_to_mean == 1.0 else "diurnal", peak_to_mean), free_precision)
        replicas, replica = sized.replicas, sized.peak
    else:
        replicas, replica = _fixed_layout(ask, place, peak)
    if trace is not None:
        replicas, replica = replayed(ask, trace, replica.layout, replica, peak, replicas, kept)
    else:
        replicas, replica = cheapest_confirmed(ask, replica, peak, replicas, sized)
    _keep(ask, replica, peak / replicas, kept if trace is None else None)
    return answer_of(ask, replica, replicas, mean, sized)
