"""Launch files of trainings: every argument is one that the project documents, and the files parse."""

from __future__ import annotations

import ast
import json
import shlex
import tomllib
from dataclasses import replace

import pytest

from suanzhang.app import launch_frameworks as frameworks
from suanzhang.app import launch_megatron as megatron
from suanzhang.app.import_job import examine
from suanzhang.app.launch import launch_train
from suanzhang.catalog.models import model
from suanzhang.errors import InputError
from suanzhang.spec.launch import TRAIN_TARGETS, TrainPlan
from suanzhang.spec.layout import TrainLayout


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


MEGATRON_NAMES = _names(
    """
    num-layers hidden-size ffn-hidden-size num-attention-heads seq-length max-position-embeddings vocab-size
    position-embedding-type normalization kv-channels group-query-attention num-query-groups swiglu disable-bias-linear
    add-qkv-bias untie-embeddings-and-output-weights mtp-num-layers multi-latent-attention q-lora-rank kv-lora-rank
    qk-head-dim qk-pos-emb-head-dim v-head-dim num-experts moe-router-topk moe-ffn-hidden-size
    moe-shared-expert-intermediate-size moe-layer-freq moe-grouped-gemm moe-token-dispatcher-type tensor-model-parallel-size
    pipeline-model-parallel-size pipeline-model-parallel-layout context-parallel-size expert-model-parallel-size
    expert-tensor-parallel-size moe-expert-capacity-factor moe-pad-expert-input-to-capacity sequence-parallel
    num-virtual-stages-per-pipeline-rank tp-comm-overlap use-megatron-fsdp
    data-parallel-sharding-strategy
    use-distributed-optimizer ckpt-format num-distributed-optimizer-instances overlap-grad-reduce overlap-param-gather
    optimizer-cpu-offload optimizer-offload-fraction use-precision-aware-optimizer
    recompute-granularity recompute-method recompute-num-layers
    micro-batch-size global-batch-size train-iters bf16 fp16 fp8-format fp8-recipe fp4-format
    fp4-recipe cp-comm-type account-for-embedding-in-pipeline-split account-for-loss-in-pipeline-split
    optimizer tokenizer-type mock-data
    """
)
"""megatron/training/arguments.py of Megatron-LM core_v0.15.0 (commit 103851dc), each an ``add_argument`` there."""

TITAN_NAMES = {
    "job": {"description"},
    "model": {"name", "flavor", "converters"},
    "optimizer": {"name"},
    "training": {
        "local_batch_size", "global_batch_size", "seq_len", "steps", "dataset", "enable_cpu_offload", "mixed_precision_param",
    },
    "parallelism": {
        "data_parallel_replicate_degree", "data_parallel_shard_degree", "fsdp_reshard_after_forward", "tensor_parallel_degree",
        "enable_async_tensor_parallel", "pipeline_parallel_degree", "context_parallel_degree", "expert_parallel_degree",
        "expert_tensor_parallel_degree", "pipeline_parallel_schedule", "pipeline_parallel_microbatch_size",
        "pipeline_parallel_layers_per_stage", "pipeline_parallel_first_stage_less_layers",
        "pipeline_parallel_last_stage_less_layers", "module_fqns_per_model_part",
    },
    "activation_checkpoint": {"mode", "selective_ac_option"},
    "compile": {"enable"},
    "quantize": {"linear"},
}  # fmt: skip
"""torchtitan/config/job_config.py of torchtitan v0.2.2 (commit 73a0e697): fields of its sections."""

DEEPSPEED_NAMES = _names(
    """
    train_batch_size train_micro_batch_size_per_gpu gradient_accumulation_steps zero_optimization stage overlap_comm
    contiguous_gradients reduce_scatter offload_optimizer device pin_memory zero_hpz_partition_size gradient_clipping
    steps_per_print bf16 fp16 enabled tensor_parallel autotp_size activation_checkpointing partition_activations
    cpu_checkpointing
    """
)
"""docs/_pages/config-json.md of DeepSpeed v0.19.5 (www.deepspeed.ai/docs/config-json)."""

