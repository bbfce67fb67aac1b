"""Every figure that post-training predicts has its interval; what is no prediction stands here with the reason."""

from __future__ import annotations

import pytest
from intervals import unspanned

import suanzhang
from suanzhang.app.post_training_record import framework
from suanzhang.spec.post_training import PostResult

GIVEN = {
    "PostResult.chips": "given",
    "PostResult.steps": "given, or examples over the batch",
    "PostResult.tokens_per_step": "given",
    "PostResult.evaluated": "a count of work done",
    "PostOption.train_chips": "a choice among what was given",
    "PostOption.rollout_chips": "a choice among what was given",
    "PostOption.fits_fraction": "what the interval itself says",
    "PostOption.riskier_gain_fraction": "of a way that is named only",
    "PostOption.riskier_fits_fraction": "what the interval itself says",
    "Flag": "weights of figures, exact by the formulas",
}
TURNS = {**GIVEN, "PostResult.utilisation": "sides that take turns keep all chips busy"}


@pytest.fixture(scope="module")
def apart() -> PostResult:
    return suanzhang.post_train("llama3-8b", "h100-sxm-80:32", "grpo", placement="apart", rollout_chips=16, prompts=32, group=8)


def test_a_fleet_apart(apart: PostResult) -> None:
    assert apart.utilisation < 1.0
    assert unspanned([apart], GIVEN) == []


def test_taking_turns_and_tuning() -> None:
    turns = suanzhang.post_train(
        "llama3-8b", "h100-sxm-80:8", "grpo", placement="colocated", prompts=16, group=8, price_per_chip_h=2.0
    )
    tuning = suanzhang.post_train("llama3-8b", "h100-sxm-80:8", "dpo", examples="100K")
    assert unspanned([turns, tuning], TURNS) == []
    lost = framework().p95 / framework().p05
    assert tuning.step_s_interval.p95 / tuning.step_s_interval.p05 < lost, "no framework between sides to lose in"
    assert turns.step_s_interval.p95 / turns.step_s_interval.p05 > lost, "what frameworks lose is in it"


@pytest.mark.parametrize("placement", ["colocated", "apart"])
def test_the_estimate_is_the_middle_of_its_draws(placement: str) -> None:
    found = suanzhang.post_train("llama3-8b", "h100-sxm-80:16", "grpo", placement=placement, prompts=32, group=8)
    assert found.step_s_interval.p50 == pytest.approx(found.best.step_s, rel=0.08)
    assert found.days_interval.p50 == pytest.approx(found.days, rel=0.08)


def test_days_hours_and_cost_move_together(apart: PostResult) -> None:
    assert apart.cost is not None and apart.cost_interval is not None and apart.chip_hours_interval is not None
    for end in ("p05", "p50", "p95"):
        share = getattr(apart.days_interval, end) / apart.days
        assert getattr(apart.chip_hours_interval, end) == pytest.approx(share * apart.chip_hours)
        assert getattr(apart.cost_interval, end) == pytest.approx(share * apart.cost.amount)
