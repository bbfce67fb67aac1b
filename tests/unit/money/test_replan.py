"""A later month of a plan that has been followed so far."""

import json
from pathlib import Path

import pytest

from suanzhang.app.question import read_question
from suanzhang.app.quotes import paid_before
from suanzhang.app.replan import later_question
from suanzhang.app.verbs import buy
from suanzhang.errors import InputError
from suanzhang.report.jsonable import to_json

QUESTION = """
title: two sites
currency: USD
start: 2026-10
months: 12
site: {id: us-virginia, power_limit: 1 MW}
sites:
  - id: us-texas
    power_by_month: [100 kW, 100 kW, 300 kW]
    racks: 8
    build: [{id: hall, power: 50 kW, racks: 2, cost: 1e6, months: 6, most: 2}]
market: us-2026-10
budget: 10e6
budget_by_month: [1e6, 2e6, 3e6, 4e6, 9e6]
have:
  - {chip: h100, chips: 64, site: us-virginia}
  - {chip: a100-sxm-80, chips: 16, kind: reserve, until: 2026-12}
train:
  - {name: tune, model: llama-3.1-70b, tokens: 20B, deadline: 150 d}
serve:
  - name: chat
    model: llama-3.1-70b
    requests_per_s: 10
    start: 2026-11
    load: {growth_per_month: 10%}
    tokens: {input: 1000, output: 300}
"""


def row(month, action, offer, chip, chips, note="", site=""):
    cost = {"amount": 100.0, "currency": "USD", "date": "2026-10"}
    return {
        "month": month,
        "action": action,
        "offer": offer,
        "chip": chip,
        "chips": chips,
        "note": note,
        "site": site,
        "cost": cost,
    }


PLAN = {
    "schedule": [
        row("2026-10", "buy", "b200-order", "b200-sxm-180", 32.0, "in use from 2027-04", "us-texas"),
        row("2026-10", "build", "hall", "", 0.0, "1 x, in use from 2027-04"),
        row("2026-10", "reserve", "h100-cloud-1y", "h100-sxm-80", 16.0, "in use from 2026-12"),
        row("2026-11", "move", "us-virginia to us-texas", "h100-sxm-80", 24.0, "in use from 2026-12"),
        row("2026-12", "resell", "own", "h100-sxm-80", 8.0, "", "us-texas"),
        row("2027-02", "buy", "b200-order", "b200-sxm-180", 8.0, "in use from 2027-08", "us-texas"),
    ],
    "months": [{"month": f"2026-{m}", "cash": 500000.0} for m in (10, 11, 12)] + [{"month": "2027-01", "cash": 1.0}],
    "runs": [{"demand": "tune", "start": "2026-12", "months": 4.0}],
    "shares": [],
}  # fmt: skip


@pytest.fixture
def later():
    return later_question(read_question(QUESTION), PLAN, "2027-01")


def test_what_was_bought_moved_and_sold_is_where_it_is_now(later):
    question, notes = later
    own = {(one.chip, one.site, one.since): one.chips for one in question.have if one.kind == "own"}
    assert own == {
        ("h100-sxm-80", "us-virginia", ""): 40,
        ("h100-sxm-80", "us-texas", "2026-12"): 16,
        ("b200-sxm-180", "us-texas", "2027-04"): 32,
    }
    held = [(one.chip, one.chips, one.kind, one.until) for one in question.have if one.kind != "own"]
    assert held == [("h100-sxm-80", 16, "reserve", "2027-11")]
    assert "1,500,000 USD" in notes[0]


def test_money_time_and_limits_go_on_from_there(later):
    question, _ = later
    assert (question.start, question.months, question.budget) == ("2027-01", 9, 8.5e6)
    assert question.budget_by_month == (2.5e6, 7.5e6)
    texas = question.sites[0]
    assert texas.power_by_month == (300e3, 300e3, 300e3, 350e3, 350e3, 350e3, 350e3, 350e3, 350e3)
    assert texas.racks == (8.0, 8.0, 8.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0)
    assert [(one.id, one.most) for one in texas.works] == [("hall", 1)]
    assert question.site.power_limit_w == 1e6


def test_work_goes_on_with_what_is_left(later):
    question, _ = later
    (tune,), (chat,) = question.train, question.serve
    assert tune.tokens == pytest.approx(20e9 * 0.75)
    assert tune.start == "2027-01"
    assert (chat.requests_per_s, chat.start) == (10.0, "2026-11")
    ended = {**PLAN, "runs": [{"demand": "tune", "start": "2026-11", "months": 1.5}]}
    assert not later_question(read_question(QUESTION), ended, "2027-01")[0].train


def test_what_was_really_paid_counts_where_it_is_known(tmp_path):
    file = tmp_path / "paid.csv"
    file.write_text("month,paid\n2026-10,700000\n2026-11,800000\n2027-01,5\n")
    assert paid_before(file, "2027-01") == 1.5e6
    question, _ = later_question(read_question(QUESTION), PLAN, "2027-01", 2.5e6)
    assert question.budget == 7.5e6


def test_what_cannot_be_planned_again_is_one_line(tmp_path):
    question = read_question(QUESTION)
    for month in ("2026-10", "2027-10", "2026-01"):
        with pytest.raises(InputError, match="replan"):
            later_question(question, PLAN, month)
    file = tmp_path / "other.json"
    for text in ("", "[1]", json.dumps({"schedule": []})):
        file.write_text(text)
        with pytest.raises(InputError, match="replan"):
            later_question(question, file, "2027-01")


def test_a_plan_that_was_followed_can_be_gone_on_with():
    file = Path("examples/2026-10/two-sites.yaml")
    first = buy(file, scenarios=1)
    stored = json.loads(json.dumps(to_json(first)))
    question, _ = later_question(read_question(file), stored, "2027-06")
    second = buy(question, scenarios=1)
    planned = {state.month: sum(state.owned.values()) for state in first.months}
    assert {state.month for state in second.months} == {month for month in planned if month >= "2027-06"}
    assert sum(second.months[0].owned.values()) == planned["2027-06"]
    orders = [
        [(row.month, row.action, row.chips) for row in plan.schedule if row.action in ("buy", "build")]
        for plan in (first, second)
    ]
    assert [order for order in orders[0] if order[0] >= "2027-06"] == orders[1]
    services = {share.month: share.share for share in second.shares if share.chip != "waiting"}
    assert min(services.values()) > 0.0
