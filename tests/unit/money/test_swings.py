"""What would change a plan is counted from the plan that is printed, over the same futures."""

from pathlib import Path

import pytest

from suanzhang.app.verbs import buy


@pytest.mark.parametrize("scenarios", [1, 6])
def test_the_base_of_the_swings_is_the_printed_total(scenarios):
    found = buy(Path("examples/gpu-rush-2023/startup.yaml"), scenarios=scenarios, sensitivity=True)
    base = next(cell for cell in found.two_way if cell.factor_a == 1.0 and cell.factor_b == 1.0)
    assert base.cost.amount == pytest.approx(found.cost.amount, abs=0.01)
    assert base.decision == found.decision
    dearer = next(swing for swing in found.swings if swing.fact == "purchase prices")
    assert dearer.cost_low.amount < found.cost.amount < dearer.cost_high.amount


def test_prices_of_tokens_are_a_fact_where_tokens_are_on_offer():
    from dataclasses import replace

    from suanzhang.app.buy_worth import swings
    from suanzhang.money.procurement.solve import solve
    from suanzhang.money.procurement.watch import QUIET
    from suanzhang.source import Quoted
    from suanzhang.spec.buy import ChipCosts, Demand, Need, PurchaseProblem
    from suanzhang.spec.market import LeadTime, Offer

    now = LeadTime(0.0, 0.0, "t", "assumed")
    rent = Offer("rent", "rent", "a", Quoted(2.0, "USD/chip_h", "t", "assumed"), True, 0, now)
    hosted = Offer("hosted", "api", "m", Quoted(1.0, "USD/Mtoken", "t", "assumed"), True, 0, now)
    chat = Demand("chat", "serve", (Need("a", 10.0),), api_model="m", api_mtokens=12_000.0)
    table = {"a": ChipCosts("a", *[0.0] * 7, 0.0, 0.0, 0.0, 0.1, 1.0, (0.0,) * 3)}
    both = PurchaseProblem((chat,), (rent, hosted), table, 2, "2026-01", "USD")

    def names(problem: PurchaseProblem) -> dict[str, float]:
        plan = solve(problem)
        found = swings(problem, QUIET, lambda _: None, plan, lambda changed: (changed.expected,))[1]
        return {one.fact: one.cost_high.amount - plan.cost for one in found if one.cost_high is not None}

    moved = names(both)
    assert moved["prices of tokens"] == pytest.approx(2 * (10.0 * 2.0 * 730.5 - 12_000.0), rel=1e-6)
    assert "prices of tokens" not in names(replace(both, offers=(rent,)))
