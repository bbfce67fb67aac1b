"""What a plan says can go wrong."""

from types import SimpleNamespace

import pytest

from suanzhang.app.plan_risks import chance_above, find_risks
from suanzhang.spec.result import Interval

DAYS = Interval(70.0, 83.0, 107.0)


def late(start: str, wanted: str = "2023-07") -> tuple[float, str]:
    """Chance and words of a run of 83 days with 120 days from July on, that starts in a month."""
    ask = SimpleNamespace(name="base", deadline_s=120 * 86400.0, start=wanted)
    world = SimpleNamespace(market=SimpleNamespace(offers=()))
    sized = SimpleNamespace(question=SimpleNamespace(train=[ask], start="2023-05", months=12), world=world)
    option = SimpleNamespace(chips=96, days=83.0, days_interval=DAYS, goodput_fraction=0.99)
    run = SimpleNamespace(name="base", option=option, start=start)
    bought = SimpleNamespace(schedule=(), lines={})
    risks = find_risks(sized, bought, (run,), (), DAYS)  # type: ignore[arg-type]
    (found,) = (risk for risk in risks if "misses its deadline" in risk.name)
    return found.value, found.explanation


def test_a_deadline_counts_from_the_month_in_which_a_run_may_start() -> None:
    """A run that waits a month for its chips has a month less: three in ten futures, not one in a hundred."""
    at_once, words = late("2023-07")
    assert at_once == pytest.approx(chance_above(120.0, DAYS)) and at_once < 0.02
    assert words == "predicted 83 days (70 to 107) against 120"
    waited, words = late("2023-08")
    assert waited == pytest.approx(chance_above(120.0 - 365.25 / 12.0, DAYS)) and 0.2 < waited < 0.5
    assert words.endswith("against 90 left: it starts in 2023-08, and its 120 days count from 2023-07")


def test_without_a_first_month_of_its_own_a_deadline_counts_from_the_plan() -> None:
    assert late("2023-06", "")[0] == pytest.approx(chance_above(120.0 - 365.25 / 12.0, DAYS))
