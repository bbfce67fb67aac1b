"""Time of the embedding and of the output head with its loss, for one micro-batch on one chip."""

from __future__ import annotations

from suanzhang.jit import formula
from suanzhang.perf.args import OperatorArgs
from suanzhang.perf.collectives import allreduce_s
from suanzhang.perf.elementwise import memory_bound_s
from suanzhang.perf.training.activations import tokens_per_micro_batch
from suanzhang.perf.training.args import Coefficients, HeadTimes, LayoutArgs, RunArgs, ShapeArgs
from suanzhang.perf.training.layer import ranks_per_node, three_products


@formula
def head_times(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, ops: OperatorArgs, fit: Coefficients) -> HeadTimes:
    """Time of the embedding and of the output head for one micro-batch [s].

    Model:    the embedding reads and writes rows; the head is a product over the vocabulary (split over the tensor
              group) in 16 bit, and a loss that passes over the logits in 32 bit; extra prediction layers add a head
              each, and the projection of the state and the next embedding together. The tensor group sums the embedding and the
              loss.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.
        ops: the operators of the chip in 16 bit.
        fit: fitted coefficients.

    Returns:
        The parts.

    Equation: product of T x V / t x h in three passes; loss traffic T V / t (e + 12) forward, half fused.

    Validity: see docs/accuracy.

    Sources:  [megatron2019] section 3.
    """
    tokens = tokens_per_micro_batch(run, layout)
    heads = 1.0 + shape.mtp_layers
    columns = shape.vocab / layout.tp
    forward, by_input, by_weight = three_products(tokens, columns, shape.hidden, ops.gemm)
    per_value = run.element_bytes + (4.0 if run.fused_loss > 0.0 else 12.0)
    loss = memory_bound_s(tokens * columns * per_value, ops.memory)
    rows = memory_bound_s(3.0 * tokens * shape.hidden * run.element_bytes, ops.memory)
    comm = 0.0
    if layout.tp > 1.0:
        near = ranks_per_node(layout.tp, 1.0, run.domain)
        size = tokens * shape.hidden * run.element_bytes
        comm = fit.tensor * allreduce_s(size, near, layout.tp / near, ops.link)
    join_f, join_i, join_w = 0.0, 0.0, 0.0
    if shape.mtp_layers > 0.0:
        join_f, join_i, join_w = three_products(tokens, shape.hidden / layout.tp, 2.0 * shape.hidden, ops.gemm)
    if run.frozen > 0.0:
        by_weight, join_w = 0.0, 0.0
    again = shape.mtp_layers * fit.gemm
    return HeadTimes(
        rows,
        2.0 * rows,
        heads * (forward * fit.gemm + loss) + again * join_f,
        heads * (by_input * fit.gemm + 0.5 * loss) + again * join_i,
        heads * by_weight * fit.gemm + again * join_w,
        heads * comm,
    )
