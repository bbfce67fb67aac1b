"""Simulate requests on one replica, or on a few behind one router, and summarise what came out."""

from __future__ import annotations

import itertools
import math

import numpy as np

from suanzhang.errors import InputError, SolverError, unknown_name
from suanzhang.sim import state as f
from suanzhang.sim.cell import FOREVER, NO_CACHE, ROUTERS, drain, feed, scratch
from suanzhang.sim.histogram import summarise
from suanzhang.sim.invariants import broken
from suanzhang.sim.state import Engine, State, Times, engine, new_state, times
from suanzhang.spec.sim import (
    EngineSettings,
    Floats,
    Ints,
    IterationTable,
    LatencySummary,
    RequestBatch,
    RequestRecord,
    SimResult,
    Timeline,
)

GROWTH_SIGMAS = 4.0
"""A queue grows when it gained more in the second half of the arrivals than this many deviations of their number."""

ENOUGH_BATCHES = 8
"""Answers, in batches that run at once, that show what a replica is able to."""
LEFT_OF_QUEUE = 0.25
"""Of the queue at which a run stopped that is still there when its capacity has been seen."""
FIRST_STEP_S, STEP_GROWTH = 1e-3, 1.2
"""How far a full cell is worked off at a time: growing steps, since an iteration may take a millisecond or a minute."""

DEBUG_PIECE = 1000


def simulate(
    requests: RequestBatch,
    table: IterationTable,
    settings: EngineSettings,
    *,
    replicas: int = 1,
    router: str = "least-loaded",
    warmup_s: float = 0.0,
    seed: int = 0,
    records: bool = False,
    bins: int = 0,
    debug: bool = False,
) -> SimResult:
    """Latencies and throughput of requests on replicas of one engine, each request followed to its last token.

    Args:
        requests: in order of arrival.
        table: time of one iteration of a replica.
        settings: of the engine of each replica.
        replicas: how many share the requests.
        router: "round-robin", "least-loaded" or "power-of-two".
        warmup_s: requests that arrive in the first so many seconds load the engine but are not counted.
        seed: of the draws of the router; the requests bring their own.
        records: keep the times of every request.
        bins: keep batch and queue over time in so many equal bins; 0 for none.
        debug: check the invariants of the memory after every thousand requests.

    Returns:
        Counts, latencies, throughput. When a queue fills up the run stops, is marked as overloaded, and
        ``completed_per_s`` is the capacity.

    Raises:
        InputError: the requests are empty, out of order or not positive, or settings and table do not fit.
        SolverError: an invariant is broken (only with ``debug``); please report it.
    """
    check(requests)
    if router not in ROUTERS:
        raise unknown_name("router", router, ROUTERS)
    if replicas < 1:
        raise InputError(f"replicas: {replicas} is not positive", fix="give at least 1")
    arrivals = np.ascontiguousarray(requests.arrival_s, np.float64)
    start, span = float(arrivals[0]), float(arrivals[-1] - arrivals[0])
    arrivals = arrivals - start
    en = engine(settings, warmup_s, max(span, 1e-9) / bins if bins else 0.0)
    tb = times(table, en)
    st = new_state(en, replicas, int(requests.output_tokens.max()), len(requests) if records else 0, bins)
    cached, urgent = (
        NO_CACHE if column is None else np.ascontiguousarray(column, np.int64)
        for column in (requests.cached_tokens, requests.urgent)
    )
    inputs = np.ascontiguousarray(requests.input_tokens, np.int64)
    outputs = np.ascontiguousarray(requests.output_tokens, np.int64)
    todo, half = scratch(replicas), len(arrivals) // 2
    taken, marks = 0, []
    for low, high in _pieces(len(arrivals), half, DEBUG_PIECE if debug else len(arrivals)):
        piece = slice(low, high)
        columns = (arrivals[piece], inputs[piece], outputs[piece], cached[piece], urgent[piece])
        taken += feed(st, en, tb, ROUTERS[router], seed, low, *columns, todo, NO_CACHE)
        if debug:
            stop_if_broken(st, en, taken)
        if high in (half, len(arrivals)) or st.tally[f.FULL]:
            marks.append((float(arrivals[max(taken - 1, 0)]), int(st.tally[f.FINISHED]), outstanding(st)))
        if st.tally[f.FULL]:
            break
    full = bool(st.tally[f.FULL])
    growing = full or is_growing(arrivals[half:], marks[0][2], marks[-1][2])
    able = capacity_per_s(st, en, tb, marks) if growing else 0.0
    if not full:
        drain(st, en, tb, FOREVER)
    if debug:
        stop_if_broken(st, en, taken)
    rate = able if growing else float(st.tally[f.FINISHED]) / max(float(st.spent[f.LAST_END]), 1e-12)
    return result(st, en, taken, growing, rate, start, requests if records else None)


