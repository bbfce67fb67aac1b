"""Prices by month as users write them: a list from the first month on, or CSV text with the columns month and price."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Sequence
from typing import Any

from suanzhang.errors import InputError
from suanzhang.money.procurement.calendar import month_number
from suanzhang.units import parse_quantity

PRICE_TABLE = "month,price\n2026-10,30000\n2027-04,25000\n"
"""An example of the CSV text."""
MOST_MONTHS = 600
Path = tuple[tuple[str, float], ...]
"""Month, empty where prices stand in order from the first one on, and price."""
_FIX = "write a list such as [30000, 29000], or CSV text with the columns month and price"


def read_path(value: Any) -> Path:
    """A path of prices.

    Raises:
        InputError: it is neither a list of prices above zero nor CSV text with a month and a price in each row.
    """
    rows = _rows(value) if isinstance(value, str) else [("", one) for one in value] if isinstance(value, list) else []
    if not rows or len(rows) > MOST_MONTHS:
        raise InputError(f"needs 1 to {MOST_MONTHS} prices, got {len(rows)}", fix=_FIX)
    found = tuple((month, _price(price)) for month, price in rows)
    months = [month for month, _ in found if month]
    if months != sorted(set(months)):
        raise InputError("the months of a price path must follow each other, each once", fix="sort the rows by month")
    return found


def _rows(text: str) -> list[tuple[str, str]]:
    """Month and price of each row of CSV text."""
    reader = csv.DictReader(text.strip().splitlines())
    names = [name.strip().lower() for name in reader.fieldnames or ()]
    if sorted(names) != ["month", "price"]:
        raise InputError(f"the columns of a price path are month and price, got {', '.join(names)[:40]!r}", fix=_FIX)
    reader.fieldnames = names
    rows = []
    for number, row in enumerate(reader, 2):
        month, price = (str(row.get(name) or "").strip() for name in ("month", "price"))
        month_number(month, f"row {number}")
        rows.append((month, price))
    return rows


def _price(value: Any) -> float:
    price = parse_quantity(value, "count", "a price of the path") if not isinstance(value, bool) else 0.0
    if not 0.0 < price < 1e12:
        raise InputError(f"a price of the path must be above zero and below 1e12, got {str(value)[:20]}", fix=_FIX)
    return price


def by_month(path: Sequence[tuple[str, float]], start: str, months: int) -> tuple[float, ...]:
    """A price for each month of a plan: between months of a table along a straight line of logarithms, its ends held.

    Example:
        >>> by_month((("2026-01", 100.0), ("2026-03", 400.0)), "2026-01", 4)
        (100.0, 200.0, 400.0, 400.0)
    """
    if not path:
        return ()
    if not path[0][0]:
        prices = [price for _, price in path]
        return tuple((prices + [prices[-1]] * months)[:months])
    first, points = month_number(start), [(month_number(month), math.log(price)) for month, price in path]
    return tuple(round(math.exp(_between(points, first + index)), 9) for index in range(months))


def _between(points: Sequence[tuple[int, float]], month: int) -> float:
    if month <= points[0][0]:
        return points[0][1]
    for (a, low), (b, high) in itertools.pairwise(points):
        if month <= b:
            return low + (high - low) * (month - a) / (b - a)
    return points[-1][1]
