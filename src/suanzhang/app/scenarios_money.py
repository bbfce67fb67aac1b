"""Scenarios of prices, bills, rent and power."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from suanzhang.app.scenario_draws import by_grade, drawn_pue, figure_draws, over_figures, spread_of
from suanzhang.app.scenario_inputs import Inputs, dated
from suanzhang.app.scenario_owning import Owning, owning, owning_draws, rent_draws, rent_per_chip_h, resale_error
from suanzhang.app.scenarios import Answer, scenario, significant
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.currency import last_day, rate
from suanzhang.catalog.markets import market as find_market
from suanzhang.catalog.sites import site as find_site
from suanzhang.errors import InputError
from suanzhang.money.costs import OwnershipTerms, chip_hour_lines
from suanzhang.money.depreciation import resale_curve
from suanzhang.money.economics import break_even, chips_of_response_cost, substitute_cost
from suanzhang.money.figures import figure
from suanzhang.money.power import read_bill
from suanzhang.money.procurement.calendar import HOURS_PER_MONTH
from suanzhang.spec.draws import DRAWS, Floats
from suanzhang.units import DAY_S, J_PER_KWH, YEAR_S, format_count, format_figure

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
    return {"fraction": after / before - 1.0, "explanation": change_words(before, after), "exact": ("fraction",)}


@scenario("ratio")
def ratio(inputs: Inputs) -> Answer:
    """Share of a part in a whole: inputs part, whole; answers fraction."""
    return {"fraction": inputs.number("part") / inputs.number("whole"), "exact": ("fraction",)}


@scenario("product")
def product(inputs: Inputs) -> Answer:
    """Product of factors: inputs factors (a list); answers product."""
    factors = inputs.raw("factors")
    if not isinstance(factors, list) or not all(isinstance(f, (int, float)) and not isinstance(f, bool) for f in factors):
        raise InputError(f"{inputs.where}: factors must be a list of numbers", fix="write for example [3000, 8]")
    return {"product": math.prod(float(factor) for factor in factors), "exact": ("product",)}


@scenario("bill")
def bill(inputs: Inputs) -> Answer:
    """Price of a number of chips: inputs chips, price_per_chip, currency, date; answers amount and amount_with_hosts."""
    chips, currency = inputs.number("chips"), inputs.text("currency", "CNY")
    amount = chips * inputs.number("price_per_chip")
    date = dated(inputs) if inputs.has("date") or inputs.has("market") else last_day()
    host = figure("host_per_chip").value * rate("USD", currency, date).value
    whole = amount + chips * host
    return {
        "amount": amount,
        "amount_with_hosts": whole,
        "amount_with_hosts_interval": spread_of(
            whole, amount + chips * host * figure_draws("host_per_chip") / figure("host_per_chip").value
        ),
        "exact": ("amount",),
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
    bill, chip, stated = inputs.number("bill"), find_chip(inputs.text("chip")), inputs.has("tariff_per_kwh")
    reading = read_bill(bill, tariff, where.pue.value, chip, where.carbon_kg_per_kwh.value)
    kwh = reading.energy_j / J_PER_KWH
    tariffs = tariff * (np.ones(DRAWS) if stated else by_grade(where.tariff_per_kwh, f"tariff {where.id}"))
    overhead, carbon = drawn_pue(where), by_grade(where.carbon_kg_per_kwh, f"carbon {where.id}")
    nameplate = np.empty(DRAWS)

    def measured_in(index: int) -> float:
        drawn = read_bill(bill, float(tariffs[index]), float(overhead[index]), chip, where.carbon_kg_per_kwh.value)
        nameplate[index] = drawn.chips_nameplate
        return drawn.chips_measured.p50

    measured = over_figures(("server_over_chip_power", "fleet_draw"), measured_in)
    cheaper = tariff / tariffs
    exact = ("energy_j", "energy_gwh", "residents") if stated else ()
    per_person = inputs.number("residential_kwh_per_person_year")
    residents = kwh / (per_person / MONTHS_PER_YEAR)
    return {
        "energy_j": reading.energy_j,
        "energy_j_interval": spread_of(reading.energy_j, reading.energy_j * cheaper),
        "energy_gwh": kwh / 1e6,
        "energy_gwh_interval": spread_of(kwh / 1e6, kwh / 1e6 * cheaper),
        "residents": residents,
        "residents_interval": spread_of(residents, residents * cheaper),
        "chips_at_nameplate": reading.chips_nameplate,
        "chips_at_nameplate_interval": spread_of(reading.chips_nameplate, nameplate),
        "chips_as_measured": reading.chips_measured.p50,
        "chips_as_measured_interval": spread_of(reading.chips_measured.p50, measured),
        "carbon_kg": reading.carbon_kg,
        "carbon_kg_interval": spread_of(reading.carbon_kg, reading.carbon_kg * carbon * cheaper),
        "exact": exact,
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
    market, chip = find_market(inputs.text("market")), find_chip(inputs.text("chip"))
    rent, rents = rent_per_chip_h(market, chip.id, currency), rent_draws(market, chip.id)
    chips = chips_of_response_cost(cost, visits / DAY_S, rent)
    return {
        "per_day": cost * visits,
        "per_month": cost * visits * DAYS_PER_YEAR / MONTHS_PER_YEAR,
        "per_year": cost * visits * DAYS_PER_YEAR,
        "rent_per_chip_h": rent,
        "rent_per_chip_h_interval": spread_of(rent, rent * rents),
        "chips_rented": chips,
        "chips_rented_interval": spread_of(chips, chips / rents),
        "exact": ("per_day", "per_month", "per_year"),
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
        "exact": ("price_ratio", "chips_ratio"),
        "explanation": (
            f"{found.chips_ratio:.2f} such chips replace one; at the same price they would cost {found.cost_ratio:.0%} of it."
        ),
    }


@scenario("idle")
def idle(inputs: Inputs) -> Answer:
    """Worth that a chip loses while it lies idle: inputs chip, months; answers loss_fraction with its interval."""
    chip, months = find_chip(inputs.text("chip")), inputs.number("months")
    curve, years = resale_curve(chip.id), months / MONTHS_PER_YEAR
    kept = curve.factor_per_year**years
    general = over_figures(("price_change_per_year",), lambda _: resale_curve(chip.id).factor_per_year)
    drawn = (general * resale_error(curve)) ** years
    return {
        "loss_fraction": 1.0 - kept,
        "loss_fraction_interval": spread_of(1.0 - kept, 1.0 - drawn),
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
    currency, stated = market.currency, inputs.has("rent_per_month")
    if stated:
        rent = inputs.number("rent_per_month") / inputs.number("chips") / HOURS_PER_MONTH
    else:
        rent = rent_per_chip_h(market, chip.id, currency)
    life = inputs.number("life_months", "count", 48.0)
    cut = inputs.number("rent_cut", "fraction", 1e-12)
    own = owning(market, chip, int(life))
    full, after = (break_even(own.upfront, own.run, price, life, own.left) for price in (rent, rent * (1.0 - cut)))
    rents = rent * (np.ones(DRAWS) if stated else rent_draws(market, chip.id))
    drawn = owning_draws(market, chip, int(life))
    now, then = (_break_evens(drawn, prices, life) for prices in (rents, rents * (1.0 - cut)))
    return {
        "rent_per_chip_h": rent,
        "rent_per_chip_h_interval": spread_of(rent, rents),
        "break_even_months": full.month,
        "break_even_months_interval": spread_of(full.month, now[0]),
        "break_even_utilisation": full.utilisation,
        "break_even_utilisation_interval": spread_of(full.utilisation, now[1]),
        "break_even_shift": after.utilisation / full.utilisation,
        "break_even_after_cut": after.utilisation,
        "break_even_after_cut_interval": spread_of(after.utilisation, then[1]),
        "exact": ("break_even_shift", "rent_per_chip_h") if stated else ("break_even_shift",),
        "explanation": (
            f"The rent is {rent:.2f} {currency} per chip-hour; owning costs {own.upfront:,.0f} {currency} at once and "
            f"{own.run:,.0f} a month, so it pays above {full.utilisation:.0%} use over {life:.0f} months."
        ),
    }


def _break_evens(drawn: Sequence[Owning], rents: Floats, life: float) -> tuple[Floats, Floats]:
    """Month and use of break-even in each draw."""
    found = [break_even(own.upfront, own.run, float(rent), life, own.left) for own, rent in zip(drawn, rents, strict=True)]
    return np.array([one.month for one in found]), np.array([one.utilisation for one in found])


@scenario("beyond-the-chip")
def beyond_the_chip(inputs: Inputs) -> Answer:
    """Share of all but the chip in the cost of an owned one: inputs chip, market, months; answers share_beyond_chip."""
    market, chip = find_market(inputs.text("market")), find_chip(inputs.text("chip"))
    months = inputs.number("months")
    lines = chip_lines(owning(market, chip, int(months)), months)
    total = sum(lines.values())
    beyond = 1.0 - lines["chips"] / total
    largest = sorted((name for name in lines if name != "chips"), key=lambda name: -lines[name])[:3]
    words = ", ".join(f"{name} {lines[name] / total:.0%}" for name in largest)
    drawn = [
        chip_lines(own, months, rate)
        for own, rate in zip(owning_draws(market, chip, int(months)), figure_draws("interest_per_year"), strict=True)
    ]
    totals = np.array([sum(one.values()) for one in drawn])
    return {
        "share_beyond_chip": beyond,
        "share_beyond_chip_interval": spread_of(
            beyond, np.minimum(1.0 - np.array([one["chips"] for one in drawn]) / totals, 1.0)
        ),
        "per_chip_h": total,
        "per_chip_h_interval": spread_of(total, totals),
        "explanation": f"Largest beside the chip: {words}.",
    }


def chip_lines(own: Owning, months: float, interest: float | None = None) -> Mapping[str, float]:
    """Cost lines of a chip-hour of an owned chip that always works."""
    rate = figure("interest_per_year").value if interest is None else float(interest)
    terms = OwnershipTerms(months, 1.0, rate, own.costs.resale[-1], figure("tax_shield").value)
    return chip_hour_lines(own.price, own.costs, terms)
