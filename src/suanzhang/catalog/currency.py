"""Exchange rates by date, from the daily reference rates of the European Central Bank."""

from __future__ import annotations

import bisect
import csv
import datetime
import functools
import math
from pathlib import Path

from suanzhang.errors import CatalogError, InputError
from suanzhang.source import Quoted
from suanzhang.spec.result import Money

_FILE = Path(__file__).resolve().parent / "data" / "currency" / "rates.csv"
_MIDDLE_OF_MONTH = 15
_MIDDLE_OF_YEAR = (7, 1)


@functools.cache
def _points() -> dict[str, tuple[tuple[int, ...], tuple[float, ...], str]]:
    """Per currency: day numbers, units of it per euro, source."""
    raw: dict[str, list[tuple[int, float, str]]] = {}
    with _FILE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if not row["source"] or not row["grade"] or not row["date"]:
                raise CatalogError(
                    f"exchange rate of {row['currency']} {row['date']} has no source", fix="add source and grade"
                )
            day = datetime.date.fromisoformat(row["date"]).toordinal()
            raw.setdefault(row["currency"], []).append((day, float(row["per_eur"]), row["source"]))
    return {
        code: (tuple(p[0] for p in sorted(rows)), tuple(p[1] for p in sorted(rows)), rows[0][2]) for code, rows in raw.items()
    }


def currencies() -> tuple[str, ...]:
    """The currencies that have rates."""
    return ("EUR", *sorted(_points()))


def day_number(date: str) -> int:
    """The day that an ISO date names: a month is its 15th, a year its 1 July.

    Raises:
        InputError: the text is no date.
    """
    try:
        parts = [int(part) for part in date.split("-")]
        if len(parts) == 1:
            return datetime.date(parts[0], *_MIDDLE_OF_YEAR).toordinal()
        if len(parts) == 2:
            return datetime.date(parts[0], parts[1], _MIDDLE_OF_MONTH).toordinal()
        return datetime.date(parts[0], parts[1], parts[2]).toordinal()
    except (ValueError, IndexError, TypeError):
        raise InputError(f"cannot read {date!r} as a date", fix="write for example 2023-04 or 2023-04-14") from None


def _per_euro(currency: str, date: str) -> tuple[float, str]:
    if currency == "EUR":
        return 1.0, "ecb-reference-rates"
    table = _points()
    if currency not in table:
        raise InputError(f"no exchange rate is known for {currency!r}", fix=f"use one of {', '.join(currencies())}")
    days, values, source = table[currency]
    day = day_number(date)
    if not days[0] <= day <= days[-1]:
        first, last = (datetime.date.fromordinal(d).isoformat() for d in (days[0], days[-1]))
        raise InputError(f"no {currency} rate is known for {date}", fix=f"use a date from {first} to {last}")
    right = bisect.bisect_left(days, day)
    if days[right] == day:
        return values[right], source
    left = right - 1
    share = (day - days[left]) / (days[right] - days[left])
    return math.exp((1.0 - share) * math.log(values[left]) + share * math.log(values[right])), source


def rate(source_currency: str, target_currency: str, date: str) -> Quoted:
    """Units of ``target_currency`` for one unit of ``source_currency`` on a date.

    Between two recorded days the logarithm of the rate is interpolated by days; both legs go through the euro.

    Args:
        source_currency: ISO code of what is given.
        target_currency: ISO code of what is received.
        date: ISO day, month (its 15th) or year (its 1 July).

    Returns:
        The rate with its source; grade "published" on a recorded day, else "derived".

    Raises:
        InputError: a currency has no rate, or none for that date.

    Example:
        >>> round(rate("USD", "CNY", "2023-04-14").value, 3)
        6.852
    """
    if source_currency == target_currency:
        return Quoted(1.0, f"{target_currency}/{source_currency}", "ecb-reference-rates", "derived", date, "same currency")
    give, source = _per_euro(source_currency, date)
    get, _ = _per_euro(target_currency, date)
    return Quoted(get / give, f"{target_currency}/{source_currency}", source, "derived", date, "cross rate through the euro")


def last_day() -> str:
    """The last ISO day for which every currency has a rate."""
    return datetime.date.fromordinal(min(days[-1] for days, _, _ in _points().values())).isoformat()


def convert(money: Money, currency: str, date: str = "") -> Money:
    """An amount in another currency at the rate of ``date`` (default: the amount's own date).

    Raises:
        InputError: no rate is known.
    """
    day = date or money.date
    return Money(money.amount * rate(money.currency, currency, day).value, currency, day)
