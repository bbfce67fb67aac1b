"""``simulate`` with pools of different chips and roles, recorded requests, or prompts that begin alike."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from suanzhang.app.header import header
from suanzhang.app.requests_file import checked_file, write_requests
from suanzhang.app.serve_estimate import estimate_serve
from suanzhang.app.serve_pools import (
    AWARE,
    Beginnings,
    Fates,
    PoolAsk,
    Rules,
    Served,
    capacity_per_s,
    carry_s,
    check_roles,
    follow,
    role_pools,
)
from suanzhang.app.serve_sim import ahead_s, pipeline_of
from suanzhang.app.serve_size_way import Prepared, misses, prepare
from suanzhang.app.serve_spread import Off, around, off_of, percentiles_around
from suanzhang.app.serve_verb_chance import chance_of
from suanzhang.app.serve_verb_warm import checked_warmup, settled_s
from suanzhang.app.serve_weak import weak_ways
from suanzhang.app.spread import inverse
from suanzhang.app.traces import Trace
from suanzhang.errors import InputError
from suanzhang.sim.arrivals import Traffic, joined, stopped_early, stream
from suanzhang.spec.job import ServiceSpec
from suanzhang.spec.result import Interval
from suanzhang.spec.serve import OpenLoop, Percentiles
from suanzhang.spec.serve_day import DayChance, DayHour, DayPool, DayResult
from suanzhang.spec.serve_way import Way
from suanzhang.spec.sim import Floats, RequestBatch, RequestRecord
from suanzhang.units import DAY_S, HOUR_S

Rows = NDArray[np.bool_]
MOST = 2_000_000
"""Requests that are followed through pools; of a longer day those around its peak."""
BATCHES = 10
_RECORDED = 80
POPULAR = 1.0
"""Exponent of Zipf's law for how often prompts begin alike [assumed]."""


@dataclass(frozen=True, slots=True)
class PoolsAsk:
    """What was asked beside the service.

    Args:
        pools: as users write them; one of ``way`` with ``replicas`` when empty.
        way, replicas: that one.
        trace: recorded requests; None for drawn ones.
        prefixes: how many beginnings the prompts share; 0 for a share that is simply found.
        burstiness: of drawn requests.
        urgent, cancelled: share of the requests that go before others, and of the answers that their reader stops.
        rules: what happens to requests and replicas on the way.
        link: bandwidth between prefill and decode replicas [bytes/s]; 0 for their network ports.
        warmup_s: beginning that is left out of the latencies [s]; None to look when the run has settled.
        workers: cells of replicas that run at once; they do not change the answer.
        debug: check the invariants on the way.
        seed: of everything random.
        kept: where to write the requests; empty for nowhere.
    """

    pools: Sequence[PoolAsk]
    way: Way
    replicas: int
    trace: Trace | None
    prefixes: int
    burstiness: float
    urgent: float
    cancelled: float
    rules: Rules
    link: float
    warmup_s: float | None
    workers: int
    debug: bool
    seed: int
    kept: str | Path

    @property
    def drawn(self) -> bool:
        """Whether anything but the order of recorded requests hangs on the seed."""
        several = len(self.pools) > 1 or self.rules.failures is not None or self.way.router == "power-of-two"
        return self.trace is None or several or self.urgent > 0.0 or self.cancelled > 0.0


class _Followed(NamedTuple):
    """All that was run and what came out."""

    ask: PoolsAsk
    service: ServiceSpec
    asks: list[PoolAsk]
    readies: list[Prepared]
    weights: list[float]
    batch: RequestBatch
    fates: Fates
    served: list[Served]
    before: Floats
    warmup_s: float


