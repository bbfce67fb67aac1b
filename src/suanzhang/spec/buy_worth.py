"""What stands beside a purchase plan: break-even, what would change the decision, and the plan in each scenario."""

from __future__ import annotations

from dataclasses import dataclass

from suanzhang.spec.result import Interval, Money


@dataclass(frozen=True, slots=True)
class RentOrBuy:
    """Rent against buying one kind of chip with the offers of the market, over the months of the plan.

    Args:
        chip: catalog id.
        buy, rent: ids of the cheapest offers.
        rent_per_chip_h: the rent.
        own_per_chip_h: the rent at which an owned chip that always works costs the same over the plan: with interest on what
            is tied up, its worth at the end and taxes as the plan counts them.
        utilisation: share of the time above which owning is cheaper over the plan; above 1 it never is.
        month: fewest months of use after which owning, what is left at its worth, has cost less than renting; None when it
            never has within the plan.
    """

    chip: str
    buy: str
    rent: str
    rent_per_chip_h: Money
    own_per_chip_h: Money
    utilisation: float
    month: float | None
    own_per_chip_h_interval: Interval | None = None
    utilisation_interval: Interval | None = None
    month_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Swing:
    """What one fact does to the plan when it is lower or higher; the plan is solved again each time.

    Args:
        fact: in words.
        low, high: the changed fact in words.
        cost_low, cost_high: cost of the best plan then; None when there is none.
        decision_low, decision_high: how most chip-months are had then, in words.
        flips: whether one of them is another decision than that of the plan.
        words: what a reader would not expect (no plan, another decision, a cost that moves the other way), and why.
        why_low, why_high: what the cost changes by most, the largest first.
    """

    fact: str
    low: str
    high: str
    cost_low: Money | None
    cost_high: Money | None
    decision_low: str
    decision_high: str
    flips: bool
    cost_low_interval: Interval | None = None
    cost_high_interval: Interval | None = None
    words: tuple[str, ...] = ()
    why_low: str = ""
    why_high: str = ""


@dataclass(frozen=True, slots=True)
class TwoWay:
    """The best plan when two facts change together: factors on each, cost (None without a plan) and decision."""

    fact_a: str
    fact_b: str
    factor_a: float
    factor_b: float
    cost: Money | None
    decision: str
    cost_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The plan in one of the scenarios.

    Args:
        scenario: its number, from 1.
        weight: its probability.
        cost: what the plan costs in it.
        price_factor: mean purchase price of the second half of the plan over today's.
        rent_factor: the same for rents.
        delay_months: mean months from order to use over the offers that are ordered.
        growth_factor: mean level of the services over the expected one.
        rented_chip_months: chips rented by the hour, times months.
        waiting_fraction: share of the services that waits, mean over the months in which they are wanted.
    """

    scenario: int
    weight: float
    cost: Money
    price_factor: float
    rent_factor: float
    delay_months: float
    growth_factor: float
    rented_chip_months: float
    waiting_fraction: float


@dataclass(frozen=True, slots=True)
class ActualRow:
    """A plan against what happened in one month.

    Args:
        month: ISO month.
        planned, paid: cash of the month.
        ahead: cash paid so far over the plan's (negative: less was paid).
        planned_chips, chips: chips that stand; None where not told.
        planned_energy_kwh, energy_kwh: energy of the month; None where not told.
    """

    month: str
    planned: Money
    paid: Money
    ahead: Money
    planned_chips: float
    chips: float | None
    planned_energy_kwh: float
    energy_kwh: float | None
    planned_interval: Interval | None = None
    ahead_interval: Interval | None = None
    planned_energy_kwh_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class ChargeBack:
    """What one training or service is charged: its part of the cash and of the whole cost, and the chips it used.

    What belongs to no job (chips that nobody uses) is named ``unassigned`` in the cash; in the cost it is divided.
    """

    demand: str
    cash: Money
    cost: Money
    chip_months: float
    cost_per_chip_h: Money | None
    cash_interval: Interval | None = None
    cost_interval: Interval | None = None
    cost_per_chip_h_interval: Interval | None = None
    team: str = ""
