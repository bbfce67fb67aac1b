"""What a part of a pipeline costs on one kind of chip, per layer and per micro-batch, for pipelines over unlike chips."""

from __future__ import annotations

from typing import NamedTuple

from suanzhang.jit import formula
from suanzhang.perf.args import OperatorArgs
from suanzhang.perf.training.activations import tokens_per_micro_batch
from suanzhang.perf.training.args import Coefficients, LayoutArgs, RunArgs, ShapeArgs
from suanzhang.perf.training.head import head_times
from suanzhang.perf.training.layer import mixed_layer_times
from suanzhang.perf.training.memory import memory_total, stage_memory
from suanzhang.perf.training.params import dense_layer_params, embedding_params, moe_layer_params, moe_layers, routed_params
from suanzhang.perf.training.step import layer_total_s, stage_message_s


class PartTimes(NamedTuple):
    """Times and sizes of a part of a pipeline.

    Fields: ``layer`` one layer, all passes, ``first`` and ``last`` what the embedding and the head add, ``message`` one
    micro-batch to the next stage [s]; ``size`` of that message [bytes]; ``plain`` and ``routed`` parameters of one layer on a
    chip, outside and inside the routed experts, ``embedding`` those of the embedding.
    """

    layer: float
    first: float
    last: float
    message: float
    size: float
    plain: float
    routed: float
    embedding: float


class MemoryLines(NamedTuple):
    """Memory of an inner stage as a + b q + c f + d q f, q layers and f micro-batches in flight, and what ends add [bytes]."""

    fixed: float
    layer: float
    flight: float
    layer_flight: float
    first: float
    last: float


@formula
def part_times(
    shape: ShapeArgs,
    run: RunArgs,
    layout: LayoutArgs,
    ops: OperatorArgs,
    ops16: OperatorArgs,
    fit: Coefficients,
    share: float,
) -> PartTimes:
    """Times and sizes of a part of a pipeline; dense and mixture layers count by their share.

    Model:    the formulas of the step, per layer.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout of the part; its stages do not matter.
        ops, ops16: the operators of the chip at the dtype of the products and in 16 bit.
        fit: fitted coefficients.
        share: share of the layers recomputed in full.

    Returns:
        Times [s] and sizes.

    Equation: (1 - x) t_dense + x t_mixture, x the share of mixtures.

    Validity: layers spread evenly over kinds.

    Sources:  [narayanan2021].
    """
    ends = head_times(shape, run, layout, ops16, fit)
    mixtures = moe_layers(shape) / shape.layers
    one = mixed_layer_times(shape, run, layout, ops, ops16, fit, 0.0)
    layer = (1.0 - mixtures) * layer_total_s(one, layout, run, share)
    plain, routed = (1.0 - mixtures) * dense_layer_params(shape, layout), 0.0
    if mixtures > 0.0:
        one = mixed_layer_times(shape, run, layout, ops, ops16, fit, 1.0)
        layer += mixtures * layer_total_s(one, layout, run, share)
        plain += mixtures * moe_layer_params(shape, layout)
        routed = mixtures * routed_params(shape, layout)
    return PartTimes(
        layer,
        ends.embedding_forward + ends.embedding_backward + 0.5 * ends.head_comm,
        ends.head_forward + ends.head_input + ends.head_weight + 0.5 * ends.head_comm + shape.mtp_layers * layer,
        2.0 * fit.pipeline * stage_message_s(shape, run, layout, ops.link),
        tokens_per_micro_batch(run, layout) * shape.hidden * run.element_bytes,
        plain,
        routed,
        embedding_params(shape, layout),
    )


@formula
def memory_lines(one: ShapeArgs, two: ShapeArgs, run: RunArgs, layout: LayoutArgs) -> MemoryLines:
    """Memory of a stage as lines over its layers and over the micro-batches in flight.

    Model:    memory is a line over each, so that four points give it; the ends are what the first and the last stage hold
              beyond an inner one.

    Args:
        one, two: the model with one and with two layers for each of the eight stages of the layout.
        run: job, stack and chip.
        layout: the layout with eight stages.

    Returns:
        The lines [bytes].

    Equation: M(q, f) = a + b q + c f + d q f.

    Validity: 1F1B, whose stage s of p holds p - s micro-batches.

    Sources:  [korthikanti2022] section 4.2.3.
    """
    c = run.capacity
    a2 = memory_total(stage_memory(one, run, layout, 6.0, 99.0, c))  # two micro-batches in flight
    b2 = memory_total(stage_memory(two, run, layout, 6.0, 99.0, c))
    a3 = memory_total(stage_memory(one, run, layout, 5.0, 99.0, c))  # three
    b3 = memory_total(stage_memory(two, run, layout, 5.0, 99.0, c))
    both = (b3 - a3) - (b2 - a2)
    each = (b2 - a2) - 2.0 * both
    flight = (a3 - a2) - both
    fixed = a2 - each - 2.0 * flight - 2.0 * both
    first = memory_total(stage_memory(one, run, layout, 0.0, 2.0, c)) - a2
    last = memory_total(stage_memory(one, run, layout, 7.0, 99.0, c)) - (fixed + each + flight + both)
    return MemoryLines(fixed, each, flight, both, first, last)
