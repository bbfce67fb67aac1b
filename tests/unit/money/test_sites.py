"""Two sites: power by month, what is built, chips that move, leased chips; small cases by enumeration."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from suanzhang.errors import Infeasible, InputError
from suanzhang.money.procurement.calendar import HOURS_PER_MONTH
from suanzhang.money.procurement.outcome import really_there, standing
from suanzhang.money.procurement.scenarios import Uncertainty, draw_scenarios
from suanzhang.money.procurement.solve import describe, solve, solve_shape
from suanzhang.money.procurement.worth import cost_of_orders, stochastic_solution
from suanzhang.source import Quoted
from suanzhang.spec.buy import ChipCosts, Demand, Holding, Need, PurchaseProblem, Scenario
from suanzhang.spec.market import LeadTime, Offer
from suanzhang.spec.place import Moving, Place, Works

WATTS = 1000.0
PUE = 1.2


def offer(kind, price, *, lead=0.0, chip="a", **more):
    unit = "USD/chip" if kind == "buy" else "USD/chip_h"
    quoted = Quoted(price, unit, "test", "assumed", "2026-01")
    wait = LeadTime(lead, lead, "test", "assumed")
    return Offer(f"{kind}-{chip}", kind, chip, quoted, False, more.pop("term_months", 0), wait, **more)


def costs(chip, months, room=0.0, resale=0.0):
    return ChipCosts(chip, 0, 0, 0, room, 0, 0, 0, 0.0, 0.0, WATTS, 0.0, PUE, (resale,) * (months + 1), racks=0.125)


def two_sites(demands, offers, months, *, rooms=(0.0, 0.0), first=None, second=None, **more):
    """Sites "near" and "far"; a chip costs ``rooms`` a month on each."""
    table = {"a": costs("a", months, rooms[0]), "a@far": costs("a@far", months, rooms[1])}
    places = (first or Place("near"), second or Place("far"))
    given = {"costs": table, "resale_allowed": False} | more
    return PurchaseProblem(tuple(demands), tuple(offers), given.pop("costs"), months, "2026-01", "USD", gap=1e-9, places=places,
                           **given)  # fmt: skip


def service(chips, **more):
    return Demand("chat", "serve", (Need("a", chips),), **more)


def power(chips):
    return chips * WATTS * PUE


def test_chips_go_where_running_them_is_cheapest_until_the_power_is_used_up():
    far = Place("far", power_w=(power(6.0),))
    plan = solve(two_sites([service(10.0)], [offer("buy", 1000.0)], 4, rooms=(50.0, 20.0), second=far))
    bought = {(row.site, row.chip): row.chips for row in plan.rows if row.action == "buy"}
    assert bought == {("far", "a"): 6.0, ("near", "a"): 4.0}
    assert plan.lines["room"] == pytest.approx(4 * (6 * 20.0 + 4 * 50.0))
    assert {(share.site, share.chips) for share in plan.shares} == {("far", 6.0), ("near", 4.0)}
    assert any(binding.kind == "power" and "far" in binding.limit for binding in plan.binding)
    state = plan.months[-1]
    assert state.owned == {"a": 10.0}
    assert [(p.site, p.owned, p.peak_w, p.power_limit_w) for p in state.places] == [
        ("near", (("a", 4.0),), pytest.approx(power(4.0)), None),
        ("far", (("a", 6.0),), pytest.approx(power(6.0)), pytest.approx(power(6.0))),
    ]


def test_one_stock_feeds_all_sites():
    near, far = Place("near", power_w=(power(3.0),)), Place("far", power_w=(power(8.0),))
    case = two_sites([service(8.0)], [offer("buy", 1000.0, stock_chips=8.0)], 3, first=near, second=far)
    assert sum(row.chips for row in solve(case).rows if row.action == "buy") == 8.0
    with pytest.raises(Infeasible):
        solve(replace(case, demands=(service(9.0),)))


@pytest.mark.parametrize("saving", [5.0, 39.0, 41.0, 100.0])
def test_chips_move_when_the_saving_pays_for_the_move(saving):
    """Ten chips stand near; far is cheaper by ``saving`` a month. One month away is rented, then five are saved."""
    rent, fee, months = 0.1, 100.0, 7
    moving = Moving(fee, 1)
    case = two_sites([service(10.0)], [offer("rent", rent)], months, rooms=(saving, 0.0), have=(Holding("a", 10.0),),
                     moving=moving)  # fmt: skip
    best = math.inf
    for moved in [None, *range(months - 1)]:
        cost = 10.0 * saving * months
        if moved is not None:
            cost = 10.0 * (saving * moved + fee + rent * HOURS_PER_MONTH)
        best = min(best, cost)
    plan = solve(case)
    assert plan.cost == pytest.approx(best, abs=0.02)
    moves = [row for row in plan.rows if row.action == "move"]
    assert bool(moves) == (best < 10.0 * saving * months)
    if moves:
        assert (moves[0].month, moves[0].offer, moves[0].chips) == ("2026-01", "near to far", 10.0)
        assert moves[0].note == "in use from 2026-02"
        assert plan.lines["moving"] == pytest.approx(10.0 * fee)


def test_a_moved_chip_is_paid_for_and_worth_as_much_as_one_that_stays():
    table = {"a": costs("a", 4, 90.0, 0.5), "a@far": costs("a@far", 4, 0.0, 0.5)}
    have = (Holding("a", 10.0, value_per_chip=1000.0),)
    case = two_sites([service(10.0, first_month=1)], [offer("buy", 1000.0)], 4, costs=table, have=have,
                     moving=Moving(50.0, 1))  # fmt: skip
    plan = solve(case)
    left = [row for row in plan.rows if row.action == "value left"]
    assert [(row.chip, row.chips, row.cost.amount) for row in left] == [("a", 10.0, -5000.0)]
    begun = [row for row in plan.rows if row.action == "value at start"]
    assert [(row.chip, row.chips, row.cost.amount) for row in begun] == [("a", 10.0, 5000.0)]
    assert plan.cost == pytest.approx(10.0 * 50.0 - 5000.0 + 5000.0)


def test_chips_do_not_go_where_they_are_barred():
    far = Place("far", barred=frozenset({"a"}))
    case = two_sites([service(4.0)], [offer("buy", 1000.0)], 3, rooms=(50.0, 0.0), second=far, have=(Holding("a", 2.0),),
                     moving=Moving(1.0, 1))  # fmt: skip
    plan = solve(case)
    assert {row.site for row in plan.rows if row.action in ("buy", "run")} == {"near"}
    assert not [row for row in plan.rows if row.action == "move"]


def test_works_are_built_in_time_when_they_pay_by_enumeration():
    """Power for four chips; each unit adds two more after two months; what lacks power is rented."""
    months, price, rent = 8, 500.0, 2.0
    works = Works("hall", power(2.0), 900.0, 2, most=3, life_months=80.0)
    place = Place("near", power_w=(power(4.0),), works=(works,))
    case = replace(
        two_sites([service(10.0)], [offer("buy", price), offer("rent", rent)], months), places=(place,), interest_per_year=0.12
    )
    best = math.inf
    for units in itertools.product(range(4), repeat=months - 2):
        if sum(units) > 3:
            continue
        cost, bought = 0.0, 4
        cost += 4 * price
        for month, count in enumerate(units):
            ready = month + 2
            wear = sum(1.0 - age / 80.0 for age in range(months - ready))
            cost += count * 900.0 * (1.0 + 0.01 * (2 + wear) - (1.0 - (months - ready) / 80.0))
            cost += 2 * count * min(price, rent * HOURS_PER_MONTH * (months - ready))
            bought += 2 * count
        for t in range(months):
            there = 4 + sum(2 * units[m] for m in range(months - 2) if m + 2 <= t)
            cost += (10 - there) * rent * HOURS_PER_MONTH
        best = min(best, cost)
    plan = solve(case)
    assert plan.cost == pytest.approx(best, abs=0.05)
    built = [row for row in plan.rows if row.action == "build"]
    assert [(row.month, row.note) for row in built] == [("2026-01", "3 x, in use from 2026-03")]
    limits = [state.places[0].power_limit_w for state in plan.months]
    assert limits == pytest.approx([power(4.0)] * 2 + [power(10.0)] * 6)
    rows = sum(round(100.0 * row.cost.amount) for row in plan.rows)
    assert rows == round(100.0 * plan.cost)


def test_power_and_room_by_month():
    place = Place("near", power_w=(power(2.0), power(2.0), power(9.0)), racks=(1.0, 0.5, 0.75))
    case = replace(two_sites([service(10.0)], [offer("buy", 100.0), offer("rent", 2.0)], 4), places=(place,))
    plan = solve(case)
    rented = {row.month: row.chips for row in plan.rows if row.action == "rent"}
    assert rented == {"2026-01": 8.0, "2026-02": 8.0, "2026-03": 4.0, "2026-04": 4.0}
    assert [state.places[0].racks for state in plan.months] == pytest.approx([0.25, 0.25, 0.75, 0.75])
    assert any(binding.kind == "room" for binding in plan.binding)


def test_a_second_site_never_makes_a_plan_dearer():
    offers = [offer("buy", 1000.0, lead=1.0), offer("rent", 1.5)]
    demands = [service(10.0, level=(1.0, 1.0, 1.5, 2.0, 1.0)), Demand("base", "train", (Need("a", 6.0, 1.0, 2.0),))]
    one = replace(two_sites(demands, offers, 5, rooms=(30.0, 10.0)), places=(Place("near"),))
    two = two_sites(demands, offers, 5, rooms=(30.0, 10.0), moving=Moving(20.0, 1))
    assert solve(two).cost <= solve(one).cost + 0.01


def test_many_futures_move_only_what_is_there_for_sure():
    far = Place("far", power_w=(power(12.0),))
    case = two_sites([service(10.0, due_month=2, wait_price=1e4, growth_sigma_per_year=0.3)],
                     [offer("buy", 900.0, lead=1.0), offer("rent", 1.5)], 6, rooms=(90.0, 0.0), second=far,
                     have=(Holding("a", 6.0),), moving=Moving(30.0, 1))  # fmt: skip
    case = replace(case, gap=1e-4)
    scenarios = draw_scenarios(case, Uncertainty(0.2), 6, 1)
    found = solve_shape(case, scenarios)
    plan = describe(found)
    assert sum(round(100.0 * row.cost.amount) for row in plan.rows) == round(100.0 * plan.cost)
    moved = sum(row.chips for row in plan.rows if row.action == "move")
    assert 0.0 < moved <= 6.0 + sum(row.chips for row in plan.rows if row.action == "buy")
    assert float(found.outcome.site.min()) >= -1e-6


def test_many_futures_agree_with_the_programme_in_full(monkeypatch):
    works = Works("hall", power(4.0), 800.0, 1, most=2)
    far = Place("far", power_w=(power(4.0),), works=(works,))
    case = two_sites([service(10.0, due_month=2, wait_price=1e4, growth_sigma_per_year=0.3)],
                     [offer("buy", 2000.0, lead=1.0, lot_chips=2), offer("rent", 1.5)], 6, rooms=(300.0, 0.0), second=far,
                     have=(Holding("a", 6.0),), moving=Moving(200.0, 1))  # fmt: skip
    case = replace(case, gap=1e-4)
    scenarios = draw_scenarios(case, Uncertainty(0.2), 6, 1)
    cut = solve_shape(case, scenarios)
    monkeypatch.setattr("suanzhang.money.procurement.solve.FULL_SCENARIOS", 100)
    full = solve_shape(case, scenarios)
    assert cut.objective == pytest.approx(full.objective, rel=5e-4)
    assert cut.bound <= full.objective * (1.0 + 1e-6)
    assert {row.action for row in describe(full).rows} >= {"move", "build"}


def test_leased_chips_come_and_go_and_only_owned_ones_are_sold():
    months = 6
    table = {"a": costs("a", months, resale=0.5)}
    lease = offer("lease", 0.4, term_months=3)
    demand = service(10.0, level=(1.0, 1.0, 1.0, 0.2, 0.2, 0.2))
    case = PurchaseProblem((demand,), (lease, offer("buy", 2000.0)), table, months, "2026-01", "USD", gap=1e-9)
    plan = solve(replace(case, have=(Holding("a", 4.0, value_per_chip=2000.0),)))
    leased = [(row.month, row.chips) for row in plan.rows if row.action == "lease"]
    assert leased == [("2026-01", 6.0)]
    assert plan.lines["rent"] == pytest.approx(6.0 * 0.4 * HOURS_PER_MONTH * 3)
    assert sum(row.chips for row in plan.rows if row.action == "resell") <= 4.0


def test_a_lease_is_paid_by_the_month_and_what_is_owed_at_the_end_counts():
    months, lease = 4, offer("lease", 0.4, term_months=6, lead=1.0)
    table = {"a": replace(costs("a", months), network=60.0, infra_life_months=60.0)}
    demand = service(10.0, first_month=1)
    case = PurchaseProblem((demand,), (lease,), table, months, "2026-01", "USD", gap=1e-9)
    plan = solve(case)
    month = 10.0 * 0.4 * HOURS_PER_MONTH
    paid = [(row.month, round(row.cost.amount, 2)) for row in plan.rows if row.action == "instalment"]
    assert paid == [("2026-02", month), ("2026-03", month), ("2026-04", month)]
    assert [(row.offer, row.chips) for row in plan.rows if row.note == "still owed at the end"] == [("lease-a", 10.0)]
    assert plan.cost == pytest.approx(6 * month + 600.0 - 600.0 * (1.0 - 3.0 / 60.0), abs=0.02)
    assert plan.cash == pytest.approx(3 * month + 600.0, abs=0.02)
    assert sum(round(100.0 * row.cost.amount) for row in plan.rows) == round(100.0 * plan.cost)


def test_a_budget_by_month_turns_a_purchase_into_a_lease():
    months = 12
    offers = (offer("buy", 1000.0), offer("lease", 0.15, term_months=12))
    case = PurchaseProblem((service(10.0),), offers, {"a": costs("a", months)}, months, "2026-01", "USD", gap=1e-9)
    assert {row.action for row in solve(case).rows if row.cost.amount} == {"buy"}
    month = 10.0 * 0.15 * HOURS_PER_MONTH
    tight = replace(case, budget_by_month=tuple(month * (t + 1.01) for t in range(months)))
    plan = solve(tight)
    assert {row.action for row in plan.rows if row.cost.amount} == {"instalment"}
    spent = 0.0
    for state, limit in zip(plan.months, tight.budget_by_month, strict=True):
        spent += state.cash
        assert spent <= limit
    many = solve(replace(tight, gap=1e-3), tuple(Scenario(0.2) for _ in range(5)))
    assert many.cost == pytest.approx(plan.cost, rel=2e-3)


def test_bad_sites_are_refused():
    with pytest.raises(InputError, match="share one id"):
        solve(two_sites([service(1.0)], [offer("rent", 1.0)], 2, second=Place("near")))
    with pytest.raises(InputError, match="no site"):
        solve(two_sites([service(1.0)], [offer("rent", 1.0)], 2, have=(Holding("a", 1.0, site="moon"),)))


def test_the_named_power_and_room_are_enough_and_less_is_not():
    for limit in ("power_w", "racks"):
        place = Place("near", **{limit: (1.0, 1.0, power(3.0) if limit == "power_w" else 0.4)})
        case = replace(two_sites([service(10.0)], [offer("buy", 100.0)], 4), places=(place,))
        with pytest.raises(Infeasible) as caught:
            solve(case)
        more = caught.value.nearest["power_more_w" if limit == "power_w" else "racks_more"]

        def raised(by, limit=limit, place=place, case=case):
            values = tuple(value + by for value in getattr(place, limit))
            return replace(case, places=(replace(place, **{limit: values}),))

        assert solve(raised(more)).cost > 0.0
        with pytest.raises(Infeasible):
            solve(raised(0.99 * more))


def test_the_worth_of_planning_with_futures_counts_no_chip_that_was_moved_before_it_came():
    case = two_sites([service(10.0, due_month=2, wait_price=1e4, growth_sigma_per_year=0.2)],
                     [replace(offer("buy", 900.0), lead=LeadTime(1.0, 4.0, "test", "assumed")), offer("rent", 1.5)], 8,
                     rooms=(0.0, 200.0), first=Place("near", power_w=(power(20.0),) * 3 + (power(1.0),)),
                     second=Place("far", power_w=(0.0, 0.0, 0.0, power(20.0))), moving=Moving(30.0, 1))  # fmt: skip
    case = replace(case, gap=1e-4)
    scenarios = draw_scenarios(case, Uncertainty(0.2), 8, 3)
    found = solve_shape(case, scenarios)
    plan = describe(found)
    assert stochastic_solution(case, scenarios, plan) >= -1e-3 * plan.cost
    names = [(order.name, order.month) for order in found.shape.orders]
    lots = {name: float(count) for name, count in zip(names, plan.lots, strict=True)}
    assert cost_of_orders(case, scenarios, lots, {}) == pytest.approx(plan.cost, rel=1e-6)
    early = np.array([5.0 if name.startswith("move a near far") and month == 0 else 0.0 for name, month in names])
    early += np.array([5.0 if name == "buy-a" and month == 0 else 0.0 for name, month in names])
    site = really_there(found.shape, standing(found.shape, early)[0])
    there = standing(found.shape, np.where(np.array([o.source for o in found.shape.orders]) < 0, early, 0.0))[0]
    assert site.min() >= 0.0
    assert np.all(site.sum(axis=1) <= there.sum(axis=1) + 1e-9)
