"""The second attempt at a plan: the same optimum as the plain search, a start that holds, chips counted in lots."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from tests.property.money.test_money_properties import FEW, problems

from suanzhang.errors import Infeasible
from suanzhang.money.procurement import solve as room
from suanzhang.money.procurement.form import build_form, programme_of
from suanzhang.money.procurement.highs import solve_programme
from suanzhang.money.procurement.shape import build
from suanzhang.money.procurement.solve import describe, solve_shape
from suanzhang.money.procurement.watch import QUIET
from suanzhang.money.procurement.wholelots import closed_further, monthly_start
from suanzhang.spec.buy import Scenario

HARD = Path(__file__).resolve().parents[2] / "e2e" / "hard-two-sites.yaml"
ONE = (Scenario(1.0),)


@FEW
@given(problems())
def test_the_second_attempt_finds_what_the_plain_search_finds(problem) -> None:
    case = replace(problem, gap=1e-6)
    try:
        plain = solve_shape(case, ONE)
    except Infeasible:
        return
    form, cols = build_form(build(case, ONE))
    programme = programme_of(form)
    for found in (None, solve_programme(programme, gap=0.5, time_limit_s=20.0)):
        again = closed_further(form, cols, programme, found, 20.0, QUIET)
        first = solve_programme(programme, gap=1e-6, time_limit_s=20.0)
        assert again.objective == pytest.approx(first.objective, rel=1e-5, abs=1.0)
        assert again.bound <= again.objective + 1e-6 * abs(again.objective) + 1.0
    assert plain.gap <= 1e-5


@FEW
@given(problems())
def test_a_start_made_month_by_month_is_a_plan(problem) -> None:
    form, cols = build_form(build(problem, ONE))
    programme = programme_of(form)
    start = monthly_start(form, cols, programme, QUIET)
    if start is None:
        return
    whole = programme.integer
    assert np.abs(start[whole] - np.round(start[whole])).max(initial=0.0) < 1e-6
    assert np.all(start >= programme.lower - 1e-6) and np.all(start <= programme.upper + 1e-6)
    best = solve_programme(programme, gap=1e-6, time_limit_s=20.0)
    assert programme.cost @ start >= best.bound - 1e-6 * abs(best.bound) - 1.0


def _hard():
    import suanzhang

    kept = {}
    whole = room.programme_of

    class Seen(Exception):
        pass

    def seen(form):
        kept["form"] = form
        raise Seen

    room.programme_of = seen
    try:
        suanzhang.buy(str(HARD), scenarios=1)
    except Seen:
        pass
    finally:
        room.programme_of = whole
    return kept["form"]


def test_the_start_of_the_hard_question_is_near_its_linear_bound() -> None:
    from suanzhang.money.procurement.columns import columns_of

    form = _hard()
    cols, programme = columns_of(form.shape, form.cell), programme_of(form)
    start = monthly_start(form, cols, programme, QUIET)
    assert start is not None
    linear = solve_programme(programme, gap=0.0, time_limit_s=60.0, relax=True).objective
    assert linear < programme.cost @ start < 1.06 * linear  # whole replicas and whole servers cost 4.6 %


def test_a_search_that_finds_no_plan_in_its_first_seconds_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PLAIN_S", 0.0)
    import suanzhang

    found = suanzhang.buy("examples/2026-10/two-sites.yaml", scenarios=1)
    monkeypatch.undo()
    plain = suanzhang.buy("examples/2026-10/two-sites.yaml", scenarios=1)
    assert found.cost.amount == pytest.approx(plain.cost.amount, rel=2e-3)
    assert found.gap <= 1e-3
    assert sum(row.cost.amount for row in found.schedule) == pytest.approx(found.cost.amount, abs=0.01)


def test_describe_stays_the_sum_of_its_rows_after_the_second_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PLAIN_S", 0.0)
    form = _hard()
    case = replace(form.shape.problem, time_limit_s=6.0)
    plan = describe(solve_shape(case, ONE))
    assert plan.bound <= plan.cost
    assert 0.0 < plan.gap < 0.05
    assert sum(row.cost.amount for row in plan.rows) == pytest.approx(plan.cost, abs=0.01 * len(plan.rows))
