"""What happens to replicas over a day: they fail and come back, and their number follows the load."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from suanzhang.errors import InputError
from suanzhang.sim import state as f
from suanzhang.sim.cell import drain, fail
from suanzhang.sim.state import Engine, State, Times
from suanzhang.spec.sim import Floats

DOWN, UP, READY, TICK = range(4)


@dataclass(frozen=True, slots=True)
class Failures:
    """Replicas fail at random, each by itself.

    Args:
        mtbf_s: mean time of one replica between a repair and the next failure [s].
        repair_s: mean time until it serves again [s]; both are exponential.
    """

    mtbf_s: float
    repair_s: float


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """The number of open replicas of a cell follows its load.

    Args:
        min_replicas: of a cell, always open.
        outstanding_per_replica: requests waiting or running that one replica should have.
        interval_s: time between two looks at the load [s].
        cold_start_s: time from the decision until a new replica serves [s].
    """

    min_replicas: int
    outstanding_per_replica: float
    interval_s: float = 60.0
    cold_start_s: float = 120.0


@dataclass(slots=True)
class Operations:
    """The events of one cell still to come, and what they have cost so far.

    Args:
        failures, scaler: the rules; None for none.
        draws: random numbers of the failures.
        events: heap of (time, order, kind, replica).
        order: events planned so far.
        on_s: replica-seconds that were paid for, those of a cold start and of a repair included.
        on_since: since when each replica that is wanted is paid for [s].
        emptying: the same for those that were closed and still answer what they have.
        down, starting: replicas in repair, and in their cold start.
        failed: failures so far.
        moved: requests that a failure sent elsewhere.
        forget: called with the number of a replica that has lost what its cache held; None where nobody asks.
    """

    failures: Failures | None
    scaler: Autoscaler | None
    draws: np.random.Generator
    events: list[tuple[float, int, int, int]] = field(default_factory=list)
    on_since: dict[int, float] = field(default_factory=dict)
    emptying: dict[int, float] = field(default_factory=dict)
    down: set[int] = field(default_factory=set)
    starting: set[int] = field(default_factory=set)
    on_s: float = 0.0
    failed: int = 0
    moved: int = 0
    order: int = 0
    forget: Callable[[int], None] | None = None

    def begin(self, st: State, now: float) -> None:
        """Open the first replicas and plan the first events.

        Raises:
            InputError: a time or a count that is not positive.
        """
        replicas, rules = st.ri.shape[0], (self.failures, self.scaler)
        times = [getattr(rule, name) for rule in rules if rule is not None for name in rule.__slots__]
        if any(not value > 0.0 for value in times):
            raise InputError("operations: a time or count is not positive", fix="leave a rule out to switch it off")
        least = replicas if self.scaler is None else min(self.scaler.min_replicas, replicas)
        for r in range(replicas):
            st.ri[r, f.CLOSED] = int(r >= least)
            if r < least:
                self.on_since[r] = now
            if self.failures is not None:
                self.plan(now + float(self.draws.exponential(self.failures.mtbf_s)), DOWN, r)
        if self.scaler is not None:
            self.plan(now + self.scaler.interval_s, TICK, -1)

    def plan(self, at: float, kind: int, r: int) -> None:
        """Put an event into the heap; equal times keep their order."""
        heapq.heappush(self.events, (at, self.order, kind, r))
        self.order += 1

    @property
    def next_s(self) -> float:
        """Time of the next event."""
        return self.events[0][0] if self.events else math.inf

    def act(self, st: State, en: Engine, tb: Times) -> None:
        """Let the next event happen."""
        now, _, kind, r = heapq.heappop(self.events)
        if kind == TICK:
            self.look(st, en, tb, now)
        elif kind == READY:
            self.starting.discard(r)
            st.ri[r, f.CLOSED] = int(r in self.down)
            self.lost(r)
        elif self.failures is not None and kind == DOWN:
            back = now + float(self.draws.exponential(self.failures.repair_s))
            if (r in self.on_since and r not in self.starting) or r in self.emptying:
                self.failed += 1
                self.moved += fail(st, en, tb, r, now, back)
                self.lost(r)
            self.down.add(r)
            self.plan(back, UP, r)
        elif self.failures is not None:
            self.down.discard(r)
            st.ri[r, f.CLOSED] = int(r not in self.on_since or r in self.starting)
            self.plan(now + float(self.draws.exponential(self.failures.mtbf_s)), DOWN, r)

    def look(self, st: State, en: Engine, tb: Times, now: float) -> None:
        """Order or close replicas so that each open one has its share of the requests; a closed one empties first."""
        scaler = self.scaler
        if scaler is None:
            return
        self.plan(now + scaler.interval_s, TICK, -1)
        drain(st, en, tb, now)
        for r in [r for r in self.emptying if st.ri[r, f.OUTSTANDING] == 0]:
            self.on_s += max(float(st.rf[r, f.CLOCK]), self.emptying[r]) - self.emptying.pop(r)
        replicas = st.ri.shape[0]
        wanted = math.ceil(float(st.ri[:, f.OUTSTANDING].sum()) / scaler.outstanding_per_replica)
        wanted = min(max(wanted, math.ceil(scaler.min_replicas)), replicas)
        more = max(wanted - len(self.on_since), 0)
        for r in sorted(set(self.emptying) - self.down)[:more]:
            self.on_since[r] = self.emptying.pop(r)
            st.ri[r, f.CLOSED] = 0
        more = max(wanted - len(self.on_since), 0)
        for r in sorted(set(range(replicas)) - set(self.on_since) - set(self.emptying) - self.down)[:more]:
            self.on_since[r] = now
            self.starting.add(r)
            self.plan(now + scaler.cold_start_s, READY, r)
        fewer = max(len(self.on_since) - wanted, 0)
        for r in sorted(set(self.on_since) - self.starting - self.down, reverse=True)[:fewer]:
            st.ri[r, f.CLOSED] = 1
            self.emptying[r] = self.on_since.pop(r)

    def lost(self, r: int) -> None:
        """Tell the router, where it keeps book of caches, that this one is empty."""
        if self.forget is not None:
            self.forget(r)

    def end(self, now: float) -> None:
        """Pay for the replicas that are still on."""
        self.on_s += sum(max(now - since, 0.0) for since in (*self.on_since.values(), *self.emptying.values()))
        self.on_since.clear()
        self.emptying.clear()


def down_spans(
    failures: Failures, replicas: int, draws: np.random.Generator, start_s: float, end_s: float
) -> list[tuple[float, float]]:
    """When replicas will be down between two times: the failures that :class:`Operations` makes of the same random numbers.

    Failures depend on nothing that happens to requests, so a router in front of several pools can know them beforehand: it
    sends nothing to what is down.
    """
    events = [(start_s + float(draws.exponential(failures.mtbf_s)), r, True) for r in range(replicas)]
    heapq.heapify(events)
    spans, order = [], replicas
    while events and events[0][0] < end_s:
        now, _, fails = heapq.heappop(events)
        wait = float(draws.exponential(failures.repair_s if fails else failures.mtbf_s))
        if fails:
            spans.append((now, now + wait))
        heapq.heappush(events, (now + wait, order, not fails))
        order += 1
    return spans


def spans_between(
    arrivals: Floats, low: int, high: int, planned: Operations | None, cell: tuple[State, Engine, Times]
) -> Iterator[slice]:
    """The requests from ``low`` to below ``high``, cut where something happens to a replica: it happens between two cuts."""
    while low < high:
        cut = high
        if planned is not None:
            while planned.next_s <= arrivals[low]:
                planned.act(*cell)
            cut = low + int(np.searchsorted(arrivals[low:high], planned.next_s))
        yield slice(low, cut)
        low = cut
