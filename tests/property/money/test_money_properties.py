"""What must hold for any purchase plan."""

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from suanzhang.errors import Infeasible
from suanzhang.money.procurement.scenarios import Uncertainty, draw_scenarios
from suanzhang.money.procurement.solve import NOT_CASH, describe, solve, solve_shape
from suanzhang.source import Quoted
from suanzhang.spec.buy import ChipCosts, Demand, Need, PurchaseProblem
from suanzhang.spec.market import LeadTime, Offer

FEW = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def problems(draw):
    months = draw(st.integers(2, 8))
    amount = st.floats(0.1, 10.0)
    chips = ("a", "b")[: draw(st.integers(1, 2))]
    offers, costs = [], {}
    for chip in chips:
        price = 10000.0 * draw(amount)

        def quoted(value, unit):
            return Quoted(value, unit, "test", "assumed", "2026-01")

        lead = LeadTime(draw(st.integers(0, 3)), 4.0, "test", "assumed")
        lot = draw(st.sampled_from((1, 4, 8)))
        offers.append(Offer(f"buy-{chip}", "buy", chip, quoted(price, "CNY/chip"), False, 0, lead, 200.0, 50.0, lot, lot))
        now = LeadTime(0.0, 0.0, "test", "assumed")
        offers.append(Offer(f"rent-{chip}", "rent", chip, quoted(draw(amount), "CNY/chip_h"), True, 0, now, 60.0, 5.0))
        if draw(st.booleans()):
            rate = Quoted(0.3 * draw(amount), "CNY/chip_h", "test", "assumed", "2026-01")
            spot = Offer(f"spot-{chip}", "spot", chip, rate, True, 0, now, 40.0, 0.0, interruption_per_month=0.3)
            offers.append(spot)
        costs[chip] = ChipCosts(
            chip, 100.0, 50.0, 10.0, 20.0 * draw(amount), 3.0, 2.0, 1.0, 100.0, 400.0, 500.0, 0.6, 1.3,
            tuple(draw(st.floats(0.1, 0.9)) * 0.97**month for month in range(months + 1)),
        )  # fmt: skip
    options = tuple(Need(chip, 10.0 + 100.0 * draw(st.floats(0, 1)), draw(st.floats(0.2, 1.0))) for chip in chips)
    due = draw(st.integers(0, months))
    demands = [Demand("chat", "serve", options, due_month=due, wait_price=1e5 * draw(amount), growth_sigma_per_year=0.2)]
    if draw(st.booleans()):
        demands.append(Demand("base", "train", tuple(Need(chip, 20.0, 1.0, 0.5 + draw(st.floats(0, 2))) for chip in chips)))
    return PurchaseProblem(
        tuple(demands), tuple(offers), costs, months, "2026-01", "CNY", interest_per_year=0.06, price_change_per_year=-0.2,
        gap=1e-6,
    )  # fmt: skip


def solved(problem, spread=0.0, futures=1, seed=0):
    try:
        return solve_shape(problem, draw_scenarios(problem, Uncertainty(spread), futures, seed))
    except Infeasible as refusal:
        assert refusal.binding
        return None


@FEW
@given(problems())
def test_printed_cost_is_objective_is_rows_is_lines_to_the_cent(problem):
    found = solved(problem)
    if found is None:
        return
    plan = describe(found)
    rows = sum(round(100.0 * row.cost.amount) for row in plan.rows)
    lines = sum(round(100.0 * amount) for amount in plan.lines.values())
    assert rows == lines == round(100.0 * plan.cost)
    assert abs(plan.cost - found.objective) <= 0.01 * (1 + 5 * len(plan.rows))
    assert sum(round(100.0 * a) for row in plan.rows for _, a in row.lines) == rows
    cash = sum(amount for name, amount in plan.lines.items() if name not in NOT_CASH)
    assert abs(cash - plan.cash) < 0.005
    assert abs(sum(state.cash for state in plan.months) - plan.cash) < 0.05 * len(plan.months)
    assert float(np.dot(plan.cost_by_scenario, [1.0])) == float(plan.cost_by_scenario[0])
    assert abs(plan.cost_by_scenario[0] - found.objective) <= 1e-6 * max(1.0, abs(found.objective))


