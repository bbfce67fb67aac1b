"""A planned training as arguments of Megatron-LM, and as a Slurm script around them."""

from __future__ import annotations

import shlex

from suanzhang.perf.training.pack import layout_args, shape_args
from suanzhang.perf.training.params import stage_layers
from suanzhang.spec.launch import LaunchFile, Target, TrainPlan
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.model import ModelSpec

Args = list[tuple[str, str]]
"""Pairs of a name and its value; flags have an empty value."""

MEGATRON = Target(
    "megatron",
    "Megatron-LM",
    "core_v0.15.0",
    "https://github.com/NVIDIA/Megatron-LM/blob/core_v0.15.0/megatron/training/arguments.py",
)
SLURM = Target("slurm", "Slurm with Megatron-LM", "24.05 / core_v0.15.0", "https://slurm.schedmd.com/sbatch.html")
FSDP_STRATEGY = {2: "optim_grads", 3: "optim_grads_params"}
"""What is sharded over the data ranks, in the words of Megatron FSDP."""
FP8_RECIPES = {"fp8": "tensorwise", "fp8-block": "blockwise", "mxfp8": "mxfp8"}


def model_arguments(model: ModelSpec, seq_len: int) -> tuple[Args, list[str]]:
    """The shape of a model, and what of it the arguments cannot say."""
    args: Args = [
        ("num-layers", str(model.layers)),
        ("hidden-size", str(model.hidden)),
        ("ffn-hidden-size", str(model.ffn)),
        ("num-attention-heads", str(model.heads)),
        ("seq-length", str(seq_len)),
        ("max-position-embeddings", str(max(model.max_seq, seq_len))),
        ("vocab-size", str(model.vocab)),
        ("position-embedding-type", "learned_absolute" if model.learned_positions else "rope"),
        ("normalization", "RMSNorm" if model.gated_mlp else "LayerNorm"),
    ]
    if model.mla is None:
        args.append(("kv-channels", str(model.head_dim)))
    if model.mla is None and model.kv_heads != model.heads:
        args += [("group-query-attention", ""), ("num-query-groups", str(model.kv_heads))]
    args += [("swiglu", "")] if model.gated_mlp else []
    args += [] if model.mlp_bias else [("disable-bias-linear", "")]
    args += [("add-qkv-bias", "")] if model.qkv_bias and not model.mlp_bias else []
    args += [] if model.tied_embeddings else [("untie-embeddings-and-output-weights", "")]
    args += [("mtp-num-layers", str(model.mtp_layers))] if model.mtp_layers else []
    args += _latent(model) + _mixture(model)
    unsaid = [f"normalization {dict(args)['normalization']} follows from the kind of feed-forward: check it"]
    unsaid += ["attention and feed-forward side by side: no argument"] if model.parallel_block else []
    unsaid += ["layers of linear attention: no argument"] if model.linear else []
    unsaid += ["a window that some layers use: give --window-size and --window-attn-skip-freq"] if model.window else []
    unsaid += ["no causal mask: start pretrain_bert.py instead"] if model.encoder_only else []
    return args, unsaid


def _latent(model: ModelSpec) -> Args:
    if model.mla is None:
        return []
    latent = model.mla
    query = [("q-lora-rank", str(latent.q_lora))] if latent.q_lora else []
    return [
        ("multi-latent-attention", ""),
        *query,
        ("kv-lora-rank", str(latent.kv_lora)),
        ("qk-head-dim", str(latent.nope_dim)),
        ("qk-pos-emb-head-dim", str(latent.rope_dim)),
        ("v-head-dim", str(latent.v_dim)),
    ]


def moe_pattern(model: ModelSpec) -> str:
    """Which layers are mixtures, as a Python list expression of ones and zeros, or a plain number."""
    if model.moe is None:
        return "1"
    if not model.moe.dense_layers:
        return str(model.moe.every)
    rest = model.layers - model.moe.dense_layers
    period = f"([0]*{model.moe.every - 1}+[1])*{rest // model.moe.every}" if model.moe.every > 1 else f"[1]*{rest}"
    return f"([0]*{model.moe.dense_layers}+{period})"


def _mixture(model: ModelSpec) -> Args:
    if model.moe is None:
        return []
    shared = [("moe-shared-expert-intermediate-size", str(model.moe.shared_ffn))] if model.moe.shared_ffn else []
    return [
        ("num-experts", str(model.moe.experts)),
        ("moe-router-topk", str(model.moe.topk)),
        ("moe-ffn-hidden-size", str(model.moe.expert_ffn)),
        *shared,
        ("moe-layer-freq", moe_pattern(model)),
        ("moe-grouped-gemm", ""),
        ("moe-token-dispatcher-type", "alltoall"),
    ]


def ends_count(layout: TrainLayout, model: ModelSpec) -> bool:
    """Whether embedding and head count as a layer each, so that the chunks of a pipeline come out equal."""
    chunks = layout.pp * layout.vpp
    return layout.pp > 1 and not layout.head_layers and bool(model.layers % chunks) and (model.layers + 2) % chunks == 0


