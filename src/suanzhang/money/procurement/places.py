"""Several sites in one problem: a chip on any but the first site is a kind of its own, ``chip@site``.

Offers of chips of one's own are copied to every site that may have them and share one stock; options of demands follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from suanzhang.errors import InputError
from suanzhang.spec.buy import Demand, Holding, Need, PurchaseProblem, Scenario
from suanzhang.spec.place import Place

V = TypeVar("V")
AT = "@"
OWNED = ("buy", "lease")
KW = 1000.0


def base_name(problem: PurchaseProblem, name: str) -> str:
    """The name of a chip or an offer without the site that it was copied to."""
    for place in problem.places[1:]:
        name = name.removesuffix(AT + place.site)
    return name


def site_of(problem: PurchaseProblem, kind: str) -> str:
    """The site of a kind of chip; empty where there is only one."""
    if len(problem.places) < 2:
        return ""
    return next((place.site for place in problem.places[1:] if kind.endswith(AT + place.site)), problem.places[0].site)


def placed(problem: PurchaseProblem, scenarios: tuple[Scenario, ...]) -> tuple[PurchaseProblem, tuple[Scenario, ...]]:
    """The problem with its kinds of chip by site; one that has them already is left as it is.

    Raises:
        InputError: two sites share one id, or chips stand on a site that is not there.
    """
    if not problem.places:
        return problem, scenarios
    names = [place.site for place in problem.places]
    if len(set(names)) != len(names):
        raise InputError("two sites share one id", fix="give each its own")
    unknown = next((holding.site for holding in problem.have if holding.site and holding.site not in names), None)
    if unknown is not None:
        raise InputError(f"chips stand on {unknown!r}, which is no site of the question", fix=f"use {', '.join(names)}")
    others = problem.places[1:]
    ends = tuple(AT + place.site for place in others)
    if ends and any(need.chip.endswith(ends) for demand in problem.demands for need in demand.options):
        return problem, scenarios
    barred = problem.places[0].barred
    offers = [offer for offer in problem.offers if offer.kind not in OWNED or offer.chip not in barred]
    copies: dict[str, list[str]] = {}
    for place in others:
        for offer in problem.offers:
            kind = offer.chip + AT + place.site
            if offer.kind in OWNED and kind in problem.costs and offer.chip not in place.barred:
                copies.setdefault(offer.id, []).append(offer.id + AT + place.site)
                offers.append(replace(offer, id=offer.id + AT + place.site, chip=kind))
    changed = replace(
        problem,
        offers=tuple(offers),
        demands=tuple(_spread(demand, problem, others) for demand in problem.demands),
        have=tuple(_standing(holding, names[0]) for holding in problem.have),
    )
    return changed, tuple(_copied(scenario, copies) for scenario in scenarios)


def _spread(demand: Demand, problem: PurchaseProblem, others: tuple[Place, ...]) -> Demand:
    more = [
        replace(need, chip=need.chip + AT + place.site)
        for place in others
        for need in demand.options
        if need.chip + AT + place.site in problem.costs
    ]
    options: tuple[Need, ...] = (*demand.options, *more)
    return replace(demand, options=options)


def _standing(holding: Holding, first: str) -> Holding:
    if not holding.owned or holding.site in ("", first):
        return holding
    return replace(holding, chip=holding.chip + AT + holding.site)


def _copied(scenario: Scenario, copies: Mapping[str, list[str]]) -> Scenario:
    def also(table: Mapping[str, V]) -> Mapping[str, V]:
        more = {other: table[key] for key, others in copies.items() if key in table for other in others}
        return {**table, **more} if more else table

    return replace(
        scenario,
        price=also(scenario.price),
        rent=also(scenario.rent),
        delay_months=also(scenario.delay_months),
        barred_from=also(scenario.barred_from),
        barred_until=also(scenario.barred_until),
        barred_again=also(scenario.barred_again),
    )


@dataclass(frozen=True, slots=True)
class Limit:
    """What one site can hold of one thing, by month, and how much of it a chip of each kind takes.

    Args:
        what: "power" (in kW) or "room" (in racks).
        site: id; empty where there is only one.
        kinds: indices of the kinds of chip on the site.
        use: of one chip of each of them.
        most: by month.
        works: what one unit of works adds, by their id.
    """

    what: str
    site: str
    kinds: tuple[int, ...]
    use: tuple[float, ...]
    most: NDArray[np.float64]
    works: Mapping[str, float]

    @property
    def unit(self) -> str:
        """Unit of the limit."""
        return "kW" if self.what == "power" else "racks"


def limits_of(problem: PurchaseProblem, chips: tuple[str, ...]) -> tuple[Limit, ...]:
    """The limits of all sites."""
    several = len(problem.places) > 1
    found = []
    for index, place in enumerate(problem.places or (Place(""),)):
        site = place.site if several else ""
        kinds = tuple(k for k, chip in enumerate(chips) if site_of(problem, chip) == site)
        costs = [problem.costs[chips[k]] for k in kinds]
        power = place.power_w
        if not power and index == 0 and problem.power_limit_w is not None:
            power = (problem.power_limit_w,)
        if power:
            watts = tuple(one.peak_w * one.pue / KW for one in costs)
            adds = {works.id: works.power_w / KW for works in place.works}
            found.append(Limit("power", site, kinds, watts, by_month(power, problem.months) / KW, adds))
        if place.racks:
            racks = tuple(one.racks for one in costs)
            adds = {works.id: works.racks for works in place.works}
            found.append(Limit("room", site, kinds, racks, by_month(place.racks, problem.months), adds))
    return tuple(found)


def by_month(values: tuple[float, ...], months: int) -> NDArray[np.float64]:
    """Values by month; the last one lasts.

    Equation:
        v_t, the last one beyond the end.

    Sources:
        [derived].
    """
    return np.array([values[min(t, len(values) - 1)] for t in range(months)])
