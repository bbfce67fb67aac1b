"""Whose cost is it: growth, tokens and waiting."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from suanzhang.app.plan import plan
from suanzhang.app.plan_shares import cost_by_demand
from suanzhang.app.question import read_question
from suanzhang.spec.buy import MonthState, OfferTaken, RunWindow, ScheduleRow, ServiceShare
from suanzhang.spec.question import MarketAsk, OfferAsk, Question
from suanzhang.spec.result import Money

QUESTION = """
title: a growing service
currency: USD
start: 2026-10
months: 6
market: us-2026-10
chips: {allow: [h100-sxm-80]}
train:
  - {name: tune, model: llama-3.1-8b, tokens: 5B, seq_len: 4096, global_batch: 512, deadline: 30 d}
serve:
  - name: chat
    model: llama-3.1-70b
    visits_per_day: 1e6
    tokens: {input: 500, output: 200}
    load: {shape: diurnal, peak_to_mean: 2, growth_per_month: 20%}
    slo: {ttft_p99: 3 s, tpot_p99: 100 ms}
"""


@pytest.fixture(scope="module")
def question() -> Question:
    return read_question(QUESTION)


def test_shares_of_a_growing_fleet_are_shares(question: Question) -> None:
    answer = plan(replace(question, market=MarketAsk("us-2026-10", exclude=("llama-3.1-70b-tokens",))))
    served = answer.serve[0]
    assert all(0.0 <= share <= 1.0 for share in served.served)
    assert sum(share.share for share in served.fleet) == pytest.approx(1.0, rel=0.2)
    assert sum(share.chips for share in served.fleet) > served.sized.chips


def test_tokens_belong_to_the_service_that_they_answer(question: Question) -> None:
    cheap = OfferAsk("cheap-tokens", kind="api", chip="llama-3.1-70b", price=0.01)
    answer = plan(replace(question, market=MarketAsk("us-2026-10", offers=(cheap,))))
    bought = sum(row.cost.amount for row in answer.buy.schedule if row.action == "api")
    assert bought > 0.0
    assert answer.serve[0].cost.amount >= 0.999 * bought
    assert answer.serve[0].cost_per_response.amount > 0.0


def test_the_fleet_of_a_service_is_the_chips_that_stand_for_it(question: Question) -> None:
    """Whole servers, as the schedule orders and rents them, not the fraction of them that the load takes."""
    answer = plan(replace(question, market=MarketAsk("us-2026-10", exclude=("llama-3.1-70b-tokens",))))
    last = answer.buy.months[-1]
    for share in answer.serve[0].fleet:
        assert share.chips == last.owned.get(share.chip, 0.0) + last.rented.get(share.chip, 0.0)
        assert share.chips % 8 == 0


def test_a_contract_is_divided_evenly_over_its_months_and_then_over_who_uses_such_chips() -> None:
    """A run alone on reserved chips for the first of four months pays a quarter, however many chips others use later."""
    money = Money(4000.0, "USD", "2026-10")
    months = ["2026-10", "2026-11", "2026-12", "2027-01"]
    state = {month: MonthState(month, {}, {"h100-sxm-80": 8.0}, 0.0, 0.0, 0.0, 0.0) for month in months}
    price = OfferTaken(
        "h100-1y", "reserve", "h100-sxm-80", 2.0, "USD/chip_h", "2026-10", "s", "S", "quoted", 0, 0, "s", "quoted", 4, True
    )
    row = ScheduleRow(
        "2026-10", "h100-1y", "reserve", "h100-sxm-80", 8.0, money, note="in use from 2026-10 (2026-10 to 2026-12)"
    )
    bought = SimpleNamespace(
        schedule=(row,), months=tuple(state.values()), offers=(price,),
        runs=(RunWindow("tune", "h100-sxm-80", 8.0, "", "2026-10", "2026-10", 0.9),),
        shares=tuple(ServiceShare("chat", month, "h100-sxm-80", 800.0, 1.0) for month in months[1:]),
    )  # fmt: skip
    costs = cost_by_demand(bought, {"tune": 0.0, "chat": 0.0})  # type: ignore[arg-type]
    assert costs == pytest.approx({"tune": 1000.0, "chat": 3000.0})
