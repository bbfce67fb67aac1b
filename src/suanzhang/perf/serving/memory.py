"""Memory of one serving replica: weights, working set, reserve, and what is left for the cache."""

from __future__ import annotations

import math
from typing import NamedTuple

from suanzhang.perf.serving.precision import Format, kv_bytes, weight_format
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.serve import ServeMemory
from suanzhang.spec.stack import ServeStack


class WeightCount(NamedTuple):
    """Parameters by how they are stored and split [1]: attention and mixers, dense and shared feed-forward, experts, tables."""

    attention: float
    ffn: float
    experts: float
    tables: float


def weight_count(model: ModelSpec) -> WeightCount:
    """Parameters of a model by group; they sum to ``model.params`` but for the norms."""
    linear_layers = model.linear.layers if model.linear else 0
    attention = (model.layers - linear_layers) * model.attention_params
    attention += linear_layers * model.linear.params if model.linear else 0.0
    dense = (model.layers - model.moe_layers) * model.dense_ffn_params
    matrices = 3.0 if model.gated_mlp else 2.0
    experts = shared = 0.0
    if model.moe is not None:
        experts = model.moe_layers * model.moe.experts * matrices * model.hidden * model.moe.expert_ffn
        shared = model.moe_layers * (matrices * model.hidden * model.moe.shared_ffn + model.hidden * model.moe.experts)
    return WeightCount(attention, dense + shared, experts, model.embedding_params + model.head_params)


def _body_bytes(form: Format, is_moe: bool) -> float:
    return 2.0 if form.experts_only and is_moe else form.bytes


def weights_bytes_per_chip(model: ModelSpec, layout: ServeLayout, weight_dtype: str) -> float:
    """Weights on the fullest chip of a replica.

    Model:
        Attention and dense parts are split over ``tp`` and copied in each attention group, experts over all
        ``tp * dp`` chips of a stage; a stage holds ``ceil(layers / pp)`` layers; the tables stay in 16 bit and are
        split over ``tp``. With more tensor ranks than cache heads the key and value projections are copied.

    Args:
        model: shape.
        layout: tp, pp, dp, ep of the replica.
        weight_dtype: storage format of the weights.

    Returns:
        Bytes on one chip [B].

    Raises:
        InputError: the format is unknown.

    Equation:
        W = ceil(L/pp)/L * (b_body*(W_attn + W_ffn)/tp + b*W_experts/(tp*dp)) + 2*W_tables/tp (first or last stage)

    Validity:
        Dense, mixture-of-experts and hybrid models; formats of :data:`FORMATS`.

    Sources:
        [pope-2022] how layers are partitioned.

    Example:
        A stage of a model in 16 bit on one chip holds twice its parameters in bytes.
    """
    form = weight_format(weight_dtype)
    count = weight_count(model)
    body = _body_bytes(form, model.moe is not None)
    stage = math.ceil(model.layers / layout.pp) / model.layers
    split = stage * body * (count.attention + count.ffn) / layout.tp
    split += stage * form.bytes * count.experts / (layout.tp * layout.dp)
    if layout.tp > model.kv_heads and model.mla is None:
        copies = layout.tp / model.kv_heads - 1.0
        kv_params = 2.0 * model.layers * model.hidden * model.kv_heads * model.head_dim
        split += stage * body * kv_params * copies / layout.tp
    tables = count.tables if layout.pp == 1 else max(model.embedding_params, model.hidden * model.vocab)
    return split + 2.0 * tables / layout.tp


def kv_bytes_per_token(model: ModelSpec, layout: ServeLayout, kv_dtype: str) -> float:
    """Cache bytes on one chip of one token of a long sequence, windows not counted [B]."""
    linear = model.linear.layers if model.linear else 0
    windowed = model.window.layers if model.window else 0
    stage = math.ceil(model.layers / layout.pp) / model.layers
    layers = (model.layers - linear - windowed) * stage
    return layers * _layer_kv_bytes(model, layout, kv_dtype)


def _layer_kv_bytes(model: ModelSpec, layout: ServeLayout, kv_dtype: str) -> float:
    each = kv_bytes(kv_dtype)
    if model.mla is not None:
        return (model.mla.kv_lora + model.mla.rope_dim) * each
    return 2.0 * max(model.kv_heads / layout.tp, 1.0) * model.head_dim * each


