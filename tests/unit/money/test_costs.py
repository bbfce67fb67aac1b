"""Costs, power, resale, currency and markets against figures that were worked or read elsewhere."""

import doctest
import importlib
import math

import pytest

from suanzhang.app.buy import chip_price
from suanzhang.catalog.chips import chip, chips
from suanzhang.catalog.currency import convert, rate
from suanzhang.catalog.markets import market, market_sources, markets, price_history
from suanzhang.catalog.models import models
from suanzhang.catalog.quoted_yaml import read_quoted
from suanzhang.catalog.sites import site, sites
from suanzhang.catalog.sources import source
from suanzhang.errors import CatalogError, InputError, OutOfDomain
from suanzhang.money import costs as money_costs
from suanzhang.money import figures as money_figures
from suanzhang.money.depreciation import resale_curve, resale_path
from suanzhang.money.economics import break_even, chips_of_response_cost
from suanzhang.money.figures import figures
from suanzhang.money.power import chip_draw, energy_of_bill_j, read_bill
from suanzhang.spec.buy import ChipCosts
from suanzhang.spec.result import Money

MODULES = ("annuity", "costs", "depreciation", "economics", "network", "power", "tariff", "tax")


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_the_formulas_hold(name):
    result = doctest.testmod(importlib.import_module(f"suanzhang.money.{name}"))
    assert result.failed == 0
    assert name in ("costs",) or result.attempted > 0


def test_hour_of_an_h100_server_worked_by_hand():
    each = 307000.0 / 8.0
    watts = 0.75 * 10200.0 / 8.0
    table = ChipCosts("h100", 0.0, 0.0, 0.0, 0.0, 0.0, 0.05 * 285000.0 / 8.0 / 12.0, 0.0, watts, watts, watts, 0.08, 1.25, ())
    lines = money_costs.chip_hour_lines(each, table, money_costs.OwnershipTerms(60.0, 1.0, 0.0, 0.0))
    assert sum(lines.values()) == pytest.approx(1.17, abs=0.01)
    borrowed = money_costs.chip_hour_lines(each, table, money_costs.OwnershipTerms(60.0, 1.0, 0.12, 0.0))
    assert borrowed["finance"] == pytest.approx(0.29, abs=0.05)
    half = money_costs.chip_hour_lines(each, table, money_costs.OwnershipTerms(60.0, 0.5, 0.0, 0.0))
    assert sum(half.values()) == pytest.approx(2.0 * sum(lines.values()))


def test_break_even_use_against_a_one_year_rent():
    capital, run = 307000.0 / 8.0, (1.17 + 0.35) * 730.5 - 307000.0 / 8.0 / 60.0
    assert break_even(capital, run, 2.35, 60.0).utilisation == pytest.approx(0.65, abs=0.01)


def test_a_line_can_be_edited_and_a_wrong_name_is_refused():
    table = ChipCosts("x", 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.1, 1.2, ())
    terms = money_costs.OwnershipTerms(60.0, 1.0, 0.0, 0.0)
    assert money_costs.chip_hour_lines(1.0, table, terms, {"staff": 2.0})["staff"] == 2.0
    with pytest.raises(InputError):
        money_costs.chip_hour_lines(1.0, table, terms, {"stuff": 2.0})
    assert money_costs.edited(table, staff=9.0).sources["staff"].source == "user"
    with pytest.raises(InputError):
        money_costs.edited(table, staff=-1.0)


def test_a_monthly_bill_of_two_million_dollars():
    place = site("us-virginia")
    bill = read_bill(2e6, 0.09, place.pue.value, chip("a100-sxm-80"), place.carbon_kg_per_kwh.value)
    assert bill.energy_j / 3.6e12 == pytest.approx(22.2, abs=0.1)
    assert 25000 < bill.chips_nameplate < 36000
    assert 1.7 < bill.chips_measured.p50 / bill.chips_nameplate < 2.3
    assert bill.chips_measured.p05 < bill.chips_measured.p50 < bill.chips_measured.p95
    with pytest.raises(OutOfDomain):
        energy_of_bill_j(2e6, 0.0)


def test_nameplate_is_never_the_draw():
    draw = chip_draw(chip("a100-sxm-80"))
    assert draw.idle_w < draw.fleet_w.p50 < draw.busy_w < draw.peak_w < draw.nameplate_w


def test_resale_is_not_one_line():
    v100, rtx = resale_curve("v100-sxm2-32"), resale_curve("rtx4090-24")
    assert v100.factor_per_year ** (27 / 12) == pytest.approx(0.26, abs=0.005)
    assert rtx.factor_per_year > 1.0
    assert resale_curve("ascend-910a").grade == "assumed"
    assert resale_path("v100-sxm2-32", 12)[12] < resale_path("a800-sxm-80", 12)[12]


