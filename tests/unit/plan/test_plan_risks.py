"""What a plan says can go wrong."""

import math
from types import SimpleNamespace

import pytest

from suanzhang.app.plan_risks import _rent_risks, _spot_risks, chance_above, find_risks
from suanzhang.spec.buy import ScheduleRow
from suanzhang.spec.plan import Risk
from suanzhang.spec.result import Interval, Money

DAYS = Interval(70.0, 83.0, 107.0)
SPREAD = Interval(80.0, 90.0, 120.0)


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


def test_chips_to_be_free_on_the_day_spread_as_the_schedule_does() -> None:
    rows = [row("rented", "rent", chips, "2026-01", SPREAD) for chips in (40.0, 90.0)]
    (risk,) = _rent_risks(world("rented", "rent"), SimpleNamespace(schedule=rows))
    assert risk.value == 90.0 and risk.value_interval == SPREAD


@pytest.mark.parametrize("least", [0.0, 60.0])
def test_chips_taken_back_spread_by_chance_and_as_the_schedule_does(least: float) -> None:
    def risk(spread: Interval | None) -> Risk:
        rows = [row("taken", "spot", 90.0, "2026-01", spread)]
        (found,) = _spot_risks(world("taken", "spot"), SimpleNamespace(schedule=rows))
        return found

    sure, spread = risk(None), risk(Interval(least, 90.0, 120.0))
    for one in (sure, spread):
        assert one.value == pytest.approx(9.0) and one.value_interval is not None
        assert one.value_interval.p05 < one.value < one.value_interval.p95
    chance = math.exp(1.6448536 / math.sqrt(9.0))
    assert sure.value_interval.p95 == pytest.approx(9.0 * chance, rel=1e-6)
    assert spread.value_interval.p95 > sure.value_interval.p95 and spread.value_interval.p05 < sure.value_interval.p05


def row(offer: str, action: str, chips: float, month: str, spread: Interval | None) -> ScheduleRow:
    return ScheduleRow(month, offer, action, "h100-sxm-80", chips, Money(1.0, "USD", month), chips_interval=spread)  # type: ignore[arg-type]


def world(offer: str, kind: str) -> SimpleNamespace:
    price = SimpleNamespace(note="")
    one = SimpleNamespace(
        id=offer, kind=kind, chip="h100-sxm-80", interruption_per_month=0.1, stock_chips=None, stock_per_month=None, price=price
    )
    return SimpleNamespace(world=SimpleNamespace(market=SimpleNamespace(offers=(one,))))
