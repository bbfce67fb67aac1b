"""Jobs of other tools: what is read, what is found, and the round trip through our own launch files."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

import suanzhang
from suanzhang.app import launch_frameworks, launch_megatron
from suanzhang.app.import_job import examine, read_job
from suanzhang.app.import_megatron import arguments, read_megatron
from suanzhang.app.import_torchtitan import read_torchtitan
from suanzhang.catalog.models import model
from suanzhang.cli.main import run
from suanzhang.errors import InputError
from suanzhang.report.jsonable import to_text
from suanzhang.report.views import report_of
from suanzhang.spec.launch import TrainPlan
from suanzhang.spec.layout import TrainLayout

SCRIPT = r"""#!/bin/bash
#SBATCH --nodes=16
TP=16
PP=8
GPUS_PER_NODE=8
NNODES=${SLURM_NNODES:-16}
# --num-layers 7 stands in a comment
GPT_ARGS="
    --tensor-model-parallel-size $TP \
    --pipeline-model-parallel-size ${PP} \
    --num-layers 96 --hidden-size 12288 --num-attention-heads 96 \
    --seq-length 2048 --micro-batch-size 1 --global-batch-size $((16*2)) \
    --recompute-granularity full --recompute-method uniform --recompute-num-layers 1 \
    --train-iters 100000 --bf16 --lr 6.0e-5 --frobnicate 3
