"""What the serving simulator takes and gives: iteration tables, engine settings, requests, results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Policy = Literal["vllm-v1", "sglang", "trtllm", "static"]
Router = Literal["round-robin", "least-loaded", "power-of-two"]


@dataclass(frozen=True, slots=True)
class IterationTable:
    """Time of one engine iteration of one replica, and nothing else that the simulator needs to know of the physics.

    An iteration runs ``b`` decoding sequences, whose caches hold ``S`` tokens in sum before the iteration, beside
    ``n`` prompt chunks of ``p`` tokens in sum. A chunk of ``q`` tokens after ``c`` tokens that are already in its
    cache has ``q*c + q*(q + 1)/2`` query-key pairs; ``P`` is the sum of the pairs and ``C`` the sum of ``c`` over
    the chunks. Then

    - only decoding (``p = 0``): ``decode_base_s[b] + decode_context_s[b] * S``;
    - with prompts (``p > 0``, ``b >= 0``): ``mixed_base_s at (p + b) + mixed_context_s[b] * S + mixed_seq_s * b
      + prefill_pair_s * P + prefill_context_s * C + prefill_seq_s * n``.

    ``mixed_base_s`` is linear between the points of ``mixed_tokens`` and goes on with the last slope beyond them.
    Since ``S`` grows by ``b`` in each decode iteration, ``k`` of them in a row take
    ``k*(base + context*S) + context*b*k*(k - 1)/2``: that closed form is what lets the simulator jump.
    Padding to graph sizes, launch and host time belong into the tables. With speculative decoding an iteration is
    one draft-and-verify round and ``S`` grows by the tokens that it yields.

    Args:
        decode_base_s: by batch 0..max_seqs [s]; entry 0 is not used.
        decode_context_s: by batch, per token of context sum [s].
        mixed_tokens: tokens of an iteration with prompts, increasing.
        mixed_base_s: time at those token counts, without attention to the cache [s].
        mixed_context_s: by decode batch, per token of context sum, in an iteration with prompts [s].
        prefill_pair_s: per query-key pair of prompt attention [s].
        prefill_context_s: per cached token that a chunk reads again [s].
        prefill_seq_s: per prompt chunk [s].
        mixed_seq_s: per decoding sequence in an iteration with prompts [s].
    """

    decode_base_s: Floats
    decode_context_s: Floats
    mixed_tokens: Floats
    mixed_base_s: Floats
    mixed_context_s: Floats
    prefill_pair_s: float = 0.0
    prefill_context_s: float = 0.0
    prefill_seq_s: float = 0.0
    mixed_seq_s: float = 0.0

    @property
    def max_seqs(self) -> int:
        """Largest decode batch that the table covers."""
        return len(self.decode_base_s) - 1


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How an engine forms its batches.

    Args:
        max_batched_tokens: token budget of one iteration (decode tokens count too).
        max_seqs: most sequences that run at once; at most the batch that the table covers.
        kv_blocks: cache pages of the replica.
        block_tokens: tokens of one page.
        policy: "vllm-v1": decode first, then prompts first come first served in what the budget leaves, and the
            youngest sequence is preempted and computed again when pages run out. "sglang": prompts run in
            iterations of their own before decoding goes on. "trtllm": as "vllm-v1", and a request enters only when
            the pages of its whole answer are free, so that none is ever preempted. "static": a batch is formed
            when the last one is finished, and every place in it costs until the longest answer is done.
        chunked_prefill: a prompt may be cut to the budget; without, it runs whole in one iteration.
        reserve_output: share of the answer whose pages must be free on entry; None for the policy's own
            (0 for "vllm-v1", which asks only for the pages of the next chunk; 1 for "trtllm" and "static").
        draft_tokens: tokens drafted per round of speculative decoding; 0 for none.
        acceptance: chance that a drafted token is accepted after all before it.
        queue_timeout_s: a request that waits longer for its first iteration is given up.
        max_queue: waiting requests of one replica at which a run stops as overloaded.
    """

    max_batched_tokens: int
    max_seqs: int
    kv_blocks: int
    block_tokens: int = 16
    policy: Policy = "vllm-v1"
    chunked_prefill: bool = True
    reserve_output: float | None = None
    draft_tokens: int = 0
    acceptance: float = 0.0
    queue_timeout_s: float = float("inf")
    max_queue: int = 100_000

    @property
    def tokens_per_round(self) -> float:
        """Mean tokens of one decode iteration of one sequence: 1, or ``(1 - a**(k + 1))/(1 - a)`` with drafts."""
        k, a = self.draft_tokens, self.acceptance
        if k == 0:
            return 1.0
        return float(k + 1) if a >= 1.0 else (1.0 - a ** (k + 1)) / (1.0 - a)


