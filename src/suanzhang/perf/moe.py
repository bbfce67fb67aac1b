"""Grouped products of a mixture of experts."""

from __future__ import annotations

import math

from suanzhang.jit import formula
from suanzhang.perf.args import MoeArgs
from suanzhang.perf.residual import correction, octave

TILE_WIDTH = 128.0
"""Columns of one tile of a grouped kernel."""
VALUE_BYTES = 2.0
"""Bytes of one value of the rows that are sorted, activated and added up."""


@formula
def distinct_experts(rows: float, experts: float) -> float:
    """Expected distinct experts that evenly drawn token-expert pairs touch.

    Model:
        Each pair draws one of the experts, all alike and on its own.

    Args:
        rows: token-expert pairs [1].
        experts: experts to draw from [1].

    Returns:
        The number of experts touched at least once [1].

    Equation:
        E = e (1 - (1 - 1/e)^r)

    Validity:
        Any counts from 0; a token never draws one expert twice in truth, which matters with few experts only.

    Sources:
        [williams-2009-roofline] bytes bound the products of few rows; the count itself is elementary probability.

    Example:
        >>> distinct_experts(1.0, 8.0), round(distinct_experts(2.0, 2.0), 3)
        (1.0, 1.5)
    """
    return experts * (1.0 - (1.0 - 1.0 / experts) ** rows) if experts > 1.0 else min(rows, 1.0)


@formula
def _tiles_s(per_expert: float, touched: float, n: float, k: float, tile: float, args: MoeArgs) -> float:
    """Time of whole waves of tiles of one height over all touched experts."""
    g = args.gemm
    waves = touched * math.ceil(per_expert / tile) * math.ceil(n / TILE_WIDTH) / g.sms
    waves += g.wave_weight * (math.ceil(waves) - waves)
    flop = 2.0 * tile * TILE_WIDTH * (k + g.ramp_k) * (1.0 + args.tile_half / tile)
    return waves * g.sms * flop / (g.peak_flop_per_s * args.efficiency)


@formula
def grouped_gemm_s(rows: float, experts_local: float, n: float, k: float, imbalance: float, args: MoeArgs) -> float:
    """Time of one grouped product of this chip's token-expert pairs with the weights of its experts.

    Model:
        Each touched expert pads its rows to whole tiles; tiles run in waves over the cores, short ones at a smaller share
        of the peak; the best of four heights counts. Weights of touched experts, rows and results stream beside them; of
        the shorter of the two a fitted share shows.

    Args:
        rows: token-expert pairs of this chip, mean over chips [1], above 0.
        experts_local: experts on this chip [1].
        n, k: columns and depth of one expert's weight [1].
        imbalance: load of the fullest chip over the mean [1], 1 when balanced.
        args: chip, dtype and kernel.

    Returns:
        The time [s].

    Equation:
        T = T_launch + max(T_c, T_m) + x min(T_c, T_m)^2 / max(T_c, T_m), T_c = W S 2 t 128 (k + k_0) (1 + t_0 / t) / (P e)

    Validity:
        Timed for 1 to 65,536 tokens, 8 to 512 experts; dense experts (one expert) are better described by gemm_s.

    Sources:
        [aiconfigurator-2026] timings behind the coefficients; [williams-2009-roofline] the two limits.

    Example:
        >>> 128 * 2 * 4096 * 1024  # FLOP of one full tile column block of a (4096, 1024) expert
        1073741824
    """
    g = args.gemm
    here = max(rows * imbalance, 1e-9)
    touched = min(here, experts_local) if args.even > 0.0 else distinct_experts(here, experts_local)
    per_expert = here / touched
    compute_s = min(
        min(_tiles_s(per_expert, touched, n, k, 16.0, args), _tiles_s(per_expert, touched, n, k, 32.0, args)),
        min(_tiles_s(per_expert, touched, n, k, 64.0, args), _tiles_s(per_expert, touched, n, k, 128.0, args)),
    )
    moved = touched * n * k * g.weight_bytes + here * (k * g.in_bytes + n * g.out_bytes)
    memory_s = moved / (g.hbm_bytes_per_s * args.hbm_efficiency)
    longer, shorter = max(compute_s, memory_s), min(compute_s, memory_s)
    return g.launch_s + longer + g.exposed * shorter * shorter / longer