def state_bytes_per_seq(model: ModelSpec, layout: ServeLayout, kv_dtype: str) -> float:
    """Cache bytes on one chip that a sequence needs whatever its length: full windows and linear states [B]."""
    stage = math.ceil(model.layers / layout.pp) / model.layers
    total = 0.0
    if model.window is not None:
        total += stage * model.window.layers * model.window.tokens * _layer_kv_bytes(model, layout, kv_dtype)
    if model.linear is not None:
        total += stage * model.linear.layers * model.linear.state_bytes / layout.tp
    return total


def activation_bytes(model: ModelSpec, layout: ServeLayout, stack: ServeStack, tokens: float) -> float:
    """Largest working set of an iteration of ``tokens`` tokens on one chip [B].

    Residual stream and its copy, the widest inner activation twice, and the logits of the running sequences in 32 bit.
    """
    inner = model.ffn / layout.tp
    if model.moe is not None:
        inner = max(
            inner, model.moe.topk * model.moe.expert_ffn / (layout.tp * layout.dp) + model.moe.topk * model.hidden / 2.0
        )
    width = 4.0 * model.hidden + 2.0 * inner + 2.0 * model.heads * model.head_dim / layout.tp
    rows = min(float(stack.max_seqs), 512.0, tokens)
    return 2.0 * tokens * width + 8.0 * rows * model.vocab / layout.tp


def replica_memory(
    model: ModelSpec,
    hbm_bytes: float,
    layout: ServeLayout,
    stack: ServeStack,
    weight_dtype: str,
    kv_dtype: str,
    max_tokens: float = 0.0,
) -> ServeMemory:
    """Where the memory of the fullest chip goes, and how many tokens the cache of the replica holds.

    Model:
        The engine takes ``memory_fraction`` of the memory (or of what weights, working set and reserve leave free),
        loads the weights, keeps its reserve and its working set, and gives the rest to pages of ``block_tokens``.
        Each attention group has a cache of its own.

    Args:
        model: shape.
        hbm_bytes: memory of one chip [B].
        layout: tp, pp, dp, ep of the replica.
        stack: engine generation.
        weight_dtype, kv_dtype: storage formats.
        max_tokens: tokens of the largest iteration; 0 for the engine's token budget.

    Returns:
        The parts [B] and the cache capacity [tokens].

    Raises:
        InputError: a format is unknown.

    Equation:
        KV = f*M - W - A - R, or f*(M - W - A - R) when the fraction is of the free memory

    Validity:
        Chips with one memory; host offload is not counted.

    Sources:
        [kwon-2023] paged cache; [trtllm-docs] fraction of the free memory.
    """
    weights = weights_bytes_per_chip(model, layout, weight_dtype)
    working = activation_bytes(model, layout, stack, max_tokens or float(stack.max_batched_tokens))
    reserve = stack.reserve_bytes
    if stack.memory_of_free:
        free = hbm_bytes - weights - working - reserve
        room = stack.memory_fraction * free
        reserve += free - room if free > 0.0 else 0.0
    else:
        room = stack.memory_fraction * hbm_bytes - weights - working - reserve
        reserve += (1.0 - stack.memory_fraction) * hbm_bytes
    per_token = kv_bytes_per_token(model, layout, kv_dtype)
    state = state_bytes_per_seq(model, layout, kv_dtype)
    room = max(room, 0.0)
    tokens = math.floor(room / per_token / stack.block_tokens) * stack.block_tokens * layout.dp if per_token > 0.0 else math.inf
    fits = room > state and tokens >= stack.block_tokens
    return ServeMemory(weights, working, reserve, room, per_token, state, float(tokens), fits)


def sequences_that_fit(memory: ServeMemory, layout: ServeLayout, tokens_per_seq: float) -> float:
    """Sequences of ``tokens_per_seq`` cached tokens that the cache of a replica holds at once [1]."""
    each = memory.kv_bytes_per_token * tokens_per_seq + memory.state_bytes_per_seq
    return memory.kv_bytes * layout.dp / each if each > 0.0 else math.inf
