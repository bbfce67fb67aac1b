"""Softmax attention: prefill, decode, backward, with latent caches, and without a fused kernel."""

from __future__ import annotations

import math

from suanzhang.jit import formula
from suanzhang.perf.args import AttentionArgs
from suanzhang.perf.residual import correction, octave
from suanzhang.perf.warm import memory_share

QUERY_TILE = 128.0
"""Query rows of one tile of a fused kernel."""
KV_CHUNK = 256.0
"""Positions of one cache head that a decode kernel hands to one multiprocessor at a time."""
LATENT_HEADS = 16.0
"""Heads that fill one tile of an absorbed decode kernel."""


@formula
def visible_pairs(q_len: float, kv_len: float, causal: float, window: float) -> float:
    """Query-key pairs that the mask leaves for one head of one sequence.

    Model:
        The queries are the last ``q_len`` of ``kv_len`` positions; a window keeps the latest positions of each.

    Args:
        q_len: new tokens of each [1].
        kv_len: positions that they may see, the new ones included [1].
        causal: 1 with a causal mask, 0 without.
        window: width of a sliding window, 0 without [1].

    Returns:
        The pairs [1].

    Equation:
        N = sum over queries i of min(past + i, window), i = 1 .. q; past = kv - q

    Validity:
        Any lengths with q_len <= kv_len.

    Sources:
        [flashattention-2] masks skip whole tiles.

    Example:
        >>> visible_pairs(4.0, 4.0, 1.0, 0.0), visible_pairs(4.0, 4.0, 1.0, 2.0)
        (10.0, 7.0)
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
    """Time of fused attention by the closed form alone.

    Model:
        As :func:`prefill_attention_s`, without the measured tables.

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
        T = T_launch + 2 pairs (d_qk + d_v) (1 + l_0 / q) w / (P e) + bytes / (B e_B), w = whole over started waves

    Validity:
        Any shape; see :func:`prefill_attention_s`.

    Sources:
        [flashattention-2] tiling; [aiconfigurator-2026] timings.

    Example:
        >>> 2 * visible_pairs(128.0, 128.0, 1.0, 0.0) * (128 + 128)  # FLOP of one head and tile
        4227072.0
    """
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
    """Time of the backward pass of fused attention.

    Model:
        Five products for the two of the forward pass (scores again, and gradients of values, weights, queries, keys) at the
        share of the peak that the backward pass sustains; 2.5 times the bytes of the forward pass beside them.

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
        T = 2 T_launch + hypot(2 pairs (3 d_qk + 2 d_v) (1 + l_0 / q) / (P e_b), 2.5 bytes / (B e_B))

    Validity:
        Not timed by itself: its share of the peak is published for two chips and carried over to the others.

    Sources:
        [flashattention-2], [flashattention-3] backward over forward.

    Example:
        >>> 2 * (3 * 128 + 2 * 128) / (2 * (128 + 128))  # work over that of the forward pass
        2.5
    """
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
    """Time of attention whose score matrix goes through memory.

    Model:
        Two products over all pairs (no mask is skipped), then each pass reads or writes all scores.

    Args:
        batch: sequences [1].
        q_len: new tokens of each [1].
        kv_len: positions that they may see, the new ones included [1].
        heads: query heads on this chip [1].
        head_dim: width of a head [1].
        passes: times that the scores pass through memory, each a kernel [1].
        args: chip, dtype and kernel.

    Returns:
        The time [s].

    Equation:
        T = p T_launch + 4 b h q kv d / (P e) + p b h q kv bytes / (B e_B)

    Validity:
        Stacks before fused attention; not timed by itself.

    Sources:
        [flashattention-2] what fusing avoids.

    Example:
        >>> 2048 * 2048 * 2 / 2**20  # MiB of scores of one head and 2,048 tokens in 16 bit
        8.0
    """
    scores = batch * heads * q_len * kv_len
    compute_s = 4.0 * scores * head_dim / (args.peak_flop_per_s * args.efficiency)
    memory_s = passes * scores * args.elem_bytes / (args.hbm_bytes_per_s * args.hbm_efficiency)
    return passes * args.launch_s + compute_s + memory_s


@formula
def _decode_s(pairs: float, moved_bytes: float, context_sum_items: float, flop: float, args: AttentionArgs) -> float:
    spread = 1.0 + args.decode_spread * args.sms / context_sum_items
    read = memory_share(moved_bytes, args.l2_bytes, args.l2_gain)
    memory_s = moved_bytes * read / (args.hbm_bytes_per_s * args.hbm_efficiency) * spread
    compute_s = flop / (args.peak_flop_per_s * args.decode_efficiency)
    waves = pairs / args.sms
    waves += args.decode_wave_weight * (math.ceil(waves) - waves)
    return args.decode_launch_s + waves * args.decode_pair_s + math.hypot(memory_s, compute_s)


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
    """Time of one decode step of attention by the closed form alone.

    Model:
        As :func:`decode_attention_s`, without the measured tables.

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
        T = T_launch + W t_p + hypot(bytes (1 + s_0 S / items) (q + (1 - q) / g) / (B e_B), flop / (P e_d)),
        W = waves of b h_kv pairs over S, q = 1 / (1 + (C / bytes)^16)

    Validity:
        Any shape; see :func:`decode_attention_s`.

    Sources:
        [flash-decoding-2023] splitting over the context; [aiconfigurator-2026] timings.

    Example:
        >>> 4 * 4096 * 32 * 128  # FLOP of one token over 4,096 positions, 32 heads of width 128
        67108864
    """
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
        The cache is read once, from the on-chip cache as long as it fits there (``l2_bytes``, abruptly from memory when it
        does not); little work spreads badly over the cores (``decode_spread``), each sequence and cache head costs a fixed
        time on one core, in waves, and wide groups of query heads make the products count.

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
        T = f (T_launch + W t_p + hypot(r bytes (1 + s_0 S / items) / (B e_B), flop / (P e_d))),
        W = waves of b h_kv pairs over S, r as in memory_share

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
    by_width = correction(octave(batch * kv_heads), context, octave(qk_dim), args.decode_width)
    return closed * by_group * by_width


@formula
def mla_closed_s(
    batch: float, context_sum: float, heads: float, kv_lora: float, rope_dim: float, kv_elem_bytes: float, args: AttentionArgs
) -> float:
    """Time of one decode step over a latent cache by the closed form alone.

    Model:
        As :func:`mla_decode_s`, without the measured table.

    Args:
        batch: sequences [1].
        context_sum: cached positions of all of them together [1].
        heads: query heads on this chip [1].
        kv_lora: width of the latent vector [1].
        rope_dim: width of the rotary part [1].
        kv_elem_bytes: bytes of one cached value [B].
        args: chip, dtype and kernel.

    Returns:
        The time [s].

    Equation:
        T = T_launch + W t_p + hypot(bytes (1 + s_0 S / items) (q + (1 - q) / g) / (B e_B), flop / (P e_d)),
        W = waves of b h / 16 tiles over S, q = 1 / (1 + (C / bytes)^16)

    Validity:
        Any shape; see :func:`mla_decode_s`.

    Sources:
        [deepseek-v2] absorbed projections; [aiconfigurator-2026] timings.

    Example:
        >>> 4096 * (512 + 64) * 2  # cached bytes of 4,096 positions in 16 bit, whatever the heads
        4718592
    """
    moved = context_sum * (kv_lora + rope_dim) * kv_elem_bytes
    moved += batch * heads * (2.0 * kv_lora + rope_dim) * args.elem_bytes
    items = batch * max(context_sum / batch / KV_CHUNK, 1.0) * max(heads / LATENT_HEADS, 1.0)
    flop = 2.0 * context_sum * max(heads, LATENT_HEADS) * (2.0 * kv_lora + rope_dim)
    return _decode_s(batch * max(heads / LATENT_HEADS, 1.0), moved, items, flop, args)


@formula
def mla_decode_s(
    batch: float, context_sum: float, heads: float, kv_lora: float, rope_dim: float, kv_elem_bytes: float, args: AttentionArgs
) -> float:
    """Time of one decode step of latent attention with absorbed projections.

    Model:
        All heads read one latent vector per position, once for all; heads fill tiles of 16. Left out: the products that absorb
        the projections (they are dense products).

    Args:
        batch: sequences [1].
        context_sum: cached positions of all of them together [1].
        heads: query heads on this chip [1].
        kv_lora: width of the latent vector [1].
        rope_dim: width of the rotary part [1].
        kv_elem_bytes: bytes of one cached value [B].
        args: chip, dtype and kernel.

    Returns:
        The time [s].

    Equation:
        T = f (T_launch + W t_p + hypot(bytes (1 + s_0 S / items) (q + (1 - q) / g) / (B e_B), flop / (P e_d))),
        W = waves of b h / 16 tiles over S, q = 1 / (1 + (C / bytes)^16)

    Validity:
        Timed for a latent of 512 and a rotary part of 64, 1 to 128 heads, 1 to 1,024 sequences.

    Sources:
        [deepseek-v2] absorbed projections; [aiconfigurator-2026] timings.

    Example:
        >>> 2 * 4096 * 128 * (2 * 512 + 64)  # FLOP of one token over 4,096 positions and 128 heads
        1140850688
    """
    closed = mla_closed_s(batch, context_sum, heads, kv_lora, rope_dim, kv_elem_bytes, args)
    return closed * correction(octave(batch), octave(max(context_sum / batch, 1.0)), octave(heads), args.decode)
