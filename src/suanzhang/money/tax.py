"""Taxes on profit: how what is bought is written off, and what the deductions give back."""

from __future__ import annotations

from functools import lru_cache

from suanzhang.errors import OutOfDomain
from suanzhang.spec.tax import TaxTerms

MONTHS_PER_YEAR = 12.0
NOT_DEDUCTED = ("waiting", "tax shield")
"""Lines of a total that no tax office knows: the price of waiting is paid by nobody."""


@lru_cache(maxsize=256)
def book_value(terms: TaxTerms, months: int) -> tuple[float, ...]:
    """What is left on the books at the beginning of each month of use, in shares of what was paid.

    Model:
        Straight line over the life; or declining balance in equal monthly steps, until a straight line over what is left
        of the life is faster.

    Args:
        terms: life and, for a declining balance, the share written off in a year.
        months: how many months.

    Returns:
        Shares of what was paid, from month 0 of use on.

    Raises:
        OutOfDomain: the life is not positive, or the share is not below 1.

    Equation:
        b(t+1) = b(t) - max(b(t) (1 - (1 - q)^(1/12)), b(t) / (N - t)).

    Validity:
        Use begins with the month of delivery; nothing is left on the books of what is worn out.

    Sources:
        [irs-946] straight line, and declining balance with the switch to a straight line.

    Example:
        >>> [round(share, 2) for share in book_value(TaxTerms(0.25, 4.0), 6)]
        [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """
    if terms.life_months <= 0.0 or not 0.0 <= terms.declining_per_year < 1.0:
        raise OutOfDomain("the life on the books must be positive, the share a year from 0 and below 1", fix="check them")
    step = 1.0 - (1.0 - terms.declining_per_year) ** (1.0 / MONTHS_PER_YEAR)
    left, found = 1.0, []
    for age in range(months):
        found.append(left)
        rest = terms.life_months - age
        left = max(left - max(left * step, left / rest if rest > 1.0 else left), 0.0)
    return tuple(found)


def later_relief(terms: TaxTerms, paid: float, tied: float, months: int, interest_per_month: float) -> float:
    """What it costs that taxes give back later (or, negative, earlier) than chips lose their worth.

    Model:
        The tax office owes the rate of what the books hold above the worth of the chips: capital that is tied up, at an
        interest that is deducted itself.

    Args:
        terms: rate and schedule.
        paid: what was paid for what is written off [money].
        tied: sum of its worth over the months of use [money x months].
        months: months of use.
        interest_per_month: price of capital [1/month].

    Returns:
        Money: positive where the books lag behind the loss of worth.

    Raises:
        OutOfDomain: as :func:`book_value`.

    Equation:
        d = (1 - tau) r tau sum_t (P b(t) - W(t)).

    Validity:
        There is a profit to deduct from in every month, and what is left at the end is settled at its worth.

    Sources:
        [derived] by the annuity of deferred taxes.

    Example:
        >>> round(later_relief(TaxTerms(0.5, 2.0), 100.0, 120.0, 2, 0.01), 3)
        0.075
    """
    return (1.0 - terms.rate) * interest_per_month * terms.rate * (paid * sum(book_value(terms, months)) - tied)
