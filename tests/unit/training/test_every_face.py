"""Every predicted figure of the reports of the training verbs stands with its interval; what is no prediction stands here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from intervals import bare

import suanzhang
from suanzhang.report.views import report_of

SHARE = {"share": "of the amounts beside it"}
COUNTS = {
    "layouts evaluated": "a count of work done",
    "layouts": "counts of work done",
    "chips": "a choice among what was given",
}
GIVEN: dict[str, dict[str, str]] = {
    "train": {**SHARE, **COUNTS, "optimizer steps": "tokens over the batch, both given"},
    "mixed": {**SHARE, **COUNTS, "link between zones": "given", "layers": "a choice", "batch": "a choice"},
    "goodput": {
        **SHARE,
        "nodes": "follow from the chips",
        "spare nodes": "the setting that is looked at",
        "simulated runs": "given",
        "interval": "the setting that is looked at",
        "batch": "given",
        "tokens": "given",
    },
    "variants": {
        "chips": "given",
        "peak": "a figure of the catalog",
        "memory": "a figure of the catalog",
        "memory bandwidth": "a figure of the catalog",
        "link": "a figure of the catalog",
        "network": "a figure of the catalog",
    },
    "scaling": {
        "chips": "what the budget pays",
        "duration": "given",
        "price per hour": "quoted",
        "cost": "chips and days times a price",
        "cost of its chip-hours": "chips and days times a price",
        "budget": "given",
    },
    "compute": {"training compute": "given"},
    "post-train": {
        **SHARE,
        "steps": "given",
        "tokens of a step": "given",
        "training": "a choice among what was given",
        "rollout": "a choice among what was given",
    },
    "import": {"parameters": "a count of the shape", "tokens of a step": "given"},
    "calibrate": {
        "measured runs": "measured",
        "median error of the shipped coefficients": "measured against predicted",
        "with the corrections": "measured against predicted",
        "each run predicted from the others": "measured against predicted",
        "line": "of the file",
        "measured": "measured",
        "error before": "measured against predicted",
        "error after": "measured against predicted",
        "open before": "a width itself",
        "open after": "a width itself",
    },
}
SCRIPT = (
    "torchrun --nproc_per_node 8 --nnodes 16 pretrain_gpt.py --tensor-model-parallel-size 8 --pipeline-model-parallel-size 8 "
    "--num-layers 96 --hidden-size 12288 --num-attention-heads 96 --seq-length 2048 --micro-batch-size 1 "
    "--global-batch-size 64 --recompute-granularity full --recompute-method uniform --recompute-num-layers 1 "
    "--train-iters 100000 --bf16\n"
)
RUNS = "model,chips,layout,global_batch,seq_len,step_s,stack\n" + "".join(
    f'gpt3-175b,a100-sxm-80:1024,"tp=8,pp={stages}",1536,2048,{seconds},megatron-lm-2021\n'
    for stages, seconds in ((8, 36.0), (16, 40.0), (4, 33.0))
)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


ASKS: dict[str, Callable[[Path], Any]] = {
    "train": lambda folder: suanzhang.train("llama3-8b", "1T", "h100-sxm-80:64", price_per_chip_h=2.0),
    "mixed": lambda folder: suanzhang.train_mixed("llama3-8b", "1T", "h100-sxm-80:32+a100-sxm-80:32"),
    "goodput": lambda folder: suanzhang.goodput("llama3-8b", "1T", "a100-sxm-80:256", batch_warm_up="0.25:2%", replications=40),
    "variants": lambda folder: suanzhang.variants("llama3-8b", "1T", 64, price_per_chip_h=2.0),
    "scaling": lambda folder: suanzhang.scaling("h100-sxm-80,a100-sxm-80", budget="5M", deadline="60d"),
    "compute": lambda folder: suanzhang.scaling(flop=1e24),
    "post-train": lambda folder: suanzhang.post_train(
        "llama3-8b", "h100-sxm-80:32", "grpo", placement="apart", rollout_chips=16, prompts=32, group=8
    ),
    "import": lambda folder: suanzhang.examine(written(folder, "job.sh", SCRIPT), "a100-sxm-80"),
    "calibrate": lambda folder: suanzhang.calibrate_runs(written(folder, "runs.csv", RUNS)),
}


@pytest.mark.parametrize("verb", sorted(ASKS))
def test_every_figure_that_is_shown_has_its_interval(verb: str, tmp_path: Path) -> None:
    result = ASKS[verb](tmp_path)
    report = report_of(result)
    assert bare(report, GIVEN[verb]) == []
    weak = getattr(result, "weak_inputs", ())
    lines = [line for section in report.sections for block in section.blocks for line in getattr(block, "lines", ())]
    assert bool(weak) == any(str(line).startswith("rests on: ") for line in lines)