BRIDGE_NAMES = _names(
    """
    num_layers hidden_size ffn_hidden_size num_attention_heads num_query_groups kv_channels vocab_size seq_length
    share_embeddings_and_output_weights position_embedding_type normalization gated_linear_unit add_bias_linear add_qkv_bias
    tensor_model_parallel_size pipeline_model_parallel_size context_parallel_size sequence_parallel
    virtual_pipeline_model_parallel_size num_moe_experts moe_router_topk moe_ffn_hidden_size moe_grouped_gemm
    moe_token_dispatcher_type expert_model_parallel_size expert_tensor_parallel_size moe_shared_expert_intermediate_size
    moe_layer_freq recompute_granularity recompute_method recompute_num_layers mtp_num_layers
    moe_expert_capacity_factor moe_pad_expert_input_to_capacity pipeline_model_parallel_layout
    account_for_embedding_in_pipeline_split account_for_loss_in_pipeline_split
    """
)
"""GPTModelProvider of Megatron-Bridge v0.6.0 and TransformerConfig / ModelParallelConfig of Megatron Core, its bases."""

SLURM_NAMES = {"job-name", "nodes", "ntasks-per-node", "gpus-per-node", "exclusive", "output"}
"""slurm.schedmd.com/sbatch.html."""

LAYOUTS = (
    TrainLayout(tp=8, pp=8, dp=4),
    TrainLayout(tp=8, pp=4, dp=8, vpp=5, schedule="interleaved", recompute="full", recompute_layers=7),
    TrainLayout(tp=4, dp=16, cp=2, zero_stage=3, recompute="full", overlap_tp=True, offload_optimizer=True),
    TrainLayout(dp=64, zero_stage=2, recompute="none", overlap_dp=False),
    TrainLayout(tp=2, pp=2, dp=32, zero_stage=0, sp=False, schedule="gpipe"),
    TrainLayout(tp=2, pp=4, dp=16, vpp=2, schedule="zero-bubble", offload_activations=True, shard_ranks=8),
)


def _plans() -> list[TrainPlan]:
    shapes = [model(name) for name in ("gpt3-175b", "llama-3-70b", "deepseek-v3", "mixtral-8x7b", "qwen3-30b-a3b")]
    return [
        TrainPlan(shape, replace(layout, ep=4 if shape.moe else 1), 8, 4096, 512, 1000, precision, optimizer)
        for shape in shapes
        for layout in LAYOUTS
        for precision, optimizer in (("bf16", "adam"), ("fp8", "muon"))
    ]


def test_megatron_names_are_documented() -> None:
    for plan in _plans():
        args, _ = megatron.megatron_arguments(plan)
        assert {name for name, _ in args} <= MEGATRON_NAMES
        assert len({name for name, _ in args}) == len(args)


def test_the_script_gives_back_its_arguments() -> None:
    for plan in _plans():
        (file,), _, _ = megatron.megatron(plan)
        inside = file.text.split("ARGS=(")[1].split("\n)\n")[0]
        words = shlex.split(inside)
        args, _ = megatron.megatron_arguments(plan)
        assert words == [word for name, value in args for word in ((f"--{name}", value) if value else (f"--{name}",))]


def test_slurm_names_are_documented() -> None:
    files, start, _ = megatron.slurm(_plans()[0])
    names = [line.split("--")[1].split("=")[0] for line in files[0].text.splitlines() if line.startswith("#SBATCH")]
    assert set(names) == SLURM_NAMES
    assert start == f"sbatch {files[0].name}"
    assert "--nodes=32" in files[0].text


def test_torchtitan_keys_are_documented() -> None:
    for plan in _plans():
        (file,), _, _ = frameworks.torchtitan(plan)
        body = tomllib.loads(file.text)
        for section, keys in body.items():
            assert set(keys) <= TITAN_NAMES[section], section
        place = body["parallelism"]
        product = (
            place["data_parallel_replicate_degree"]
            * place["data_parallel_shard_degree"]
            * place["tensor_parallel_degree"]
            * place["pipeline_parallel_degree"]
            * place["context_parallel_degree"]
        )
        assert product == plan.layout.chips


def test_deepspeed_keys_are_documented() -> None:
    def keys(value: object) -> set[str]:
        return set(value) | {x for v in value.values() for x in keys(v)} if isinstance(value, dict) else set()

    for plan in _plans():
        (file,), _, _ = frameworks.deepspeed(plan)
        body = json.loads(file.text)
        assert keys(body) <= DEEPSPEED_NAMES
        product = body["train_micro_batch_size_per_gpu"] * body["gradient_accumulation_steps"] * plan.layout.dp
        assert product == body["train_batch_size"]


