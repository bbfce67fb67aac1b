"""How far the next run may lie from those seen."""

import math

import pytest

from suanzhang.app.post_training_record import framework, predictive, published_runs


def test_the_next_run_follows_students_t() -> None:
    found = predictive([1.0, math.e**0.2, math.e**-0.2], 0.0)
    off = 2.9200 * 0.2 * math.sqrt(1.0 + 1.0 / 3.0)  # t of 2 degrees of freedom at 95 %
    assert (found.p05, found.p50, found.p95) == pytest.approx((math.exp(-off), 1.0, math.exp(off)), rel=1e-3)


def test_more_runs_of_the_same_scatter_narrow_it_and_other_frameworks_widen_it() -> None:
    few, many = predictive([1.5, 2.0, 2.5], 0.0), predictive([1.5, 2.0, 2.5] * 4, 0.0)
    assert many.p95 / many.p05 < few.p95 / few.p05
    other = predictive([1.5, 2.0, 2.5], 0.2)
    assert other.p05 < few.p05 < few.p95 < other.p95
    assert other.p50 == few.p50


def test_questions_follow_from_the_tokens_that_a_step_moved() -> None:
    run = next(run for run in published_runs() if run.model == "llama-3.1-8b")
    assert run.prompt_tokens == pytest.approx(1562 * 97.7 * 16 / 2048 - 1060)
    assert min(run.prompt_tokens for run in published_runs()) >= 60.0


def test_what_frameworks_lose_is_drawn_from_the_record() -> None:
    ratios = sorted(run.ratio for run in published_runs())
    found = framework()
    assert ratios[0] < found.p50 < ratios[-1]
    assert found.p05 < ratios[0] and found.p95 > ratios[-1]
