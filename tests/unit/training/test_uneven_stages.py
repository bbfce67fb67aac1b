"""The last stage leaves layers to the others where its head weighs as much as they do."""

from dataclasses import replace

import numpy as np
import pytest

from suanzhang.app.train import estimate_train
from suanzhang.app.train_model import pack
from suanzhang.app.train_search import default_axes, search_layouts
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import train_stack
from suanzhang.errors import PlannerError
from suanzhang.perf.training.batch import evaluate, explain_step
from suanzhang.perf.training.examples import EXAMPLE_LAYOUT, GPT3
from suanzhang.perf.training.pack import layout_args, shape_args
from suanzhang.perf.training.params import head_weight, layers_before, layers_for_head, stage_layers
from suanzhang.perf.training.step import step_total_s
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout

MODELS = ("gpt3-175b", "llama-3-8b", "llama-3.1-405b", "deepseek-v3", "gemma-2-9b", "kimi-k2")
H800, NOW = chip("h800-sxm-80"), train_stack("megatron-lm-2025")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("stages", [2, 3, 4, 8, 16])
def test_stages_hold_every_layer_once_whatever_the_last_one_leaves(name: str, stages: int) -> None:
    shape = shape_args(model(name))
    for left in range(int(shape.layers) // stages + 1):
        row = EXAMPLE_LAYOUT._replace(pp=float(stages), head_layers=float(left))
        held = [stage_layers(shape, row, float(stage)) for stage in range(stages)]
        assert sum(held) == shape.layers
        assert held[-1] == shape.layers // stages - left
        assert [layers_before(shape, row, float(stage)) for stage in range(stages)] == [sum(held[:k]) for k in range(stages)]
        if left:
            assert max(held[:-1]) - min(held[:-1]) <= 1


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("stages", [2, 4, 8, 16])
def test_no_other_cut_makes_the_slowest_stage_much_lighter(name: str, stages: int) -> None:
    shape = shape_args(model(name))
    weight = head_weight(shape)

    def slowest(left: float) -> float:
        row = EXAMPLE_LAYOUT._replace(pp=float(stages), head_layers=left)
        held = [stage_layers(shape, row, float(stage)) for stage in range(stages)]
        return max(*held[:-1], held[-1] + weight)

    chosen = slowest(layers_for_head(shape, float(stages)))
    assert chosen <= slowest(0.0)
    assert chosen <= 1.02 * min(slowest(float(left)) for left in range(int(shape.layers) // stages + 1)) + 0.02 * slowest(0.0)


def test_a_light_head_moves_nothing() -> None:
    assert [layers_for_head(GPT3, float(pp)) for pp in (1, 2, 4, 8, 16, 96)] == [0.0] * 6


def test_a_search_balances_the_last_stage_and_says_so() -> None:
    job = TrainJob("v3", model("deepseek-v3"), 1e12, 4096, 15360, "fp8-block")
    packed = pack(job, H800, NOW)
    axes = replace(default_axes(job, NOW, 2048, 8), tp=(1, 2), pp=(16, 32), ep=(8, 64), vpp=(1,), micro_batch=(1,))
    even = search_layouts(packed, job, replace(axes, uneven=False), (2048,))
    free = search_layouts(packed, job, axes, (2048,))
    assert free.layouts[0].head_layers > 0
    assert {one.head_layers for one in even.layouts} == {0}
    assert free.step_s[0] < 0.97 * even.step_s[0]
    assert free.evaluated > even.evaluated
    for layout, step_s in zip(free.layouts, free.step_s, strict=True):
        assert estimate_train(job, H800, layout, NOW).step_s == pytest.approx(step_s, rel=1e-12)


def test_old_software_cuts_evenly() -> None:
    job = TrainJob("v3", model("deepseek-v3"), 1e12, 4096, 1024, "bf16")
    assert not default_axes(job, train_stack("megatron-lm-2023"), 512, 8).uneven
    assert default_axes(job, NOW, 512, 8).uneven


def test_many_uneven_layouts_equal_each_by_itself() -> None:
    job = TrainJob("v3", model("deepseek-v3"), 1e12, 4096, 1024, "bf16")
    packed = pack(job, H800, NOW)
    layouts = [TrainLayout(tp=tp, pp=pp, dp=16, ep=8, recompute="full") for tp in (1, 2) for pp in (4, 8, 16)]
    layouts += [replace(one, schedule="dualpipe") for one in layouts]
    rows = [layout_args(one) for one in layouts]
    step, _, reason = evaluate(
        packed.shape, packed.run, np.array([row[:19] for row in rows]), packed.ops, packed.ops16, packed.fit, uneven=True
    )
    for row, value, code in zip(rows, step, reason, strict=True):
        if np.isfinite(value):
            own = row._replace(head_layers=layers_for_head(packed.shape, row.pp))
            one = step_total_s(explain_step(packed.shape, packed.run, own, packed.ops, packed.ops16, packed.fit))
            assert value == pytest.approx(one, rel=1e-12), code
    assert np.isfinite(step).sum() >= 6


@pytest.mark.parametrize(("pp", "left"), [(1, 1), (16, 4), (16, -1)])
def test_what_the_last_stage_does_not_hold_it_cannot_leave(pp: int, left: int) -> None:
    job = TrainJob("v3", model("deepseek-v3"), 1e12, 4096, 1024, "bf16")
    with pytest.raises(PlannerError, match="cannot leave"):
        estimate_train(job, H800, TrainLayout(tp=8, pp=pp, dp=16, ep=8, head_layers=left), NOW)


def test_dualpipe_hides_what_experts_exchange() -> None:
    job = TrainJob("v3", model("deepseek-v3"), 1e12, 4096, 15360, "fp8-block")
    plain = TrainLayout(tp=1, pp=16, dp=128, ep=64, head_layers=2)
    terms = [
        {term.name: term.value for term in estimate_train(job, H800, one, NOW).terms}
        for one in (plain, replace(plain, schedule="dualpipe"))
    ]
    assert terms[1]["expert_comm_s"] < 0.8 * terms[0]["expert_comm_s"]
    assert terms[1]["forward_s"] == pytest.approx(terms[0]["forward_s"])