def test_the_recipe_is_python_with_documented_fields() -> None:
    for plan in _plans():
        (file,), _, _ = frameworks.nemo(plan)
        tree = ast.parse(file.text)
        call = next(node.value for node in tree.body if isinstance(node, ast.Assign))
        assert isinstance(call, ast.Call)
        assert {word.arg for word in call.keywords} <= BRIDGE_NAMES


def test_what_cannot_be_said_is_said() -> None:
    llama = model("llama-3-70b")
    plan = TrainPlan(llama, TrainLayout(tp=8, pp=8, dp=4, schedule="dualpipe", offload_activations=True), 8, 4096, 512, 10)
    for target, writer in (("megatron", megatron.megatron), ("nemo", frameworks.nemo), ("deepspeed", frameworks.deepspeed)):
        assert any("dualpipe" in line for line in writer(plan)[2]), target
        assert any("host memory" in line for line in writer(plan)[2]) or target == "deepspeed"
    assert any("1F1B" in line for line in frameworks.torchtitan(plan)[2])
    odd = replace(plan, optimizer="muon", precision="tf32")
    assert any("muon" in line for line in megatron.megatron(odd)[2])
    assert any("tf32" in line for line in megatron.megatron(odd)[2])


def test_a_shape_that_torchtitan_lacks_is_said() -> None:
    plan = TrainPlan(model("gpt3-175b"), TrainLayout(tp=8, dp=8), 8, 2048, 64, 10)
    assert any("no flavor" in line for line in frameworks.torchtitan(plan)[2])


@pytest.mark.parametrize("target", TRAIN_TARGETS)
def test_the_verb_writes_the_files(target: str, tmp_path) -> None:
    found = launch_train("llama-3-8b", "1T", "h100-sxm-80:64", target, tmp_path / "deep" / "er", layout="tp=4,pp=2")
    assert found.folder
    for file in found.files:
        assert (tmp_path / "deep" / "er" / file.name).read_text(encoding="utf-8") == file.text
    assert found.plan.layout.tp == 4


def test_an_unknown_target_names_the_nearest() -> None:
    with pytest.raises(InputError, match="megatron"):
        launch_train("llama-3-8b", "1T", "h100-sxm-80:64", "megatorn")


@pytest.mark.parametrize(("name", "stages", "chunks"), [("deepseek-v3", 16, 1), ("deepseek-v3", 8, 2), ("gpt3-175b", 9, 1)])
def test_stages_that_do_not_divide_are_written_one_by_one(name: str, stages: int, chunks: int) -> None:
    shape = model(name)
    layout = TrainLayout(pp=stages, dp=8, vpp=chunks, schedule="interleaved" if chunks > 1 else "1f1b")
    args = dict(megatron.layout_arguments(layout, shape)[0])
    assert "num-virtual-stages-per-pipeline-rank" not in args  # the tool takes one of the two
    cut = args["pipeline-model-parallel-layout"].split("|")
    assert len(cut) == stages * chunks
    assert sum(part.count("t") for part in cut) == shape.layers
    assert cut[0][0] == "E" and cut[-1][-1] == "L" and cut[-1].count("m") == shape.mtp_layers
    counts = [part.count("t") for part in cut]
    assert max(counts) - min(counts) <= (1 if chunks == 1 else 2)
    assert frameworks._provider(shape, layout, 4096)["pipeline_model_parallel_layout"] == "|".join(cut)


def test_stages_that_divide_need_no_list() -> None:
    for layout in (TrainLayout(pp=8, dp=8), TrainLayout(pp=7, dp=8, vpp=14, schedule="interleaved")):
        args = dict(megatron.layout_arguments(layout, model("gpt3-175b"))[0])
        assert "pipeline-model-parallel-layout" not in args


