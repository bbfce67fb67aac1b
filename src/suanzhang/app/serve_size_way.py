"""What a replica carries within latency targets, found by event simulation: the judge of every lever and of every sizing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from suanzhang.app.serve_args import front_factor, iteration_args
from suanzhang.app.serve_estimate import MANY, estimate_serve, fitted
from suanzhang.app.serve_sim import NOTHING, Extra, ahead_s, draw_lengths, later, pipeline_s
from suanzhang.errors import Infeasible, InputError
from suanzhang.perf.serving.precision import kv_bytes, weight_format
from suanzhang.perf.serving.table import iteration_table
from suanzhang.sim.replica import simulate
from suanzhang.spec.job import LengthSpec, SloSpec
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.serve import ClosedLoop, Percentiles, ServeEstimate
from suanzhang.spec.serve_way import Carried, Draft, Way
from suanzhang.spec.sim import EngineSettings, Floats, Ints, IterationTable, RequestBatch, SimResult

CELL = 4
"""Replicas behind one router in a run; more of them smooth the load a little further."""
WITHIN = 0.015
"""The highest rate is found within this fraction."""
LEAST_REQUESTS, MOST_REQUESTS = 3_000, 24_000
RESPONSES = 30.0
"""A run lasts at least so many full batches of requests."""
HIGHEST_USE = 0.95
"""Without latency targets a replica is run at this share of the rate at which its queue starts to grow."""
_LOWEST_USE = 0.02
HOST_LINK_BYTES_PER_S = 25e9
"""What a chip reads from the memory of its host [assumed: a PCIe 4 link of 16 lanes, one direction, without its headers]."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Requests of a service as drawn once: the same for every way that is compared.

    Args:
        gaps: between arrivals at one request per second [s].
        inputs, outputs: tokens.
        input, output: the distributions that they were drawn from.
    """

    gaps: Floats
    inputs: Ints
    outputs: Ints
    input: LengthSpec
    output: LengthSpec


def draw_demand(input_tokens: LengthSpec, output_tokens: LengthSpec, seed: int = 0) -> Demand:
    """Requests with Poisson arrivals; the same seed gives the same requests."""
    gaps, inputs, outputs = (np.random.default_rng(part) for part in np.random.SeedSequence(seed).spawn(3))
    return Demand(
        gaps.exponential(1.0, MOST_REQUESTS),
        draw_lengths(input_tokens, MOST_REQUESTS, inputs),
        draw_lengths(output_tokens, MOST_REQUESTS, outputs),
        input_tokens,
        output_tokens,
    )


def draft_share(model: ModelSpec, draft: Draft | None = None) -> float:
    """Time of one drafted token over that of a decode iteration, both bound by their weights.

    It is that of a further layer and the head, of a small model, or nothing for a look-up.
    """
    if draft is not None and draft.by == "lookup":
        return 0.0
    if draft is not None and draft.model is not None:
        return min(draft.model.matmul_params / model.matmul_params, 1.0)
    head = float(model.hidden * model.vocab)
    layer = (model.matmul_params - head) / model.layers
    return min((layer + head) / model.matmul_params, 1.0)


def drafted(table: IterationTable, model: ModelSpec, draft: Draft, max_seqs: int) -> IterationTable:
    """A table whose iterations are rounds of drafting and verifying.

    Model:
        A round drafts ``k`` tokens one after another with one further layer and the head, then verifies ``k + 1`` tokens of
        each sequence at once: products see ``k + 1`` rows per sequence, while each cache is read once. A small model drafts
        in the time that its weights take of those of the large one, and reads each prompt too; a look-up drafts in no time.
        Left out: trees of drafts, and the launches of the drafting steps.

    Args:
        table: of the plain engine, covering ``max_seqs * (k + 1)`` sequences.
        model: whose weights decide what a drafted token costs.
        draft: tokens and acceptance.
        max_seqs: most sequences of the engine.
    """
    k = draft.tokens
    batch = np.arange(max_seqs + 1)
    wide = np.minimum(batch * (k + 1), table.max_seqs)
    share = draft_share(model, draft)
    drafting = k * share * np.maximum(table.decode_base_s[: max_seqs + 1], table.decode_base_s[1])
    typical = float(drafting[min(32, max_seqs)])
    return replace(
        table,
        decode_base_s=table.decode_base_s[wide] + drafting,
        decode_context_s=table.decode_context_s[: max_seqs + 1],
        mixed_context_s=table.mixed_context_s[: max_seqs + 1],
        mixed_base_s=table.mixed_base_s * (1.0 + share if draft.model is not None else 1.0) + typical,
    )


def beside_draft(way: Way, kv_tokens: float) -> float:
    """Tokens that the cache of a replica holds beside the weights and the cache of a small model that drafts.

    Raises:
        Infeasible: the small model leaves no room.
    """
    small = way.draft.model
    if small is None or not way.draft.tokens:
        return kv_tokens
    own = way.model.kv_bytes_per_token(kv_bytes(way.kv_dtype))
    room = kv_tokens * own - small.params * weight_format(way.weight_dtype).bytes
    left = room / (own + small.kv_bytes_per_token(kv_bytes(way.kv_dtype)))
    if not left >= 1.0:
        raise Infeasible(
            f"{small.id} leaves no room for a cache beside {way.model.id}", binding=["memory"], fix="draft with a smaller model"
        )
    return left


@dataclass(frozen=True, slots=True)
class Prepared:
    """A way with its iteration times, ready to be simulated at any rate.

    Args:
        way: what runs.
        estimate: of one full replica, by formulas.
        table, settings: what the simulator is given.
        front_s, front_per_seq_s: time before the engine sees a request.
        pipe_s: further time of a prompt through the later stages of a pipeline: mean, p50, p90, p99 over prompts.
    """

    way: Way
    estimate: ServeEstimate
    table: IterationTable
    settings: EngineSettings
    front_s: float
    front_per_seq_s: float
    pipe_s: Extra = NOTHING


def prepare(way: Way, input_tokens: LengthSpec, output_tokens: LengthSpec) -> Prepared:
    """Iteration times and engine settings of a way.

    Raises:
        InputError, OutOfDomain, Infeasible: as :func:`suanzhang.app.serve_estimate.estimate_serve`.
    """
    if not 0.0 <= way.prefix.offloaded <= 1.0:
        raise InputError(f"offloaded: {way.prefix.offloaded:g} is no fraction", fix="give a share from 0 to 1")
    if not 0.0 <= way.prefix.share < 1.0:
        raise InputError(f"prefix share: {way.prefix.share:g} is no fraction below 1", fix="give for example 0.3")
    stack = way.stack
    if way.max_batched_tokens:
        stack = replace(stack, max_batched_tokens=way.max_batched_tokens, max_seqs=min(stack.max_seqs, way.max_batched_tokens))
    isl, osl = input_tokens.mean, output_tokens.mean
    full = estimate_serve(
        way.model, way.chip, way.layout, stack, way.weight_dtype, way.kv_dtype, ClosedLoop(MANY, isl, osl)
    )  # fmt: skip
    args, _ = iteration_args(way.model, way.chip, way.layout, stack, way.weight_dtype, way.kv_dtype, fitted())
    seqs = int(min(stack.max_seqs * way.layout.dp, 8192))
    covered = seqs * (way.draft.tokens + 1)
    table = iteration_table(args, covered, isl + 0.5 * osl, min(isl, float(stack.max_batched_tokens)))
    if way.draft.tokens:
        table = drafted(table, way.model, way.draft, seqs)
    if way.prefix.offloaded > 0.0:
        loaded = way.prefix.offloaded * way.model.kv_bytes_per_token(kv_bytes(way.kv_dtype)) / way.layout.chips
        table = replace(table, prefill_context_s=table.prefill_context_s + loaded / HOST_LINK_BYTES_PER_S)
    tokens = beside_draft(way, full.memory.kv_tokens)
    settings = EngineSettings(
        max_batched_tokens=stack.max_batched_tokens * way.layout.dp,
        max_seqs=seqs,
        kv_blocks=int(tokens // stack.block_tokens) if np.isfinite(tokens) else 10**9,
        block_tokens=stack.block_tokens,
        policy=stack.policy,
        chunked_prefill=stack.chunked_prefill,
        max_queue=MOST_REQUESTS,
        draft_tokens=way.draft.tokens,
        acceptance=way.draft.acceptance,
    )
    front = front_factor(fitted(), stack)
    pipe = pipeline_s(way.layout.pp, table, settings, input_tokens, output_tokens, way.prefix.share)
    return Prepared(way, full, table, settings, stack.request_s * front, stack.request_per_seq_s * front, pipe)


def requests_at(demand: Demand, rate: float, count: int, prefix_share: float = 0.0) -> RequestBatch:
    """The first requests of a demand at a rate, with the part of each prompt that is found in the cache."""
    inputs = demand.inputs[:count]
    cached = np.minimum((inputs * prefix_share).astype(np.int64), inputs - 1) if prefix_share > 0.0 else None
    return RequestBatch(np.cumsum(demand.gaps[:count]) / rate, inputs, demand.outputs[:count], cached)


def run_at(ready: Prepared, demand: Demand, rate: float, replicas: int = CELL) -> SimResult:
    """One run of a few replicas at a rate per replica [requests/s]."""
    count = int(min(max(RESPONSES * ready.estimate.running_batch * replicas, LEAST_REQUESTS), MOST_REQUESTS))
    batch = requests_at(demand, rate * replicas, count, ready.way.prefix.share)
    return simulate(
        batch, ready.table, ready.settings, replicas=replicas, router=ready.way.router,
        warmup_s=0.2 * float(batch.arrival_s[-1]),
    )  # fmt: skip


def latencies(found: SimResult, ready: Prepared) -> tuple[Percentiles, Percentiles, Percentiles]:
    """First token, per token and end to end of a run, the time before the engine included."""
    front = ready.front_s + ready.front_per_seq_s * found.batch_mean + ahead_s(ready.way.stack, found)
    return later(found.ttft_s, front, ready.pipe_s), later(found.tpot_s), later(found.e2e_s, front, ready.pipe_s)


def misses(ttft: Percentiles, tpot: Percentiles, e2e: Percentiles, slo: SloSpec) -> tuple[str, ...]:
    """Names of the targets that latencies miss."""
    reached = {
        "ttft_p50_s": ttft.p50,
        "ttft_p99_s": ttft.p99,
        "tpot_p50_s": tpot.p50,
        "tpot_p99_s": tpot.p99,
        "e2e_p99_s": e2e.p99,
    }
    return tuple(name for name, value in reached.items() if (limit := getattr(slo, name)) is not None and value > limit)


def carried(way: Way, demand: Demand, slo: SloSpec, replicas: int = CELL) -> Carried:
    """The highest rate per replica at which the simulated latencies meet the targets and the queue does not grow.

    Args:
        way: how a replica serves.
        demand: the requests, the same for every way.
        slo: the targets; without any, the rate is a fixed share of the one at which the queue grows.
        replicas: behind one router.

    Raises:
        InputError, OutOfDomain, Infeasible: the way cannot be.
    """
    return carried_by(prepare(way, demand.input, demand.output), demand, slo, replicas)


def carried_by(ready: Prepared, demand: Demand, slo: SloSpec, replicas: int = CELL) -> Carried:
    """As :func:`carried`, with the iteration times at hand."""
    simulated, best, last = 0, None, None

    def fine(rate: float) -> bool:
        nonlocal simulated, best, last
        found = run_at(ready, demand, rate, replicas)
        simulated += found.requests
        last = (rate, found, misses(*latencies(found, ready), slo))
        good = not found.overloaded and found.rejected == 0 and not last[2]
        if good and (best is None or rate > best[0]):
            best = last
        return good

    low, high = 0.0, 0.9 * ready.estimate.capacity_requests_per_s
    for _ in range(8):
        if not fine(high):
            break
        low, high = high, 1.35 * high
    floor = _LOWEST_USE * ready.estimate.capacity_requests_per_s
    while high - low > WITHIN * high and high > floor:
        middle = 0.5 * (low + high)
        if fine(middle):
            low = middle
        else:
            high = middle
    assert last is not None
    rate, found, missed = best or last
    share = 1.0 if slo.any else HIGHEST_USE
    return Carried(
        rate * share if best else 0.0, ready.way.layout.chips, *latencies(found, ready), found.batch_mean, simulated,
        () if best else missed or ("cache of the replica",),
    )  # fmt: skip
