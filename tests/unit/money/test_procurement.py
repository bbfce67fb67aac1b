"""Purchase plans small enough to be worked by hand or by enumeration."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from suanzhang.errors import Infeasible, InputError
from suanzhang.money.economics import break_even
from suanzhang.money.procurement.calendar import HOURS_PER_MONTH
from suanzhang.money.procurement.scenarios import Uncertainty, draw_scenarios
from suanzhang.money.procurement.solve import describe, solve, solve_shape
from suanzhang.money.procurement.worth import cost_of_orders, perfect_information, stochastic_solution
from suanzhang.source import Quoted
from suanzhang.spec.buy import ChipCosts, Demand, Holding, Need, PurchaseProblem, Scenario
from suanzhang.spec.market import LeadTime, Offer

NOW = LeadTime(0.0, 0.0, "test", "assumed")


def quoted(value, unit="CNY/chip"):
    return Quoted(value, unit, "test", "assumed", "2026-01")


def costs(chip, months, *, resale=0.0, room=0.0, watts=(0.0, 0.0, 0.0)):
    return ChipCosts(chip, 0.0, 0.0, 0.0, room, 0.0, 0.0, 0.0, *watts, 0.5, 1.2, (resale,) * (months + 1))


def buying(chip, price, *, lead=NOW, lot=1, **more):
    return Offer(f"buy-{chip}", "buy", chip, quoted(price), False, 0, lead, lot_chips=lot, **more)


def renting(chip, rate, **more):
    return Offer(f"rent-{chip}", "rent", chip, quoted(rate, "CNY/chip_h"), True, 0, NOW, **more)


def problem(demands, offers, months, **more):
    chips = {need.chip for demand in demands for need in demand.options}
    table = more.pop("costs", {chip: costs(chip, months) for chip in chips})
    return PurchaseProblem(tuple(demands), tuple(offers), table, months, "2026-01", "CNY", gap=1e-9, **more)


def service(chips, **more):
    return Demand("chat", "serve", (Need("a", chips),), **more)


def test_rent_or_buy_turns_at_the_closed_form_break_even():
    rent = 10.0
    for months in (6, 12, 24):
        turn = rent * HOURS_PER_MONTH * months
        assert break_even(turn, 0.0, rent, months).month == pytest.approx(months, rel=1e-9)
        for factor, action in ((0.999, "buy"), (1.001, "rent")):
            plan = solve(problem([service(8.0)], [buying("a", turn * factor), renting("a", rent)], months))
            assert {row.action for row in plan.rows if row.cost.amount} == {action}
            assert plan.cost == pytest.approx(8.0 * min(turn, turn * factor), rel=1e-6)


def test_break_even_with_running_cost_and_worth_left():
    months, rent, room, resale = 12, 10.0, 500.0, 0.4
    price = (rent * HOURS_PER_MONTH - room) * months / (1.0 - resale)
    table = {"a": costs("a", months, resale=resale, room=room)}
    for factor, action in ((0.999, "buy"), (1.001, "rent")):
        plan = solve(problem([service(4.0)], [buying("a", price * factor), renting("a", rent)], months, costs=table))
        assert action in {row.action for row in plan.rows}
        assert ("buy" in {row.action for row in plan.rows}) == (action == "buy")


def test_small_case_equals_enumeration():
    months, lot = 3, 8
    offers = [
        buying("a", 12000.0, lot=lot, lead=LeadTime(1.0, 1.0, "test", "assumed"), stock_chips=16.0),
        renting("a", 9.0, stock_chips=10.0),
        buying("b", 7000.0, lot=4),
    ]
    level = (1.0, 1.5, 2.0)
    demand = Demand("chat", "serve", (Need("a", 10.0), Need("b", 16.0)), level=level, due_month=3, wait_price=90000.0)
    found = solve(problem([demand], offers, months))
    best = math.inf
    for a0, a1 in itertools.product(range(3), repeat=2):
        if a0 + a1 > 2:
            continue
        for b in itertools.product(range(9), repeat=months):
            cost = 12000.0 * lot * (a0 + a1) + 7000.0 * 4 * sum(b)
            for t in range(months):
                owned = lot * ((a0 if t >= 1 else 0) + (a1 if t >= 2 else 0))
                share = level[t] - owned / 10.0 - 4 * sum(b[: t + 1]) / 16.0
                rented = min(max(share, 0.0) * 10.0, 10.0)
                by_rent = rented * 9.0 * HOURS_PER_MONTH
                rest = max(share, 0.0) - rented / 10.0
                cost += min(by_rent + rest * 90000.0, max(share, 0.0) * 90000.0)
            best = min(best, cost)
    assert found.cost == pytest.approx(best, abs=0.5)


def test_run_takes_one_option_inside_its_window():
    run = Demand("base", "train", (Need("a", 10.0, 1.0, 2.0), Need("b", 4.0, 1.0, 3.0)), due_month=3)
    rows = [renting("a", 1.0), renting("b", 2.0)]
    plan = solve(problem([run], rows, 6))
    assert plan.runs[0].chip == "a"
    assert plan.cost == pytest.approx(10.0 * 2.0 * HOURS_PER_MONTH, abs=0.01)
    late = replace(rows[0], first_month="2026-03")
    plan = solve(problem([replace(run, due_month=2)], [late, rows[1]], 6))
    assert (plan.runs[0].chip, plan.runs[0].start, plan.runs[0].end) == ("b", "2026-01", "2026-03")


def test_lead_time_and_stock_shape_the_plan():
    lead = LeadTime(2.0, 2.0, "test", "assumed")
    offers = [buying("a", 1000.0, lead=lead, stock_chips=8.0), renting("a", 5.0)]
    plan = solve(problem([service(10.0)], offers, 6))
    bought = [row for row in plan.rows if row.action == "buy"]
    assert [(row.month, row.chips) for row in bought] == [("2026-01", 8.0)]
    rented = {row.month: row.chips for row in plan.rows if row.action == "rent"}
    assert rented["2026-01"] == pytest.approx(10.0)
    assert rented["2026-03"] == pytest.approx(2.0)
    assert any(binding.kind == "stock" for binding in plan.binding)


def test_waiting_is_a_decision_with_a_price():
    dear = problem([service(10.0, due_month=3, wait_price=1e5)], [renting("a", 5.0)], 4)
    cheap = problem([service(10.0, due_month=3, wait_price=1e3)], [renting("a", 5.0)], 4)
    assert not [row for row in solve(dear).rows if row.action == "wait"]
    waits = [row for row in solve(cheap).rows if row.action == "wait"]
    assert [row.month for row in waits] == ["2026-01", "2026-02", "2026-03"]
    assert sum(row.cost.amount for row in waits) == pytest.approx(3e3)


def test_owned_chips_come_first_and_a_contract_ends():
    have = (Holding("a", 6.0), Holding("a", 4.0, until_month=2, owned=False))
    plan = solve(problem([service(10.0)], [renting("a", 5.0)], 4, have=have))
    rented = {row.month: row.chips for row in plan.rows if row.action == "rent"}
    assert rented == {"2026-03": pytest.approx(4.0), "2026-04": pytest.approx(4.0)}


def test_used_chips_are_sold_when_nothing_needs_them():
    table = {"a": costs("a", 6, resale=0.5, room=100.0)}
    demand = service(10.0, last_month=1)
    plan = solve(problem([demand], [buying("a", 1000.0)], 6, costs=table))
    sold = [row for row in plan.rows if row.action == "resell"]
    assert sum(row.chips for row in sold) == pytest.approx(10.0)
    assert sold[0].month == "2026-02"


def test_tokens_serve_when_they_are_cheaper():
    tokens = Offer("tokens", "api", "m", quoted(2.0, "CNY/Mtoken"), True, 0, NOW)
    demand = service(10.0, api_model="m", api_mtokens=100.0)
    plan = solve(problem([demand], [renting("a", 5.0), tokens], 2))
    assert plan.lines["tokens"] == pytest.approx(400.0)
    assert plan.lines["rent"] == 0.0


def test_minimum_order_binds():
    offer = buying("a", 1000.0, lot=8, min_order_chips=64)
    plan = solve(problem([service(10.0)], [offer], 2))
    assert [row.chips for row in plan.rows if row.action == "buy"] == [64.0]


def test_infeasible_names_the_smallest_relaxation_of_each_limit():
    watts = (100.0, 500.0, 1000.0)
    table = {"a": costs("a", 6, watts=watts)}
    offers = [buying("a", 1000.0)]
    free = solve(problem([service(10.0)], offers, 6, costs=table, resale_allowed=False))
    with pytest.raises(Infeasible) as caught:
        solve(problem([service(10.0)], offers, 6, costs=table, budget=free.cash / 2.0))
    assert caught.value.nearest["budget"] == pytest.approx(free.cash, rel=1e-4)
    assert "power_limit_w" not in caught.value.nearest
    with pytest.raises(Infeasible) as caught:
        solve(problem([service(10.0)], offers, 6, costs=table, power_limit_w=9000.0))
    assert caught.value.nearest["power_limit_w"] == pytest.approx(10.0 * 1000.0 * 1.2, rel=1e-4)
    slow = [buying("a", 1000.0, lead=LeadTime(3.0, 3.0, "test", "assumed"))]
    with pytest.raises(Infeasible) as caught:
        solve(problem([service(10.0)], slow, 6, costs=table))
    assert caught.value.nearest == {"due_months_later": 3, "chat_due_days_later": 92}  # three months of 30.4 days
    with pytest.raises(Infeasible) as caught:
        solve(problem([service(10.0)], [buying("a", 1000.0, stock_chips=4.0)], 6, costs=table))
    assert caught.value.nearest == {"demand_share": pytest.approx(0.4)}
    assert caught.value.binding[0].startswith("supply")


def test_relaxed_budget_is_feasible():
    offers = [buying("a", 1000.0), renting("a", 3.0)]
    tight = problem([service(10.0)], offers, 6, budget=100.0)
    with pytest.raises(Infeasible) as caught:
        solve(tight)
    assert solve(replace(tight, budget=caught.value.nearest["budget"])).cash <= caught.value.nearest["budget"] + 0.01


def test_bad_problems_are_refused_in_one_line():
    good = problem([service(10.0)], [renting("a", 1.0)], 2)
    for bad in (
        replace(good, demands=()),
        replace(good, months=0),
        replace(good, budget=-1.0),
        replace(good, demands=(service(10.0), service(5.0))),
        replace(good, demands=(service(-1.0),)),
        replace(good, costs={}),
    ):
        with pytest.raises(InputError):
            solve(bad)


def rich(months=12):
    table = {
        "a": costs("a", months, resale=0.4, room=200.0, watts=(200.0, 500.0, 600.0)),
        "b": costs("b", months, resale=0.3, room=150.0, watts=(100.0, 300.0, 400.0)),
    }
    lead = LeadTime(2.0, 4.0, "test", "assumed")
    offers = [
        buying("a", 90000.0, lot=8, lead=lead, stock_per_month=64.0),
        renting("a", 14.0, stock_chips=200.0),
        buying("b", 40000.0, lot=8, stock_per_month=80.0),
        renting("b", 9.0, stock_chips=100.0),
        Offer("year-a", "reserve", "a", quoted(9.0, "CNY/chip_h"), True, 6, NOW, lot_chips=8, stock_chips=80.0),
    ]
    demands = (
        Demand("chat", "serve", (Need("a", 100.0, 0.6), Need("b", 180.0, 0.7)), due_month=4, wait_price=2e6,
               growth_sigma_per_year=0.3),
        Demand("base", "train", (Need("a", 64.0, 1.0, 2.5), Need("b", 128.0, 1.0, 2.0)), due_month=8),
    )  # fmt: skip
    return replace(problem(demands, offers, months, costs=table, interest_per_year=0.06, price_change_per_year=-0.2), gap=1e-3)


def test_decomposition_agrees_with_the_full_programme(monkeypatch):
    case = rich()
    scenarios = draw_scenarios(case, Uncertainty(0.35), 6, 3)
    cut = solve_shape(case, scenarios)
    monkeypatch.setattr("suanzhang.money.procurement.solve.FULL_SCENARIOS", 100)
    full = solve_shape(case, scenarios)
    assert cut.bound <= full.objective * (1.0 + 1e-6)
    assert cut.objective >= full.bound * (1.0 - 1e-6)
    assert cut.objective == pytest.approx(full.objective, rel=2e-3)


def test_decomposition_agrees_with_the_full_programme_under_a_tail(monkeypatch):
    case = replace(rich(), cvar_weight=0.5, cvar_tail=0.34)
    scenarios = draw_scenarios(case, Uncertainty(0.35), 6, 3)
    cut = solve_shape(case, scenarios)
    monkeypatch.setattr("suanzhang.money.procurement.solve.FULL_SCENARIOS", 100)
    full = solve_shape(case, scenarios)
    assert cut.bound <= full.objective * (1.0 + 1e-6)
    assert cut.objective == pytest.approx(full.objective, rel=3e-3)


def test_worth_of_knowing_is_never_negative_and_orders_cost_what_the_plan_costs():
    case = rich()
    scenarios = draw_scenarios(case, Uncertainty(0.35), 8, 1)
    solved = solve_shape(case, scenarios)
    plan = describe(solved)
    orders = {(o.name, o.month): float(plan.lots[j]) for j, o in enumerate(solved.shape.orders)}
    starts = {(s.demand, s.need.chip, s.need.chips, s.month): float(plan.starts[j]) for j, s in enumerate(solved.shape.starts)}
    assert cost_of_orders(case, scenarios, orders, starts) == pytest.approx(plan.cost, rel=1e-6)
    slack = case.gap * plan.cost
    assert perfect_information(case, scenarios, plan) >= -slack
    assert stochastic_solution(case, scenarios, plan) >= -slack


def test_equal_scenarios_give_the_plan_without_them():
    case = replace(rich(), resale_allowed=False)
    one = solve(case)
    same = tuple(Scenario(0.125) for _ in range(8))
    many = solve(case, same)
    assert many.cost == pytest.approx(one.cost, rel=2e-3)
    assert np.ptp(many.cost_by_scenario) <= 1e-6 * many.cost


def test_barred_offer_is_paid_back():
    lead = LeadTime(3.0, 3.0, "test", "assumed")
    case = problem([service(8.0, due_month=4, wait_price=1.0)], [buying("a", 1000.0, lead=lead), renting("a", 5.0)], 6)
    free, barred = Scenario(0.5), Scenario(0.5, barred_from={"buy-a": 2})
    plan = solve(case, (free, barred))
    bought = [row for row in plan.rows if row.action == "buy"]
    assert sum(row.cost.amount for row in bought) == pytest.approx(0.5 * 8.0 * 1000.0)
    assert plan.cost_by_scenario[1] > plan.cost_by_scenario[0]


def test_weights_must_sum_to_one():
    with pytest.raises(InputError):
        solve(rich(), (Scenario(0.5), Scenario(0.4)))


def test_supply_that_falls_short_says_how_much_it_carries_and_names_what_matters():
    offers = [renting("a", 10.0, stock_chips=50.0), *(replace(renting("b", 9.0 + i), id=f"other-{i}") for i in range(12))]
    case = problem([service(100.0)], offers, 4)
    with pytest.raises(Infeasible) as failure:
        solve(case)
    assert failure.value.nearest["demand_share"] == pytest.approx(0.5, abs=1e-3)
    assert "rent-a (50 chips)" in failure.value.binding[0]
    assert "other" not in failure.value.binding[0]
    solve(problem([service(100.0 * failure.value.nearest["demand_share"])], offers, 4))


def test_rents_and_sales_come_in_whole_servers():
    rent = replace(renting("a", 10.0), lot_chips=8)
    plan = solve(problem([service(13.4)], [rent], 3))
    assert [row.chips for row in plan.rows if row.action == "rent"] == [16.0] * 3
    buy = buying("a", 1000.0, lot=8)
    table = {"a": costs("a", 6, resale=0.9, room=100.0)}
    demand = service(20.0, level=(1.0, 0.3, 0.3, 0.3, 0.3, 0.3))
    plan = solve(problem([demand], [buy], 6, costs=table))
    assert [row.chips for row in plan.rows if row.action == "resell"] == [16.0]


def test_a_watch_gives_the_clock_hears_of_progress_and_can_stop():
    from suanzhang.money.procurement.watch import Watch

    ticks = itertools.count()
    told = []
    demands = [service(100.0 + 7.0 * d, growth_sigma_per_year=0.3) for d in range(1)]
    case = replace(problem(demands, [buying("a", 9000.0, lot=8), renting("a", 10.0)], 12), gap=1e-7)
    scenarios = draw_scenarios(case, Uncertainty(0.4), 12, 0)
    watched = solve_shape(case, scenarios, Watch(
        clock=lambda: float(next(ticks)), tell=lambda cost, bound: told.append((cost, bound))
    ))  # fmt: skip
    assert watched.seconds > 0.0
    assert told
    assert all(bound <= cost + 1e-6 * abs(cost) for cost, bound in told)
    stopped = solve_shape(case, scenarios, Watch(stop=lambda: True))
    assert stopped.gap >= watched.gap
    assert stopped.bound <= stopped.objective
    assert describe(stopped).cost == pytest.approx(stopped.objective, rel=1e-4)
