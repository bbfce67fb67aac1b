"""A cell: some replicas behind one router. Requests are handed over in order of arrival, in pieces of any size."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from suanzhang.jit import event, event_loop
from suanzhang.sim import state as f
from suanzhang.sim.core import advance, arrive, queue_place
from suanzhang.sim.sequences import preempt_youngest
from suanzhang.sim.state import Engine, State, Times

ROUND_ROBIN, LEAST_LOADED, POWER_OF_TWO, CHOSEN = range(4)
"""CHOSEN: the replica of each request comes with it, from a router that looks for prefixes."""
CLOSED_LOAD = 2**40
"""A closed replica is chosen only when all are."""
ROUTERS = {"round-robin": ROUND_ROBIN, "least-loaded": LEAST_LOADED, "power-of-two": POWER_OF_TWO}


@event
def scramble(number: int, seed: int) -> int:
    """A well mixed whole number from a counter and a seed (splitmix64), not negative."""
    z = np.uint64(number) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed) * np.uint64(0xD1B54A32D192ED03)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64((z ^ (z >> np.uint64(31))) >> np.uint64(2))  # type: ignore[return-value]


@event
def load(st: State, r: int, now: float) -> int:
    """Requests that a replica has and has not answered by now; the last iteration may end later than now."""
    shut = CLOSED_LOAD if st.ri[r, f.CLOSED] else 0
    return int(shut + st.ri[r, f.OUTSTANDING] + (st.ri[r, f.LAST_DONE] if st.rf[r, f.CLOCK] > now else 0))


@event
def candidates(st: State, router: int, turn: int, seed: int, now: float, todo: NDArray[np.int64]) -> int:
    """The replicas whose load must be brought up to date before the router chooses; how many."""
    replicas, count = st.ri.shape[0], 0
    if router == POWER_OF_TWO:
        draw = scramble(turn, seed)
        one = draw % replicas
        two = (one + 1 + (draw // replicas) % max(replicas - 1, 1)) % replicas
        todo[0], todo[1] = one, two
        return 2
    if router == LEAST_LOADED and replicas > 1:
        for r in range(replicas):
            if st.rf[r, f.DUE] <= now:
                todo[count] = r
                count += 1
    return count


@event
def choose(st: State, router: int, turn: int, now: float, todo: NDArray[np.int64]) -> int:
    """The replica that gets the request; of equally loaded ones the first."""
    replicas = st.ri.shape[0]
    if router == CHOSEN:
        return int(todo[0])
    if replicas == 1 or router == ROUND_ROBIN:
        place = turn % replicas
        for step in range(replicas):
            if st.ri[(place + step) % replicas, f.CLOSED] == 0:
                return int((place + step) % replicas)
        return int(place)
    if router == POWER_OF_TWO:
        one, two = todo[0], todo[1]
        if st.ri[one, f.CLOSED] == 0 or st.ri[two, f.CLOSED] == 0:
            return int(one if load(st, one, now) <= load(st, two, now) else two)
    best, least = 0, load(st, 0, now)
    for r in range(1, replicas):
        here = load(st, r, now)
        if here < least:
            best, least = r, here
    return best


@event_loop
def feed(
    st: State,
    en: Engine,
    tb: Times,
    router: int,
    seed: int,
    first: int,
    arrivals: NDArray[np.float64],
    inputs: NDArray[np.int64],
    outputs: NDArray[np.int64],
    cached: NDArray[np.int64],
    urgent: NDArray[np.int64],
    todo: NDArray[np.int64],
    given: NDArray[np.int64],
) -> int:
    """Route requests that arrive in this order, then run on to the last arrival.

    Args:
        st: memory of the cell, changed.
        en: settings of the engine.
        tb: iteration times.
        router: number of the routing rule.
        seed: of the draws of the router.
        first: number of the first of these requests in the whole run.
        arrivals: arrival times, not decreasing [s].
        inputs: prompt tokens.
        outputs: answer tokens.
        cached: prompt tokens that need not be computed; empty for none.
        urgent: 1 for requests that go before others; empty for none.
        todo: scratch, one place per replica and at least two.
        given: replica of each request where the router is ``CHOSEN``; empty otherwise.

    Returns:
        Requests taken; fewer than given when a queue is full, which is overload.
    """
    for i in range(len(arrivals)):
        now = arrivals[i]
        turn = first + i
        chosen = -1
        hurry = urgent[i] if len(urgent) > 0 else 0
        count = candidates(st, router, turn, seed, now, todo)
        for stage in range(2):
            if stage == 1:
                if router == CHOSEN:
                    todo[0] = given[i]
                chosen = choose(st, router, turn, now, todo)
                todo[0] = chosen
                count = 1
            for j in range(count):
                r = todo[j]
                if st.rf[r, f.DUE] <= now or (stage == 1 and (hurry > 0 or st.ri[r, f.QUEUE] == 0) and st.rf[r, f.CLOCK] < now):
                    advance(st, en, tb, r, now)
        arrive(st, en, chosen, now, inputs[i], outputs[i], cached[i] if len(cached) > 0 else 0, turn, hurry)
        if st.tally[f.FULL] > 0:
            return i + 1
    return len(arrivals)


@event_loop
def drain(st: State, en: Engine, tb: Times, until: float) -> None:
    """Run every replica until ``until``, or until it has nothing left to do; the end of a repair is no end of an iteration."""
    for r in range(st.ri.shape[0]):
        idle = st.ri[r, f.CLOSED] > 0 and st.ri[r, f.OUTSTANDING] == 0
        advance(st, en, tb, r, until)
        if not idle:
            st.spent[f.LAST_END] = max(st.spent[f.LAST_END], st.rf[r, f.CLOCK])


@event_loop
def fail(st: State, en: Engine, tb: Times, r: int, now: float, back: float) -> int:
    """A replica goes down until ``back``: what it had goes to the least loaded of the others, to be computed again.

    The iteration that has begun still ends; answers keep the tokens that are out. Without another open replica the
    requests wait for the repair.

    Returns:
        Requests that went elsewhere.
    """
    for other in range(st.ri.shape[0]):
        advance(st, en, tb, other, now)
    moment = max(now, st.rf[r, f.CLOCK])
    while st.ri[r, f.RUNNING] > 0:
        preempt_youngest(st, en, r)
    if en.static:
        st.ri[r, f.GHOSTS] = 0
        st.rf[r, f.CONTEXT] = 0.0
    st.ri[r, f.CLOSED] = 1
    moved, mask = 0, st.qi.shape[1] - 1
    if en.cache != f.EVERYWHERE:
        for step in range(st.ri[r, f.QUEUE]):
            st.qi[r, (st.ri[r, f.HEAD] + step) & mask, f.CACHED] = 0
    for _ in range(st.ri[r, f.QUEUE]):
        best, least = -1, CLOSED_LOAD
        for other in range(st.ri.shape[0]):
            here = load(st, other, now)
            if here < least and st.ri[other, f.QUEUE] < mask - en.max_seqs:
                best, least = other, here
        if best < 0:
            break
        if st.rf[best, f.CLOCK] < moment:
            advance(st, en, tb, best, moment)
        if st.ri[best, f.RUNNING] + st.ri[best, f.QUEUE] == 0:
            st.rf[best, f.CLOCK] = max(st.rf[best, f.CLOCK], moment)
        source = st.ri[r, f.HEAD]
        target = queue_place(st, best, st.qi[r, source, f.QUEUE_URGENT])
        for column in range(f.QUEUE_INTS):
            st.qi[best, target, column] = st.qi[r, source, column]
        for column in range(2):
            st.qf[best, target, column] = st.qf[r, source, column]
        if target == st.ri[best, f.HEAD]:
            st.ri[best, f.BLOCKED] = 0
        st.ri[best, f.QUEUE] += 1
        st.ri[best, f.OUTSTANDING] += 1
        st.rf[best, f.DUE] = st.rf[best, f.CLOCK]
        st.ri[r, f.HEAD] = (source + 1) & mask
        st.ri[r, f.QUEUE] -= 1
        st.ri[r, f.OUTSTANDING] -= 1
        moved += 1
    st.spent[f.LAST_END] = max(st.spent[f.LAST_END], st.rf[r, f.CLOCK])
    st.rf[r, f.CLOCK] = max(st.rf[r, f.CLOCK], back)
    st.rf[r, f.DUE] = st.rf[r, f.CLOCK] if st.ri[r, f.QUEUE] > 0 else math.inf
    return int(moved)


def scratch(replicas: int) -> NDArray[np.int64]:
    """Scratch memory of the router."""
    return np.zeros(max(replicas, 2), np.int64)


NO_CACHE = np.zeros(0, np.int64)
FOREVER = math.inf
