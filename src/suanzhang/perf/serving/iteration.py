"""Time of one engine iteration from what it has to do."""

from __future__ import annotations

import math

from suanzhang.jit import formula
from suanzhang.perf.attention import decode_attention_s, mla_decode_s, prefill_attention_s
from suanzhang.perf.collectives import allgather_s, allreduce_s, alltoall_s, p2p_s
from suanzhang.perf.elementwise import memory_bound_s
from suanzhang.perf.gemm import gemm_s
from suanzhang.perf.moe import moe_ffn_s
from suanzhang.perf.serving.args import IterationArgs, IterationTerms

LINEAR_KERNELS = 6.0
"""Small kernels of a linear-attention layer: convolution, gates, norms of keys and queries, state update, gated norm [1]."""

CHUNK_TOKENS = 64.0
"""Tokens of a prompt that a linear-attention layer computes at once before it hands its state on [tokens]."""
CHUNK_S = 2.5e-6
"""Time of one such step on the way of the state: two products of a few tiles that wait for the one before [assumed]."""
CHUNK_KERNELS = 6.0
"""Further kernels of a prompt in such a layer: gates, keys on keys, their solution, its products, states, output [1]."""


@formula
def _chunked_state_s(seqs: float, q: float, a: IterationArgs) -> float:
    """Time beside its projections that one linear-attention layer takes for ``seqs`` prompt chunks of ``q`` tokens [s].

    The state passes through the prompt step by step, whatever the width of the chip; each step writes its state once and the
    output reads it.
    """
    steps = math.ceil(q / CHUNK_TOKENS)
    moved = seqs * steps * a.shape.linear_state_bytes / a.engine.tp
    return steps * CHUNK_S + memory_bound_s(moved, a.ops.memory) + CHUNK_KERNELS * a.ops.memory.launch_s


@formula
def _projections_s(m: float, decode_m: float, a: IterationArgs) -> float:
    """Products of one softmax attention layer on one chip [s]; ``decode_m`` of the ``m`` tokens are decoding."""
    s, tp, g = a.shape, a.engine.tp, a.ops.gemm_attention
    heads = math.ceil(s.heads / tp)
    if s.is_mla > 0.0:
        qk = s.nope_dim + s.rope_dim
        down = gemm_s(m, s.q_lora + s.kv_lora + s.rope_dim, s.hidden, 1.0, g)
        up = gemm_s(m, heads * qk, s.q_lora if s.q_lora > 0.0 else s.hidden, 1.0, g)
        total = down + up + gemm_s(m, s.hidden, heads * s.v_dim, 1.0, g)
        if m > decode_m:
            total += gemm_s(m - decode_m, heads * (s.nope_dim + s.v_dim), s.kv_lora, 1.0, g)
        if decode_m > 0.0:
            absorb = gemm_s(decode_m, s.kv_lora, s.nope_dim, heads, a.ops.gemm_head)
            total += absorb + gemm_s(decode_m, s.v_dim, s.kv_lora, heads, a.ops.gemm_head)
        return total
    kv = max(s.kv_heads / tp, 1.0)
    qkv = gemm_s(m, heads * s.qk_dim + kv * (s.qk_dim + s.v_dim), s.hidden, 1.0, g)
    return qkv + gemm_s(m, s.hidden, heads * s.v_dim, 1.0, g)


@formula
def _prefill_layer_s(seqs: float, q: float, past: float, window: float, a: IterationArgs) -> float:
    """Attention of ``seqs`` prompt chunks of ``q`` tokens after ``past`` cached ones in one layer [s]."""
    s, tp = a.shape, a.engine.tp
    heads = math.ceil(s.heads / tp)
    kv = heads if s.is_mla > 0.0 else max(s.kv_heads / tp, 1.0)
    qk = s.nope_dim + s.rope_dim if s.is_mla > 0.0 else s.qk_dim
    fused = prefill_attention_s(seqs, q, q + past, heads, kv, qk, s.v_dim, 1.0, window, a.ops.attention)
    if a.engine.score_passes > 0.0:
        return fused + memory_bound_s(a.engine.score_passes * 2.0 * seqs * heads * q * (q + past), a.ops.memory)
    return fused


@formula
def _decode_layer_s(batch: float, context: float, a: IterationArgs) -> float:
    """Attention of ``batch`` decoding sequences with ``context`` cached tokens in sum in one layer [s]."""
    s, tp = a.shape, a.engine.tp
    heads = math.ceil(s.heads / tp)
    if s.is_mla > 0.0:
        return mla_decode_s(batch, context, heads, s.kv_lora, s.rope_dim, s.kv_bytes, a.ops.attention)
    kv = max(s.kv_heads / tp, 1.0) if a.engine.grouped_decode > 0.0 else heads
    return decode_attention_s(batch, context, heads, kv, s.qk_dim, s.v_dim, s.kv_bytes, a.ops.attention)


@formula
def _group_nodes(ranks: float, a: IterationArgs) -> float:
    return max(math.ceil(ranks / a.ops.link.node_chips), 1.0)