def test_response_at_five_fen_rents_over_a_hundred_thousand_chips():
    assert chips_of_response_cost(0.05, 1e9 / 86400.0, 19.2) > 100_000


def test_recorded_rates():
    for date, value in (("2023-04-14", 6.852), ("2023-10-17", 7.313), ("2026-01-05", 6.985)):
        assert rate("USD", "CNY", date).value == pytest.approx(value, abs=5e-4)
    assert rate("CNY", "USD", "2023-04-14").value == pytest.approx(1.0 / 6.852, rel=1e-4)
    between = rate("USD", "CNY", "2023-04-20").value
    ends = sorted((rate("USD", "CNY", "2023-04-14").value, rate("USD", "CNY", "2023-05-02").value))
    assert ends[0] <= between <= ends[1]


def test_no_rate_is_an_error():
    with pytest.raises(InputError):
        rate("USD", "XYZ", "2023-04-14")
    with pytest.raises(InputError):
        rate("USD", "CNY", "1999-01-01")
    with pytest.raises(InputError):
        rate("USD", "CNY", "April")
    with pytest.raises(InputError):
        Money(1.0, "USD", "2023-04") + Money(1.0, "CNY", "2023-04")
    assert convert(Money(100.0, "USD", "2023-04-14"), "CNY").amount == pytest.approx(685.2, abs=0.1)


def test_offers_name_known_chips_and_carry_their_origin():
    known = set(chips())
    for where in markets().values():
        for offer in where.offers:
            assert offer.chip in (set(models()) if offer.kind == "api" else known), offer.id
            assert offer.price.value > 0.0
            assert offer.price.source in market_sources()
            assert offer.price.date
            assert source(offer.price.source)
            assert offer.lead.p90_months >= offer.lead.median_months


def test_spring_2023_in_china():
    offers = {offer.id: offer for offer in market("cn-2023-04").offers}
    assert offers["a100-stock"].stock_chips == 30000
    assert offers["a100-stock"].price.value == 100000
    assert offers["a800-order"].lead.median_months >= 3.0
    assert 80000 <= offers["a800-order"].price.value <= 110000
    assert offers["h800-order"].first_month == "2023-06"
    assert "h100-sxm-80" in market("cn-2023-04").excluded
    assert offers["v100-cloud"].price.value / offers["a100-cloud"].price.value == pytest.approx(2 / 3, abs=0.01)
    dgx = next(offer for offer in market("us-2023-04").offers if offer.id == "dgx-cloud")
    assert dgx.price.value * 8 * 730 == pytest.approx(36999.0, rel=0.01)


def test_recorded_paths_hold_the_points_of_the_tests():
    points = {(point.series, point.price.date): point.price.value for point in price_history()}
    assert points["a100-sxm-80/rent/world", "2023-10"] == 2.52
    assert points["h100-sxm-80/rent/world", "2024-11"] == 2.99
    assert points["h100-sxm-80/reserve/world", "2026-03"] == 2.35
    assert points["v100-sxm2-32/buy/world", "2025-07"] == 2249.0
    rise = points["a100-sxm-80/buy/CN", "2023-04"] / points["a100-sxm-80/buy/CN", "2022-12"]
    assert rise == pytest.approx(1.375, abs=0.005)


def test_unknown_names_and_values_without_origin_are_refused():
    with pytest.raises(CatalogError, match="cn-2023-04"):
        market("cn-2023-4")
    with pytest.raises(CatalogError):
        site("cn-est")
    with pytest.raises(CatalogError):
        read_quoted({"value": 1.0, "unit": "1", "source": "", "grade": "assumed", "date": "2023"}, "here", {})
    for item in figures().values():
        assert item.low <= item.value <= item.high
    assert all(math.isfinite(place.pue.value) and place.pue.value >= 1.0 for place in sites().values())


def test_taxes_give_back_their_share_of_every_line_of_a_chip_hour():
    own = money_costs
    costs = own.chip_costs(chip("h100-sxm-80"), 30000.0, site("us-virginia"), 48, "USD", 1.0)
    terms = (own.OwnershipTerms(48.0, 0.7, 0.06, 0.3, rate) for rate in (0.0, 0.21))
    plain, taxed = (own.chip_hour_lines(30000.0, costs, one) for one in terms)
    assert {name: taxed[name] / plain[name] for name in plain} == pytest.approx(dict.fromkeys(plain, 0.79))


def test_a_chip_costs_the_same_in_a_purchase_and_in_a_claim():
    us = market("us-2023-04")
    offer = next(one for one in us.offers if one.id == "a100-order")
    host = money_figures.figure("host_per_chip").value
    bought = chip_price(offer.chip, (offer,), 7.0)
    assert bought == money_costs.without_server(offer, offer.price.value, 7.0)
    assert bought == max(offer.price.value - 7.0 * host, offer.price.value / 2.0) < offer.price.value
