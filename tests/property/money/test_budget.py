"""A budget is money paid out: in every month of every future, what sales bring counts once it is there."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suanzhang.errors import Infeasible
from suanzhang.money.procurement import solve as solving
from suanzhang.money.procurement.scenarios import Uncertainty, draw_scenarios
from suanzhang.money.procurement.solve import solve, solve_shape
from suanzhang.source import Quoted
from suanzhang.spec.buy import NOT_CASH, ChipCosts, Demand, Need, PurchaseProblem
from suanzhang.spec.market import LeadTime, Offer

MONTHS = 8


def _offer(kind, chip, price, *, lead=0.0, lot=8, **more):
    quoted = Quoted(price, "USD/chip" if kind == "buy" else "USD/chip_h", "test", "assumed", "2026-01")
    lead_time = LeadTime(lead, 1.6 * lead, "test", "assumed")
    return Offer(f"{kind}-{chip}", kind, chip, quoted, False, 0, lead_time, lot_chips=lot, **more)


def _problem(budget, by_month=(), demands=None, **more):
    resale = tuple(0.8 - 0.01 * month for month in range(MONTHS + 1))
    table = {
        chip: ChipCosts(chip, 900.0, 500.0, 100.0, 30.0, 5.0, 9.0, 4.0, 300.0, 700.0, 1000.0, 0.1, 1.3, resale) for chip in "ab"
    }
    chat = Demand(
        "chat", "serve", (Need("a", 40.0, 0.5), Need("b", 90.0, 0.6)), level=tuple(1.1**m for m in range(MONTHS)), due_month=2,
        wait_price=2.5e6, growth_sigma_per_year=0.3,
    )  # fmt: skip
    offers = (_offer("buy", "a", 12000.0, lead=1.0), _offer("rent", "a", 6.0), _offer("rent", "b", 2.0, stock_chips=64.0))
    return PurchaseProblem(
        demands or (chat,), offers, table, MONTHS, "2026-01", "USD", budget=budget, budget_by_month=by_month, gap=1e-6,
        interest_per_year=0.08, **more,
    )  # fmt: skip


def _paid(solved, s):
    """Cash of one future by month: orders, upkeep and energy, rents."""
    shape, cell, outcome = solved.shape, solved.cell, solved.outcome
    paid = np.zeros(shape.months)
    for j, order in enumerate(shape.orders):
        by = [float(order.paid_by(t, shape.months)[s]) if t >= order.month else 0.0 for t in range(shape.months)]
        paid += outcome.lots[j] * np.diff(by, prepend=0.0)
    paid += (shape.hold + shape.energy_idle) @ outcome.site[s]
    cells = outcome.cells[s]
    paid += (cells[:, cell.hours : cell.busy] * shape.rent_cost[s].T).sum(axis=1)
    return np.cumsum(paid + cells[:, cell.busy : cell.lacking] @ shape.energy_busy)


@settings(max_examples=12, deadline=None)
@given(st.floats(0.45, 1.05), st.booleans(), st.integers(0, 10**6))
def test_no_future_pays_more_than_the_budget_and_many_futures_agree_with_the_whole_programme(part, stepped, seed):
    free = _problem(None)
    futures = draw_scenarios(free, Uncertainty(0.5), 6, seed)
    open_plan = solve_shape(free, futures)
    most = max(_paid(open_plan, s)[-1] for s in range(6))
    by_month = tuple(part * most * (t + 2) / MONTHS for t in range(MONTHS)) if stepped else ()
    case = _problem(part * most, by_month)
    many = solve_shape(case, futures)
    limits = np.minimum(part * most, np.array(by_month)) if stepped else np.full(MONTHS, part * most)
    for s in range(6):
        assert np.all(_paid(many, s) <= limits + 1.0)
    usual, solving.FULL_SCENARIOS = solving.FULL_SCENARIOS, 6
    try:
        whole = solve_shape(case, futures)
    finally:
        solving.FULL_SCENARIOS = usual
    for s in range(6):
        assert np.all(_paid(whole, s) <= limits + 1.0)
    assert many.bound <= whole.objective * (1.0 + 1e-6)
    loose = 0.03 if stepped else 2e-4
    assert many.objective <= whole.objective * (1.0 + loose) + many.gap * abs(many.objective)


def test_chips_that_are_sold_later_are_paid_for_before():
    run = Demand("tune", "train", (Need("a", 64.0, 1.0, 2.0),), due_month=4)
    case = _problem(None, demands=(run,))
    case = replace(case, offers=tuple(offer for offer in case.offers if offer.kind == "buy"))
    plan = solve(case)
    assert any(row.action == "resell" for row in plan.rows)
    by_month = np.cumsum([state.cash for state in plan.months])
    most = float(by_month.max())
    assert most > by_month[-1] + 1e5
    with pytest.raises(Infeasible) as caught:
        solve(replace(case, budget=0.5 * (most + by_month[-1])))
    assert caught.value.nearest["budget"] == pytest.approx(most, rel=0.05)
    least = solve(replace(case, budget=caught.value.nearest["budget"]))
    assert np.cumsum([state.cash for state in least.months]).max() <= caught.value.nearest["budget"] + 0.01
    assert sum(amount for row in least.rows for name, amount in row.lines if name not in NOT_CASH) == pytest.approx(least.cash)