@formula
def _ffn_s(m: float, width: float, a: IterationArgs) -> float:
    s = a.shape
    local = max(width / a.engine.tp, 1.0)
    up = gemm_s(m, local * (s.matrices - 1.0), s.hidden, 1.0, a.ops.gemm_ffn)
    return up + gemm_s(m, s.hidden, local, 1.0, a.ops.gemm_ffn)


@formula
def _experts_s(m: float, group: float, a: IterationArgs) -> float:
    """Router, routed experts of one layer on the fullest chip [s]; ``m`` of the ``group`` tokens are of one attention group."""
    s, e = a.shape, a.engine
    ranks = e.tp * e.dp
    rows = group * s.topk / e.ep
    imbalance = 1.0 + math.sqrt(2.0 * math.log(e.ep) / max(rows, 1.0)) if e.ep > 1.0 else 1.0
    router = gemm_s(m, s.experts, s.hidden, 1.0, a.ops.gemm_head)
    imbalance = min(imbalance, e.ep)
    routed = moe_ffn_s(
        group, s.hidden, s.expert_ffn, s.topk, s.experts, e.ep, ranks / e.ep, s.matrices - 2.0, imbalance, a.ops.moe
    )
    if a.ops.bounded > 0.0:
        bound = moe_ffn_s(
            group, s.hidden, s.expert_ffn, s.topk, s.experts, e.ep, ranks / e.ep, s.matrices - 2.0, imbalance, a.ops.moe_bound
        )
        routed = min(routed, bound)
    return router + routed


@formula
def _expert_traffic_s(m: float, group: float, a: IterationArgs) -> float:
    """Dispatch and combine of one layer when attention groups share experts [s]; the fullest group has ``m`` tokens."""
    s, e, link = a.shape, a.engine, a.ops.link
    ranks = e.tp * e.dp
    nodes = _group_nodes(ranks, a)
    per_node = ranks / nodes
    if e.alltoall > 0.0 and e.ep > 1.0:
        copies = min(s.topk, e.ep)
        sent = m / e.tp * copies * s.hidden
        return alltoall_s(sent * e.dispatch_bytes, per_node, nodes, link) + alltoall_s(sent * 2.0, per_node, nodes, link)
    gathered = group * s.hidden
    return allgather_s(gathered * e.dispatch_bytes, per_node, nodes, link) + allgather_s(gathered * 2.0, per_node, nodes, link)


