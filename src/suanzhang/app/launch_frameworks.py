"""A planned training as a Megatron-Bridge recipe, a torchtitan TOML and a DeepSpeed JSON."""

from __future__ import annotations

import json
from typing import Any

from suanzhang.app.launch_megatron import (
    FSDP_STRATEGY,
    chunk_layers,
    ends_count,
    even_stages,
    moe_pattern,
    uneven_stages,
)
from suanzhang.spec.launch import LaunchFile, Target, TrainPlan
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.model import ModelSpec

Written = tuple[tuple[LaunchFile, ...], str, list[str]]
"""Files, the command that starts them, and what they cannot say."""

NEMO = Target(
    "nemo",
    "Megatron-Bridge (NeMo)",
    "v0.6.0",
    "https://github.com/NVIDIA-NeMo/Megatron-Bridge/blob/v0.6.0/src/megatron/bridge/training/config.py",
)
TORCHTITAN = Target(
    "torchtitan",
    "torchtitan",
    "v0.2.2",
    "https://github.com/pytorch/torchtitan/blob/v0.2.2/torchtitan/config/job_config.py",
)
DEEPSPEED = Target("deepspeed", "DeepSpeed", "v0.19.5", "https://www.deepspeed.ai/docs/config-json/")

FLAVORS: dict[str, tuple[str, str]] = {
    "llama-3-8b": ("llama3", "8B"),
    "llama-3.1-8b": ("llama3", "8B"),
    "llama-3-70b": ("llama3", "70B"),
    "llama-3.1-70b": ("llama3", "70B"),
    "llama-3-405b": ("llama3", "405B"),
    "llama-3.1-405b": ("llama3", "405B"),
    "deepseek-v3": ("deepseek_v3", "671B"),
    "qwen3-8b": ("qwen3", "8B"),
    "qwen3-14b": ("qwen3", "14B"),
    "qwen3-32b": ("qwen3", "32B"),
    "qwen3-30b-a3b": ("qwen3", "30B-A3B"),
    "qwen3-235b-a22b": ("qwen3", "235B-A22B"),
}
"""Shapes that torchtitan ships, by catalog id."""
SCHEDULES = {"gpipe": "GPipe", "1f1b": "1F1B", "interleaved": "Interleaved1F1B", "zero-bubble": "InterleavedZeroBubble"}
_MIXED = {
    "bf16": "bf16_mixed",
    "fp16": "fp16_mixed",
    "fp8": "bf16_with_fp8_current_scaling_mixed",
    "fp8-block": "bf16_with_fp8_subchannel_scaling_mixed",
    "mxfp8": "bf16_with_mxfp8_mixed",
    "nvfp4": "bf16_with_nvfp4_mixed",
}


def _provider(model: ModelSpec, layout: TrainLayout, seq_len: int) -> dict[str, Any]:
    """Fields of ``GPTModelProvider``."""
    fields: dict[str, Any] = {
        "num_layers": model.layers,
        "hidden_size": model.hidden,
        "ffn_hidden_size": model.ffn,
        "num_attention_heads": model.heads,
        "num_query_groups": model.kv_heads,
        "kv_channels": model.head_dim,
        "vocab_size": model.vocab,
        "seq_length": seq_len,
        "share_embeddings_and_output_weights": model.tied_embeddings,
        "position_embedding_type": "learned_absolute" if model.learned_positions else "rope",
        "normalization": "RMSNorm" if model.gated_mlp else "LayerNorm",
        "gated_linear_unit": model.gated_mlp,
        "add_bias_linear": model.mlp_bias,
        "add_qkv_bias": model.qkv_bias,
        "tensor_model_parallel_size": layout.tp,
        "pipeline_model_parallel_size": layout.pp,
        "context_parallel_size": layout.cp,
        "sequence_parallel": layout.sp and layout.tp > 1,
    }
    cut = uneven_stages(layout, model)
    if layout.vpp > 1 and not cut:
        fields["virtual_pipeline_model_parallel_size"] = layout.vpp
    if cut:
        fields["pipeline_model_parallel_layout"] = cut
    if ends_count(layout, model):
        fields |= {"account_for_embedding_in_pipeline_split": True, "account_for_loss_in_pipeline_split": True}
    if model.mtp_layers:
        fields["mtp_num_layers"] = model.mtp_layers
    if model.moe is not None:
        fields |= {
            "num_moe_experts": model.moe.experts,
            "moe_router_topk": model.moe.topk,
            "moe_ffn_hidden_size": model.moe.expert_ffn,
            "moe_grouped_gemm": True,
            "moe_token_dispatcher_type": "alltoall",
            "expert_model_parallel_size": layout.ep,
            "expert_tensor_parallel_size": layout.etp or layout.tp,
        }
        fields |= {"moe_shared_expert_intermediate_size": model.moe.shared_ffn} if model.moe.shared_ffn else {}
        pattern = moe_pattern(model)
        fields |= {"moe_layer_freq": int(pattern) if pattern.isdigit() else _Code(pattern)}
    return fields | _recompute_fields(model, layout)