"
torchrun --nproc_per_node $GPUS_PER_NODE --nnodes $NNODES pretrain_gpt.py $GPT_ARGS
"""

LAYOUTS = (
    TrainLayout(tp=8, pp=8, dp=4, overlap_tp=True),
    TrainLayout(tp=8, pp=5, dp=8, vpp=4, schedule="interleaved", recompute="full"),
    TrainLayout(tp=4, dp=16, cp=2, zero_stage=3, recompute="none", offload_optimizer=True),
    TrainLayout(dp=64, zero_stage=2, micro_batch=4),
    TrainLayout(tp=2, pp=2, dp=32, zero_stage=0, sp=False, overlap_dp=False),
)


def _write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_script_is_read_with_its_variables() -> None:
    job = read_megatron(SCRIPT)
    assert (job.layout.tp, job.layout.pp, job.global_batch, job.chips) == (16, 8, 32, 128)
    assert job.model.layers == 96
    assert job.model.kv_heads == 96
    assert job.layout.recompute == "full"
    assert job.layout.zero_stage == 0
    assert job.unread == ("--frobnicate",)
    assert job.model.params == pytest.approx(175e9, rel=0.01)


@pytest.mark.parametrize("name", ["gpt3-175b", "llama-3-70b", "mixtral-8x7b", "deepseek-v3", "qwen3-30b-a3b"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_our_megatron_file_comes_back(name: str, layout: TrainLayout) -> None:
    shape = model(name)
    if shape.moe:
        layout = replace(layout, ep=4, etp=1)
    plan = TrainPlan(shape, layout, 8, 4096, 512, 1000)
    (file,), _, _ = launch_megatron.megatron(plan)
    job = read_megatron(file.text)
    assert replace(job.layout, dp=layout.dp) == layout
    assert (job.seq_len, job.global_batch, job.steps, job.precision) == (4096, 512, 1000, "bf16")
    assert job.chips == layout.chips
    assert job.unread == ()
    assert job.model.params == pytest.approx(shape.params, rel=0.002)
    assert job.model.active_params == pytest.approx(shape.active_params, rel=0.01)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_our_torchtitan_file_comes_back(layout: TrainLayout) -> None:
    shape = model("llama-3-70b")
    plan = TrainPlan(shape, layout, 8, 4096, 512, 1000)
    (file,), _, _ = launch_frameworks.torchtitan(plan)
    job = read_torchtitan(file.text)
    back = job.layout
    assert (back.tp, back.pp, back.dp, back.cp, back.vpp) == (layout.tp, layout.pp, layout.dp, layout.cp, layout.vpp)
    assert (back.micro_batch, back.recompute, back.overlap_tp) == (layout.micro_batch, layout.recompute, layout.overlap_tp)
    assert (job.seq_len, job.global_batch, job.steps) == (4096, 512, 1000)
    assert job.unread == ()


def test_what_is_wrong_is_found(tmp_path: Path) -> None:
    found = examine(_write(tmp_path, "job.sh", SCRIPT), "a100-sxm-80")
    texts = " | ".join(one.text for one in found.findings)
    assert "recompute is not needed" in texts
    assert "crosses nodes of 8 chips" in texts
    assert "pipeline bubble" in texts
    assert found.best_step_s is not None
    assert found.step_s is not None
    assert found.best_step_s < found.step_s
    assert all(one.gain == pytest.approx(1 - one.step_s / found.step_s) for one in found.findings if one.gain)


def test_what_does_not_divide_is_an_error(tmp_path: Path) -> None:
    bad = SCRIPT.replace("$((16*2))", "33").replace("--micro-batch-size 1", "--micro-batch-size 2")
    found = examine(_write(tmp_path, "job.sh", bad), "a100-sxm-80")
    assert found.step_s is None
    assert "global batch does not divide" in found.findings[0].text
    few = SCRIPT.replace("$GPUS_PER_NODE", "5").replace("$NNODES", "24")
    found = examine(_write(tmp_path, "few.sh", few), "a100-sxm-80:120")
    assert found.step_s is None and found.chips == 120
    assert "does not divide 120 chips" in found.findings[0].text


def _errors(text: str, chips: str) -> list[str]:
    return [one.text for one in examine(text, chips).findings if one.severity == "error"]


def test_a_fault_hides_no_other(tmp_path: Path) -> None:
    line = (
        "--nproc_per_node 8 --nnodes 16 --num-layers 32 --hidden-size 4096 --num-attention-heads 32 --group-query-attention "
        "--num-query-groups 8 --ffn-hidden-size 14336 --seq-length 4096 --global-batch-size 256 --num-experts 8 "
        "--fp8-format hybrid --use-distributed-optimizer "
    )
    assert (
        _errors(line + "--micro-batch-size 1 --tensor-model-parallel-size 4 --expert-model-parallel-size 8", "h100-sxm-80")
        == []
    )
    found = _errors(
        line + "--tensor-model-parallel-size 3 --pipeline-model-parallel-size 4 --micro-batch-size 5 "
        "--expert-model-parallel-size 3",
        "a100-sxm-80",
    )
    wanted = [
        "= 12 does not divide 128 chips",
        "no fp8",
        "query heads",
        "(8 and 3)",
        "(14,336 and 3)",
        "(256 and 5)",
        "experts",
    ]
    assert len(found) == len(wanted)
    assert all(any(words in text for text in found) for words in wanted)
    text = line + "--tensor-model-parallel-size 3 --micro-batch-size 5"
    assert report_of(examine(text, "h100-sxm-80")).verdict.endswith("; 5 more faults.")


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        ("--context-parallel-size 3 --micro-batch-size 1", ["does not divide 8 chips", "(4,096 and 6)"]),
        (
            "--num-virtual-stages-per-pipeline-rank 2 --micro-batch-size 3",
            ["(64 and 24)", "interleaving needs pp > 1"],
        ),
        ("--pipeline-model-parallel-size 2 --num-virtual-stages-per-pipeline-rank 64", ["fewer layers"]),
        ("--expert-model-parallel-size 2 --micro-batch-size 3", ["(64 and 24)"]),
    ],
)
def test_each_fault_is_one_line(layout: str, words: list[str]) -> None:
    found = _errors(
        "--nproc_per_node 8 --nnodes 1 --num-layers 32 --hidden-size 4096 --num-attention-heads 32 --seq-length 4096 "
        f"--global-batch-size 64 --bf16 {layout}",
        "h200-sxm-141",
    )
    assert len(found) == len(words)
    assert all(part in text for part, text in zip(words, found, strict=True))


def test_all_that_cannot_be_read_is_said_at_once() -> None:
    with pytest.raises(InputError) as caught:
        examine("--num-layers x --num-attention-heads 0 --seq-length 4096 --global-batch-size 3.5", "h100-sxm-80:8")
    for words in ("--num-layers: cannot read 'x'", "--num-attention-heads: 0", "does not say --hidden-size", "'3.5'"):
        assert words in str(caught.value)
    titan = TITAN.format(shard=8, tp=0, mode="full").replace('name = "llama3"', 'name = "llamb"').replace(
        "seq_len = 8192", "seq_len = 8192.5"
    )  # fmt: skip
    with pytest.raises(InputError) as caught:
        examine(titan, "h100-sxm-80:64")
    for words in ("tensor_parallel_degree of 0", "seq_len must be a whole number", "llamb"):
        assert words in str(caught.value)


def test_what_does_not_fit_is_an_error(tmp_path: Path) -> None:
    text = (
        SCRIPT.replace("TP=16", "TP=1")
        .replace("PP=8", "PP=1")
        .replace("$((16*2))", "128")
        .replace("nnodes $NNODES", "nnodes 16")
    )
    found = examine(_write(tmp_path, "job.sh", text), "a100-sxm-80")
    assert not found.fits
    assert found.findings[0].severity == "error"
    assert "memory does not fit" in found.findings[0].text
    assert any("what fits best" in one.text for one in found.findings)


def test_the_number_of_chips_is_asked_for(tmp_path: Path) -> None:
    path = _write(tmp_path, "args.txt", "--num-layers 32 --hidden-size 4096 --num-attention-heads 32 --seq-length 4096")
    with pytest.raises(InputError, match="how many chips"):
        examine(path, "h100-sxm-80")
    with pytest.raises(InputError, match="which chips"):
        examine(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.sh", "echo hello"),
        ("a.toml", "not = [toml"),
        ("a.toml", "[model]\nname = 'llama3'"),
        ("a.toml", "[training]\n[parallelism]\n[model]\nname='x'\nflavor='y'"),
        ("a.sh", "--num-layers x --hidden-size 8 --num-attention-heads 2 --seq-length 16"),
    ],
)
def test_what_is_no_job_is_refused_in_one_line(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(InputError) as caught:
        read_job(_write(tmp_path, name, text))
    assert "\n" not in str(caught.value)


def test_flags_values_and_equals() -> None:
    found = arguments('python x.py --bf16 --lr=1e-4 --data-path "a b" --swiglu')
    assert found == {"bf16": "", "lr": "1e-4", "data-path": "a b", "swiglu": ""}


TITAN = """
[model]
name = "llama3"
flavor = "8B"
[training]
local_batch_size = 1
seq_len = 8192
steps = 1000
dataset = "c4"
[parallelism]
data_parallel_replicate_degree = 8
data_parallel_shard_degree = {shard}
tensor_parallel_degree = {tp}
[activation_checkpoint]
mode = "{mode}"
"""
LINE = (
    "torchrun --nproc-per-node 8 --nnodes 4 pretrain_gpt.py --num-layers 32 --hidden-size 4096 --num-attention-heads 32 "
    "--seq-length 4096 --global-batch-size 256 --bf16 --vocab-size 32000 --use-distributed-optimizer --overlap-grad-reduce "
)


def test_a_misspelt_name_is_found(tmp_path: Path) -> None:
    found = examine(_write(tmp_path, "job.sh", LINE + "--recompute-granularty selective --frobnicate 3"), "h100-sxm-80")
    said = [one.text for one in found.findings if "may be meant" in one.text]
    assert said == ["--recompute-granularty is not read: --recompute-granularity may be meant"]
    titan = TITAN.format(shard=1, tp=8, mode="full") + "selective_ac_options = '2'\n"
    found = examine(_write(tmp_path, "job.toml", titan), "h100-sxm-80:64")
    assert any("selective_ac_option may be meant" in one.text for one in found.findings)


def test_torchtitan_is_told_in_its_own_words(tmp_path: Path) -> None:
    found = examine(_write(tmp_path, "job.toml", TITAN.format(shard=1, tp=8, mode="full")), "h100-sxm-80:64")
    changes = " ".join(one.change + one.text for one in found.findings)
    assert "data_parallel_shard_degree" in changes
    assert "--" not in changes


def test_copies_of_what_is_sharded_are_read(tmp_path: Path) -> None:
    path = _write(tmp_path, "job.sh", LINE + "--num-distributed-optimizer-instances 4")
    whole = examine(_write(tmp_path, "whole.sh", LINE), "h100-sxm-80")
    found = examine(path, "h100-sxm-80")
    assert (found.layout.dp, found.layout.shard_ranks, whole.layout.shard_ranks) == (32, 8, 0)
    assert found.memory_bytes > whole.memory_bytes
    titan = examine(_write(tmp_path, "job.toml", TITAN.format(shard=-1, tp=1, mode="full")), "h100-sxm-80:64")
    assert (titan.layout.dp, titan.layout.zero_stage, titan.layout.shard_ranks) == (64, 3, 8)
    beside = LINE + "--context-parallel-size 4 --num-distributed-optimizer-instances 4"
    assert (examine(beside, "h100-sxm-80").layout.dp, examine(beside, "h100-sxm-80").layout.shard_ranks) == (8, 8)
    text = TITAN.format(shard=4, tp=1, mode="full").replace("tensor_par", "context_parallel_degree = 2\ntensor_par")
    rings = examine(text, "h100-sxm-80:64")
    assert (rings.layout.dp, rings.layout.cp, rings.layout.shard_ranks) == (32, 2, 8)
    odd = examine(_write(tmp_path, "odd.sh", LINE + "--num-distributed-optimizer-instances 5"), "h100-sxm-80")
    assert odd.step_s is None and "5 copies of what is sharded" in odd.findings[0].text


def test_capacity_of_experts_is_read(tmp_path: Path) -> None:
    mixture = LINE + "--num-experts 8 --moe-router-topk 2 --expert-model-parallel-size 8 "
    plain = examine(_write(tmp_path, "plain.sh", mixture), "h100-sxm-80")
    padded = examine(
        _write(tmp_path, "pad.sh", mixture + "--moe-expert-capacity-factor 1.5 --moe-pad-expert-input-to-capacity"),
        "h100-sxm-80",
    )
    assert padded.unread == ()
    assert padded.step_s > 1.1 * plain.step_s  # type: ignore[operator]


@pytest.mark.parametrize(("option", "again"), [("'op'", ("selective", 0)), ("'2'", ("full", 16)), ("'4'", ("full", 8))])
def test_torchtitan_recomputes_whole_layers_now_and_then(option: str, again: tuple[str, int]) -> None:
    job = read_torchtitan(TITAN.format(shard=8, tp=1, mode="selective") + f"selective_ac_option = {option}\n")
    assert (job.layout.recompute, job.layout.recompute_layers) == again


@pytest.mark.parametrize("name", ["tensor-model-parallel-size", "num-attention-heads", "micro-batch-size"])
def test_a_size_of_zero_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"--{name}: 0 cannot be"):
        examine(_write(tmp_path, "job.sh", f"{LINE} --{name} 0"), "h100-sxm-80")
    with pytest.raises(InputError, match="of 0 cannot be"):
        examine(_write(tmp_path, "job.toml", TITAN.format(shard=8, tp=0, mode="full")), "h100-sxm-80:64")


def test_what_cannot_run_says_so_once(tmp_path: Path) -> None:
    found = examine(_write(tmp_path, "job.sh", LINE + "--micro-batch-size 3"), "h100-sxm-80")
    assert report_of(found).verdict.count("cannot run") == 1


@pytest.mark.parametrize(("cut", "chunks"), [("Ettt|(tttt|)*6,tttttL", 1), ("Et*4|(tt|)*14,L", 2), ("E|t*16|t*8|t*8,L", 1)])
def test_stages_of_ones_own_are_counted(cut: str, chunks: int) -> None:
    pp = (cut.count("|") + 1) if "(" not in cut else 8
    job = read_megatron(f"{LINE} --pipeline-model-parallel-size {pp} --pipeline-model-parallel-layout '{cut}'")
    assert (job.layout.pp, job.layout.vpp) == (pp, chunks)
    assert any("not as the file says" in note for note in job.assumed)


def test_a_command_line_is_a_job_itself(tmp_path: Path) -> None:
    by_file = examine(_write(tmp_path, "job.sh", LINE), "h100-sxm-80")
    by_text = suanzhang.examine(LINE, "h100-sxm-80")
    assert by_text.file == "the command line"
    assert (by_text.step_s, by_text.layout, by_text.findings) == (by_file.step_s, by_file.layout, by_file.findings)
    assert suanzhang.replay(json.loads(to_text(by_text))).identical
    titan = TITAN.format(shard=8, tp=1, mode="full")
    assert examine(titan, "h100-sxm-80:64").step_s == examine(_write(tmp_path, "job.toml", titan), "h100-sxm-80:64").step_s
    with pytest.raises(InputError, match="text: --hidden-size"):
        examine("--num-layers 3 --hidden-size x --num-attention-heads 1 --seq-length 4", "h100-sxm-80:8")


def test_the_command_takes_a_quoted_line_and_standard_input(monkeypatch, capsys) -> None:
    def answer(file: str) -> float:
        assert run(["import", file, "--chips", "h100-sxm-80", "--json"]) == 0
        return json.loads(capsys.readouterr().out)["step_s"]

    quoted = answer(LINE)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(LINE.encode())))
    assert answer("-") == quoted


def test_our_torchtitan_file_comes_back_with_its_uneven_chunks() -> None:
    layout = TrainLayout(pp=4, dp=8, vpp=4, schedule="interleaved", head_layers=2)
    (file,), _, _ = launch_frameworks.torchtitan(TrainPlan(model("llama-3-8b"), layout, 8, 4096, 512, 10))
    job = read_torchtitan(file.text)
    assert (job.layout.pp, job.layout.vpp, job.unread) == (4, 4, ())


def test_a_recompute_mode_that_torchtitan_lacks_is_found() -> None:
    text = '[model]\nname="llama3"\nflavor="8B"\n[training]\nseq_len=4096\n[parallelism]\n[activation_checkpoint]\nmode="{}"\n'
    assert any("'ful'" in what for what, _ in read_torchtitan(text.format("ful")).clashes)
    assert not read_torchtitan(text.format("full")).clashes
