"""How many parameters one chip holds, by kind of layer."""

from __future__ import annotations

import math

from suanzhang.jit import formula
from suanzhang.perf.training.args import LayoutArgs, ShapeArgs


@formula
def expert_params(shape: ShapeArgs) -> float:
    """Parameters of one routed expert of one layer.

    Sources:  [derived] counted from the shape of the model and the cut into stages.
    """
    return shape.matrices * shape.hidden * shape.expert_ffn


@formula
def moe_layers(shape: ShapeArgs) -> float:
    """Layers with a mixture of experts.

    Sources:  [derived] counted from the shape of the model and the cut into stages.
    """
    if shape.experts <= 0.0:
        return 0.0
    return math.floor((shape.layers - shape.dense_layers) / shape.moe_every)


@formula
def dense_layer_params(shape: ShapeArgs, layout: LayoutArgs) -> float:
    """Parameters of one dense layer that one chip of the tensor group holds (two norms are kept whole).

    Sources:  [derived] counted from the shape of the model and the cut into stages.
    """
    ffn = shape.matrices * shape.hidden * shape.ffn
    return (shape.attention_params + ffn) / layout.tp + 2.0 * shape.hidden


@formula
def moe_layer_params(shape: ShapeArgs, layout: LayoutArgs) -> float:
    """Parameters of one mixture layer of one chip without its routed experts: attention, shared experts, router.

    Sources:  [derived] counted from the shape of the model and the cut into stages.
    """
    shared = shape.matrices * shape.hidden * shape.shared_ffn
    return (shape.attention_params + shared) / layout.tp + shape.hidden * shape.experts + 2.0 * shape.hidden


@formula
def routed_params(shape: ShapeArgs, layout: LayoutArgs) -> float:
    """Parameters of the routed experts of one mixture layer that one chip holds.

    Sources:  [derived] counted from the shape of the model and the cut into stages.
    """
    return shape.experts / layout.ep * expert_params(shape) / layout.etp


@formula
def embedding_params(shape: ShapeArgs, layout: LayoutArgs) -> float:
    """Rows of the embedding table that one chip of the first stage holds (vocabulary split over the tensor group).

    Sources:  [derived] counted from the shape of the model and the cut into stages.
    """
    return shape.vocab * shape.hidden / layout.tp + shape.positions * shape.hidden


@formula
def head_params(shape: ShapeArgs, layout: LayoutArgs) -> float:
    """Parameters of the output head of the last stage; a tied head costs nothing unless it is on another stage.

    Sources:  [derived] counted from the shape of the model and the cut into stages.
    """
    if shape.tied > 0.0 and layout.pp <= 1.0:
        return 0.0
    return shape.vocab * shape.hidden / layout.tp


@formula
def head_weight(shape: ShapeArgs) -> float:
    """Arithmetic of the last stage beyond its layers, in layers of the model.

    Model:    the output head, and each extra prediction layer with a head of its own.

    Args:
        shape: the model.

    Returns:
        Layers that cost as much [1].

    Equation: w = (1 + n) V d / P + n, V words, d width, n extra layers, P parameters that a token meets in one layer.

    Validity: heads and layers that reach similar shares of the peak; attention over the sequence is left out.

    Sources:  [derived] counted from the shape of the model.

    Example:
        >>> from suanzhang.perf.training.examples import GPT3
        >>> round(head_weight(GPT3), 2)
        0.35
    """
    width = shape.topk * shape.expert_ffn + shape.shared_ffn if shape.experts > 0.0 else shape.ffn
    layer = shape.attention_params + shape.matrices * shape.hidden * width
    return (1.0 + shape.mtp_layers) * shape.vocab * shape.hidden / layer + shape.mtp_layers


@formula
def layers_for_head(shape: ShapeArgs, pp: float) -> float:
    """Layers that the last stage should leave to the others, so that the head holds up none of them.

    Model:    the slowest stage sets the pace. A layer moves where that makes the slowest stage at least a fiftieth lighter.

    Args:
        shape: the model.
        pp: pipeline stages [1].

    Returns:
        Number of layers.

    Equation: the h that makes max(ceil((L - q + h) / (p - 1)), q - h + w) least, q = floor(L / p), w the weight of the head.

    Validity: L >= p; layers of equal time.

    Sources:  [megatron-core] options for uneven first and last stages.

    Example:
        >>> from suanzhang.perf.training.examples import GPT3
        >>> layers_for_head(GPT3, 8.0), layers_for_head(GPT3._replace(vocab=250000.0), 12.0)
        (0.0, 1.0)
    """
    if pp <= 1.0:
        return 0.0
    weight = head_weight(shape)
    share = math.floor(shape.layers / pp)
    least = max(share + weight, math.ceil(shape.layers / pp))
    moved, worth = 0.0, 0.02 * least
    for count in range(1, int(share) + 1):
        slowest = max(math.ceil((shape.layers - share + count) / (pp - 1.0)), share - count + weight)
        if slowest < least - worth:
            least, moved = slowest, float(count)
    return moved


