"""Interactive services keep their mean traffic on chips that nobody takes back; spot chips have spares beside them."""

from dataclasses import replace

import pytest

from suanzhang.money.figures import figure
from suanzhang.money.procurement.scenarios import Uncertainty, draw_scenarios
from suanzhang.money.procurement.solve import solve, solve_shape
from suanzhang.source import Quoted
from suanzhang.spec.buy import ChipCosts, Demand, Need, PurchaseProblem
from suanzhang.spec.market import LeadTime, Offer

NOW = LeadTime(0.0, 0.0, "test", "assumed")
RATE = 0.3


def hourly(kind, price, **more):
    quoted = Quoted(price, "USD/chip_h", "test", "assumed", "2026-01")
    rate = RATE if kind == "spot" else 0.0
    return Offer(f"{kind}-a", kind, "a", quoted, True, 0, NOW, interruption_per_month=rate, **more)


def case(*demands, months=2, **more):
    table = {"a": ChipCosts("a", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.1, 1.2, (0.0,) * (months + 1))}
    offers = more.pop("offers", (hourly("rent", 3.0), hourly("spot", 1.0)))
    return PurchaseProblem(tuple(demands), offers, table, months, "2026-01", "USD", gap=1e-9, **more)


def chips(plan, action):
    return [row.chips for row in plan.rows if row.action == action]


@pytest.mark.parametrize("busy", [0.25, 0.5, 1.0])
def test_the_mean_traffic_stays_on_firm_chips_and_spot_chips_have_spares(busy):
    plan = solve(case(Demand("chat", "serve", (Need("a", 100.0, busy),))))
    counted = 1.0 - RATE * figure("spot_replace_months").value
    assert chips(plan, "rent") == pytest.approx([100.0 * busy] * 2, abs=1.0)
    if busy < 1.0:
        assert min(chips(plan, "spot")) >= 100.0 * (1.0 - busy) / counted - 1.0
        assert min(chips(plan, "spot")) > 100.0 * (1.0 - busy) + 5.0
    else:
        assert not chips(plan, "spot")


def test_a_batch_service_and_a_run_may_stand_on_spot_chips_alone():
    batch = Demand("batch", "serve", (Need("a", 100.0, 0.5),), interactive=False)
    assert not chips(solve(case(batch)), "rent")
    run = Demand("base", "train", (Need("a", 50.0, 1.0, 1.0),))
    assert not chips(solve(case(run)), "rent")


def test_a_run_takes_spot_chips_first_so_that_firm_ones_carry_the_service():
    chat = Demand("chat", "serve", (Need("a", 100.0, 0.5),))
    run = Demand("base", "train", (Need("a", 50.0, 1.0, 2.0),))
    plan = solve(case(chat, run))
    assert chips(plan, "rent") == pytest.approx([50.0] * 2, abs=1.0)
    assert min(chips(plan, "spot")) >= 100.0


def test_only_spot_chips_leave_an_interactive_service_waiting():
    chat = Demand("chat", "serve", (Need("a", 100.0, 0.5),), due_month=2, wait_price=1e7)
    plan = solve(case(chat, offers=(hourly("spot", 1.0), hourly("rent", 3.0, stock_chips=20.0))))
    waits = [share.share for share in plan.shares if share.chip == "waiting"]
    assert waits == pytest.approx([1.0 - 20.0 / 50.0] * 2, abs=0.02)


def test_many_futures_agree_with_the_programme_in_full(monkeypatch):
    chat = Demand("chat", "serve", (Need("a", 100.0, 0.4),), due_month=2, wait_price=1e6, growth_sigma_per_year=0.3)
    run = Demand("base", "train", (Need("a", 60.0, 1.0, 1.5),), due_month=3)
    buy = Offer("buy-a", "buy", "a", Quoted(9000.0, "USD/chip", "t", "assumed", "2026-01"), False, 0, NOW, lot_chips=4)
    offers = (hourly("rent", 3.0, stock_chips=90.0), hourly("spot", 1.0, stock_chips=120.0), buy)
    problem = replace(case(chat, run, months=5, offers=offers), gap=1e-4, resale_allowed=False)
    scenarios = draw_scenarios(problem, Uncertainty(0.3), 6, 2)
    cut = solve_shape(problem, scenarios)
    monkeypatch.setattr("suanzhang.money.procurement.solve.FULL_SCENARIOS", 100)
    full = solve_shape(problem, scenarios)
    assert cut.objective == pytest.approx(full.objective, rel=5e-4)
    assert cut.bound <= full.objective * (1.0 + 1e-6)