def _pieces(count: int, half: int, size: int) -> list[tuple[int, int]]:
    edges = sorted({*range(0, count, size), half, count})
    return list(itertools.pairwise(edges)) if count > 1 else [(0, count)]


def stop_if_broken(st: State, en: Engine, taken: int) -> None:
    """Check the invariants of a cell.

    Raises:
        SolverError: one is broken.
    """
    found = broken(st, en, taken)
    if found:
        raise SolverError(f"simulator: {found[0]}", fix="report the case with its seed", details={"broken": found})


def check(requests: RequestBatch) -> None:
    """Refuse requests that no engine could get.

    Raises:
        InputError: no requests, arrays of unlike length, arrivals out of order or not finite, lengths below 1.
    """
    count = len(requests.arrival_s)
    if count == 0:
        raise InputError("requests: none given", fix="give at least one")
    columns = [requests.input_tokens, requests.output_tokens]
    columns += [column for column in (requests.cached_tokens, requests.urgent) if column is not None]
    if any(len(column) != count for column in columns):
        raise InputError("requests: columns of unlike length", fix="give each request an arrival and both lengths")
    if not bool(np.all(np.isfinite(requests.arrival_s))) or bool(np.any(np.diff(requests.arrival_s) < 0.0)):
        raise InputError("requests: arrivals are not finite or not in order", fix="sort the requests by arrival")
    if int(np.min(requests.input_tokens)) < 1 or int(np.min(requests.output_tokens)) < 1:
        raise InputError("requests: a length is below 1 token", fix="drop requests without prompt or answer")
    if int(np.max(requests.input_tokens)) > 2**30 or int(np.max(requests.output_tokens)) > 2**24:
        raise InputError("requests: a length is beyond what an engine takes", fix="check the unit of the lengths")


def outstanding(st: State) -> int:
    """Requests that have arrived and are not answered."""
    return int(st.ri[:, f.OUTSTANDING].sum())


def is_growing(arrivals: Floats, before: int, after: int) -> bool:
    """Whether requests piled up over these arrivals by more than their own randomness explains."""
    count = len(arrivals)
    if count < 100:
        return False
    gaps = np.diff(arrivals)
    mean = float(gaps.mean())
    variation = float(gaps.std()) / mean if mean > 0.0 else 1.0
    return after - before > GROWTH_SIGMAS * max(variation, 0.1) * math.sqrt(count) + 0.01 * before


def rate_of(marks: list[tuple[float, int, int]]) -> float:
    """Requests finished per second after the first half, or from the start when the queue filled before it."""
    begin = marks[0] if len(marks) > 1 and marks[1][0] > marks[0][0] else (0.0, 0, 0)
    end = marks[-1]
    return (end[1] - begin[1]) / max(end[0] - begin[0], 1e-12)


def capacity_per_s(st: State, en: Engine, tb: Times, marks: list[tuple[float, int, int]]) -> float:
    """Requests that an overloaded cell answers per second.

    A queue that fills up before many answers are out says nothing about that yet: then nothing more arrives, and the cell
    goes on as long as each open replica still has much of its queue.

    Args:
        st: memory of the cell.
        en: settings of the engine.
        tb: iteration times.
        marks: time, answers and unanswered requests in the middle of the arrivals and at their end.
    """
    first = marks[0][1] if len(marks) > 1 else 0
    if marks[-1][1] - first >= ENOUGH_BATCHES * int(st.ri[:, f.RUNNING].sum()):
        return rate_of(marks)
    return max(rate_of(marks), _worked_off_per_s(st, en, tb))


