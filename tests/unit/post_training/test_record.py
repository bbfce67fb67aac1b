"""How far the next run may lie from those seen."""

import math
import statistics
from dataclasses import replace

import pytest

from suanzhang.app.post_training_costs import rl_costs
from suanzhang.app.post_training_fit import fitted, prepared
from suanzhang.app.post_training_record import errors_by, framework, predictive, published_runs, source_of


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


def test_what_frameworks_lose_is_drawn_from_runs_of_unseen_models_round_the_estimate() -> None:
    off = [abs(math.log(run.left_out)) for run in published_runs()]
    found = framework()
    assert found.p50 == pytest.approx(1.0)
    held = sum(found.p05 < run.left_out < found.p95 for run in published_runs())
    assert held >= 0.85 * len(off)
    assert math.log(found.p95) > statistics.median(off)


def test_errors_count_every_run_once_and_all_lie_between_the_groups() -> None:
    (whole,) = errors_by("")
    for kind in ("source", "model", "chip"):
        groups = errors_by(kind)
        assert sum(group.runs for group in groups) == whole.runs == len(published_runs())
        assert min(group.median for group in groups) <= whole.median <= max(group.median for group in groups)
    assert whole.median < 0.10 and abs(whole.bias) < 0.04
    assert whole.median_left_out < 0.15 and abs(whole.bias_left_out) < 0.05


def test_every_run_names_its_page() -> None:
    for run in published_runs():
        assert source_of(run)["url"].startswith("https://") and source_of(run)["date"]


def test_a_fit_finds_the_costs_that_made_the_steps() -> None:
    small = [run for run in published_runs() if run.model in ("llama-3.1-8b", "qwen3-30b-a3b") and run.source.endswith("h100")]
    runs = [prepared(run) for run in small[:6]]
    true = replace(rl_costs(), dispatch_s=0.004, copy_bytes_per_s=2e9, step_s=8.0)
    made = [replace(one, run=replace(one.run, step_s=one.step_s(true))) for one in runs]
    found = fitted(made)
    before = [abs(math.log(one.off(rl_costs()))) for one in made]
    after = [abs(math.log(one.off(found))) for one in made]
    assert sum(after) < 0.5 * sum(before)
