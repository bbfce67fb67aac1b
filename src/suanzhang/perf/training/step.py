"""Time of one optimizer step of a layout, in named parts."""

from __future__ import annotations

import math

from suanzhang.jit import formula
from suanzhang.perf.args import LinkArgs, MemoryArgs
from suanzhang.perf.collectives import allgather_s, p2p_s
from suanzhang.perf.training.activations import recomputed_share, tokens_per_micro_batch
from suanzhang.perf.training.args import (
    RECOMPUTE_SELECTIVE,
    Coefficients,
    HeadTimes,
    LayerTimes,
    LayoutArgs,
    RunArgs,
    ShapeArgs,
    StepTerms,
    TrafficTimes,
)
from suanzhang.perf.training.layer import ranks_per_node
from suanzhang.perf.training.memory import adapter_share, sharing_ranks
from suanzhang.perf.training.overlap import exposed_s
from suanzhang.perf.training.params import (
    dense_layer_params,
    embedding_params,
    head_params,
    middle_stage,
    moe_layer_params,
    moe_layers,
    mtp_params,
    routed_params,
    stage_dense_layers,
    stage_layers,
)
from suanzhang.perf.training.pipeline import bubble_s
from suanzhang.perf.training.traffic import gradient_comm_s, optimizer_s, parameter_comm_s, ring_latency_s

SMALL_KERNELS = 60.0
"""Kernels of embedding, head, loss and bookkeeping that each micro-batch launches besides the layers."""


@formula
def layer_passes_s(one: LayerTimes, layout: LayoutArgs, run: RunArgs, share: float) -> tuple[float, float]:
    """Forward and backward pass of one micro-batch through one layer, messages included, at least the host time each [s].

    Where the host waits for each kernel, what it loses there is added.

    Sources:  [derived] the parts of a layer, by pass.
    """
    overlap = run.overlap_tp * layout.overlap_tp
    again = recompute_s(one, layout, share)
    forward = one.gemm_forward + one.attention_forward + one.memory_forward + one.context_forward + one.expert_forward
    backward = one.gemm_input + one.gemm_weight + one.attention_backward + one.memory_backward
    backward += one.context_backward + one.expert_backward + again
    forward += (1.0 - overlap) * one.tensor_forward
    backward += (1.0 - overlap) * one.tensor_backward
    host_backward = one.host_backward + share * one.host_forward
    return (
        max(forward, one.host_forward) + run.waits * one.host_forward,
        max(backward, host_backward) + run.waits * host_backward,
    )


@formula
def layer_total_s(one: LayerTimes, layout: LayoutArgs, run: RunArgs, share: float) -> float:
    """One micro-batch through one layer, both passes [s]; see :func:`layer_passes_s`.

    Sources:  [derived] the sum of the passes.
    """
    forward, backward = layer_passes_s(one, layout, run, share)
    return forward + backward


@formula
def recompute_s(one: LayerTimes, layout: LayoutArgs, share: float) -> float:
    """Work done again in the backward pass of one layer, its messages included [s].

    Model:    a layer recomputed in full runs its forward pass again; selective recompute repeats the attention
              scores (unfused kernels) or part of the kernels between the products (flash kernels).

    Args:
        one: times of the layer.
        layout: the layout.
        share: share of the layers recomputed in full.

    Returns:
        Time [s].

    Equation: share x forward, or the selective part.

    Validity: the modes of ``TrainLayout.recompute``.

    Sources:  [korthikanti2022] section 5.
    """
    if layout.recompute == RECOMPUTE_SELECTIVE:
        return one.selective
    whole = one.gemm_forward + one.attention_forward + one.memory_forward
    return share * (whole + one.tensor_forward + one.context_forward + one.expert_forward)


@formula
def stage_total_s(dense: float, mixture: float, dense_s: float, mixture_s: float, ends_s: float) -> float:
    """One micro-batch through one stage [s]: its layers and what its ends add.

    Sources:  [derived] layers of both kinds and the ends of a stage.
    """
    return dense * dense_s + mixture * mixture_s + ends_s


