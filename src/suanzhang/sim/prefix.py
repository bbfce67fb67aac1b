"""Prefix caches of replicas: which prompt tokens a request finds, and a router that looks for them.

Blocks are used in order of arrival and the longest unused one is dropped first. That leaves out two things: blocks enter
the cache when a request arrives, not when its prompt is computed, and running sequences do not press on the cache
beside its own capacity.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from suanzhang.errors import InputError
from suanzhang.jit import event, event_loop
from suanzhang.sim.fleet import merge
from suanzhang.sim.replica import simulate
from suanzhang.spec.sim import EngineSettings, Ints, IterationTable, RequestBatch, RequestRecord, SimResult

SLACK_PROMPTS = 16.0
"""The prefix-aware router passes over a replica that was sent this many prompts more than the least used one."""
SENT, HELD, NEWEST, OLDEST, TIME = range(5)
"""What a router knows of a replica: prompt tokens sent, what its cache holds, both ends of the order of use, the time there."""
MARKS = 5


@event
def open_from(turn: int, closed: Ints) -> int:
    """The replica whose turn it is, or the next one that is open; the first again when none is."""
    replicas = len(closed)
    for step in range(replicas):
        if closed[(turn + step) % replicas] == 0:
            return int((turn + step) % replicas)
    return turn % replicas


@event
def least_sent(marks: Ints, closed: Ints) -> int:
    """Prompt tokens that the least used open replica was sent."""
    least = -1
    for r in range(len(closed)):
        if closed[r] == 0 and (least < 0 or marks[SENT, r] < least):
            least = marks[SENT, r]
    return int(least)


@event_loop
def _walk(
    blocks: Ints,
    ends: Ints,
    tokens: Ints,
    span: Ints,
    capacity: int,
    aware: bool,
    closed: Ints,
    marks: Ints,
    last: Ints,
    ring: Ints,
    chosen: Ints,
    hits: Ints,
) -> None:
    """Send the requests of a span to replicas and touch their blocks there; ``last`` holds the time of the last use of a block.

    ``marks`` is what is known of each replica from span to span, in the order of ``SENT`` and those beside it.
    """
    replicas, size = last.shape[0], ring.shape[1]
    low = ends[span[0] - 1] if span[0] > 0 else 0
    for i in range(span[0], span[1]):
        high = ends[i]
        best, longest = open_from(i, closed), -1
        least = least_sent(marks, closed)
        if aware and least >= 0:
            for step in range(replicas):
                r = (i + step) % replicas
                found = 0
                while low + found < high and last[r, blocks[low + found]] >= 0:
                    found += 1
                if closed[r] == 0 and found > longest and marks[SENT, r] <= least + SLACK_PROMPTS * tokens[i]:
                    best, longest = r, found
        found = 0
        while low + found < high and last[best, blocks[low + found]] >= 0:
            found += 1
        chosen[i], hits[i] = best, found
        marks[SENT, best] += tokens[i]
        for place in range(low, high):
            block = blocks[place]
            marks[TIME, best] += 1
            if last[best, block] < 0:
                marks[HELD, best] += 1
            last[best, block] = marks[TIME, best]
            ring[best, marks[NEWEST, best] % size, 0] = block
            ring[best, marks[NEWEST, best] % size, 1] = marks[TIME, best]
            marks[NEWEST, best] += 1
        while marks[HELD, best] > capacity:
            at = marks[OLDEST, best] % size
            old = ring[best, at, 0]
            if last[best, old] == ring[best, at, 1]:
                last[best, old] = -1
                marks[HELD, best] -= 1
            marks[OLDEST, best] += 1
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
    steering = Steering(requests, replicas, capacity_tokens, aware=aware).blocks(blocks, block_ends, block_tokens)
    return steering.send(0, len(requests), np.zeros(replicas, np.int64))


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


@event_loop
def _walk_groups(
    groups: Ints,
    shared: Ints,
    tokens: Ints,
    span: Ints,
    capacity: int,
    aware: bool,
    closed: Ints,
    marks: Ints,
    last: Ints,
    ring: Ints,
    chosen: Ints,
    hits: Ints,
) -> None:
    """As ``_walk`` with prefixes as wholes; ``last`` holds the time of the last use of a prefix and its tokens."""
    replicas, size = last.shape[0], ring.shape[1]
    for i in range(span[0], span[1]):
        group, best = groups[i], open_from(i, closed)
        least = least_sent(marks, closed)
        if aware and least >= 0:
            longest = -1
            for step in range(replicas):
                r = (i + step) % replicas
                found = min(last[r, group, 1], shared[i]) if last[r, group, 0] >= 0 else 0
                if closed[r] == 0 and found > longest and marks[SENT, r] <= least + SLACK_PROMPTS * tokens[i]:
                    best, longest = r, found
        hits[i] = min(last[best, group, 1], shared[i]) if last[best, group, 0] >= 0 else 0
        chosen[i] = best
        marks[SENT, best] += tokens[i] - hits[i] if aware else tokens[i]
        if last[best, group, 0] < 0:
            last[best, group, 1] = 0
        more = max(shared[i] - last[best, group, 1], 0)
        last[best, group, 0] = i
        last[best, group, 1] += more
        marks[HELD, best] += more + tokens[i] - shared[i]
        for part in range(2):
            place = marks[NEWEST, best] % size
            ring[best, place, 0] = group if part == 0 else -1
            ring[best, place, 1] = i if part == 0 else tokens[i] - shared[i]
            marks[NEWEST, best] += 1
        while (marks[HELD, best] > capacity or marks[NEWEST, best] - marks[OLDEST, best] > size - 2) and (
            marks[OLDEST, best] < marks[NEWEST, best]
        ):
            place = marks[OLDEST, best] % size
            old = ring[best, place, 0]
            if old < 0:
                marks[HELD, best] -= ring[best, place, 1]
            elif last[best, old, 0] == ring[best, place, 1]:
                marks[HELD, best] -= last[best, old, 1]
                last[best, old, 0] = -1
            marks[OLDEST, best] += 1


class Steering:
    """A router that looks for prefixes, piece by piece: what each replica holds now, and what was sent to it.

    Args:
        requests: in order of arrival.
        replicas: how many, each with a cache of its own.
        capacity_tokens: tokens that one cache keeps.
        aware: the router looks for prefixes; otherwise requests go round.
    """

    def __init__(self, requests: RequestBatch, replicas: int, capacity_tokens: float, *, aware: bool) -> None:
        self.tokens = np.ascontiguousarray(requests.input_tokens, np.int64)
        self.chosen, self.hits = (np.zeros(len(requests), np.int64) for _ in range(2))
        self.marks = np.zeros((MARKS, replicas), np.int64)
        self.closed = np.zeros(replicas, np.int64)
        self.capacity_tokens, self.aware, self.block_tokens = capacity_tokens, aware, 0
        self.keys = self.extents = np.zeros(0, np.int64)
        self.last = self.ring = np.zeros((replicas, 0, 2), np.int64)

    def groups(self, groups: Ints, shared: Ints) -> Steering:
        """Look for beginnings: the group of each request, and how many tokens of its prompt are those of the group."""
        mean = max(float(self.tokens.mean()), 1.0)
        entries = 4 * int(min(len(self.tokens), max(int(self.capacity_tokens), 1) / mean)) + 16
        self.keys = np.ascontiguousarray(groups, np.int64)
        self.extents = np.ascontiguousarray(np.minimum(shared, self.tokens), np.int64)
        self.last = np.full((len(self.closed), int(groups.max(initial=0)) + 1, 2), -1, np.int64)
        self.ring = np.zeros((len(self.closed), entries, 2), np.int64)
        return self

    def blocks(self, blocks: Ints, block_ends: Ints, block_tokens: int) -> Steering:
        """Look for blocks: their hashes, request after request, where those of each end, and the tokens of one.

        Raises:
            InputError: the hashes do not match the requests.
        """
        count = len(self.tokens)
        if len(block_ends) != count or (count and int(block_ends[-1]) != len(blocks)):
            raise InputError("prefix cache: block hashes do not match the requests", fix="give the hashes of every request")
        _, dense = np.unique(blocks, return_inverse=True)
        self.keys = np.ascontiguousarray(dense, np.int64)
        self.extents, self.block_tokens = np.ascontiguousarray(block_ends, np.int64), block_tokens
        self.last = np.full((len(self.closed), int(self.keys.max(initial=0)) + 1), -1, np.int64)
        self.ring = np.zeros((len(self.closed), max(len(dense), 1), 2), np.int64)
        return self

    def lose(self, r: int) -> None:
        """A replica has lost its cache: it failed, or it was started anew."""
        self.last[r] = -1
        self.marks[HELD, r] = 0
        self.marks[OLDEST, r] = self.marks[NEWEST, r]

    def send(self, low: int, high: int, closed: Ints) -> tuple[Ints, Ints]:
        """Replica, and tokens found there, of the requests from ``low`` to below ``high``; none goes to a closed replica.

        One that opens again counts as sent what the least used one was, so that it does not get all requests at once.
        """
        opened, others = (self.closed > 0) & (closed == 0), (self.closed == 0) & (closed == 0)
        if opened.any() and others.any():
            self.marks[SENT, opened] = np.maximum(self.marks[SENT, opened], self.marks[SENT, others].min())
        self.closed = closed.copy()
        span, piece = np.array([low, high]), slice(low, high)
        walk, unit = (_walk, self.block_tokens) if self.block_tokens else (_walk_groups, 1)
        capacity = max(int(self.capacity_tokens // unit), 1)
        walk(
            self.keys, self.extents, self.tokens, span, capacity, self.aware, self.closed, self.marks, self.last, self.ring,
            self.chosen, self.hits,
        )  # fmt: skip
        return self.chosen[piece], np.minimum(self.hits[piece] * unit, self.tokens[piece] - 1)


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
    steering = Steering(requests, replicas, capacity_tokens, aware=aware).groups(groups, shared)
    return steering.send(0, len(requests), np.zeros(replicas, np.int64))
