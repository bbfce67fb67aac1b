"""Pools of replicas of different chips and roles: what each can answer, and requests followed through all of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

import numpy as np

from suanzhang.app.serve_input import parse_serve_layout
from suanzhang.app.serve_size_split import cache_bytes_per_token, link_bytes_per_s
from suanzhang.app.serve_size_way import Prepared
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.errors import InputError, nearest_names
from suanzhang.sim.prefix import group_hits, prefix_hits, simulate_chosen
from suanzhang.sim.replica import simulate
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.sim import Floats, Ints, RequestBatch, SimResult

if TYPE_CHECKING:
    from suanzhang.app.traces import Trace

RoleName = Literal["mixed", "prefill", "decode"]
ROLES: tuple[RoleName, ...] = ("mixed", "prefill", "decode")
AWARE = "prefix-aware"
CACHED_SHARE = 0.5
"""Share of the cache pages that prefixes of finished requests hold beside the running ones [assumed]."""
QUEUE = 20_000
_DEAL = 77


@dataclass(frozen=True, slots=True)
class PoolAsk:
    """A pool as a user names it."""

    chip: ChipSpec
    replicas: int
    layout: ServeLayout
    role: RoleName


def read_pool(text: str) -> PoolAsk:
    """``"4 h100-sxm-80 tp=2 prefill"``: replicas, chip, layout, role; one chip and mixed when left out.

    Raises:
        InputError: it cannot be read.
    """
    words = text.replace(";", " ").split()
    if not words or not words[0].isdigit() or int(words[0]) < 1:
        raise InputError(f"pool {text!r}: no number of replicas", fix='write for example "4 h100-sxm-80 tp=2 prefill"')
    if len(words) < 2:
        raise InputError(f"pool {text!r}: no chip", fix='write for example "4 h100-sxm-80 tp=2 prefill"')
    layout, role = ServeLayout(), "mixed"
    for word in words[2:]:
        if "=" in word:
            layout = parse_serve_layout(word)
        elif word.lower() in ROLES:
            role = word.lower()
        else:
            near = nearest_names(word, ROLES)
            raise InputError(f"pool {text!r}: cannot read {word!r}", fix=f"did you mean {near[0] if near else 'tp=2'}?")
    return PoolAsk(find_chip(words[1]), int(words[0]), layout, cast(RoleName, role))


def check_roles(pools: list[PoolAsk]) -> None:
    """Refuse prompts without answers.

    Raises:
        InputError: only one of the roles prefill and decode is there.
    """
    roles = {pool.role for pool in pools}
    if ("prefill" in roles) != ("decode" in roles):
        raise InputError(
            f"pools: {'prefill' if 'prefill' in roles else 'decode'} alone", fix="name pools of both roles, or mixed ones"
        )


class Beginnings(NamedTuple):
    """Requests that begin alike: by group, or by the hashes of a recorded trace."""

    groups: Ints
    shared: Ints
    hashed: Trace | None = None

    def of(self, rows: Ints) -> Beginnings:
        """Those of some of the requests."""
        if self.hashed is None:
            return Beginnings(self.groups[rows], self.shared[rows])
        ends = self.hashed.block_ends
        sizes = np.diff(np.concatenate([[0], ends]))
        wanted = np.zeros(len(ends), np.bool_)
        wanted[rows] = True
        blocks = self.hashed.blocks[np.repeat(wanted, sizes)]
        requests = self.hashed.requests
        part = RequestBatch(requests.arrival_s[rows], requests.input_tokens[rows], requests.output_tokens[rows])
        return Beginnings(rows, rows, replace(self.hashed, requests=part, blocks=blocks, block_ends=np.cumsum(sizes[rows])))


class Served(NamedTuple):
    """One pool after its requests: which they were, and the share of prompt tokens that were in its caches."""

    rows: Ints
    run: SimResult
    found_before: float


def capacity_per_s(ready: Prepared, role: RoleName, isl: float, osl: float) -> float:
    """Requests of mean length that one replica answers per second when it is never idle.

    Model:
        A mixed replica by the steady-state formulas. A prefill replica runs prompts one after another in its token budget. A
        decode replica runs as many sequences as its pages and places hold at mid-answer.

    Args:
        ready: the replica.
        role: what it does.
        isl, osl: mean tokens of a prompt and of an answer.

    Returns:
        Requests per second.

    Equation:
        prefill: 1 / (isl / tokens * t_mixed(tokens)); decode: b / (t_decode(b, b (isl + osl/2)) osl)

    Validity:
        Lengths near their means.

    Sources:
        derived
    """
    table, settings = ready.table, ready.settings
    if role == "mixed":
        return ready.estimate.capacity_requests_per_s
    if role == "prefill":
        tokens = float(settings.max_batched_tokens)
        pairs = table.prefill_pair_s * 0.5 * isl * isl
        return 1.0 / (isl / tokens * float(np.interp(tokens, table.mixed_tokens, table.mixed_base_s)) + pairs)
    context = isl + 0.5 * osl
    batch = int(max(min(settings.max_seqs, settings.kv_blocks * settings.block_tokens / context), 1.0))
    step = float(table.decode_base_s[batch] + table.decode_context_s[batch] * batch * context)
    return batch / (step * max(osl, 1.0))


def deal(weights: list[float], count: int, seed: int) -> Ints:
    """Which of some pools each request goes to: at random, in proportion to their weights."""
    draws = np.random.Generator(np.random.SFC64(np.random.SeedSequence(entropy=seed, spawn_key=(_DEAL, len(weights)))))
    edges = np.cumsum(weights) / sum(weights)
    return np.minimum(np.searchsorted(edges, draws.random(count), side="right"), len(weights) - 1).astype(np.int64)


def serve_pool(
    ready: Prepared, replicas: int, router: str, batch: RequestBatch, begins: Beginnings | None, seed: int
) -> tuple[SimResult, float]:
    """Requests on the replicas of one pool, with the share of prompt tokens found in caches."""
    if not len(batch):
        raise InputError("pools: one of them got no request", fix="follow more requests, or name fewer pools")
    settings = replace(ready.settings, max_queue=min(QUEUE, len(batch)))
    total = float(batch.input_tokens.sum())
    if begins is None:
        plain = "least-loaded" if router == AWARE else router
        run = simulate(batch, ready.table, settings, replicas=replicas, router=plain, seed=seed, records=True)
        return run, float(batch.cached_tokens.sum()) / total if batch.cached_tokens is not None else 0.0
    room, aware = CACHED_SHARE * settings.kv_blocks * settings.block_tokens, router == AWARE
    if begins.hashed is not None:
        shared = (begins.hashed.blocks, begins.hashed.block_ends, begins.hashed.block_tokens)
        chosen, hits = prefix_hits(batch, *shared, replicas, room, aware)
    else:
        chosen, hits = group_hits(batch, begins.groups, begins.shared, replicas, room, aware)
    run = simulate_chosen(batch, chosen, hits, ready.table, settings, replicas, records=True)
    return run, float(hits.sum()) / total


class Fates(NamedTuple):
    """What became of each request; NaN where it was not answered, -1 for no replica."""

    first_s: Floats
    end_s: Floats
    replica: Ints
    preemptions: Ints


def follow(
    batch: RequestBatch, readies: list[Prepared], asks: list[PoolAsk], weights: list[float], router: str,
    begins: Beginnings | None, seed: int, link: float,
) -> tuple[Fates, list[Served]]:  # fmt: skip
    """Requests through all pools.

    Args:
        batch: in order of arrival.
        readies, asks: the pools.
        weights: how requests are dealt to pools of a role: by what they can answer.
        router: inside a pool.
        begins: prompts that begin alike; None for none.
        seed: of the dealing.
        link: bandwidth between prefill and decode replicas [bytes/s]; 0 for all network ports of the slower side.

    Returns:
        The fate of each request, and what each pool did.
    """
    count, base = len(batch), np.cumsum([0, *(ask.replicas for ask in asks)])
    fates = Fates(np.full(count, np.nan), np.full(count, np.nan), np.full(count, -1), np.zeros(count, np.int64))
    served: dict[int, Served] = {}
    by_role = {role: [place for place, ask in enumerate(asks) if ask.role == role] for role in ROLES}
    group = min((sum(weights[place] for place in by_role[role]) for role in ("prefill", "decode")), default=0.0)
    entries = [weights[place] for place in by_role["mixed"]] + ([group] if group else [])
    turn = deal(entries, count, seed)
    for order, place in enumerate(by_role["mixed"]):
        served[place] = _whole(batch, np.flatnonzero(turn == order), place, base, readies, asks, router, begins, seed, fates)
    if group:
        rows = np.flatnonzero(turn == len(by_role["mixed"]))
        served |= _apart(batch, rows, by_role, base, readies, asks, weights, router, begins, seed, link, fates)
    return fates, [served[place] for place in range(len(asks))]


def _part(batch: RequestBatch, rows: Ints, outputs: Ints | None = None) -> RequestBatch:
    cached = None if batch.cached_tokens is None else batch.cached_tokens[rows]
    lengths = batch.output_tokens[rows] if outputs is None else outputs
    return RequestBatch(batch.arrival_s[rows], batch.input_tokens[rows], lengths, cached)


def _whole(
    batch: RequestBatch, rows: Ints, place: int, base: Ints, readies: list[Prepared], asks: list[PoolAsk], router: str,
    begins: Beginnings | None, seed: int, fates: Fates,
) -> Served:  # fmt: skip
    run, share = serve_pool(
        readies[place], asks[place].replicas, router, _part(batch, rows), begins.of(rows) if begins else None, seed
    )
    _note(run, rows, int(base[place]), fates, first=True)
    return Served(rows, run, share)


def _note(run: SimResult, rows: Ints, base: int, fates: Fates, *, first: bool) -> None:
    kept = run.records
    assert kept is not None
    if first:
        fates.first_s[rows] = kept.first_token_s
    fates.end_s[rows] = kept.finish_s
    fates.replica[rows] = np.where(kept.replica < 0, -1, kept.replica + base)
    fates.preemptions[rows] += kept.preemptions


def _apart(
    batch: RequestBatch, rows: Ints, by_role: dict[RoleName, list[int]], base: Ints, readies: list[Prepared],
    asks: list[PoolAsk], weights: list[float], router: str, begins: Beginnings | None, seed: int, link: float, fates: Fates,
) -> dict[int, Served]:  # fmt: skip
    """Prompts on some pools, then answers on others after the cache has crossed the link."""
    served: dict[int, Served] = {}
    before, after = by_role["prefill"], by_role["decode"]
    turn = deal([weights[place] for place in before], len(rows), seed + 1)
    answers = deal([weights[place] for place in after], len(rows), seed + 2)
    ready_s, sender = np.full(len(batch), np.nan), np.full(len(batch), -1)
    for order, place in enumerate(before):
        mine = rows[turn == order]
        part = _part(batch, mine, np.ones(len(mine), np.int64))
        run, share = serve_pool(readies[place], asks[place].replicas, router, part, begins.of(mine) if begins else None, seed)
        _note(run, mine, int(base[place]), fates, first=True)
        served[place] = Served(mine, run, share)
        sender[mine] = place
    for order, place in enumerate(after):
        mine = rows[answers == order]
        for other in before:
            some = mine[sender[mine] == other]
            speed = link or link_bytes_per_s(readies[other].way, readies[place].way)
            carried = batch.input_tokens[some] * (cache_bytes_per_token(readies[other].way) / speed)
            ready_s[some] = fates.first_s[some] + carried
        mine = mine[np.isfinite(ready_s[mine]) & (batch.output_tokens[mine] > 1)]
        mine = mine[np.argsort(ready_s[mine], kind="stable")]
        prompts = batch.input_tokens[mine] + 1
        part = RequestBatch(ready_s[mine], prompts, batch.output_tokens[mine] - 1, prompts - 1)
        run, _ = serve_pool(
            readies[place], asks[place].replicas, "least-loaded" if router == AWARE else router, part, None, seed
        )
        _note(run, mine, int(base[place]), fates, first=False)
        served[place] = Served(mine, run, 0.0)
    return served