def test_the_capacity_of_experts_is_written() -> None:
    plan = TrainPlan(model("mixtral-8x7b"), LAYOUTS[3], 8, 4096, 512, 1000, capacity_factor=1.25, pad_to_capacity=True)
    assert dict(megatron.megatron_arguments(plan)[0])["moe-expert-capacity-factor"] == "1.25"
    assert "moe-pad-expert-input-to-capacity" in dict(megatron.megatron_arguments(plan)[0])
    assert "moe_expert_capacity_factor=1.25," in frameworks.nemo(plan)[0][0].text
    assert any("capacity" in line for line in frameworks.torchtitan(plan)[2])
    assert any("capacity factor 1.25" in line for line in frameworks.deepspeed(plan)[2])
    launched = launch_train("mixtral-8x7b", "1T", "h100-sxm-80:64", "megatron", routing="capacity=1.5", global_batch=512)
    assert "--moe-expert-capacity-factor 1.5" in launched.files[0].text
    assert "--moe-pad" not in launched.files[0].text


@pytest.mark.parametrize(("stages", "chunks"), [(4, 1), (8, 1), (4, 4)])
def test_layers_that_the_last_stage_leaves_to_the_others_are_written(stages: int, chunks: int) -> None:
    shape = model("llama-3-8b")  # its 32 layers divide, so that nothing but the head makes stages unequal
    layout = TrainLayout(pp=stages, dp=8, vpp=chunks, schedule="interleaved" if chunks > 1 else "1f1b", head_layers=2)
    cut = dict(megatron.layout_arguments(layout, shape)[0])["pipeline-model-parallel-layout"].split("|")
    counts = [part.count("t") for part in cut]
    assert len(cut) == stages * chunks and sum(counts) == shape.layers
    assert sum(counts[stages - 1 :: stages]) == shape.layers // stages - 2
    plan = TrainPlan(shape, layout, 8, 4096, 512, 10)
    (file,), _, unsaid = frameworks.torchtitan(plan)
    place = tomllib.loads(file.text)["parallelism"]
    parts = place["module_fqns_per_model_part"]
    assert [sum(name.startswith("layers.") for name in part) for part in parts] == counts
    inside = [name for part in parts for name in part]
    assert inside == ["tok_embeddings", *(f"layers.{layer}" for layer in range(shape.layers)), "norm", "output"]
    assert "pipeline_parallel_layers_per_stage" not in place
    assert not any("split by torchtitan" in line for line in unsaid)


def test_an_optimizer_on_the_host_comes_with_what_megatron_asks_of_it() -> None:
    plan = TrainPlan(model("llama-3-8b"), TrainLayout(dp=8, offload_optimizer=True), 8, 4096, 512, 10)
    args, unsaid = megatron.megatron_arguments(plan)
    assert {"optimizer-cpu-offload", "use-precision-aware-optimizer", "use-distributed-optimizer"} <= dict(args).keys()
    assert not any("without sharding" in line for line in unsaid)
    assert "use_precision_aware_optimizer = True" in frameworks.nemo(plan)[0][0].text
    whole = replace(plan, layout=replace(plan.layout, zero_stage=0))
    assert any("without sharding" in line for line in megatron.megatron_arguments(whole)[1])


@pytest.mark.parametrize(("dp", "cp", "ranks"), [(8, 1, 4), (8, 2, 8), (16, 4, 16), (4, 2, 8)])
def test_shards_over_data_and_context_ranks_come_back_from_the_files(dp: int, cp: int, ranks: int) -> None:
    """What is sharded lies over data and context ranks together, in every tool."""
    for zero, target, write in ((3, "torchtitan", frameworks.torchtitan), (1, "megatron", megatron.megatron)):
        layout = TrainLayout(tp=4, dp=dp, cp=cp, zero_stage=zero, shard_ranks=ranks, recompute="full", overlap_tp=False)
        plan = TrainPlan(model("llama-3.1-70b"), layout, 8, 8192, 64, 100, "bf16", "adam")
        files, _, unsaid = write(plan)
        assert not any("context ranks" in words for words in unsaid)
        found = examine(files[0].text, f"h100-sxm-80:{layout.chips}").layout
        assert (found.dp, found.cp, found.shard_ranks or dp * cp) == (dp, cp, ranks), target


def test_shards_over_a_part_of_the_context_ranks_cannot_be_said_to_torchtitan() -> None:
    layout = TrainLayout(tp=4, dp=4, cp=4, zero_stage=3, shard_ranks=2, recompute="full")
    _, _, unsaid = frameworks.torchtitan(TrainPlan(model("llama-3.1-70b"), layout, 8, 8192, 64, 100, "bf16", "adam"))
    assert any("2 of 4 context ranks" in words for words in unsaid)
