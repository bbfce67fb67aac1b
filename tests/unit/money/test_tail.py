"""The weight of the worst futures is printed with their mean, which falls as the weight rises."""

import io
from pathlib import Path

import numpy as np
import pytest

from suanzhang.app.buy import _less
from suanzhang.app.verbs import buy
from suanzhang.report.text import print_report
from suanzhang.report.views import report_of

QUESTION = Path(__file__).parents[3] / "examples" / "2026-10" / "question.yaml"


def test_the_mean_of_the_tail_is_printed_and_falls_with_its_weight():
    plain, some, much = (buy(QUESTION, scenarios=20, cvar=weight) for weight in (0.0, 0.3, 0.9))
    assert plain.tail_mean is None
    costs = np.sort([one.cost.amount for one in some.outcomes])
    assert some.tail_mean.amount == pytest.approx(costs[-1], abs=0.01)
    before = max(one.cost.amount for one in plain.outcomes)
    assert before > some.tail_mean.amount >= (1.0 - some.gap / 0.3) * much.tail_mean.amount
    assert some.cost.amount > (1.0 - plain.gap) * plain.cost.amount
    text = io.StringIO()
    print_report(report_of(some), file=text, width=200)
    assert "mean of the dearest 5% of futures" in text.getvalue()


def test_many_futures_say_how_a_plan_for_one_differs():
    lines = buy(QUESTION, scenarios=10).warnings
    line = next(line for line in lines if line.startswith("a plan for the expected future alone"))
    assert "chips of b200-order" in line and "less on average" in line
    assert not any("expected future alone" in line for line in buy(QUESTION, scenarios=1).warnings)


def test_a_plan_that_saves_nothing_costs_the_same():
    assert _less(40_017.0, 5.38e6, "USD") == "40,017 USD less"
    assert _less(-3.0, 5.38e6, "USD") == _less(0.0, 5.38e6, "USD") == "the same"
