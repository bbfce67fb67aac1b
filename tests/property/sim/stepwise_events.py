"""What happens to replicas, on the plain objects of the step-by-step simulator: failures, repairs, and a following fleet.

The times of failures come from the same random numbers as those of the package, drawn in the order that it documents: the
first failure of each replica, then the next time of a replica whenever something happens to it.
"""

from __future__ import annotations

import heapq
import math

import numpy as np
from stepwise import Replica, Sequence


class Cell:
    """Replicas behind a router, some of them closed at times."""

    def __init__(self, table, settings, replicas, *, failures=None, scaler=None, draws=None, lost="never"):
        self.all = [Replica(table, settings) for _ in range(replicas)]
        self.failures, self.scaler, self.draws, self.lost = failures, scaler, draws, lost
        self.open = [True] * replicas
        self.events, self.order = [], 0
        self.on, self.emptying, self.down, self.starting = {}, {}, set(), set()
        self.failed = self.moved = 0
        self.paid = 0.0
        for replica in self.all:
            replica.lost = lost
        if failures is None and scaler is None:
            return
        least = replicas if scaler is None else min(scaler.min_replicas, replicas)
        for r in range(replicas):
            self.open[r] = r < least
            if r < least:
                self.on[r] = 0.0
            if failures is not None:
                self.plan(draws.exponential(failures.mtbf_s), "fails", r)
        if scaler is not None:
            self.plan(scaler.interval_s, "look", -1)

    def plan(self, at, what, r):
        heapq.heappush(self.events, (at, self.order, what, r))
        self.order += 1

    def until(self, time):
        for replica in self.all:
            replica.until(time)

    def act_until(self, time):
        while self.events and self.events[0][0] <= time:
            at, _, what, r = heapq.heappop(self.events)
            if what == "look":
                self.look(at)
            elif what == "ready":
                self.starting.discard(r)
                self.open[r] = r not in self.down
            elif what == "fails":
                back = at + self.draws.exponential(self.failures.repair_s)
                if (r in self.on and r not in self.starting) or r in self.emptying:
                    self.failed += 1
                    self.fail(r, at, back)
                self.down.add(r)
                self.plan(back, "back", r)
            else:
                self.down.discard(r)
                self.open[r] = r in self.on and r not in self.starting
                self.plan(at + self.draws.exponential(self.failures.mtbf_s), "fails", r)

    def fail(self, r, now, back):
        broken = self.all[r]
        self.until(now)
        moment = max(now, broken.clock)
        while broken.running:
            broken.preempt()
        broken.ghosts, broken.ghost_context = 0, 0.0
        self.open[r] = False
        if self.lost != "never":
            for q in broken.waiting:
                q.cached = 0
        while broken.waiting and any(self.open):
            best = min((one for one in range(len(self.all)) if self.open[one]), key=lambda one: self.all[one].outstanding(now))
            goal = self.all[best]
            goal.until(moment)
            if not goal.running and not goal.waiting:
                goal.clock = max(goal.clock, moment)
            queue_up(goal, broken.waiting.pop(0))
            self.moved += 1
        broken.clock = max(broken.clock, back)

    def look(self, now):
        rule = self.scaler
        self.plan(now + rule.interval_s, "look", -1)
        self.until(now)
        for r in [r for r in self.emptying if not self.all[r].running and not self.all[r].waiting]:
            self.paid += max(self.all[r].clock, self.emptying[r]) - self.emptying.pop(r)
        there = sum(len(one.running) + len(one.waiting) for one in self.all)
        wanted = min(max(math.ceil(there / rule.outstanding_per_replica), math.ceil(rule.min_replicas)), len(self.all))
        for r in sorted(self.emptying):
            if len(self.on) < wanted and r not in self.down:
                self.on[r] = self.emptying.pop(r)
                self.open[r] = True
        for r in range(len(self.all)):
            if len(self.on) < wanted and r not in self.on and r not in self.emptying and r not in self.down:
                self.on[r] = now
                self.starting.add(r)
                self.plan(now + rule.cold_start_s, "ready", r)
        for r in sorted(self.on, reverse=True):
            if len(self.on) > wanted and r not in self.starting and r not in self.down:
                self.open[r] = False
                self.emptying[r] = self.on.pop(r)

    def choose(self, router, turn, now):
        places = range(len(self.all))
        if router == "round-robin":
            return next((r for step in places if self.open[r := (turn + step) % len(self.all)]), turn % len(self.all))
        return min(places, key=lambda r: (not self.open[r], self.all[r].outstanding(now)))


def queue_up(replica, q):
    """The place of a request in a queue: an urgent one goes before all that are neither urgent nor begun."""
    place = len(replica.waiting)
    while q.urgent and place and not replica.waiting[place - 1].urgent and not replica.waiting[place - 1].made:
        place -= 1
    replica.waiting.insert(place, q)


def follow_cell(batch, cell, router="least-loaded", origin=0.0):
    """All requests through one cell; the sequences by number and how many were rejected."""
    count = len(batch)
    cached = batch.cached_tokens if batch.cached_tokens is not None else np.zeros(count, int)
    urgent = batch.urgent if batch.urgent is not None else np.zeros(count, int)
    sequences, rejected = [], 0
    for i in range(count):
        prompt, output = int(batch.input_tokens[i]), int(batch.output_tokens[i])
        q = Sequence(i, float(batch.arrival_s[i] - origin), prompt, output, min(int(cached[i]), prompt - 1), int(urgent[i]))
        sequences.append(q)
        cell.act_until(q.arrival)
        cell.until(q.arrival)
        replica = cell.all[cell.choose(router, i, q.arrival)]
        rules = replica.settings
        unfit = not rules.chunked_prefill and prompt - int(cached[i]) > rules.max_batched_tokens
        longest = prompt + max(output - 1, math.ceil(replica.reserve * output))
        if unfit or replica.pages(longest) > rules.kv_blocks:
            rejected += 1
            continue
        if not replica.running and not replica.waiting:
            replica.clock = max(replica.clock, q.arrival)
        queue_up(replica, q)
    cell.until(math.inf)
    return sequences, rejected
