"""Softmax attention: prefill, decode, backward, with latent caches, and without a fused kernel."""

from __future__ import annotations

import math

from suanzhang.jit import formula
from suanzhang.perf.args import AttentionArgs
from suanzhang.perf.residual import correction, octave

QUERY_TILE = 128.0
"""Query rows of one tile of a fused kernel."""
KV_CHUNK = 256.0
"""Positions of one cache head that a decode kernel hands to one multiprocessor at a time."""
LATENT_HEADS = 16.0
"""Heads that fill one tile of an absorbed decode kernel."""


@formula
def visible_pairs(q_len: float, kv_len: float, causal: float, window: float) -> float:
    """Query-key pairs that the mask leaves for one head of one sequence [1].

    The queries are the last ``q_len`` of ``kv_len`` positions; ``causal`` is 1 or 0; ``window`` 0 means none.
    """
    if causal == 0.0:
        return q_len * (min(kv_len, window) if window > 0.0 else kv_len)
    past = kv_len - q_len
    if window <= 0.0 or window >= kv_len:
        return q_len * past + 0.5 * q_len * (q_len + 1.0)
    growing = min(max(window - past, 0.0), q_len)
    return growing * past + 0.5 * growing * (growing + 1.0) + (q_len - growing) * window


@formula
def prefill_closed_s(
    batch: float,
    q_len: float,
    kv_len: float,
    heads: float,
    kv_heads: float,
    qk_dim: float,
    v_dim: float,
    causal: float,
    window: float,
    args: AttentionArgs,
) -> float:
    """Time of fused attention by the closed form alone [s]; see :func:`prefill_attention_s`."""
    pairs = batch * heads * visible_pairs(q_len, kv_len, causal, window)
    waves = batch * heads * math.ceil(q_len / QUERY_TILE) / args.sms
    filled = 1.0 + args.wave_weight * (math.ceil(waves) / waves - 1.0)
    flop = 2.0 * pairs * (qk_dim + v_dim) * (1.0 + args.ramp_len / q_len) * filled
    moved = batch * args.elem_bytes * (heads * q_len + args.kv_passes * kv_heads * kv_len) * (qk_dim + v_dim)
    compute_s = flop / (args.peak_flop_per_s * args.efficiency)
    memory_s = moved / (args.hbm_bytes_per_s * args.prefill_hbm_efficiency)
    return args.launch_s + compute_s + memory_s


@formula
def prefill_attention_s(
    batch: float,
    q_len: float,
    kv_len: float,
    heads: float,
    kv_heads: float,
    qk_dim: float,
    v_dim: float,
    causal: float,
    window: float,
    args: AttentionArgs,
) -> float:
    """Time of the fused attention of ``batch`` sequences of ``q_len`` new tokens over ``kv_len`` positions.

    Model:
        Two products over the visible pairs in tiles of 128 queries, waves over the cores, and the traffic of queries,
        results, keys and values (appending them to the cache included, ``kv_passes``), one after the other.

    Args:
        batch: sequences [1].
        q_len: new tokens of each [1].
        kv_len: positions that they may see, the new ones included [1].
        heads, kv_heads: query heads and key/value heads on this chip [1].
        qk_dim, v_dim: width of a key and of a value [1].
        causal: 1 with a causal mask, 0 without.
        window: width of a sliding window, 0 without [1].
        args: chip, dtype and kernel.

    Returns:
        The time [s].

    Equation:
        T = f (T_launch + 2 pairs (d_qk + d_v) (1 + l_0 / q) w / (P e) + bytes / (B e_B)), w = whole over started waves

    Validity:
        Timed for causal self-attention, 1 to 32,768 tokens, width 64 to 512; windows by the closed form.

    Sources:
        [flashattention-2] tiling; [aiconfigurator-2026] timings.

    Example:
        >>> visible_pairs(4.0, 4.0, 1.0, 0.0)
        10.0
    """
    closed = prefill_closed_s(batch, q_len, kv_len, heads, kv_heads, qk_dim, v_dim, causal, window, args)
    length = octave(q_len)
    by_width = correction(octave(batch * heads), length, octave(qk_dim), args.prefill)
    by_group = correction(octave(batch * kv_heads), length, octave(heads / kv_heads), args.prefill_group)
    return closed * by_width * by_group


@formula
def attention_backward_s(
    batch: float,
    q_len: float,
    kv_len: float,
    heads: float,
    kv_heads: float,
    qk_dim: float,
    v_dim: float,
    causal: float,
    window: float,
    args: AttentionArgs,
) -> float:
    """Time of the backward pass of fused attention: five products for the two of the forward pass [s]."""
    pairs = batch * heads * visible_pairs(q_len, kv_len, causal, window)
    flop = 2.0 * pairs * (3.0 * qk_dim + 2.0 * v_dim) * (1.0 + args.ramp_len / q_len)
    moved = 2.5 * batch * args.elem_bytes * (heads * q_len + kv_heads * kv_len) * (qk_dim + v_dim)
    compute_s = flop / (args.peak_flop_per_s * args.backward_efficiency)
    memory_s = moved / (args.hbm_bytes_per_s * args.hbm_efficiency)
    return 2.0 * args.launch_s + math.hypot(compute_s, memory_s)


