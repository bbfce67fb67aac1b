"""Taxes in a plan: one total with the shield on, after-tax costs of actions, and a chip worked by hand."""

import io
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.money.test_money_properties import FEW, problems, solved

import suanzhang
from suanzhang.app.buy import plan_purchases
from suanzhang.app.explain_tree import givens_of
from suanzhang.app.sensitivity_plan import plan_subject
from suanzhang.catalog.markets import market
from suanzhang.errors import InputError
from suanzhang.money.figures import instead
from suanzhang.money.procurement.form import order_total
from suanzhang.money.procurement.montecarlo import Decided, _amounts
from suanzhang.money.procurement.scenarios import Uncertainty, draw_scenarios
from suanzhang.money.procurement.shape import build
from suanzhang.money.procurement.solve import describe, solve
from suanzhang.money.tax import book_value
from suanzhang.report.jsonable import to_text
from suanzhang.report.text import print_report
from suanzhang.report.views import report_of
from suanzhang.report.xlsx import workbook
from suanzhang.source import Quoted
from suanzhang.spec.buy import LINES, NOT_CASH, ChipCosts, Demand, Holding, Need, PurchaseProblem, Scenario
from suanzhang.spec.market import LeadTime, Offer
from suanzhang.spec.tax import TaxTerms

TERMS = st.builds(TaxTerms, st.floats(0.05, 0.6), st.sampled_from([6.0, 36.0, 60.0]), st.sampled_from([0.0, 0.4, 0.9]))

CAPITAL = ("chips", "hosts", "network", "storage")
"""Lines of a purchase that go on the books; what is sold again lowers them in a plan."""


def _cents(amounts):
    return sum(round(100.0 * amount) for amount in amounts)


@FEW
@given(problems(), TERMS, st.booleans())
def test_with_taxes_printed_cost_is_objective_is_rows_is_lines(problem, terms, owns):
    have = (Holding(problem.offers[0].chip, 30.0, value_per_chip=5000.0),) if owns else ()
    found = solved(replace(problem, tax=terms, have=have))
    if found is None:
        return
    plan = describe(found)
    assert _cents(row.cost.amount for row in plan.rows) == _cents(plan.lines.values()) == round(100.0 * plan.cost)
    assert abs(plan.cost - found.objective) <= 0.01 * (1 + 6 * len(plan.rows))
    assert abs(plan.cost_by_scenario[0] - found.objective) <= 1e-6 * max(1.0, abs(found.objective))
    cash = sum(amount for name, amount in plan.lines.items() if name not in NOT_CASH)
    assert abs(sum(state.cash for state in plan.months) - cash) < 0.05 * len(plan.months)
    deducted = sum(amount for name, amount in plan.lines.items() if name not in ("waiting", "tax shield"))
    late = plan.lines["tax shield"] + terms.rate * deducted
    bought = sum(amount for row in plan.rows if row.action == "buy" for name, amount in row.lines if name in CAPITAL)
    assert abs(late) <= 0.06 / 12.0 * terms.rate * problem.months * bought + 0.06 * len(plan.rows)
    assert set(plan.lines) == set(LINES)


@FEW
@given(problems(), TERMS)
def test_many_futures_with_taxes_are_one_total_within_the_gap(problem, terms):
    problem = replace(problem, tax=terms, gap=1e-3)
    found = solved(problem, spread=0.3, futures=6, seed=3)
    if found is None:
        return
    plan = describe(found)
    assert abs(plan.cost - found.objective) <= 0.05 * (1 + len(plan.rows)) + 1e-6 * abs(found.objective)
    assert plan.gap <= 1e-3 + 1e-9
    assert abs(float(plan.cost_by_scenario.mean()) - found.objective) <= 1e-6 * abs(found.objective) + 1e-3


@FEW
@given(problems(), st.floats(0.05, 0.6))
def test_a_budget_holds_the_cash_before_taxes(problem, rate):
    taxed = replace(problem, tax=TaxTerms(rate, 36.0), resale_allowed=False)
    free = solved(taxed)
    if free is None:
        return
    limit = describe(free).cash * 0.98
    again = solved(replace(taxed, budget=limit))
    if again is not None:
        assert describe(again).cash <= limit + 0.01 * (1 + len(describe(again).rows))


def test_without_interest_or_waiting_taxes_scale_the_cost_and_change_no_decision():
    problem = _small()
    plain = solve(problem)
    taxed = solve(replace(problem, tax=TaxTerms(0.3, 48.0)))
    assert taxed.cost == pytest.approx(0.7 * plain.cost, rel=1e-6)
    assert taxed.cash == pytest.approx(plain.cash, rel=1e-9)
    assert np.array_equal(taxed.lots, plain.lots)


def _small(months=6, interest=0.0):
    def quoted(value, unit):
        return Quoted(value, unit, "test", "assumed", "2026-01")

    now = LeadTime(0.0, 0.0, "test", "assumed")
    buy = Offer("buy", "buy", "a", quoted(10000.0, "CNY/chip"), False, 0, now)
    costs = ChipCosts(
        "a", 2000.0, 1000.0, 0.0, 20.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, tuple(0.9**t for t in range(months + 1))
    )
    return PurchaseProblem(
        (Demand("chat", "serve", (Need("a", 10.0),)),), (buy,), {"a": costs}, months, "2026-01", "CNY",
        interest_per_year=interest,
    )  # fmt: skip


