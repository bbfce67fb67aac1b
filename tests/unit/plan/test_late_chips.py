"""Chips that come late must be faster: a training is sized for what a delivery leaves of its deadline."""

import re

import pytest

import suanzhang
from suanzhang.app.plan_sizing import _fewest_within, train_options_within
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import default_train_stack
from suanzhang.errors import Infeasible
from suanzhang.spec.job import TrainJob
from suanzhang.units import DAY_S

QUESTION = """
title: One training on chips that are ordered
currency: USD
start: 2023-05
months: 12
site: us-virginia
market:
  id: us-2023-04
  exclude: [a100-spot, davinci-tokens, h100-cloud, a100-cloud, a100-cloud-1y, a100-cloud-3y, v100-cloud, dgx-cloud]
budget: 20e6
train:
  - {name: base, model: gpt3-175b, tokens: 300B, start: 2023-05, deadline: 31 d}
"""


def refusal(text: str) -> Infeasible:
    with pytest.raises(Infeasible) as caught:
        suanzhang.plan(text)
    return caught.value


def test_the_later_due_date_that_is_named_is_enough_when_asked_with_and_a_day_less_is_not() -> None:
    later = refusal(QUESTION).nearest["base_due_days_later"]
    asked = [QUESTION.replace("31 d", f"{31 + later - less} d") for less in (0, 1)]
    found = suanzhang.plan(asked[0])
    assert found.train[0].option.days + 61 <= 31 + later
    assert refusal(asked[1]).nearest["base_due_days_later"] >= 1


def test_a_budget_and_a_power_that_are_named_are_enough_when_asked_with() -> None:
    easy = QUESTION.replace("31 d", "180 d")
    budget = refusal(easy.replace("20e6", "2e6")).nearest["budget"]
    assert suanzhang.plan(easy.replace("20e6", f"{budget:.0f}")).cost.amount > 0.0
    assert refusal(easy.replace("20e6", f"{0.995 * budget:.0f}")).nearest["budget"] == pytest.approx(budget, rel=5e-3)
    small = easy.replace("site: us-virginia", "site: {id: us-virginia, power_limit: 10 kW}")
    power = refusal(small).nearest["power_limit_w"]
    assert suanzhang.plan(small.replace("10 kW", f"{power:.0f} W")).cost.amount > 0.0
    assert "power" in re.sub(r"\W", " ", str(refusal(small.replace("10 kW", f"{0.99 * power:.0f} W")).binding))


def test_the_fewest_chips_for_what_is_left_are_options_too() -> None:
    kind = chip("a100-sxm-80")
    job = TrainJob("pilot", model("gpt3-13b"), 300e9, 2048, 1024, deadline_s=120 * DAY_S, start="2023-05")
    stack = default_train_stack(2023)
    plain = train_options_within(job, kind, stack, 1)
    with_left = train_options_within(job, kind, stack, 1, left=(60 * DAY_S, 20 * DAY_S))
    assert [option.chips for option in with_left] == sorted(option.chips for option in with_left)
    assert plain[0] in with_left and with_left[-1].days <= 20.0
    assert sum(option.days > 60.0 for option in with_left) == 1


def test_nothing_is_searched_that_a_known_option_already_does() -> None:
    kind = chip("a100-sxm-80")
    job = TrainJob("pilot", model("gpt3-13b"), 300e9, 2048, 1024, deadline_s=120 * DAY_S, start="2023-05")
    known = train_options_within(job, kind, default_train_stack(2023), 1)

    def searched(count: int) -> tuple[()]:
        raise AssertionError(f"{count} chips were searched")

    assert _fewest_within(known[0].days * DAY_S, (known[0].chips, 4096), known, searched) is None


@pytest.mark.parametrize("budget", ["2e6", "20e6"])
def test_limits_that_must_give_together_are_enough_when_all_of_them_are_asked_with(budget: str) -> None:
    hard = QUESTION.replace("20e6", budget).replace("site: us-virginia", "site: {id: us-virginia, power_limit: 10 kW}")
    error = refusal(hard)
    assert str(error.fix).startswith("relax all of: base_due_days_later, power_limit_w")
    near = error.nearest
    eased = hard.replace("31 d", f"{31 + near['base_due_days_later']} d").replace("10 kW", f"{near['power_limit_w']:.0f} W")
    if budget == "2e6":
        eased = eased.replace(budget, f"{near['budget']:.0f}")
    assert suanzhang.plan(eased).cost.amount > 0.0
    for one in ("base_due_days_later", "power_limit_w"):
        alone = hard.replace("31 d", f"{31 + near[one]} d") if "days" in one else hard.replace("10 kW", f"{near[one]:.0f} W")
        assert refusal(alone).binding
