"""Recorded requests on the replicas of an answer, and the rows of requests that were simulated."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from suanzhang.app.requests_file import keep
from suanzhang.app.serve_estimate import estimate_serve
from suanzhang.app.serve_sim import simulate_serve
from suanzhang.app.serve_size_way import Prepared, latencies, prepare
from suanzhang.app.serve_verb_confirm import CACHED_SHARE, Ask, targets_missed
from suanzhang.app.serve_verb_way import plain, run_way, way_of
from suanzhang.sim.prefix import prefix_hits, simulate_prefix
from suanzhang.sim.replica import simulate
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.serve import OpenLoop, ServeEstimate
from suanzhang.spec.sim import RequestBatch, SimResult

if TYPE_CHECKING:
    from suanzhang.app.traces import Trace

_ROUNDS = 12
_QUEUES = 6_400_000
"""Places of all queues of a replay together: memory, not a limit of any engine."""


@dataclass(frozen=True, slots=True)
class Replay:
    """One run of recorded requests: what ran, what came out, and the share of prompt tokens that were found in caches."""

    ready: Prepared
    run: SimResult
    found_before: float


def run_trace(
    ready: Prepared,
    trace: RequestBatch,
    replicas: int,
    seed: int,
    hashed: Trace | None,
    *,
    aware: bool = True,
    records: bool = False,
) -> Replay:
    """Recorded requests on so many replicas, with the prefixes that their hashes tell of."""
    settings = replace(ready.settings, max_queue=min(max(_QUEUES // replicas, 1000), 100_000))
    if hashed is None:
        router = ready.way.router
        run = simulate(trace, ready.table, settings, replicas=replicas, router=router, seed=seed, records=records)
        return Replay(ready, run, 0.0)
    shared = (hashed.blocks, hashed.block_ends, hashed.block_tokens)
    room = CACHED_SHARE * settings.kv_blocks * settings.block_tokens
    _, hits = prefix_hits(hashed.requests, *shared, replicas, room, aware)
    run = simulate_prefix(
        hashed.requests, *shared, ready.table, settings,
        replicas=replicas, aware=aware, capacity_tokens=room, records=records,
    )  # fmt: skip
    return Replay(ready, run, float(hits.sum()) / float(hashed.requests.input_tokens.sum()))


def replayed(
    ask: Ask, trace: RequestBatch, layout: ServeLayout, estimate: ServeEstimate, peak: float, replicas: int, kept: Path | None
) -> tuple[int, ServeEstimate]:
    """As many replicas as the recorded arrivals need beside those of the formulas, and one of them under the trace.

    Args:
        ask: what was asked.
        trace: the recorded requests.
        layout, estimate, replicas: the answer of the formulas.
        peak: the busiest minute [requests/s].
        kept: where to write the requests.
    """
    ready = prepare(way_of(ask, layout, estimate.weight_dtype, estimate.kv_dtype), ask.input, ask.output)
    count, tried = replicas, replicas
    for turn in range(_ROUNDS):
        once = run_trace(ready, trace, tried, ask.seed, ask.hashes, records=kept is not None)
        shown = _shown(ask, layout, estimate, once, peak / tried)
        if turn == 0:
            first = (once, shown)
        if not (shown.saturated or targets_missed(shown, ask.slo)):
            count = tried
            break
        tried = max(tried + 1, math.ceil(tried * 1.15))
    else:
        once, shown = first
    if kept is not None:
        keep(kept, ready, once.run)
    return count, replace(shown, warnings=_warned(ask, shown, once, replicas, count))


def _shown(ask: Ask, layout: ServeLayout, estimate: ServeEstimate, once: Replay, rate: float) -> ServeEstimate:
    run = once.run
    work = OpenLoop(rate, ask.input, ask.output)
    at_rate = estimate_serve(ask.model, ask.chip, layout, ask.stack, estimate.weight_dtype, estimate.kv_dtype, work)
    ttft, tpot, e2e = latencies(run, once.ready)
    return replace(
        at_rate, ttft_s=ttft, tpot_s=tpot, e2e_s=e2e, saturated=run.overloaded, running_batch=run.batch_mean,
        requests_simulated=run.requests, simulated_s=run.simulated_s,
        capacity_requests_per_s=run.completed_per_s / run.replicas if run.overloaded else at_rate.capacity_requests_per_s,
    )  # fmt: skip


def _warned(ask: Ask, shown: ServeEstimate, once: Replay, asked: int, count: int) -> tuple[str, ...]:
    warnings = shown.warnings
    if ask.hashes is not None:
        warnings += (f"{once.found_before:.0%} of the prompt tokens of the trace were found in prefix caches",)
    if count > asked:
        added = "1 replica was" if count - asked == 1 else f"{count - asked} replicas were"
        warnings += (f"{added} added to the {asked} of the formulas to carry the recorded bursts",)
    if shown.saturated:
        waiting = once.run.requests - once.run.finished - once.run.timed_out - once.run.rejected
        left = f", {waiting:,} requests wait at its end" if waiting else ""
        able = f"{count} replicas answer {once.run.completed_per_s:.3g} requests/s"
        warnings += (f"overloaded: the queue grows as the trace is replayed; {able}{left}",)
    if missed := targets_missed(shown, ask.slo):
        warnings += (f"the replayed trace misses {', '.join(missed)}: ask for more than its rate, or relax the target",)
    return warnings


def keep_simulated(ask: Ask, replica: ServeEstimate, rate: float, kept: Path) -> None:
    """Write the requests of the simulation that confirmed a replica at this rate."""
    ready = prepare(way_of(ask, replica.layout, replica.weight_dtype, replica.kv_dtype), ask.input, ask.output)
    if plain(ask):
        _, run = simulate_serve(
            ask.model, ask.chip, replica.layout, ask.stack, replica.weight_dtype, replica.kv_dtype,
            OpenLoop(rate, ask.input, ask.output), requests=ask.requests, seed=ask.seed, records=True,
        )  # fmt: skip
    else:
        ready, run = run_way(ask, replica.layout, replica, rate, records=True)
    keep(kept, ready, run)
