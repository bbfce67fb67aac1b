"""Runs on rented chips do not wait for nothing."""

from dataclasses import dataclass

import pytest

from suanzhang.app.plan import plan
from suanzhang.app.plan_early import with_early_starts
from suanzhang.app.question import read_question
from suanzhang.errors import SolverError
from suanzhang.spec.buy import Demand, MonthState, Need, RunWindow
from suanzhang.spec.result import Money

RUN = Need("a", 24.0, 1.0, 0.9)


@dataclass(frozen=True)
class Sized:
    """The demands of a question."""

    demands: tuple[Demand, ...]


@dataclass(frozen=True)
class Found:
    """The parts of a plan that matter here."""

    cost: Money
    runs: tuple[RunWindow, ...]
    months: tuple[MonthState, ...]
    stopped: bool = False


SIZED = Sized((Demand("pilot", "train", (RUN,), first_month=0, due_months=2.0),))


def found(start: int, cost: float = 1000.0, owned: float = 0.0) -> Found:
    names = ("2023-05", "2023-06", "2023-07")
    months = tuple(MonthState(name, {"a": owned}, {}, 0.0, 0.0, 0.0, 0.0) for name in names)
    run = RunWindow("pilot", "a", 24.0, "24 x a", names[start], names[start], 0.9)
    return Found(Money(cost, "USD", "2023-05"), (run,), months)


def after(cost: float) -> Found:
    def solve(earlier: Sized) -> Found:
        assert earlier.demands[0].due_months == pytest.approx(0.9, abs=1e-5)
        return found(0, cost)

    return with_early_starts(SIZED, found(1), solve)  # type: ignore[arg-type, return-value]


def test_a_start_that_costs_the_same_is_the_earlier_one() -> None:
    assert after(1000.5).runs[0].start == "2023-05"
    assert after(1005.0).runs[0].start == "2023-06"


def test_a_run_on_chips_that_are_there_or_at_its_first_month_stays() -> None:
    def never(earlier: Sized) -> Found:
        raise AssertionError("planned again")

    for before in (found(0), found(1, owned=24.0)):
        assert with_early_starts(SIZED, before, never) is before  # type: ignore[arg-type, comparison-overlap]


def test_a_plan_without_a_better_one_stays() -> None:
    def fails(earlier: Sized) -> Found:
        raise SolverError("none", fix="wait")

    before = found(1)
    assert with_early_starts(SIZED, before, fails) is before  # type: ignore[arg-type, comparison-overlap]


def test_the_pilot_of_the_start_up_starts_at_once() -> None:
    answer = plan(read_question("examples/gpu-rush-2023/startup.yaml"))
    assert next(run.start for run in answer.train if run.name == "pilot") == "2023-05"
    late = next(risk for risk in answer.risks if risk.name == "pilot misses its deadline")
    assert late.value < 0.01
