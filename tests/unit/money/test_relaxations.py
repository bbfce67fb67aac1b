"""The relaxation that an infeasible plan names is enough, and a little less is not."""

from dataclasses import replace

import pytest

from suanzhang.errors import Infeasible
from suanzhang.money.procurement.calendar import HOURS_PER_MONTH
from suanzhang.money.procurement.relax import enough_budget
from suanzhang.money.procurement.solve import solve
from suanzhang.source import Quoted
from suanzhang.spec.buy import ChipCosts, Demand, Need, PurchaseProblem
from suanzhang.spec.market import LeadTime, Offer
from suanzhang.units import DAY_S, MONTH_S


def _offer(kind, chip, price, *, lead=0.0, lot=1, **more):
    unit = "CNY/chip" if kind == "buy" else "CNY/chip_h"
    quoted = Quoted(price, unit, "test", "assumed", "2026-01")
    return Offer(f"{kind}-{chip}", kind, chip, quoted, False, 0, LeadTime(lead, lead, "test", "assumed"), lot_chips=lot, **more)


def _problem(demands, offers, months=8, **more):
    table = {
        chip: ChipCosts(chip, 0, 0, 0, 10.0, 0, 0, 0, 100.0, watts / 2, watts, 0.5, 1.2, (0.3,) * (months + 1))
        for chip, watts in (("a", 1000.0), ("b", 400.0))
    }
    return PurchaseProblem(tuple(demands), tuple(offers), table, months, "2026-01", "CNY", gap=1e-9, **more)


SERVICE = Demand("chat", "serve", (Need("a", 20.0), Need("b", 75.0)))
RUN = Demand("base", "train", (Need("a", 30.0, 1.0, 2.0), Need("b", 40.0, 1.0, 3.5)), due_month=4)
SLOW = [_offer("buy", "a", 3000.0, lead=3.0, lot=8), _offer("buy", "b", 1200.0, lead=4.0, lot=4)]
SOON = [
    _offer("buy", "a", 3000.0, lot=8),
    _offer("buy", "b", 1200.0, lead=1.0, lot=4),
    _offer("rent", "a", 9.0, stock_chips=6.0),
]


def refused(case):
    with pytest.raises(Infeasible) as caught:
        solve(case)
    return caught.value


@pytest.mark.parametrize("demands", [(SERVICE,), (SERVICE, RUN)])
def test_the_named_budget_is_enough_and_a_hundredth_less_is_not(demands):
    case = _problem(demands, SOON, budget=500.0)
    least = refused(case).nearest["budget"]
    assert solve(replace(case, budget=least)).cash <= least + 0.01
    assert refused(replace(case, budget=0.99 * least)).binding[-1].endswith(" needed")


@pytest.mark.parametrize("demands", [(SERVICE,), (SERVICE, RUN)])
def test_the_named_power_is_enough_and_a_hundredth_less_is_not(demands):
    case = _problem(demands, SOON, power_limit_w=2000.0)
    least = refused(case).nearest["power_limit_w"]
    plan = solve(replace(case, power_limit_w=least))
    assert max(state.peak_w for state in plan.months) <= least * (1.0 + 1e-6)
    refused(replace(case, power_limit_w=0.99 * least))


def _later(demand, months):
    if demand.kind == "train":
        return replace(demand, due_month=demand.due_month + months)
    return replace(demand, due_month=demand.first_month + months, wait_price=1.0)


@pytest.mark.parametrize("demands", [(SERVICE,), (RUN,), (SERVICE, RUN)])
def test_the_named_delay_is_enough_and_a_month_less_is_not(demands):
    late = tuple(replace(demand, due_month=2) if demand.kind == "train" else demand for demand in demands)
    case = _problem(late, SLOW)
    months = refused(case).nearest["due_months_later"]
    assert months >= 1
    solve(replace(case, demands=tuple(_later(demand, months) for demand in late)))
    if months > 1:
        refused(replace(case, demands=tuple(_later(demand, months - 1) for demand in late)))


def test_the_named_share_of_the_demand_can_be_carried_and_a_hundredth_more_cannot():
    case = _problem((SERVICE,), [_offer("rent", "a", 9.0, stock_chips=6.0), _offer("rent", "b", 5.0, stock_chips=15.0)])
    share = refused(case).nearest["demand_share"]
    assert share == pytest.approx(0.5, abs=1e-3)

    def scaled(factor):
        options = tuple(replace(need, chips=need.chips * factor) for need in SERVICE.options)
        return replace(case, demands=(replace(SERVICE, options=options),))

    solve(scaled(share))
    refused(scaled(1.01 * share))


def test_the_named_budget_does_not_let_a_service_wait_for_chips_that_can_be_had():
    waiting = replace(SERVICE, due_month=3, wait_price=1e6)
    case = _problem((waiting,), SOON)
    least = refused(replace(case, budget=500.0)).nearest["budget"]
    assert not [share for share in solve(replace(case, budget=least)).shares if share.chip == "waiting"]
    assert least == pytest.approx(enough_budget(replace(case, budget=500.0)))
    assert refused(replace(case, budget=500.0)).binding[-1].endswith(" needed for no more to wait than at any budget")
    held_back = solve(replace(case, budget=0.97 * least))
    assert [share for share in held_back.shares if share.chip == "waiting"]


def test_the_days_that_one_job_alone_needs_are_enough_and_a_day_less_is_not():
    late = replace(RUN, due_month=None, due_months=2.1)
    case = _problem((SERVICE, late), [*SOON, _offer("rent", "b", 5.0, stock_chips=10.0)])
    case = replace(case, offers=tuple(replace(o, lead=LeadTime(1.0, 1.0, "test", "assumed")) if o.kind == "buy" else o
                                      for o in case.offers))  # fmt: skip
    case = replace(case, demands=(replace(SERVICE, first_month=3), late))
    failure = refused(case)
    days = failure.nearest["base_due_days_later"]
    assert 0 < days < 31 and any(f"due date of base: {days} more days" in line for line in failure.binding)
    assert any("fewer chips for longer may do as well" in line for line in failure.binding)
    month = MONTH_S / DAY_S
    solve(replace(case, demands=(case.demands[0], replace(late, due_months=2.1 + days / month))))
    refused(replace(case, demands=(case.demands[0], replace(late, due_months=2.1 + (days - 1) / month))))


def test_a_share_of_nothing_is_no_less_than_nothing():
    failure = refused(_problem((SERVICE,), [_offer("rent", "a", 9.0, stock_chips=0.0)]))
    assert not any("-0%" in line for line in failure.binding)


def test_the_smallest_budget_counts_rents_at_their_expected_path():
    rent = Offer("rent", "rent", "a", Quoted(2.0, "USD/chip_h", "t", "assumed"), True, 0, LeadTime(0.0, 0.0, "t", "assumed"))
    chat = Demand("chat", "serve", (Need("a", 10.0),))
    table = {"a": ChipCosts("a", *[0.0] * 7, 0.0, 0.0, 0.0, 0.1, 1.0, (0.0,) * 4)}
    path = {"rent": (1.0, 2.0, 4.0)}
    problem = PurchaseProblem((chat,), (rent,), table, 3, "2026-01", "USD", budget=1e4, rent_paths=path)
    with pytest.raises(Infeasible) as caught:
        solve(problem)
    least = caught.value.nearest["budget"]
    assert least == pytest.approx(10.0 * 2.0 * HOURS_PER_MONTH * 7.0, rel=1e-4)
    assert solve(replace(problem, budget=least)).cash <= least
