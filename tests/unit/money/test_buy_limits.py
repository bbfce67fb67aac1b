"""What a buyer reads beside a schedule: limits with their units, larger changes solved again, means named as means."""

from dataclasses import replace

import pytest

from suanzhang.app.buy import RiskOptions, solve_problem
from suanzhang.app.buy_limits import one_more, tried_again
from suanzhang.app.plan_binding import binding_words
from suanzhang.catalog.markets import market
from suanzhang.money.procurement.solve import describe, solve, solve_shape
from suanzhang.money.procurement.watch import QUIET
from suanzhang.report.view_buy import binding_table, buy, chips_chart, schedule_table
from suanzhang.source import Quoted
from suanzhang.spec.buy import ChipCosts, Demand, Need, PurchaseProblem, Scenario
from suanzhang.spec.market import LeadTime, Offer

NOW = LeadTime(0.0, 0.0, "test", "assumed")
MONTHS = 3
NAME = "a100-sxm-80"


def hourly(name: str, rate: float, **more: object) -> Offer:
    return Offer(name, "rent", NAME, Quoted(rate, "USD/chip_h", "test", "assumed"), True, 0, NOW, **more)  # type: ignore[arg-type]


def case(offers: tuple[Offer, ...], **more: object) -> PurchaseProblem:
    costs = {NAME: ChipCosts(NAME, *[0.0] * 7, 0.0, 0.0, 0.0, 0.1, 1.0, (0.0,) * (MONTHS + 1))}
    chat = Demand("chat", "serve", (Need(NAME, 100.0),), level=(1.0, 1.2, 1.5))
    return PurchaseProblem((chat,), offers, costs, MONTHS, "2026-10", "USD", gap=1e-9, **more)  # type: ignore[arg-type]


def one(problem: PurchaseProblem) -> tuple[Scenario, ...]:
    return (Scenario(1.0),)


def test_shares_of_a_month_sum_to_one_while_the_service_grows():
    plan = solve(case((hourly("cheap", 1.0, stock_chips=90.0), hourly("dear", 2.0))))
    for index, month in enumerate(("2026-10", "2026-11", "2026-12")):
        parts = [part for part in plan.shares if part.month == month]
        assert sum(part.share for part in parts) == pytest.approx(1.0)
        assert sum(part.size_factor for part in parts) == pytest.approx((1.0, 1.2, 1.5)[index])


def test_a_due_month_is_worth_all_that_is_carried_in_it():
    problem = case((hourly("only", 1.0),))
    plan = solve(problem)
    due = {limit.limit: limit for limit in plan.binding if limit.kind == "due"}
    last = due["all of chat due in 2026-12"]
    assert last.worth == pytest.approx(150.0 * 730.5, rel=1e-6)
    assert one_more(last) == "a month in which it need not be carried"


def test_more_stock_is_solved_again_and_saves_what_the_dearer_chips_cost():
    problem = case((hourly("cheap", 1.0, stock_chips=90.0), hourly("dear", 2.0)))
    plan = describe(solve_shape(problem, one(problem)))
    limits = tried_again(problem, plan, QUIET, lambda _: None, one)
    stock = next(limit for limit in limits if limit.step == "10 % more of cheap")
    assert stock.step_saves is not None and stock.step_saves.amount == pytest.approx(9.0 * 1.0 * 730.5 * MONTHS, rel=1e-6)
    assert stock.one_more == "1 chip on offer"
    again = solve(replace(problem, offers=(hourly("cheap", 1.0, stock_chips=99.0), hourly("dear", 2.0))))
    assert plan.cost - again.cost == pytest.approx(stock.step_saves.amount)


def test_limits_and_means_are_named_in_the_report():
    problem = case((hourly("cheap", 1.0, stock_chips=90.0), hourly("dear", 2.0)))
    where = market("us-2026-10")
    found = solve_problem(problem, where, RiskOptions(values=True))
    table = binding_table(found)
    assert "one more is" in [column.name for column in table.columns]
    assert any(step and saves for *_, step, saves in table.rows)
    assert all("would save" in line for line in binding_words(found))
    assert any("10 % more of cheap" in line for line in binding_words(found))
    assert "means over" not in schedule_table(found).note
    many = solve_problem(
        replace(problem, demands=(replace(problem.demands[0], growth_sigma_per_year=0.5),)), where, RiskOptions(scenarios=8)
    )
    rent = next(row for row in many.schedule if row.offer == "dear" and row.month == "2026-12")
    assert rent.chips_interval is not None and rent.chips_interval.p05 < rent.chips < rent.chips_interval.p95
    assert "chips with a range are means over 8 futures" in schedule_table(many).note
    assert chips_chart(many.months, scenarios=8).y == "mean chips over 8 futures"
    assert "share of what the service is in that month" in str(buy(many))
