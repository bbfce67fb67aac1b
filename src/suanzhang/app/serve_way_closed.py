"""What a way to serve carries by formulas: drafted tokens, prompts found in the cache, caches loaded from the host."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from suanzhang.app.serve_size_way import Prepared, prepare
from suanzhang.errors import InputError
from suanzhang.spec.job import LengthSpec
from suanzhang.spec.serve_way import Way

_TURNS = 60


@dataclass(frozen=True, slots=True)
class ClosedWay:
    """The steady state of one replica that runs a way with a fixed number of users.

    Args:
        requests_per_s: answered.
        running: sequences that run at once.
        ttft_s, tpot_s: means of the time to first token of a request that finds a place, and per output token.
        tokens_per_round: mean tokens of one decode iteration of one sequence.
        prompt_tokens: of one request that are computed.
        prefill_share: share of the time that prompts add.
    """

    requests_per_s: float
    running: float
    ttft_s: float
    tpot_s: float
    tokens_per_round: float
    prompt_tokens: float
    prefill_share: float


def expected_tokens(drafted: int, acceptance: float) -> float:
    """Mean tokens of a round that drafts a chain of tokens and verifies it at once.

    Model:    each token is accepted with the same chance after all before it; the verification yields one more.
    Args:
        drafted: tokens of the chain.
        acceptance: chance of each, from 0 to 1.

    Returns:
        Tokens [1].

    Raises:
        InputError: the acceptance is no chance.

    Equation: E = (1 - a**(k + 1)) / (1 - a)
    Validity: acceptances that do not depend on the place in the chain.
    Sources:  [leviathan-2023] equation 1.

    Example:
        >>> expected_tokens(3, 0.5)
        1.875
    """
    if not 0.0 <= acceptance <= 1.0:
        raise InputError(f"acceptance: {acceptance:g} is no chance", fix="give a number from 0 to 1")
    return float(drafted + 1) if acceptance == 1.0 else (1.0 - acceptance ** (drafted + 1)) / (1.0 - acceptance)


def closed_way(way: Way, inputs: LengthSpec, outputs: LengthSpec, users: float = math.inf) -> ClosedWay:
    """What one replica carries with a fixed number of users, by formulas.

    Model:
        In the time in which every running sequence generates its answer, as many prompts are computed as sequences run, and
        each prompt holds up the others by what it adds to an iteration. A round of drafting and verifying yields several
        tokens, so that an answer takes fewer iterations. Of a prompt only the part is computed that is not in the cache; it
        attends to the rest, which is read from memory, or over the link of the host where it was put there.
        Left out: queues, preemption, and lengths that vary.

    Args:
        way: how the replica serves.
        inputs, outputs: lengths of the requests; their means count.
        users: requests in flight; as many as fit when there are more.

    Returns:
        The steady state.

    Raises:
        InputError, OutOfDomain, Infeasible: the way cannot be.

    Equation:
        X = n / (osl / E * t_round(b) + n * t_added(b)),  b = n (1 - t_own X / n)

    Validity:
        Within a few percent of the event simulation at full load.

    Sources:
        [little-1961] users = rate * time; [leviathan-2023] tokens of a round.
    """
    return closed_by(prepare(way, inputs, outputs), inputs, outputs, users)


def closed_by(ready: Prepared, inputs: LengthSpec, outputs: LengthSpec, users: float = math.inf) -> ClosedWay:
    """As :func:`closed_way`, with the iteration times at hand."""
    settings, isl, osl = ready.settings, inputs.mean, outputs.mean
    each = expected_tokens(ready.way.draft.tokens, ready.way.draft.acceptance)
    rounds = max(osl / each, 1.0)
    room = settings.kv_blocks * settings.block_tokens / (isl + 0.5 * osl)
    running = max(min(users, float(settings.max_seqs), room), 1.0)
    computed = max(isl * (1.0 - ready.way.prefix.share), 1.0)
    batch, step, added, own = running, 0.0, 0.0, 0.0
    for _ in range(_TURNS):
        step = _round_s(ready, batch, isl + 0.5 * osl)
        added, own = _prompt_s(ready, batch, computed, isl, osl, rounds, step)
        cycle = rounds * step + running * added
        following = max(running * (1.0 - min(own / cycle, 0.9)), min(running, 1.0))
        if abs(following - batch) < 1e-4 * batch:
            break
        batch = 0.5 * (batch + following)
    cycle = max(rounds * step + running * added, (rounds - 1.0) * step + own)
    rate = running / cycle
    tpot = (cycle - own) / max(osl - 1.0, 1.0)
    front = ready.front_s + ready.front_per_seq_s * running
    ahead = ready.way.stack.ahead_iterations * max(1.0 - 1.0 / max(batch, 1.0), 0.0)
    first = front + (0.5 + ahead) * step + own + ready.pipe_s[0]
    return ClosedWay(rate, running, first, tpot, each, computed, min(rate * added, 1.0))


def _round_s(ready: Prepared, batch: float, context: float) -> float:
    """An iteration without prompts [s]."""
    sizes = np.arange(len(ready.table.decode_base_s))
    base = float(np.interp(batch, sizes, ready.table.decode_base_s))
    return base + float(np.interp(batch, sizes, ready.table.decode_context_s)) * batch * context


def _prompt_s(
    ready: Prepared, batch: float, computed: float, isl: float, osl: float, rounds: float, step: float
) -> tuple[float, float]:
    """What a prompt adds to the iterations of the others, and its own time in the engine [s]."""
    table, settings = ready.table, ready.settings
    mixed = settings.policy in {"vllm-v1", "trtllm"}
    beside = batch * (settings.draft_tokens + 1.0) if mixed else 0.0
    room = max(settings.max_batched_tokens - beside, 16.0)
    chunks = max(math.ceil(computed / room), 1) if settings.chunked_prefill else 1
    together = max(min(batch / rounds, room / computed), 1.0)
    share, found = computed / chunks, isl - computed
    pairs = computed * found + 0.5 * computed * (computed + 1.0)
    again = chunks * found + 0.5 * (chunks - 1) * computed
    tokens = share * together + beside
    sizes = np.arange(len(table.mixed_context_s))
    one = float(np.interp(tokens, table.mixed_tokens, table.mixed_base_s))
    if tokens > table.mixed_tokens[-1]:
        slope = (table.mixed_base_s[-1] - table.mixed_base_s[-2]) / (table.mixed_tokens[-1] - table.mixed_tokens[-2])
        one = float(table.mixed_base_s[-1] + slope * (tokens - table.mixed_tokens[-1]))
    attention = table.prefill_pair_s * pairs + table.prefill_context_s * again + table.prefill_seq_s * chunks
    if not mixed:
        alone = one * chunks + attention * together
        return alone / together, alone
    reading = float(np.interp(batch, sizes, table.mixed_context_s)) * batch * (isl + 0.5 * osl) + table.mixed_seq_s * batch
    whole = max(one + reading - step, 0.0) * chunks + attention * together
    return whole / together, step * chunks + whole
