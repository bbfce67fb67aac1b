"""Energy priced by the hour: shares of a day, what work pays, and a plan whose bands sum to its power line."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import suanzhang
from suanzhang.app.buy_energy import _words, settled, with_work_hours
from suanzhang.app.explain_tree import givens_of
from suanzhang.app.question import question_from
from suanzhang.catalog.chips import chip
from suanzhang.catalog.sites import site
from suanzhang.errors import InputError
from suanzhang.money.costs import chip_costs
from suanzhang.money.procurement.solve import solve
from suanzhang.money.procurement.watch import QUIET
from suanzhang.money.tariff import paid_at_work, prices_by_hour, work_by_hour
from suanzhang.report.jsonable import to_text
from suanzhang.source import Quoted
from suanzhang.spec.buy import ChipCosts, Demand, Need, PurchaseProblem
from suanzhang.spec.job import LoadSpec
from suanzhang.spec.market import LeadTime, Offer
from suanzhang.spec.tariff import HourPrice, HourTariff

QUESTION = """\
title: Own chips by the hour
currency: USD
start: 2023-05
months: 24
site: {id: us-virginia, tariff_per_kwh: 0.2 HOURS}
market: {id: us-2023-04, exclude: [a100-cloud, a100-cloud-1y, a100-cloud-3y, dgx-cloud, h100-cloud, v100-cloud, a100-spot]}
chips: [a100-sxm-80]
serve:
  - name: chat
    model: llama-2-13b
    visits_per_day: 2e6
    tokens: {input: 300, output: 200}
    load: {shape: diurnal, peak_to_mean: 1.9, peak_hour: PEAK}
    start: 2023-09