@formula
def data_comm_s(
    shape: ShapeArgs,
    run: RunArgs,
    layout: LayoutArgs,
    link: LinkArgs,
    fit: Coefficients,
    plain: float,
    routed: float,
    micro_batches: float,
    forward_s: float,
    backward_s: float,
    idle_s: float,
) -> float:
    """Exposed traffic of gradients and parameters between data ranks in one step [s].

    Model:    gradients are added up once per step behind the backward pass of the last micro-batch (every
              micro-batch under ZeRO 2 and 3); a sharded optimizer gathers parameters once per step behind the first
              forward pass; under ZeRO 3 every micro-batch gathers them twice, layer by layer, behind both passes, each
              call a ring round all ranks; once per step in a pipeline, whose stages keep what they gathered.
              Routed experts are added up over the data ranks that hold the same experts. Where owners send out what they
              updated one after another, each takes a fixed time and nothing hides it.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.
        link: the links of the chip.
        fit: fitted coefficients.
        plain: parameters of the chip outside the routed experts.
        routed: parameters of its routed experts.
        micro_batches: micro-batches of one step.
        forward_s, backward_s: passes of one micro-batch on the stage, waits for messages and for the host included [s].
        idle_s: idle time of the pipeline, half of which may hide each exchange that happens once per step [s].

    Returns:
        Exposed time [s].

    Equation: see :func:`suanzhang.perf.traffic.exposed_s`.

    Validity: one reduction per step unless sharded gradients force more.

    Sources:  [zero2020] section 7; [fsdp2023].
    """
    if layout.dp * layout.cp <= 1.0:
        return 0.0
    grads, gather = data_messages_s(shape, run, layout, link, fit, plain, routed)
    empty = empty_steps_s(shape, run, layout, link)
    return exposed_data_s(shape, run, layout, fit, micro_batches, forward_s, backward_s, idle_s, grads, gather, empty)


@formula
def data_messages_s(
    shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, link: LinkArgs, fit: Coefficients, plain: float, routed: float
) -> tuple[float, float]:
    """Gradients and parameters of one chip between its data ranks, each once, nothing hidden [s]; see :func:`data_comm_s`.

    Sources:  [zero2020].
    """
    ranks = layout.dp * layout.cp
    if ranks <= 1.0:
        return 0.0, 0.0
    expert_ranks = max(1.0, ranks * layout.tp / (layout.ep * layout.etp))
    trained = adapter_share(shape, run) if run.frozen > 0.0 else 1.0
    group = sharing_ranks(layout)
    grads = gradient_comm_s(trained * plain, ranks, group, layout.tp, layout.zero, run, link)
    gather = parameter_comm_s(plain, group, layout.tp, run, link)
    if routed > 0.0:
        stride = layout.ep * layout.etp
        grads += gradient_comm_s(trained * routed, expert_ranks, min(group, expert_ranks), stride, layout.zero, run, link)
        gather += parameter_comm_s(routed, min(group, expert_ranks), stride, run, link)
    return grads * fit.data, gather * fit.data


@formula
def empty_steps_s(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, link: LinkArgs) -> float:
    """Empty steps of one gather or scatter of the parameters that a stage shards, call by call [s].

    Sources:  [derived] parameters that every rank updates without a batch.
    """
    if layout.zero < 3.0 or layout.dp * layout.cp <= 1.0:
        return 0.0
    return run.shard_calls * shape.layers / layout.pp * ring_latency_s(sharing_ranks(layout), layout.tp, run, link)