@formula
def stage_layers(shape: ShapeArgs, layout: LayoutArgs, stage: float) -> float:
    """Layers of a pipeline stage.

    Model:    layers are spread evenly; what does not divide goes to the middle stages first, since the first
              stage also holds the embedding and the last one the head. The last stage leaves ``head_layers`` of its share to
              the others. No layer is cut.

    Args:
        shape: the model.
        layout: the layout.
        stage: index of the stage from 0.

    Returns:
        Number of layers.

    Equation: q + 1 on r = L mod p stages, q = floor(L / p) on the others; q - h on the last one where it leaves h, and the rest
              evenly on the p - 1 others.

    Validity: L >= p, h <= q.

    Sources:  [megatron-core] options for uneven first and last stages.

    Example:
        >>> from suanzhang.perf.training.examples import EXAMPLE_LAYOUT, GPT3
        >>> stage_layers(GPT3._replace(layers=126.0), EXAMPLE_LAYOUT._replace(pp=16.0), 0.0)
        7.0
        >>> left = EXAMPLE_LAYOUT._replace(pp=16.0, head_layers=2.0)
        >>> [stage_layers(GPT3._replace(layers=61.0), left, stage) for stage in (0.0, 1.0, 15.0)]
        [4.0, 4.0, 1.0]
    """
    share = math.floor(shape.layers / layout.pp)
    if layout.head_layers > 0.0 and layout.pp > 1.0:
        last = share - layout.head_layers
        if stage >= layout.pp - 1.0:
            return last
        others = math.floor((shape.layers - last) / (layout.pp - 1.0))
        return others + 1.0 if 1.0 <= stage <= shape.layers - last - others * (layout.pp - 1.0) else others
    extra = shape.layers - share * layout.pp
    if extra <= layout.pp - 2.0:
        return share + 1.0 if 1.0 <= stage <= extra else share
    return share + 1.0 if stage < layout.pp - 1.0 else share


@formula
def layers_before(shape: ShapeArgs, layout: LayoutArgs, stage: float) -> float:
    """Layers of all stages before one, as :func:`stage_layers` spreads them.

    Sources:  [derived] counted from the shape of the model and the cut into stages.
    """
    share = math.floor(shape.layers / layout.pp)
    if layout.head_layers > 0.0 and layout.pp > 1.0:
        spread = shape.layers - share + layout.head_layers
        others = math.floor(spread / (layout.pp - 1.0))
        return others * stage + min(max(stage - 1.0, 0.0), spread - others * (layout.pp - 1.0))
    extra = shape.layers - share * layout.pp
    if extra <= layout.pp - 2.0:
        return share * stage + min(max(stage - 1.0, 0.0), extra)
    return share * stage + min(stage, extra)


@formula
def middle_stage(shape: ShapeArgs, layout: LayoutArgs) -> float:
    """The first stage after the first one that holds no leading dense layer, or the last but one: the fullest in between.

    Sources:  [derived] counted from the shape of the model and the cut into stages.
    """
    stage = 1.0
    if shape.experts > 0.0:
        while stage < layout.pp - 2.0 and layers_before(shape, layout, stage) < shape.dense_layers:
            stage += 1.0
    return stage


@formula
def mtp_params(shape: ShapeArgs, layout: LayoutArgs) -> tuple[float, float]:
    """Parameters of the extra prediction layers that the last stage holds: outside and inside of the routed experts.

    Each is a layer of the model, as its last one, after a projection of the state and the next embedding together.

    Sources:  [derived] counted from the shape of the model and the cut into stages.
    """
    if shape.mtp_layers <= 0.0:
        return 0.0, 0.0
    join = 2.0 * shape.hidden * shape.hidden / layout.tp
    if shape.experts > 0.0:
        return shape.mtp_layers * (moe_layer_params(shape, layout) + join), shape.mtp_layers * routed_params(shape, layout)
    return shape.mtp_layers * (dense_layer_params(shape, layout) + join), 0.0


@formula
def stage_dense_layers(shape: ShapeArgs, layout: LayoutArgs, stage: float) -> float:
    """Layers of a stage whose feed-forward is dense: the leading ones, and those between mixtures.

    Sources:  [derived] counted from the shape of the model and the cut into stages.
    """
    here = stage_layers(shape, layout, stage)
    if shape.experts <= 0.0:
        return here
    leading = min(here, max(0.0, shape.dense_layers - layers_before(shape, layout, stage)))
    others = here - leading
    return leading + others - math.floor(others / shape.moe_every)
