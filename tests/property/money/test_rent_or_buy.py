"""The printed break-even of rent and buying is that of the optimiser itself."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suanzhang.app.buy_worth import rent_or_buy
from suanzhang.money.procurement.solve import solve
from suanzhang.source import Quoted
from suanzhang.spec.buy import ChipCosts, Demand, Need, PurchaseProblem
from suanzhang.spec.market import LeadTime, Offer
from suanzhang.spec.tax import TaxTerms

NOW = LeadTime(0.0, 0.0, "test", "assumed")


def case(months, price, interest, yearly, tax, hosted, trend=0.0, used=1.0):
    resale = tuple(used * yearly ** (month / 12.0) for month in range(months + 1))
    costs = ChipCosts("a", 4000.0, 900.0, 300.0, 40.0, 12.0, 9.0, 7.0, 200.0, 700.0, 900.0, 0.1, 1.3, resale)
    offers = (
        Offer("buy-a", "buy", "a", Quoted(price, "USD/chip", "test", "assumed"), hosted, 0, NOW, lot_chips=8),
        Offer("rent-a", "rent", "a", Quoted(2.0, "USD/chip_h", "test", "assumed"), True, 0, NOW),
    )
    wanted = (Demand("chat", "serve", (Need("a", 8.0),)),)
    return PurchaseProblem(
        wanted, offers, {"a": costs}, months, "2026-01", "USD", gap=1e-9, interest_per_year=interest, tax=tax,
        resale_allowed=False, price_change_per_year=trend,
    )  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(
    st.integers(3, 48), st.floats(5e3, 6e4), st.floats(0.0, 0.2), st.floats(0.4, 0.95), st.booleans(), st.booleans(),
    st.floats(-0.3, 0.1),
)  # fmt: skip
def test_the_printed_break_even_is_that_of_the_optimiser(months, price, interest, yearly, taxed, hosted, trend):
    problem = case(months, price, interest, yearly, TaxTerms(0.25, 36.0) if taxed else None, hosted, trend)
    even = rent_or_buy(problem)[0]
    bought = solve(replace(problem, offers=problem.offers[:1])).cost
    rented = solve(replace(problem, offers=problem.offers[1:])).cost
    assert even.own_per_chip_h.amount == pytest.approx(2.0 * bought / rented, rel=1e-3)


def test_the_month_is_the_shortest_plan_that_buys():
    problem = case(36, 2e4, 0.08, 0.7, None, False, used=0.6)
    month = int(rent_or_buy(problem)[0].month)
    for months, bought in ((month, True), (month - 1, False)):
        plan = solve(case(months, 2e4, 0.08, 0.7, None, False, used=0.6))
        assert ("buy" in {row.action for row in plan.rows}) is bought


def test_owning_that_works_less_pays_above_its_utilisation():
    problem = case(24, 1e4, 0.08, 0.7, None, False)
    use = rent_or_buy(problem)[0].utilisation
    assert 0.0 < use < 1.0
    busy = replace(problem, demands=(Demand("chat", "serve", (Need("a", 8.0, use),)),), offers=problem.offers[:1])
    rented = 2.0 * 730.5 * 24 * 8.0 * use
    assert solve(busy).cost == pytest.approx(rented, rel=1e-3)
