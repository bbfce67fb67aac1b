"""The memory of the simulator: plain arrays that the compiled core reads and writes, and what it is set to.

Every replica of a cell owns one row in each array. Nothing grows during a run: the queue is a ring, the places of
running sequences are a free list, and the sequences that end at the same decode step hang on one list.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from suanzhang.errors import InputError
from suanzhang.sim.histogram import BUCKETS
from suanzhang.spec.sim import EngineSettings, IterationTable

# Whole numbers of a replica (columns of State.ri).
STEP, BATCH, NEXT, FREE, LEAST_FREE, HEAD, QUEUE, PLACE, TAIL, PART = range(10)
DONE, COMMITTED, GHOSTS, FORMING, RUNNING, OUTSTANDING, LAST_DONE, BLOCKED, CLOSED = range(10, 19)
REPLICA_INTS = 19
# Numbers of a replica (columns of State.rf).
CLOCK, CONTEXT, DUE = range(3)
REPLICA_FLOATS = 3
# A running sequence (columns of State.si and State.sf).
INPUT, OUTPUT, MADE, CACHED, IDENT, END, START, PHASE, LENGTH, FIRST_PAGE, BEFORE, AFTER, OLDER, YOUNGER = range(14)
URGENT = 14
SLOT_INTS = 16
ARRIVAL, FIRST = range(2)
# A waiting request has the first five columns of a running one, and whether it is urgent.
QUEUE_URGENT = 5
QUEUE_INTS = 6
LATENCIES = 6
# Counters of the cell (State.tally) and times (State.spent).
FINISHED, TIMED_OUT, REJECTED, INPUTS, OUTPUTS, ITERATIONS, PREFILLED, PREEMPTED, FULL = range(9)
COUNTERS = 9
# What is kept of each request when asked for (State.records).
FIRST_TOKEN, ENDED, SERVED_BY, LOST_PAGES = range(4)
KEPT = 4
# CLOSED: the router sends nothing to a replica that is down, starting or being emptied.
BUSY, PREFILL_BUSY, BATCH_TIME, LAST_END = range(4)
SPENT = 4

NEVER = 2**62
"""A decode step that does not come."""
EVERYWHERE, LOCAL, CARRIED = range(3)
"""Where the cached part of a prompt lies: on every replica, on its own alone (gone when that one fails), or in the pages
that came over a link for this request (gone when it loses its pages too)."""


class Engine(NamedTuple):
    """Settings of the engine as numbers, see :class:`suanzhang.spec.sim.EngineSettings`."""

    budget: int
    max_seqs: int
    capacity: int
    block: int
    period: int
    growth: float
    seq_tokens: int
    mixed: bool
    chunked: bool
    static: bool
    reserve: float
    timeout_s: float
    max_queue: int
    warmup_s: float
    bin_s: float
    cache: int


class Times(NamedTuple):
    """The iteration table with the mixed part laid out by token count."""

    decode_base: NDArray[np.float64]
    decode_context: NDArray[np.float64]
    mixed_base: NDArray[np.float64]
    mixed_context: NDArray[np.float64]
    pair: float
    context: float
    seq: float
    mixed_seq: float


class State(NamedTuple):
    """All that changes during a run of one cell."""

    ri: NDArray[np.int64]
    rf: NDArray[np.float64]
    si: NDArray[np.int32]
    sf: NDArray[np.float64]
    ends: NDArray[np.int32]
    phase: NDArray[np.int32]
    qi: NDArray[np.int32]
    qf: NDArray[np.float64]
    histogram: NDArray[np.int64]
    moments: NDArray[np.float64]
    tally: NDArray[np.int64]
    spent: NDArray[np.float64]
    records: NDArray[np.float64]
    line: NDArray[np.float64]


def engine(settings: EngineSettings, warmup_s: float = 0.0, bin_s: float = 0.0, cache: int = EVERYWHERE) -> Engine:
    """The settings as the core reads them; ``cache`` says where the cached part of a prompt lies.

    Raises:
        InputError: a setting is not positive, or an acceptance is no probability.
    """
    whole = {
        "max_batched_tokens": settings.max_batched_tokens,
        "max_seqs": settings.max_seqs,
        "kv_blocks": settings.kv_blocks,
        "block_tokens": settings.block_tokens,
        "max_queue": settings.max_queue,
    }
    for name, value in whole.items():
        if value < 1:
            raise InputError(f"{name}: {value} is not positive", fix="give at least 1")
    if not 0.0 <= settings.acceptance <= 1.0 or settings.draft_tokens < 0:
        raise InputError(
            f"speculative decoding: acceptance {settings.acceptance:g} with {settings.draft_tokens} drafted tokens",
            fix="acceptance is a fraction from 0 to 1, drafted tokens are not negative",
        )
    growth = settings.tokens_per_round
    own_reserve = {"vllm-v1": 0.0, "sglang": 0.0, "trtllm": 1.0, "static": 1.0}[settings.policy]
    return Engine(
        budget=int(settings.max_batched_tokens),
        max_seqs=int(settings.max_seqs),
        capacity=int(settings.kv_blocks),
        block=int(settings.block_tokens),
        period=max(1, round(settings.block_tokens / growth)),
        growth=float(growth),
        seq_tokens=1 + int(settings.draft_tokens),
        mixed=settings.policy in ("vllm-v1", "trtllm"),
        chunked=bool(settings.chunked_prefill),
        static=settings.policy == "static",
        reserve=float(own_reserve if settings.reserve_output is None else settings.reserve_output),
        timeout_s=float(settings.queue_timeout_s),
        max_queue=int(settings.max_queue),
        warmup_s=float(warmup_s),
        bin_s=float(bin_s),
        cache=int(cache),
    )


def times(table: IterationTable, eng: Engine) -> Times:
    """The iteration table as the core reads it.

    Raises:
        InputError: the table does not cover the batch, is not increasing, or holds a time that is not positive.
    """
    if table.max_seqs < eng.max_seqs or len(table.mixed_context_s) <= eng.max_seqs:
        raise InputError(
            f"iteration table: covers {table.max_seqs} sequences, the engine runs {eng.max_seqs}",
            fix="build the table for max_seqs of the engine",
        )
    grid, base = np.asarray(table.mixed_tokens, float), np.asarray(table.mixed_base_s, float)
    if len(grid) < 1 or len(grid) != len(base) or bool(np.any(np.diff(grid) <= 0.0)):
        raise InputError("iteration table: mixed_tokens must increase and match mixed_base_s", fix="rebuild the table")
    if not (bool(np.all(np.asarray(table.decode_base_s[1:]) > 0.0)) and bool(np.all(base > 0.0))):
        raise InputError("iteration table: an iteration takes no time", fix="rebuild the table")
    tokens = np.arange(eng.budget + 1, dtype=float)
    dense = np.interp(tokens, grid, base)
    if len(grid) > 1:
        slope = (base[-1] - base[-2]) / (grid[-1] - grid[-2])
        dense = np.where(tokens > grid[-1], base[-1] + slope * (tokens - grid[-1]), dense)
    return Times(
        decode_base=np.ascontiguousarray(table.decode_base_s, dtype=np.float64),
        decode_context=np.ascontiguousarray(table.decode_context_s, dtype=np.float64),
        mixed_base=np.ascontiguousarray(dense, dtype=np.float64),
        mixed_context=np.ascontiguousarray(table.mixed_context_s, dtype=np.float64),
        pair=float(table.prefill_pair_s),
        context=float(table.prefill_context_s),
        seq=float(table.prefill_seq_s),
        mixed_seq=float(table.mixed_seq_s),
    )


def new_state(eng: Engine, replicas: int, longest_output: int, records: int = 0, bins: int = 0) -> State:
    """Empty memory for a cell of replicas whose answers are at most ``longest_output`` tokens long."""
    ring = _power_of_two(longest_output + 2)
    queue = _power_of_two(eng.max_queue + eng.max_seqs + 2)
    state = State(
        ri=np.zeros((replicas, REPLICA_INTS), np.int64),
        rf=np.zeros((replicas, REPLICA_FLOATS), np.float64),
        si=np.full((replicas, eng.max_seqs, SLOT_INTS), -1, np.int32),
        sf=np.zeros((replicas, eng.max_seqs, 2), np.float64),
        ends=np.full((replicas, ring), -1, np.int32),
        phase=np.zeros((replicas, eng.period), np.int32),
        qi=np.zeros((replicas, queue, QUEUE_INTS), np.int32),
        qf=np.zeros((replicas, queue, 2), np.float64),
        histogram=np.zeros((LATENCIES, BUCKETS), np.int64),
        moments=np.zeros((3, LATENCIES), np.float64),
        tally=np.zeros(COUNTERS, np.int64),
        spent=np.zeros(SPENT, np.float64),
        records=np.full((KEPT, records), np.nan, np.float64),
        line=np.zeros((4, bins + 1 if bins else 0), np.float64),
    )
    state.records[LOST_PAGES] = 0.0
    state.si[:, :-1, AFTER] = np.arange(1, eng.max_seqs, dtype=np.int32)
    state.ri[:, NEXT] = NEVER
    state.ri[:, FREE] = state.ri[:, LEAST_FREE] = eng.capacity
    state.ri[:, TAIL] = state.ri[:, PART] = -1
    state.rf[:, DUE] = math.inf
    return state


def _power_of_two(least: int) -> int:
    return 1 << max(1, math.ceil(math.log2(max(least, 2))))
