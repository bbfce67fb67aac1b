"""Sites of a purchase plan: power and room by month, what can be built there, and moves between them."""

from __future__ import annotations

from dataclasses import dataclass

from suanzhang.spec.result import Interval, Money


@dataclass(frozen=True, slots=True)
class Works:
    """Power and room that can be built on a site, in whole units.

    Args:
        id: what it is called in the schedule.
        power_w: power that one unit adds, with the building's overhead.
        racks: racks that one unit adds.
        cost: of one unit, paid when it is ordered, in the currency of the problem.
        months: from order to use.
        most: units at most.
        life_months: life over which it loses its worth in a straight line.
    """

    id: str
    power_w: float
    cost: float
    months: int
    racks: float = 0.0
    most: int = 1
    life_months: float = 180.0


@dataclass(frozen=True, slots=True)
class Place:
    """One site as a plan sees it; the first one of a problem is where chips stand when nothing else is said.

    Args:
        site: its id; in the costs of a problem, a chip on any but the first site is ``chip@site``.
        power_w: largest draw by month, overhead included; the last value lasts; empty when not limited.
        racks: racks by month, likewise.
        works: what can be built.
        barred: chips that export rules keep from this site.
    """

    site: str
    power_w: tuple[float, ...] = ()
    racks: tuple[float, ...] = ()
    works: tuple[Works, ...] = ()
    barred: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Moving:
    """What it takes to move chips of one's own from any site to any other.

    Args:
        cost_per_chip: with its share of the server: taking down, transport, insurance, setting up.
        months: whole months in which a moved chip works nowhere.
    """

    cost_per_chip: float
    months: int = 1


@dataclass(frozen=True, slots=True)
class PlaceState:
    """What stands on one site in one month.

    Args:
        site: its id.
        owned: chips by kind.
        draw_w, peak_w: mean and peak draw, overhead included.
        energy_j: of the month.
        power_limit_w: what it can draw, with what has been built; None when not limited.
        racks: racks in use.
        rack_limit: racks that are there; None when not limited.
        *_interval: with the range of what fleets draw; filled by the verbs.
    """

    site: str
    owned: tuple[tuple[str, float], ...]
    draw_w: float
    peak_w: float
    energy_j: float
    power_limit_w: float | None = None
    racks: float = 0.0
    rack_limit: float | None = None
    draw_w_interval: Interval | None = None
    peak_w_interval: Interval | None = None
    energy_j_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class SiteEnergy:
    """Energy of the chips of one's own on one site over the plan, what it costs and what carbon its grid emits for it.

    Args:
        site: its id.
        region: ISO country; empty when not known.
        energy_j: overhead of the building included; that of rented chips is in their rent and not counted.
        cost: of that energy.
        carbon_kg_per_kwh: of the grid.
        carbon_kg: of that energy.
        *_interval: with the range of what fleets draw; filled by the verbs.
    """

    site: str
    region: str
    energy_j: float
    cost: Money
    carbon_kg_per_kwh: float
    carbon_kg: float
    energy_j_interval: Interval | None = None
    cost_interval: Interval | None = None
    carbon_kg_interval: Interval | None = None
