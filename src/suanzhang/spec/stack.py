"""Generations of software as small sets of physical settings, never a free factor per source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from suanzhang.spec.layout import Recompute, Schedule

KernelFamily = Literal["megatron-fused", "megatron-deepspeed", "megatron-core", "pytorch", "compiled"]
AttentionKernel = Literal["unfused", "fused-softmax", "flash1", "flash2", "flash3", "splash"]


@dataclass(frozen=True, slots=True)
class TrainStack:
    """A generation of training software.

    Args:
        id: such as ``megatron-lm-2021``.
        title: in words.
        released: month of the generation, ISO.
        attention: attention kernel.
        fused_elementwise: norms, biases, activations and dropout run as fused kernels.
        overlap_dp: share of the gradient and parameter traffic that may hide behind compute.
        overlap_tp: share of the tensor-parallel traffic that may hide behind compute.
        launch_s: host time to launch one kernel.
        graphs: kernels are replayed as graphs, so that launches cost almost nothing.
        step_overhead_s: host and framework time per optimizer step.
        profile: id of the family of kernel timings that fits it best; empty for the chip's default.
        source: key of the source of the settings.
        fused_loss: the loss is computed without keeping the logits in 32 bits beside their copy.
        dropout: activations carry dropout masks.
        param_bytes: bytes of one weight as kept for the forward pass.
        grad_bytes: bytes of one gradient as kept between micro-batches.
        optimizer_bytes: bytes of optimizer state (master copy and moments of Adam) per parameter.
        reduce_bytes: bytes of one gradient on the wire between data ranks.
        layer_kernels: kernels that the forward pass of one dense layer launches.
        overlap_pp: share of the messages between pipeline stages that may hide behind compute.
        selective_products: share of the forward products that selective recompute repeats.
        default_recompute: what is recomputed when a layout does not say.
        default_zero_stage: what is sharded over the data ranks when a layout does not say.
        default_chunk_layers: layers of one virtual pipeline chunk when a layout does not say; 0 for no interleaving.
        sequence_parallel: the stack can shard norms and dropout over the tensor group.
        reserve_bytes: memory of the driver, the libraries and the communication buffers.
        fragmentation: share of the allocated memory that the allocator cannot use again.
        bf16_grad_bytes: the same as ``grad_bytes`` under bf16 where that differs (an optimizer of its own); 0 otherwise.
        bf16_optimizer_bytes: the same as ``optimizer_bytes`` under bf16 where that differs; 0 otherwise.
        whole_reduce: ranks that shard only the optimizer still sum whole gradients.
        owner_s: time that each owner of a shard takes to send out what it updated, one after another; 0 for an all-gather.
        loss_bytes: bytes per logit that a plain loss holds at its fullest; 0 for the 16-bit logits, a 32-bit copy and a
            gradient.
        loss_tokens: tokens whose logits exist at once; 0 for all of a micro-batch.
        overlap_ep: share of the traffic between experts that may hide behind compute.
        shard_calls: exchanges of one layer and pass where parameters are sharded: one per layer, or one per parameter.
        unpack_bytes: traffic to unpack one frozen 4-bit weight for a product; 0 for the least: read packed, written in 16 bit.
        kernels: family of libraries, compilers and fused kernels that the products run with.
        whole_init: each chip builds the whole model before it keeps its shard of it.
        dedup_ep: a token crosses to each node once, whatever number of experts it has there.
        sync_launch: the host waits for each kernel before it launches the next (``CUDA_LAUNCH_BLOCKING=1``).
        overlap_cp: share of the traffic round a ring of context ranks that may hide behind the attention.
        overlap_cp_a2a: the same of an all-to-all of heads between them.
        overlap_gather: share of the gathers of inputs for weight gradients, between tensor ranks, that may hide.
        sent_bytes: bytes of a value on its way to the experts under 8 bit; 0 for the format of activations.
        saved_bytes: bytes of an activation inside a layer that is kept for the backward pass under 8 bit; 0 for the same.
        schedules: pipeline schedules that the software has and a search tries; interleaving comes with chunks.
        asked_overlap: communications (``dp``, ``tp``, ``pp``, ``cp``, ``ep``) whose share a user has set.
    """

    id: str
    title: str
    released: str
    attention: AttentionKernel
    fused_elementwise: bool
    overlap_dp: float
    overlap_tp: float
    launch_s: float
    graphs: bool
    step_overhead_s: float
    profile: str = ""
    source: str = ""
    fused_loss: bool = False
    dropout: bool = False
    param_bytes: float = 2.0
    grad_bytes: float = 4.0
    optimizer_bytes: float = 12.0
    reduce_bytes: float = 4.0
    layer_kernels: float = 24.0
    overlap_pp: float = 1.0
    selective_products: float = 0.0
    default_recompute: Recompute = "selective"
    default_zero_stage: int = 1
    default_chunk_layers: int = 0
    sequence_parallel: bool = True
    reserve_bytes: float = 2.0e9
    fragmentation: float = 0.04
    bf16_grad_bytes: float = 0.0
    whole_reduce: bool = False
    owner_s: float = 0.0
    loss_bytes: float = 0.0
    loss_tokens: float = 0.0
    overlap_ep: float = 0.0
    shard_calls: float = 1.0
    unpack_bytes: float = 0.0
    kernels: KernelFamily = "pytorch"
    sync_launch: bool = False
    bf16_optimizer_bytes: float = 0.0
    whole_init: bool = False
    dedup_ep: bool = False
    overlap_cp: float = 1.0
    overlap_cp_a2a: float = 0.0
    overlap_gather: float = 1.0
    sent_bytes: float = 0.0
    saved_bytes: float = 0.0
    schedules: tuple[Schedule, ...] = ("1f1b",)
    asked_overlap: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServeStack:
    """A generation of an inference engine.

    Args:
        id: such as ``vllm-0.10``.
        title: in words.
        engine: "vllm", "sglang", "trtllm", "fastertransformer", ...
        version: of the engine.
        released: month, ISO.
        batching: "continuous" or "static".
        chunked_prefill: prefill is cut to the token budget and mixed with decode.
        max_batched_tokens: token budget of one iteration.
        max_seqs: most sequences that run at once.
        block_tokens: tokens of one cache page.
        memory_fraction: share of the memory that the engine takes.
        graphs: decode iterations replay graphs.
        host_s: host time per iteration that does not hide behind the chip.
        host_per_seq_s: further host time per running sequence and iteration.
        launch_s: host time to launch one kernel without graphs.
        profile: id of the family of kernel timings that fits it best; empty for the chip's default.
        source: key of the source of the settings.
        memory_of_free: ``memory_fraction`` counts from what is free after weights and activations, not from all memory.
        kv_reserve: whether a sequence is admitted with pages for its whole answer ("full") or grows into them ("grow").
        mixed_batches: prompt chunks and decoding share an iteration; otherwise prompts run in iterations of their own.
        prefill_graphs: iterations with prompts replay graphs too.
        layer_kernels: kernels that one dense layer launches.
        reserve_bytes: memory of the driver, the libraries, graphs and communication buffers per chip.
        grouped_decode: decode attention reads a cache head once for all query heads of its group; early kernels did not.
        request_s: time from arrival to the engine that is no queueing: HTTP, tokeniser, hand-over.
        request_per_seq_s: further such time per running sequence, whose tokens pass through the same front end.
        pads_heads: a tensor size that does not divide the heads is allowed; the heads are padded.
        alltoall: experts exchange tokens by all-to-all; otherwise by all-gather and reduce-scatter.
        policy: batch policy for the event simulation.
        direct_allreduce: small all-reduces go through peer memory in a kernel of the engine; otherwise NCCL does them all.
        switch_sums: NCCL lets switches that can add up do so (2.17 and later); otherwise its all-reduces are rings.
        fused_prefill: attention of prompts keeps its scores on the chip; early engines wrote them to memory.
        score_passes: times that such scores pass through memory.
        prefill_attention: time of prompt attention over that of the timed kernels; early engines used slower ones.
        poll_iterations: iterations between two looks at new requests.
        hold_iterations: iterations for which prompts are held back so that more of them start together, and
        hold_tokens: prompt tokens that end the wait; 0 for none.
        ahead_iterations: iterations that a busy engine has already scheduled when a request comes, beside the one that runs:
            one where the host prepares the next iteration while the chip works on this one.
        first_use_s: time for which a cold engine compiles kernels when it first cuts a prompt to its budget; 0 for one that is
            warm or brings its kernels compiled.
        prompt_kernels: time to launch the kernels of a layer with prompts over that of one without.
        encoder_kernels: kernels of one layer of an encoder, whose attention such an engine fuses; 0 when it treats encoders
            as any other model.
        expert_kernels: further kernels of a layer whose experts are products with copies and narrowing between them, and not
            one fused program, and
        expert_copies: bytes that these move for each value of a token-expert pair [B].
    """

    id: str
    title: str
    engine: str
    version: str
    released: str
    batching: Literal["continuous", "static"]
    chunked_prefill: bool
    max_batched_tokens: int
    max_seqs: int
    block_tokens: int
    memory_fraction: float
    graphs: bool
    host_s: float
    host_per_seq_s: float
    launch_s: float
    profile: str = ""
    source: str = ""
    memory_of_free: bool = False
    kv_reserve: Literal["full", "grow"] = "grow"
    mixed_batches: bool = True
    prefill_graphs: bool = False
    layer_kernels: float = 12.0
    reserve_bytes: float = 1.5e9
    grouped_decode: bool = True
    request_s: float = 0.0
    request_per_seq_s: float = 0.0
    pads_heads: bool = False
    alltoall: bool = False
    policy: Literal["vllm-v1", "sglang", "trtllm", "static"] = "vllm-v1"
    direct_allreduce: bool = True
    switch_sums: bool = True
    fused_prefill: bool = True
    score_passes: float = 4.0
    prefill_attention: float = 1.0
    poll_iterations: float = 1.0
    hold_iterations: float = 0.0
    hold_tokens: float = 0.0
    encoder_kernels: float = 0.0
    ahead_iterations: float = 0.0
    first_use_s: float = 0.0
    prompt_kernels: float = 1.0
    expert_kernels: float = 0.0
    expert_copies: float = 0.0
