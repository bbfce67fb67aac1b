"""What owned chips are worth is charged at the start and credited at the end; a chip that is sold takes its server along."""

from dataclasses import replace

import pytest

from suanzhang.app.buy import plan_purchases
from suanzhang.catalog.markets import market
from suanzhang.money.procurement.montecarlo import Decided, draw_batch
from suanzhang.money.procurement.scenarios import Uncertainty
from suanzhang.money.procurement.solve import describe, solve, solve_shape
from suanzhang.source import Quoted
from suanzhang.spec.buy import ChipCosts, Demand, Holding, Need, PurchaseProblem, Scenario
from suanzhang.spec.market import LeadTime, Offer

MONTHS = 10
CURVE = tuple(0.8 - 0.03 * month for month in range(MONTHS + 1))
COSTS = ChipCosts("a", 6000.0, 2000.0, 500.0, 20.0, 5.0, 5.0, 3.0, 300.0, 700.0, 1000.0, 0.1, 1.3, CURVE)
PRICE = Quoted(20000.0, "USD/chip", "test", "assumed", "2026-01")
OFFER = Offer("buy-a", "buy", "a", PRICE, False, 0, LeadTime(0.0, 0.0, "test", "assumed"), lot_chips=8)
RUN = Demand("tune", "train", (Need("a", 16.0, 1.0, 2.0),), first_month=1, due_month=4)


def _problem(**more):
    return PurchaseProblem((RUN,), (OFFER,), {"a": COSTS}, MONTHS, "2026-01", "USD", gap=1e-9, interest_per_year=0.06, **more)


def _lines(plan, action):
    return [dict(row.lines) for row in plan.rows if row.action == action]


def test_chips_that_stand_all_along_cost_what_they_lose():
    have = (Holding("a", 16.0),)
    plan = solve(_problem(have=have, resale_allowed=False))
    begun, left = 16.0 * 20000.0 * CURVE[0], 16.0 * 20000.0 * CURVE[MONTHS]
    assert plan.lines["value at start"] == pytest.approx(begun)
    assert plan.lines["value left"] == pytest.approx(-left)
    assert plan.cost == pytest.approx(plan.cash + plan.lines["finance"] + begun - left, abs=0.02)
    assert plan.cost > begun - left > 0.0


def test_owned_chips_that_nobody_needs_are_sold_and_cost_no_less_than_nothing():
    plan = solve(_problem(have=(Holding("a", 16.0), Holding("a", 32.0))))
    assert sum(row.chips for row in plan.rows if row.action == "resell") == pytest.approx(48.0)
    assert not [row for row in plan.rows if row.action in ("retire", "value left")]
    assert plan.cost > 0.0


def test_a_bought_chip_that_is_sold_takes_its_server_along():
    plan = solve(_problem())
    sold = next(row for row in plan.rows if row.action == "resell")
    month, bought = int(sold.month[-2:]), next(row for row in plan.rows if row.action == "buy")
    age = month - int(bought.month[-2:]) + 1
    lines, left = dict(sold.lines), 16.0 * (1.0 - age / COSTS.infra_life_months)
    assert lines["hosts"] == pytest.approx(-left * COSTS.host)
    assert lines["network"] == pytest.approx(-left * COSTS.network)
    assert sum(lines[name] for name in ("hosts", "network", "storage") if name in lines) == pytest.approx(-left * 8500.0)
    assert not [row for row in plan.rows if row.action == "value left"]


def test_futures_as_expected_cost_and_pay_what_the_plan_does():
    for case in (_problem(), _problem(have=(Holding("a", 24.0),))):
        solved = solve_shape(case, (Scenario(1.0),))
        plan = describe(solved)
        drawn = draw_batch(case, Decided.of(solved), Uncertainty(0.0, regime_shift_per_year=0.0), {}, 0, 0, 3)
        assert drawn.cost == pytest.approx([plan.cost] * 3, abs=0.05)
        assert drawn.cash == pytest.approx([plan.cash] * 3, abs=0.05)


def test_owned_chips_have_their_worth_where_the_question_excludes_their_offer():
    whole = market("us-2026-10")
    kept = tuple(offer for offer in whole.offers if not (offer.kind == "buy" and offer.chip == "h100-sxm-80"))
    given = {"budget": None, "months": 12, "start": "2026-10", "currency": "USD"}
    chat = Demand("chat", "serve", (Need("b200-sxm-180", 24.0, 0.5), Need("h100-sxm-80", 4000.0, 0.5)))
    have = (Holding("h100-sxm-80", 48.0),)
    result = plan_purchases((chat,), replace(whole, offers=kept), "us-texas", have=have, **given)
    assert result.lines["value at start"].amount > 48.0 * 5000.0
    assert not [row for row in result.schedule if row.action == "retire"]
    assert sum(row.chips for row in result.schedule if row.action == "resell" and row.chip == "h100-sxm-80") == 48.0