"""
DEAR_DAYS = ", tariff_by_hour: [{hours: 8-20, price: 0.35}, {hours: 20-8, price: 0.05}]"


def asked(hours="", peak="12"):
    return QUESTION.replace(" HOURS", hours).replace("PEAK", peak)


@given(st.floats(1.0, 2.0), st.floats(0.0, 24.0))
def test_the_shares_of_a_day_are_shares_and_peak_where_they_should(peak_to_mean, peak):
    work = work_by_hour(LoadSpec("diurnal", peak_to_mean, peak_hour=peak))
    assert sum(work) == pytest.approx(1.0)
    assert min(work) >= -1e-12
    if peak_to_mean > 1.1:
        top = max(range(24), key=lambda hour: work[hour]) + 0.5
        assert min(abs(top - peak), 24.0 - abs(top - peak)) <= 0.5 + 1e-9


@given(st.lists(st.floats(0.01, 1.0), min_size=24, max_size=24), st.floats(1.0, 2.0), st.floats(0.0, 24.0))
def test_what_work_pays_lies_between_the_prices_and_flat_work_pays_the_mean(prices, peak_to_mean, peak):
    mean = sum(prices) / 24.0
    assert paid_at_work(prices, work_by_hour(LoadSpec())) == pytest.approx(1.0)
    paid = paid_at_work(prices, work_by_hour(LoadSpec("diurnal", peak_to_mean, peak_hour=peak))) * mean
    assert min(prices) - 1e-9 <= paid <= max(prices) + 1e-9


def test_ranges_may_run_past_midnight_and_leave_hours_to_the_flat_price():
    prices = prices_by_hour((HourPrice(22, 6, 0.1), HourPrice(8, 20, 0.4)), 0.2)
    assert [prices[hour] for hour in (21, 22, 23, 0, 5, 6, 8, 19, 20)] == [0.2, 0.1, 0.1, 0.1, 0.1, 0.2, 0.4, 0.4, 0.2]
    assert _words([hour for hour in range(24) if prices[hour] == 0.1]) == "22-6"
    assert _words([hour for hour in range(24) if prices[hour] == 0.2]) == "6-8, 20-22"


def test_work_of_a_kind_is_that_of_the_jobs_that_may_run_on_it():
    costs = chip_costs(chip("a100-sxm-80"), 15000.0, site("us-virginia"), 12, "USD", 1.0)
    assert with_work_hours(costs, "a100-sxm-80", ()) is costs
    hourly = replace(costs, tariff=HourTariff((0.1,) * 12 + (0.3,) * 12))
    noon, night = (work_by_hour(LoadSpec("diurnal", 2.0, peak_hour=hour)) for hour in (6.0, 18.0))
    early = Demand("a", "serve", (Need("a100-sxm-80", 10.0, 0.5),), work_by_hour=noon)
    late = Demand("b", "serve", (Need("a100-sxm-80", 10.0, 0.5), Need("other", 5.0, 0.5)), work_by_hour=night)
    cheap, dear = (with_work_hours(hourly, "a100-sxm-80", (one,)).work_price for one in (early, late))
    assert cheap < 1.0 < dear
    assert with_work_hours(hourly, "a100-sxm-80", (early, late)).work_price == pytest.approx((cheap + dear) / 2.0)
    train = Demand("c", "train", (Need("a100-sxm-80", 10.0, 1.0, 2.0),))
    assert with_work_hours(hourly, "a100-sxm-80", (train,)).work_price == pytest.approx(1.0)


@pytest.fixture(scope="module")
def plans():
    return {
        name: suanzhang.plan(asked(*how))
        for name, how in {"flat": ("",), "noon": (DEAR_DAYS,), "night": (DEAR_DAYS, "0")}.items()
    }


def test_a_service_that_peaks_at_dear_hours_pays_more(plans):
    power = {name: plan.buy.lines["power"].amount for name, plan in plans.items()}
    assert power["night"] < power["flat"] < power["noon"]
    assert all(plan.buy.schedule[0].action == "buy" for plan in plans.values())
    paid = {name: plan.power[-1].tariff_per_kwh for name, plan in plans.items()}
    assert paid["flat"] == pytest.approx(0.2, rel=1e-4)
    assert paid["night"] < 0.2 < paid["noon"] < 0.35


@pytest.mark.parametrize("name", ["flat", "noon", "night"])
def test_bands_and_months_sum_to_the_power_line_to_the_cent(plans, name):
    bought, pue = plans[name].buy, site("us-virginia").pue.value
    cents = round(100.0 * bought.lines["power"].amount)
    assert sum(round(100.0 * band.cost.amount) for band in bought.energy) == cents
    assert sum(round(100.0 * month.energy_cost) for month in bought.months) == cents
    drawn = sum(month.energy_j for month in bought.months)
    assert sum(band.energy_j for band in bought.energy) == pytest.approx(drawn, rel=1e-4)
    for band in bought.energy:
        assert band.overhead_cost.amount == pytest.approx(band.cost.amount * (1.0 - 1.0 / pue))
        assert band.cost.amount == pytest.approx(band.energy_j / 3.6e6 * band.price_per_kwh, abs=0.05 * len(bought.months))
    assert sum(round(100 * row.cost.amount) for row in bought.schedule) == round(100 * bought.cost.amount)


def test_the_hours_stand_in_what_explain_says(plans):
    found = list(givens_of(suanzhang.explain(json.loads(to_text(plans["noon"]))).trees))
    assert {given.name for given in found} >= {"tariff, 8-20", "tariff, 20-8"}


@pytest.mark.parametrize(
    ("hours", "says"),
    [
        (", tariff_by_hour: [{hours: 8-25, price: 1}]", "8-22"),
        (", tariff_by_hour: [{hours: 8-20, price: 1}, {hours: 19-21, price: 2}]", "two prices"),
        (", tariff_by_hour: [{hour: 8-20, price: 1}]", "hours"),
    ],
)
def test_hours_that_cannot_be_are_one_line(hours, says):
    with pytest.raises(InputError) as caught:
        suanzhang.plan(asked(hours))
    assert says in f"{caught.value.message}; {caught.value.fix}"


def test_one_price_for_all_hours_is_the_flat_tariff():
    body = {
        "currency": "USD", "start": "2023-05", "months": 3, "market": "us-2023-04",
        "site": {"tariff_by_hour": [{"hours": "0-24", "price": 0.2}]},
        "train": [{"name": "a", "model": "llama-2-7b", "tokens": 1e9}],
    }  # fmt: skip
    assert question_from(body).site.tariff_by_hour == (HourPrice(0, 24, 0.2),)


def test_a_kind_pays_for_the_jobs_that_the_plan_puts_on_it():
    """A training may run on either kind and goes to the cheap one; a service has only the other: its curve alone counts."""
    now, tariff = LeadTime(0.0, 0.0, "test", "assumed"), HourTariff((0.1,) * 12 + (0.5,) * 12)

    def offer(name, price):
        return Offer(name, "buy", name, Quoted(price, "USD/chip", "test", "assumed", "2026-01"), True, 0, now)

    def kind(name):
        return ChipCosts(name, *(0.0,) * 7, 100.0, 900.0, 900.0, 0.3, 1.2, (0.8,) * 7, tariff=tariff)

    late = work_by_hour(LoadSpec("diurnal", 2.0, peak_hour=18.0))
    chat = Demand("chat", "serve", (Need("dear", 10.0, 0.5),), work_by_hour=late)
    tune = Demand("tune", "train", (Need("dear", 10.0, 1.0, 2.0), Need("cheap", 10.0, 1.0, 2.0)))
    demands = (chat, tune)
    costs = {name: with_work_hours(kind(name), name, demands) for name in ("dear", "cheap")}
    problem = PurchaseProblem(demands, (offer("dear", 9000.0), offer("cheap", 100.0)), costs, 6, "2026-01", "USD")
    alone = paid_at_work(tariff.prices, late)
    assert 1.0 < costs["dear"].work_price < alone - 0.01
    found = settled(problem, QUIET)
    assert found.costs["dear"].work_price == pytest.approx(alone)
    assert found.costs["cheap"].work_price == pytest.approx(1.0)
    plan = solve(found)
    idle = 10 * 6 * 730.5 * 0.1 * 1.2
    busy = 10 * 6 * 730.5 * 0.8 * 1.2 * 0.5
    power = sum(amount for row in plan.rows if row.chip == "dear" for name, amount in row.lines if name == "power")
    assert power == pytest.approx(0.3 * (idle + busy * alone), abs=0.1)
    assert settled(replace(problem, demands=(chat,)), QUIET).costs is costs
