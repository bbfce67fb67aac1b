"""What waits, waits because it must: the price of a backlog is above what chips that can be had would cost."""

from dataclasses import replace

import pytest

from suanzhang.money.procurement.calendar import HOURS_PER_MONTH
from suanzhang.money.procurement.solve import solve
from suanzhang.money.procurement.waiting import OVER, with_wait_prices
from suanzhang.source import Quoted
from suanzhang.spec.buy import ChipCosts, Demand, Need, PurchaseProblem
from suanzhang.spec.market import LeadTime, Offer

MONTHS = 9


def _offer(kind, chip, price, *, lead=0.0, lot=8, **more):
    quoted = Quoted(price, "USD/chip" if kind == "buy" else "USD/chip_h", "test", "assumed", "2026-01")
    return Offer(f"{kind}-{chip}", kind, chip, quoted, False, 0, LeadTime(lead, lead, "test", "assumed"), lot_chips=lot, **more)


def _problem(chips, offers, **more):
    resale = tuple(0.7 - 0.02 * month for month in range(MONTHS + 1))
    table = {
        chip: ChipCosts(chip, 900.0, 500.0, 100.0, 30.0, 5.0, 9.0, 4.0, 300.0, 700.0, 1000.0, 0.1, 1.3, resale) for chip in "ab"
    }
    due = more.pop("due_month", 5)
    growth = tuple(1.07**month for month in range(MONTHS))
    needs = tuple(Need(chip, chips * (1.0 if chip == "a" else 2.3), 0.5) for chip in "ab")
    demand = Demand("chat", "serve", needs, level=growth, due_month=due, wait_priced=False)
    return with_wait_prices(PurchaseProblem((demand,), offers, table, MONTHS, "2026-01", "USD", gap=1e-9, **more))


OFFERS = {
    "rent": (_offer("rent", "a", 2.7),),
    "buy": (_offer("buy", "a", 30000.0),),
    "either": (_offer("rent", "b", 1.9), _offer("buy", "a", 30000.0), _offer("rent", "a", 2.7, stock_chips=16.0)),
}


@pytest.mark.parametrize("chips", [1.0, 2.3, 8.0, 8.2, 33.7])
@pytest.mark.parametrize("offers", OFFERS)
def test_what_waits_for_chips_that_can_be_had_would_not_take_one(chips, offers):
    waits = [share.size_factor for share in solve(_problem(chips, OFFERS[offers])).shares if share.chip == "waiting"]
    assert max(waits, default=0.0) * chips < 1.0
    assert chips > 8.0 or not any(share >= 0.2 for share in waits)


def test_the_price_is_that_of_the_last_chip_in_a_whole_server():
    case = _problem(1.0, OFFERS["rent"])
    most = 2.7 * HOURS_PER_MONTH * 8.0
    assert case.demands[0].wait_price == pytest.approx(OVER * most, rel=1e-12)


def test_a_price_that_is_given_stays_and_may_let_a_service_wait():
    case = _problem(2.0, OFFERS["rent"])
    given = replace(case, demands=(replace(case.demands[0], wait_price=1.0, wait_priced=True),))
    assert with_wait_prices(given) == given
    assert {share.month for share in solve(given).shares if share.chip == "waiting"} == {f"2026-0{m}" for m in range(1, 6)}


def test_the_dearest_way_that_supply_makes_needed_counts():
    cheap, dear = _offer("rent", "a", 2.0, stock_chips=8.0), _offer("rent", "b", 9.0)
    few, many = (_problem(chips, (cheap, dear)).demands[0].wait_price / chips for chips in (4.0, 40.0))
    assert few == pytest.approx(OVER * 8.0 * 2.0 * HOURS_PER_MONTH, rel=1e-12)
    assert many == pytest.approx(OVER * 8.0 * 2.3 * 9.0 * HOURS_PER_MONTH, rel=1e-12)


def test_no_future_leaves_a_service_waiting_only_because_chips_are_dearer_in_it():
    from suanzhang.money.procurement.scenarios import Uncertainty, draw_scenarios
    from suanzhang.money.procurement.solve import describe, solve_shape

    problem = replace(_problem(8.0, (_offer("rent", "a", 2.7, lot=1),)), gap=1e-4)
    assert problem.demands[0].wait_follows
    futures = draw_scenarios(problem, Uncertainty(0.8), 8, 3)
    assert max(max(future.rent["rent-a"][:6]) for future in futures) > 1.5
    solved = solve_shape(problem, futures)
    waits = [share for share in describe(solved).shares if share.chip == "waiting"]
    assert waits == []
    given = replace(problem, demands=(replace(problem.demands[0], wait_follows=False),))
    assert [share for share in describe(solve_shape(given, futures)).shares if share.chip == "waiting"]


def test_the_price_of_waiting_follows_the_path_that_is_expected():
    case = _problem(1.0, OFFERS["rent"])
    dearer = _problem(1.0, OFFERS["rent"], rent_paths={"rent-a": (1.0, 3.0, *([1.0] * (MONTHS - 2)))})
    assert dearer.demands[0].wait_price == pytest.approx(3.0 * case.demands[0].wait_price, rel=1e-12)
