"""From specs to the plain numbers of the training formulas."""

from __future__ import annotations

from suanzhang.errors import InputError
from suanzhang.perf.training.args import LayoutArgs, RunArgs, ShapeArgs
from suanzhang.perf.training.routing import routed_share
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import Recompute, Schedule, TrainLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.precision import precision_of
from suanzhang.spec.stack import AttentionKernel, TrainStack

RECOMPUTE_CODES: dict[Recompute, float] = {"none": 0.0, "selective": 1.0, "full": 2.0}
SCHEDULE_CODES: dict[Schedule, float] = {
    "gpipe": 0.0,
    "1f1b": 1.0,
    "interleaved": 2.0,
    "zero-bubble": 3.0,
    "dualpipe": 4.0,
    "zero-bubble-2p": 5.0,
}
ATTENTION_CODES: dict[AttentionKernel, float] = {
    "unfused": 0.0,
    "fused-softmax": 1.0,
    "flash1": 2.0,
    "flash2": 3.0,
    "flash3": 4.0,
    "splash": 4.0,
}
OPTIMIZER_STATE_BYTES = {
    "adam": 8.0, "adamw": 8.0, "adam8bit": 2.0 + 8.0 / 2048.0, "adafactor": 0.0, "muon": 4.0, "sgd": 4.0,
}  # fmt: skip
"""Bytes of the moments per parameter, without the 32-bit master copy. 8-bit Adam keeps two bytes and two 32-bit scales per
block of 2,048 ([dettmers2021] section 2.1); Adafactor keeps a row and a column for the second moment of a matrix, under a
thousandth of a byte per parameter, and no first moment ([adafactor2018] section 4 and 7); Muon one momentum ([muon2024]), SGD
the same."""
ENDS_STATE_BYTES = {"muon": 8.0}
"""Bytes of the moments of one parameter of embedding and head where they are not those of the rest: Muon leaves these to
AdamW."""
NF4_UNPACK_BYTES = 0.5625 + 2.0
"""Least traffic to unpack one 4-bit weight with its scale into 16 bit for a product ([qlora2023] section 3: every use, forward
and backward); what the product then reads is its own."""
NAMEPLATE_BYTES = 1.055
"""Usable over nameplate memory: stacks of memory hold binary gigabytes (2^30 / 10^9), of which firmware keeps about 2 %
(the driver shows 81,559 MiB on a chip of 80 GB)."""
SYNC_WAIT_S = 4.0e-5
"""Time lost at each kernel when the host waits for it before it prepares the next: wake-up, framework and launch."""
HOST_LINK_BYTES_PER_S = 25.0e9
"""PCIe generation 4 x16 as reached by pinned copies; one direction."""


def shape_args(model: ModelSpec) -> ShapeArgs:
    """Numbers of a model's shape.

    Raises:
        InputError: a size that must be positive is not.
    """
    if min(model.layers, model.hidden, model.heads, model.kv_heads, model.head_dim, model.vocab) <= 0:
        raise InputError(f"model {model.id}: its shape has a size that is not positive", fix="give the full shape")
    mla, moe, window = model.mla, model.moe, model.window
    return ShapeArgs(
        layers=float(model.layers),
        hidden=float(model.hidden),
        heads=float(model.heads),
        kv_heads=float(model.kv_heads),
        qk_dim=float(mla.nope_dim + mla.rope_dim if mla else model.head_dim),
        v_dim=float(mla.v_dim if mla else model.head_dim),
        q_lora=float(mla.q_lora if mla else 0),
        kv_lora=float(mla.kv_lora if mla else 0),
        rope_dim=float(mla.rope_dim if mla else 0),
        attention_params=model.attention_params,
        ffn=float(model.ffn),
        matrices=3.0 if model.gated_mlp else 2.0,
        vocab=float(model.vocab),
        tied=float(model.tied_embeddings),
        positions=float(model.max_seq if model.learned_positions else 0),
        experts=float(moe.experts if moe else 0),
        topk=float(moe.topk if moe else 0),
        expert_ffn=float(moe.expert_ffn if moe else 0),
        shared_ffn=float(moe.shared_ffn if moe else 0),
        dense_layers=float(moe.dense_layers if moe else 0),
        moe_every=float(moe.every if moe else 1),
        window=float(window.tokens if window else 0),
        window_layers=float(window.layers if window else 0),
        causal=0.0 if model.encoder_only else 1.0,
        mtp_layers=float(model.mtp_layers),
        groups=float(moe.groups if moe else 1),
        topk_groups=float(moe.topk_groups if moe else 0),
    )


