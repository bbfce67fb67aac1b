"""With one future a service stands on whole replicas, on each kind of chip and site; rounding that is there already is used."""

import itertools
import math
from dataclasses import replace

import pytest

from suanzhang.errors import Infeasible
from suanzhang.money.procurement.solve import solve
from suanzhang.source import Quoted
from suanzhang.spec.buy import ChipCosts, Demand, Need, PurchaseProblem
from suanzhang.spec.market import LeadTime, Offer

NOW = LeadTime(0.0, 0.0, "test", "assumed")
MONTHS, HOURS = 4, 730.5
RENTS = {"a": 2.0, "b": 3.1}


def costs(name: str) -> ChipCosts:
    return ChipCosts(name, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 1.0, (0.5,) * (MONTHS + 1))


def case(needs: tuple[Need, ...], level: tuple[float, ...], **more: object) -> PurchaseProblem:
    offers = tuple(
        Offer(f"rent-{n.chip}", "rent", n.chip, Quoted(RENTS[n.chip], "USD/chip_h", "t", "assumed"), True, 0, NOW, lot_chips=2)
        for n in needs
    )
    chat = Demand("chat", "serve", needs, level=level)
    table = {need.chip: costs(need.chip) for need in needs}
    return PurchaseProblem((chat,), offers, table, MONTHS, "2026-01", "USD", gap=1e-6, **more)  # type: ignore[arg-type]


def rented(plan) -> list[float]:
    found = {row.month: row.chips for row in plan.rows if row.action == "rent"}
    return [found[month] for month in sorted(found)]


def test_half_a_replica_carries_nothing():
    level = (1.0, 1.1, 1.25, 1.5)
    split = solve(case((Need("a", 32.0),), level))
    whole = solve(case((Need("a", 32.0, replica=8.0),), level))
    assert rented(split) == [32.0, 36.0, 40.0, 48.0]
    assert rented(whole) == [32.0, 40.0, 40.0, 48.0]
    assert whole.cost == pytest.approx(sum(rented(whole)) * RENTS["a"] * HOURS, abs=0.05)
    assert sum(round(100.0 * row.cost.amount) for row in whole.rows) == round(100.0 * whole.cost)
    assert all(share.chips % 8.0 == 0.0 for share in whole.shares)


def test_what_the_last_replica_has_to_spare_is_used_before_another_one_is_had():
    """1.2 replicas of load and a spare are 3 at level 1; 2.2 times the level is still 2.2 x 2.2 = 4.84, so 5 of them."""
    level = (1.0, 1.3, 1.4, 2.2)
    plan = solve(case((Need("a", 24.0, replica=8.0, filled=2.2 / 3.0),), level))
    assert rented(plan) == [8.0 * math.ceil(2.2 * one - 1e-9) for one in level]


def test_two_kinds_of_chip_are_mixed_as_the_best_of_all_whole_mixes():
    level = (1.0, 1.1, 1.3, 1.9)
    needs = (Need("a", 32.0, replica=8.0), Need("b", 20.0, replica=4.0))
    plan = solve(case(needs, level))
    best = 0.0
    for one in level:
        mixes = itertools.product(range(9), range(11))
        best += min(8 * a * RENTS["a"] + 4 * b * RENTS["b"] for a, b in mixes if a / 4.0 + b / 5.0 >= one - 1e-9) * HOURS
    assert plan.cost == pytest.approx(best, abs=0.05)
    sizes = {"a": 8.0, "b": 4.0}
    assert {share.chip for share in plan.shares} == {"a", "b"}
    assert all(share.chips % sizes[share.chip] == 0.0 for share in plan.shares)
    assert solve(case(tuple(Need(n.chip, n.chips) for n in needs), level)).cost < plan.cost


def test_a_budget_for_half_a_replica_less_is_too_small():
    level = (1.0, 1.0, 1.0, 1.05)
    whole = case((Need("a", 32.0, replica=8.0),), level)
    paid = solve(whole).cost
    assert solve(replace(whole, budget=paid + 10.0)).cost == pytest.approx(paid)
    with pytest.raises(Infeasible):
        solve(replace(whole, budget=paid - 100.0))


def test_of_many_replicas_a_part_of_one_counts():
    """Hundreds of whole numbers a month would only slow the search: a part of a replica is less than a hundredth of them."""
    level = (1.0, 1.0, 1.0, 1.001)
    few, many = (solve(case((Need("a", 8.0 * count, replica=8.0),), level)) for count in (90, 110))
    assert rented(few)[-1] == 728.0
    assert rented(many)[-1] == 882.0