def pools_day(ask: PoolsAsk, service: ServiceSpec) -> DayResult:
    """Requests followed through pools.

    Args:
        ask: the pools and what is sent to them.
        service: what is served; with a trace its rate and lengths are those of the trace.

    Raises:
        InputError: a pool cannot be read or lacks its partner, or the numbers cannot be used.
    """
    began = time.perf_counter()
    asks = list(ask.pools) or [PoolAsk(ask.way.chip, max(ask.replicas, 1), ask.way.layout, "mixed")]
    check_roles([one.role for one in asks])
    shared = ask.way.prefix.share
    ways = [replace(ask.way, chip=each.chip, layout=each.layout, router="least-loaded") for each in asks]
    readies = [prepare(way, service.input_tokens, service.output_tokens) for way in ways]
    isl, osl = service.input_tokens.mean, service.output_tokens.mean
    alone = [capacity_per_s(ready, each.role, isl, osl) for ready, each in zip(readies, asks, strict=True)]
    weights = [each.replicas * one for each, one in zip(asks, alone, strict=True)]
    batch, warnings = _requests(ask, service)
    checked_warmup(ask.warmup_s, float(batch.arrival_s[-1] - batch.arrival_s[0]))
    kept = checked_file(ask.kept, len(batch)) if ask.kept else None
    begins = _beginnings(ask, batch, shared)
    if begins is not None and begins.block_tokens == 0:
        batch = replace(batch, cached_tokens=None)
    peak = service.requests_per_s * service.load.peak_to_mean
    lengths = (service.input_tokens, service.output_tokens)
    fates, served = follow(
        batch, role_pools(readies, asks, weights, ask.rules, peak, lengths, len(batch)),
        router=ask.way.router, begins=begins, carry_s=carry_s(readies, asks, ask.link), seed=ask.seed,
        workers=ask.workers, debug=ask.debug,
    )  # fmt: skip
    before = _before(batch, readies, served, asks, shared)
    if kept is not None:
        record = RequestRecord(
            fates.first_s, fates.end_s, batch.arrival_s, batch.input_tokens, batch.output_tokens, fates.replica,
            fates.preemptions,
        )  # fmt: skip
        write_requests(kept, record, before)
    warmup = ask.warmup_s
    if warmup is None:
        warmup = 0.0 if any(one.run.overloaded for one in served) else settled_s(batch.arrival_s, fates.end_s - batch.arrival_s)
    run = _Followed(ask, service, asks, readies, weights, batch, fates, served, before, warmup)
    return _answer(run, warnings, began)


def _requests(ask: PoolsAsk, service: ServiceSpec) -> tuple[RequestBatch, tuple[str, ...]]:
    """The recorded requests, or those of the day, or of the hours around its peak where there are too many."""
    if ask.trace is not None:
        return _recorded(ask, ask.trace.requests), ()
    prefix = ask.way.prefix.share if not ask.prefixes else 0.0
    rate = service.requests_per_s
    warnings: tuple[str, ...] = ()
    traffic = Traffic(
        rate,
        service.input_tokens,
        service.output_tokens,
        service.load,
        ask.burstiness,
        32_768,
        prefix,
        ask.urgent,
        ask.cancelled,
    )
    count, start = max(round(rate * DAY_S), 1), 0.0
    if count > MOST:
        span = MOST / (rate * service.load.peak_to_mean)
        count, start = MOST, max(service.load.peak_hour * HOUR_S - 0.5 * span, 0.0)
        warnings = (f"{count:,} requests around the peak of the day were followed, {span / HOUR_S:.2g} hours",)
    return joined(list(stream(traffic, count, ask.seed, 0, 1, start))), warnings


def _recorded(ask: PoolsAsk, requests: RequestBatch) -> RequestBatch:
    """Recorded requests, some of them drawn to be urgent or to have readers who stop."""
    for name, value in (("urgent", ask.urgent), ("cancelled", ask.cancelled)):
        if not 0.0 <= value <= 1.0:
            raise InputError(f"{name}: {value:g} is no fraction", fix="give a share from 0 to 1")
    stops, hurries = (
        np.random.Generator(np.random.SFC64(np.random.SeedSequence(entropy=ask.seed, spawn_key=(_RECORDED, kind))))
        for kind in (0, 1)
    )
    count, outputs = len(requests), requests.output_tokens
    if ask.cancelled > 0.0:
        outputs = stopped_early(outputs, ask.cancelled, stops)
    urgent = (hurries.random(count) < ask.urgent).astype(np.int64) if ask.urgent > 0.0 else None
    share = ask.way.prefix.share if not ask.prefixes and ask.trace is not None and not len(ask.trace.blocks) else 0.0
    cached = (requests.input_tokens * share).astype(np.int64) if share > 0.0 else requests.cached_tokens
    return replace(requests, output_tokens=outputs, urgent=urgent, cached_tokens=cached)


