"""Scenarios of prices, bills, rent and power."""

from __future__ import annotations

import math

from suanzhang.app.scenario_inputs import Inputs
from suanzhang.app.scenarios import Answer, scenario, significant
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.currency import rate
from suanzhang.catalog.markets import market as find_market
from suanzhang.catalog.sites import site as find_site
from suanzhang.errors import InputError
from suanzhang.money.costs import OwnershipTerms, chip_costs, chip_hour_lines
from suanzhang.money.depreciation import resale_curve
from suanzhang.money.economics import break_even, chips_of_response_cost, substitute_cost
from suanzhang.money.figures import figure
from suanzhang.money.power import read_bill
from suanzhang.money.procurement.calendar import HOURS_PER_MONTH
from suanzhang.spec.buy import ChipCosts
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.market import Market, Offer
from suanzhang.spec.result import Interval
from suanzhang.units import DAY_S, J_PER_KWH, MONTH_S, YEAR_S, format_count, format_figure

DAYS_PER_YEAR = YEAR_S / DAY_S
MONTHS_PER_YEAR = 12.0


def change_words(before: float, after: float) -> str:
    """A change in words, its two figures with as many digits as the change needs.

    Example:
        >>> change_words(1.70, 2.35)
        '1.70 to 2.35 is +38 %.'
    """
    percent = 100.0 * (after / before - 1.0)
    size = f"{percent:+.0f}" if abs(percent) >= 10.0 else f"{percent:+.1f}"
    return f"{significant(before, 3)} to {significant(after, 3)} is {size} %."


@scenario("change")
def change(inputs: Inputs) -> Answer:
    """Relative change between two prices: inputs from, to; answers fraction."""
    before, after = inputs.number("from"), inputs.number("to")
    return {"fraction": after / before - 1.0, "explanation": change_words(before, after)}


@scenario("ratio")
def ratio(inputs: Inputs) -> Answer:
    """Share of a part in a whole: inputs part, whole; answers fraction."""
    return {"fraction": inputs.number("part") / inputs.number("whole")}


@scenario("product")
def product(inputs: Inputs) -> Answer:
    """Product of factors: inputs factors (a list); answers product."""
    factors = inputs.raw("factors")
    if not isinstance(factors, list) or not all(isinstance(f, (int, float)) and not isinstance(f, bool) for f in factors):
        raise InputError(f"{inputs.where}: factors must be a list of numbers", fix="write for example [3000, 8]")
    return {"product": math.prod(float(factor) for factor in factors)}


@scenario("bill")
def bill(inputs: Inputs) -> Answer:
    """Price of a number of chips: inputs chips, price_per_chip, currency, date; answers amount and amount_with_hosts."""
    chips, currency = inputs.number("chips"), inputs.text("currency", "CNY")
    amount = chips * inputs.number("price_per_chip")
    host = figure("host_per_chip").value * rate("USD", currency, inputs.text("date", "2023-04")).value
    whole = amount + chips * host
    return {
        "amount": amount,
        "amount_with_hosts": whole,
        "explanation": f"With {host:,.0f} {currency} of server for each chip it is {format_figure(whole, currency)}.",
    }


