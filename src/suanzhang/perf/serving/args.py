"""Arguments of the serving formulas: NamedTuples of floats, as compiled code takes them."""

from __future__ import annotations

from typing import NamedTuple

from suanzhang.perf.args import AttentionArgs, GemmArgs, LinkArgs, MemoryArgs, MoeArgs


class ShapeArgs(NamedTuple):
    """The model as one iteration sees it; whole-model numbers, not yet split over chips.

    Args:
        hidden: width of the residual stream [1].
        heads, kv_heads: query and key/value heads [1].
        qk_dim, v_dim: head sizes [1].
        full_layers, window_layers, linear_layers: layers by kind of token mixer [1].
        window: width of the window [tokens].
        linear_params: parameters of the mixer of one linear layer [1].
        linear_state_bytes: state of one sequence in one linear layer [B].
        is_mla: 1 for a latent cache.
        q_lora, kv_lora, rope_dim, nope_dim: ranks and head parts of latent attention [1].
        dense_layers: layers with a dense feed-forward of width ``ffn`` [1].
        ffn: inner width of it [1].
        moe_layers: layers with experts [1].
        experts, topk, expert_ffn, shared_ffn: the mixture [1].
        matrices: 3 for a gated feed-forward, 2 for a plain one.
        vocab: rows of the head [1].
        parallel_block: 1 when attention and feed-forward share one all-reduce.
        kv_bytes: bytes of one cached value [B].
    """

    hidden: float
    heads: float
    kv_heads: float
    qk_dim: float
    v_dim: float
    full_layers: float
    window_layers: float
    linear_layers: float
    window: float
    linear_params: float
    linear_state_bytes: float
    is_mla: float
    q_lora: float
    kv_lora: float
    rope_dim: float
    nope_dim: float
    dense_layers: float
    ffn: float
    moe_layers: float
    experts: float
    topk: float
    expert_ffn: float
    shared_ffn: float
    matrices: float
    vocab: float
    parallel_block: float
    kv_bytes: float


class EngineArgs(NamedTuple):
    """An engine generation and layout as one iteration sees them.

    Args:
        tp, pp, dp, ep: layout [1].
        host_s: host time per iteration that does not hide behind the chip [s].
        host_per_seq_s: further host time per running sequence [s].
        launch_s: host time to launch one kernel outside a graph [s].
        layer_kernels: kernels of one layer [1].
        decode_graphs, prefill_graphs: 1 when such iterations replay graphs.
        grouped_decode: 1 when decode attention reads a cache head once for its whole group of query heads.
        alltoall: 1 when experts exchange tokens by all-to-all, 0 by all-gather and reduce-scatter.
        dispatch_bytes: bytes of one value on the way to the experts [B].
        small_kernels: kernels of one layer that only move bytes [1].
        score_passes: times that the scores of a prompt pass through memory, 0 when attention is fused [1].
        cache_reads: time of decode attention inside the engine over prompt attention, both over their isolated time [1].
        matmul, experts, attention, memory, collective: time inside the engine over the isolated time of such a kernel [1].
        prompt_kernels: time to launch the kernels of a layer with prompts over that of one without [1].
        expert_kernels: kernels that only move bytes between the products of experts that are no fused program [1].
        expert_copies: bytes that these move for each value of a token-expert pair [B].
    """

    tp: float
    pp: float
    dp: float
    ep: float
    host_s: float
    host_per_seq_s: float
    launch_s: float
    layer_kernels: float
    decode_graphs: float
    prefill_graphs: float
    grouped_decode: float
    alltoall: float
    dispatch_bytes: float
    small_kernels: float
    score_passes: float
    cache_reads: float
    matmul: float
    experts: float
    attention: float
    memory: float
    collective: float
    prompt_kernels: float = 1.0
    expert_kernels: float = 0.0
    expert_copies: float = 0.0


class OpArgs(NamedTuple):
    """The operators of one chip, each at the precision that the engine runs it in.

    Args:
        gemm_attention, gemm_ffn, gemm_head: products of the attention projections, the dense feed-forward, the head.
        moe: grouped products of the experts.
        attention: attention kernels (the latent ones for a latent cache).
        memory: kernels that only move bytes.
        link: collectives.
        moe_bound: grouped products that those of the experts are never slower than.
        bounded: 1 when there is such a bound.
    """

    gemm_attention: GemmArgs
    gemm_ffn: GemmArgs
    gemm_head: GemmArgs
    moe: MoeArgs
    attention: AttentionArgs
    memory: MemoryArgs
    link: LinkArgs
    moe_bound: MoeArgs
    bounded: float


class IterationArgs(NamedTuple):
    """Everything that the time of an iteration depends on besides its load."""

    shape: ShapeArgs
    engine: EngineArgs
    ops: OpArgs


class IterationTerms(NamedTuple):
    """Parts of the time of one iteration; the iteration takes their sum [s].

    Args:
        projections: products before and after attention.
        prefill_attention, decode_attention: attention of prompt chunks and of decoding sequences.
        mixer: linear-attention layers.
        ffn: dense feed-forward and shared experts.
        experts: routed experts.
        elementwise: norms, activations, rotations, cache writes, residual sums.
        tensor_comm, expert_comm, pipeline_comm: exposed traffic.
        head: output head and sampling.
        launch: time that the chip waits for launches.
        host: scheduling and detokenising.
    """

    projections: float
    prefill_attention: float
    decode_attention: float
    mixer: float
    ffn: float
    experts: float
    elementwise: float
    tensor_comm: float
    expert_comm: float
    pipeline_comm: float
    head: float
    launch: float
    host: float