def _beginnings(ask: PoolsAsk, batch: RequestBatch, share: float) -> Beginnings | None:
    none = np.zeros(0, np.int64)
    if ask.trace is not None and len(ask.trace.blocks):
        return Beginnings(none, none, ask.trace.blocks, ask.trace.block_ends, ask.trace.block_tokens)
    if not ask.prefixes:
        if ask.way.router == AWARE:
            raise InputError(
                "router prefix-aware: no prompts that begin alike",
                fix="give --prefixes with --prefix-share, or a trace with block hashes",
            )
        return None
    if not share > 0.0:
        raise InputError("prefixes without a prefix share", fix="give --prefix-share too, for example 0.5")
    draws = np.random.Generator(np.random.SFC64(np.random.SeedSequence(entropy=ask.seed, spawn_key=(78,))))
    often = 1.0 / np.arange(1.0, ask.prefixes + 1.0) ** POPULAR
    edges = np.cumsum(often) / often.sum()
    groups = np.minimum(np.searchsorted(edges, draws.random(len(batch))), ask.prefixes - 1).astype(np.int64)
    return Beginnings(groups, (batch.input_tokens * share).astype(np.int64), none, none)


def _before(
    batch: RequestBatch, readies: list[Prepared], served: list[Served], asks: list[PoolAsk], share: float
) -> Floats:  # fmt: skip
    """Time before the engine, and through the stages of a pipeline, of each request where its prompt runs [s]."""
    found = np.zeros(len(batch))
    for ready, part, ask in zip(readies, served, asks, strict=True):
        if ask.role != "decode":
            front = ready.front_s + ready.front_per_seq_s * part.run.batch_mean + ahead_s(ready.way.stack, part.run)
            prompts = np.asarray(batch.input_tokens[part.rows] * (1.0 - share), np.float64)
            found[part.rows] = front + pipeline_of(ask.layout.pp, ready.table, ready.settings, prompts)
    return found


def _four(values: Floats) -> Percentiles:
    ordered = np.sort(values[np.isfinite(values)])
    if not len(ordered):
        return Percentiles(math.nan, math.nan, math.nan, math.nan)
    p50, p90, p99 = (float(ordered[max(math.ceil(at * len(ordered)) - 1, 0)]) for at in (0.5, 0.9, 0.99))
    return Percentiles(float(ordered.mean()), p50, p90, p99)


