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
from suanzhang.spec.sim import EngineSettings, Ints, IterationTable, RequestBatch, SimResult

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
    parts, used, start = [], [], float(requests.arrival_s[0])
    for r in range(replicas):
        mine = np.flatnonzero(chosen == r)
        if len(mine):
            part = RequestBatch(requests.arrival_s[mine], requests.input_tokens[mine], requests.output_tokens[mine], hits[mine])
            late = max(warmup_s - float(part.arrival_s[0]) + start, 0.0)
            parts.append(simulate(part, table, settings, warmup_s=late, records=records))
            used.append(r)
    whole = merge(parts)
    if whole.records is None:
        return whole
    served = np.where(whole.records.replica < 0, -1, np.asarray(used)[whole.records.replica])
    return replace(whole, records=replace(whole.records, replica=served))
