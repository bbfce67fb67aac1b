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
def stage_layers(shape: ShapeArgs, layout: LayoutArgs, stage: float) -> float:
    """Layers of a pipeline stage.

    Model:    layers are spread evenly; what does not divide goes to the middle stages first, since the first
              stage also holds the embedding and the last one the head. No layer is cut.

    Args:
        shape: the model.
        layout: the layout.
        stage: index of the stage from 0.

    Returns:
        Number of layers.

    Equation: q + 1 on r = L mod p stages, q = floor(L / p) on the others.

    Validity: L >= p.

    Sources:  [megatron-core] options for uneven first and last stages.

    Example:
        >>> from suanzhang.perf.training.examples import EXAMPLE_LAYOUT, GPT3
        >>> stage_layers(GPT3._replace(layers=126.0), EXAMPLE_LAYOUT._replace(pp=16.0), 0.0)
        7.0
    """
    share = math.floor(shape.layers / layout.pp)
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
