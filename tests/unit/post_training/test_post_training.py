"""Post-training: terms, splits of the fleet, adapters, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from suanzhang.app.post_training import post_train
from suanzhang.app.post_training_lengths import bins, lengths
from suanzhang.catalog import CATALOG_DATE
from suanzhang.catalog.chips import chip
from suanzhang.catalog.stack_defaults import default_train_stack_on
from suanzhang.errors import Infeasible, InputError
from suanzhang.perf.post_training import forward_pass_s
from suanzhang.perf.training.args import StepTerms
from suanzhang.spec.post_training import PostResult, RolloutSpec

CHIPS = "h100-sxm-80:16"


@pytest.fixture(scope="module")
def found() -> PostResult:
    return post_train("llama-3.1-8b", CHIPS, prompts=32, group=8, response_tokens=1000, train_batch=64)


def test_the_terms_of_each_way_sum_to_its_step(found: PostResult) -> None:
    assert found.evaluated == len(found.options) or found.evaluated > 12
    for option in found.options:
        assert option.step_s == pytest.approx(sum(term.value for term in option.terms))


def test_the_best_is_the_fastest_and_both_placements_were_tried(found: PostResult) -> None:
    assert found.best.step_s == min(option.step_s for option in found.options)
    assert {option.placement for option in found.options} == {"colocated", "apart"}


def test_sides_apart_share_the_chips_and_the_longer_one_sets_the_step(found: PostResult) -> None:
    for option in found.options:
        if option.placement != "apart":
            continue
        assert option.train_chips + option.rollout_chips == found.chips
        refit = next(term.value for term in option.terms if term.name == "weights to the rollout")
        assert option.step_s == pytest.approx(max(side.value for side in option.sides) + refit)


def test_more_answers_take_longer(found: PostResult) -> None:
    more = post_train("llama-3.1-8b", CHIPS, prompts=64, group=8, response_tokens=1000, train_batch=64)
    assert more.best.step_s > found.best.step_s


def test_a_critic_and_a_reference_cost_time() -> None:
    plain = post_train("llama-3.1-8b", CHIPS, prompts=32, group=8, reference=False, placement="colocated")
    kept = post_train("llama-3.1-8b", CHIPS, prompts=32, group=8, placement="colocated")
    critic = post_train("llama-3.1-8b", CHIPS, "ppo", prompts=32, group=8, placement="colocated")
    assert plain.best.step_s < kept.best.step_s < critic.best.step_s
    names = {term.name for term in critic.best.terms}
    assert {"training of the critic", "values of the critic", "log-probabilities of the reference"} <= names


def test_the_interval_holds_the_estimate_and_cost_follows_hours(found: PostResult) -> None:
    assert found.step_s_interval.p05 < found.best.step_s * 1.05
    assert found.step_s_interval.p95 > 1.5 * found.best.step_s
    assert found.cost is not None
    assert found.cost_interval is not None
    double = post_train(
        "llama-3.1-8b", CHIPS, prompts=32, group=8, response_tokens=1000, train_batch=64, price_per_chip_h=2.0, steps=200
    )
    assert double.cost is not None
    assert double.cost.amount == pytest.approx(2.0 * double.chip_hours)
    assert double.days == pytest.approx(2.0 * found.days)


def test_packing_trains_fewer_sequences() -> None:
    packed = post_train("llama-3.1-8b", "h100-sxm-80:8", "sft", examples="100K", example_tokens=512, seq_len=4096)
    padded = post_train(
        "llama-3.1-8b", "h100-sxm-80:8", "sft", examples="100K", example_tokens=512, packed=False, example_max=4096
    )
    assert packed.steps == pytest.approx(100_000 * 512 / 4096 / 128)
    assert padded.steps == pytest.approx(100_000 / 128)
    assert packed.days < 0.3 * padded.days


def test_adapters_fit_where_all_parameters_do_not() -> None:
    with pytest.raises(Infeasible, match="adapters"):
        post_train("llama-3.1-70b", "h100-sxm-80:8", "sft", examples="10K")
    lora = post_train("llama-3.1-70b", "h100-sxm-80:8", "sft", examples="10K", adapters="lora")
    narrow = post_train("llama-3.1-70b", "h100-sxm-80:8", "sft", examples="10K", adapters="qlora", layout="tp=8")
    wide = post_train("llama-3.1-70b", "h100-sxm-80:8", "sft", examples="10K", adapters="lora", layout="tp=8")
    assert lora.best.memory_bytes < 86e9
    assert narrow.best.memory_bytes < wide.best.memory_bytes


def test_preference_tuning_adds_a_pass_of_the_reference() -> None:
    made = post_train("llama-3.1-8b", "h100-sxm-80:8", "dpo", examples="10K")
    names = [term.name for term in made.best.terms]
    assert names[:2] == ["log-probabilities of the reference", "training of the policy"]
    plain = post_train("llama-3.1-8b", "h100-sxm-80:8", "sft", examples="10K")
    assert made.steps == pytest.approx(2.0 * plain.steps)


def test_a_pass_forward_is_about_a_third_of_a_step() -> None:
    zero = StepTerms(*(0.0 for _ in StepTerms._fields))
    terms = zero._replace(
        forward_s=1.0,
        backward_input_s=1.0,
        backward_weight_s=1.0,
        recompute_s=1.0,
        bubble_s=0.6,
        data_comm_s=5.0,
        optimizer_s=2.0,
    )
    assert forward_pass_s(terms) == pytest.approx(1.2)


def test_the_engine_gets_less_of_the_memory_where_the_training_sleeps_beside_it() -> None:
    common = {"prompts": 64, "group": 16, "response_tokens": 4000, "placement": "colocated", "rollout_layout": "tp=1"}
    narrow = post_train("llama-3.1-8b", CHIPS, **common, engine_memory=0.35)  # type: ignore[arg-type]
    usual = post_train("llama-3.1-8b", CHIPS, **common)  # type: ignore[arg-type]
    wide = post_train("llama-3.1-8b", CHIPS, **common, engine_memory=0.9)  # type: ignore[arg-type]
    took = [next(term.value for term in one.best.terms if term.name == "rollout") for one in (narrow, usual, wide)]
    assert took[0] > took[1] >= took[2]


def test_answers_in_flight_do_not_wait_for_the_last_one_and_an_environment_adds_its_time() -> None:
    common = {
        "prompts": 32,
        "group": 8,
        "placement": "apart",
        "rollout_chips": 8,
        "layout": "tp=1,recompute=full",
        "response_max": 8192,
    }
    waits = post_train("llama-3.1-8b", CHIPS, **common)  # type: ignore[arg-type]
    flies = post_train("llama-3.1-8b", CHIPS, **common, in_flight=1)  # type: ignore[arg-type]
    scored = post_train("llama-3.1-8b", CHIPS, **common, environment_s=30.0)  # type: ignore[arg-type]
    sides = [one.best.sides[0].value for one in (flies, waits, scored)]
    assert sides[0] < 0.8 * sides[1]
    assert sides[2] == pytest.approx(sides[1] + 30.0)


def test_a_pipeline_pads_its_micro_batches_and_packing_saves_them() -> None:
    asked = {"prompts": 32, "group": 8, "placement": "colocated", "response_tokens": 1000, "response_max": 3840}
    packed = post_train("llama-3.1-8b", CHIPS, **asked, layout="tp=1,pp=2")  # type: ignore[arg-type]
    padded = post_train("llama-3.1-8b", CHIPS, **asked, layout="tp=1,pp=2", packed=False)  # type: ignore[arg-type]
    trained = [next(t.value for t in one.best.terms if t.name == "training of the policy") for one in (packed, padded)]
    assert trained[1] > 2.0 * trained[0]


def test_experts_wait_for_the_host_and_dense_layers_do_not() -> None:
    kinds = {}
    for name in ("qwen3-30b-a3b", "qwen3-32b"):
        made = post_train(name, "h100-sxm-80:32", prompts=32, group=8, placement="colocated", rollout_layout="tp=4")
        kinds[name] = {term.name for term in made.best.terms}
    assert "dispatch to the experts" in kinds["qwen3-30b-a3b"] - kinds["qwen3-32b"]


def test_micro_batches_hold_every_sequence_and_no_more_than_their_room() -> None:
    tokens = np.array([700, 600, 500, 400, 300, 300, 200])
    assert bins(tokens, 1000) == 3
    assert bins(tokens, 700) >= math.ceil(tokens.sum() / 700)
    assert bins(tokens, 10_000) == 1


def test_lengths_near_the_longest_still_have_their_mean_and_many_reach_it() -> None:
    drawn = lengths(RolloutSpec(64, 16, 100, 3200, 4000, 1024), 4096, 1)
    assert drawn.mean() == pytest.approx(3200, rel=0.01)
    assert 0.3 < (drawn == 4000).mean() < 0.8


def test_lengths_have_their_mean_and_never_pass_the_longest() -> None:
    spec = RolloutSpec(64, 16, 200, 1000, 4000, 1024)
    drawn = lengths(spec, 20_000, 3)
    assert drawn.mean() == pytest.approx(1000, rel=0.03)
    assert drawn.max() <= 4000
    assert (drawn > 3900).mean() == pytest.approx(0.02, abs=0.015)
    assert np.array_equal(drawn, lengths(spec, 20_000, 3))


@pytest.mark.parametrize(
    "bad",
    [
        {"method": "rlhf"},
        {"adapters": "dora"},
        {"placement": "near"},
        {"train_batch": 7},
        {"response_max": 10.0},
        {"rollout_chips": 16},
        {"rollout_chips": 8, "placement": "colocated"},
        {"prompt_tokens": 0.0},
        {"method": "sft"},
        {"engine_memory": 1.5},
        {"in_flight": -1},
        {"in_flight": 1, "placement": "colocated"},
        {"environment_s": -1.0},
    ],
)
def test_what_makes_no_sense_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(InputError) as caught:
        post_train("llama-3.1-8b", CHIPS, **bad)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_a_model_larger_than_a_node_samples_over_several() -> None:
    found = post_train(
        "deepseek-v3", "h100-sxm-80:256", prompts=32, response_tokens=700, response_max=1400, placement="colocated"
    )
    assert found.best.rollout is not None and found.best.rollout.chips > 8


@pytest.mark.parametrize(("kind", "maker"), [("mi300x-192", "amd"), ("ascend-910b3", "huawei"), ("h100-sxm-80", "nvidia")])
def test_the_software_is_that_of_the_maker_of_the_chip(kind: str, maker: str) -> None:
    found = post_train("qwen2.5-7b", f"{kind}:8", method="sft", examples="100K")
    usual = default_train_stack_on(chip(kind), CATALOG_DATE)
    assert chip(kind).vendor.lower() == maker
    assert found.stack == usual.stack.id
    assert any(usual.stack.title in note and usual.note in note for note in found.warnings)
