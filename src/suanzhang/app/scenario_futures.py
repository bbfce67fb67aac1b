"""A sized question in drawn futures: other prices, other delays, and chips that carry more or less than predicted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from suanzhang.app.plan import Sized
from suanzhang.app.scenario_draws import price_factors
from suanzhang.app.spread import inverse, serving_interval
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.spec.buy import Demand
from suanzhang.spec.draws import Floats, standard_normal, two_piece_lognormal
from suanzhang.spec.market import LeadTime, Offer

FUTURES = 20
"""Futures in which a schedule is solved again: the 5th and the 95th percentile then lie one future from the ends."""
_P90 = 1.2815515655446004


def futures(sized: Sized, count: int = 0) -> Iterator[Sized]:
    """The question in each of some futures.

    Model:
        Prices move by kind of offer and chip over the offers seen, or by their grade; delays over their distribution; the
        chips that a service takes on each kind of chip by our own error there. Left out: growth and export rules.

    Args:
        sized: the question as expected.
        count: of the futures; :data:`FUTURES` when 0.
    """
    count = count or FUTURES
    market = sized.world.market
    prices = {offer.id: _drawn_price(offer, sized, count) for offer in market.offers}
    delays = {offer.id: standard_normal(f"delay of {offer.chip}", count) for offer in market.offers}
    chips = {
        (one.ask.name, option.chip): two_piece_lognormal(
            inverse(serving_interval(option, find_chip(option.chip), service=one.service)),
            standard_normal(f"capacity of {option.chip}", count),
        )
        for one in sized.services
        for option in one.options
    }
    for index in range(count):
        offers = tuple(
            replace(
                offer,
                price=replace(offer.price, value=offer.price.value * float(prices[offer.id][index])),
                lead=_delayed(offer.lead, float(delays[offer.id][index])),
            )
            for offer in market.offers
        )
        needed = tuple(_needing(demand, chips, index) for demand in sized.demands)
        yield replace(sized, world=replace(sized.world, market=replace(market, offers=offers)), demands=needed)


def _drawn_price(offer: Offer, sized: Sized, count: int) -> Floats:
    name = f"{offer.kind} price of {offer.chip}"
    return two_piece_lognormal(price_factors(offer, sized.world.market), standard_normal(name, count))


def _delayed(lead: LeadTime, z: float) -> LeadTime:
    """A delivery that takes what it takes in one future."""
    if lead.median_months <= 0.0:
        return lead
    factor = math.exp(z * math.log(max(lead.p90_months / lead.median_months, 1.0)) / _P90)
    return replace(lead, median_months=lead.median_months * factor, p90_months=lead.median_months * factor)


def _needing(demand: Demand, chips: dict[tuple[str, str], Floats], index: int) -> Demand:
    options = tuple(
        replace(need, chips=need.chips * float(chips[demand.name, need.chip][index]))
        if (demand.name, need.chip) in chips
        else need
        for need in demand.options
    )
    return replace(demand, options=options)
