"""What used chips fetch in a changed plan beside the plan: prices of new chips move those of used ones as well."""

from __future__ import annotations

from suanzhang.spec.buy import NOT_CASH, BuyResult
from suanzhang.units import format_figure

_WORTH_SAYING = 1e-3


def _sold(bought: BuyResult) -> dict[str, tuple[float, float]]:
    """Chips sold and what they fetch, by kind."""
    found: dict[str, tuple[float, float]] = {}
    for row in bought.schedule:
        if row.action in ("resell", "retire"):
            chips, income = found.get(row.chip, (0.0, 0.0))
            found[row.chip] = chips + row.chips, income - sum(amount for name, amount in row.lines if name not in NOT_CASH)
    return found


def sold_words(bought: BuyResult, other: BuyResult) -> list[str]:
    """A line for each kind of chip of which both plans sell as many but for other money, and the change without it.

    Args:
        bought: the plan.
        other: the changed plan.

    Returns:
        Nothing where used chips fetch the same, to a thousandth of the cost.
    """
    before, after, base = _sold(bought), _sold(other), abs(bought.cost.amount)
    words, extra = [], 0.0
    for chip, (chips, income) in before.items():
        sold, fetched = after.get(chip, (0.0, 0.0))
        if round(sold) != round(chips) or abs(fetched - income) <= _WORTH_SAYING * base:
            continue
        extra += fetched - income
        amount = format_figure(abs(fetched - income), bought.cost.currency)
        words.append(f"{chips:,.0f} used {chip} sell for {amount} {'more' if fetched > income else 'less'}")
    if words and base:
        change = (other.cost.amount + extra - bought.cost.amount) / base
        words.append(f"without that the cost would change by {change:+.1%}")
    return words