def test_a_bought_chip_after_taxes_is_worked_by_hand():
    rate, interest, months = 0.25, 0.12, 3
    terms = TaxTerms(rate, 4.0)
    shape = build(replace(_small(months, interest), tax=terms), (Scenario(1.0),))
    first = next(order for order in shape.orders if order.month == 0)
    worth = [10000.0 * 0.9**t + 3000.0 * (1.0 - t / 60.0) for t in range(months + 1)]
    book = [13000.0 * share for share in (1.0, 0.75, 0.5, 0.25)]
    r = interest / 12.0
    written_off = sum(rate * (book[t] - book[t + 1]) for t in range(months))
    settled = worth[months] - rate * (worth[months] - book[months])
    tied = sum(worth[t] - rate * (worth[t] - book[t]) for t in range(months))
    by_hand = 13000.0 - written_off - settled + (1.0 - rate) * r * tied
    assert float(order_total(shape, shape.orders.index(first))[0]) == pytest.approx(by_hand, rel=1e-12)


def test_faster_write_offs_give_back_more():
    problem = _small(24, 0.12)

    def shield(terms):
        return solve(replace(problem, tax=terms)).lines["tax shield"]

    slow, quick, declining = (shield(TaxTerms(0.25, *how)) for how in ((60.0,), (36.0,), (60.0, 0.4)))
    assert quick < slow < 0.0
    assert declining < slow


@given(st.floats(1.0, 120.0), st.floats(0.0, 0.95), st.integers(1, 150))
def test_books_fall_to_nothing_and_never_rise(life, declining, months):
    book = book_value(TaxTerms(0.25, life, declining), months)
    assert book[0] == 1.0
    assert all(0.0 <= after <= before for before, after in itertools.pairwise(book))
    assert months <= life + 1.0 or book[-1] == 0.0
    straight = book_value(TaxTerms(0.25, life), months)
    assert all(a <= b + 1e-9 for a, b in zip(book, straight, strict=True))


@FEW
@given(problems(), TERMS)
def test_futures_of_a_decided_plan_cost_what_the_plan_does(problem, terms):
    """The mean over the same futures of cost and cash, worked out apart from the schedule."""
    problem = replace(problem, tax=terms, resale_allowed=False)
    found = solved(problem)
    if found is None:
        return
    shape, plan = found.shape, describe(found)
    cost, cash = _amounts(shape, found.cell, found.outcome, Decided.of(found))
    assert float(cost[0]) == pytest.approx(found.objective, rel=1e-9, abs=1.0)
    assert float(cash[0]) == pytest.approx(plan.cash, rel=1e-6, abs=0.05 * len(plan.rows))


def test_the_workbook_and_the_parts_of_the_shield_hold_the_total():
    openpyxl = pytest.importorskip("openpyxl")
    where = market("cn-2023-04")
    chat = Demand("chat", "serve", (Need("a100-sxm-80", 200.0, 0.5),), first_month=2, due_month=8, wait_price=5e6)
    with instead({"tax_shield": 0.25, "tax_life_years": 3}):
        found = plan_purchases((chat,), where, "cn-east", budget=1e9, months=36, start=where.date, currency=where.currency)
    cents = round(100 * found.cost.amount)
    assert found.tax is not None
    assert found.lines["tax shield"].amount < 0.0
    assert _cents(part.amount.amount for part in found.tax.parts) == round(100 * found.lines["tax shield"].amount)
    assert _cents(row.cost.amount for row in found.schedule) == cents
    book = openpyxl.load_workbook(io.BytesIO(workbook(report_of(found))), data_only=True)
    lines = list(book["Schedule"].iter_rows(values_only=True))
    head = next(k for k, line in enumerate(lines) if line and line[0] == "month")
    column = next(k for k, name in enumerate(lines[head]) if str(name).startswith("cost"))
    assert _cents(line[column] for line in lines[head + 1 : head + 1 + len(found.schedule)]) == cents
    parts = (found.cash, found.interest, found.waiting, found.value_left, found.lines["tax shield"])
    assert _cents(part.amount for part in parts) == cents


QUESTION = """\
title: Own
currency: USD
start: 2023-05
months: 12
market: {id: us-2023-04, exclude: [a100-spot]}
costs: {tax_shield: 0.25, tax_life_years: 4, tax_declining_per_year: 0.5}
chips: [a100-sxm-80]
serve:
  - {name: chat, model: llama-2-13b, visits_per_day: 2e6, tokens: {input: 300, output: 200}, start: 2023-08}
"""


def test_explain_and_sensitivity_take_a_taxed_plan_apart_without_a_rest():
    found = suanzhang.buy(QUESTION, scenarios=1)
    assert found.lines["tax shield"].amount < 0.0
    stored = json.loads(to_text(found))
    names = {given.name for given in givens_of(suanzhang.explain(stored).trees)}
    assert {"share that taxes give back", "years on the books", "declining balance a year"} <= names
    subject = plan_subject({**stored, "verb": "buy"}, dict(found.header.inputs))
    assert subject.evaluate({})["cost"] == pytest.approx(1.0, rel=1e-6)
    dearer = (subject.evaluate({"price.support": 2.0})["cost"] - 1.0) * found.cost.amount
    assert dearer == pytest.approx(0.75 * found.lines["support"].amount, rel=1e-3)
    shown = io.StringIO()
    print_report(report_of(found), file=shown, width=200)
    assert "Tax shield" in shown.getvalue()
    assert suanzhang.replay(stored).identical


@pytest.mark.parametrize("costs", [{"tax_shield": 1.0}, {"tax_life_years": 0.0}, {"tax_declining_per_year": 1.0}])
def test_terms_that_cannot_be_are_refused(costs):
    with pytest.raises(InputError), instead(costs):
        pass


def test_without_taxes_no_order_has_a_shield():
    shape = build(_small(6, 0.06), draw_scenarios(_small(6, 0.06), Uncertainty(0.2), 3, 1))
    assert shape.keep == 1.0
    assert all(name != "tax shield" for order in shape.orders for name, _ in order.lines)