def _answer(run: _Followed, warnings: tuple[str, ...], began: float) -> DayResult:
    ask, service, asks, batch, fates, served = run.ask, run.service, run.asks, run.batch, run.fates, run.served
    span = float(batch.arrival_s[-1] - batch.arrival_s[0])
    answered = np.isfinite(fates.end_s)
    counted = batch.arrival_s >= batch.arrival_s[0] + run.warmup_s
    ttft, tpot, e2e = _latencies(run, counted)
    count = int(answered.sum())
    off = _off(service, asks, run.readies, served)
    finished_in = float(np.nanmax(fates.end_s) - batch.arrival_s[0]) if count else max(span, 1e-9)
    overloaded = any(part.run.overloaded for part in served)
    capacity = min(
        (part.run.completed_per_s * len(batch) / len(part.rows) for part in served if part.run.overloaded), default=0.0
    )
    rate = count / max(finished_in, 1e-9)
    able = capacity if overloaded else rate
    pools = tuple(
        _pool(each, weight, part, len(batch), finished_in, off)
        for each, weight, part in zip(asks, run.weights, served, strict=True)
    )
    timed_out, rejected, failures, moved = (
        sum(getattr(part.run, name) for part in served) for name in ("timed_out", "rejected", "failures", "moved")
    )
    if overloaded:
        warnings += (_overflow(pools, batch, fates, able),)
    tokens = float(batch.output_tokens[answered].sum()) / max(finished_in, 1e-9)
    fullest = max(part.run.batch_mean for part in served)
    shown = [
        percentiles_around(values, factors, float(count), fullest)
        for values, factors in zip((ttft, tpot, e2e), (off.ttft, off.tpot, off.e2e), strict=True)
    ]
    urgent = None
    if batch.urgent is not None and bool(batch.urgent.any()):
        hurried = counted & (batch.urgent > 0)
        values = _four((fates.first_s + run.before - batch.arrival_s)[hurried])
        urgent = percentiles_around(values, off.ttft, float(hurried.sum()), fullest)
    replicas = sum(each.replicas for each in asks)
    given, way = Interval(float(replicas), float(replicas), float(replicas)), ask.way
    on = sum(pool.on_fraction * pool.replicas for pool in pools) / replicas
    shares = [(ready.way, len(part.rows) / max(span, 1e-9) / each.replicas)
              for ready, part, each in zip(run.readies, served, asks, strict=True)]  # fmt: skip
    return DayResult(
        header=header(ask.seed), model=way.model.id, chip=" + ".join(dict.fromkeys(each.chip.id for each in asks)),
        engine=way.stack.id, layout=asks[0].layout, weight_dtype=way.weight_dtype, kv_dtype=way.kv_dtype, replicas=replicas,
        replicas_followed=replicas, cells=len(asks), router=way.router, requests=len(batch), finished=count,
        timed_out=timed_out, rejected=rejected, unfinished=len(batch) - count - rejected - timed_out, ttft_s=shown[0],
        tpot_s=shown[1], e2e_s=shown[2], urgent_ttft_s=urgent, output_tokens_per_s=tokens, overloaded=overloaded,
        capacity_requests_per_s=able,
        meets_targets=not overloaded and not rejected and not misses(ttft, tpot, e2e, service.slo), failures=failures,
        moved=moved, preemptions=int(fates.preemptions.sum()), on_fraction=on,
        hours=_hours(run, replicas, off, overloaded=overloaded),
        requests_simulated=len(batch), simulated_s=finished_in, wall_s=time.perf_counter() - began, warnings=warnings,
        replicas_interval=given, output_tokens_per_s_interval=around(tokens, off.rate),
        capacity_requests_per_s_interval=around(able, off.capacity if overloaded else off.rate),
        on_fraction_interval=around(on, inverse(off.capacity), 1.0) if on < 1.0 else Interval(1.0, 1.0, 1.0),
        weak_inputs=weak_ways(shares, service, {}), pools=pools,
        requests_per_s=service.requests_per_s, isl=service.input_tokens.mean, osl=service.output_tokens.mean,
        peak_to_mean=service.load.peak_to_mean,
        warmup_s=run.warmup_s, requests_counted=int((answered & counted).sum()),
        chance=() if overloaded else _by_batch(run, counted),
    )  # fmt: skip


def _latencies(run: _Followed, rows: Rows) -> tuple[Percentiles, Percentiles, Percentiles]:
    """First token, per further token and end to end of some of the requests."""
    batch, fates = run.batch, run.fates
    more = rows & np.isfinite(fates.end_s) & (batch.output_tokens > 1)
    ttft, e2e = (_four((times + run.before - batch.arrival_s)[rows]) for times in (fates.first_s, fates.end_s))
    return ttft, _four(((fates.end_s - fates.first_s) / np.maximum(batch.output_tokens - 1, 1))[more]), e2e


def _by_batch(run: _Followed, counted: Rows) -> tuple[DayChance, ...]:
    """Means over ten batches of requests, for what chance leaves open where nothing can be drawn again."""
    rows = np.flatnonzero(counted & np.isfinite(run.fates.end_s))
    if len(rows) < BATCHES * 100:
        return ()
    means = []
    for some in np.array_split(rows, BATCHES):
        mask = np.zeros(len(run.batch), np.bool_)
        mask[some] = True
        means.append([one.mean for one in _latencies(run, mask)])
    names = ("first token, mean", "per further token, mean", "end to end, mean")
    return tuple(chance_of(name, "s", [row[place] for row in means], BATCHES, "batches") for place, name in enumerate(names))


