"""Chips owned from the start may be sold over many futures: once for all of them, at what each of them pays."""

from dataclasses import replace

import pytest

from suanzhang.money.procurement.scenarios import Uncertainty, draw_scenarios
from suanzhang.money.procurement.solve import describe, solve_shape
from suanzhang.money.procurement.worth import perfect_information, stochastic_solution
from suanzhang.source import Quoted
from suanzhang.spec.buy import ChipCosts, Demand, Holding, Need, PurchaseProblem
from suanzhang.spec.market import LeadTime, Offer
from suanzhang.spec.tax import TaxTerms

NOW = LeadTime(0.0, 0.0, "test", "assumed")
MONTHS = 6


def costs(name: str, room: float) -> ChipCosts:
    curve = tuple(0.6 * 0.97**month for month in range(MONTHS + 1))
    return ChipCosts(name, 0.0, 0.0, 0.0, room, 0.0, 0.0, 0.0, 100.0, 400.0, 400.0, 0.1, 1.2, curve)


def case(room: float = 400.0, rent: float = 0.5, **more: object) -> PurchaseProblem:
    """Old chips that cost more to keep than new ones cost to rent, beside a service that either could carry."""
    new = Offer("rent-b", "rent", "b", Quoted(rent, "USD/chip_h", "t", "assumed"), True, 0, NOW, lot_chips=1)
    old = Offer("buy-a", "buy", "a", Quoted(9000.0, "USD/chip", "t", "assumed"), False, 0, NOW, lot_chips=8)
    chat = Demand("chat", "serve", (Need("a", 40.0), Need("b", 20.0)), growth_sigma_per_year=0.2)
    have = (Holding("a", 44.0),)
    given = {"interest_per_year": 0.06, "gap": 1e-4, "have": have} | more
    table = {"a": costs("a", room), "b": costs("b", 0.0)}
    return PurchaseProblem((chat,), (new, old), table, MONTHS, "2026-01", "USD", **given)  # type: ignore[arg-type]


def futures(problem: PurchaseProblem, count: int = 6):
    return draw_scenarios(problem, Uncertainty(0.3), count, 2)


def sold(rows) -> float:
    return sum(row.chips for row in rows if row.action == "resell")


def test_old_chips_are_sold_in_whole_servers_and_the_rows_sum():
    problem = case()
    plan = describe(solve_shape(problem, futures(problem)))
    assert sold(plan.rows) == 40.0
    assert plan.rows[0].month == "2026-01" and all(row.month == "2026-01" for row in plan.rows if row.action == "resell")
    assert plan.months[0].owned == {"a": 44.0} and plan.months[1].owned == {"a": 4.0}
    assert sum(round(100.0 * row.cost.amount) for row in plan.rows) == round(100.0 * plan.cost)
    left = sum(row.chips for row in plan.rows if row.action == "value left")
    assert left == pytest.approx(4.0)
    kept = describe(solve_shape(replace(problem, resale_allowed=False), futures(problem)))
    assert plan.cost < kept.cost and sold(kept.rows) == 0.0


def test_chips_that_are_worth_keeping_stay():
    problem = case(room=1.0, rent=5.0)
    assert sold(describe(solve_shape(problem, futures(problem))).rows) == 0.0


@pytest.mark.parametrize("more", [{}, {"budget": 160_000.0}, {"tax": TaxTerms(0.25, 5.0, 0.0)}, {"cvar_weight": 0.3}])
def test_cuts_and_the_programme_in_full_sell_alike(monkeypatch, more):
    problem = case(**more)
    drawn = futures(problem)
    cut = solve_shape(problem, drawn)
    monkeypatch.setattr("suanzhang.money.procurement.solve.FULL_SCENARIOS", 100)
    full = solve_shape(problem, drawn)
    assert cut.objective == pytest.approx(full.objective, rel=5e-4)
    assert cut.bound <= full.objective * (1.0 + 1e-6)
    assert sold(describe(cut).rows) == sold(describe(full).rows) > 0.0


def test_futures_without_any_spread_sell_as_one_future_does():
    problem = case()
    flat = replace(problem, demands=(replace(problem.demands[0], growth_sigma_per_year=0.0),))
    same = draw_scenarios(flat, Uncertainty(0.0, regime_shift_per_year=0.0), 6, 1)
    one, many = (describe(solve_shape(flat, drawn)) for drawn in (same[:1] and (replace(same[0], weight=1.0),), same))
    assert sold(one.rows) == sold(many.rows) == 40.0
    assert many.cost == pytest.approx(one.cost, rel=2e-4)
    assert stochastic_solution(flat, same, many) == pytest.approx(0.0, abs=2e-4 * many.cost)
    assert perfect_information(flat, same, many) >= -1e-6 * many.cost
