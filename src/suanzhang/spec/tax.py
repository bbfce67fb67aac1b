"""Taxes on the profit that a plan's costs lower: what is asked, and what the relief is made of."""

from __future__ import annotations

from dataclasses import dataclass

from suanzhang.spec.result import Interval, Money


@dataclass(frozen=True, slots=True)
class TaxTerms:
    """What taxes give back of deductible costs, and how fast what is bought is written off.

    Args:
        rate: share of a deductible cost that taxes give back.
        life_months: months after which nothing is left on the books.
        declining_per_year: share of the book value written off in a year (declining balance, which turns into a straight
            line over the rest of the life once that is faster); 0 for a straight line from the start.
    """

    rate: float
    life_months: float
    declining_per_year: float = 0.0


@dataclass(frozen=True, slots=True)
class TaxPart:
    """One part of the relief: what is deducted for it, and what taxes give back of that (negative: an income)."""

    name: str
    deducted: Money
    amount: Money
    amount_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class TaxShield:
    """What taxes give back of a plan's cost; the parts sum to the line ``tax shield`` to the cent."""

    terms: TaxTerms
    amount: Money
    parts: tuple[TaxPart, ...]
    amount_interval: Interval | None = None
