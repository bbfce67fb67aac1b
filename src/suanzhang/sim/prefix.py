"""Prefix caches of replicas: which prompt tokens a request finds, and a router that looks for them.

Blocks are used in order of arrival and the longest unused one is dropped first. That leaves out two things: blocks enter
the cache when a request arrives, not when its prompt is computed, and running sequences do not press on the cache
beside its own capacity.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from suanzhang.errors import InputError
from suanzhang.jit import formula
from suanzhang.sim.fleet import merge
from suanzhang.sim.replica import simulate
from suanzhang.spec.sim import EngineSettings, Ints, IterationTable, RequestBatch, RequestRecord, SimResult

SLACK_PROMPTS = 16.0
"""The prefix-aware router passes over a replica that was sent this many prompts more than the least used one."""


@formula
def _walk(
    blocks: Ints,
    ends: Ints,
    tokens: Ints,
    capacity: int,
    aware: bool,
    slack: float,
    last: Ints,
    ring: Ints,
    chosen: Ints,
    hits: Ints,
) -> None:
    """Send each request to a replica and touch its blocks there; ``last`` holds the time of the last use of a block."""
    replicas, size = last.shape[0], ring.shape[1]
    sent = np.zeros(replicas, np.int64)
    held = np.zeros(replicas, np.int64)
    head = np.zeros(replicas, np.int64)
    tail = np.zeros(replicas, np.int64)
    clock, low = 0, 0
    for i in range(len(ends)):
        high = ends[i]
        best, longest = i % replicas, -1
        least = sent[0]
        for r in range(1, replicas):
            least = min(least, sent[r])
        if aware:
            for step in range(replicas):
                r = (i + step) % replicas
                found = 0
                while low + found < high and last[r, blocks[low + found]] >= 0:
                    found += 1
                if found > longest and sent[r] <= least + slack * tokens[i]:
                    best, longest = r, found
        found = 0
        while low + found < high and last[best, blocks[low + found]] >= 0:
            found += 1
        chosen[i], hits[i] = best, found
        sent[best] += tokens[i]
        for place in range(low, high):
            block = blocks[place]
            clock += 1
            if last[best, block] < 0:
                held[best] += 1
            last[best, block] = clock
            ring[best, head[best] % size, 0] = block
            ring[best, head[best] % size, 1] = clock
            head[best] += 1
        while held[best] > capacity:
            old = ring[best, tail[best] % size, 0]
            if last[best, old] == ring[best, tail[best] % size, 1]:
                last[best, old] = -1
                held[best] -= 1
            tail[best] += 1
        low = high


def prefix_hits(
    requests: RequestBatch,
    blocks: Ints,
    block_ends: Ints,
    block_tokens: int,
    replicas: int,
    capacity_tokens: float,
    aware: bool = True,
) -> tuple[Ints, Ints]:
    """The replica and the cached prompt tokens of each request.

    Args:
        requests: in order of arrival.
        blocks: hashes of the prompt blocks, request after request.
        block_ends: where the hashes of each request end.
        block_tokens: tokens of one hashed block.
        replicas: how many, each with a cache of its own.
        capacity_tokens: tokens that one cache keeps.
        aware: the router prefers the longest prefix among replicas that were not sent much more than the least used;
            otherwise requests go round.

    Returns:
        Replica numbers, and cached tokens (the last token of a prompt is always computed).

    Raises:
        InputError: the hashes do not match the requests.
    """
    if len(block_ends) != len(requests) or (len(block_ends) and int(block_ends[-1]) != len(blocks)):
        raise InputError("prefix cache: block hashes do not match the requests", fix="give the hashes of every request")
    _, dense = np.unique(blocks, return_inverse=True)
    dense = np.ascontiguousarray(dense, np.int64)
    last = np.full((replicas, int(dense.max(initial=0)) + 1), -1, np.int64)
    ring = np.zeros((replicas, max(len(dense), 1), 2), np.int64)
    chosen, hits = np.zeros(len(requests), np.int64), np.zeros(len(requests), np.int64)
    capacity = max(int(capacity_tokens // block_tokens), 1)
    ends = np.ascontiguousarray(block_ends, np.int64)
    _walk(
        dense,
        ends,
        np.ascontiguousarray(requests.input_tokens, np.int64),
        capacity,
        aware,
        SLACK_PROMPTS,
        last,
        ring,
        chosen,
        hits,
    )
    return chosen, np.minimum(hits * block_tokens, requests.input_tokens - 1)


def simulate_prefix(
    requests: RequestBatch,
    blocks: Ints,
    block_ends: Ints,
    block_tokens: int,
    table: IterationTable,
    settings: EngineSettings,
    *,
    replicas: int = 1,
    aware: bool = True,
    capacity_tokens: float | None = None,
    warmup_s: float = 0.0,
    records: bool = False,
) -> SimResult:
    """Requests with shared prefixes on replicas that keep them.

    Args:
        requests, blocks, block_ends, block_tokens, replicas, aware: as in :func:`prefix_hits`.
        table: time of one iteration of a replica.
        settings: of the engine of each replica.
        capacity_tokens: tokens that each prefix cache keeps; None for half of the pages of the replica.
        warmup_s: requests of the first so many seconds are not counted.
        records: keep what became of each request.

    Returns:
        The replicas added up.
    """
    pages = settings.kv_blocks * settings.block_tokens
    room = 0.5 * pages if capacity_tokens is None else capacity_tokens
    chosen, hits = prefix_hits(requests, blocks, block_ends, block_tokens, replicas, room, aware)
    return simulate_chosen(requests, chosen, hits, table, settings, replicas, warmup_s=warmup_s, records=records)


def simulate_chosen(
    requests: RequestBatch,
    chosen: Ints,
    hits: Ints,
    table: IterationTable,
    settings: EngineSettings,
    replicas: int,
    *,
    warmup_s: float = 0.0,
    records: bool = False,
) -> SimResult:
    """Requests on the replicas that a router has chosen for them, with what each finds in the cache there.

    Args:
        requests: in order of arrival.
        chosen, hits: replica, and cached prompt tokens, of each.
        table, settings, replicas, warmup_s, records: as in :func:`simulate_prefix`.

    Returns:
        The replicas added up.
    """
    parts, places, start = [], [], float(requests.arrival_s[0])
    for r in range(replicas):
        mine = np.flatnonzero(chosen == r)
        if len(mine):
            part = RequestBatch(requests.arrival_s[mine], requests.input_tokens[mine], requests.output_tokens[mine], hits[mine])
            late = max(warmup_s - float(part.arrival_s[0]) + start, 0.0)
            parts.append(simulate(part, table, settings, warmup_s=late, records=records))
            places.append(mine)
    whole = merge(parts)
    if not records:
        return whole
    order = np.argsort(np.concatenate(places), kind="stable")
    kept = [part.records for part in parts if part.records is not None]
    columns = {name: np.concatenate([getattr(one, name) for one in kept])[order] for name in RequestRecord.__slots__}
    columns["replica"] = np.where(columns["replica"] < 0, -1, chosen)
    return replace(whole, records=RequestRecord(**columns))


@formula
def _walk_groups(
    groups: Ints, shared: Ints, tokens: Ints, capacity: int, aware: bool, slack: float, last: Ints, ring: Ints, chosen: Ints,
    hits: Ints,
) -> None:  # fmt: skip
    """As ``_walk`` with prefixes as wholes; ``last`` holds the time of the last use of a prefix and its tokens."""
    replicas, size = last.shape[0], ring.shape[1]
    sent, held = np.zeros(replicas, np.int64), np.zeros(replicas, np.int64)
    head, tail = np.zeros(replicas, np.int64), np.zeros(replicas, np.int64)
    for i in range(len(groups)):
        group, best = groups[i], i % replicas
        if aware:
            least = sent[0]
            for r in range(1, replicas):
                least = min(least, sent[r])
            longest = -1
            for step in range(replicas):
                r = (i + step) % replicas
                found = min(last[r, group, 1], shared[i]) if last[r, group, 0] >= 0 else 0
                if found > longest and sent[r] <= least + slack * tokens[i]:
                    best, longest = r, found
        hits[i] = min(last[best, group, 1], shared[i]) if last[best, group, 0] >= 0 else 0
        chosen[i] = best
        sent[best] += tokens[i] - hits[i] if aware else tokens[i]
        if last[best, group, 0] < 0:
            last[best, group, 1] = 0
        more = max(shared[i] - last[best, group, 1], 0)
        last[best, group, 0] = i
        last[best, group, 1] += more
        held[best] += more + tokens[i] - shared[i]
        for part in range(2):
            place = head[best] % size
            ring[best, place, 0] = group if part == 0 else -1
            ring[best, place, 1] = i if part == 0 else tokens[i] - shared[i]
            head[best] += 1
        while (held[best] > capacity or head[best] - tail[best] > size - 2) and tail[best] < head[best]:
            place = tail[best] % size
            old = ring[best, place, 0]
            if old < 0:
                held[best] -= ring[best, place, 1]
            elif last[best, old, 0] == ring[best, place, 1]:
                held[best] -= last[best, old, 1]
                last[best, old, 0] = -1
            tail[best] += 1


def group_hits(
    requests: RequestBatch, groups: Ints, shared: Ints, replicas: int, capacity_tokens: float, aware: bool = True
) -> tuple[Ints, Ints]:
    """The replica and the cached prompt tokens of requests of which some begin alike.

    Model:
        Requests of a group share the beginning of their prompts. A replica keeps beginnings and the rest of each prompt, the
        longest unused one is dropped first, whole. The prefix-aware router sends a request where its beginning lies, among
        the replicas that were not sent many more prompt tokens to compute than the least used one.

    Args:
        requests: in order of arrival.
        groups: number of the group of each.
        shared: tokens at the beginning of each prompt that are the same in its group.
        replicas: how many, each with a cache of its own.
        capacity_tokens: tokens that one cache keeps.
        aware: the router looks for prefixes; otherwise requests go round.

    Returns:
        Replica numbers, and cached tokens (the last token of a prompt is always computed).
    """
    tokens = np.ascontiguousarray(requests.input_tokens, np.int64)
    capacity = max(int(capacity_tokens), 1)
    last = np.full((replicas, int(groups.max(initial=0)) + 1, 2), -1, np.int64)
    entries = 4 * int(min(len(tokens), capacity / max(float(tokens.mean()), 1.0))) + 16
    ring = np.zeros((replicas, entries, 2), np.int64)
    chosen, hits = np.zeros(len(tokens), np.int64), np.zeros(len(tokens), np.int64)
    begins = np.ascontiguousarray(np.minimum(shared, tokens), np.int64)
    _walk_groups(
        np.ascontiguousarray(groups, np.int64), begins, tokens, capacity, aware, SLACK_PROMPTS, last, ring, chosen, hits
    )
    return chosen, np.minimum(hits, tokens - 1)
