"""Published runs of GRPO beside our steps; `app/data/rl_runs.yaml` holds them with their sources."""

from __future__ import annotations

import pytest

from suanzhang.app.post_training import post_train
from suanzhang.app.post_training_record import RlRun, asked_of, framework, published_runs, ratio_now

RUNS = {run.id: run for run in published_runs()}
FIRST = [run for run in RUNS.values() if run.source == "nemo-rl-0.4-h100" and not run.rollout_chips]


@pytest.mark.parametrize("name", sorted(RUNS))
def test_the_record_is_that_of_the_physics_of_now(name: str) -> None:
    """Run ``python -c "from suanzhang.app.post_training_record import record; record()"`` when the physics have moved."""
    assert RUNS[name].ratio == pytest.approx(ratio_now(RUNS[name]), rel=0.02)


def test_nine_published_steps_of_ten_lie_inside_what_frameworks_lose() -> None:
    held = [framework().p05 < run.left_out < framework().p95 for run in RUNS.values()]
    assert sum(held) >= 0.85 * len(held)


def test_the_runs_that_once_took_up_to_three_times_the_estimate_are_met() -> None:
    assert len(FIRST) == 5
    for run in FIRST:
        assert 1.0 / 1.25 < run.ratio < 1.25, run.id
        assert 1.0 / 1.35 < run.left_out < 1.35, run.id


@pytest.mark.parametrize("run", FIRST, ids=[run.id for run in FIRST])
def test_the_interval_holds_the_published_step_and_the_estimate_lies_near_its_middle(run: RlRun) -> None:
    found = post_train(**asked_of(run))
    span = found.step_s_interval
    assert span.p05 < run.step_s < span.p95
    assert found.best.step_s == pytest.approx(span.p50, rel=0.08)
    days = found.days_interval
    assert days.p05 < found.days < days.p95
