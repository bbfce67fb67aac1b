"""Monte Carlo over a decided plan: it agrees with the plan where nothing is uncertain, and is the same however it is run."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from tests.property.money.test_money_properties import FEW, problems

from suanzhang.app.buy_monte import MonteOptions, try_plan
from suanzhang.errors import Infeasible, InputError
from suanzhang.money.procurement.montecarlo import BATCH, Decided, draw_batch
from suanzhang.money.procurement.scenarios import Uncertainty
from suanzhang.money.procurement.solve import describe, solve_shape
from suanzhang.source import Quoted
from suanzhang.spec.buy import ChipCosts, Demand, Need, PurchaseProblem, Scenario
from suanzhang.spec.market import LeadTime, Offer
from suanzhang.spec.result import Interval

SURE = Uncertainty(0.0, regime_shift_per_year=0.0)


def certain(problem):
    """The same problem with deliveries on their median and no walk of demand."""
    offers = tuple(replace(o, lead=replace(o.lead, p90_months=o.lead.median_months)) for o in problem.offers)
    demands = tuple(replace(d, growth_sigma_per_year=0.0) for d in problem.demands)
    return replace(problem, offers=offers, demands=demands, gap=1e-4, resale_allowed=False)


@FEW
@given(problems())
def test_without_uncertainty_every_future_costs_what_the_plan_costs(problem):
    case = certain(problem)
    try:
        found = solve_shape(case, tuple(Scenario(1.0 / 6.0) for _ in range(6)))
    except Infeasible:
        return
    draws = draw_batch(case, Decided.of(found), SURE, {}, 0, 0)
    late = describe(found).lines["waiting"]
    assert min(draws.cost) == pytest.approx(max(draws.cost), rel=1e-9, abs=1.0)
    assert draws.cost[0] <= found.objective + 1e-6 * abs(found.objective) + 1.0
    assert draws.cost[0] >= found.objective - late - 1e-6 * abs(found.objective) - 1.0


def simple():
    now = LeadTime(0.0, 0.0, "test", "assumed")
    price = Quoted(1.0, "CNY/chip_h", "test", "assumed", "2026-01")
    costs = ChipCosts("a", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.5, 1.2, (0.0,) * 7)
    return PurchaseProblem(
        (
            Demand("chat", "serve", (Need("a", 20.0),), growth_sigma_per_year=0.3),
            Demand("base", "train", (Need("a", 8.0, 1.0, 2.0),), due_months=2.5),
        ),
        (Offer("rent", "rent", "a", price, True, 0, now),),
        {"a": costs}, 6, "2026-01", "CNY", budget=400_000.0,
    )  # fmt: skip


def tried(draws=3 * BATCH, workers=1, resume=None, spread=None, seed=3):
    problem = simple()
    found = solve_shape(problem, (Scenario(1.0),))
    physics = {("chat", "a"): spread or Interval(0.8, 1.0, 1.3), ("base", "a"): spread or Interval(0.8, 1.0, 1.3)}
    return try_plan(problem, found, Uncertainty(0.3), MonteOptions(draws, seed, physics, workers, resume))


def test_same_answer_on_any_number_of_workers():
    assert tried(workers=1) == tried(workers=2)


def test_another_seed_draws_other_futures():
    assert tried(seed=4).cost_interval != tried(seed=3).cost_interval


def test_a_broken_run_goes_on_and_ends_alike(tmp_path):
    file = tmp_path / "futures.jsonl"
    whole = tried(resume=file)
    lines = file.read_text().splitlines()
    assert len(lines) == 3
    file.write_text(lines[0] + "\n" + lines[1][:40])
    again = tried(resume=file)
    assert again.resumed == BATCH
    assert replace(again, resumed=0) == whole
    assert len(file.read_text().splitlines()) == 3


def test_a_file_of_another_plan_or_of_something_else_is_refused(tmp_path):
    file = tmp_path / "futures.jsonl"
    tried(resume=file)
    with pytest.raises(InputError, match="another plan"):
        tried(resume=file, seed=4)
    file.write_text("hello\n" * 3)
    with pytest.raises(InputError, match="line 1 is not a batch"):
        tried(resume=file)


@pytest.mark.parametrize(("draws", "workers"), [(0, 1), (10**9, 1), (5, 0)])
def test_numbers_that_cannot_be_used_are_refused(draws, workers):
    with pytest.raises(InputError):
        tried(draws=draws, workers=workers)


def test_a_slow_run_is_late_as_often_as_its_spread_says():
    run = tried(draws=10 * BATCH, spread=Interval(0.8, 1.0, 1.25 ** (1.6448536 / 1.0)))
    assert run.runs[0].due_months == 2.5
    assert run.runs[0].in_time == pytest.approx(0.8413, abs=0.03)  # 2 months x 1.25^z are within 2.5 where z <= 1


def test_more_spread_in_our_error_widens_the_cost_and_leads_its_drivers():
    narrow, wide = tried(spread=Interval(0.99, 1.0, 1.01)), tried(spread=Interval(0.4, 1.0, 2.5))
    assert math.log(wide.cost_interval.p95 / wide.cost_interval.p05) > math.log(
        narrow.cost_interval.p95 / narrow.cost_interval.p05
    )
    assert wide.drivers[0].name == "true over predicted: chat"
    assert wide.over_budget is not None
    assert narrow.over_budget is not None
    assert wide.over_budget > narrow.over_budget


@pytest.mark.parametrize("draws", [1, 50, BATCH, BATCH + 1])
def test_exactly_as_many_futures_are_drawn_as_asked_for(draws):
    problem = simple()
    found = solve_shape(problem, (Scenario(1.0),))
    lines = []
    options = MonteOptions(draws, 3, {})
    assert try_plan(problem, found, Uncertainty(0.3), options, lines.append).draws == draws
    assert lines[-1] == f"futures drawn: {draws:,} of {draws:,}"


def test_fewer_futures_are_the_first_of_more():
    problem = simple()
    decided = Decided.of(solve_shape(problem, (Scenario(1.0),)))
    given = (problem, decided, Uncertainty(0.3), {"chat": Interval(0.8, 1.0, 1.3)}, 3, 1)
    few, whole = draw_batch(*given, 7), draw_batch(*given)
    assert len(few.cost) == 7
    assert few.cost == pytest.approx(whole.cost[:7])
    assert few.met["chat"] == pytest.approx(whole.met["chat"][:7])


def test_a_run_that_asks_for_more_goes_on_from_a_cut_batch(tmp_path):
    file = tmp_path / "futures.jsonl"
    tried(draws=BATCH + 10, resume=file)
    more = tried(draws=2 * BATCH, resume=file)
    assert more.resumed == BATCH  # the cut batch is drawn again in full
    assert replace(more, resumed=0) == tried(draws=2 * BATCH)
    assert tried(draws=2 * BATCH, resume=file).resumed == 2 * BATCH