@formula
def exposed_data_s(
    shape: ShapeArgs,
    run: RunArgs,
    layout: LayoutArgs,
    fit: Coefficients,
    micro_batches: float,
    forward_s: float,
    backward_s: float,
    idle_s: float,
    grads: float,
    gather: float,
    empty: float,
) -> float:
    """What is left of the traffic between data ranks beside the passes of a stage [s]; see :func:`data_comm_s`.

    Sources:  [zero2020]; the share that may hide is a setting of the software.
    """
    if layout.dp * layout.cp <= 1.0:
        return 0.0
    overlap = run.overlap_dp * layout.overlap_dp
    trained = adapter_share(shape, run) if run.frozen > 0.0 else 1.0
    group = sharing_ranks(layout)
    if layout.zero >= 3.0:
        gather, grads = gather + empty, grads + empty
        once = exposed_s(gather, forward_s, overlap, fit.hidden) + exposed_s(gather + grads, backward_s, overlap, fit.hidden)
        return once if layout.pp > 1.0 else micro_batches * once
    times = micro_batches if layout.zero >= 2.0 and layout.pp <= 1.0 else 1.0
    total = times * exposed_s(grads, backward_s + 0.5 * idle_s, overlap, fit.hidden)
    if layout.zero >= 1.0:
        behind = overlap if run.owner_s <= 0.0 else 0.0
        total += exposed_s(trained * gather, forward_s + 0.5 * idle_s, behind, fit.hidden) + run.owner_s * group
    return total


@formula
def stage_message_s(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, link: LinkArgs) -> float:
    """Time to pass the activations of one micro-batch to the next pipeline stage [s].

    Model:    each rank of the tensor group sends its own share to its peer; without sequence parallel the receivers
              gather the whole over the links inside the node.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.
        link: the links of the chip.

    Returns:
        Time of one direction [s].

    Equation: p2p(T h e / t) + allgather(T h e).

    Validity: tensor groups of the same size on both sides.

    Sources:  [narayanan2021] section 4.1.
    """
    size = tokens_per_micro_batch(run, layout) * shape.hidden * run.element_bytes
    same_node = 1.0 if layout.tp * layout.cp * layout.dp * layout.pp <= run.domain else 0.0
    once = p2p_s(size / layout.tp, same_node, link)
    if layout.tp > 1.0 and layout.sp <= 0.0:
        near = ranks_per_node(layout.tp, 1.0, run.domain)
        once += allgather_s(size, near, math.ceil(layout.tp / near), link)
    return once


@formula
def stage_params(shape: ShapeArgs, layout: LayoutArgs, stage: float) -> tuple[float, float]:
    """Parameters that one chip of a stage holds: outside and inside of the routed experts.

    Sources:  [derived] counted from the shape of the model and the cut into stages.
    """
    dense = stage_dense_layers(shape, layout, stage)
    mixture = stage_layers(shape, layout, stage) - dense
    dense_params = dense * dense_layer_params(shape, layout)
    plain = dense_params + mixture * (moe_layer_params(shape, layout) if shape.experts > 0.0 else 0.0)
    if stage == 0.0:
        plain += embedding_params(shape, layout)
    routed = mixture * routed_params(shape, layout) if shape.experts > 0.0 else 0.0
    if stage == layout.pp - 1.0:
        further, further_routed = mtp_params(shape, layout)
        plain += head_params(shape, layout) + further
        routed += further_routed
    return plain, routed


@formula
def traffic_times(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, link: LinkArgs, fit: Coefficients) -> TrafficTimes:
    """Messages of a layout that do not depend on the times of its layers [s].

    Model:    see :func:`stage_message_s` and :func:`data_comm_s`; the slowest stage is the first, the last or one between.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.
        link: the links of the chip.
        fit: fitted coefficients.

    Returns:
        The messages.

    Equation: those of the two formulas.

    Validity: as there.

    Sources:  [narayanan2021] section 4.1; [zero2020] section 7.
    """
    message = stage_message_s(shape, run, layout, link) if layout.pp > 1.0 else 0.0
    nodes = layout.tp * layout.pp * layout.cp * layout.dp / run.domain
    doublings = math.log2(nodes) if nodes > 1.0 else 0.0
    plain, routed = stage_params(shape, layout, 0.0)
    grads_first, gather_first = data_messages_s(shape, run, layout, link, fit, plain, routed)
    grads_last, gather_last = grads_first, gather_first
    grads_middle, gather_middle = grads_first, gather_first
    if layout.pp > 1.0:
        plain, routed = stage_params(shape, layout, layout.pp - 1.0)
        grads_last, gather_last = data_messages_s(shape, run, layout, link, fit, plain, routed)
    if layout.pp > 2.0:
        plain, routed = stage_params(shape, layout, middle_stage(shape, layout))
        grads_middle, gather_middle = data_messages_s(shape, run, layout, link, fit, plain, routed)
    empty = empty_steps_s(shape, run, layout, link)
    return TrafficTimes(
        message, empty, grads_first, gather_first, grads_middle, gather_middle, grads_last, gather_last, doublings,
        fit.tensor * momentum_s(shape, run, layout, link),
    )  # fmt: skip


