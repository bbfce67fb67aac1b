"""Requests followed through pools of unlike replicas and roles, with what happens to requests and replicas on the way.

A pool is dealt its requests by what its replicas that are up can answer. Pools of more than 64 replicas are cut into cells,
each behind a router of its own. A cell is the unit of work: its random numbers hang on the seed and its own number alone, so
the answer is the same to the last bit on any number of workers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from suanzhang.errors import InputError, SolverError, unknown_name
from suanzhang.sim.cell import ROUTERS
from suanzhang.sim.fleet import CELL, merge
from suanzhang.sim.operations import down_spans
from suanzhang.sim.pool import AWARE, ROLES, Beginnings, RolePool, event_draws, run_cell
from suanzhang.sim.replica import check
from suanzhang.spec.sim import Floats, Ints, RequestBatch, SimResult

_DEAL = 77


class Fates(NamedTuple):
    """What became of each request; NaN where it was not answered, -1 for no replica."""

    first_s: Floats
    end_s: Floats
    replica: Ints
    preemptions: Ints


class Served(NamedTuple):
    """One pool after its requests: which they were, and the share of prompt tokens that were in its caches."""

    rows: Ints
    run: SimResult
    found_before: float


class _Cell(NamedTuple):
    """Replicas of a pool behind one router: its pool, its number there, how many, the first of them, when some are down."""

    place: int
    number: int
    replicas: int
    base: int
    starts: Floats
    ends: Floats

    def up(self, at: Floats) -> Floats:
        """Replicas that are up at these times."""
        down = np.searchsorted(self.starts, at, side="right") - np.searchsorted(self.ends, at, side="right")
        return np.asarray(self.replicas - down, np.float64)


def deal(weights: Floats | Sequence[float], count: int, seed: int) -> Ints:
    """Which of some pools each request goes to: at random, in proportion to their weights.

    Args:
        weights: of each pool, and where they change of each request too: shape (pools,) or (pools, requests).
        count: of requests.
        seed: of the draws.
    """
    given = np.asarray(weights, np.float64)
    given = given[:, None] if given.ndim == 1 else given
    draws = np.random.Generator(np.random.SFC64(np.random.SeedSequence(entropy=seed, spawn_key=(_DEAL, len(given)))))
    edges, turns = np.cumsum(given, axis=0) / np.sum(given, axis=0), draws.random(count)
    reached = np.zeros(count, np.int64)
    for edge in edges[:-1]:
        reached += turns >= edge
    return reached


def follow(
    batch: RequestBatch,
    pools: Sequence[RolePool],
    *,
    router: str = "least-loaded",
    begins: Beginnings | None = None,
    carry_s: Floats | None = None,
    seed: int = 0,
    workers: int = 1,
    cell_size: int = CELL,
    debug: bool = False,
) -> tuple[Fates, list[Served]]:
    """Requests through all pools.

    Model:
        A request goes to a mixed pool, or to a prefill pool that makes its first token and then, when its cache has crossed a
        link of the replica's own, to a decode pool that computes that one token before it goes on. A replica that fails sends
        what it had to the least loaded one that is open in its cell; a cache that came over a link, or that lay there alone,
        is lost, and the prompt is computed again where the request goes on. Left out: contention of transfers on one link,
        and pages that a prefill replica holds while it sends.

    Args:
        batch: in order of arrival.
        pools: that share the requests; their replicas are numbered on from pool to pool.
        router: inside a cell: "round-robin", "least-loaded", "power-of-two", or "prefix-aware" with ``begins``.
        begins: prompts that begin alike; the caches of the replicas then decide what is found.
        carry_s: time that the cache of one prompt token takes from a prefill pool (row) to a decode pool (column) [s].
        seed: of everything that is drawn here.
        workers: cells that run at once; it does not change the result.
        cell_size: most replicas of a cell; where prompts begin alike a pool is one cell.
        debug: check the invariants on the way and at the end.

    Returns:
        The fate of each request, and what each pool did.

    Raises:
        InputError: a pool, the requests or the router cannot be used.
        SolverError: an invariant is broken (only with ``debug``); please report it.
    """
    _check_pools(batch, pools, router, begins, workers)
    count, span = len(batch), (float(batch.arrival_s[0]), float(batch.arrival_s[-1]))
    cells = _cells(pools, seed, span, math.inf if begins is not None else cell_size)
    fates = Fates(np.full(count, np.nan), np.full(count, np.nan), np.full(count, -1), np.zeros(count, np.int64))
    by_role = {role: [place for place, pool in enumerate(pools) if pool.role == role] for role in ROLES}
    links = np.zeros((len(pools), len(pools))) if carry_s is None else np.asarray(carry_s, np.float64)
    able = {place: _Able(pool, [cell for cell in cells if cell.place == place]) for place, pool in enumerate(pools)}
    runner = _Runner(batch, pools, cells, router, begins, seed, workers, span[0], debug, fates)

    entries = [able[place](batch.arrival_s) for place in by_role["mixed"]]
    if by_role["prefill"]:
        sides = [np.sum([able[place](batch.arrival_s) for place in by_role[role]], axis=0) for role in ("prefill", "decode")]
        entries.append(np.minimum(*sides))
    turn = deal(_some(entries), count, seed)
    rows = {place: np.flatnonzero(turn == order) for order, place in enumerate(by_role["mixed"])}
    apart = np.flatnonzero(turn == len(by_role["mixed"]))
    if by_role["prefill"]:
        turn = deal(_some([able[place](batch.arrival_s[apart]) for place in by_role["prefill"]]), len(apart), seed + 1)
        rows |= {place: apart[turn == order] for order, place in enumerate(by_role["prefill"])}
    served = runner.prompts(rows)
    if by_role["prefill"]:
        begun = fates.first_s[apart]
        when = np.where(np.isfinite(begun), begun, span[1])
        turn = deal(_some([able[place](when) for place in by_role["decode"]]), len(apart), seed + 2)
        mine = {place: apart[turn == order] for order, place in enumerate(by_role["decode"])}
        served |= runner.answers(mine, {place: rows[place] for place in by_role["prefill"]}, links)
    found = [served[place] for place in range(len(pools))]
    if debug:
        _stop_if_broken(batch, pools, fates, found)
    return fates, found


def _check_pools(batch: RequestBatch, pools: Sequence[RolePool], router: str, begins: Beginnings | None, workers: int) -> None:
    check(batch)
    if router != AWARE and router not in ROUTERS:
        raise unknown_name("router", router, (*ROUTERS, AWARE))
    if router == AWARE and begins is None:
        raise InputError("router prefix-aware: no prompts that begin alike", fix="say which prompts begin alike")
    if not pools or any(pool.replicas < 1 or not pool.weight > 0.0 for pool in pools) or workers < 1:
        raise InputError("pools: a number of replicas, workers or requests/s is not positive", fix="give at least 1 of each")
    check_roles([pool.role for pool in pools])


def check_roles(roles: Sequence[str]) -> None:
    """Refuse prompts without answers.

    Raises:
        InputError: only one of the roles prefill and decode is there.
    """
    if ("prefill" in roles) != ("decode" in roles):
        raise InputError(
            f"pools: {'prefill' if 'prefill' in roles else 'decode'} alone", fix="name pools of both roles, or mixed ones"
        )


def _cells(pools: Sequence[RolePool], seed: int, span: tuple[float, float], cell_size: float) -> list[_Cell]:
    """The pools cut into cells of nearly equal size, and when replicas of each will be down."""
    found, base = [], 0
    for place, pool in enumerate(pools):
        many = math.ceil(pool.replicas / cell_size) if cell_size < math.inf else 1
        for number in range(many):
            size = pool.replicas // many + (number < pool.replicas % many)
            spans: list[tuple[float, float]] = []
            if pool.failures is not None and pool.failures.mtbf_s > 0.0 and pool.failures.repair_s > 0.0:
                spans = down_spans(pool.failures, size, event_draws(seed, place, number), *span)
            starts, ends = (np.sort(np.array([one[side] for one in spans])) for side in (0, 1))
            found.append(_Cell(place, number, size, base, starts, ends))
            base += size
    return found


class _Able:
    """What the replicas of a pool that are up answer, by time; all of them where every one is down."""

    def __init__(self, pool: RolePool, cells: list[_Cell]) -> None:
        self.pool, self.cells = pool, cells

    def __call__(self, at: Floats) -> Floats:
        return np.asarray(self.pool.weight * np.sum([cell.up(at) for cell in self.cells], axis=0), np.float64)


def _some(weights: list[Floats]) -> Floats:
    """Weights with no column of zeros: where everything is down, all pools count alike."""
    given = np.asarray(weights, np.float64)
    return np.where(given.sum(axis=0) > 0.0, given, 1.0)


class _Runner(NamedTuple):
    """What all cells are run with."""

    batch: RequestBatch
    pools: Sequence[RolePool]
    cells: list[_Cell]
    router: str
    begins: Beginnings | None
    seed: int
    workers: int
    origin_s: float
    debug: bool
    fates: Fates

    def prompts(self, rows: dict[int, Ints]) -> dict[int, Served]:
        """Mixed and prefill pools; the first tokens, and the ends of what they answer alone, are noted."""
        batch, asked = self.batch, []
        for place, mine in rows.items():
            cached = None if batch.cached_tokens is None else batch.cached_tokens[mine]
            urgent = None if batch.urgent is None else batch.urgent[mine]
            outputs = batch.output_tokens[mine] if self.pools[place].role == "mixed" else np.ones(len(mine), np.int64)
            part = RequestBatch(batch.arrival_s[mine], batch.input_tokens[mine], outputs, cached, urgent)
            asked.append((place, mine, part))
        return self._all(asked, self.begins)

    def answers(self, rows: dict[int, Ints], senders: dict[int, Ints], links: Floats) -> dict[int, Served]:
        """Decode pools: what has its first token and a further one to make, once its cache is there."""
        batch, asked = self.batch, []
        sender = np.full(len(batch), -1)
        for place, mine in senders.items():
            sender[mine] = place
        for place, dealt in rows.items():
            mine = dealt[np.isfinite(self.fates.first_s[dealt]) & (batch.output_tokens[dealt] > 1)]
            there = self.fates.first_s[mine] + batch.input_tokens[mine] * links[sender[mine], place]
            order = np.argsort(there, kind="stable")
            mine, prompts = mine[order], batch.input_tokens[mine[order]] + 1
            urgent = None if batch.urgent is None else batch.urgent[mine]
            part = RequestBatch(there[order], prompts, batch.output_tokens[mine] - 1, prompts - 1, urgent)
            asked.append((place, mine, part))
        return self._all(asked, None)

    def _all(self, asked: list[tuple[int, Ints, RequestBatch]], begins: Beginnings | None) -> dict[int, Served]:
        units = [unit for one in asked for unit in self._units(*one)]
        with ThreadPoolExecutor(max_workers=max(min(self.workers, len(units)), 1)) as threads:
            runs = list(threads.map(lambda unit: self._run(unit[0], unit[1], unit[2], begins), units))
        served = {}
        for place, mine, _ in asked:
            parts = []
            for (cell, rows, batch), (run, found) in zip(units, runs, strict=True):
                if cell.place == place:
                    self._note(cell, rows, run)
                    parts.append((replace(run, records=None), found, float(batch.input_tokens.sum())))
            total = sum(tokens for _, _, tokens in parts)
            share = sum(found for _, found, _ in parts) / total
            served[place] = Served(mine, parts[0][0] if len(parts) == 1 else merge([run for run, _, _ in parts]), share)
        return served

    def _units(self, place: int, mine: Ints, part: RequestBatch) -> Iterator[tuple[_Cell, Ints, RequestBatch]]:
        """The requests of a pool, dealt to its cells."""
        if not len(mine):
            raise InputError("pools: one of them got no request", fix="follow more requests, or name fewer pools")
        cells = [cell for cell in self.cells if cell.place == place]
        if len(cells) == 1:
            yield cells[0], mine, part
            return
        turn = deal(_some([cell.up(part.arrival_s) for cell in cells]), len(mine), self.seed + 3 + place)
        for order, cell in enumerate(cells):
            rows = np.flatnonzero(turn == order)
            if len(rows):
                cached, urgent = (None if one is None else one[rows] for one in (part.cached_tokens, part.urgent))
                lengths = (part.input_tokens[rows], part.output_tokens[rows])
                yield cell, mine[rows], RequestBatch(part.arrival_s[rows], *lengths, cached, urgent)

    def _run(
        self, cell: _Cell, rows: Ints, part: RequestBatch, begins: Beginnings | None
    ) -> tuple[SimResult, float]:  # fmt: skip
        """One cell, and the prompt tokens that it found in its caches."""
        pool = self.pools[cell.place]
        run = replace(pool, replicas=cell.replicas)
        alike = None if begins is None else begins.of(rows)
        key = (self.seed, cell.place, cell.number)
        return run_cell(run, part, self.router, alike, key, self.origin_s, debug=self.debug)

    def _note(self, cell: _Cell, rows: Ints, run: SimResult) -> None:
        kept, fates = run.records, self.fates
        assert kept is not None
        if self.pools[cell.place].role != "decode":
            fates.first_s[rows] = kept.first_token_s
        fates.end_s[rows] = kept.finish_s
        fates.replica[rows] = np.where(kept.replica < 0, -1, kept.replica + cell.base)
        fates.preemptions[rows] += kept.preemptions


def broken_fates(batch: RequestBatch, pools: Sequence[RolePool], fates: Fates, served: Sequence[Served]) -> list[str]:
    """The invariants over all pools that do not hold, in words; see docs/background/invariants.md."""
    found, whole = [], sum(len(one.rows) for one, pool in zip(served, pools, strict=True) if pool.role != "decode")
    if whole != len(batch):
        found.append(f"S12 requests: {len(batch)} came, {whole} were dealt")
    for place, one in enumerate(served):
        run = one.run
        gone = run.finished + run.timed_out + run.rejected + run.unfinished
        if gone != run.requests or (not run.overloaded and run.requests != len(one.rows)):
            found.append(f"S12 pool {place}: {len(one.rows)} sent, {run.requests} taken, {gone} accounted for")
    first = np.where(np.isfinite(fates.first_s), fates.first_s, np.inf)
    if bool(np.any(first <= batch.arrival_s)):
        found.append("S12 a first token is not after its arrival")
    ended = np.isfinite(fates.end_s)
    if bool(np.any(fates.end_s[ended] < first[ended])):
        found.append("S12 an answer ends before its first token, or without one")
    apart = [one.rows for one, pool in zip(served, pools, strict=True) if pool.role == "prefill"]
    if apart:
        rows = np.concatenate(apart)
        begun = int(np.sum(np.isfinite(fates.first_s[rows]) & (batch.output_tokens[rows] > 1)))
        there = sum(len(one.rows) for one, pool in zip(served, pools, strict=True) if pool.role == "decode")
        if begun != there:
            found.append(f"S12 {begun} prompts were computed and {there} caches arrived")
    return found


def _stop_if_broken(
    batch: RequestBatch, pools: Sequence[RolePool], fates: Fates, served: Sequence[Served]
) -> None:  # fmt: skip
    found = broken_fates(batch, pools, fates, served)
    if found:
        raise SolverError(f"pools: {'; '.join(found[:3])}", fix="please report it with the question")