def chunk_layers(layout: TrainLayout, model: ModelSpec) -> list[int]:
    """The layers of every chunk in the order that a micro-batch meets them: the first chunk of each stage, then the second."""
    shape, row = shape_args(model), layout_args(layout)
    held = [int(stage_layers(shape, row, float(stage))) for stage in range(layout.pp)]
    return [own // layout.vpp + (chunk < own % layout.vpp) for chunk in range(layout.vpp) for own in held]


def even_stages(layout: TrainLayout, model: ModelSpec) -> bool:
    """Whether every stage and chunk holds the same number of layers."""
    return layout.pp == 1 or (not layout.head_layers and model.layers % (layout.pp * layout.vpp) == 0)


def uneven_stages(layout: TrainLayout, model: ModelSpec) -> str:
    """The layers of every stage and chunk as the plan spreads them, as ``Ettt|tttt|tttL``; empty where they divide."""
    if even_stages(layout, model) or ends_count(layout, model):
        return ""
    stages = ["t" * count for count in chunk_layers(layout, model)]
    stages[0] = "E" + stages[0]
    stages[-1] += "m" * model.mtp_layers + "L"
    return "|".join(stages)


def layout_arguments(layout: TrainLayout, model: ModelSpec) -> tuple[Args, list[str]]:
    """A layout, and what of it the arguments cannot say."""
    args: Args = [
        ("tensor-model-parallel-size", str(layout.tp)),
        ("pipeline-model-parallel-size", str(layout.pp)),
        ("context-parallel-size", str(layout.cp)),
        *((("cp-comm-type", "a2a"),) if layout.cp > 1 and layout.cp_kind == "a2a" else ()),
    ]
    args += [("expert-model-parallel-size", str(layout.ep))] if model.moe else []
    args += [("expert-tensor-parallel-size", str(layout.etp or layout.tp))] if model.moe else []
    args += [("sequence-parallel", "")] if layout.sp and layout.tp > 1 else []
    cut = uneven_stages(layout, model)
    args += [("num-virtual-stages-per-pipeline-rank", str(layout.vpp))] if layout.vpp > 1 and not cut else []
    args += [("pipeline-model-parallel-layout", cut)] if cut else []
    args += [("tp-comm-overlap", "")] if layout.overlap_tp and layout.sp and layout.tp > 1 else []
    if ends_count(layout, model):
        args += [("account-for-embedding-in-pipeline-split", ""), ("account-for-loss-in-pipeline-split", "")]
    unsaid = []
    if layout.overlap_tp and layout.tp > 1 and not layout.sp:
        unsaid.append("overlap of the tensor-parallel traffic without sequence parallelism")
    if layout.schedule not in ("1f1b", "interleaved"):
        unsaid.append(f"pipeline schedule {layout.schedule}: Megatron-LM runs 1f1b or interleaved")
    if layout.offload_activations:
        unsaid.append("activations in host memory: no argument of this version")
    sharding, further = _sharding(layout)
    recompute, noted = _recompute(layout, model)
    return args + sharding + recompute, unsaid + further + noted


def _sharding(layout: TrainLayout) -> tuple[Args, list[str]]:
    args: Args = []
    unsaid: list[str] = []
    if layout.zero_stage >= 2:
        args = [("use-megatron-fsdp", ""), ("data-parallel-sharding-strategy", FSDP_STRATEGY[layout.zero_stage])]
        args += [("use-distributed-optimizer", ""), ("ckpt-format", "fsdp_dtensor")]
        unsaid += ["gradients or parameters sharded beside a pipeline: Megatron FSDP may refuse it"] if layout.pp > 1 else []
    elif layout.zero_stage == 1:
        args = [("use-distributed-optimizer", "")]
        instances = layout.dp * layout.cp // layout.shard_ranks if layout.shard_ranks else 1
        args += [("num-distributed-optimizer-instances", str(instances))] if instances > 1 else []
    if layout.overlap_dp:
        args += [("overlap-grad-reduce", "")]
        args += [("overlap-param-gather", "")] if layout.zero_stage else []
    if layout.offload_optimizer:
        args += [("optimizer-cpu-offload", ""), ("optimizer-offload-fraction", "1.0"), ("use-precision-aware-optimizer", "")]
        unsaid += [] if layout.zero_stage else ["the optimizer on the host without sharding it: Megatron-LM may refuse it"]
    return args, unsaid


def _recompute(layout: TrainLayout, model: ModelSpec) -> tuple[Args, list[str]]:
    if layout.recompute == "none":
        return [], []
    if layout.recompute == "selective":
        return [("recompute-granularity", "selective")], []
    per_stage = -(-model.layers // layout.pp)
    if not layout.recompute_layers or layout.recompute_layers >= per_stage:
        return [
            ("recompute-granularity", "full"),
            ("recompute-method", "uniform"),
            ("recompute-num-layers", "1"),
        ], []
    layers = -(-layout.recompute_layers // layout.vpp)
    noted = []
    if layout.recompute_layers % layout.vpp:
        noted.append(f"{layout.recompute_layers} recomputed layers of {layout.vpp} chunks become {layers} in each chunk")
    args = [("recompute-granularity", "full"), ("recompute-method", "block"), ("recompute-num-layers", str(layers))]
    return args, noted


def run_arguments(plan: TrainPlan) -> tuple[Args, list[str]]:
    """Batch, steps, precision and optimizer, and what of them the arguments cannot say."""
    args: Args = [
        ("micro-batch-size", str(plan.layout.micro_batch)),
        ("global-batch-size", str(plan.global_batch)),
        ("train-iters", str(plan.steps)),
    ]
    unsaid = []
    if plan.precision in FP8_RECIPES:
        args += [("bf16", ""), ("fp8-format", "hybrid"), ("fp8-recipe", FP8_RECIPES[plan.precision])]
    elif plan.precision in ("nvfp4", "nvfp4-mixed"):
        args += [("bf16", ""), ("fp4-format", "e2m1"), ("fp4-recipe", "nvfp4")]
        unsaid += ["layers in 16 bit: none is named"] if plan.precision == "nvfp4-mixed" else []
    elif plan.precision in ("bf16", "fp16"):
        args.append((plan.precision, ""))
    elif plan.precision != "fp32":
        unsaid.append(f"precision {plan.precision}: no argument, the run is in 32 bits")
    if plan.optimizer in ("adam", "sgd"):
        args.append(("optimizer", plan.optimizer))
    else:
        unsaid.append(f"optimizer {plan.optimizer}: Megatron-LM {MEGATRON.version} has adam and sgd")
    return args, unsaid


def capacity_arguments(plan: TrainPlan) -> Args:
    """How many tokens an expert takes; nothing of dropless routing."""
    if plan.model.moe is None or plan.capacity_factor <= 0.0:
        return []
    padded: Args = [("moe-pad-expert-input-to-capacity", "")] if plan.pad_to_capacity else []
    return [("moe-expert-capacity-factor", f"{plan.capacity_factor:g}"), *padded]


def megatron_arguments(plan: TrainPlan) -> tuple[Args, list[str]]:
    """All arguments of ``pretrain_gpt.py``, and what they cannot say."""
    shape, a = model_arguments(plan.model, plan.seq_len)
    place, b = layout_arguments(plan.layout, plan.model)
    run, c = run_arguments(plan)
    shape += capacity_arguments(plan)
    data: Args = [("tokenizer-type", "NullTokenizer"), ("mock-data", "")]
    d = ["data and tokenizer: the file trains on made-up tokens until --data-path and a tokenizer are given"]
    d += ["learning rate and its schedule: give --lr, --min-lr and --lr-decay-style"]
    return shape + place + run + data, a + b + c + d


def shell_lines(args: Args) -> str:
    """Arguments as the body of a shell array, one on a line."""
    return "\n".join(f"  --{name} {shlex.quote(value)}" if value else f"  --{name}" for name, value in args)


def _torchrun(plan: TrainPlan, rendezvous: str) -> str:
    parts = [f"torchrun --nproc-per-node {plan.node_chips} --nnodes {plan.nodes}"]
    parts += [rendezvous] if plan.nodes > 1 else []
    return " ".join(parts)


def megatron(plan: TrainPlan) -> tuple[tuple[LaunchFile, ...], str, list[str]]:
    """The shell script that starts Megatron-LM."""
    args, unsaid = megatron_arguments(plan)
    start = _torchrun(
        plan, '--node-rank "${NODE_RANK:?}" --master-addr "${MASTER_ADDR:?}" --master-port "${MASTER_PORT:-29500}"'
    )
    text = (
        "#!/bin/bash\n"
        f"# {plan.model.name} on {plan.layout.chips} chips. Argument names: Megatron-LM {MEGATRON.version}.\n"
        "# Run it in a checkout of Megatron-LM, once on each node.\n"
        "set -euo pipefail\n"
        f"ARGS=(\n{shell_lines(args)}\n)\n"
        f'{start} pretrain_gpt.py "${{ARGS[@]}}" "$@"\n'
    )
    return (LaunchFile("megatron.sh", text),), "bash megatron.sh", unsaid


def slurm(plan: TrainPlan) -> tuple[tuple[LaunchFile, ...], str, list[str]]:
    """A batch job that runs the Megatron-LM script on every node."""
    files, _, unsaid = megatron(plan)
    text = (
        "#!/bin/bash\n"
        f"#SBATCH --job-name={plan.model.id}\n"
        f"#SBATCH --nodes={plan.nodes}\n"
        "#SBATCH --ntasks-per-node=1\n"
        f"#SBATCH --gpus-per-node={plan.node_chips}\n"
        "#SBATCH --exclusive\n"
        "#SBATCH --output=%x-%j.log\n"
        "set -euo pipefail\n"
        'MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)\n'
        "export MASTER_ADDR\n"
        "export MASTER_PORT=29500\n"
        "srun bash -c 'NODE_RANK=$SLURM_PROCID bash megatron.sh'\n"
    )
    note = ["partition, account and time limit: the cluster's own (--partition, --account, --time)"]
    return (LaunchFile("job.sbatch", text), *files), "sbatch job.sbatch", note + unsaid
