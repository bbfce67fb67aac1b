"""Named arguments for the examples in docstrings and for tests."""

from __future__ import annotations

from suanzhang.perf.training.args import LayoutArgs, RunArgs, ShapeArgs

GPT3 = ShapeArgs(
    layers=96.0,
    hidden=12288.0,
    heads=96.0,
    kv_heads=96.0,
    qk_dim=128.0,
    v_dim=128.0,
    q_lora=0.0,
    kv_lora=0.0,
    rope_dim=0.0,
    attention_params=4.0 * 12288.0 * 12288.0,
    ffn=49152.0,
    matrices=2.0,
    vocab=51200.0,
    tied=1.0,
    positions=2048.0,
    experts=0.0,
    topk=0.0,
    expert_ffn=0.0,
    shared_ffn=0.0,
    dense_layers=0.0,
    moe_every=1.0,
    window=0.0,
    window_layers=0.0,
    causal=1.0,
    mtp_layers=0.0,
)
"""GPT-3 175B."""

EXAMPLE_LAYOUT = LayoutArgs(
    tp=8.0,
    pp=8.0,
    dp=16.0,
    cp=1.0,
    ep=1.0,
    etp=8.0,
    vpp=1.0,
    sp=1.0,
    zero=1.0,
    micro_batch=1.0,
    recompute=2.0,
    recompute_layers=0.0,
    schedule=1.0,
    overlap_dp=1.0,
    overlap_tp=0.0,
    overlap_pp=0.0,
    offload_optimizer=0.0,
    offload_activations=0.0,
)
"""1,024 chips: tensor 8, pipeline 8, data 16, all activations recomputed."""

EXAMPLE_RUN = RunArgs(
    seq=2048.0,
    global_batch=1536.0,
    param_bytes=2.0,
    grad_bytes=4.0,
    optimizer_bytes=12.0,
    reduce_bytes=4.0,
    element_bytes=2.0,
    gemm_bytes=2.0,
    quantized=0.0,
    frozen=0.0,
    lora_rank=0.0,
    frozen_bytes=2.0,
    attention=1.0,
    fused=1.0,
    fused_loss=0.0,
    dropout=1.0,
    layer_kernels=24.0,
    launch_s=5e-6,
    graphs=0.0,
    step_overhead_s=0.01,
    overlap_dp=0.0,
    overlap_tp=0.0,
    reserve_bytes=2e9,
    fragmentation=0.04,
    hbm_bytes=80e9,
    hbm_bytes_per_s=2.039e12,
    host_bytes_per_s=25e9,
    domain=8.0,
    host_updates=1.0,
)
"""A 2021 stack on an 80 GB chip, sequences of 2,048 tokens, 1,536 of them in a step."""
