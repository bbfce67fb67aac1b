"""Chips that a plan over many futures orders may be sold before its end, in each future once they have come."""

from dataclasses import replace

import numpy as np
import pytest

from suanzhang.errors import SolverError
from suanzhang.money.procurement.calendar import FOREVER
from suanzhang.money.procurement.montecarlo import Decided, draw_batch
from suanzhang.money.procurement.resales import resale_name
from suanzhang.money.procurement.scenarios import Uncertainty, draw_scenarios
from suanzhang.money.procurement.shape import build
from suanzhang.money.procurement.solve import describe, solve_shape
from suanzhang.money.procurement.worth import cost_of_orders, perfect_information, stochastic_solution
from suanzhang.source import Quoted
from suanzhang.spec.buy import ChipCosts, Demand, Need, PurchaseProblem, Scenario
from suanzhang.spec.market import LeadTime, Offer
from suanzhang.spec.tax import TaxTerms

NOW = LeadTime(0.0, 0.0, "test", "assumed")
MONTHS = 8
CURVE = tuple(0.9 * 0.96**month for month in range(MONTHS + 1))
PRICE, HOST, NETWORK, STORAGE, LIFE = 10000.0, 2000.0, 500.0, 100.0, 60


def case(rent: float = 20.0, lead: LeadTime = NOW, last: int = 3, **more: object) -> PurchaseProblem:
    """A service of four months for which chips are bought, since rents are dear; keeping them costs room."""
    buy = Offer("buy-a", "buy", "a", Quoted(PRICE, "USD/chip", "t", "assumed"), False, 0, lead, lot_chips=8)
    let = Offer("rent-a", "rent", "a", Quoted(rent, "USD/chip_h", "t", "assumed"), True, 0, NOW, lot_chips=1)
    room = ChipCosts("a", HOST, NETWORK, STORAGE, 300.0, 0.0, 0.0, 0.0, 100.0, 400.0, 400.0, 0.1, 1.2, CURVE)
    chat = Demand("chat", "serve", (Need("a", 40.0),), last_month=last, growth_sigma_per_year=0.1)
    given = {"interest_per_year": 0.06, "gap": 1e-5} | more
    return PurchaseProblem((chat,), (buy, let), {"a": room}, MONTHS, "2026-01", "USD", **given)  # type: ignore[arg-type]


def futures(problem: PurchaseProblem, count: int = 6, sigma: float = 0.3):
    return draw_scenarios(problem, Uncertainty(sigma), count, 2)


def sold(rows) -> float:
    return sum(row.chips for row in rows if row.action == "resell")


def test_what_is_ordered_is_sold_when_it_is_no_longer_wanted_and_the_rows_sum():
    problem = case()
    plan = describe(solve_shape(problem, futures(problem)))
    bought = sum(row.chips for row in plan.rows if row.action == "buy")
    assert bought >= 32.0 and sold(plan.rows) == pytest.approx(bought)
    assert {row.month for row in plan.rows if row.action == "resell"} <= {"2026-01", "2026-02", "2026-03", "2026-04"}
    assert all(state.owned == {} for state in plan.months[4:]) and plan.months[0].owned["a"] == bought
    assert sum(round(100.0 * row.cost.amount) for row in plan.rows) == round(100.0 * plan.cost)
    kept = describe(solve_shape(replace(problem, resale_allowed=False), futures(problem)))
    assert sold(kept.rows) == 0.0 and plan.cost < 0.95 * kept.cost


def test_the_lines_of_a_sale_by_hand():
    problem = case()
    one = Scenario(1.0, {"buy-a": (1.0,) * MONTHS}, {"rent-a": (1.0,) * MONTHS}, {"buy-a": 1})
    other = Scenario(1.0, {"buy-a": (1.0, 1.0, *(1.5,) * 6)}, {"rent-a": (1.0,) * MONTHS}, {"buy-a": 4})
    shape = build(problem, (replace(one, weight=0.5), replace(other, weight=0.5)))
    parent = next(order for order in shape.orders if order.name == "buy-a" and order.month == 0)
    sale = next(order for order in shape.orders if order.name == resale_name(parent) and order.month == 3)
    assert sale.gone.tolist() == [3, 5]  # as soon as it has come, where that is later
    found, rate = dict(sale.lines), 0.005
    for s, (arrival, gone, factor) in enumerate(((1, 3, 1.0), (4, 5, 1.5))):
        worn = {t: 1.0 - (t - arrival) / LIFE for t in range(arrival, MONTHS + 1)}
        used = {t: PRICE * CURVE[t] * (1.0 if t < 3 else factor) for t in range(MONTHS + 1)}
        infra = HOST + NETWORK + STORAGE
        assert found["chips"][s] == pytest.approx(-8.0 * used[gone])
        assert found["hosts"][s] == pytest.approx(-8.0 * HOST * worn[gone])
        assert found["network"][s] == pytest.approx(-8.0 * NETWORK * worn[gone])
        assert found["storage"][s] == pytest.approx(-8.0 * STORAGE * worn[gone])
        tied = sum(used[t] + infra * worn[t] for t in range(gone, MONTHS))
        assert found["finance"][s] == pytest.approx(-8.0 * rate * tied)
        assert found["value left"][s] == pytest.approx(8.0 * (used[MONTHS] + infra * worn[MONTHS]))
        both = dict(parent.lines)
        whole = sum(used[t] + infra * worn[t] for t in range(arrival, gone)) + PRICE * arrival
        assert (both["finance"] + found["finance"])[s] == pytest.approx(8.0 * rate * whole)
        assert (both["value left"] + found["value left"])[s] == pytest.approx(0.0, abs=1e-6)


