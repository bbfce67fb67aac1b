"""Orthogonalised momentum: what Muon computes for each matrix beyond what its kin with a moment per parameter do."""

from __future__ import annotations

from suanzhang.jit import formula
from suanzhang.perf.args import OperatorArgs
from suanzhang.perf.gemm import gemm_s
from suanzhang.perf.training.args import NewtonTimes, ShapeArgs

NEWTON_STEPS = 5.0
"""Iterations of Newton and Schulz per step ([muon2024], [moonlight2025] section 2)."""


@formula
def newton_schulz_s(rows: float, columns: float, ops: OperatorArgs) -> float:
    """Time to orthogonalise the momentum of one whole matrix on one chip [s].

    Model:    five iterations of three products in 16 bit, on the matrix or its transpose, whichever has fewer rows. Left out:
              the norm at the start, the sums between the products (the library adds them to the products), and the use of
              symmetry of the first two products.

    Args:
        rows, columns: of the matrix, in any order [1].
        ops: operators of the chip in 16 bit.

    Returns:
        Time [s].

    Equation: 5 (t(m, m, n) + t(m, m, m) + t(m, n, m)) with m <= n: A = X X', B = b A + c A A, X = a X + B X;
              5 (4 m^2 n + 2 m^3) operations.

    Validity: matrices that one chip holds whole.

    Sources:  [muon2024]; [moonlight2025] section 2.

    Example:
        >>> from suanzhang.app.physics import operator_args
        >>> from suanzhang.catalog.chips import chip
        >>> ops = operator_args(chip("h100-sxm-80"), "bf16")
        >>> 0.005 < newton_schulz_s(8192.0, 28672.0, ops) < 0.1
        True
    """
    m, n = min(rows, columns), max(rows, columns)
    gram = gemm_s(m, m, n, 1.0, ops.gemm)
    square = gemm_s(m, m, m, 1.0, ops.gemm)
    product = gemm_s(m, n, m, 1.0, ops.gemm)
    return NEWTON_STEPS * (gram + square + product)


@formula
def newton_times(shape: ShapeArgs, ops: OperatorArgs) -> NewtonTimes:
    """Time to orthogonalise all matrices of one layer of each kind on one chip, and the slowest single matrix [s].

    Model:    projections of the attention one by one, the matrices of the feed-forward, shared and routed experts. Embedding,
              head, norms and the router keep moments per parameter.

    Args:
        shape: the model.
        ops: operators of the chip in 16 bit.

    Returns:
        Times of a dense layer, of a mixture layer without its routed experts, of those, and of the slowest matrix.

    Equation: sum of :func:`newton_schulz_s` over the matrices.

    Validity: whole matrices, worked on by one owner each.

    Sources:  [moonlight2025] section 2.3.
    """
    hidden = shape.hidden
    if shape.kv_lora > 0.0:
        head = shape.heads * shape.qk_dim
        if shape.q_lora > 0.0:
            attention = newton_schulz_s(hidden, shape.q_lora, ops) + newton_schulz_s(shape.q_lora, head, ops)
            slowest = newton_schulz_s(shape.q_lora, head, ops)
        else:
            attention = newton_schulz_s(hidden, head, ops)
            slowest = attention
        attention += newton_schulz_s(hidden, shape.kv_lora + shape.rope_dim, ops)
        attention += newton_schulz_s(shape.kv_lora, shape.heads * (shape.qk_dim - shape.rope_dim + shape.v_dim), ops)
    else:
        slowest = newton_schulz_s(hidden, shape.heads * shape.qk_dim, ops)
        attention = slowest + newton_schulz_s(hidden, shape.kv_heads * shape.qk_dim, ops)
        attention += newton_schulz_s(hidden, shape.kv_heads * shape.v_dim, ops)
    out = newton_schulz_s(shape.heads * shape.v_dim, hidden, ops)
    attention += out
    slowest = max(slowest, out)
    dense, mixture, routed = attention, attention, 0.0
    if shape.ffn > 0.0:
        one = newton_schulz_s(hidden, shape.ffn, ops)
        dense += shape.matrices * one
        slowest = max(slowest, one)
    if shape.shared_ffn > 0.0:
        mixture += shape.matrices * newton_schulz_s(hidden, shape.shared_ffn, ops)
    if shape.experts > 0.0:
        one = newton_schulz_s(hidden, shape.expert_ffn, ops)
        routed = shape.experts * shape.matrices * one
        slowest = max(slowest, one)
    return NewtonTimes(dense, mixture, routed, slowest)
