"""Level payments and present values."""

from __future__ import annotations

from suanzhang.errors import OutOfDomain


def annuity_factor(rate: float, periods: float) -> float:
    """Level payment per period that repays one unit of money over ``periods``.

    Model:
        Payments at the end of each period at a constant rate; no tax.

    Args:
        rate: interest per period [1], above -1.
        periods: number of periods, positive.

    Returns:
        Payment per period and unit of money [1].

    Raises:
        OutOfDomain: the number of periods is not positive, or the rate is -1 or less.

    Equation:
        a = r / (1 - (1 + r)**-n), and 1/n at r = 0.

    Validity:
        Any rate above -1; near zero the limit is used.

    Sources:
        [derived] from the sum of a geometric series.

    Example:
        >>> round(annuity_factor(0.01, 12), 6)
        0.088849
    """
    if periods <= 0.0 or rate <= -1.0:
        raise OutOfDomain(f"annuity of {periods:g} periods at {rate:g}", fix="use positive periods and a rate above -1")
    if abs(rate) < 1e-12:
        return 1.0 / periods
    return float(rate / (1.0 - (1.0 + rate) ** -periods))


def present_value(amount: float, rate: float, periods: float) -> float:
    """What an amount that is paid after ``periods`` is worth today.

    Model:
        Compound interest at a constant rate.

    Args:
        amount: money paid later.
        rate: interest per period [1], above -1.
        periods: periods until it is paid.

    Returns:
        Money today.

    Equation:
        p = a * (1 + r)**-n.

    Validity:
        Any rate above -1.

    Sources:
        [derived] from compound interest.

    Example:
        >>> round(present_value(110.0, 0.1, 1.0), 6)
        100.0
    """
    return float(amount * (1.0 + rate) ** -periods)
