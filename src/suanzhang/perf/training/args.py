"""What the training formulas are given: plain named numbers, so that the same code runs compiled."""

from __future__ import annotations

from typing import NamedTuple

RECOMPUTE_NONE, RECOMPUTE_SELECTIVE, RECOMPUTE_FULL = 0.0, 1.0, 2.0
GPIPE, ONE_F_ONE_B, INTERLEAVED, ZERO_BUBBLE, DUALPIPE, ZERO_BUBBLE_2P = 0.0, 1.0, 2.0, 3.0, 4.0, 5.0
UNFUSED, FUSED_SOFTMAX, FLASH1, FLASH2, FLASH3 = 0.0, 1.0, 2.0, 3.0, 4.0


class ShapeArgs(NamedTuple):
    """Shape of the model, as numbers.

    Fields: ``qk_dim`` and ``v_dim`` are the sizes of one head in the attention product; ``q_width`` and
    ``kv_width`` the columns of the query and of the key/value projections together; ``attention_params``
    the parameters of one layer's projections; ``matrices`` 3 for a gated feed-forward, else 2;
    ``window`` the tokens that a windowed layer sees, on ``window_layers`` layers; ``groups`` of experts of which a token visits
    at most ``topk_groups`` (0 for all).
    """

    layers: float
    hidden: float
    heads: float
    kv_heads: float
    qk_dim: float
    v_dim: float
    q_lora: float
    kv_lora: float
    rope_dim: float
    attention_params: float
    ffn: float
    matrices: float
    vocab: float
    tied: float
    positions: float
    experts: float
    topk: float
    expert_ffn: float
    shared_ffn: float
    dense_layers: float
    moe_every: float
    window: float
    window_layers: float
    causal: float
    mtp_layers: float
    groups: float = 1.0
    topk_groups: float = 0.0


class RunArgs(NamedTuple):
    """Job, stack and chip, as numbers.

    Fields: ``*_bytes`` per value as in :class:`suanzhang.spec.stack.TrainStack`; ``element_bytes`` of an
    activation; ``gemm_bytes`` of an operand of a matrix product; ``quantized`` 1 when operands are converted
    before each product (8-bit and 4-bit formats); ``frozen`` 1 when only low-rank adapters train;
    ``host_bytes_per_s`` of the link of one chip to the host; ``domain`` chips that share the scale-up link;
    ``attention_slowdown`` time of the stack's attention kernel over the profiled one; ``capacity`` tokens of the
    fullest expert rank over the mean; ``whole_reduce`` 1 when ranks that shard only the optimizer still sum whole
    gradients; ``owner_s`` time that each owner takes to send out what it updated, one after another; ``loss_bytes``
    bytes per logit that the loss holds at its fullest; ``loss_tokens`` tokens whose logits exist at once, 0 for all;
    ``overlap_ep`` share of the expert traffic that may hide behind compute; ``shard_calls`` exchanges of one layer and
    pass where parameters are sharded; ``unpack_bytes`` traffic to unpack one frozen 4-bit weight; ``weight_grad`` time of
    a weight gradient over that of a product in the format in use; ``waits`` host time lost at each kernel over its launch
    time where the host waits for every kernel, 0 where launches run ahead of the chip; ``trained_ends`` 1 when embedding and
    head are trained besides adapters; ``whole_init`` 1 when each chip builds the whole model before it keeps its shard;
    ``dedup_ep`` 1 when a token crosses to each node once whatever number of experts it has there; ``overlap_cp`` and
    ``overlap_cp_a2a`` shares of the traffic between context ranks, round a ring and by all-to-all, that may hide behind the
    attention; ``overlap_gather`` share of the gathers of inputs for weight gradients that may hide; ``quantize_reads`` and
    ``quantize_writes`` times that an operand is read in 16 bit and written converted; ``wide_share`` share of the layers whose
    products stay in 16 bit; ``copy_bytes`` bytes by which the converted copies of a weight exceed its own format;
    ``sent_bytes`` of a value on its way to the experts, ``saved_bytes`` of an activation inside a layer that is kept for the
    backward pass; 0 for the format of activations;
    ``newton_*_s`` time to orthogonalise the matrices of one layer on one chip, and the slowest of them, 0 for optimizers that
    do not; ``ends_state_bytes`` bytes by which the optimizer's state of one parameter of embedding and head exceeds that of the
    others.
    """

    seq: float
    global_batch: float
    param_bytes: float
    grad_bytes: float
    optimizer_bytes: float
    reduce_bytes: float
    element_bytes: float
    gemm_bytes: float
    quantized: float
    frozen: float
    lora_rank: float
    frozen_bytes: float
    attention: float
    fused: float
    fused_loss: float
    dropout: float
    layer_kernels: float
    launch_s: float
    graphs: float
    step_overhead_s: float
    overlap_dp: float
    overlap_tp: float
    overlap_pp: float
    selective_products: float
    reserve_bytes: float
    fragmentation: float
    hbm_bytes: float
    hbm_bytes_per_s: float
    host_bytes_per_s: float
    domain: float
    attention_slowdown: float
    capacity: float
    whole_reduce: float = 0.0
    owner_s: float = 0.0
    loss_bytes: float = 8.0
    loss_tokens: float = 0.0
    overlap_ep: float = 0.0
    shard_calls: float = 1.0
    unpack_bytes: float = 0.0
    weight_grad: float = 1.0
    waits: float = 0.0
    trained_ends: float = 0.0
    whole_init: float = 0.0
    dedup_ep: float = 0.0
    overlap_cp: float = 1.0
    overlap_cp_a2a: float = 0.0
    overlap_gather: float = 1.0
    quantize_reads: float = 1.0
    quantize_writes: float = 2.0
    wide_share: float = 0.0
    copy_bytes: float = 0.0
    sent_bytes: float = 0.0
    saved_bytes: float = 0.0
    newton_dense_s: float = 0.0
    newton_mixture_s: float = 0.0
    newton_routed_s: float = 0.0
    newton_largest_s: float = 0.0
    ends_state_bytes: float = 0.0


