"""Scaling laws against the figures of their papers."""

import doctest

import pytest

from suanzhang.perf import scaling
from suanzhang.perf.scaling import BESIROGLU_2024, HOFFMANN_2022, best_params, kaplan_loss, loss


def test_examples_in_the_docstrings() -> None:
    for function in (scaling.loss, scaling.best_params, scaling.kaplan_loss):
        text = function.py_func.__doc__  # type: ignore[attr-defined]
        test = doctest.DocTestParser().get_doctest(text, vars(scaling), function.__name__, None, 0)
        assert doctest.DocTestRunner(verbose=False).run(test).failed == 0


@pytest.mark.parametrize("law", [HOFFMANN_2022, BESIROGLU_2024])
def test_the_best_model_is_best(law: scaling.LossLaw) -> None:
    flop = 5.76e23
    best = best_params(flop, law)
    at = loss(best, flop / (6.0 * best), law)
    for factor in (0.5, 0.9, 1.1, 2.0):
        other = factor * best
        assert loss(other, flop / (6.0 * other), law) > at


def test_chinchilla_is_near_its_own_optimum() -> None:
    """Seventy billion parameters on 1.4 trillion tokens were chosen by the paper for 5.76e23 FLOP."""
    assert best_params(5.76e23, BESIROGLU_2024) == pytest.approx(70e9, rel=0.1)


def test_gpt3_had_too_few_tokens() -> None:
    assert loss(175e9, 300e9, BESIROGLU_2024) > loss(70e9, 1.4e12, BESIROGLU_2024)


def test_more_compute_never_raises_the_loss() -> None:
    budgets = [10.0**k for k in range(18, 27)]
    assert sorted((kaplan_loss(flop) for flop in budgets), reverse=True) == [kaplan_loss(flop) for flop in budgets]