@formula
def momentum_s(shape: ShapeArgs, run: RunArgs, layout: LayoutArgs, link: LinkArgs) -> float:
    """Whole matrices of momentum to the ranks of the tensor group that own them, and their updates back, in 16 bit [s].

    Model:    a tensor rank holds a part of each matrix; Newton-Schulz needs it whole. Each rank owns its share of the matrices
              of a middle stage: what it lacks of them comes, what it does not own goes, both ways an all-to-all. Data ranks
              that share the optimizer share the matrices too.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.
        link: the links of the chip.

    Returns:
        Time [s]; 0 for optimizers that do not orthogonalise.

    Equation: 2 allgather(2 P / d), P parameters of the chip and d the data ranks of a sharded optimizer.

    Validity: one owner per matrix.

    Sources:  [moonlight2025] section 2.3.
    """
    if run.newton_largest_s <= 0.0 or layout.tp <= 1.0:
        return 0.0
    plain, _ = stage_params(shape, layout, middle_stage(shape, layout) if layout.pp > 2.0 else 0.0)
    if layout.zero >= 1.0:
        plain /= sharing_ranks(layout)
    near = ranks_per_node(layout.tp, 1.0, run.domain)
    return 2.0 * allgather_s(2.0 * plain, near, math.ceil(layout.tp / near), link)


@formula
def orthogonalise_s(run: RunArgs, layout: LayoutArgs, dense: float, mixture: float) -> float:
    """Newton-Schulz on the matrices of one stage [s]: shared out over the ranks that hold them, never less than one matrix.

    Model:    the tensor ranks share the matrices of a stage, and where the optimizer is sharded the data ranks too; routed
              experts are shared by the ranks that hold the same ones. A matrix is not split: an owner takes at least one.

    Args:
        run: job, stack and chip.
        layout: the layout.
        dense, mixture: layers of the stage.

    Returns:
        Time [s]; 0 for optimizers that do not orthogonalise.

    Equation: max(t_largest, sum of t over the matrices / owners).

    Validity: matrices shared out evenly.

    Sources:  [moonlight2025] section 2.3; [muon2024].
    """
    if run.newton_largest_s <= 0.0:
        return 0.0
    ranks, expert_ranks = 1.0, 1.0
    if layout.zero >= 1.0:
        ranks = sharing_ranks(layout)
        expert_ranks = min(ranks, max(1.0, layout.dp * layout.cp * layout.tp / (layout.ep * layout.etp)))
    own = (dense * run.newton_dense_s + mixture * run.newton_mixture_s) / (layout.tp * ranks)
    own += mixture * run.newton_routed_s / (layout.ep * layout.etp * expert_ranks)
    return max(own, run.newton_largest_s)