class LayoutArgs(NamedTuple):
    """A training layout as numbers, in the order of the columns of a batch; see ``TrainLayout``.

    ``cp_a2a`` is 1 where context ranks exchange heads by all-to-all, 0 for a ring. ``shard_ranks`` data ranks share what is
    sharded; 0 for all of them. The last stage leaves ``head_layers`` of its layers to the others, for the head that it holds.
    A batch has no column for these two.
    """

    tp: float
    pp: float
    dp: float
    cp: float
    ep: float
    etp: float
    vpp: float
    sp: float
    zero: float
    micro_batch: float
    recompute: float
    recompute_layers: float
    schedule: float
    overlap_dp: float
    overlap_tp: float
    overlap_pp: float
    offload_optimizer: float
    offload_activations: float
    cp_a2a: float = 0.0
    shard_ranks: float = 0.0
    head_layers: float = 0.0


COLUMNS = LayoutArgs._fields[:-2]


class MemoryParts(NamedTuple):
    """Memory of one chip by part [bytes]."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    buffers: float
    reserve: float


class LayerTimes(NamedTuple):
    """One layer, one micro-batch, one chip [s]: arithmetic by pass, messages by group, host time by pass."""

    gemm_forward: float
    gemm_input: float
    gemm_weight: float
    attention_forward: float
    attention_backward: float
    memory_forward: float
    memory_backward: float
    tensor_forward: float
    tensor_backward: float
    context_forward: float
    context_backward: float
    expert_forward: float
    expert_backward: float
    host_forward: float
    host_backward: float
    selective: float


class HeadTimes(NamedTuple):
    """Embedding and output head, one micro-batch [s]."""

    embedding_forward: float
    embedding_backward: float
    head_forward: float
    head_input: float
    head_weight: float
    head_comm: float


class TrafficTimes(NamedTuple):
    """Messages that do not depend on the times of the layers [s].

    Fields: ``message`` one micro-batch to the next stage, one direction; ``empty`` empty steps of one gather or scatter of
    sharded parameters; ``grads_*`` and ``gather_*`` gradients and parameters of the first, a middle and the last stage between
    data ranks, each once; ``doublings`` doublings of the nodes; ``momentum`` whole matrices to their owners in the tensor group
    and back, once per step.
    """

    message: float
    empty: float
    grads_first: float
    gather_first: float
    grads_middle: float
    gather_middle: float
    grads_last: float
    gather_last: float
    doublings: float
    momentum: float = 0.0


class NewtonTimes(NamedTuple):
    """Orthogonalising the matrices of one layer on one chip [s]: dense, mixture without routed experts, those, one matrix."""

    dense: float
    mixture: float
    routed: float
    largest: float


class StepTerms(NamedTuple):
    """Parts of one optimizer step [s]; the step is their sum."""

    forward_s: float
    backward_input_s: float
    backward_weight_s: float
    recompute_s: float
    embedding_head_s: float
    launch_s: float
    tensor_comm_s: float
    context_comm_s: float
    expert_comm_s: float
    pipeline_comm_s: float
    bubble_s: float
    data_comm_s: float
    optimizer_s: float
    offload_s: float
    overhead_s: float
    jitter_s: float


class Coefficients(NamedTuple):
    """What is fitted over all published runs at once; each has a physical meaning and the value 1 or 0 when ideal.

    Fields: ``gemm`` and ``attention`` time of a kernel inside a running step over its isolated time (clocks under
    sustained power, cold caches); ``memory`` traffic of the unfused kernels between the products over the least
    traffic; ``tensor``, ``data``, ``expert``, ``pipeline`` time of a collective in the step over its isolated time;
    ``hidden`` share of overlapped traffic that still slows the compute it hides behind; ``jitter`` relative
    growth of a step per doubling of the nodes; ``launch`` host time per kernel over the stack's figure;
    ``quantize`` traffic of conversions to 8 bit over the least traffic; ``narrow`` that of ``gemm`` in 8 and 4 bit over
    that in 16 bit.
    """

    gemm: float
    attention: float
    memory: float
    tensor: float
    data: float
    expert: float
    pipeline: float
    hidden: float
    jitter: float
    launch: float
    quantize: float
    narrow: float = 1.0
