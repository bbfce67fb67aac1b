"""Dense matrix products."""

from __future__ import annotations

import math

from suanzhang.jit import formula
from suanzhang.perf.args import GemmArgs
from suanzhang.perf.residual import correction, octave
from suanzhang.perf.warm import memory_share


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
    """Time of a batch of dense products by the closed form alone.

    Model:
        As :func:`gemm_s`, without the measured table.

    Args:
        m, n, k: rows of the activation, columns of the weight, depth [1], above 0.
        batch: independent products of this shape [1].
        args: chip, dtype and software.

    Returns:
        The time [s].

    Equation:
        T = T_launch + max(T_c, T_m) + x min(T_c, T_m)^2 / max(T_c, T_m), T_c and T_m as in gemm_s

    Validity:
        Any shape; see :func:`gemm_s`.

    Sources:
        [williams-2009-roofline] the two limits; [aiconfigurator-2026] the timings behind the coefficients.

    Example:
        >>> from suanzhang.perf.args import GemmArgs, no_residual
        >>> chip = GemmArgs(1e30, 1e12, 100.0, 2.0, 2.0, 2.0, 1.0, 1.0, 0.0, 5e-6, 0.0, 1e30, 0.0, no_residual(), no_residual())
        >>> round(gemm_closed_s(1.0, 1000.0, 500.0, 1.0, chip) * 1e6, 3)  # 1 MB of weights at 1 TB/s, and 5 us
        6.003
    """
    flop_s = args.sms / (args.peak_flop_per_s * args.efficiency)
    feed_s = args.sms / args.feed_bytes_per_s
    compute_s = _tiled_s(m, n, k, batch, 128.0, 256.0, flop_s, feed_s, args)
    compute_s = min(compute_s, _tiled_s(m, n, k, batch, 128.0, 128.0, flop_s, feed_s, args))
    compute_s = min(compute_s, _tiled_s(m, n, k, batch, 64.0, 128.0, flop_s, feed_s, args))
    compute_s = min(compute_s, _tiled_s(m, n, k, batch, 16.0, 64.0, flop_s, feed_s, args))
    moved = batch * (m * k * args.in_bytes + n * k * args.weight_bytes + m * n * args.out_bytes)
    read = memory_share(moved, args.l2_bytes, args.l2_gain)
    memory_s = moved * read / (args.hbm_bytes_per_s * args.hbm_efficiency)
    longer, shorter = max(compute_s, memory_s), min(compute_s, memory_s)
    return args.launch_s + longer + args.exposed * shorter * shorter / longer


@formula
def gemm_s(m: float, n: float, k: float, batch: float, args: GemmArgs) -> float:
    """Time of ``batch`` products of an (m, k) activation with a (k, n) weight on one chip.

    Model:
        Output tiles run in waves over the cores; each tile costs its products, a fixed start and end worth ``ramp_k`` of
        depth, and its operands out of the on-chip cache; the best of four tile sizes counts. Memory traffic of both
        operands and the result runs beside it; of the shorter of the two a fitted share shows. Left out: kernels chosen
        badly by the library, clocks that fall under power limits (both are in the fitted tables where it was measured: one
        over the sizes, one over how many waves of the most used tile there are and how full the last one is).

    Args:
        m: rows of the activation, tokens [1], above 0.
        n: columns of the weight [1], above 0.
        k: depth [1], above 0.
        batch: independent products of this shape [1].
        args: chip, dtype and software.

    Returns:
        The time [s].

    Equation:
        T = f(m, n, k) g(w, w / ceil(w), k) (T_launch + max(T_c, T_m) + x min(T_c, T_m)^2 / max(T_c, T_m))
        T_c = min over tiles of W (2 t_m t_n (k + k_0) S / (P e) + (t_m b_a + t_n b_w) k S / F), W = waves of the tile,
        w = gemm_waves
        T_m = r (m k b_a + n k b_w + m n b_o) / (B e_B), r as in memory_share, 1 in a running model

    Validity:
        m 1 to 32,768, n and k 32 to 65,536 where timed; outside the closed form alone. Never faster with more work by
        the closed form, never slower with more peak or bandwidth.

    Sources:
        [aiconfigurator-2026] timings behind coefficients and tables; [williams-2009-roofline] the two limits.

    Example:
        >>> from suanzhang.perf.args import GemmArgs, no_residual
        >>> chip = GemmArgs(1e15, 1e12, 100.0, 2.0, 2.0, 2.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1e30, 0.0, no_residual(), no_residual())
        >>> round(gemm_s(25600.0, 256.0, 1000.0, 1.0, chip) * 1e6, 3)
        64.819
    """
    closed = gemm_closed_s(m, n, k, batch, args)
    waves = gemm_waves(m, n, batch, args.sms)
    by_size = correction(octave(m * batch), octave(n), octave(k), args.residual)
    by_wave = correction(octave(waves), waves / math.ceil(waves), octave(k), args.residual_waves)
    return closed * by_size * by_wave


@formula
def gemm_waves(m: float, n: float, batch: float, sms: float) -> float:
    """How often the cores take a tile each, for the tile that libraries use most in large products.

    Model:
        Tiles of 128 rows and 256 columns of the result, spread evenly over the cores.

    Args:
        m: rows of the activation [1], above 0.
        n: columns of the weight [1], above 0.
        batch: independent products of this shape [1].
        sms: cores that take one tile at a time [1].

    Returns:
        The waves, the last one counted by its share [1].

    Equation:
        w = b ceil(m / 128) ceil(n / 256) / S

    Validity:
        Any shape; other tiles of the same area fill their waves alike.

    Sources:
        [aiconfigurator-2026] of the tiles that libraries use, the one whose waves explain most of what sizes leave.

    Example:
        >>> gemm_waves(4096.0, 4096.0, 1.0, 128.0)
        4.0
    """
    return batch * math.ceil(m / 128.0) * math.ceil(n / 256.0) / sms


@formula
def gemm_flop(m: float, n: float, k: float, batch: float) -> float:
    """Arithmetic of ``batch`` dense products.

    Model:
        A multiplication and an addition for each of m n k; what tiles pad is left out.

    Args:
        m, n, k: rows of the activation, columns of the weight, depth [1].
        batch: independent products of this shape [1].

    Returns:
        The work [FLOP].

    Equation:
        W = 2 b m n k

    Validity:
        Any shape.

    Sources:
        [williams-2009-roofline] work against bytes.

    Example:
        >>> gemm_flop(2.0, 3.0, 4.0, 1.0)
        48.0
    """
    return 2.0 * batch * m * n * k