@formula
def moe_closed_s(
    tokens: float,
    hidden: float,
    expert_ffn: float,
    topk: float,
    experts: float,
    ep: float,
    etp: float,
    gated: float,
    imbalance: float,
    args: MoeArgs,
) -> float:
    """Time of the routed experts of one layer by the closed form alone.

    Model:
        As :func:`moe_ffn_s`, without the measured tables.

    Args:
        tokens, hidden, expert_ffn, topk, experts, ep, etp, gated, imbalance, args: as for :func:`moe_ffn_s` [1].

    Returns:
        The time [s].

    Equation:
        T = T_fixed + T_up + T_down + 2 bytes (r h p_r + b k min(G / ep, 1) (h p_p + w p_w)) / B

    Validity:
        Any shape; see :func:`moe_ffn_s`.

    Sources:
        [aiconfigurator-2026] timings behind the coefficients.

    Example:
        >>> 64 * 8 / 4  # token-expert pairs of each of 4 chips for 64 tokens and 8 experts each
        128.0
    """
    rows = max(tokens * topk / ep, 1.0)
    local = max(experts / ep, 1.0)
    width = expert_ffn / etp
    up = grouped_gemm_s(rows, local, width * (2.0 if gated > 0.0 else 1.0), hidden, imbalance, args)
    down = grouped_gemm_s(rows, local, hidden, width, imbalance, args)
    moved = rows * imbalance * hidden * args.row_passes
    seen = tokens * topk * min(args.gathered_ranks / ep, 1.0)
    moved += seen * (hidden * args.pair_passes + width * args.width_passes)
    return args.fixed_s + up + down + VALUE_BYTES * moved / args.gemm.hbm_bytes_per_s


@formula
def moe_ffn_s(
    tokens: float,
    hidden: float,
    expert_ffn: float,
    topk: float,
    experts: float,
    ep: float,
    etp: float,
    gated: float,
    imbalance: float,
    args: MoeArgs,
) -> float:
    """Time of the routed experts of one layer on one chip: sort, up, activate, down, combine.

    Model:
        Two grouped products; the hidden rows of the pairs of this chip are permuted; kernels that see the tokens of the
        whole expert-parallel group also sort, activate and add up pairs of other chips' experts; wide groups send each
        pair to its chip alone. Left out: the exchange of tokens between chips, shared experts, the router.

    Args:
        tokens: tokens of the whole expert-parallel group [1], above 0.
        hidden: width of the model [1].
        expert_ffn: inner width of one expert [1].
        topk: experts of each token [1].
        experts: experts of the layer [1].
        ep: chips of the group [1].
        etp: chips that share the width of each expert [1].
        gated: 1 when the first product is two wide (gate and up), 0 otherwise [1].
        imbalance: load of the fullest chip over the mean [1].
        args: chip, dtype and kernel.

    Returns:
        The time [s].

    Equation:
        T = f_1 f_2 (T_fixed + T_up + T_down + 2 bytes (r h p_r + b k min(G / ep, 1) (h p_p + w p_w)) / B)

    Validity:
        Timed for 1 to 65,536 tokens, hidden 2,048 to 8,192, 8 to 512 gated experts, ep to 256; others by the closed form.

    Sources:
        [aiconfigurator-2026] timings behind coefficients and tables.

    Example:
        >>> 3 * 4096 * 1536 * 8  # parameters that one token of 8 gated experts of width 1536 multiplies with
        150994944
    """
    closed = moe_closed_s(tokens, hidden, expert_ffn, topk, experts, ep, etp, gated, imbalance, args)
    rows = max(tokens * topk / ep, 1.0)
    local = max(experts / ep, 1.0)
    width = expert_ffn / etp
    by_experts = correction(octave(rows), octave(local), octave(hidden * width), args.residual)
    by_width = correction(octave(max(tokens * topk / experts, 2.0**-8)), octave(hidden), octave(width), args.residual_width)
    return closed * by_experts * by_width
