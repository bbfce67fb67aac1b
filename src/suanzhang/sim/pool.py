"""One cell of a pool: replicas of one role behind one router, with all that happens to them and to requests."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from suanzhang.sim import state as f
from suanzhang.sim.cell import CHOSEN, FOREVER, NO_CACHE, ROUTERS, drain, feed, scratch
from suanzhang.sim.operations import Autoscaler, Failures, Operations, spans_between
from suanzhang.sim.prefix import Steering
from suanzhang.sim.replica import DEBUG_PIECE, capacity_per_s, is_growing, outstanding, result, stop_if_broken
from suanzhang.sim.state import engine, new_state, times
from suanzhang.spec.sim import EngineSettings, Ints, IterationTable, RequestBatch, SimResult

RoleName = Literal["mixed", "prefill", "decode"]
ROLES: tuple[RoleName, ...] = ("mixed", "prefill", "decode")
AWARE = "prefix-aware"
CACHED_SHARE = 0.5
"""Share of the cache pages that prefixes of finished requests hold beside the running ones [assumed]."""
_EVENTS = 79


@dataclass(frozen=True, slots=True)
class RolePool:
    """Equal replicas of one role.

    Args:
        table: time of one iteration of a replica.
        settings: of the engine of each replica. Nobody gives up in a pool of answers: the first token is out already.
        replicas: how many.
        role: "mixed", or "prefill" for prompts and "decode" for answers.
        weight: requests that one replica answers per second; requests are dealt in this proportion.
        failures: how replicas fail; None for never.
        scaler: how the open replicas of each cell follow the load; None for all open.
    """

    table: IterationTable
    settings: EngineSettings
    replicas: int
    role: RoleName = "mixed"
    weight: float = 1.0
    failures: Failures | None = None
    scaler: Autoscaler | None = None


class Beginnings(NamedTuple):
    """Requests that begin alike: the group of each with the tokens that it shares, or the hashes of its blocks.

    ``ends`` tells where the hashes of each request end; ``block_tokens`` is 0 where there are groups and no hashes.
    """

    groups: Ints
    shared: Ints
    blocks: Ints
    ends: Ints
    block_tokens: int = 0

    def of(self, rows: Ints) -> Beginnings:
        """Those of some of the requests, in order."""
        if not self.block_tokens:
            return self._replace(groups=self.groups[rows], shared=self.shared[rows])
        sizes = np.diff(np.concatenate([[0], self.ends]))
        wanted = np.zeros(len(self.ends), np.bool_)
        wanted[rows] = True
        return self._replace(blocks=self.blocks[np.repeat(wanted, sizes)], ends=np.cumsum(sizes[rows]))


def event_draws(seed: int, place: int, number: int) -> np.random.Generator:
    """Random numbers of what happens to the replicas of one cell."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(entropy=seed, spawn_key=(_EVENTS, place, number))))


def run_cell(
    pool: RolePool,
    batch: RequestBatch,
    router: str,
    begins: Beginnings | None,
    key: tuple[int, int, int],
    origin_s: float = 0.0,
    *,
    bins: int = 0,
    debug: bool = False,
) -> tuple[SimResult, float]:
    """Requests on the replicas of one cell.

    Args:
        pool: the cell: its ``replicas`` are those of the cell.
        batch: in order of arrival.
        router: as in :func:`follow`; "prefix-aware" without ``begins`` is "least-loaded".
        begins: prompts that begin alike.
        key: seed, and the numbers of the pool and of the cell in it.
        origin_s: when the replicas are switched on, not after the first arrival [s].
        bins: keep batch and queue over time in so many equal bins up to the last arrival; 0 for none.
        debug: check the invariants of the memory after every thousand requests and at the end.

    Returns:
        The run with the record of each request, and the prompt tokens that were found in caches.
    """
    count, arrivals = len(batch), np.ascontiguousarray(batch.arrival_s - origin_s, np.float64)
    carried, width = pool.role == "decode", float(arrivals[-1]) / bins if bins else 0.0
    settings = replace(pool.settings, queue_timeout_s=math.inf) if carried else pool.settings
    en = engine(settings, 0.0, width, f.CARRIED if carried else f.EVERYWHERE if begins is None else f.LOCAL)
    tb, st = times(pool.table, en), new_state(en, pool.replicas, int(batch.output_tokens.max()), count, bins)
    steer = None if begins is None else _steering(begins, batch, pool, router)
    plain = CHOSEN if steer else ROUTERS["least-loaded" if router == AWARE else router]
    planned = None
    if pool.failures is not None or pool.scaler is not None:
        planned = Operations(pool.failures, pool.scaler, event_draws(*key), forget=steer.lose if steer else None)
        planned.begin(st, 0.0)
    inputs, outputs = (np.ascontiguousarray(one, np.int64) for one in (batch.input_tokens, batch.output_tokens))
    cached, urgent = (
        NO_CACHE if one is None else np.ascontiguousarray(one, np.int64) for one in (batch.cached_tokens, batch.urgent)
    )
    todo, taken, found, half = scratch(pool.replicas), 0, 0.0, count // 2
    marks: list[tuple[float, int, int]] = []
    for low, high in _pieces(count, half, debug):
        for cut in spans_between(arrivals, low, high, planned, (st, en, tb)):
            chosen, hits = steer.send(cut.start, cut.stop, st.ri[:, f.CLOSED]) if steer else (NO_CACHE, cached[cut])
            found += 0.0 if carried else float(hits.sum())
            columns = (arrivals[cut], inputs[cut], outputs[cut], hits, urgent[cut], todo, chosen)
            taken += feed(st, en, tb, plain, key[0], cut.start, *columns)
            if st.tally[f.FULL]:
                break
        if debug:
            stop_if_broken(st, en, taken)
        if high in (half, count) or st.tally[f.FULL]:
            marks.append((float(arrivals[max(taken - 1, 0)]), int(st.tally[f.FINISHED]), outstanding(st)))
        if st.tally[f.FULL]:
            break
    full, now = bool(st.tally[f.FULL]), float(st.spent[f.LAST_END])
    endless = math.isinf(settings.queue_timeout_s) and is_growing(arrivals[half:], marks[0][2], marks[-1][2])
    growing = full or endless
    able = capacity_per_s(st, en, tb, marks) if growing else 0.0
    if not full:
        drain(st, en, tb, FOREVER)
    if debug:
        stop_if_broken(st, en, taken)
    spent = float(st.spent[f.LAST_END]) - float(arrivals[0])
    rate = able if growing else float(st.tally[f.FINISHED]) / max(spent, 1e-12)
    run = replace(result(st, en, taken, growing, rate, origin_s, batch), simulated_s=spent)
    if planned is not None:
        planned.end(now)
        run = replace(run, failures=planned.failed, moved=planned.moved, replica_on_s=planned.on_s)
    return run, found


def _pieces(count: int, half: int, debug: bool) -> list[tuple[int, int]]:
    edges = sorted({*range(0, count, DEBUG_PIECE if debug else count), half, count})
    return list(itertools.pairwise(edges))


def _steering(begins: Beginnings, batch: RequestBatch, pool: RolePool, router: str) -> Steering:
    room = CACHED_SHARE * pool.settings.kv_blocks * pool.settings.block_tokens
    steer = Steering(batch, pool.replicas, room, aware=router == AWARE)
    if begins.block_tokens:
        return steer.blocks(begins.blocks, begins.ends, begins.block_tokens)
    return steer.groups(begins.groups, begins.shared)