@scenario("electricity")
def electricity(inputs: Inputs) -> Answer:
    """What a monthly bill buys: inputs bill, currency, site, chip, residential_kwh_per_person_year, tariff_per_kwh;
    answers energy_j, energy_gwh, residents, chips_at_nameplate, chips_as_measured, carbon_kg."""
    where = find_site(inputs.text("site"))
    tariff = inputs.number("tariff_per_kwh", "count", where.tariff_per_kwh.value)
    currency = inputs.text("currency", "USD")
    if not where.tariff_per_kwh.unit.startswith(currency):
        raise InputError(
            f"{inputs.where}: the tariff of {where.id} is in {where.tariff_per_kwh.unit}",
            fix=f"name a site priced in {currency}",
        )
    reading = read_bill(
        inputs.number("bill"), tariff, where.pue.value, find_chip(inputs.text("chip")), where.carbon_kg_per_kwh.value
    )
    kwh = reading.energy_j / J_PER_KWH
    per_person = inputs.number("residential_kwh_per_person_year")
    return {
        "energy_j": reading.energy_j,
        "energy_gwh": kwh / 1e6,
        "residents": kwh / (per_person / MONTHS_PER_YEAR),
        "chips_at_nameplate": reading.chips_nameplate,
        "chips_as_measured": reading.chips_measured.p50,
        "chips_as_measured_interval": reading.chips_measured,
        "carbon_kg": reading.carbon_kg,
        "explanation": (
            f"At {tariff:.3f} {where.tariff_per_kwh.unit} the bill buys {kwh / 1e6:.1f} GWh: "
            f"{format_count(reading.chips_nameplate)} chips at nameplate draw, {format_count(reading.chips_measured.p50)} "
            f"({format_count(reading.chips_measured.p05)} to {format_count(reading.chips_measured.p95)}) at the draw that real "
            "clusters show."
        ),
    }


@scenario("traffic-bill")
def traffic_bill(inputs: Inputs) -> Answer:
    """What a cost per response adds up to: inputs cost_per_response, visits_per_day, chip, market, currency;
    answers per_day, per_month, per_year, rent_per_chip_h, chips_rented."""
    cost, visits = inputs.number("cost_per_response"), inputs.number("visits_per_day")
    currency = inputs.text("currency")
    rent = rent_per_chip_h(find_market(inputs.text("market")), find_chip(inputs.text("chip")).id, currency)
    chips = chips_of_response_cost(cost, visits / DAY_S, rent)
    return {
        "per_day": cost * visits,
        "per_month": cost * visits * DAYS_PER_YEAR / MONTHS_PER_YEAR,
        "per_year": cost * visits * DAYS_PER_YEAR,
        "rent_per_chip_h": rent,
        "chips_rented": chips,
        "explanation": f"At {rent:.1f} {currency} per chip-hour that money rents {format_count(chips)} chips all year.",
    }


@scenario("substitute")
def substitute(inputs: Inputs) -> Answer:
    """Price at which slower chips cost so much more in all: inputs relative_performance, extra_cost, capital_share;
    answers price_ratio and chips_ratio."""
    share = inputs.number("capital_share", "fraction", 1.0)
    found = substitute_cost(
        inputs.number("relative_performance", "fraction"), 1.0, share, 1.0 + inputs.number("extra_cost", "fraction")
    )
    return {
        "price_ratio": found.price_for_ratio,
        "chips_ratio": found.chips_ratio,
        "explanation": (
            f"{found.chips_ratio:.2f} such chips replace one; at the same price they would cost {found.cost_ratio:.0%} of it."
        ),
    }


@scenario("idle")
def idle(inputs: Inputs) -> Answer:
    """Worth that a chip loses while it lies idle: inputs chip, months; answers loss_fraction with its interval."""
    chip, months = find_chip(inputs.text("chip")), inputs.number("months")
    curve = resale_curve(chip.id)
    years = months / MONTHS_PER_YEAR
    kept = curve.factor_per_year**years
    general = figure("price_change_per_year")
    low, high = sorted(1.0 - min(kept, (1.0 + change_) ** years) for change_ in (general.low, general.high))
    return {
        "loss_fraction": 1.0 - kept,
        "loss_fraction_interval": Interval(min(low, 1.0 - kept), 1.0 - kept, max(high, 1.0 - kept)),
        "explanation": (
            f"Used chips of the family {curve.family} kept {kept:.0%} of their price over such a time ({curve.grade}); "
            "the price of the capital and the room come on top."
        ),
    }


