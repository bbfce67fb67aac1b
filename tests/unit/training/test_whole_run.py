"""The verb that simulates a whole run."""

from __future__ import annotations

import doctest

import pytest

from suanzhang.app.train_run import RATES, goodput
from suanzhang.errors import Infeasible, InputError
from suanzhang.perf import goodput as formulas
from suanzhang.report.views import report_of

LLAMA = ("llama-3.1-405b", "15T", "h100-sxm-80:16384")
GIVEN = {"global_batch": 2048, "seq_len": 8192, "stack": "megatron-lm-2024", "replications": 100, "layout": "tp=8,pp=16,cp=1"}


@pytest.fixture(scope="module")
def llama():
    return goodput(*LLAMA, **GIVEN)


def test_examples_in_the_docstrings() -> None:
    for function in (formulas.straggler_fraction, formulas.goodput_fraction):
        test = doctest.DocTestParser().get_doctest(function.py_func.__doc__, vars(formulas), function.__name__, None, 0)
        assert doctest.DocTestRunner(verbose=False).run(test).failed == 0


def test_the_published_run(llama) -> None:
    """Sixteen thousand chips, one failure each three hours, more than 90 % effective training time."""
    assert llama.mtbf_s == pytest.approx(3.09 * 3600.0, rel=0.01)
    assert 0.90 < llama.goodput_fraction < 0.97
    assert llama.failures == pytest.approx(419.0 * llama.days / 54.0, rel=0.1)


def test_parts_sum_to_the_calendar(llama) -> None:
    assert sum(term.value for term in llama.terms) == pytest.approx(llama.days * 86400.0)
    assert llama.goodput_fraction == pytest.approx(llama.terms[0].value / (llama.days * 86400.0))


def test_intervals_hold_their_values(llama) -> None:
    assert llama.days_interval.p05 < llama.days < llama.days_interval.p95
    assert llama.goodput_fraction_interval.p05 < llama.goodput_fraction < llama.goodput_fraction_interval.p95


def test_what_is_chosen_is_the_best_of_what_is_shown(llama) -> None:
    best = max(setting.goodput_fraction for setting in llama.intervals)
    assert llama.interval_s == next(s.value for s in llama.intervals if s.goodput_fraction == best)
    most = max(setting.goodput_fraction for setting in llama.spare_settings)
    chosen = next(s for s in llama.spare_settings if s.value == llama.spares)
    assert chosen.goodput_fraction * 1.0011 >= most
    assert llama.spare_settings[0].goodput_fraction < 0.5  # without spares the job waits for repairs


def test_formula_and_simulation_agree_when_spares_are_there() -> None:
    result = goodput(*LLAMA, checkpoint="sync", spares=200, **GIVEN)
    assert result.goodput_fraction == pytest.approx(result.formula_fraction, abs=0.012)
    assert result.simulated_best_s == pytest.approx(result.young_s, rel=0.5)
    assert report_of(result).verdict


def test_fewer_failures_and_lesser_pauses_are_faster(llama) -> None:
    rare = goodput(*LLAMA, failures="meta-rsc-2", **GIVEN)
    often = goodput(*LLAMA, failures="opt", **GIVEN)
    assert rare.days < llama.days < often.days
    paused = goodput(*LLAMA, evaluation_s=600.0, evaluation_every_s=12 * 3600.0, **GIVEN)
    assert paused.days > llama.days
    assert any(term.name == "evaluation" for term in paused.terms)
    slow = goodput(*LLAMA, slow_nodes_fraction=1e-4, slowdown_fraction=0.1, **GIVEN)
    assert llama.days < slow.days < 1.12 * llama.days


def test_a_warm_up_takes_all_tokens_in_more_steps(llama) -> None:
    warmed = goodput(*LLAMA, batch_warm_up="0.25:1%,0.5:17%", **GIVEN)
    assert sum(phase.tokens for phase in warmed.warm_up) == pytest.approx(15e12)
    assert [phase.global_batch for phase in warmed.warm_up] == [512, 1024, 2048]
    assert warmed.days > llama.days


def test_the_same_seed_gives_the_same_answer(llama) -> None:
    assert goodput(*LLAMA, **GIVEN) == llama
    assert goodput(*LLAMA, seed=1, **GIVEN).days != llama.days


def test_published_rates_lie_within_a_factor_of_seven() -> None:
    rates = [rate for rate, _ in RATES.values()]
    assert max(rates) / min(rates) < 7.0


@pytest.mark.parametrize(
    "given",
    [
        {"failures": "lama3"},
        {"failures": "-1"},
        {"checkpoint": "never"},
        {"replications": 3},
        {"repair_s": -1.0},
        {"evaluation_s": 10.0},
        {"batch_warm_up": "0.5"},
        {"batch_warm_up": "0.5:60%,0.7:50%"},
        {"slow_nodes_fraction": 2.0},
        {"failures": "5"},
    ],
)
def test_bad_questions(given) -> None:
    with pytest.raises(InputError):
        goodput(*LLAMA, **{**GIVEN, **given})


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(Infeasible):
        goodput("gpt3-175b", "1B", "a100-sxm-80:8")


def test_why_the_best_interval_is_longer_than_that_of_the_formula_is_said(llama) -> None:
    assert llama.young_s < llama.simulated_best_s
    note = next(text for text in llama.warnings if text.startswith("Young's formula"))
    assert "storage busy for 10%" in note
    assert llama.simulated_best_s == pytest.approx(llama.checkpoint_durable_s / 0.1)
    slow = goodput(*LLAMA, **GIVEN, checkpoint="sync", failures="opt")
    assert slow.young_s < slow.simulated_best_s or not any(text.startswith("Young's formula") for text in slow.warnings)


@pytest.mark.parametrize("seed", [0, 1, 5])
def test_a_run_that_fails_often_is_answered_whatever_the_seed(seed: int) -> None:
    found = goodput(*LLAMA, **GIVEN, checkpoint="sync", failures="opt", seed=seed)
    assert found.goodput_fraction < 0.9 and found.days_interval.p95 > found.days
