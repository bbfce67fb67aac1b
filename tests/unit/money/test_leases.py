"""The lease offers of the markets: their terms, and a plan that takes one."""

from dataclasses import replace

import pytest

from suanzhang.app.buy import plan_purchases
from suanzhang.catalog.markets import market, markets
from suanzhang.errors import Infeasible
from suanzhang.money.annuity import annuity_factor
from suanzhang.money.procurement.calendar import HOURS_PER_MONTH
from suanzhang.spec.buy import Demand, Need

LEASES = [(name, offer) for name, where in markets().items() for offer in where.offers if offer.kind == "lease"]
RATE, LEFT = 0.15, 0.10


def test_two_markets_let_servers_on_lease():
    assert {name for name, _ in LEASES} == {"us-2024-11", "us-2026-10"}


@pytest.mark.parametrize(("name", "offer"), LEASES, ids=[f"{name}-{offer.id}" for name, offer in LEASES])
def test_the_rate_of_a_lease_follows_from_the_published_terms(name, offer):
    price = min(o.price.value for o in market(name).offers if o.kind == "buy" and o.chip == offer.chip)
    monthly, term = RATE / 12.0, offer.term_months
    financed = price * (1.0 - LEFT * (1.0 + monthly) ** -term)
    assert offer.price.value == pytest.approx(financed * annuity_factor(monthly, term) / HOURS_PER_MONTH, rel=0.005)
    assert offer.price.grade == "derived"
    total = offer.price.value * HOURS_PER_MONTH * term
    assert 1.08 <= total / price <= 1.30  # published: an operating lease costs 15 to 30 % more, financing 8 to 15 %


def test_a_company_that_is_paid_by_the_month_leases():
    where = market("us-2024-11")
    kept = tuple(offer for offer in where.offers if offer.id in ("h100-order", "h100-lease"))
    demand = Demand("chat", "serve", (Need("h100-sxm-80", 64.0, 0.7),), first_month=2)
    given = {"budget": None, "months": 37, "start": "2024-11", "currency": "USD"}
    free = plan_purchases((demand,), replace(where, offers=kept), "us-texas", **given)
    assert {row.action for row in free.schedule if row.offer != "own"} == {"buy"}
    fabric = 64 * (8000.0 + 700.0)
    monthly = tuple(fabric + 64 * 1500.0 * (t + 1) for t in range(37))
    paced = plan_purchases((demand,), replace(where, offers=kept), "us-texas", budget_by_month=monthly, **given)
    leased = [row for row in paced.schedule if row.action == "lease"]
    assert sum(row.chips for row in leased) == 64.0
    assert sum(row.cost.amount for row in paced.schedule) == pytest.approx(paced.cost.amount, abs=0.005)
    assert paced.cost.amount > free.cost.amount
    only = tuple(offer for offer in kept if offer.kind == "buy")
    with pytest.raises(Infeasible):
        plan_purchases((demand,), replace(where, offers=only), "us-texas", budget_by_month=monthly, **given)