@scenario("rent-or-buy")
def rent_or_buy(inputs: Inputs) -> Answer:
    """Rent against buying: inputs chip, market, rent_per_month for chips (or the market's rent), rent_cut, life_months;
    answers rent_per_chip_h, break_even_months, break_even_utilisation, break_even_shift, break_even_after_cut."""
    market, chip = find_market(inputs.text("market")), find_chip(inputs.text("chip"))
    currency = market.currency
    if inputs.has("rent_per_month"):
        rent = inputs.number("rent_per_month") / inputs.number("chips") / HOURS_PER_MONTH
    else:
        rent = rent_per_chip_h(market, chip.id, currency)
    life = inputs.number("life_months", "count", 48.0)
    price, costs = own_costs(market, chip, int(life))
    upfront = price + costs.host + costs.network + costs.storage
    run = running_per_month(costs)
    left = price * costs.resale[-1]
    cut = inputs.number("rent_cut", "fraction", 1e-12)
    full = break_even(upfront, run, rent, life, left)
    after = break_even(upfront, run, rent * (1.0 - cut), life, left)
    return {
        "rent_per_chip_h": rent,
        "break_even_months": full.month,
        "break_even_utilisation": full.utilisation,
        "break_even_shift": after.utilisation / full.utilisation,
        "break_even_after_cut": after.utilisation,
        "explanation": (
            f"The rent is {rent:.2f} {currency} per chip-hour; owning costs {upfront:,.0f} {currency} at once and {run:,.0f} a "
            f"month, so it pays above {full.utilisation:.0%} use over {life:.0f} months."
        ),
    }


@scenario("beyond-the-chip")
def beyond_the_chip(inputs: Inputs) -> Answer:
    """Share of all but the chip in the cost of an owned one: inputs chip, market, months; answers share_beyond_chip."""
    market, chip = find_market(inputs.text("market")), find_chip(inputs.text("chip"))
    months = inputs.number("months")
    price, costs = own_costs(market, chip, int(months))
    terms = OwnershipTerms(months, 1.0, figure("interest_per_year").value, costs.resale[-1], figure("tax_shield").value)
    lines = chip_hour_lines(price, costs, terms)
    total = sum(lines.values())
    beyond = 1.0 - lines["chips"] / total
    largest = sorted((name for name in lines if name != "chips"), key=lambda name: -lines[name])[:3]
    words = ", ".join(f"{name} {lines[name] / total:.0%}" for name in largest)
    return {"share_beyond_chip": beyond, "per_chip_h": total, "explanation": f"Largest beside the chip: {words}."}


def rent_per_chip_h(market: Market, chip: str, currency: str) -> float:
    """On-demand rent of a chip on a market, in a currency at the market's date.

    Raises:
        InputError: the market lets no such chip.
    """
    return _price(_first(market, chip, ("rent", "reserve")), market, currency)


def own_costs(market: Market, chip: ChipSpec, months: int) -> tuple[float, ChipCosts]:
    """Purchase price of a chip on a market and what it costs beside, in the market's currency at its usual site."""
    price = _price(_first(market, chip.id, ("buy",)), market, market.currency)
    place = find_site({"CN": "cn-east", "US": "us-virginia"}[market.region])
    per_usd = rate("USD", market.currency, market.date).value
    return price, chip_costs(chip, price, place, months, market.currency, per_usd)


def running_per_month(costs: ChipCosts) -> float:
    """Room, upkeep, staff and the energy of a busy chip, per month."""
    energy = costs.busy_w * costs.pue * MONTH_S / J_PER_KWH * costs.energy_per_kwh
    return costs.room + costs.spares + costs.support + costs.staff + energy


def _first(market: Market, chip: str, kinds: tuple[str, ...]) -> Offer:
    for kind in kinds:
        for offer in market.offers:
            if offer.chip == chip and offer.kind == kind:
                return offer
    raise InputError(f"market {market.id} has no offer to {kinds[0]} {chip}", fix=f"see `suanzhang catalog offers {market.id}`")


def _price(offer: Offer, market: Market, currency: str) -> float:
    given = offer.price.unit.partition("/")[0]
    return offer.price.value * rate(given, currency, offer.price.date or market.date).value
