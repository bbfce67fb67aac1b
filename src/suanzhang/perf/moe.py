"""Grouped products of a mixture of experts."""

from __future__ import annotations

from suanzhang.jit import formula
from suanzhang.perf.args import MoeArgs
from suanzhang.perf.residual import correction, octave


@formula
def distinct_experts(rows: float, experts: float) -> float:
    """Expected distinct experts out of ``experts`` that ``rows`` evenly drawn token-expert pairs touch [1]."""
    return experts * (1.0 - (1.0 - 1.0 / experts) ** rows) if experts > 1.0 else min(rows, 1.0)


@formula
def grouped_gemm_s(rows: float, experts_local: float, n: float, k: float, imbalance: float, args: MoeArgs) -> float:
    """Time of one grouped product: ``rows`` token-expert pairs of this chip over its experts' (k, n) weights [s].

    ``imbalance`` is the load of the fullest chip over the mean (1 for a balanced one).
    """
    g = args.gemm
    rows_here = rows * imbalance
    touched = distinct_experts(rows_here, experts_local)
    per_expert = rows_here / touched
    padded = touched * max(per_expert + 0.5 * args.tile_m, args.tile_m)
    compute_s = 2.0 * padded * n * k * (1.0 + g.ramp_k / k) / (g.peak_flop_per_s * args.efficiency)
    moved = touched * n * k * g.weight_bytes + rows_here * (k * g.in_bytes + n * g.out_bytes)
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
    """Time of the routed experts of one layer by the closed form alone [s]; see :func:`moe_ffn_s`."""
    rows = tokens * topk / ep
    local = max(experts / ep, 1.0)
    width = expert_ffn / etp
    up = grouped_gemm_s(rows, local, width * (2.0 if gated > 0.0 else 1.0), hidden, imbalance, args)
    down = grouped_gemm_s(rows, local, hidden, width, imbalance, args)
    return args.fixed_s + rows * imbalance * args.row_s + up + down


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
    """Time of the routed experts of one layer on one chip: sort, up, activate, down, combine [s].

    ``tokens`` are those of the whole expert-parallel group of ``ep`` chips; ``etp`` splits the width of each expert.
    """
    closed = moe_closed_s(tokens, hidden, expert_ffn, topk, experts, ep, etp, gated, imbalance, args)
    rows = max(tokens * topk / ep, 1.0)
    local = max(experts / ep, 1.0)
    width = expert_ffn / etp
    by_experts = correction(octave(rows), octave(local), octave(hidden * width), args.residual)
    by_width = correction(octave(rows / local), octave(hidden), octave(width), args.residual_width)
    return closed * by_experts * by_width