def _overflow(pools: tuple[DayPool, ...], batch: RequestBatch, fates: Fates, able: float) -> str:
    """What an overloaded answer says: which queue grew, what is answered, and how many waited when the last request came."""
    named = ", ".join(f"{one.role} {one.chip}" for one in pools if one.overloaded)
    count = sum(one.replicas for one in pools)
    waiting = int(np.sum(~(fates.first_s <= batch.arrival_s[-1])))
    return (
        f"overloaded: the queue of {named} grew without end; {count} replica{'s' if count > 1 else ''} answer "
        f"{able:,.4g} requests/s, {waiting:,} of {len(batch):,} requests waited when the last one came"
    )


def _pool(ask: PoolAsk, weight: float, part: Served, count: int, span: float, off: Off) -> DayPool:
    run = part.run
    busy, found = min(run.busy_s / (ask.replicas * max(span, 1e-9)), 1.0), run.completed_per_s
    scaled = 0.0 < run.replica_on_s < 0.999 * ask.replicas * span
    on = run.replica_on_s / (ask.replicas * span) if scaled else 1.0
    return DayPool(
        ask.chip.id, ask.layout, ask.replicas, ask.role, len(part.rows), len(part.rows) / count, weight, found, busy,
        run.batch_mean, part.found_before, run.overloaded, around(weight, off.capacity),
        around(found, off.capacity if run.overloaded else off.rate), around(busy, off.tpot, 1.0),
        around(run.batch_mean, off.tpot), run.failures, run.moved, run.timed_out, on,
        around(on, inverse(off.capacity), 1.0) if scaled else Interval(1.0, 1.0, 1.0),
    )  # fmt: skip


def _off(service: ServiceSpec, asks: list[PoolAsk], readies: list[Prepared], served: list[Served]) -> Off:
    """How far off the figures may be: those of the pool that answers the most requests, at its share of them."""
    place = max(range(len(asks)), key=lambda each: (asks[each].role != "prefill", len(served[each].rows)))
    way, part = readies[place].way, served[place]
    rate = service.requests_per_s * len(part.rows) / max(sum(len(each.rows) for each in served), 1) / asks[place].replicas
    most = 0.95 * readies[place].estimate.capacity_requests_per_s
    work = OpenLoop(max(min(rate, most), 1e-6), service.input_tokens, service.output_tokens)
    found = estimate_serve(way.model, way.chip, way.layout, way.stack, way.weight_dtype, way.kv_dtype, work)
    return off_of(found, work, way.model, way.chip)


def _hours(run: _Followed, replicas: int, off: Off, *, overloaded: bool) -> tuple[DayHour, ...]:
    """Decoding and waiting requests of one replica, mean over each of at most 24 equal spans.

    One that gave up waited until then, one that never fits not at all; what an overloaded run has not answered waits on.
    """
    batch, fates = run.batch, run.fates
    limit = run.ask.rules.queue_timeout_s
    longest = limit if limit is not None else math.inf if overloaded else 0.0
    start = float(batch.arrival_s[0])
    last = float(batch.arrival_s[-1])
    parts = int(min(max(math.ceil((last - start) / HOUR_S), 12), 24))
    edges = np.linspace(start, max(last, start + 1e-6), parts + 1)
    end = np.where(np.isfinite(fates.end_s), fates.end_s, np.inf)
    first = np.where(np.isfinite(fates.first_s), fates.first_s, batch.arrival_s + longest)
    end = np.where(np.isfinite(fates.first_s), end, first)
    rows = []
    for low, high in itertools.pairwise(edges):
        wide = (high - low) * replicas
        running = float(np.clip(np.minimum(end, high) - np.maximum(first, low), 0.0, None).sum()) / wide
        waiting = float(np.clip(np.minimum(first, high) - np.maximum(batch.arrival_s, low), 0.0, None).sum()) / wide
        at = int(low % DAY_S)
        name = f"{at // 3600:02d}:{at % 3600 // 60:02d}"
        rows.append(DayHour(name, running, waiting, around(running, off.tpot), around(waiting, off.ttft)))
    return tuple(rows)
