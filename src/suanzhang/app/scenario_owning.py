"""What owning a chip costs on a market, and what renting it does: as expected, and drawn over what nobody knows better."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from suanzhang.app.scenario_draws import (
    COST_FIGURES,
    by_grade,
    drawn_pue,
    grade_factor,
    over_figures,
    price_draws,
)
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.currency import rate
from suanzhang.catalog.markets import market as find_market
from suanzhang.catalog.sites import site as find_site
from suanzhang.errors import InputError
from suanzhang.money.costs import chip_costs, without_server
from suanzhang.money.depreciation import ResaleCurve
from suanzhang.source import Quoted
from suanzhang.spec.buy import ChipCosts
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.draws import Floats, standard_normal, two_piece_lognormal
from suanzhang.spec.market import Market, Offer, Site
from suanzhang.units import J_PER_KWH, MONTH_S

RENTED = ("rent", "reserve")
"""Kinds of offer that let a chip by the hour."""


@dataclass(frozen=True, slots=True)
class Owning:
    """An owned chip.

    Args:
        price: of the chip alone.
        costs: what it costs beside.
    """

    price: float
    costs: ChipCosts

    @property
    def upfront(self) -> float:
        """What is paid at once."""
        return self.price + self.costs.host + self.costs.network + self.costs.storage

    @property
    def run(self) -> float:
        """Room, upkeep, staff and the energy of a busy chip, per month."""
        costs = self.costs
        energy = costs.busy_w * costs.pue * MONTH_S / J_PER_KWH * costs.energy_per_kwh
        return costs.room + costs.spares + costs.support + costs.staff + energy

    @property
    def left(self) -> float:
        """What the chip fetches at the end."""
        return self.price * self.costs.resale[-1]


def owning(market: Market, chip: ChipSpec, months: int) -> Owning:
    """An owned chip on a market, in its currency, at its usual site.

    Raises:
        InputError: the market sells no such chip.
    """
    offer = offer_of(market, chip.id, ("buy",))
    per_usd = rate("USD", market.currency, market.date).value
    price = without_server(offer, _price(offer, market, market.currency), per_usd)
    return Owning(price, chip_costs(chip, price, _place(market), months, market.currency, per_usd))


def owning_draws(market: Market, chip: ChipSpec, months: int) -> tuple[Owning, ...]:
    """An owned chip in each draw.

    Model:
        Drawn are the price over the offers seen or its grade, each cost figure over its range, tariff, overhead and room of
        the site by their grades, and what used chips fetch: a random walk round the curve of the family, as wide in a year
        as the prices of the market move.
    """
    return _owning_draws(market.id, chip.id, months)


@cache
def _owning_draws(market_id: str, chip_id: str, months: int) -> tuple[Owning, ...]:
    market, chip = find_market(market_id), find_chip(chip_id)
    offer = offer_of(market, chip.id, ("buy",))
    price, prices = _price(offer, market, market.currency), price_draws(offer, market)
    per_usd, place = rate("USD", market.currency, market.date).value, _drawn_places(_place(market))
    worth = _walk(market)
    found: list[Owning] = []

    def one(index: int) -> float:
        now = without_server(offer, price * float(prices[index]), per_usd)
        costs = chip_costs(chip, now, place(index), months, market.currency, per_usd)
        aged = tuple(
            share * math.exp(math.sqrt(month / 12.0) * float(worth[index])) for month, share in enumerate(costs.resale)
        )
        found.append(Owning(now, replace(costs, resale=aged)))
        return now

    over_figures(COST_FIGURES, one)
    return tuple(found)


def _walk(market: Market) -> Floats:
    """Logarithm by which prices have moved after a year, drawn."""
    sigma = market.price_sigma_per_year
    return (0.0 if sigma is None else sigma.value) * standard_normal("prices of used chips")


def resale_error(curve: ResaleCurve) -> Floats:
    """True over recorded yearly factor of used prices, drawn by the grade of the curve."""
    return two_piece_lognormal(grade_factor(curve.grade), standard_normal(f"resale of {curve.family}"))


def rent_per_chip_h(market: Market, chip: str, currency: str) -> float:
    """On-demand rent of a chip on a market, in a currency at the market's date.

    Raises:
        InputError: the market lets no such chip.
    """
    return _price(offer_of(market, chip, RENTED), market, currency)


def rent_draws(market: Market, chip: str) -> Floats:
    """Rents that could have been met over :func:`rent_per_chip_h`, drawn."""
    return price_draws(offer_of(market, chip, RENTED), market)


def _place(market: Market) -> Site:
    return find_site({"CN": "cn-east", "US": "us-virginia"}[market.region])


def _drawn_places(site: Site) -> Callable[[int], Site]:
    """The site of a draw."""
    tariff, pue = by_grade(site.tariff_per_kwh, f"tariff {site.id}"), drawn_pue(site)
    room = site.room_per_kw_month
    rooms = np.ones(len(pue)) if room is None else by_grade(room, f"room {site.id}")

    def at(index: int) -> Site:
        return replace(
            site,
            tariff_per_kwh=_times(site.tariff_per_kwh, tariff[index]),
            pue=replace(site.pue, value=float(pue[index])),
            room_per_kw_month=None if room is None else _times(room, rooms[index]),
        )

    return at


def _times(quoted: Quoted, factor: float) -> Quoted:
    return replace(quoted, value=quoted.value * float(factor))


def offer_of(market: Market, chip: str, kinds: tuple[str, ...]) -> Offer:
    """The first offer of a chip on a market, of the first of some kinds that there is.

    Raises:
        InputError: there is none.
    """
    for kind in kinds:
        for offer in market.offers:
            if offer.chip == chip and offer.kind == kind:
                return offer
    raise InputError(f"market {market.id} has no offer to {kinds[0]} {chip}", fix=f"see `suanzhang catalog offers {market.id}`")


def _price(offer: Offer, market: Market, currency: str) -> float:
    given = offer.price.unit.partition("/")[0]
    return offer.price.value * rate(given, currency, offer.price.date or market.date).value
