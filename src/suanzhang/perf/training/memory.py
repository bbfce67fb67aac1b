"""Memory of one chip of one pipeline stage, part by part."""

from __future__ import annotations

from suanzhang.jit import formula
from suanzhang.perf.training.activations import (
    dense_layer_bytes,
    layer_input_bytes,
    moe_layer_bytes,
    recomputed_share,
    tokens_per_micro_batch,
)
from suanzhang.perf.training.args import LayoutArgs, MemoryParts, RunArgs, ShapeArgs
from suanzhang.perf.training.params import (
    dense_layer_params,
    embedding_params,
    head_params,
    middle_stage,
    moe_layer_params,
    mtp_params,
    routed_params,
    stage_dense_layers,
    stage_layers,
)
from suanzhang.perf.training.pipeline import in_flight

MOMENTS = 2.0
"""Moments of one parameter that is trained without a master copy; each is kept in the format of the parameter."""


@formula
def sharing_ranks(layout: LayoutArgs) -> float:
    """Data ranks that share what is sharded: all of them, or a group.

    Sources:  [zero2020].
    """
    ranks = layout.dp * layout.cp
    return min(layout.shard_ranks, ranks) if layout.shard_ranks > 0.0 else ranks


@formula
def state_bytes(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, stage: float) -> MemoryParts:
    """Weights, gradients and optimizer states of one chip of one stage [bytes].

    Model:    dense parameters are sharded over the data and context ranks by the ZeRO stage, routed experts over the
              data ranks that hold the same experts. With frozen weights only the adapters have gradients and states, and
              the ends of the model where those are trained too, in a copy of their own; 4-bit formats spare the ends.
              Products in 8 and 4 bit convert the layer at work; copies that are kept between micro-batches stand in the place
              of the weights, or beside them, with their scales. Under stage 3 two layers are gathered at a time; a pipeline
              keeps what it gathered, and whole gradients, through the step.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.
        stage: index of the pipeline stage.

    Returns:
        The parts; activations, logits and reserve are zero here.

    Equation: P (w + g + o) with w / d at ZeRO 3, g / d at ZeRO >= 2, o / d at ZeRO >= 1; d = dp cp.

    Validity: any layout; see [zero2020] table 1.

    Sources:  [zero2020] section 3.

    Example:
        >>> from suanzhang.perf.training.examples import EXAMPLE_LAYOUT, EXAMPLE_RUN, GPT3
        >>> parts = state_bytes(GPT3, EXAMPLE_RUN, EXAMPLE_LAYOUT._replace(zero=0.0), 1.0)
        >>> round(parts.optimizer / parts.weights, 6)
        6.0
    """
    layers = stage_layers(shape, layout, stage)
    dense = stage_dense_layers(shape, layout, stage)
    mixture = layers - dense
    dense_one = dense_layer_params(shape, layout)
    mixture_one = moe_layer_params(shape, layout) if mixture > 0.0 else 0.0
    plain = dense * dense_one + mixture * mixture_one
    if stage == 0.0:
        plain += embedding_params(shape, layout)
    if stage == layout.pp - 1.0:
        further, further_routed = mtp_params(shape, layout)
        plain += head_params(shape, layout) + further
    routed_one = routed_params(shape, layout) if shape.experts > 0.0 else 0.0
    routed = mixture * routed_one
    if stage == layout.pp - 1.0:
        routed += further_routed
    ranks = sharing_ranks(layout)
    expert_ranks = min(ranks, max(1.0, layout.dp * layout.cp * layout.tp / (layout.ep * layout.etp)))
    copies = 2.0 if layout.schedule == 4.0 else 1.0
    weight_plain = 1.0 / ranks if layout.zero >= 3.0 else 1.0
    kept = 1.0 if layout.zero >= 3.0 and layout.pp > 1.0 else 0.0
    weight_routed = 1.0 / expert_ranks if layout.zero >= 3.0 else 1.0
    weights = copies * (plain * weight_plain + routed * weight_routed)
    trained, ends = 1.0, 0.0
    buffers = 0.0
    if run.frozen > 0.0:
        ends = embedding_params(shape, layout) if stage == 0.0 else 0.0
        if stage == layout.pp - 1.0:
            ends += head_params(shape, layout)
        ends *= weight_plain
        weight_bytes = (weights - copies * ends) * run.frozen_bytes + copies * ends * max(run.frozen_bytes, run.element_bytes)
        trained = adapter_share(shape, run)
        weight_bytes += weights * trained * run.param_bytes
    else:
        weight_bytes = weights * run.param_bytes
    if layout.zero >= 3.0:
        biggest = max(dense_one, mixture_one + routed_one)
        if stage == 0.0:
            biggest = max(biggest, embedding_params(shape, layout))
        buffers = 2.0 * biggest * run.element_bytes
    if kept > 0.0:
        buffers = (plain + routed) * (run.element_bytes + trained * run.grad_bytes)
    grad_plain = 1.0 / ranks if layout.zero >= 2.0 else 1.0
    grad_routed = 1.0 / expert_ranks if layout.zero >= 2.0 else 1.0
    gradients = trained * (plain * grad_plain + routed * grad_routed) * run.grad_bytes
    if layout.zero >= 2.0:
        buffers += trained * max(dense_one, mixture_one + routed_one) * run.element_bytes
    state_plain = 1.0 / ranks if layout.zero >= 1.0 else 1.0
    state_routed = 1.0 / expert_ranks if layout.zero >= 1.0 else 1.0
    optimizer = trained * (plain * state_plain + routed * state_routed) * run.optimizer_bytes
    if run.trained_ends > 0.0:
        weight_bytes += ends * run.param_bytes
        gradients += ends * run.grad_bytes
        optimizer += ends * MOMENTS * run.param_bytes * state_plain
    if run.ends_state_bytes > 0.0 and run.frozen <= 0.0:
        whole_ends = embedding_params(shape, layout) if stage == 0.0 else 0.0
        if stage == layout.pp - 1.0:
            whole_ends += head_params(shape, layout)
        optimizer += whole_ends * run.ends_state_bytes * state_plain
    if layout.offload_optimizer > 0.0:
        optimizer = 0.0
    if run.quantized > 0.0:
        buffers += 2.0 * max(dense_one, mixture_one + routed_one) * run.gemm_bytes
        if run.frozen <= 0.0 and layout.zero < 3.0:
            in_layers = dense * dense_one + mixture * (mixture_one + routed_one)
            buffers += copies * (1.0 - run.wide_share) * in_layers * run.copy_bytes
    return MemoryParts(weight_bytes, gradients, optimizer, 0.0, 0.0, buffers, 0.0)


