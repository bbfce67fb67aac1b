"""What the training formulas are given: plain named numbers, so that the same code runs compiled."""

from __future__ import annotations

from typing import NamedTuple

RECOMPUTE_NONE, RECOMPUTE_SELECTIVE, RECOMPUTE_FULL = 0.0, 1.0, 2.0
GPIPE, ONE_F_ONE_B, INTERLEAVED, ZERO_BUBBLE, DUALPIPE = 0.0, 1.0, 2.0, 3.0, 4.0
UNFUSED, FUSED_SOFTMAX, FLASH1, FLASH2, FLASH3 = 0.0, 1.0, 2.0, 3.0, 4.0


class ShapeArgs(NamedTuple):
    """Shape of the model, as numbers.

    Fields: ``qk_dim`` and ``v_dim`` are the sizes of one head in the attention product; ``q_width`` and
    ``kv_width`` the columns of the query and of the key/value projections together; ``attention_params``
    the parameters of one layer's projections; ``matrices`` 3 for a gated feed-forward, else 2;
    ``window`` the tokens that a windowed layer sees, on ``window_layers`` layers.
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


class RunArgs(NamedTuple):
    """Job, stack and chip, as numbers.

    Fields: ``*_bytes`` per value as in :class:`suanzhang.spec.stack.TrainStack`; ``element_bytes`` of an
    activation; ``gemm_bytes`` of an operand of a matrix product; ``quantized`` 1 when operands are converted
    before each product (8-bit and 4-bit formats); ``frozen`` 1 when only low-rank adapters train;
    ``host_bytes_per_s`` of the link of one chip to the host; ``domain`` chips that share the scale-up link.
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
    reserve_bytes: float
    fragmentation: float
    hbm_bytes: float
    hbm_bytes_per_s: float
    host_bytes_per_s: float
    domain: float
    host_updates: float


class LayoutArgs(NamedTuple):
    """A training layout as numbers, in the order of the columns of a batch; see ``TrainLayout``."""

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


COLUMNS = LayoutArgs._fields


class MemoryParts(NamedTuple):
    """Memory of one chip by part [bytes]."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    buffers: float
    reserve: float
