"""``simulate``: a whole day of a fleet, every request followed, with what goes wrong on the way."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from suanzhang.app.header import header
from suanzhang.app.own_profile import check_profile
from suanzhang.app.requests_file import checked_file, keep
from suanzhang.app.serve_estimate import estimate_serve
from suanzhang.app.serve_input import parse_serve_layout, request_rate, trace_lengths
from suanzhang.app.serve_pools import AWARE, Rules, read_pool
from suanzhang.app.serve_sim import ahead_s
from suanzhang.app.serve_size import size_service
from suanzhang.app.serve_size_way import Prepared, carried_by, draw_demand, latencies, misses, prepare, run_at
from suanzhang.app.serve_spread import Off, around, off_of, percentiles_around, whole
from suanzhang.app.serve_verb import DEFAULT_STACK
from suanzhang.app.serve_verb_chance import by_cell, by_chance, days_of
from suanzhang.app.serve_verb_lengths import hold_context, spec_of_lengths, trace_rate
from suanzhang.app.serve_verb_pools import PoolsAsk, pools_day
from suanzhang.app.serve_verb_warm import checked_warmup, fleet_settled_s
from suanzhang.app.serve_weak import weak_ways
from suanzhang.app.spread import inverse
from suanzhang.app.traces import read_trace
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.models import model as find_model
from suanzhang.catalog.stacks import serve_stack
from suanzhang.errors import Infeasible, InputError
from suanzhang.perf.serving.precision import compute_dtype
from suanzhang.sim.arrivals import Traffic
from suanzhang.sim.fleet import CELL, simulate_fleet
from suanzhang.sim.operations import Autoscaler, Failures
from suanzhang.spec.job import LoadSpec, ServiceSpec, SloSpec
from suanzhang.spec.result import Interval
from suanzhang.spec.serve import OpenLoop, Percentiles, Refusal
from suanzhang.spec.serve_day import DayHour, DayResult
from suanzhang.spec.serve_way import Draft, Prefix, Way
from suanzhang.spec.sim import LatencySummary, SimResult
from suanzhang.units import DAY_S, HOUR_S

REPAIR_S = 1800.0
COLD_START_S = 180.0
MAX_QUEUE = 20_000
"""Waiting requests of one replica at which a day stops as overloaded."""


@dataclass(frozen=True, slots=True)
class _Fleet:
    """The fleet, how much of it is followed, what a replica runs at the peak of the day, and whether its size was given."""

    ready: Prepared
    replicas: int
    followed: int
    batch: float
    given: bool = False


def serve_day(
    model: str,
    chip: str = "",
    *,
    isl: float | None = None,
    osl: float | None = None,
    rate: float | None = None,
    visits_per_day: float | None = None,
    isl_p95: float | None = None,
    osl_p95: float | None = None,
    peak_to_mean: float = 1.0,
    layout: str = "",
    stack: str = "",
    weight_dtype: str = "",
    kv_dtype: str = "",
    ttft_p99_s: float | None = None,
    tpot_p99_s: float | None = None,
    replicas: int = 0,
    follow: int = 8,
    router: str = "least-loaded",
    prefix_share: float = 0.0,
    offloaded: float = 0.0,
    draft_tokens: int = 0,
    acceptance: float = 0.75,
    draft_model: str = "",
    urgent: float = 0.0,
    cancelled: float = 0.0,
    queue_timeout_s: float | None = None,
    mtbf_s: float | None = None,
    repair_s: float = REPAIR_S,
    autoscale: bool = False,
    cold_start_s: float = COLD_START_S,
    burstiness: float = 1.0,
    workers: int = 2,
    seed: int = 0,
    requests_file: str | Path = "",
    pools: Sequence[str] = (),
    link_bytes_per_s: float | None = None,
    trace: str = "",
    prefixes: int = 0,
    debug: bool = False,
    replications: int = 0,
    warmup_s: float | None = None,
) -> DayResult:
    """A day of a service on a fleet, every request of the replicas that are followed simulated.

    Args:
        model, chip, isl, osl, isl_p95, osl_p95, rate, visits_per_day, peak_to_mean: as in :func:`suanzhang.serve`.
        layout: of a replica; that with the fewest chips within the targets when left out.
        stack, weight_dtype, kv_dtype, ttft_p99_s, tpot_p99_s: as in :func:`suanzhang.serve`.
        replicas: of the fleet; as many as the formulas ask for when 0.
        follow: replicas that are simulated, with their share of the requests; 0 for all of them.
        router: "least-loaded", "round-robin" or "power-of-two", in cells of at most 64 replicas; "prefix-aware" with
            ``prefixes`` or a trace with hashes.
        prefix_share: share of each prompt that is found in the cache; ``offloaded`` of that in the memory of the host.
        draft_tokens, acceptance: speculative decoding.
        draft_model: who drafts: "head" (EAGLE, MTP) when left out, "lookup" for n-grams of the prompt, or a small model.
        urgent: share of the requests that go before the others.
        cancelled: share of the answers that their reader stops on the way.
        queue_timeout_s: a request that waits longer for its first iteration is given up.
        mtbf_s, repair_s: replicas fail at random, each by itself, and come back.
        autoscale: the open replicas follow the load, with a cold start.
        cold_start_s: from the decision until a new replica serves.
        burstiness: coefficient of variation of the gaps between arrivals; 1 is Poisson.
        workers: threads; they do not change the answer.
        seed: of everything random.
        requests_file: where to write one row for each request that was followed, a Parquet file; nowhere when left out.
        pools: replicas of several chips or roles, such as ``"4 h100-sxm-80 tp=2 prefill"``, instead of ``chip``, ``layout`` and
            ``replicas``; requests are dealt to them by what they can answer.
        link_bytes_per_s: between prefill and decode replicas; all network ports of the slower side when left out.
        trace: recorded requests to replay instead of a rate and lengths.
        prefixes: how many beginnings the prompts share, each as popular as Zipf's law has it; the caches of the replicas then
            decide what is found. 0: each prompt finds ``prefix_share`` of itself.
        debug: check the numbered invariants of the simulator on the way.
        replications: days that are followed, each with its own seed, so that the answer says what chance leaves open; the first
            is the one that is answered with. 0: as many as are quick, 5 up to 3 million requests, 3 up to 10 million; beyond,
            the cells of a fleet of more than 192 replicas stand for days.
        warmup_s: beginning of the run that the latencies leave out, since all engines are empty then; None for as long as the
            marginal standard error rule says, at most an hour and a tenth of the run.

    Returns:
        What became of the requests, latencies over the day, batch and queue by the hour; overload with the capacity.

    Raises:
        InputError: a name or number cannot be used.
        Infeasible: no layout fits or meets the targets.
    """
    recorded = read_trace(trace) if trace else None
    mean = request_rate(rate, visits_per_day)
    if recorded is not None and (mean is not None or isl is not None or osl is not None):
        raise InputError("simulate: a trace together with a rate or lengths", fix="give the trace alone")
    mean = trace_rate(recorded.requests) if recorded is not None else mean
    if mean is None:
        raise InputError("simulate: no traffic", fix="give a rate or visits per day")
    if not chip and not pools:
        raise InputError("simulate: no chip", fix="give a chip, or pools")
    if pools and (chip or layout or replicas):
        raise InputError("simulate: pools together with a chip, a layout or replicas", fix="name them in the pools")
    named = [read_pool(one) for one in pools]
    kind, shape, engine = (
        (named[0].chip if named else find_chip(chip)),
        find_model(model),
        serve_stack(stack or DEFAULT_STACK),
    )
    check_profile(engine.profile, kind)
    half = compute_dtype(kind, "bf16")
    inputs, outputs = (
        (trace_lengths(recorded.requests.input_tokens), trace_lengths(recorded.requests.output_tokens))
        if recorded is not None
        else spec_of_lengths(isl, osl, isl_p95, osl_p95)
    )
    if recorded is None:
        hold_context(shape, inputs, outputs)
    load = LoadSpec("flat" if peak_to_mean == 1.0 else "diurnal", peak_to_mean)
    service = ServiceSpec(
        "service", shape, mean, inputs, outputs, load, SloSpec(ttft_p99_s=ttft_p99_s, tpot_p99_s=tpot_p99_s),
        weight_dtype=weight_dtype or half, kv_dtype=kv_dtype or half,
    )  # fmt: skip
    way = Way(
        shape, kind, engine, parse_serve_layout(layout or "tp=1"), service.weight_dtype, service.kv_dtype,
        draft_of(draft_tokens, acceptance, draft_model), Prefix(prefix_share, offloaded), router,
    )  # fmt: skip
    if recorded is not None and (peak_to_mean != 1.0 or burstiness != 1.0):
        raise InputError("simulate: a peak or bursts together with a trace", fix="the trace has its own; leave them out")
    rules = rules_of(queue_timeout_s, mtbf_s, repair_s, autoscale, cold_start_s)
    what = PoolsAsk(
        named, way, replicas, recorded, prefixes, burstiness, urgent, cancelled, rules, link_bytes_per_s or 0.0, warmup_s,
        workers, debug, seed, requests_file,
    )  # fmt: skip
    return follow_day(what, service, layout, follow, replications)


def rules_of(
    queue_timeout_s: float | None, mtbf_s: float | None, repair_s: float, autoscale: bool, cold_start_s: float
) -> Rules:
    """What happens to replicas and to requests that wait, as it was asked for."""
    failures = Failures(mtbf_s, repair_s) if mtbf_s is not None else None
    return Rules(queue_timeout_s, failures, cold_start_s if autoscale else None)


def draft_of(tokens: int, acceptance: float, by: str) -> Draft:
    """Speculative decoding as it was asked for.

    Raises:
        InputError: a drafter without tokens to draft.
        CatalogError: no such model.
    """
    if by and not tokens:
        raise InputError(f"draft model {by}: no tokens to draft", fix="give --draft-tokens too, for example 3")
    if by in ("", "head"):
        return Draft(tokens, acceptance)
    if by in ("lookup", "ngram"):
        return Draft(tokens, acceptance, "lookup")
    return Draft(tokens, acceptance, "model", find_model(by))


def follow_day(what: PoolsAsk, service: ServiceSpec, layout: str, follow: int, replications: int) -> DayResult:
    """A day of a service through pools, or of a fleet of equal replicas.

    Args:
        what: the pools or the way of a replica, and what happens on the way.
        service: what is served.
        layout: of a replica as it was given; empty for that with the fewest chips.
        follow: replicas of a fleet that are simulated with their share; 0 for all.
        replications: days that are followed; 0 for as many as are quick.

    Raises:
        InputError, Infeasible: as :func:`serve_day`.
    """
    began, way, replicas = time.perf_counter(), what.way, what.replicas
    if what.pools or what.trace is not None or what.prefixes or way.router == AWARE:
        if not what.pools and (not layout or not replicas):
            fleet = _fleet(replace(way, router="least-loaded"), service, layout, replicas, 0, None)
            what = replace(what, way=replace(way, layout=fleet.ready.way.layout), replicas=fleet.replicas)
        first = pools_day(what, service)
        days = days_of(replications, first.requests) if what.drawn else 1

        def pools_again(key: int) -> DayResult:
            return pools_day(replace(what, seed=key, kept="", warmup_s=first.warmup_s), service)

        return replace(first, chance=by_chance(first, pools_again, days) or first.chance, wall_s=time.perf_counter() - began)
    fleet = _fleet(way, service, layout, replicas, follow, what.rules.queue_timeout_s)
    traffic = Traffic(
        service.requests_per_s * fleet.followed / fleet.replicas, service.input_tokens, service.output_tokens, service.load,
        what.burstiness, 32_768, way.prefix.share, what.urgent, what.cancelled,
    )  # fmt: skip
    count = max(round(traffic.requests_per_s * DAY_S), 1)
    checked_warmup(what.warmup_s, DAY_S)
    kept = checked_file(what.kept, count) if what.kept else None
    days = days_of(replications, count, -(-fleet.followed // CELL))
    failures, cold_s = what.rules.failures, what.rules.cold_start_s
    scaler = None
    if cold_s is not None:
        scaler = Autoscaler(max(fleet.followed // 4, 1), max(0.5 * fleet.batch, 1.0), 60.0, cold_s)
    table, settings = fleet.ready.table, fleet.ready.settings
    warmup = what.warmup_s
    if warmup is None:
        warmup = fleet_settled_s(traffic, count, table, settings, fleet.followed, way.router, what.seed, failures, scaler)

    def one_day(key: int, file: Path | None = None) -> tuple[DayResult, SimResult]:
        found = simulate_fleet(
            traffic, count, table, settings, fleet.followed, router=way.router, seed=key, workers=what.workers,
            warmup_s=warmup, bin_s=HOUR_S, failures=failures, scaler=scaler, records=file is not None, debug=what.debug,
        )  # fmt: skip
        if file is not None:
            keep(file, fleet.ready, found)
        return _answer(fleet, service, found, way.router, key, warmup), found

    first, found = one_day(what.seed, kept)
    chance = by_chance(first, lambda key: one_day(key)[0], days) if days > 1 else by_cell(first, found)
    return replace(first, chance=chance, wall_s=time.perf_counter() - began)


def _fleet(way: Way, service: ServiceSpec, layout: str, replicas: int, follow: int, timeout_s: float | None) -> _Fleet:
    """How many replicas of which layout, by formulas where nothing else is said."""
    for name, value in (("replicas", replicas), ("follow", follow)):
        if value < 0:
            raise InputError(f"{name}: {value} is negative", fix="give a whole number")
    if not layout:
        sized = size_service(service, way.chip, way.stack)
        if isinstance(sized, Refusal):
            raise Infeasible(sized.reason, binding=sized.binding, nearest=sized.nearest, fix="relax the target, name a layout")
        way = replace(way, layout=sized.layout)
    ready = prepare(way, service.input_tokens, service.output_tokens)
    demand = draw_demand(service.input_tokens, service.output_tokens)
    peak, count = service.requests_per_s * service.load.peak_to_mean, replicas
    if not count:
        found = carried_by(ready, demand, service.slo)
        if found.requests_per_s <= 0.0:
            raise Infeasible(f"a replica misses {', '.join(found.missed)} at any load", binding=found.missed, fix="relax it")
        count = max(math.ceil(peak / found.requests_per_s), 1)
    batch = run_at(ready, demand, peak / count).batch_mean
    settings = replace(ready.settings, max_queue=MAX_QUEUE)
    if timeout_s is not None:
        if not timeout_s > 0.0:
            raise InputError(f"queue_timeout_s: {timeout_s:g} is not positive", fix="give seconds, or leave it out")
        settings = replace(settings, queue_timeout_s=timeout_s)
    return _Fleet(replace(ready, settings=settings), count, min(follow, count) if follow else count, batch, replicas > 0)


def _answer(fleet: _Fleet, service: ServiceSpec, found: SimResult, router: str, seed: int, warmup_s: float) -> DayResult:
    way = fleet.ready.way
    off = _off(fleet, service)
    plain = latencies(found, fleet.ready)
    ttft, tpot, e2e = (
        percentiles_around(one, factors, float(found.finished), found.batch_mean)
        for one, factors in zip(plain, (off.ttft, off.tpot, off.e2e), strict=True)
    )
    scale = fleet.replicas / fleet.followed
    front = fleet.ready.front_s + fleet.ready.front_per_seq_s * found.batch_mean + ahead_s(way.stack, found)
    warnings = []
    if found.overloaded:
        warnings.append(
            f"overloaded: the queue grew without end and the day was stopped after {found.simulated_s:,.0f} s; "
            f"the fleet answers {found.completed_per_s * scale:,.4g} requests/s"
        )
    if fleet.followed < fleet.replicas:
        warnings.append(
            f"{fleet.followed} of {fleet.replicas} replicas were followed with their share of the day; --follow 0 follows all"
        )
    return DayResult(
        header=header(seed), model=way.model.id, chip=way.chip.id, engine=way.stack.id, layout=way.layout,
        weight_dtype=way.weight_dtype, kv_dtype=way.kv_dtype, replicas=fleet.replicas, replicas_followed=fleet.followed,
        cells=-(-fleet.followed // CELL), router=router, requests=found.requests, finished=found.finished,
        timed_out=found.timed_out, rejected=found.rejected, unfinished=found.unfinished, ttft_s=ttft, tpot_s=tpot, e2e_s=e2e,
        urgent_ttft_s=_urgent(found, front, off), output_tokens_per_s=found.output_tokens_per_s,
        overloaded=found.overloaded, capacity_requests_per_s=found.completed_per_s * scale,
        meets_targets=not found.overloaded and not misses(*plain, service.slo), failures=found.failures, moved=found.moved,
        preemptions=found.preemptions, on_fraction=_on(found, fleet), hours=_hours(found, fleet, off),
        requests_simulated=found.requests, simulated_s=found.simulated_s, wall_s=0.0, warnings=tuple(warnings),
        replicas_interval=_needed(fleet, off), output_tokens_per_s_interval=around(found.output_tokens_per_s, off.rate),
        capacity_requests_per_s_interval=around(
            found.completed_per_s * scale, off.capacity if found.overloaded else off.rate
        ),
        weak_inputs=weak_ways([(way, service.requests_per_s / fleet.replicas)], service, {}),
        on_fraction_interval=around(_on(found, fleet), inverse(off.capacity), 1.0),
        requests_per_s=service.requests_per_s, isl=service.input_tokens.mean, osl=service.output_tokens.mean,
        peak_to_mean=service.load.peak_to_mean,
        warmup_s=warmup_s, requests_counted=found.e2e_s.count,
    )  # fmt: skip


def _off(fleet: _Fleet, service: ServiceSpec) -> Off:
    """How far off the figures of a replica may be at its share of the peak."""
    way = fleet.ready.way
    rate = service.requests_per_s * service.load.peak_to_mean / fleet.replicas
    work = OpenLoop(max(rate, 1e-6), service.input_tokens, service.output_tokens)
    found = estimate_serve(way.model, way.chip, way.layout, way.stack, way.weight_dtype, way.kv_dtype, work)
    return off_of(found, work, way.model, way.chip)


def _needed(fleet: _Fleet, off: Off) -> Interval:
    """Replicas that would be needed; those of a fleet that was given are given."""
    if fleet.given:
        return Interval(float(fleet.replicas), float(fleet.replicas), float(fleet.replicas))
    return whole(lambda factor: math.ceil(fleet.replicas / factor - 1e-9), off.capacity)


def _urgent(found: SimResult, front: float, off: Off) -> Percentiles | None:
    values = _four(found.urgent_ttft_s, front)
    if values is None or found.urgent_ttft_s is None:
        return None
    return percentiles_around(values, off.ttft, float(found.urgent_ttft_s.count), found.batch_mean)


def _four(part: LatencySummary | None, extra: float) -> Percentiles | None:
    return None if part is None else Percentiles(part.mean + extra, part.p50 + extra, part.p90 + extra, part.p99 + extra)


def _on(found: SimResult, fleet: _Fleet) -> float:
    whole = fleet.followed * max(found.simulated_s, 1e-9)
    return min(found.replica_on_s / whole, 1.0) if found.replica_on_s > 0.0 else 1.0


def _hours(found: SimResult, fleet: _Fleet, off: Off) -> tuple[DayHour, ...]:
    """Batch and queue by the hour until the end; by Little's law they err as the time per token and to the first token do."""
    line, replicas = found.timeline, fleet.followed
    if line is None:
        return ()
    most = float(fleet.ready.settings.max_seqs)
    rows = zip(line.start_s, line.running, line.waiting, strict=True)
    return tuple(
        DayHour(
            f"{int(at // HOUR_S) % 24:02d}:00", float(running) / replicas, float(waiting) / replicas,
            around(float(running) / replicas, off.tpot, most), around(float(waiting) / replicas, off.ttft),
        )
        for at, running, waiting in list(rows)[:24] if at <= found.simulated_s
    )  # fmt: skip