@formula
def adapter_share(shape: ShapeArgs, run: RunArgs) -> float:
    """Parameters of low-rank adapters on all projections over the parameters they adapt.

    Sources:  [derived] parameters of the adapters over those of the model.
    """
    per_layer = run.lora_rank * (
        2.0 * shape.hidden
        + 2.0 * shape.heads * shape.qk_dim
        + 2.0 * (shape.hidden + shape.kv_heads * shape.v_dim)
        + shape.matrices * (shape.hidden + shape.ffn)
    )
    return per_layer / (shape.attention_params + shape.matrices * shape.hidden * shape.ffn)


@formula
def logits_bytes(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs) -> float:
    """Logits, their 32-bit copy and their gradient on the last stage, for one micro-batch [bytes].

    Model:    the product of the head in the activation format, the loss in 32 bits beside it unless it is fused,
              and the gradient; a tiled loss keeps the logits of one tile only. Each extra prediction layer has logits of its
              own.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.

    Returns:
        Bytes on one chip of the last stage.

    Equation: T V / t l, l bytes per logit (8 plain, 14 with two 32-bit copies); T V / t (e + 2) when the loss is fused.

    Validity: vocabulary split over the tensor group.

    Sources:  [megatron-core] vocabulary-parallel cross entropy.
    """
    per_value = run.element_bytes + 2.0 if run.fused_loss > 0.0 else run.loss_bytes
    tokens = tokens_per_micro_batch(run, layout)
    if run.loss_tokens > 0.0:
        tokens = min(tokens, run.loss_tokens)
    return (1.0 + shape.mtp_layers) * tokens * shape.vocab / layout.tp * per_value


@formula
def activation_bytes(
    shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, stage: float, micro_batches: float, imbalance: float
) -> float:
    """Activations that one chip of a stage holds at its fullest moment [bytes].

    Model:    kept activations of every micro-batch in flight, and the working set of the one layer being recomputed: what it
              keeps and the gradients of that. Under sequence parallelism also the input of a product, gathered whole, and its
              gradient, whole until it is scattered.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.
        stage: index of the pipeline stage.
        micro_batches: micro-batches of one step.
        imbalance: tokens of the fullest expert rank over the mean.

    Returns:
        Bytes.

    Equation: n_flight (sum over layers of kept bytes) + working set + 2 s b h e under sequence parallelism.

    Validity: all schedules of :func:`in_flight`.

    Sources:  [korthikanti2022].
    """
    layers = stage_layers(shape, layout, stage)
    dense = stage_dense_layers(shape, layout, stage)
    mixture = layers - dense
    dense_one = dense_layer_bytes(shape, run, layout)
    mixture_one = moe_layer_bytes(shape, run, layout, imbalance) if mixture > 0.0 else 0.0
    share = recomputed_share(layout, layers)
    kept = (1.0 - share) * (dense * dense_one + mixture * mixture_one) + share * layers * layer_input_bytes(shape, run, layout)
    if shape.mtp_layers > 0.0 and stage == layout.pp - 1.0:
        one = moe_layer_bytes(shape, run, layout, imbalance) if shape.experts > 0.0 else dense_one
        kept += shape.mtp_layers * ((1.0 - share) * one + share * layer_input_bytes(shape, run, layout))
    if layout.offload_activations > 0.0:
        kept = 0.0
    flight = in_flight(layout.schedule, layout.pp, layout.vpp, micro_batches, stage)
    working = max(dense_one if dense > 0.0 else 0.0, mixture_one)
    transient = working * (2.0 if share > 0.0 or layout.offload_activations > 0.0 else 0.25)
    if layout.tp > 1.0 and layout.sp > 0.0:
        transient += 2.0 * tokens_per_micro_batch(run, layout) * shape.hidden * run.element_bytes
    return kept * flight + transient


