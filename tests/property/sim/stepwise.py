"""A slow simulator that takes every iteration one by one, on plain Python objects: the measure of the fast one.

It shares no code with the package but the settings and the table: sequences know their own pages, nothing is summed
over phases, no iteration is skipped, and every running sequence is looked at in each of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Sequence:
    ident: int
    arrival: float
    prompt: int
    output: int
    cached: int
    urgent: int = 0
    made: int = 0
    first: float = math.nan
    finish: float = math.nan
    computed: int = 0  # prompt tokens computed in this life
    length: int = 0  # cache when decoding began
    rounds: int = 0  # decode iterations in this life
    due_rounds: int = 0
    wait: int = 0
    pages: int = 0
    decoding: bool = False


@dataclass
class Replica:
    table: object
    settings: object
    clock: float = 0.0
    waiting: list = field(default_factory=list)
    running: list = field(default_factory=list)
    ghosts: int = 0
    ghost_context: float = 0.0
    forming: bool = False
    iterations: int = 0
    preemptions: int = 0
    timed_out: list = field(default_factory=list)
    finished: list = field(default_factory=list)
    least_free: int = 10**9
    last_done: int = 0
    lost: str = "never"  # when the cached part of a prompt is lost: "never", "failure", or "pages"

    def __post_init__(self):
        s = self.settings
        self.mixed = s.policy in ("vllm-v1", "trtllm")
        self.growth = s.tokens_per_round
        self.period = max(1, round(s.block_tokens / self.growth))
        own = {"vllm-v1": 0.0, "sglang": 0.0, "trtllm": 1.0, "static": 1.0}[s.policy]
        self.reserve = own if s.reserve_output is None else s.reserve_output

    def pages(self, tokens):
        return math.ceil(tokens / self.settings.block_tokens)

    @property
    def free(self):
        return self.settings.kv_blocks - sum(q.pages for q in self.running)

    def promise(self, q):
        return self.pages(q.prompt + math.ceil(self.reserve * q.output))

    def wants_page(self, q):
        return q.rounds >= q.wait and (q.rounds - q.wait) % self.period == 0

    def preempt(self):
        q = self.running.pop()
        if q.decoding:
            q.made += int(self.growth * q.rounds)
        q.decoding, q.pages, q.computed, q.rounds = False, 0, 0, 0
        if self.lost == "pages":
            q.cached = 0
        self.waiting.insert(0, q)
        self.preemptions += 1

    def step(self):
        """One iteration; False when there is nothing to do."""
        s, preempted = self.settings, False
        if self.mixed:
            preempted = self.give_pages_to_decodes()
        chunks, stopped = self.choose_prompts(preempted)
        if chunks:
            self.run(chunks, [q for q in self.running if q.decoding] if self.mixed else [])
            self.forming = True
            return True
        decoding = [q for q in self.running if q.decoding]
        if not self.mixed and decoding:
            self.give_pages_to_decodes()
        decoding = [q for q in self.running if q.decoding]
        if not decoding:
            if self.mixed or not self.waiting:
                return bool(self.waiting) and (preempted or stopped)
            return self.step()
        self.forming = False
        self.run([], decoding)
        assert s.kv_blocks >= sum(q.pages for q in self.running)
        return True

    def give_pages_to_decodes(self):
        """First come first served; the youngest of all pays when there is no page left."""
        preempted, i = False, 0
        granted = []
        while i < len(self.running):
            q = self.running[i]
            if q.decoding and self.wants_page(q):
                while self.free < 1 and self.running[-1] is not q:
                    self.preempt()
                    preempted = True
                if self.free < 1:
                    self.preempt()
                    preempted = True
                    break
                q.pages += 1
                granted.append(q)
            i += 1
        self.granted = granted
        return preempted

    def choose_prompts(self, preempted):
        s = self.settings
        decoding = sum(q.decoding for q in self.running)
        left = s.max_batched_tokens - (decoding * (1 + s.draft_tokens) if self.mixed else 0)
        chunks = []
        for q in list(self.running):
            if q.decoding:
                continue
            total = q.prompt + q.made
            chunk = min(left, total - q.computed)
            if chunk <= 0:
                return chunks, False
            need = self.pages(q.computed + chunk) - q.pages
            if need > self.free:
                self.preempt()
                return [], True
            chunks.append((q, chunk, q.computed))
            q.pages += need
            q.computed += chunk
            left -= chunk
            if q.computed < total:
                return chunks, False
        if preempted or (s.policy == "static" and not self.forming and decoding):
            return chunks, False
        while self.waiting and left > 0 and len(self.running) < s.max_seqs:
            q = self.waiting[0]
            if q.made == 0 and self.clock >= q.arrival + s.queue_timeout_s:
                self.timed_out.append(self.waiting.pop(0))
                continue
            total = q.prompt + q.made
            chunk = total - q.cached
            if chunk > left:
                if not s.chunked_prefill and total - q.cached <= s.max_batched_tokens:
                    break
                chunk = left
            need = self.pages(q.cached + chunk)
            if need > self.free:
                break
            if self.reserve > 0 and sum(map(self.promise, self.running)) + self.promise(q) > s.kv_blocks:
                break
            self.waiting.pop(0)
            self.running.append(q)
            chunks.append((q, chunk, q.cached))
            q.pages, q.computed = need, q.cached + chunk
            left -= chunk
            if q.computed < total:
                break
        return chunks, False

    def run(self, chunks, decoding):
        t = self.table
        context = sum(q.length + self.growth * q.rounds for q in decoding)
        batch = len(decoding)
        if chunks:
            tokens = sum(chunk for _, chunk, _ in chunks) + batch * (1 + self.settings.draft_tokens)
            spent = float(np.interp(tokens, t.mixed_tokens, t.mixed_base_s))
            if batch:
                spent += t.mixed_context_s[batch] * context + t.mixed_seq_s * batch
            spent += sum(
                t.prefill_pair_s * sum(done + i + 1 for i in range(chunk)) + t.prefill_context_s * done + t.prefill_seq_s
                for _, chunk, done in chunks
            )
        else:
            batch += self.ghosts
            context += self.ghost_context
            spent = t.decode_base_s[batch] + t.decode_context_s[batch] * context
        self.least_free = min(self.least_free, self.free)
        self.clock += spent
        self.iterations += 1
        self.last_done = 0
        for q in decoding:
            q.rounds += 1
            if q.rounds == q.due_rounds:
                self.end(q)
                if self.settings.policy == "static":
                    self.ghosts += 1
                    self.ghost_context += q.length + self.growth * q.rounds
        if self.settings.policy == "static" and not chunks:
            self.ghost_context += self.growth * (batch - len(decoding))
            if not any(q.decoding for q in self.running):
                self.ghosts, self.ghost_context = 0, 0.0
        for q, _, _ in chunks:
            if q.computed == q.prompt + q.made:
                self.emit(q)

    def emit(self, q):
        q.length = q.prompt + q.made
        q.made += 1
        if math.isnan(q.first):
            q.first = self.clock
        if q.made >= q.output:
            self.end(q)
            return
        q.decoding, q.rounds = True, 0
        q.due_rounds = math.ceil((q.output - q.made) / self.growth)
        q.wait = int((q.pages * self.settings.block_tokens - q.length) / self.growth)

    def end(self, q):
        q.finish = self.clock
        self.running.remove(q)
        self.finished.append(q)
        self.last_done += 1

    def until(self, time):
        while self.clock < time and (self.running or self.waiting):
            self.step()

    def outstanding(self, now):
        return len(self.running) + len(self.waiting) + (self.last_done if self.clock > now else 0)


def run_cell(requests, table, settings, replicas=1, router="round-robin"):
    """All requests on some replicas; the replicas and the sequences by number."""
    cell = [Replica(table, settings) for _ in range(replicas)]
    cached = requests.cached_tokens if requests.cached_tokens is not None else np.zeros(len(requests), int)
    urgent = requests.urgent if requests.urgent is not None else np.zeros(len(requests), int)
    sequences, rejected = [], 0
    for i, (at, prompt, output, hit) in enumerate(
        zip(requests.arrival_s, requests.input_tokens, requests.output_tokens, cached, strict=True)
    ):
        q = Sequence(i, float(at), int(prompt), int(output), min(int(hit), int(prompt) - 1), int(urgent[i]))
        sequences.append(q)
        for replica in cell:
            replica.until(q.arrival)
        least = min(cell, key=lambda one: one.outstanding(q.arrival))
        replica = cell[i % replicas] if router == "round-robin" else least
        unfit = not settings.chunked_prefill and q.prompt - int(hit) > settings.max_batched_tokens
        longest = q.prompt + max(q.output - 1, math.ceil(replica.reserve * q.output))
        if unfit or replica.pages(longest) > settings.kv_blocks:
            rejected += 1
            continue
        if not replica.running and not replica.waiting:
            replica.clock = max(replica.clock, q.arrival)
        place = len(replica.waiting)
        while q.urgent and place and not replica.waiting[place - 1].urgent and not replica.waiting[place - 1].made:
            place -= 1
        replica.waiting.insert(place, q)
    for replica in cell:
        replica.until(math.inf)
    return cell, sequences, rejected
