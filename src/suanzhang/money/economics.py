"""Rent against buy, what a response costs, and what cut prices are worth."""

from __future__ import annotations

from dataclasses import dataclass

from suanzhang.errors import OutOfDomain


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Where renting and owning cost the same.

    Args:
        month: months of use after which owning is cheaper; infinite when never.
        utilisation: share of the time above which owning is cheaper over the whole life; above 1 when never.
    """

    month: float
    utilisation: float


def break_even(
    upfront: float, run_per_month: float, rent_per_hour: float, life_months: float, left: float = 0.0, hours: float = 730.5
) -> BreakEven:
    """Month and utilisation at which owning a chip costs what renting does.

    Model:
        Rent is paid for the hours of use alone; owning costs the price at once and running costs always. For the month
        the chip is used all the time and what is left of it is spread evenly over its life.

    Args:
        upfront: price with host, network and storage [money].
        run_per_month: room, energy, upkeep and staff [money/month].
        rent_per_hour: rent of a chip-hour [money].
        life_months: life of the chip [months].
        left: what it fetches at the end [money].
        hours: hours of a month.

    Returns:
        Month and utilisation of break-even.

    Raises:
        OutOfDomain: rent or life is not positive.

    Equation:
        m = upfront / (730.5 rent - run); u = ((upfront - left) / life + run) / (730.5 rent).

    Validity:
        Constant prices.

    Sources:
        [derived] from the definition.

    Example:
        >>> b = break_even(7305.0, 365.25, 1.0, 60.0)
        >>> round(b.month, 6), round(b.utilisation, 4)
        (20.0, 0.6667)
    """
    if rent_per_hour <= 0.0 or life_months <= 0.0:
        raise OutOfDomain("rent and life must be positive", fix="check them")
    rent = rent_per_hour * hours
    month = upfront / (rent - run_per_month) if rent > run_per_month else float("inf")
    return BreakEven(month, ((upfront - left) / life_months + run_per_month) / rent)


def cost_per_response(cost_per_month: float, responses_per_month: float) -> float:
    """Cost of one response of a service.

    Model:
        All cost of the month over all its responses.

    Args:
        cost_per_month: of the chips that serve [money/month].
        responses_per_month: responses of that month.

    Returns:
        Money per response.

    Raises:
        OutOfDomain: there are no responses.

    Equation:
        c = C / N.

    Validity:
        Any service.

    Sources:
        [derived] from the definition.

    Example:
        >>> cost_per_response(1.5e9, 3e10)
        0.05
    """
    if responses_per_month <= 0.0:
        raise OutOfDomain("a service without responses has no cost per response", fix="give its traffic")
    return cost_per_month / responses_per_month


def chips_of_response_cost(cost_per_response_: float, responses_per_s: float, rent_per_hour: float) -> float:
    """Chips that a stated cost per response would rent.

    Model:
        All the money goes into rent.

    Args:
        cost_per_response_: stated cost [money].
        responses_per_s: mean rate [1/s].
        rent_per_hour: rent of a chip-hour [money].

    Returns:
        Chips.

    Raises:
        OutOfDomain: the rent is not positive.

    Equation:
        n = 3600 c r / rent.

    Validity:
        Steady rate.

    Sources:
        [derived] from the definition.

    Example:
        >>> round(chips_of_response_cost(0.05, 1e9 / 86400, 20.0))
        104167
    """
    if rent_per_hour <= 0.0:
        raise OutOfDomain("the rent must be positive", fix="check it")
    return 3600.0 * cost_per_response_ * responses_per_s / rent_per_hour


@dataclass(frozen=True, slots=True)
class Substitute:
    """Total cost of a slower chip against a reference for the same work."""

    chips_ratio: float
    cost_ratio: float
    price_for_ratio: float


def substitute_cost(
    speed: float, price_ratio: float, capital_share: float, wanted_ratio: float = 1.0, run_ratio: float = 1.0
) -> Substitute:
    """Total cost of doing the same work with slower chips, and the price at which it is a wanted multiple.

    Model:
        Chips in inverse proportion to speed; capital follows the price, the rest follows the number of chips.

    Args:
        speed: of the substitute over the reference [1], positive.
        price_ratio: price of the substitute over the reference [1].
        capital_share: share of capital in the total cost of the reference [1].
        wanted_ratio: multiple of the reference's total cost to solve the price for [1].
        run_ratio: running cost per substitute chip over that of the reference [1].

    Returns:
        Ratio of chips, ratio of total cost, and the price ratio that gives the wanted one.

    Raises:
        OutOfDomain: speed or share is not in its range.

    Equation:
        C = (k p + (1 - k) q) / s; p* = (C* s - (1 - k) q) / k.

    Validity:
        The work divides over chips without loss.

    Sources:
        [derived] from the definition.

    Example:
        >>> s = substitute_cost(0.6, 0.7, 0.8, wanted_ratio=1.25)
        >>> round(s.chips_ratio, 4), round(s.cost_ratio, 4), round(s.price_for_ratio, 4)
        (1.6667, 1.2667, 0.6875)
    """
    if speed <= 0.0 or not 0.0 < capital_share <= 1.0:
        raise OutOfDomain("speed must be positive and the share of capital within 0 and 1", fix="check them")
    cost = (capital_share * price_ratio + (1.0 - capital_share) * run_ratio) / speed
    price = (wanted_ratio * speed - (1.0 - capital_share) * run_ratio) / capital_share
    return Substitute(1.0 / speed, cost, price)


def value_of_cut(cost_now: float, share_cut: float, cut: float) -> float:
    """What a cut of a price saves of a total cost.

    Model:
        Nothing else changes; use the purchase plan with cut prices to see whether the choice changes too.

    Args:
        cost_now: total cost [money].
        share_cut: share of the total that the price makes up [1].
        cut: fraction by which it falls [1].

    Returns:
        Money saved.

    Equation:
        v = C k c.

    Validity:
        First order: a lower bound of the saving.

    Sources:
        [derived] from the definition.

    Example:
        >>> value_of_cut(100.0, 0.5, 0.4)
        20.0
    """
    return cost_now * share_cut * cut