@formula
def iteration_terms(
    prefill_seqs: float,
    prefill_tokens: float,
    prefill_past: float,
    decode_batch: float,
    decode_context: float,
    a: IterationArgs,
) -> IterationTerms:
    """Parts of the time of one engine iteration of one replica.

    Model:
        Every layer runs its products over all tokens of the iteration, prompt attention over the chunks and decode
        attention over the caches. Tensor ranks join after attention and after the feed-forward; attention groups
        (``dp``) hold their own sequences and exchange tokens with the experts. With ``pp`` stages the load is cut
        into ``pp`` micro-batches, so that all stages work and each sequence advances once in the time of one
        micro-batch through all stages; prompts are spread evenly over them. Kernels outside graphs cannot start
        faster than the host launches them. Linear-attention layers hand their state through a prompt step by step.
        Experts that are no fused program copy and narrow their rows between the products.
        Left out: padding of the decode batch to graph sizes, overlap of two micro-batches inside a chip.

    Args:
        prefill_seqs: prompt chunks in the iteration [1].
        prefill_tokens: their tokens in sum [tokens].
        prefill_past: tokens that each of these sequences already has in the cache [tokens].
        decode_batch: sequences that decode one token [1].
        decode_context: tokens in their caches in sum [tokens].
        a: model, engine, layout and operators.

    Returns:
        Named terms [s]; the iteration takes their sum.

    Equation:
        T = sum over layers (projections + attention + feed-forward or experts + elementwise + traffic)
            + head + pp * p2p + max(0, launches - those) + host

    Validity:
        Any load of at least one token; accuracy by engine and chip stands in the accuracy report.

    Sources:
        [pope-2022] partition of the layer over chips; [agrawal-2024] iterations that mix prompt chunks and decoding;
        [yang-2024] linear attention in chunks.
    """
    s, e, o = a.shape, a.engine, a.ops
    split = e.dp * e.pp
    p = prefill_tokens / (max(min(e.dp, prefill_seqs), 1.0) * e.pp)
    seqs = max(prefill_seqs / split, 1.0)
    b = max(decode_batch / split, 1.0) if decode_batch > 0.0 else 0.0
    context = decode_context / decode_batch * b if decode_batch > 0.0 else 0.0
    m = p + b

    softmax_layers = s.full_layers + s.window_layers
    projections = softmax_layers * _projections_s(m, b, a) * e.matmul
    prefill = decode = 0.0
    if p > 0.0:
        prefill = s.full_layers * _prefill_layer_s(seqs, p / seqs, prefill_past, 0.0, a)
        if s.window_layers > 0.0:
            prefill += s.window_layers * _prefill_layer_s(seqs, p / seqs, prefill_past, s.window, a)
    if b > 0.0:
        if s.full_layers > 0.0:
            decode = s.full_layers * _decode_layer_s(b, context, a)
        if s.window_layers > 0.0:
            decode += s.window_layers * _decode_layer_s(b, min(context, b * s.window), a)
    decode *= e.cache_reads
    mixer = 0.0
    if s.linear_layers > 0.0:
        width = s.linear_params / s.hidden / e.tp
        state = 2.0 * (b + seqs if p > 0.0 else b) * s.linear_state_bytes / e.tp + 8.0 * m * width
        mixer = gemm_s(m, width, s.hidden, 1.0, o.gemm_attention) * e.matmul + memory_bound_s(state, o.memory) * e.memory
        mixer += LINEAR_KERNELS * o.memory.launch_s * e.memory
        if p > 0.0:
            mixer += _chunked_state_s(seqs, p / seqs, a) * e.memory
        mixer *= s.linear_layers

    ffn = s.dense_layers * _ffn_s(m, s.ffn, a) if s.dense_layers > 0.0 else 0.0
    experts = expert_comm = 0.0
    if s.moe_layers > 0.0:
        group = (prefill_tokens + decode_batch) / e.pp
        experts = s.moe_layers * _experts_s(m, group, a) * e.experts
        if e.expert_kernels > 0.0:
            between = e.expert_kernels * o.memory.launch_s
            between += memory_bound_s(e.expert_copies * group * s.topk / e.ep * s.hidden, o.memory)
            experts += s.moe_layers * between * e.memory
        if s.shared_ffn > 0.0:
            ffn += s.moe_layers * _ffn_s(m, s.shared_ffn, a)
        if e.dp > 1.0:
            expert_comm = s.moe_layers * _expert_traffic_s(m, group, a) * e.collective
    layers = softmax_layers + s.linear_layers

    mixer_width = math.ceil(s.heads / e.tp) * (s.qk_dim + s.v_dim)
    inner = (s.dense_layers * s.ffn + s.moe_layers * s.shared_ffn) / layers / e.tp
    inner += s.moe_layers / layers * s.topk * s.expert_ffn / (e.ep if e.dp == 1.0 else e.tp)
    moved = 2.0 * m * (8.0 * s.hidden + 2.0 * mixer_width + s.matrices * inner)
    elementwise = layers * (memory_bound_s(moved, o.memory) + e.small_kernels * o.memory.launch_s) * e.memory

    tensor_comm = 0.0
    if e.tp > 1.0:
        nodes = _group_nodes(e.tp, a)
        one = allreduce_s(2.0 * m * s.hidden, e.tp / nodes, nodes, o.link)
        joins = layers if s.parallel_block > 0.0 else 2.0 * layers
        if e.dp > 1.0:
            joins -= s.moe_layers
        tensor_comm = joins * one * e.collective
    pipeline_comm = 0.0
    if e.pp > 1.0:
        same = 1.0 if e.tp * e.dp * e.pp <= o.link.node_chips else 0.0
        pipeline_comm = e.pp * p2p_s(2.0 * m * s.hidden / e.tp, same, o.link) * e.collective

    rows = b + (seqs if p > 0.0 else 0.0)
    head = gemm_s(rows, s.vocab / e.tp, s.hidden, 1.0, o.gemm_head) * e.matmul
    head += memory_bound_s(3.0 * 4.0 * rows * s.vocab / e.tp, o.memory) * e.memory

    parts = projections + (prefill + decode) * e.attention + mixer + ffn * e.matmul + experts + elementwise
    parts += tensor_comm + expert_comm + pipeline_comm + head
    graphs = e.decode_graphs if p == 0.0 else e.prefill_graphs
    kernels = e.layer_kernels if p == 0.0 else e.layer_kernels * e.prompt_kernels
    launches = layers * kernels * e.launch_s * (1.0 - graphs)
    return IterationTerms(
        projections,
        prefill * e.attention,
        decode * e.attention,
        mixer,
        ffn * e.matmul,
        experts,
        elementwise,
        tensor_comm,
        expert_comm,
        pipeline_comm,
        head,
        max(launches - parts, 0.0),
        e.host_s + e.host_per_seq_s * (decode_batch + prefill_seqs),
    )


@formula
def iteration_s(
    prefill_seqs: float,
    prefill_tokens: float,
    prefill_past: float,
    decode_batch: float,
    decode_context: float,
    a: IterationArgs,
) -> float:
    """Time of one engine iteration: the sum of :func:`iteration_terms` [s].

    Sources:  [agrawal-2024] prompts and answers in one iteration; the terms as in :func:`iteration_terms`.
    """
    t = iteration_terms(prefill_seqs, prefill_tokens, prefill_past, decode_batch, decode_context, a)
    total = t.projections + t.prefill_attention + t.decode_attention + t.mixer + t.ffn + t.experts + t.elementwise
    return total + t.tensor_comm + t.expert_comm + t.pipeline_comm + t.head + t.launch + t.host
