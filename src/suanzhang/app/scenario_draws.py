"""What the answer of a scenario is uncertain by: prices, cost figures, resale and physics, each cause drawn once by its name.

The same name gives the same draws in every scenario (common random numbers), so that answers of one audit stay comparable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from suanzhang.app.sensitivity_inputs import GRADE_FACTOR
from suanzhang.catalog.markets import price_history
from suanzhang.money.figures import figure, instead
from suanzhang.money.procurement.calendar import month_number
from suanzhang.source import Quoted
from suanzhang.spec.draws import DRAWS, Floats, standard_normal, two_piece_lognormal
from suanzhang.spec.market import Market, Offer, Site
from suanzhang.spec.result import Z95, Interval

COST_FIGURES = (
    "host_per_chip", "network_per_port", "storage_per_chip", "spares_per_year", "support_per_year",
    "staff_per_chip_month_cny", "staff_per_chip_month_usd", "interest_per_year", "infra_life_months", "busy_draw",
    "used_discount",
)  # fmt: skip
"""Figures behind the cost of an owned chip that are not known better than their range. The tax shield is a choice."""
_SAME_PRICE_MONTHS = 3
"""A recorded range of offers tells of a price that lies no further from it in time."""


def grade_factor(grade: str) -> Interval:
    """True over stated value of a figure of a grade."""
    factor = GRADE_FACTOR.get(grade, GRADE_FACTOR["assumed"])
    return Interval(1.0 / factor, 1.0, factor)


def by_grade(quoted: Quoted, name: str) -> Floats:
    """True over quoted value of a figure, drawn by how far its grade is to be trusted."""
    return two_piece_lognormal(grade_factor(quoted.grade), standard_normal(name))


def price_factors(offer: Offer, market: Market) -> Interval:
    """Prices that could have been met over the one of an offer: the offers seen at the time, or what its grade allows."""
    value, date = offer.price.value, offer.price.date or market.date
    seen = [
        point for point in price_history()
        if (point.chip, point.kind) == (offer.chip, offer.kind) and point.region in (market.region, "world")
        and point.price.unit == offer.price.unit and point.low < point.high
        and abs(month_number(point.price.date[:7]) - month_number(date[:7])) <= _SAME_PRICE_MONTHS
    ]  # fmt: skip
    if not seen:
        return grade_factor(offer.price.grade)
    near = min(seen, key=lambda point: abs(month_number(point.price.date[:7]) - month_number(date[:7])))
    return Interval(min(near.low / value, 1.0), 1.0, max(near.high / value, 1.0))


def price_draws(offer: Offer, market: Market) -> Floats:
    """As :func:`price_factors`, drawn."""
    return two_piece_lognormal(price_factors(offer, market), standard_normal(f"{offer.kind} price of {offer.chip}"))


def figure_draws(key: str) -> Floats:
    """A cost figure over its range, whose ends are its 5th and 95th percentile."""
    own, z = figure(key), standard_normal(f"figure {key}")
    low, high = min(own.low, own.value), max(own.high, own.value)
    if low > 0.0:
        drawn = own.value * two_piece_lognormal(Interval(low / own.value, 1.0, high / own.value), z)
    else:
        drawn = own.value + z / Z95 * np.where(z < 0.0, own.value - low, high - own.value)
    share = own.quoted.unit == "1" and 0.0 <= own.value <= 1.0
    return np.asarray(np.minimum(drawn, 1.0) if share else drawn)


def over_figures(keys: Iterable[str], answer: Callable[[int], float]) -> Floats:
    """An answer under drawn cost figures.

    Args:
        keys: figures that are drawn.
        answer: the answer of a draw, by its number.
    """
    drawn = {key: figure_draws(key) for key in keys}
    found = np.empty(DRAWS)
    for index in range(DRAWS):
        with instead({key: float(values[index]) for key, values in drawn.items()}):
            found[index] = answer(index)
    return found


def drawn_pue(site: Site) -> Floats:
    """Overhead of a site, drawn: what lies above 1 errs by its grade."""
    return np.asarray(1.0 + (site.pue.value - 1.0) * by_grade(site.pue, f"pue {site.id}"))


def spread_of(value: float, drawn: Floats) -> Interval:
    """The interval of drawn values, with the value itself always in it; ends may be infinite (a month that never comes)."""
    if not np.all(np.isfinite(drawn)):
        low, middle, high = (float(end) for end in np.quantile(drawn, (0.05, 0.5, 0.95), method="nearest"))
    else:
        low, middle, high = (float(end) for end in np.quantile(drawn, (0.05, 0.5, 0.95)))
    return Interval(min(low, value), middle, max(high, value))


def whole_spread(value: float, counts: Floats) -> Interval:
    """As :func:`spread_of`, of whole counts."""
    low, middle, high = (float(end) for end in np.quantile(counts, (0.05, 0.5, 0.95), method="nearest"))
    return Interval(min(low, value), middle, max(high, value))