def _worked_off_per_s(st: State, en: Engine, tb: Times) -> float:
    """Requests answered per second in the second half of the time that it takes to work off most of the queues."""
    open_ones = st.ri[:, f.CLOSED] == 0
    least = LEFT_OF_QUEUE * st.ri[open_ones, f.QUEUE]
    until, step, marks = float(st.rf[open_ones, f.CLOCK].max(initial=0.0)), FIRST_STEP_S, list[tuple[float, int]]()
    while open_ones.any() and bool((st.ri[open_ones, f.QUEUE] > least).all()):
        marks.append((until, int(st.tally[f.FINISHED])))
        until += step
        step *= STEP_GROWTH
        drain(st, en, tb, until)
    if len(marks) < 2:
        return 0.0
    (end, done), middle = marks[-1], 0.5 * (marks[0][0] + marks[-1][0])
    begin, before = next(mark for mark in marks if mark[0] >= middle or mark is marks[-2])
    return (done - before) / (end - begin)


def urgent_first(histograms: Ints, moments: Floats) -> LatencySummary | None:
    """First token of the urgent requests; None when there were none."""
    return summarise(histograms[3], moments[:, 3]) if histograms[3].any() else None


def records_of(st: State, requests: RequestBatch, start: float = 0.0) -> RequestRecord:
    """What became of each of these requests, which are those that the cell was given."""
    kept = st.records[:, : len(requests)]
    served = np.where(np.isnan(kept[f.SERVED_BY]), -1.0, kept[f.SERVED_BY]).astype(np.int64)
    return RequestRecord(
        kept[f.FIRST_TOKEN] + start, kept[f.ENDED] + start, requests.arrival_s, requests.input_tokens, requests.output_tokens,
        served, kept[f.LOST_PAGES].astype(np.int64),
    )  # fmt: skip


def result(
    st: State, en: Engine, taken: int, overloaded: bool, rate: float, start: float = 0.0, given: RequestBatch | None = None
) -> SimResult:
    """The result of a cell from its memory; ``given`` are its requests where the fate of each is asked for."""
    count, spent = st.tally, st.spent
    busy = float(spent[f.BUSY])
    latencies = [summarise(st.histogram[kind], st.moments[:, kind]) for kind in range(3)]
    bins = st.line.shape[1] - 1
    line = None
    if bins > 0:
        levels = [np.concatenate(([0.0], np.cumsum(st.line[row])[1:-1])) + st.line[row + 1, :-1] for row in (0, 2)]
        line = Timeline(start + en.bin_s * np.arange(bins), levels[0], levels[1])
    return SimResult(
        requests=taken,
        finished=int(count[f.FINISHED]),
        timed_out=int(count[f.TIMED_OUT]),
        rejected=int(count[f.REJECTED]),
        unfinished=outstanding(st),
        simulated_s=float(spent[f.LAST_END]),
        ttft_s=latencies[0],
        tpot_s=latencies[1],
        e2e_s=latencies[2],
        input_tokens=int(count[f.INPUTS]),
        output_tokens=int(count[f.OUTPUTS]),
        iterations=int(count[f.ITERATIONS]),
        prefill_tokens=int(count[f.PREFILLED]),
        preemptions=int(count[f.PREEMPTED]),
        busy_s=busy,
        prefill_busy_s=float(spent[f.PREFILL_BUSY]),
        batch_mean=float(spent[f.BATCH_TIME]) / busy if busy > 0.0 else 0.0,
        kv_blocks_peak=en.capacity - int(st.ri[:, f.LEAST_FREE].min()),
        replicas=st.ri.shape[0],
        overloaded=overloaded,
        completed_per_s=rate,
        histograms=st.histogram,
        moments=st.moments,
        records=records_of(st, given, start) if given is not None else None,
        timeline=line,
        urgent_ttft_s=urgent_first(st.histogram, st.moments),
    )
