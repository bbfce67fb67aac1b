"""Taxes in a purchase plan: the terms that a question gives, and what the relief is made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from suanzhang.money.figures import figure
from suanzhang.money.tax import MONTHS_PER_YEAR
from suanzhang.spec.buy import PurchaseProblem, ScheduleRow
from suanzhang.spec.result import Money
from suanzhang.spec.tax import TaxPart, TaxShield, TaxTerms

_PARTS = {
    "what is bought or there, less what is left at the end": (
        "chips",
        "hosts",
        "network",
        "storage",
        "site",
        "value at start",
        "value left",
    ),
    "running, staff, spares and moves": ("room", "power", "spares", "support", "staff", "moving"),
    "rents and tokens": ("rent", "tokens"),
    "interest on tied capital": ("finance",),
}
"""What is deducted, by the lines of the bill."""
LATE = "written off later than it loses its worth"


def tax_terms() -> TaxTerms | None:
    """The terms of the figures in use; None without a rate."""
    rate = figure("tax_shield").value
    if rate <= 0.0:
        return None
    life = figure("tax_life_years").value * MONTHS_PER_YEAR
    return TaxTerms(rate, life, figure("tax_declining_per_year").value)


def tax_words(terms: TaxTerms) -> str:
    """The terms in words."""
    how = f"declining balance of {terms.declining_per_year:.0%} a year" if terms.declining_per_year else "in a straight line"
    years = terms.life_months / MONTHS_PER_YEAR
    return (
        f"taxes give back {terms.rate:.1%} of what is deducted: there is a profit to deduct from in every month; what is "
        f"bought is written off over {years:g} years, {how}, from delivery; chips owned from the start are off the books"
    )


def shield_of(problem: PurchaseProblem, rows: Iterable[ScheduleRow]) -> TaxShield | None:
    """The line of the tax shield divided by what is deducted; None when no taxes are counted."""
    if problem.tax is None:
        return None
    cents: dict[str, int] = {}
    cents_lost = len(_PARTS)
    for row in rows:
        cents_lost += len(row.lines)
        for name, amount in row.lines:
            cents[name] = cents.get(name, 0) + round(100.0 * amount)

    def money(amount: int) -> Money:
        return Money(amount / 100.0, problem.currency, problem.start)

    rest, parts = cents.get("tax shield", 0), []
    for name, lines in _PARTS.items():
        deducted = sum(cents.get(line, 0) for line in lines)
        back = -round(problem.tax.rate * deducted)
        rest -= back
        if deducted:
            parts.append(TaxPart(name, money(deducted), money(back)))
    if parts and abs(rest) <= cents_lost:  # only what rows were rounded by
        largest = max(range(len(parts)), key=lambda index: abs(parts[index].amount.amount))
        whole = round(100.0 * parts[largest].amount.amount) + rest
        parts[largest] = replace(parts[largest], amount=money(whole))
    elif rest:
        parts.append(TaxPart(LATE, money(0), money(rest)))
    return TaxShield(problem.tax, money(cents.get("tax shield", 0)), tuple(parts))