def kernel_on(kernel: AttentionKernel, chip: ChipSpec) -> AttentionKernel:
    """The attention kernel that a stack really runs on a chip.

    FlashAttention needs Ampere or later among NVIDIA's chips ([flashattention2], requirements of its library); on Volta and
    Turing, which lack bf16, Megatron falls back on its fused softmax, whose scores go through memory.
    """
    old = chip.vendor.lower() == "nvidia" and "bf16" not in chip.peak_flop_per_s
    return "fused-softmax" if old and kernel.startswith("flash") else kernel


def attention_slowdown(kernel: AttentionKernel, chip: ChipSpec) -> float:
    """Time of a stack's attention kernel over the kernel generation that the profiles were timed with.

    FlashAttention-1 reaches about half of the rate of FlashAttention-2 on the same chip ([flashattention2] figure 5);
    FlashAttention-2 about 0.6 of FlashAttention-3 on chips with asynchronous tensor cores ([flashattention3] figure 5).
    """
    hopper_or_later = "fp8" in chip.peak_flop_per_s and chip.peak_flop_per_s.get("bf16", 0.0) > 5e14
    newest = 1.6 if hopper_or_later else 1.0
    return {"flash1": 2.0 * newest, "flash2": newest}.get(kernel, 1.0)


def int8_weight_grad(precision: str, chip: ChipSpec) -> float:
    """Time of a weight gradient over that of a product in the format in use: quantised training in int8 keeps it in 16 bit."""
    if precision != "int8":
        return 1.0
    peaks = chip.peak_flop_per_s
    return max(1.0, peaks["int8"] / peaks["bf16"]) if "int8" in peaks and "bf16" in peaks else 1.0


def run_args(job: TrainJob, chip: ChipSpec, stack: TrainStack, domain: float, imbalance: float = 1.0) -> RunArgs:
    """Numbers of a job on a chip with a stack.

    Args:
        job: the training job.
        chip: the chip.
        stack: the generation of software.
        domain: chips that share the scale-up link.
        imbalance: tokens of the fullest expert rank over the mean.

    Raises:
        InputError: unknown optimizer, or a batch or sequence that is not positive.
    """
    if job.optimizer not in OPTIMIZER_STATE_BYTES:
        raise InputError(f"unknown optimizer {job.optimizer!r}", fix=f"use one of {', '.join(OPTIMIZER_STATE_BYTES)}")
    if job.seq_len <= 0 or job.global_batch <= 0:
        raise InputError(f"job {job.name}: seq_len and global_batch must be positive", fix="give both as whole numbers")
    form = precision_of(job.precision)
    dtype_bytes = form.value_bytes
    element = 4.0 if job.precision in ("fp32", "tf32") else 2.0
    quantized = 1.0 if dtype_bytes < 2.0 else 0.0
    adam = job.optimizer in ("adam", "adamw")
    attention = kernel_on(stack.attention, chip)
    master = max(0.0, stack.optimizer_bytes - 8.0)
    kept = stack.bf16_optimizer_bytes if job.precision == "bf16" and stack.bf16_optimizer_bytes else stack.optimizer_bytes
    states = kept if adam else master + OPTIMIZER_STATE_BYTES[job.optimizer]
    frozen = job.method != "full"
    return RunArgs(
        seq=float(job.seq_len),
        global_batch=float(job.global_batch),
        param_bytes=max(stack.param_bytes, element) if element == 4.0 else stack.param_bytes,
        grad_bytes=stack.bf16_grad_bytes if job.precision == "bf16" and stack.bf16_grad_bytes else stack.grad_bytes,
        optimizer_bytes=8.0 if element == 4.0 and adam else states,
        reduce_bytes=stack.reduce_bytes,
        element_bytes=element,
        gemm_bytes=dtype_bytes,
        quantized=quantized,
        frozen=float(frozen),
        lora_rank=float(job.lora_rank),
        frozen_bytes=0.5625 if job.method == "qlora" else (dtype_bytes if quantized else element),
        attention=ATTENTION_CODES[attention],
        fused=float(stack.fused_elementwise),
        fused_loss=float(stack.fused_loss),
        dropout=float(stack.dropout),
        layer_kernels=stack.layer_kernels,
        launch_s=stack.launch_s,
        graphs=float(stack.graphs),
        step_overhead_s=stack.step_overhead_s,
        overlap_dp=stack.overlap_dp,
        overlap_tp=stack.overlap_tp,
        overlap_pp=stack.overlap_pp,
        selective_products=stack.selective_products,
        reserve_bytes=stack.reserve_bytes,
        fragmentation=stack.fragmentation,
        hbm_bytes=NAMEPLATE_BYTES * chip.hbm_bytes,
        hbm_bytes_per_s=chip.hbm_bytes_per_s,
        host_bytes_per_s=HOST_LINK_BYTES_PER_S,
        domain=domain,
        attention_slowdown=attention_slowdown(attention, chip),
        capacity=routed_share(max(imbalance, job.imbalance), job.capacity_factor, float(job.pad_to_capacity)).load,
        whole_reduce=float(stack.whole_reduce),
        owner_s=stack.owner_s,
        loss_bytes=stack.loss_bytes or 2.0 * element + 4.0,
        loss_tokens=stack.loss_tokens,
        overlap_ep=stack.overlap_ep,
        shard_calls=stack.shard_calls,
        unpack_bytes=(stack.unpack_bytes or NF4_UNPACK_BYTES) if job.method == "qlora" else 0.0,
        ends_state_bytes=max(0.0, ENDS_STATE_BYTES.get(job.optimizer, 0.0) - OPTIMIZER_STATE_BYTES[job.optimizer]),
        weight_grad=int8_weight_grad(job.precision, chip),
        dedup_ep=float(stack.dedup_ep),
        whole_init=float(stack.whole_init),
        trained_ends=float(frozen and job.trained_ends),
        overlap_cp=stack.overlap_cp,
        overlap_cp_a2a=stack.overlap_cp_a2a,
        overlap_gather=stack.overlap_gather,
        quantize_reads=form.reads,
        quantize_writes=form.writes,
        wide_share=form.wide_share,
        copy_bytes=form.copy_bytes,
        sent_bytes=stack.sent_bytes if quantized else 0.0,
        saved_bytes=stack.saved_bytes if quantized else 0.0,
        waits=SYNC_WAIT_S / stack.launch_s if stack.sync_launch else 0.0,
    )


