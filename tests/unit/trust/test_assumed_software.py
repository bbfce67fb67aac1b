"""What software is assumed to do is flagged wherever an answer would be more than 5 % off without it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

import pytest

from suanzhang.app.explain_serve import Replica, latencies, memory
from suanzhang.app.explain_terms import Run, days_tree, memory_tree, run_on
from suanzhang.app.explain_tree import WEAK, flags_of, summed
from suanzhang.app.serve_estimate import estimate_serve
from suanzhang.app.train_asked import with_overlap
from suanzhang.app.train_model import estimate_packed, pack
from suanzhang.app.train_option import search
from suanzhang.catalog.chips import chip as chip_of
from suanzhang.catalog.models import model as model_of
from suanzhang.catalog.stacks import serve_stack, serve_stacks, stack_origin, train_stack
from suanzhang.spec.job import LengthSpec, TrainJob
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.serve import OpenLoop
from suanzhang.spec.trust_plain import plain

CASES = {
    "small": ("llama-3-8b", "h100-sxm-80", 64, 128, 8192, "megatron-lm-2025", "bf16"),
    "sharded": ("llama-3-8b", "h100-sxm-80", 64, 128, 8192, "torchtitan-2024", "bf16"),
    "pipelined": ("gpt3-175b", "a100-sxm-80", 1024, 1536, 2048, "megatron-lm-2021", "bf16"),
    "old": ("gpt3-13b", "v100-sxm2-32", 64, 512, 2048, "megatron-lm-2025", "fp16"),
    "mixture": ("deepseek-v3", "h800-sxm-80", 2048, 15360, 4096, "megatron-lm-2025", "bf16"),
}
CLEAR = 0.08
"""Growth of an answer that no reading of 5 % may miss: a figure alone and with others that hide the same traffic differ."""


def case(name: str) -> Run:
    model, chip, chips, batch, seq, software, precision = CASES[name]
    job = TrainJob(name, model_of(model), 1e12, seq, batch, precision)
    kind, stack = chip_of(chip), train_stack(software)
    layout = search(pack(job, kind, stack), job, kind, stack, chips).layouts[0]
    return run_on(job, kind, stack, layout)


def without(run: Run) -> Iterator[tuple[str, float, float]]:
    """Each setting that counts or measures something: growth of step and of memory when it is zero."""
    for field in fields(run.stack):
        value = getattr(run.stack, field.name)
        if not isinstance(value, float) or not value:
            continue
        changed = replace(run.stack, **{field.name: 0.0})  # type: ignore[arg-type]
        found = estimate_packed(pack(run.job, run.chip, changed), run.estimate.layout, run.chip)
        yield field.name, found.step_s / run.estimate.step_s - 1.0, found.memory_bytes / run.estimate.memory_bytes - 1.0


WORDS = {
    "overlap_dp": "between data ranks", "overlap_tp": "between tensor ranks", "overlap_gather": "gathers for weight gradients",
    "overlap_pp": "between stages", "overlap_ep": "between experts", "overlap_cp": "context ring", "overlap_cp_a2a": "heads",
    "param_bytes": "bytes of a weight", "grad_bytes": "bytes of a gradient", "optimizer_bytes": "bytes of optimizer state",
    "loss_bytes": "bytes of a logit", "reserve_bytes": "driver and libraries", "fragmentation": "allocator",
    "launch_s": "host time of a launch", "layer_kernels": "kernels of a layer", "step_overhead_s": "framework time of a step",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_assumed_setting_of_a_training_that_weighs_is_flagged(name: str) -> None:
    run = case(name)
    trees = (days_tree(run, batch_given=True, seq_given=True), memory_tree(run))
    days, memory_ = (flags_of((summed(tree),)) for tree in trees)
    weighed = []
    for setting, slower, larger in without(run):
        if stack_origin(run.stack, setting).grade not in WEAK or (setting == "grad_bytes" and larger == 0.0):
            continue
        for growth, flags in ((slower, days), (larger, memory_)):
            if abs(growth) > CLEAR and not (flags is days and setting.endswith("_bytes")):
                weighed.append(setting)
                assert any(WORDS[setting] in flag.figure for flag in flags), f"{setting}: {growth:+.3f}"
    assert weighed, "nothing weighs: the test would say nothing"


def test_the_weight_of_what_is_hidden_is_what_the_step_would_grow_by() -> None:
    run = case("sharded")
    grown = {setting: slower for setting, slower, _ in without(run)}
    tree = days_tree(run, batch_given=True, seq_given=True)
    flag = next(flag for flag in flags_of((summed(tree),)) if "between data ranks" in flag.figure)
    assert flag.share == pytest.approx(grown["overlap_dp"] * run.option.goodput_fraction, rel=1e-6)
    assert flag.grade == "assumed"


def test_what_the_user_says_about_hiding_is_not_flagged() -> None:
    run = case("sharded")
    asked = run_on(run.job, run.chip, with_overlap(run.stack, "dp=1.0"), run.estimate.layout)
    flags = flags_of((summed(days_tree(asked, batch_given=True, seq_given=True)),))
    assert not [flag for flag in flags if "between data ranks" in flag.figure]


@pytest.mark.parametrize("setting", ["host_s", "launch_s", "reserve_bytes"])
def test_times_and_counts_of_engines_have_the_grade_of_fitted_ones(setting: str) -> None:
    for stack in serve_stacks().values():
        assert stack_origin(stack, setting).source == stack_origin(stack, "host_s").source, stack.id
        assert stack_origin(stack, setting).grade == stack_origin(stack, "host_s").grade, stack.id
    stack = serve_stack("vllm-0.12")
    assert stack_origin(stack, "max_seqs").grade == "published"


def test_every_assumed_setting_of_an_engine_that_weighs_is_flagged() -> None:
    model, chip, layout = model_of("llama-3-8b"), chip_of("h100-sxm-80"), ServeLayout()
    work = OpenLoop(5.0, LengthSpec("fixed", 128.0, 128.0), LengthSpec("fixed", 64.0, 64.0))
    stack = serve_stack("vllm-0.2")
    base = estimate_serve(model, chip, layout, stack, "bf16", "bf16", work)
    replica = Replica.of(plain(base), chip.id, model)
    tpot, ttft = (flags_of((summed(tree),)) for tree in latencies(replica, replica.stored))
    held = flags_of((summed(memory(replica)),))
    words = {"host_s": "host time of an iteration", "launch_s": "host time of a launch",
             "reserve_bytes": "driver and libraries"}  # fmt: skip
    weighed = 0
    for setting, name in words.items():
        changed = replace(stack, **{setting: 0.0})  # type: ignore[arg-type]
        found = estimate_serve(model, chip, layout, changed, "bf16", "bf16", work)
        for now, then, flags in ((base.tpot_s.mean, found.tpot_s.mean, tpot), (base.ttft_s.mean, found.ttft_s.mean, ttft)):
            if 1.0 - then / now > CLEAR:
                weighed += 1
                assert any(name in flag.figure for flag in flags), f"{setting}: {1.0 - then / now:.3f}"
    assert weighed >= 2
    assert any("driver and libraries" in flag.figure for flag in held) or not held
