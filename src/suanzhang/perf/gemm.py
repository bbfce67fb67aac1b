"""Dense matrix products."""

from __future__ import annotations

import math

from suanzhang.jit import formula
from suanzhang.perf.args import GemmArgs
from suanzhang.perf.residual import correction, octave


@formula
def _tiled_s(
    m: float, n: float, k: float, batch: float, tile_m: float, tile_n: float, flop_s: float, feed_s: float, args: GemmArgs
) -> float:
    """Time of whole waves of one tile size; ``flop_s`` and ``feed_s`` are seconds per FLOP and per byte of one core."""
    waves = batch * math.ceil(m / tile_m) * math.ceil(n / tile_n) / args.sms
    waves += args.wave_weight * (math.ceil(waves) - waves)
    products_s = 2.0 * tile_m * tile_n * (k + args.ramp_k) * flop_s
    operands_s = (tile_m * args.in_bytes + tile_n * args.weight_bytes) * k * feed_s
    return waves * (products_s + operands_s)


@formula
def gemm_closed_s(m: float, n: float, k: float, batch: float, args: GemmArgs) -> float:
    """Time of a batch of dense products by the closed form alone [s]; see :func:`gemm_s`."""
    flop_s = args.sms / (args.peak_flop_per_s * args.efficiency)
    feed_s = args.sms / args.feed_bytes_per_s
    compute_s = _tiled_s(m, n, k, batch, 128.0, 256.0, flop_s, feed_s, args)
    compute_s = min(compute_s, _tiled_s(m, n, k, batch, 128.0, 128.0, flop_s, feed_s, args))
    compute_s = min(compute_s, _tiled_s(m, n, k, batch, 64.0, 128.0, flop_s, feed_s, args))
    compute_s = min(compute_s, _tiled_s(m, n, k, batch, 64.0, 64.0, flop_s, feed_s, args))
    moved = batch * (m * k * args.in_bytes + n * k * args.weight_bytes + m * n * args.out_bytes)
    memory_s = moved / (args.hbm_bytes_per_s * args.hbm_efficiency)
    longer, shorter = max(compute_s, memory_s), min(compute_s, memory_s)
    return args.launch_s + longer + args.exposed * shorter * shorter / longer


@formula
def gemm_s(m: float, n: float, k: float, batch: float, args: GemmArgs) -> float:
    """Time of ``batch`` products of an (m, k) activation with a (k, n) weight on one chip [s]."""
    closed = gemm_closed_s(m, n, k, batch, args)
    return closed * correction(octave(m * batch), octave(n), octave(k), args.residual)


@formula
def gemm_flop(m: float, n: float, k: float, batch: float) -> float:
    """Arithmetic of ``batch`` products [FLOP]: a multiplication and an addition for each of m n k."""
    return 2.0 * batch * m * n * k
