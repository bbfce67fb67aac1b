"""Dense matrix products."""

from __future__ import annotations

import math

from suanzhang.jit import formula
from suanzhang.perf.args import GemmArgs
from suanzhang.perf.residual import correction


@formula
def gemm_closed_s(m: float, n: float, k: float, batch: float, args: GemmArgs) -> float:
    """Time of a batch of dense products by the closed form alone (see :func:`gemm_s`)."""
    tiles = batch * max(m / args.tile, 1.0) * max(n / args.tile, 1.0)
    waves = tiles / args.sms
    idle = args.wave_weight * (math.ceil(waves) - waves)
    rows = batch * max(m, 16.0)
    flop = 2.0 * rows * n * k * (1.0 + args.ramp_k / k) * (1.0 + idle / waves)
    compute_s = flop / (args.peak_flop_per_s * args.efficiency)
    moved = batch * (m * k * args.in_bytes + n * k * args.weight_bytes + m * n * args.out_bytes)
    memory_s = (moved + args.stream_bytes) / (args.hbm_bytes_per_s * args.hbm_efficiency)
    p = args.sharpness
    return args.launch_s + (compute_s**p + memory_s**p) ** (1.0 / p)


@formula
def gemm_s(m: float, n: float, k: float, batch: float, args: GemmArgs) -> float:
    """Time of ``batch`` products of an (m, k) activation with a (k, n) weight on one chip [s]."""
    closed = gemm_closed_s(m, n, k, batch, args)
    return closed * correction(math.log2(m * batch), math.log2(n), math.log2(k), args.residual)


@formula
def gemm_flop(m: float, n: float, k: float, batch: float) -> float:
    """Arithmetic of ``batch`` products [FLOP]: a multiplication and an addition for each of m n k."""
    return 2.0 * batch * m * n * k
