"""What every answer is made of: intervals, money, terms, and the header that every result starts with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from suanzhang.errors import InputError

Z95 = 1.6448536269514722
"""95th percentile of the standard normal distribution: where the ends of an interval lie."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Our uncertainty about one value: 5th, 50th and 95th percentile, in the unit of its sibling."""

    p05: float
    p50: float
    p95: float

    def scaled(self, factor: float) -> Interval:
        """The interval of ``factor`` times the value; a negative factor turns it round."""
        low, high = sorted((self.p05 * factor, self.p95 * factor))
        return Interval(low, self.p50 * factor, high)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount with its currency and the month whose prices it is in."""

    amount: float
    currency: str
    date: str

    def __add__(self, other: Money) -> Money:
        if other.currency != self.currency:
            raise InputError(
                f"cannot add {other.currency} to {self.currency} without a rate", fix="convert one of them at a dated rate"
            )
        return Money(self.amount + other.amount, self.currency, max(self.date, other.date))

    def scaled(self, factor: float) -> Money:
        """``factor`` times the amount."""
        return Money(self.amount * factor, self.currency, self.date)


@dataclass(frozen=True, slots=True)
class Term:
    """One named part of a total.

    Args:
        name: what it is, in words.
        value: its amount.
        unit: unit of the amount.
        formula: dotted name of the formula that computed it.
        sources: keys of the sources that it rests on.
        value_interval: our uncertainty about the amount, where it was worked out.
    """

    name: str
    value: float
    unit: str
    formula: str = ""
    sources: tuple[str, ...] = ()
    value_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """What every result starts with, so that it can be repeated.

    Args:
        version: of the package.
        catalog_date: of the catalog.
        seed: of everything random.
        verb: function of :mod:`suanzhang` that gave the result; empty inside another result.
        inputs: what that function was called with, defaults left out; files are held with their content.
        fingerprints: short hashes of the program, the catalog and the evidence that it was computed with, and of each entry
            of the catalog that it names, such as ``chip h100-sxm-80``.
    """

    version: str
    catalog_date: str
    seed: int
    verb: str = ""
    inputs: Mapping[str, object] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceUse:
    """A source that an answer rests on: where, how firm, and for which values."""

    key: str
    title: str
    url: str
    grade: str
    used_for: tuple[str, ...]