def layout_args(layout: TrainLayout) -> LayoutArgs:
    """Numbers of a layout."""
    return LayoutArgs(
        tp=float(layout.tp),
        pp=float(layout.pp),
        dp=float(layout.dp),
        cp=float(layout.cp),
        ep=float(layout.ep),
        etp=float(layout.etp or layout.tp),
        vpp=float(layout.vpp),
        sp=float(layout.sp and layout.tp > 1),
        zero=float(layout.zero_stage),
        micro_batch=float(layout.micro_batch),
        recompute=RECOMPUTE_CODES[layout.recompute],
        recompute_layers=float(layout.recompute_layers),
        schedule=SCHEDULE_CODES["interleaved" if layout.vpp > 1 and layout.schedule == "1f1b" else layout.schedule],
        overlap_dp=float(layout.overlap_dp),
        overlap_tp=float(layout.overlap_tp),
        overlap_pp=float(layout.overlap_pp),
        offload_optimizer=float(layout.offload_optimizer),
        offload_activations=float(layout.offload_activations),
        cp_a2a=float(layout.cp > 1 and layout.cp_kind == "a2a"),
        shard_ranks=float(layout.shard_ranks),
        head_layers=float(layout.head_layers),
    )


def unpack_layout(row: LayoutArgs) -> TrainLayout:
    """A layout from its numbers."""
    recompute: dict[float, Recompute] = {code: name for name, code in RECOMPUTE_CODES.items()}
    schedule: dict[float, Schedule] = {code: name for name, code in SCHEDULE_CODES.items()}
    return TrainLayout(
        tp=int(row.tp),
        pp=int(row.pp),
        dp=int(row.dp),
        cp=int(row.cp),
        ep=int(row.ep),
        etp=int(row.etp),
        vpp=int(row.vpp),
        sp=bool(row.sp),
        zero_stage=int(row.zero),
        micro_batch=int(row.micro_batch),
        recompute=recompute[float(row.recompute)],
        recompute_layers=int(row.recompute_layers),
        schedule=schedule[float(row.schedule)],
        overlap_dp=bool(row.overlap_dp),
        overlap_tp=bool(row.overlap_tp),
        overlap_pp=bool(row.overlap_pp),
        offload_optimizer=bool(row.offload_optimizer),
        offload_activations=bool(row.offload_activations),
        cp_kind="a2a" if row.cp_a2a else "ring",
        shard_ranks=int(row.shard_ranks),
        head_layers=int(row.head_layers),
    )