@FEW
@given(problems(), st.floats(1.01, 1.5))
def test_dearer_offers_never_make_a_cheaper_plan(problem, factor):
    base = solved(replace(problem, resale_allowed=False))
    if base is None:
        return
    dearer = tuple(
        replace(offer, price=replace(offer.price, value=offer.price.value * factor)) if offer.kind == "rent" else offer
        for offer in problem.offers
    )
    other = solved(replace(problem, offers=dearer, resale_allowed=False))
    assert other is not None
    assert other.objective >= base.objective - 1e-4 * abs(base.objective) - 1.0


@FEW
@given(problems())
def test_limits_hold_and_every_service_is_met(problem):
    free = solved(problem)
    if free is None:
        return
    plan = describe(free)
    for month in {share.month for share in plan.shares}:
        met = sum(share.size_factor for share in plan.shares if share.month == month)
        assert met >= 1.0 - 1e-6
    for name, month in {(share.demand, share.month) for share in plan.shares}:
        parts = [share.share for share in plan.shares if (share.demand, share.month) == (name, month)]
        assert abs(sum(parts) - 1.0) <= 1e-9
    bound = replace(problem, budget=plan.cash * 0.9 + 1.0, power_limit_w=2e4)
    tight = solved(bound)
    if tight is not None:
        again = describe(tight)
        assert again.cash <= bound.budget
        assert max(state.peak_w for state in again.months) <= 2e4 * (1.0 + 1e-6)
        assert tight.objective >= free.objective - 1e-4 * abs(free.objective) - 1.0


@FEW
@given(problems(), st.integers(0, 5))
def test_rows_sum_to_the_cost_over_scenarios_and_the_bound_lies_below(problem, seed):
    found = solved(replace(problem, gap=0.01), 0.3, 6, seed)
    if found is None:
        return
    plan = describe(found)
    assert sum(round(100.0 * row.cost.amount) for row in plan.rows) == round(100.0 * plan.cost)
    assert found.bound <= found.objective + 1e-6 * abs(found.objective)
    assert found.gap <= 0.01 + 1e-9
    mean = float(found.shape.weights @ plan.cost_by_scenario)
    assert abs(mean - plan.cost) <= 1e-4 * abs(plan.cost) + 0.05 * len(plan.rows) + 1.0


@FEW
@given(problems(), st.integers(0, 5), st.sampled_from((0.0, 0.5)))
def test_decomposed_and_full_programmes_agree(problem, seed, cvar_weight):
    case = replace(problem, gap=1e-4, cvar_weight=cvar_weight, cvar_tail=0.3, resale_allowed=False)
    few = draw_scenarios(case, Uncertainty(0.3), 3, seed)
    try:
        full = solve_shape(case, few)
    except Infeasible:
        return
    split = tuple(replace(future, weight=future.weight / 2.0) for future in few for _ in range(2))
    many = solve_shape(case, split)
    assert many.gap <= 1e-4 + 1e-9
    assert many.bound <= full.objective + 2e-4 * abs(full.objective) + 1.0
    assert full.bound <= many.objective + 2e-4 * abs(many.objective) + 1.0


def test_same_seed_same_plan():
    problem = PurchaseProblem(
        (Demand("chat", "serve", (Need("a", 20.0),), growth_sigma_per_year=0.2),),
        (Offer("rent", "rent", "a", Quoted(1.0, "CNY/chip_h", "t", "assumed", "2026"), True, 0, LeadTime(0, 0, "t", "a")),),
        {"a": ChipCosts("a", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.5, 1.2, (0.0,) * 5)},
        4, "2026-01", "CNY",
    )  # fmt: skip
    one, two = (solve(problem, draw_scenarios(problem, Uncertainty(0.3), 8, 5)) for _ in range(2))
    assert one.rows == two.rows
