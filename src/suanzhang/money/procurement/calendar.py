"""Months of a plan: ISO months to indices and back, orders and arrivals."""

from __future__ import annotations

import math

from suanzhang.errors import InputError
from suanzhang.spec.market import Offer

HOURS_PER_MONTH = 730.5
"""365.25 days x 24 hours / 12."""
FOREVER = 10_000


def month_number(month: str, where: str = "month") -> int:
    """Months since year 0 of an ISO month (a day is cut to its month).

    Raises:
        InputError: the text is no month.
    """
    try:
        year, number = (int(part) for part in month.split("-")[:2])
    except ValueError:
        raise InputError(f"{where}: cannot read {month!r} as a month", fix="write for example 2023-05") from None
    if not 1 <= number <= 12:
        raise InputError(f"{where}: {month!r} has no such month", fix="write for example 2023-05")
    return year * 12 + number - 1


def month_name(start: str, index: int) -> str:
    """ISO month ``index`` months after ``start``."""
    number = month_number(start) + index
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


def orderable(offer: Offer, start: str, months: int) -> range:
    """Months of the plan in which an offer can be ordered."""
    base = month_number(start)
    first = 0 if not offer.first_month else max(0, month_number(offer.first_month, offer.id) - base)
    last = months - 1 if not offer.last_month else min(months - 1, month_number(offer.last_month, offer.id) - base)
    return range(first, last + 1)


def stock_until(offer: Offer, start: str, month: int) -> float:
    """Chips of an offer that were on sale from its beginning to the end of a month; infinite without a limit.

    The stock is there when the offer opens; further chips come each month from then on.

    Equation:
        stock there at the opening + inflow per month x months since.

    Sources:
        [derived].
    """
    if offer.stock_chips is None and offer.stock_per_month is None:
        return math.inf
    first = 0 if not offer.first_month else max(0, month_number(offer.first_month, offer.id) - month_number(start))
    if month < first:
        return 0.0
    stock = offer.stock_chips or 0.0
    inflow = offer.stock_per_month or 0.0
    opened = month - first + (1 if offer.stock_chips is None else 0)
    return stock + inflow * opened


def nominal_delay(offer: Offer) -> int:
    """Whole months from order to use at the median of the lead time (half a month counts as one)."""
    return math.floor(offer.lead.median_months + 0.5)
