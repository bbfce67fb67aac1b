"""Simulate a fleet: fixed cells of replicas, each behind its own router, spread over any number of workers.

A cell is the unit of work: it draws its own requests from its own random streams and keeps its own histograms, so
the answer is the same to the last bit however many workers share the cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from suanzhang.errors import InputError, unknown_name
from suanzhang.sim import state as f
from suanzhang.sim.arrivals import Traffic, joined, stream
from suanzhang.sim.cell import FOREVER, NO_CACHE, ROUTERS, drain, feed, scratch
from suanzhang.sim.histogram import summarise
from suanzhang.sim.operations import Autoscaler, Failures, Operations, spans_between
from suanzhang.sim.replica import capacity_per_s, outstanding, result, stop_if_broken, urgent_first
from suanzhang.sim.state import Engine, State, Times, engine, new_state, times
from suanzhang.spec.sim import EngineSettings, Floats, Ints, IterationTable, RequestBatch, RequestRecord, SimResult, Timeline

CELL = 64
"""Most replicas of a cell: one router sees the load of its own cell only."""

SUMS = (
    "requests",
    "finished",
    "timed_out",
    "rejected",
    "unfinished",
    "input_tokens",
    "output_tokens",
    "iterations",
    "prefill_tokens",
    "preemptions",
    "replicas",
    "failures",
    "moved",
)
"""What adds up over cells."""


def simulate_fleet(
    traffic: Traffic,
    requests: int,
    table: IterationTable,
    settings: EngineSettings,
    replicas: int,
    *,
    router: str = "least-loaded",
    seed: int = 0,
    workers: int = 1,
    warmup_s: float = 0.0,
    bin_s: float = 0.0,
    cell_size: int = CELL,
    start_s: float = 0.0,
    failures: Failures | None = None,
    scaler: Autoscaler | None = None,
    records: bool = False,
    debug: bool = False,
) -> SimResult:
    """A stream of requests on many equal replicas, every request simulated.

    Args:
        traffic: rate, load shape and lengths of all requests together.
        requests: how many to simulate.
        table: time of one iteration of a replica.
        settings: of the engine of each replica.
        replicas: in all; they are dealt to as few cells of nearly equal size as possible.
        router: inside a cell.
        seed: of all random streams.
        workers: cells that run at once; it does not change the result.
        warmup_s: requests of the first so many seconds load the engines but are not counted.
        bin_s: width of the bins of the timeline [s]; 0 for none.
        cell_size: most replicas of a cell.
        start_s: time of day at which the requests begin.
        failures: how replicas fail; None for never.
        scaler: how the open replicas of each cell follow the load; None for all open all day.
        records: keep what became of each request, in order of arrival.
        debug: check the invariants of the memory of every cell after each piece of requests and at the end.

    Returns:
        The cells added up. A cell whose queue fills up stops there, and the fleet is marked as overloaded.

    Raises:
        InputError: the traffic, the settings or the counts cannot be used.
        SolverError: an invariant is broken (only with ``debug``); please report it.
    """
    if router not in ROUTERS:
        raise unknown_name("router", router, ROUTERS)
    for name, value in (("replicas", replicas), ("requests", requests), ("workers", workers), ("cell_size", cell_size)):
        if value < 1:
            raise InputError(f"{name}: {value} is not positive", fix="give at least 1")
    cells = -(-replicas // cell_size)
    sizes = [replicas // cells + (cell < replicas % cells) for cell in range(cells)]
    edges = np.rint(np.cumsum([0, *sizes]) * (requests / replicas)).astype(np.int64)

    def run(cell: int) -> SimResult:
        share = replace(traffic, requests_per_s=traffic.requests_per_s * sizes[cell] / replicas)
        count = int(edges[cell + 1] - edges[cell])
        when = (start_s, warmup_s, bin_s)
        return run_cell(
            share, count, table, settings, sizes[cell], router, (seed, cell), when, failures, scaler, records, debug
        )

    with ThreadPoolExecutor(max_workers=min(workers, cells)) as pool:
        return merge(list(pool.map(run, range(cells))))


def run_cell(
    traffic: Traffic,
    count: int,
    table: IterationTable,
    settings: EngineSettings,
    replicas: int,
    router: str,
    key: tuple[int, int],
    when: tuple[float, float, float],
    failures: Failures | None = None,
    scaler: Autoscaler | None = None,
    records: bool = False,
    debug: bool = False,
) -> SimResult:
    """One cell; ``key`` is the seed and the number of the cell, ``when`` its start, warm-up and bin width [s]."""
    start_s, warmup_s, bin_s = when
    expected_s = count / traffic.requests_per_s
    en = engine(settings, start_s + warmup_s, bin_s)
    tb = times(table, en)
    bins = int((start_s + expected_s) / bin_s) + 1 if bin_s > 0.0 else 0
    st = new_state(en, replicas, traffic.max_tokens, count if records else 0, bins)
    given: list[RequestBatch] = []
    todo, taken, half = scratch(replicas), 0, (start_s, 0, 0)
    planned = None
    if failures is not None or scaler is not None:
        draws = np.random.Generator(np.random.SFC64(np.random.SeedSequence(entropy=key[0], spawn_key=(key[1], 3))))
        planned = Operations(failures, scaler, draws)
        planned.begin(st, start_s)
    for piece in stream(traffic, count, key[0], key[1], 1, start_s):
        if records:
            given.append(piece)
        for columns in between_events(piece, planned, (st, en, tb)):
            taken += feed(st, en, tb, ROUTERS[router], key[0], taken, *columns, todo, NO_CACHE)
            if st.tally[f.FULL]:
                break
        if debug:
            stop_if_broken(st, en, taken)
        if st.tally[f.FULL]:
            break
        if taken <= count // 2:
            half = (float(st.spent[f.LAST_END]), int(st.tally[f.FINISHED]), outstanding(st))
    full = bool(st.tally[f.FULL])
    left, now = outstanding(st), float(st.spent[f.LAST_END])
    growing = full or (
        traffic.load.shape == "flat" and left - half[2] > 4.0 * (taken / 2.0) ** 0.5 * max(traffic.burstiness, 0.1)
    )
    able = capacity_per_s(st, en, tb, [half, (now, int(st.tally[f.FINISHED]), left)]) if growing else 0.0
    if not full:
        drain(st, en, tb, FOREVER)
    if debug:
        stop_if_broken(st, en, taken)
    end_s = float(st.spent[f.LAST_END]) - start_s
    rate = able if growing else int(st.tally[f.FINISHED]) / max(end_s, 1e-12)
    whole = replace(result(st, en, taken, growing, rate, 0.0, joined(given) if records else None), simulated_s=end_s)
    if planned is None:
        return whole
    planned.end(now)
    return replace(whole, failures=planned.failed, moved=planned.moved, replica_on_s=planned.on_s)


def between_events(
    piece: RequestBatch, planned: Operations | None, cell: tuple[State, Engine, Times]
) -> Iterator[tuple[Floats, Ints, Ints, Ints, Ints]]:
    """The requests of a piece, cut where something happens to a replica; each event happens between two cuts."""
    for cut in spans_between(piece.arrival_s, 0, len(piece), planned, cell):
        cached, urgent = (NO_CACHE if column is None else column[cut] for column in (piece.cached_tokens, piece.urgent))
        yield piece.arrival_s[cut], piece.input_tokens[cut], piece.output_tokens[cut], cached, urgent


def merged_records(parts: list[SimResult]) -> RequestRecord | None:
    """The requests of all cells in order of arrival; replicas are numbered on from cell to cell."""
    kept = [part.records for part in parts if part.records is not None]
    if len(kept) < len(parts):
        return None
    first = np.cumsum([0, *(part.replicas for part in parts)])
    columns = {name: np.concatenate([getattr(one, name) for one in kept]) for name in RequestRecord.__slots__}
    served = [np.where(one.replica < 0, -1, one.replica + base) for one, base in zip(kept, first[:-1], strict=True)]
    columns["replica"] = np.concatenate(served)
    order = np.argsort(columns["arrival_s"], kind="stable")
    return RequestRecord(**{name: column[order] for name, column in columns.items()})


def merge(parts: list[SimResult]) -> SimResult:
    """Cells that ran side by side as one fleet."""
    histograms = np.sum([part.histograms for part in parts], axis=0)
    moments = np.sum([part.moments for part in parts], axis=0)
    moments[2] = np.max([part.moments[2] for part in parts], axis=0)
    busy = sum(part.busy_s for part in parts)
    line, lines = None, [part.timeline for part in parts if part.timeline is not None]
    if lines:
        longest = max(lines, key=lambda one: len(one.start_s))
        running, waiting = (np.zeros(len(longest.start_s)) for _ in range(2))
        for one in lines:
            running[: len(one.running)] += one.running
            waiting[: len(one.waiting)] += one.waiting
        line = Timeline(longest.start_s, running, waiting)
    whole = {name: sum(getattr(part, name) for part in parts) for name in SUMS}
    rows = [(part.ttft_s.p99, part.tpot_s.p99, part.e2e_s.p99, part.output_tokens_per_s) for part in parts]
    return SimResult(
        **whole,
        simulated_s=max(part.simulated_s for part in parts),
        ttft_s=summarise(histograms[0], moments[:, 0]),
        tpot_s=summarise(histograms[1], moments[:, 1]),
        e2e_s=summarise(histograms[2], moments[:, 2]),
        busy_s=busy,
        prefill_busy_s=sum(part.prefill_busy_s for part in parts),
        batch_mean=sum(part.batch_mean * part.busy_s for part in parts) / busy if busy > 0.0 else 0.0,
        kv_blocks_peak=max(part.kv_blocks_peak for part in parts),
        overloaded=any(part.overloaded for part in parts),
        completed_per_s=sum(part.completed_per_s for part in parts),
        histograms=histograms,
        moments=moments,
        records=merged_records(parts),
        timeline=line,
        urgent_ttft_s=urgent_first(histograms, moments),
        replica_on_s=sum(part.replica_on_s for part in parts),
        by_cell=np.asarray(rows, np.float64) if len(parts) > 1 else None,
    )