class _Code(str):
    """Text that stands in a Python file as it is."""

    def __repr__(self) -> str:
        return str(self)


def _recompute_fields(model: ModelSpec, layout: TrainLayout) -> dict[str, Any]:
    if layout.recompute == "none":
        return {}
    if layout.recompute == "selective":
        return {"recompute_granularity": "selective"}
    partial = 0 < layout.recompute_layers < -(-model.layers // layout.pp)
    return {
        "recompute_granularity": "full",
        "recompute_method": "block" if partial else "uniform",
        "recompute_num_layers": -(-layout.recompute_layers // layout.vpp) if partial else 1,
    }


def _bridge_settings(plan: TrainPlan) -> list[str]:
    layout = plan.layout
    lines = [
        f"cfg.dataset.seq_length = {plan.seq_len}",
        f"cfg.train.train_iters = {plan.steps}",
        f"cfg.train.global_batch_size = {plan.global_batch}",
        f"cfg.train.micro_batch_size = {layout.micro_batch}",
        f"cfg.mixed_precision = {_MIXED.get(plan.precision, 'bf16_mixed')!r}",
        f"cfg.ddp.use_distributed_optimizer = {layout.zero_stage >= 1}",
        f"cfg.optimizer.use_distributed_optimizer = {layout.zero_stage >= 1}",
        f"cfg.ddp.overlap_grad_reduce = {layout.overlap_dp}",
        f"cfg.ddp.overlap_param_gather = {layout.overlap_dp and layout.zero_stage >= 1}",
    ]
    if layout.zero_stage >= 2:
        lines += ["cfg.ddp.use_megatron_fsdp = True"]
        lines += [f"cfg.ddp.data_parallel_sharding_strategy = {FSDP_STRATEGY[layout.zero_stage]!r}"]
    if layout.zero_stage == 1 and 0 < layout.shard_ranks < layout.dp * layout.cp:
        lines.append(f"cfg.ddp.num_distributed_optimizer_instances = {layout.dp * layout.cp // layout.shard_ranks}")
    if layout.overlap_tp and layout.tp > 1 and layout.sp:
        lines.append("cfg.comm_overlap = CommOverlapConfig(tp_comm_overlap=True)")
    if layout.offload_optimizer:
        lines.append("cfg.optimizer.optimizer_cpu_offload = True")
        lines.append("cfg.optimizer.use_precision_aware_optimizer = True")
    return lines


def nemo(plan: TrainPlan) -> Written:
    """A Megatron-Bridge recipe in Python."""
    fields = _provider(plan.model, plan.layout, plan.seq_len)
    if plan.model.moe is not None and plan.capacity_factor > 0.0:
        fields["moe_expert_capacity_factor"] = plan.capacity_factor
        fields["moe_pad_expert_input_to_capacity"] = plan.pad_to_capacity
    shape = "\n".join(f"    {name}={value!r}," for name, value in fields.items())
    settings = "\n".join(f"    {line}" for line in _bridge_settings(plan))
    text = (
        f'"""{plan.model.name} on {plan.layout.chips} chips. Names: Megatron-Bridge {NEMO.version}."""\n\n'
        "import torch.nn.functional as F\n"
        "from megatron.bridge.models.gpt_provider import GPTModelProvider\n"
        "from megatron.bridge.recipes.common import _pretrain_common\n"
        "from megatron.bridge.training.comm_overlap import CommOverlapConfig\n"
        "from megatron.bridge.training.gpt_step import forward_step\n"
        "from megatron.bridge.training.pretrain import pretrain\n\n"
        f"MODEL = dict(\n{shape}\n)\n\n\n"
        "def recipe():\n"
        '    """The plan as a configuration."""\n'
        "    cfg = _pretrain_common()\n"
        f"    cfg.model = GPTModelProvider(**MODEL{', activation_func=F.silu' if plan.model.gated_mlp else ''})\n"
        '    cfg.tokenizer.tokenizer_type = "NullTokenizer"\n'
        f"    cfg.tokenizer.vocab_size = {plan.model.vocab}\n"
        f"{settings}\n"
        "    return cfg\n\n\n"
        'if __name__ == "__main__":\n'
        "    pretrain(recipe(), forward_step)\n"
    )
    unsaid = [
        "data: made-up tokens until cfg.dataset.blend and a tokenizer are given",
        "learning rate: that of the recipe's start",
    ]
    layout = plan.layout
    unsaid += ["latent attention: build the model from its Hugging Face id with AutoBridge"] if plan.model.mla else []
    unsaid += ["layers of linear attention: no field"] if plan.model.linear else []
    unsaid += ["a window that some layers use: give window_size"] if plan.model.window else []
    unsaid += (
        [f"pipeline schedule {layout.schedule}: 1f1b or interleaved"] if layout.schedule not in ("1f1b", "interleaved") else []
    )
    unsaid += ["activations in host memory: not set"] if layout.offload_activations else []
    unsaid += [f"optimizer {plan.optimizer}: the recipe starts from fused Adam"] if plan.optimizer != "adam" else []
    unsaid += [f"precision {plan.precision}: written as bf16_mixed"] if plan.precision not in _MIXED else []
    unsaid += ["shards over a part of the data ranks: not set"] if layout.shard_ranks and layout.zero_stage != 1 else []
    start = f"torchrun --nproc-per-node {plan.node_chips} --nnodes {plan.nodes} nemo_recipe.py"
    return (LaunchFile("nemo_recipe.py", text),), start, unsaid


def _titan_chunks(layout: TrainLayout, model: ModelSpec) -> list[list[str]]:
    """The modules of every chunk in the order that a micro-batch meets them."""
    found: list[list[str]] = []
    first = 0
    for count in chunk_layers(layout, model):
        found.append([f"layers.{layer}" for layer in range(first, first + count)])
        first += count
    found[0].insert(0, "tok_embeddings")
    found[-1] += ["norm", "output"]
    return found


def _titan_parallelism(plan: TrainPlan, unsaid: list[str]) -> dict[str, Any]:
    layout = plan.layout
    ranks = layout.dp * layout.cp
    copies = layout.dp if layout.zero_stage == 0 else ranks // (layout.shard_ranks or ranks)
    if layout.dp % copies:
        unsaid.append(f"shards over {layout.shard_ranks} of {layout.cp} context ranks: written over all of them")
        copies = layout.dp
    body: dict[str, Any] = {
        "data_parallel_replicate_degree": copies,
        "data_parallel_shard_degree": layout.dp // copies,
        "fsdp_reshard_after_forward": "always" if layout.zero_stage == 3 else "never",
        "tensor_parallel_degree": layout.tp,
        "enable_async_tensor_parallel": layout.overlap_tp and layout.tp > 1,
        "pipeline_parallel_degree": layout.pp,
        "context_parallel_degree": layout.cp,
    }
    if plan.model.moe:
        body |= {"expert_parallel_degree": layout.ep, "expert_tensor_parallel_degree": layout.etp or layout.tp}
    if layout.pp > 1:
        name = SCHEDULES.get(layout.schedule, "")
        if not name or (layout.schedule == "zero-bubble" and layout.vpp == 1):
            unsaid.append(f"pipeline schedule {layout.schedule} with {layout.vpp} chunks: written as 1F1B")
            name = "1F1B"
        body |= {"pipeline_parallel_schedule": name, "pipeline_parallel_microbatch_size": layout.micro_batch}
        chunks = layout.pp * layout.vpp
        if even_stages(layout, plan.model):
            body["pipeline_parallel_layers_per_stage"] = plan.model.layers // chunks
            body["pipeline_parallel_first_stage_less_layers"] = 0
            body["pipeline_parallel_last_stage_less_layers"] = 0
        else:
            body["module_fqns_per_model_part"] = _titan_chunks(layout, plan.model)
    unsaid += ["ZeRO 1: FSDP shards gradients too (stage 2)"] if layout.zero_stage == 1 and layout.dp > 1 else []
    unsaid += ["without sequence parallelism: tensor parallel always shards norms"] if layout.tp > 1 and not layout.sp else []
    return body


def torchtitan(plan: TrainPlan) -> Written:
    """A torchtitan TOML."""
    import tomli_w

    layout = plan.layout
    unsaid = ["data: c4_test until training.dataset and hf_assets_path are given"]
    name, flavor = FLAVORS.get(plan.model.id, ("", ""))
    if not name:
        name, flavor = "llama3", plan.model.id
        one = plan.model
        shape = f"dim={one.hidden}, n_layers={one.layers}, n_heads={one.heads}, n_kv_heads={one.kv_heads}"
        unsaid.append(f"model: torchtitan {TORCHTITAN.version} ships no flavor of this shape; register {flavor!r} with {shape}")
    per_rank = plan.global_batch // layout.dp
    batch = per_rank if layout.pp > 1 else layout.micro_batch
    body: dict[str, Any] = {
        "job": {"description": f"{plan.model.name} on {layout.chips} chips"},
        "model": {"name": name, "flavor": flavor},
        "optimizer": {"name": "AdamW"},
        "training": {
            "local_batch_size": batch,
            "global_batch_size": plan.global_batch,
            "seq_len": plan.seq_len,
            "steps": plan.steps,
            "dataset": "c4_test",
            "enable_cpu_offload": layout.offload_optimizer,
            "mixed_precision_param": "float32" if plan.precision in ("fp32", "tf32") else "bfloat16",
        },
        "parallelism": _titan_parallelism(plan, unsaid),
        "activation_checkpoint": {
            "mode": layout.recompute,
            **({"selective_ac_option": "op"} if layout.recompute == "selective" else {}),
        },
        "compile": {"enable": True},
    }
    if plan.precision == "fp8":
        body["model"]["converters"] = ["quantize.linear.float8"]
        body["quantize"] = {"linear": {"float8": {"recipe_name": "tensorwise", "filter_fqns": ["output"]}}}
    elif plan.precision not in ("bf16", "fp32"):
        unsaid.append(f"precision {plan.precision}: torchtitan has bfloat16 and float32")
    unsaid += [f"optimizer {plan.optimizer}: written as AdamW"] if plan.optimizer != "adam" else []
    unsaid += ["parameters stay in host memory too where the optimizer does"] if layout.offload_optimizer else []
    unsaid += ["activations in host memory: no key"] if layout.offload_activations else []
    unsaid += ["capacity of the experts: torchtitan routes dropless"] if plan.capacity_factor > 0.0 else []
    unsaid += (
        ["recompute of a part of the layers: written as full"] if layout.recompute == "full" and layout.recompute_layers else []
    )
    unsaid += ["traffic of data ranks in the open: FSDP always prefetches"] if not layout.overlap_dp and layout.dp > 1 else []
    start = (
        f"torchrun --nproc_per_node {plan.node_chips} --nnodes {plan.nodes} "
        "-m torchtitan.train --job.config_file torchtitan.toml"
    )
    return (LaunchFile("torchtitan.toml", tomli_w.dumps(body)),), start, unsaid


def deepspeed(plan: TrainPlan) -> Written:
    """A DeepSpeed configuration in JSON."""
    layout = plan.layout
    zero: dict[str, Any] = {"stage": layout.zero_stage}
    if layout.zero_stage:
        zero |= {"overlap_comm": layout.overlap_dp, "contiguous_gradients": True, "reduce_scatter": True}
    if layout.offload_optimizer:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    unsaid = ["model, data and learning rate: the training script's own"]
    if layout.shard_ranks and layout.zero_stage == 3:
        zero["zero_hpz_partition_size"] = layout.shard_ranks
    elif layout.shard_ranks:
        unsaid.append("shards over a part of the data ranks: only for stage 3")
    body: dict[str, Any] = {
        "train_batch_size": plan.global_batch,
        "train_micro_batch_size_per_gpu": layout.micro_batch,
        "gradient_accumulation_steps": plan.global_batch // (layout.dp * layout.micro_batch),
        "zero_optimization": zero,
        "gradient_clipping": 1.0,
        "steps_per_print": 10,
    }
    if plan.precision in ("bf16", "fp16"):
        body[plan.precision] = {"enabled": True}
    elif plan.precision != "fp32":
        body["bf16"] = {"enabled": True}
        unsaid.append(f"precision {plan.precision}: written as bf16")
    body |= {"tensor_parallel": {"autotp_size": layout.tp}} if layout.tp > 1 else {}
    if layout.recompute != "none":
        body["activation_checkpointing"] = {"partition_activations": False, "cpu_checkpointing": layout.offload_activations}
        unsaid.append(f"recompute {layout.recompute}: the training script calls deepspeed.checkpointing")
    elif layout.offload_activations:
        unsaid.append("activations in host memory: only with recompute")
    unsaid += [f"pp={layout.pp}: the script builds a PipelineModule of {layout.pp} stages"] if layout.pp > 1 else []
    unsaid += (
        [f"pipeline schedule {layout.schedule} with {layout.vpp} chunks: DeepSpeed runs 1f1b"]
        if (layout.pp > 1 and (layout.vpp > 1 or layout.schedule != "1f1b"))
        else []
    )
    unsaid += [f"cp={layout.cp}: the script sets up Ulysses sequence parallelism"] if layout.cp > 1 else []
    unsaid += [f"ep={layout.ep}: the script gives ep_size to its MoE layers"] if layout.ep > 1 else []
    unsaid += (
        [f"capacity factor {plan.capacity_factor:g}: the script gives it to its MoE layers"] if plan.capacity_factor else []
    )
    unsaid += [f"optimizer {plan.optimizer}: the script builds it"]
    start = f"deepspeed --num_nodes {plan.nodes} --num_gpus {plan.node_chips} train.py --deepspeed_config deepspeed.json"
    return (LaunchFile("deepspeed.json", json.dumps(body, indent=2) + "\n"),), start, unsaid
