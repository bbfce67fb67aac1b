"""Unit costs and charges: parts of one total, in text, JSON and workbook."""

import csv
import io
import json

import pytest

import suanzhang
from suanzhang.app.focus import NEVER_NULL, charge_back, focus_csv, in_cents
from suanzhang.report.jsonable import to_text
from suanzhang.report.text import print_report
from suanzhang.report.views import report_of
from suanzhang.report.xlsx import workbook

QUESTION = """\
title: Two teams
currency: USD
start: 2023-05
months: 12
site: us-virginia
market: us-2023-04
chips: [a100-sxm-80, h100-sxm-80]
train:
  - {name: base, model: llama-2-13b, tokens: 100B, deadline: 120 d, team: research}
serve:
  - name: chat
    model: llama-2-13b
    visits_per_day: 2e6
    tokens: {input: 300, output: 200}
    start: 2023-09
    team: product
  - name: code
    model: llama-2-7b
    visits_per_day: 1e6
    tokens: {input: 600, output: 300}
    start: 2023-07
    team: product
"""


def printed(result):
    text = io.StringIO()
    print_report(report_of(result), file=text, width=220)
    return text.getvalue()


@pytest.fixture(scope="module")
def bought():
    return suanzhang.buy(QUESTION, scenarios=1)


@pytest.fixture(scope="module")
def planned():
    return suanzhang.plan(QUESTION)


def cents(amount):
    return round(100.0 * amount)


@pytest.mark.parametrize("verb", ["bought", "planned"])
def test_every_unit_times_its_quantity_is_a_part_of_the_one_total(verb, request):
    result = request.getfixturevalue(verb)
    *jobs, whole = result.unit_costs
    assert [one.job for one in jobs] == ["base", "chat", "code"]
    assert sum(one.cost.amount for one in jobs) == pytest.approx(result.cost.amount, abs=0.01)
    assert whole.cost == result.cost
    assert whole.chip_hours == pytest.approx(sum(one.chip_hours for one in jobs))
    for one in (*jobs, whole):
        assert one.per_chip_h.amount * one.chip_hours == pytest.approx(one.cost.amount, abs=0.01)
        span = one.per_chip_h_interval
        assert span.p05 < one.per_chip_h.amount < span.p95
    train, chat, _ = jobs
    assert train.per_useful_eflop.amount * train.useful_flop / 1e18 == pytest.approx(train.cost.amount)
    assert train.per_mtoken.amount * 1e5 == pytest.approx(train.cost.amount)
    assert train.per_response is None
    assert 1.0 < train.useful_flop / (6.0 * 13.0e9 * 100e9) < 1.2
    assert chat.per_response.amount * chat.responses == pytest.approx(chat.cost.amount)
    assert chat.tokens == pytest.approx(200.0 * chat.responses)
    assert chat.per_useful_eflop is None
    month = 365.25 / 12.0
    assert chat.responses == pytest.approx(2e6 * month * 8, rel=1e-6)


def test_the_response_of_a_plan_costs_what_its_service_says(planned):
    for unit, service in zip(planned.unit_costs[1:3], planned.serve, strict=True):
        assert unit.per_response.amount == pytest.approx(service.cost_per_response.amount)
        assert unit.per_response_interval == service.cost_per_response_interval


def test_charges_sum_to_cash_and_cost_to_the_cent_by_job_and_team(bought):
    assert sum(cents(one.cost.amount) for one in bought.charge_back) == cents(bought.cost.amount)
    assert sum(cents(one.cash.amount) for one in bought.charge_back) == cents(bought.cash.amount)
    assert {one.demand: one.team for one in bought.charge_back} == {"base": "research", "chat": "product", "code": "product"}
    billed = list(csv.DictReader(io.StringIO(focus_csv(bought))))
    assert sum(cents(float(row["BilledCost"])) for row in billed) == cents(bought.cash.amount)
    for team in ("research", "product"):
        paid = sum(cents(one.cash.amount) for one in bought.charge_back if one.team == team)
        assert sum(cents(float(row["BilledCost"])) for row in billed if json.loads(row["Tags"])["team"] == team) == paid