@dataclass(frozen=True, slots=True)
class RequestBatch:
    """Requests in order of arrival.

    Args:
        arrival_s: arrival at the router, not decreasing [s].
        input_tokens: prompt lengths, at least 1.
        output_tokens: answer lengths, at least 1.
        cached_tokens: prompt tokens whose cache the replica holds already (prefix hits, or a prompt that another
            replica has filled in: then all of them); None for none.
        urgent: 1 for requests that go before the others in the queue of their replica, 0 for the rest; None for none.
    """

    arrival_s: Floats
    input_tokens: Ints
    output_tokens: Ints
    cached_tokens: Ints | None = None
    urgent: Ints | None = None

    def __len__(self) -> int:
        return len(self.arrival_s)


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """One latency over the counted requests [s]; percentiles from a histogram within 0.8 % of the value."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float
    max: float
    count: int


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """What became of each request, in order of arrival.

    Args:
        first_token_s, finish_s: NaN for a request that was not answered [s].
        arrival_s: at the router [s].
        input_tokens, output_tokens: of the prompt and of the answer.
        replica: that answered it; -1 for none.
        preemptions: how often it lost its pages.
    """

    first_token_s: Floats
    finish_s: Floats
    arrival_s: Floats
    input_tokens: Ints
    output_tokens: Ints
    replica: Ints
    preemptions: Ints

    def __len__(self) -> int:
        return len(self.arrival_s)


@dataclass(frozen=True, slots=True)
class Timeline:
    """Means over equal bins of simulated time.

    Args:
        start_s: start of each bin [s].
        running: decoding sequences, mean over the bin.
        waiting: requests that have arrived and not begun, mean over the bin.
    """

    start_s: Floats
    running: Floats
    waiting: Floats


@dataclass(frozen=True, slots=True)
class SimResult:
    """What came out of a run of one replica or of a fleet.

    Args:
        requests: requests offered.
        finished, timed_out, rejected, unfinished: what became of them; they sum to ``requests``. Rejected ones can
            never fit the cache; unfinished ones were waiting or running when an overloaded run was stopped.
        simulated_s: from the first arrival to the end of the last iteration [s].
        ttft_s, tpot_s, e2e_s: latencies of the requests that arrived after the warm-up.
        input_tokens, output_tokens: tokens of finished requests.
        iterations: engine iterations of all replicas.
        prefill_tokens: prompt tokens computed, those computed again after a preemption included.
        preemptions: sequences that lost their pages.
        busy_s, prefill_busy_s: replica-seconds in iterations, and in those with prompts [s].
        batch_mean: decoding sequences, mean over busy time.
        kv_blocks_peak: most pages in use in any replica.
        replicas: number of replicas.
        overloaded: the queue grew without end and the run was stopped, or it was growing at its end.
        completed_per_s: finished requests per simulated second; the capacity when overloaded.
        histograms: bucket counts of ttft, tpot and e2e, for merging (3 rows), then the same of urgent requests alone.
        moments: sums of the six latencies (row 0), of their squares (row 1) and their maxima (row 2).
        records: per-request results, when asked for.
        timeline: batch and queue over time, when asked for.
        failures: replicas that went down.
        moved: requests that a failure sent to another replica.
        replica_on_s: replica-seconds that were paid for; 0 when the fleet was fixed and always up.
        urgent_ttft_s: first token of the urgent requests; None when there were none.
        by_cell: of a fleet of several cells, the 99th percentiles of ttft, tpot and e2e [s] and the output tokens per second of
            each cell (one row); None for a single one.
    """

    requests: int
    finished: int
    timed_out: int
    rejected: int
    unfinished: int
    simulated_s: float
    ttft_s: LatencySummary
    tpot_s: LatencySummary
    e2e_s: LatencySummary
    input_tokens: int
    output_tokens: int
    iterations: int
    prefill_tokens: int
    preemptions: int
    busy_s: float
    prefill_busy_s: float
    batch_mean: float
    kv_blocks_peak: int
    replicas: int
    overloaded: bool
    completed_per_s: float
    histograms: Ints = field(repr=False)
    moments: Floats = field(repr=False)
    records: RequestRecord | None = field(default=None, repr=False)
    timeline: Timeline | None = field(default=None, repr=False)
    failures: int = 0
    moved: int = 0
    replica_on_s: float = 0.0
    urgent_ttft_s: LatencySummary | None = None
    by_cell: Floats | None = field(default=None, repr=False)

    @property
    def output_tokens_per_s(self) -> float:
        """Output tokens of finished requests per simulated second."""
        return self.output_tokens / self.simulated_s if self.simulated_s > 0.0 else 0.0
