"""What must hold for any purchase plan over two sites."""

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from suanzhang.errors import Infeasible
from suanzhang.money.procurement.scenarios import Uncertainty, draw_scenarios
from suanzhang.money.procurement.solve import describe, solve_shape
from suanzhang.source import Quoted
from suanzhang.spec.buy import ChipCosts, Demand, Holding, Need, PurchaseProblem, Scenario
from suanzhang.spec.market import LeadTime, Offer
from suanzhang.spec.place import Moving, Place, Works

FEW = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
ONE = (Scenario(1.0),)


def _offer(kind, price, months, *, lot=1, lead=0.0, **more):
    unit = "USD/chip" if kind == "buy" else "USD/chip_h"
    quoted, wait = Quoted(price, unit, "test", "assumed", "2026-01"), LeadTime(lead, lead + 1.0, "test", "assumed")
    term = months if kind == "lease" else 0
    return Offer(f"{kind}-a", kind, "a", quoted, False, term, wait, lot_chips=lot, **more)


@st.composite
def two_sites(draw):
    months = draw(st.integers(3, 7))
    lot = draw(st.sampled_from((1, 4)))
    offers = [
        _offer("buy", draw(st.floats(500.0, 5000.0)), months, lot=lot, lead=float(draw(st.integers(0, 2)))),
        _offer("rent", draw(st.floats(0.5, 4.0)), months, stock_chips=60.0),
    ]
    if draw(st.booleans()):
        offers.append(_offer("lease", draw(st.floats(0.2, 1.0)), draw(st.integers(2, 9)), lot=lot))
    costs = {
        kind: ChipCosts(kind, 50.0, 30.0, 10.0, draw(st.floats(0.0, 200.0)), 3.0, 2.0, 1.0, 100.0, 400.0, 500.0, 0.3, 1.2,
                        (draw(st.floats(0.1, 0.9)),) * (months + 1), racks=0.1)
        for kind in ("a", "a@far")
    }  # fmt: skip
    costs["a@far"] = replace(costs["a@far"], resale=costs["a"].resale)
    limit = st.floats(0.0, 30.0).map(lambda chips: chips * 500.0 * 1.2)
    far = Place(
        "far",
        power_w=tuple(draw(st.lists(limit, min_size=1, max_size=3))),
        works=(Works("hall", 6000.0, draw(st.floats(100.0, 5000.0)), draw(st.integers(0, 3)), racks=1.0, most=2),),
    )
    near = Place("near", racks=(draw(st.floats(2.0, 6.0)),))
    demands = [Demand("chat", "serve", (Need("a", 20.0, 0.6),), due_month=2, wait_price=5e4, growth_sigma_per_year=0.2)]
    if draw(st.booleans()):
        demands.append(Demand("base", "train", (Need("a", 8.0, 1.0, 1.5),)))
    have = (Holding("a", float(lot * draw(st.integers(0, 4))), value_per_chip=800.0),)
    return PurchaseProblem(
        tuple(demands), tuple(offers), costs, months, "2026-01", "USD", interest_per_year=0.08, gap=1e-5, have=have,
        places=(near, far), moving=Moving(draw(st.floats(0.0, 300.0)), draw(st.integers(0, 2))),
    )  # fmt: skip


def solved(problem, scenarios=ONE):
    try:
        return solve_shape(problem, scenarios)
    except Infeasible:
        return None


@FEW
@given(two_sites())
def test_rows_lines_and_objective_are_one_total_and_limits_hold(problem):
    found = solved(problem)
    if found is None:
        return
    plan = describe(found)
    cents = round(100.0 * plan.cost)
    assert sum(round(100.0 * row.cost.amount) for row in plan.rows) == cents
    assert sum(round(100.0 * amount) for amount in plan.lines.values()) == cents
    assert abs(plan.cost - found.objective) <= 0.01 * (1 + 5 * len(plan.rows))
    assert abs(plan.cost_by_scenario[0] - found.objective) <= 1e-6 * max(1.0, abs(found.objective))
    assert abs(sum(state.cash for state in plan.months) - plan.cash) < 0.05 * len(plan.months)
    for state in plan.months:
        for place in state.places:
            assert place.power_limit_w is None or place.peak_w <= place.power_limit_w * (1.0 + 1e-6) + 1e-3
            assert place.rack_limit is None or place.racks <= place.rack_limit * (1.0 + 1e-6) + 1e-6


@FEW
@given(two_sites())
def test_moves_works_and_a_second_site_never_make_a_plan_dearer(problem):
    whole = solved(problem)
    near, far = problem.places
    fewer = (
        replace(problem, moving=None),
        replace(problem, places=(near, replace(far, works=()))),
        replace(problem, places=(near,), moving=None),
    )
    for case in fewer:
        less = solved(case)
        if less is not None:
            assert whole is not None
            assert whole.objective <= less.objective + 1e-4 * abs(less.objective) + 1.0


@FEW
@given(two_sites(), st.integers(0, 3))
def test_decomposed_and_full_programmes_agree(problem, seed):
    case = replace(problem, gap=1e-4, resale_allowed=False)
    few = draw_scenarios(case, Uncertainty(0.2), 3, seed)
    full = solved(case, few)
    if full is None:
        return
    many = solve_shape(case, tuple(replace(future, weight=future.weight / 2.0) for future in few for _ in range(2)))
    assert many.bound <= full.objective + 2e-4 * abs(full.objective) + 1.0
    assert full.bound <= many.objective + 2e-4 * abs(many.objective) + 1.0
    assert many.outcome.site.min() >= -1e-6