def test_amounts_that_round_apart_still_sum_to_the_total():
    for total, parts in ((100, [33.334, 33.333, 33.333]), (-5, [-0.017, -0.016, -0.017]), (1, [0.005, 0.005])):
        found = in_cents({str(k): part / (100.0 if total == 100 else 1.0) for k, part in enumerate(parts)}, total)
        assert sum(found.values()) == total


def test_unit_costs_stand_in_text_json_and_workbook(bought, planned):
    openpyxl = pytest.importorskip("openpyxl")
    for result in (bought, planned):
        text = printed(result)
        assert "What a unit costs" in text
        assert json.loads(to_text(result))["unit_costs"][0]["per_useful_eflop_interval"]["p95"] > 0.0
        book = openpyxl.load_workbook(io.BytesIO(workbook(report_of(result))), data_only=True)
        cells = [cell for sheet in book for line in sheet.iter_rows(values_only=True) for cell in line]
        assert any(isinstance(cell, float) and cell == pytest.approx(result.unit_costs[0].per_chip_h.amount) for cell in cells)
    assert "product" in printed(bought)


def test_charges_without_teams_are_those_of_the_jobs(bought):
    again = charge_back(bought)
    assert sum(cents(one.cost.amount) for one in again) == cents(bought.cost.amount)
    assert all(not one.team for one in again)


def test_focus_rows_keep_the_rules_of_the_columns(bought):
    rows = list(csv.DictReader(io.StringIO(focus_csv(bought))))
    assert list(rows[0]) == sorted(rows[0])
    for row in rows:
        assert all(row[name] for name in NEVER_NULL)
        cost = float(row["ContractedCost"])
        if row["ChargeCategory"] != "Credit":
            assert float(row["ContractedUnitPrice"]) * float(row["PricingQuantity"]) == pytest.approx(cost, rel=1e-9)
            assert row["PricingUnit"]
            assert row["PricingCategory"] in {"Standard", "Dynamic", "Committed", "Other"}
        assert bool(row["ConsumedQuantity"]) == (row["ChargeCategory"] == "Usage") == bool(row["ConsumedUnit"])
        assert row["ChargeCategory"] != "Purchase" or row["ChargeFrequency"] != "Usage-Based"
        assert row["SubAccountName"] in {"base", "chat", "code"}


def test_focus_bills_works_and_moves_as_purchases():
    found = suanzhang.buy("examples/2026-10/two-sites.yaml", scenarios=1)
    rows = list(csv.DictReader(io.StringIO(focus_csv(found))))
    assert {row["ServiceName"] for row in rows} >= {"move", "build"}
    for row in rows:
        assert all(row[name] for name in NEVER_NULL)
        if row["ServiceName"] in ("move", "build"):
            assert row["ChargeCategory"] == "Purchase"
            assert float(row["PricingQuantity"]) > 0.0
    assert sum(cents(float(row["BilledCost"])) for row in rows) == cents(found.cash.amount)


def test_a_training_that_ended_before_chips_came_pays_none_of_them():
    """The training rents in the first month; chips that are bought come ten months later."""
    found = suanzhang.buy("examples/2026-10/own-costs.yaml", scenarios=1)
    came = min(state.month for state in found.months if state.owned)
    assert max(run.end for run in found.runs) < came
    rows = list(csv.DictReader(io.StringIO(focus_csv(found))))
    assert {row["SubAccountName"] for row in rows if row["ServiceName"] in ("buy", "run")} == {"assistant"}
    rents = [row for row in rows if row["ServiceName"] == "rent" and row["SubAccountName"] == "tune"]
    tune = next(one for one in found.charge_back if one.demand == "tune")
    assert sum(cents(float(row["BilledCost"])) for row in rents) == cents(tune.cash.amount)
    assert tune.cost.amount == pytest.approx(0.79 * tune.cash.amount, abs=0.05)