@formula
def step_terms(
    shape: ShapeArgs,
    run: RunArgs,
    layout: LayoutArgs,
    traffic: TrafficTimes,
    memory: MemoryArgs,
    fit: Coefficients,
    dense_one: LayerTimes,
    mixture_one: LayerTimes,
    ends: HeadTimes,
) -> StepTerms:
    """Time of one optimizer step, in named parts [s].

    Model:    micro-batches flow through the pipeline at the pace of its slowest stage; the other stages add fill and
              drain; then gradients are exchanged and the optimizer steps. The slowest stage is the first (embedding),
              the last (head) or the fullest of the middle. A pass costs at least the host time to launch it. Larger
              groups wait for their slowest member: a share per doubling of the nodes.

    Args:
        shape: the model.
        run: job, stack and chip.
        layout: the layout.
        traffic: messages that do not depend on the times of the layers.
        memory: the memory of the chip.
        fit: fitted coefficients.
        dense_one, mixture_one: times of one dense and one mixture layer.
        ends: times of the embedding and the head.

    Returns:
        The parts; the step is their sum.

    Equation: m t_max + bubble + messages + optimizer, times 1 + jitter log2(nodes).

    Validity: see docs/accuracy.

    Sources:  [narayanan2021]; [korthikanti2022]; [zero2020].
    """
    micro_batches = run.global_batch / (layout.dp * layout.micro_batch)
    share = recomputed_share(layout, shape.layers / layout.pp)
    dense_f, dense_b = layer_passes_s(dense_one, layout, run, share)
    mixed_f, mixed_b = layer_passes_s(mixture_one, layout, run, share) if shape.experts > 0.0 else (0.0, 0.0)
    dense_s, mixture_s = dense_f + dense_b, mixed_f + mixed_b
    first_s = ends.embedding_forward + ends.embedding_backward + 0.5 * ends.head_comm
    mtp_s = shape.mtp_layers * (mixture_s if shape.experts > 0.0 else dense_s)
    last_s = ends.head_forward + ends.head_input + ends.head_weight + 0.5 * ends.head_comm + mtp_s

    stage, ends_s, dense, mixture = 0.0, first_s, 0.0, 0.0
    dense = stage_dense_layers(shape, layout, 0.0)
    mixture = stage_layers(shape, layout, 0.0) - dense
    slowest = stage_total_s(dense, mixture, dense_s, mixture_s, first_s)
    if layout.pp <= 1.0:
        ends_s = first_s + last_s
        slowest += last_s
    else:
        last = layout.pp - 1.0
        dense_last = stage_dense_layers(shape, layout, last)
        mixture_last = stage_layers(shape, layout, last) - dense_last
        total = stage_total_s(dense_last, mixture_last, dense_s, mixture_s, last_s)
        if total > slowest:
            stage, ends_s, dense, mixture, slowest = last, last_s, dense_last, mixture_last, total
        if layout.pp > 2.0:
            middle = middle_stage(shape, layout)
            dense_mid = stage_dense_layers(shape, layout, middle)
            mixture_mid = stage_layers(shape, layout, middle) - dense_mid
            total = stage_total_s(dense_mid, mixture_mid, dense_s, mixture_s, 0.0)
            if total > slowest:
                stage, ends_s, dense, mixture, slowest = middle, 0.0, dense_mid, mixture_mid, total

    mixtures = moe_layers(shape)
    everything = stage_total_s(shape.layers - mixtures, mixtures, dense_s, mixture_s, first_s + last_s)
    fd, fm = dense, mixture
    forward = fd * (dense_one.gemm_forward + dense_one.attention_forward + dense_one.memory_forward)
    by_input = fd * (dense_one.gemm_input + dense_one.attention_backward + dense_one.memory_backward)
    by_weight = fd * dense_one.gemm_weight
    again = fd * recompute_s(dense_one, layout, share)
    tensor = fd * (dense_one.tensor_forward + dense_one.tensor_backward)
    context = fd * (dense_one.context_forward + dense_one.context_backward)
    expert = 0.0
    if shape.experts > 0.0:
        forward += fm * (mixture_one.gemm_forward + mixture_one.attention_forward + mixture_one.memory_forward)
        by_input += fm * (mixture_one.gemm_input + mixture_one.attention_backward + mixture_one.memory_backward)
        by_weight += fm * mixture_one.gemm_weight
        again += fm * recompute_s(mixture_one, layout, share)
        tensor += fm * (mixture_one.tensor_forward + mixture_one.tensor_backward)
        context += fm * (mixture_one.context_forward + mixture_one.context_backward)
        expert = fm * (mixture_one.expert_forward + mixture_one.expert_backward)
    tensor *= 1.0 - run.overlap_tp * layout.overlap_tp
    launch = max(0.0, slowest - ends_s - forward - by_input - by_weight - again - tensor - context - expert)
    small = SMALL_KERNELS * run.launch_s * fit.launch * (0.05 if run.graphs > 0.0 else 1.0)
    launch += max(0.0, small - ends_s) if ends_s > 0.0 else 0.0

    bubble = bubble_s(
        layout.schedule,
        layout.pp,
        layout.vpp,
        forward + 0.3 * ends_s,
        by_input + again + tensor + context + expert + 0.35 * ends_s,
        by_weight + 0.35 * ends_s,
        everything - slowest,
    )
    messages = 0.0
    if layout.pp > 1.0:
        once = 2.0 * fit.pipeline * traffic.message
        crossings = micro_batches * layout.vpp * (1.0 - run.overlap_pp * layout.overlap_pp) + layout.pp - 1.0
        messages = once * crossings

    plain, routed = stage_params(shape, layout, stage)
    grads, gather = traffic.grads_first, traffic.gather_first
    if 0.0 < stage < layout.pp - 1.0:
        grads, gather = traffic.grads_middle, traffic.gather_middle
    elif stage > 0.0:
        grads, gather = traffic.grads_last, traffic.gather_last
    compute_f = dense * dense_f + mixture * mixed_f + 0.3 * ends_s
    compute_b = dense * dense_b + mixture * mixed_b + 0.7 * ends_s
    data = exposed_data_s(shape, run, layout, fit, micro_batches, compute_f, compute_b, bubble, grads, gather, traffic.empty)
    ranks = sharing_ranks(layout)
    trained = adapter_share(shape, run) if run.frozen > 0.0 else 1.0
    expert_ranks = min(ranks, max(1.0, layout.dp * layout.cp * layout.tp / (layout.ep * layout.etp)))
    updated = trained * (plain + routed)
    if layout.zero >= 1.0:
        updated = trained * (plain / ranks + routed / expert_ranks)
    held = trained * (plain + routed)
    if layout.zero >= 2.0:
        held = updated
    if layout.offload_optimizer > 0.0:
        optimizer = updated * (run.grad_bytes + run.param_bytes) / run.host_bytes_per_s
        optimizer += updated * 2.0 * run.optimizer_bytes / run.host_bytes_per_s
    else:
        optimizer = optimizer_s(updated, held, run, memory)
    optimizer += traffic.momentum + orthogonalise_s(run, layout, dense, mixture) * fit.gemm
    offload = 0.0
    if layout.offload_activations > 0.0:
        size = tokens_per_micro_batch(run, layout) * shape.hidden * run.element_bytes
        moved = (dense + mixture) * size * (1.0 if share > 0.0 else 17.0) / layout.tp
        offload = micro_batches * max(0.0, 2.0 * moved / run.host_bytes_per_s - slowest)

    m = micro_batches
    busy = m * slowest + bubble + messages + data + optimizer + offload + run.step_overhead_s
    jitter = busy * fit.jitter * traffic.doublings
    return StepTerms(
        m * forward,
        m * by_input,
        m * by_weight,
        m * again,
        m * ends_s,
        m * launch,
        m * tensor,
        m * context,
        m * expert,
        messages,
        bubble,
        data,
        optimizer,
        offload,
        run.step_overhead_s,
        jitter,
    )


@formula
def step_total_s(terms: StepTerms) -> float:
    """Sum of the parts [s].

    Sources:  [derived] the sum of the terms.
    """
    return (
        terms.forward_s
        + terms.backward_input_s
        + terms.backward_weight_s
        + terms.recompute_s
        + terms.embedding_head_s
        + terms.launch_s
        + terms.tensor_comm_s
        + terms.context_comm_s
        + terms.expert_comm_s
        + terms.pipeline_comm_s
        + terms.bubble_s
        + terms.data_comm_s
        + terms.optimizer_s
        + terms.offload_s
        + terms.overhead_s
        + terms.jitter_s
    )