@formula
def unfused_attention_s(
    batch: float, q_len: float, kv_len: float, heads: float, head_dim: float, passes: float, args: AttentionArgs
) -> float:
    """Time of attention whose score matrix goes through memory ``passes`` times (no mask is skipped) [s]."""
    scores = batch * heads * q_len * kv_len
    compute_s = 4.0 * scores * head_dim / (args.peak_flop_per_s * args.efficiency)
    memory_s = passes * scores * args.elem_bytes / (args.hbm_bytes_per_s * args.hbm_efficiency)
    return passes * args.launch_s + compute_s + memory_s


@formula
def _decode_s(pairs: float, moved_bytes: float, context_sum_items: float, flop: float, args: AttentionArgs) -> float:
    spread = 1.0 + args.decode_spread * args.sms / context_sum_items
    memory_s = moved_bytes / (args.hbm_bytes_per_s * args.hbm_efficiency) * spread
    compute_s = flop / (args.peak_flop_per_s * args.decode_efficiency)
    return args.decode_launch_s + pairs * args.decode_pair_s / args.sms + math.hypot(memory_s, compute_s)


@formula
def decode_closed_s(
    batch: float,
    context_sum: float,
    heads: float,
    kv_heads: float,
    qk_dim: float,
    v_dim: float,
    kv_elem_bytes: float,
    args: AttentionArgs,
) -> float:
    """Time of one decode step by the closed form alone [s]; see :func:`decode_attention_s`."""
    pairs = batch * kv_heads
    moved = context_sum * kv_heads * (qk_dim + v_dim) * kv_elem_bytes
    moved += 2.0 * batch * heads * (qk_dim + v_dim) * args.elem_bytes
    items = pairs * max(context_sum / batch / KV_CHUNK, 1.0)
    flop = 2.0 * context_sum * heads * (qk_dim + v_dim)
    return _decode_s(pairs, moved, items, flop, args)


@formula
def decode_attention_s(
    batch: float,
    context_sum: float,
    heads: float,
    kv_heads: float,
    qk_dim: float,
    v_dim: float,
    kv_elem_bytes: float,
    args: AttentionArgs,
) -> float:
    """Time of one decode step of ``batch`` sequences whose contexts sum to ``context_sum``.

    Model:
        The cache is read once; little work spreads badly over the cores (``decode_spread``), each sequence and cache head
        costs a fixed time on one core, and wide groups of query heads make the products count.

    Args:
        batch: sequences [1].
        context_sum: cached positions of all of them together [1].
        heads, kv_heads: query heads and key/value heads on this chip [1].
        qk_dim, v_dim: width of a key and of a value [1].
        kv_elem_bytes: bytes of one cached value [B].
        args: chip, dtype and kernel.

    Returns:
        The time [s].

    Equation:
        T = f (T_launch + b h_kv t_p / S + hypot(bytes (1 + s_0 S / items) / (B e_B), flop / (P e_d)))

    Validity:
        Timed for 1 to 2,048 sequences of 2 to 131,072 positions.

    Sources:
        [flash-decoding-2023] splitting over the context; [aiconfigurator-2026] timings.

    Example:
        >>> 2 * 4096 * 8 * 256  # cached bytes of 4,096 positions, 8 heads of 128 + 128 values in 16 bit
        16777216
    """
    closed = decode_closed_s(batch, context_sum, heads, kv_heads, qk_dim, v_dim, kv_elem_bytes, args)
    context = octave(max(context_sum / batch, 1.0))
    by_group = correction(octave(batch * kv_heads), context, octave(heads / kv_heads), args.decode)
    by_width = correction(octave(batch * heads), context, octave(qk_dim), args.decode_width)
    return closed * by_group * by_width


@formula
def mla_closed_s(
    batch: float, context_sum: float, heads: float, kv_lora: float, rope_dim: float, kv_elem_bytes: float, args: AttentionArgs
) -> float:
    """Time of one absorbed decode step by the closed form alone [s]; see :func:`mla_decode_s`."""
    moved = context_sum * (kv_lora + rope_dim) * kv_elem_bytes
    moved += batch * heads * (2.0 * kv_lora + rope_dim) * args.elem_bytes
    items = batch * max(context_sum / batch / KV_CHUNK, 1.0) * max(heads / LATENT_HEADS, 1.0)
    flop = 2.0 * context_sum * max(heads, LATENT_HEADS) * (2.0 * kv_lora + rope_dim)
    return _decode_s(batch * max(heads / LATENT_HEADS, 1.0), moved, items, flop, args)


@formula
def mla_decode_s(
    batch: float, context_sum: float, heads: float, kv_lora: float, rope_dim: float, kv_elem_bytes: float, args: AttentionArgs
) -> float:
    """Time of one decode step with absorbed projections: all heads read one latent vector per position [s]."""
    closed = mla_closed_s(batch, context_sum, heads, kv_lora, rope_dim, kv_elem_bytes, args)
    return closed * correction(octave(batch), octave(max(context_sum / batch, 1.0)), octave(heads), args.decode)