def test_relief_of_what_is_sold_is_that_of_its_time_of_use():
    problem = case(tax=TaxTerms(0.25, 5.0, 0.0))
    shape = build(problem, futures(problem, 2))
    parent = next(order for order in shape.orders if order.name == "buy-a" and order.month == 0)
    sale = next(order for order in shape.orders if order.name == resale_name(parent) and order.month == 5)
    early = tuple(
        replace(
            one, **{name: {key: path[:5] for key, path in getattr(one, name).items()} for name in ("price", "rent", "growth")}
        )
        for one in futures(problem, 2)
    )
    short = build(replace(problem, months=5), early)
    ended = next(order for order in short.orders if order.name == "buy-a" and order.month == 0)
    together = sum(np.asarray(amounts) for order in (parent, sale) for _, amounts in order.lines)
    assert together == pytest.approx(sum(np.asarray(amounts) for _, amounts in ended.lines), rel=1e-9)


@pytest.mark.parametrize(
    "more",
    [
        {}, {"budget": 900_000.0}, {"tax": TaxTerms(0.25, 5.0, 0.0)}, {"cvar_weight": 0.3},
        {"budget": 900_000.0, "cvar_weight": 0.3}, {"power_limit_w": 30_000.0},
    ],
)  # fmt: skip
def test_cuts_and_the_programme_in_full_sell_alike(monkeypatch, more):
    problem = case(lead=LeadTime(1.0, 3.0, "t", "assumed"), rent=8.0, last=5, **more)
    drawn = futures(problem)
    cut = solve_shape(problem, drawn)
    monkeypatch.setattr("suanzhang.money.procurement.solve.FULL_SCENARIOS", 100)
    full = solve_shape(problem, drawn)
    assert cut.objective == pytest.approx(full.objective, rel=5e-4)
    assert cut.bound <= full.objective * (1.0 + 1e-6) and full.bound <= cut.objective * (1.0 + 1e-6)
    plan = describe(cut)
    assert sum(round(100.0 * row.cost.amount) for row in plan.rows) == round(100.0 * plan.cost)
    assert sold(plan.rows) > 0.0


def test_futures_without_any_spread_sell_as_one_future_does():
    problem = case()
    flat = replace(problem, demands=(replace(problem.demands[0], growth_sigma_per_year=0.0),))
    same = draw_scenarios(flat, Uncertainty(0.0, regime_shift_per_year=0.0), 6, 1)
    one, many = (describe(solve_shape(flat, drawn)) for drawn in ((replace(same[0], weight=1.0),), same))
    assert sold(one.rows) == sold(many.rows) == 40.0
    assert many.cost == pytest.approx(one.cost, rel=1e-5)
    assert stochastic_solution(flat, same, many) == pytest.approx(0.0, abs=1e-5 * many.cost)
    assert perfect_information(flat, same, many) == pytest.approx(0.0, abs=1e-5 * many.cost)


def test_a_small_case_is_the_best_of_all_its_plans():
    problem = replace(case(lead=LeadTime(1.0, 3.0, "t", "assumed"), rent=8.0), gap=1e-6)
    problem = replace(problem, demands=(replace(problem.demands[0], options=(Need("a", 8.0),)),))
    drawn = futures(problem, 5, 0.6)
    solved = solve_shape(problem, drawn)
    shape = solved.shape
    costs = []
    for j, order in enumerate(shape.orders):
        if order.parent < 0:
            mine = [one for one in shape.orders if one.parent == j]
            costs += [
                {(order.name, order.month): 1.0},
                *({(order.name, order.month): 1.0, (m.name, m.month): 1.0} for m in mine),
            ]
    best = min(cost_of_orders(problem, drawn, orders, {}) for orders in [{}, *costs])
    assert len(costs) > 30
    assert solved.objective == pytest.approx(best, rel=1e-5)


def test_more_is_never_sold_than_was_ordered():
    problem = case()
    solved = solve_shape(problem, futures(problem, 20, 0.6))
    shape, lots = solved.shape, solved.outcome.lots
    for parent in {order.parent for order in shape.orders if order.parent >= 0}:
        assert sum(lots[j] for j, order in enumerate(shape.orders) if order.parent == parent) <= lots[parent] + 1e-9
    assert solved.outcome.site.min() >= -1e-9


