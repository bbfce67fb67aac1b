"""What a job of another tool says and we do not read, and what of it contradicts itself, is said plainly."""

from pathlib import Path

import pytest

from suanzhang.app.import_job import examine, read_job
from suanzhang.app.train import train
from suanzhang.report.view_import import examine as view
from suanzhang.report.view_train import train as train_view

LINE = (
    "torchrun --nproc_per_node 8 --nnodes 8 pretrain_gpt.py --tensor-model-parallel-size 8 --pipeline-model-parallel-size 4 "
    "--num-layers 80 --hidden-size 8192 --num-attention-heads 64 --group-query-attention --num-query-groups 8 "
    "--ffn-hidden-size 28672 --swiglu --seq-length 8192 --micro-batch-size 1 --global-batch-size 128 --bf16 "
    "--use-distributed-optimizer --train-iters 1000 --vocab-size 128256 --recompute-granularity full "
    "--recompute-method uniform --recompute-num-layers 1 --sequence-parallel {more}"
)
TITAN = """
stray = 1
[model]
name = "llama3"
flavor = "70B"
[training]
local_batch_size = 3
seq_len = 8192
[parallelism]
tensor_parallel_degree = 8
bogus_key = 3
[activation_checkpoint]
mode = "full"
[wholly_unknown]
one = 1
"""


def test_an_argument_that_is_not_read_is_in_the_answer() -> None:
    found = examine(LINE.format(more="--made-up-flag 3"), "h100-sxm-80")
    assert found.warnings[0].startswith("not read: --made-up-flag;")
    shown = view(found)
    assert any("--made-up-flag" in str(block) for section in shown.sections if not section.folded for block in section.blocks)


def test_a_line_that_is_read_in_full_says_nothing_of_it() -> None:
    found = examine(LINE.format(more=""), "h100-sxm-80")
    assert not any(note.startswith("not read") for note in found.warnings)
    assert not read_job(LINE.format(more="")).clashes


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("--fp16", "exclude each other"),
        ("--num-layers-per-virtual-pipeline-stage 3", "80 layers do not divide into chunks of 3 on 4 stages"),
        ("--recompute-activations", "beside full"),
        ("--train-samples 1000000", "exclude each other"),
        ("--expert-model-parallel-size 2", "without experts"),
    ],
)
def test_contradictions_are_findings(more: str, says: str) -> None:
    found = examine(LINE.format(more=more), "h100-sxm-80")
    assert any(says in finding.text and finding.change for finding in found.findings)


def test_an_optimizer_that_is_not_known_is_said() -> None:
    found = examine(LINE.format(more="--optimizer lamb"), "h100-sxm-80")
    assert any("--optimizer lamb is not known" in note for note in found.warnings)


def test_keys_of_torchtitan_that_are_not_read_are_in_the_answer(tmp_path: Path) -> None:
    place = tmp_path / "own.toml"
    place.write_text(TITAN, encoding="utf-8")
    found = examine(place, "h100-sxm-80:64")
    for key in ("parallelism.bogus_key", "wholly_unknown.one", "stray"):
        assert key in found.warnings[0]


def test_chips_that_no_layout_can_use_stand_in_the_first_line_of_the_answer() -> None:
    found = train("llama-2-7b", "10B", "h100-sxm-80:7", global_batch=256)
    assert found.chips + found.idle_chips == 7
    assert found.idle_chips > 0
    assert f"{found.chips} of the 7 given" in train_view(found).verdict
    assert found.warnings[0].startswith(f"the answer uses {found.chips} of the 7")
    assert train("llama-2-7b", "10B", "h100-sxm-80:8").idle_chips == 0
