"""Energy that is priced by the hour of the day, and what it comes to."""

from __future__ import annotations

from dataclasses import dataclass

from suanzhang.spec.result import Interval, Money

HOURS = 24


@dataclass(frozen=True, slots=True)
class HourPrice:
    """A price of energy from one hour of the day to another; it may run past midnight."""

    begin_h: int
    end_h: int
    price: float


@dataclass(frozen=True, slots=True)
class HourTariff:
    """Prices of energy over the hours of a day, and when a kind of chip works.

    Args:
        prices: by hour of the day.
        work: share of the work by hour of the day; the shares sum to 1.
    """

    prices: tuple[float, ...]
    work: tuple[float, ...] = (1.0 / HOURS,) * HOURS


@dataclass(frozen=True, slots=True)
class EnergyBand:
    """What is drawn over a plan while energy has one price; the costs of all bands sum to the line ``power``.

    Args:
        site: where; empty where there is only one site.
        hours: hours of the day, in words.
        price_per_kwh: of energy.
        energy_j: drawn in these hours, the building's overhead included.
        cost: of it.
        overhead_cost: the part of the cost that cooling and losses take.
        *_interval: our uncertainty, that of what fleets draw.
    """

    site: str
    hours: str
    price_per_kwh: float
    energy_j: float
    cost: Money
    overhead_cost: Money
    energy_j_interval: Interval | None = None
    cost_interval: Interval | None = None
    overhead_cost_interval: Interval | None = None
