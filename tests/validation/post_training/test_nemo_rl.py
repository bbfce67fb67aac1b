"""Published runs of GRPO beside our steps; `app/data/rl_runs.yaml` holds them with their source."""

from __future__ import annotations

import pytest

from suanzhang.app.post_training import post_train
from suanzhang.app.post_training_record import RlRun, framework, published_runs, ratio_now

RUNS = {run.model: run for run in published_runs()}


@pytest.mark.parametrize("name", sorted(RUNS))
def test_the_record_is_that_of_the_physics_of_now(name: str) -> None:
    """Run ``python -c "from suanzhang.app.post_training_record import record; record()"`` when the physics have moved."""
    assert RUNS[name].ratio == pytest.approx(ratio_now(RUNS[name]), rel=0.02)


@pytest.mark.parametrize("name", sorted(RUNS))
def test_published_steps_lie_inside_what_frameworks_lose(name: str) -> None:
    assert framework().p05 < RUNS[name].ratio < framework().p95


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_the_interval_holds_the_published_step_and_the_estimate_lies_strictly_inside(run: RlRun) -> None:
    found = post_train(
        run.model, f"h100-sxm-80:{run.chips}", prompts=run.responses // 16, group=16, prompt_tokens=run.prompt_tokens,
        response_tokens=run.response_tokens, response_max=run.response_max, train_batch=run.train_batch,
        placement="colocated", rollout_layout=run.rollout_layout, layout=run.layout, stack="megatron-bridge-2025",
    )  # fmt: skip
    span = found.step_s_interval
    assert span.p05 < run.step_s < span.p95
    assert span.p05 < found.best.step_s < span.p95
    days = found.days_interval
    assert days.p05 < found.days < days.p95
