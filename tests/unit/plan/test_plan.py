"""The plan of a small question: totals, orders of events, and refusals in words."""

import math
from dataclasses import replace

import pytest

from suanzhang.app.plan import plan
from suanzhang.errors import Infeasible, InputError, PlannerError
from suanzhang.spec.plan import PlanResult
from suanzhang.spec.question import ChipFilter, Holding, Question


def test_one_total(answer: PlanResult) -> None:
    total = answer.cost.amount
    assert sum(line.cost.amount for line in answer.costs) == pytest.approx(total, abs=0.01)
    assert sum(row.cost.amount for row in answer.buy.schedule) == pytest.approx(total, abs=0.01)
    parts = sum(one.cost.amount for one in answer.train) + sum(one.cost.amount for one in answer.serve)
    assert parts == pytest.approx(total, rel=1e-9)


def test_intervals_hold_their_middle_and_are_in_order(answer: PlanResult) -> None:
    for interval in (answer.train[0].option.days_interval, answer.serve[0].cost_per_response_interval, answer.cash_interval):
        assert interval is not None and 0.0 < interval.p05 < interval.p50 < interval.p95
    # What is left may fetch more than all was paid where prices rise: the cost less what is left has no sign of its own.
    assert answer.cost_interval.p05 < answer.cost_interval.p50 < answer.cost_interval.p95


def test_a_service_of_a_model_trained_here_starts_after_its_training(answer: PlanResult) -> None:
    served, training = answer.serve[0], answer.train[0]
    first = next(index for index, share in enumerate(served.served) if share > 0.0)
    assert answer.power[first].month > training.start
    assert training.finish < answer.power[first].month
    assert any("starts when training base must be done" in line for line in answer.warnings)


def test_chips_of_the_plan_carry_what_was_sized(answer: PlanResult) -> None:
    served = answer.serve[0]
    assert served.full_from
    carried = sum(share.chips for share in served.fleet)
    assert carried >= served.sized.chips
    last = [row for row in answer.chips if row.month == answer.power[-1].month]
    assert sum(row.chips for row in last) >= carried - 1
    assert all(row.peak_w <= 5e6 for row in answer.power)


def test_cost_per_response_is_the_cost_over_the_responses(answer: PlanResult) -> None:
    served = answer.serve[0]
    responses = 2e6 / 86400.0 * 30.4375 * 86400.0 * sum(served.served)
    assert served.cost_per_response.amount == pytest.approx(served.cost.amount / responses, rel=1e-6)


def test_too_little_money_names_the_budget_and_the_nearest_plan(question: Question) -> None:
    with pytest.raises(Infeasible) as failure:
        plan(replace(question, budget=1e4))
    assert any("budget" in limit for limit in failure.value.binding)
    nearest = [value for key, value in failure.value.nearest.items() if "budget" in key]
    assert nearest and float(nearest[0]) > 1e4
    richer = plan(replace(question, budget=1.001 * float(nearest[0])))
    assert richer.buy.cash.amount <= 1.001 * float(nearest[0])


def test_what_one_owns_need_not_be_bought(question: Question, answer: PlanResult) -> None:
    owned = plan(replace(question, have=(Holding("a100-sxm-80", 4096),)))
    assert owned.buy.cash.amount < answer.buy.cash.amount
    assert not [row for row in owned.buy.schedule if row.action == "buy"]


def test_dearer_chips_never_make_a_plan_cheaper(answer: PlanResult) -> None:
    flips = {flip.change: flip for flip in answer.flips}
    dearer, cheaper = flips["chips cost 25% more"], flips["chips cost 25% less"]
    assert dearer.cost_change_fraction is not None and dearer.cost_change_fraction >= -6e-3
    assert cheaper.cost_change_fraction is not None and cheaper.cost_change_fraction <= 6e-3


def test_an_impossible_target_is_refused_with_what_is_reachable(question: Question) -> None:
    strict = replace(question.serve[0], slo=replace(question.serve[0].slo, tpot_p99_s=1e-4))
    with pytest.raises(Infeasible) as failure:
        plan(replace(question, train=(), serve=(strict,)))
    assert failure.value.nearest["tpot_p99_s"] > 1e-4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"train": (), "serve": ()}, "no training and no service"),
        ({"chips": ChipFilter(allow=("a100-sxm-81",))}, "unknown chip"),
        ({"chips": ChipFilter(deny=("a100-sxm-80",), allow=("a100-sxm-80",))}, "no chip is on offer"),
    ],
)
def test_questions_that_cannot_be_planned_say_why(question: Question, change: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        plan(replace(question, **change))


def test_two_entries_of_one_name_are_refused(question: Question) -> None:
    twice = replace(question, serve=(replace(question.serve[0], name="base"),))
    with pytest.raises(PlannerError, match="named 'base'"):
        plan(twice)


def test_sources_name_every_chip_that_is_bought(answer: PlanResult) -> None:
    bought = {row.chip for row in answer.buy.schedule if row.chip}
    used = " ".join(what for source in answer.sources for what in source.used_for)
    assert all(f"hbm_bytes of {chip}" in used for chip in bought)
    assert all(source.title for source in answer.sources)
    assert all(math.isfinite(line.cost.amount) for line in answer.costs)
