"""Tables of iteration times: what the event simulator looks up instead of asking the physics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from suanzhang.jit import formula
from suanzhang.perf.serving.args import IterationArgs
from suanzhang.perf.serving.iteration import iteration_s, iteration_terms
from suanzhang.spec.sim import IterationTable

Floats = NDArray[np.float64]

_MIXED_TOKENS = (1.0, 16.0, 32.0, 64.0, 128.0, 192.0, 256.0, 384.0, 512.0, 768.0, 1024.0, 1536.0, 2048.0, 3072.0, 4096.0,
                 6144.0, 8192.0, 12288.0, 16384.0, 32768.0)  # fmt: skip


@formula
def _decode_rows(batches: Floats, short: float, long: float, a: IterationArgs) -> Floats:
    """Base and slope of decode iterations and the slope of mixed ones, one row per batch, between two contexts."""
    rows = np.zeros((len(batches), 3))
    for i in range(len(batches)):
        b = batches[i]
        low = iteration_s(0.0, 0.0, 0.0, b, b * short, a)
        high = iteration_s(0.0, 0.0, 0.0, b, b * long, a)
        slope = max(high - low, 0.0) / (b * (long - short))
        rows[i, 0] = max(low - slope * b * short, 0.0)
        rows[i, 1] = slope
        first = iteration_terms(1.0, 256.0, 0.0, b, b * short, a)
        second = iteration_terms(1.0, 256.0, 0.0, b, b * long, a)
        rows[i, 2] = max(second.decode_attention - first.decode_attention, 0.0) / (b * (long - short))
    return rows


@formula
def _mixed_rows(tokens: Floats, a: IterationArgs) -> Floats:
    """Time of iterations with prompts at these token counts, without attention of prompts."""
    rows = np.zeros(len(tokens))
    for i in range(len(tokens)):
        t = iteration_terms(1.0, tokens[i], 0.0, 0.0, 0.0, a)
        whole = iteration_s(1.0, tokens[i], 0.0, 0.0, 0.0, a)
        rows[i] = whole - t.prefill_attention - a.engine.host_per_seq_s
    return rows


@formula
def _prompt_slopes(chunk: float, past: float, a: IterationArgs) -> Floats:
    """Fixed time of a chunk, time per query-key pair, and per cached token read again."""
    half = iteration_terms(1.0, 0.5 * chunk, 0.0, 0.0, 0.0, a).prefill_attention
    full = iteration_terms(1.0, chunk, 0.0, 0.0, 0.0, a).prefill_attention
    later = iteration_terms(1.0, chunk, past, 0.0, 0.0, a).prefill_attention
    pairs_half = 0.25 * chunk * (0.5 * chunk + 1.0)
    pairs_full = 0.5 * chunk * (chunk + 1.0)
    pair = max(full - half, 0.0) / (pairs_full - pairs_half)
    again = max(later - full - pair * chunk * past, 0.0) / past
    return np.array([max(full - pair * pairs_full, 0.0), pair, again])


@formula
def _decode_seq_s(batch: float, context: float, a: IterationArgs) -> float:
    """Time that one decoding sequence adds to an iteration with prompts besides its token and its cache."""
    one = iteration_terms(1.0, 256.0, 0.0, batch, batch * context, a)
    slope = 0.0
    for_context = iteration_terms(1.0, 256.0, 0.0, batch, 2.0 * batch * context, a)
    slope = for_context.decode_attention - one.decode_attention
    return max(one.decode_attention - slope, 0.0) / batch + a.engine.host_per_seq_s


def iteration_table(args: IterationArgs, max_seqs: int, context: float, prompt: float) -> IterationTable:
    """The time of an iteration as a small table and a few slopes, by the same formulas.

    Model:
        Decode time is linear in the sum of contexts for each batch; the line goes through half and twice the typical
        context. Iterations with prompts are piecewise linear in their tokens, plus the attention of the prompts, which
        is linear in query-key pairs and in cached tokens read again.

    Args:
        args: model, engine, layout and operators.
        max_seqs: largest decode batch.
        context: typical tokens in the cache of a decoding sequence [tokens].
        prompt: typical prompt, or chunk of one [tokens].

    Returns:
        The table.

    Equation:
        t = base[b] + slope[b] * S;  t_mixed = mixed(p + b) + slope_m[b] * S + c_b * b + c_P * P + c_C * C + c_n * n

    Validity:
        Contexts around the typical one; for other shapes the table is within a few percent of the formulas.

    Sources:
        [vidur-2024] that iteration time is smooth in these sums.
    """
    sizes = np.unique(np.concatenate([np.arange(1, min(max_seqs, 64) + 1), np.geomspace(1, max_seqs, 96).round()]))
    short, long = 0.5 * context, 2.0 * context
    rows = _decode_rows(sizes.astype(np.float64), short, long, args)
    batches = np.arange(max_seqs + 1, dtype=np.float64)
    base, slope, mixed = (np.interp(batches, sizes, rows[:, column]) for column in range(3))
    tokens = np.array(_MIXED_TOKENS)
    chunk = min(max(prompt, 64.0), 8192.0)
    seq, pair, again = _prompt_slopes(chunk, chunk, args)
    typical = min(32.0, float(max_seqs))
    return IterationTable(
        decode_base_s=base,
        decode_context_s=slope,
        mixed_tokens=tokens,
        mixed_base_s=np.maximum.accumulate(_mixed_rows(tokens, args)),
        mixed_context_s=mixed,
        prefill_pair_s=float(pair),
        prefill_context_s=float(again),
        prefill_seq_s=float(seq + args.engine.host_per_seq_s),
        mixed_seq_s=float(_decode_seq_s(typical, context, args)),
    )