def test_the_month_of_a_sale_follows_its_delivery_alone():
    problem = case(lead=LeadTime(1.0, 3.0, "t", "assumed"))
    drawn = futures(problem, 40, 0.8)
    other = tuple(
        replace(one, price=two.price, rent=two.rent, growth=two.growth) for one, two in zip(drawn, drawn[::-1], strict=True)
    )
    ours, theirs = ([o for o in build(problem, some).orders if o.parent >= 0] for some in (drawn, other))
    assert len(ours) > 10 and all(np.array_equal(a.gone, b.gone) for a, b in zip(ours, theirs, strict=True))
    assert any(not np.array_equal(dict(a.lines)["chips"], dict(b.lines)["chips"]) for a, b in zip(ours, theirs, strict=True))


def test_what_never_comes_is_not_sold():
    problem = case(lead=LeadTime(1.0, 1.0, "t", "assumed"))
    drawn = tuple(replace(one, barred_from={"buy-a": 0} if s == 0 else {}) for s, one in enumerate(futures(problem)))
    solved = solve_shape(problem, drawn)
    assert all(order.gone[0] == FOREVER for order in solved.shape.orders if order.parent >= 0)
    rows = [row for row in describe(solved).rows if row.action == "resell"]
    assert rows and all("in the futures in which" in row.note for row in rows)
    bought = sum(row.chips for row in describe(solved).rows if row.action == "buy")
    assert sum(row.chips for row in rows) == pytest.approx(bought * 5 / 6)


def test_many_futures_follow_the_sales_of_the_plan():
    problem = case()
    solved = solve_shape(problem, futures(problem, 20))
    decided = Decided.of(solved)
    kept = replace(decided, lots={key: lots for key, lots in decided.lots.items() if not key[0].startswith("sell")})
    assert len(kept.lots) < len(decided.lots)
    ours, theirs = (draw_batch(problem, one, Uncertainty(0.3), {}, 3, 0, 100) for one in (decided, kept))
    assert np.mean(ours.cost) < np.mean(theirs.cost)
    assert np.mean(ours.cost) == pytest.approx(describe(solved).cost, rel=0.1)
    assert np.mean(ours.cash) < np.mean(theirs.cash)


def test_a_sale_that_is_decided_is_followed_whatever_the_futures():
    problem = case(lead=LeadTime(1.0, 3.0, "t", "assumed"))
    drawn = futures(problem)
    late = tuple(replace(one, delay_months={"buy-a": 5}) for one in drawn)
    parent = next(order for order in build(problem, drawn).orders if order.name == "buy-a" and order.month == 0)
    orders = {("buy-a", 0): 5.0, (resale_name(parent), 3): 5.0, (resale_name(parent), 7): 0.0}
    shape = build(problem, late, lateness_priced=True, decided=orders)
    sales = {(order.name, order.month): order.gone.tolist() for order in shape.orders if order.parent >= 0}
    assert list(sales) == [(resale_name(parent), 3), (resale_name(parent), 7)]
    assert sales[resale_name(parent), 3] == [6] * 6
    kept = {("buy-a", 0): 5.0}
    assert cost_of_orders(problem, late, orders, {}) < cost_of_orders(problem, late, kept, {})


def test_a_search_whose_time_is_up_keeps_the_plan_that_it_has(monkeypatch):
    problem = replace(case(), gap=0.0)

    def late(*_: object, **__: object) -> None:
        raise SolverError("the optimiser stopped with 'Time limit reached' and no plan")

    monkeypatch.setattr("suanzhang.money.procurement.decompose.solve_programme", late)
    solved = solve_shape(problem, futures(problem))
    assert 0.0 <= solved.gap < 0.1 and solved.bound <= solved.objective
    assert describe(solved).cost > 0.0


@pytest.mark.parametrize("more", [{}, {"budget": 900_000.0}, {"cvar_weight": 0.3}, {"power_limit_w": 16_000.0}])
def test_sales_that_enter_one_after_the_other_prove_what_all_at_once_prove(monkeypatch, more):
    problem = case(lead=LeadTime(1.0, 3.0, "t", "assumed"), rent=8.0, last=5, **more)
    drawn = futures(problem)
    whole = solve_shape(problem, drawn)
    monkeypatch.setattr("suanzhang.money.procurement.master._MOST_ENTRIES", 0)
    apart = solve_shape(problem, drawn)
    assert sold(describe(apart).rows) > 0.0
    assert apart.objective == pytest.approx(whole.objective, rel=2e-3)
    assert apart.bound <= whole.objective * (1.0 + 1e-6) and whole.bound <= apart.objective * (1.0 + 1e-6)
    assert apart.gap < 0.01