@formula
def exchange_bytes(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs) -> float:
    """Queries, keys and values of one layer as sent, beside those received, where context ranks exchange heads [bytes].

    Sources:  [zero2020].
    """
    if layout.cp <= 1.0 or layout.cp_a2a <= 0.0:
        return 0.0
    kv_heads = shape.kv_heads if shape.kv_lora <= 0.0 else shape.heads
    columns = shape.heads * shape.qk_dim + kv_heads * (shape.qk_dim + shape.v_dim)
    return tokens_per_micro_batch(run, layout) * run.element_bytes * columns / layout.tp


@formula
def stage_memory(
    shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, stage: float, micro_batches: float, imbalance: float
) -> MemoryParts:
    """Memory of one chip of one pipeline stage by part [bytes].

    Model:    states, activations in flight, logits on the last stage, gather buffers, and a reserve: the driver,
              libraries and communication buffers plus what the allocator cannot use again. Software that builds the
              whole model on each chip before it shards it needs room for both at the start.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.
        stage: index of the pipeline stage.
        micro_batches: micro-batches of one step.
        imbalance: tokens of the fullest expert rank over the mean.

    Returns:
        The parts; the memory is their sum.

    Equation: reserve = context + fragmentation x (activations + logits + buffers).

    Validity: see docs/accuracy.

    Sources:  [korthikanti2022]; [zero2020].
    """
    states = state_bytes(shape, run, layout, stage)
    kept = activation_bytes(shape, run, layout, stage, micro_batches, imbalance)
    logits = logits_bytes(shape, run, layout) if stage == layout.pp - 1.0 else 0.0
    reserve = run.reserve_bytes + run.fragmentation * (kept + logits + states.buffers)
    buffers = states.buffers + exchange_bytes(shape, run, layout)
    if run.whole_init > 0.0 and layout.zero >= 3.0:
        whole = states.weights * (1.0 + sharing_ranks(layout))
        running = states.weights + states.gradients + states.optimizer + kept + logits + buffers
        buffers += max(0.0, whole - running)
    return MemoryParts(states.weights, states.gradients, states.optimizer, kept, logits, buffers, reserve)


@formula
def memory_total(parts: MemoryParts) -> float:
    """Sum of the parts [bytes].

    Sources:  [derived] the sum of the parts.
    """
    return parts.weights + parts.gradients + parts.optimizer + parts.activations + parts.logits + parts.buffers + parts.reserve


@formula
def fullest_stage_bytes(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, micro_batches: float, imbalance: float) -> float:
    """Memory of the fullest chip of all stages [bytes].

    Model:    the first stage holds the embedding and the most micro-batches, the second the most layers among those
              with nearly as many (or the first without the dense layers that a mixture begins with), the last the head and the
              logits; one of them is the fullest.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.
        micro_batches: micro-batches of one step.
        imbalance: tokens of the fullest expert rank over the mean.

    Returns:
        Bytes.

    Equation: max over stages of the sum of parts.

    Validity: schedules whose micro-batches in flight do not grow along the pipeline.

    Sources:  [korthikanti2022] section 4.2.3.
    """
    most = memory_total(stage_memory(shape, run, layout, 0.0, micro_batches, imbalance))
    if layout.pp > 1.0:
        last = memory_total(stage_memory(shape, run, layout, layout.pp - 1.0, micro_batches, imbalance))
        most = max(most, last)
    if layout.pp > 2.0:
        second = memory_total(stage_memory(shape, run, layout, 1.0, micro_batches, imbalance))
        most = max(most, second)
        middle = middle_stage(shape, layout)
        if middle > 1.0:
            most = max(most, memory_total(stage_memory(shape, run, layout, middle, micro_batches, imbalance)))
    return most
