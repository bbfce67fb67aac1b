"""The sites of a question as the purchase model sees them: limits by month, what can be built, what is barred."""

from __future__ import annotations

from dataclasses import dataclass, replace

from suanzhang.app.plan_asks import World, question_site
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.currency import rate
from suanzhang.money.figures import figure
from suanzhang.spec.buy import BuyResult
from suanzhang.spec.market import Site
from suanzhang.spec.place import Moving, Place, SiteEnergy, Works
from suanzhang.spec.question import Question, SiteAsk, WorksAsk
from suanzhang.spec.result import Money
from suanzhang.units import J_PER_KWH


@dataclass(frozen=True, slots=True)
class PlacedSite:
    """A site with its limits."""

    site: Site
    place: Place


def placed_sites(question: Question, world: World) -> tuple[PlacedSite, ...]:
    """All sites of a question; none where there is one of which only the largest draw is known.

    Raises:
        CatalogError: a site or chip is not known.
    """
    first = question.site
    if not question.sites and not (first.power_by_month or first.racks or first.works):
        return ()
    own = _placed(first, world.site, world, question)
    return (own, *(_placed(ask, question_site(ask, world.market.region, question), world, question) for ask in question.sites))


def moving_of(question: Question) -> Moving | None:
    """Terms of moves; None where there is one site."""
    if not question.sites:
        return None
    cost = question.move_cost_per_chip
    if cost is None:
        cost = figure("move_cost_per_chip").value * rate("USD", question.currency, question.start).value
    months = question.move_months if question.move_months is not None else int(figure("move_months").value)
    return Moving(cost, months)


def _placed(ask: SiteAsk, site: Site, world: World, question: Question) -> PlacedSite:
    power = ask.power_by_month or (() if site.power_limit_w is None else (site.power_limit_w,))
    works = tuple(_works(one, site, question) for one in ask.works)
    return PlacedSite(site, Place(site.id, power, ask.racks, works, frozenset(_barred(ask, site, world, question))))


def _works(ask: WorksAsk, site: Site, question: Question) -> Works:
    """Works with what is not said from published figures: the cost by critical load, which the overhead is not."""
    per_usd = rate("USD", question.currency, question.start).value
    cost = figure("site_cost_per_w").value * per_usd * ask.power_w / site.pue.value if ask.cost is None else ask.cost
    months = int(figure("site_build_months").value) if ask.months is None else ask.months
    return Works(ask.id, ask.power_w, cost, months, ask.racks, ask.most, figure("site_life_months").value)


def _barred(ask: SiteAsk, site: Site, world: World, question: Question) -> set[str]:
    """Chips that the question or the export rules of another region than the market's keep from a site."""
    found = {find_chip(name).id for name in ask.exclude}
    if site.region and site.region != world.market.region:
        for spec in world.chips.values():
            events = [event for event in spec.exports if event.region == site.region and event.date[:7] <= question.start]
            if events and max(events, key=lambda event: event.date).state == "barred":
                found.add(spec.id)
    return found


def carbon_by_month(question: Question, world: World, bought: BuyResult) -> tuple[float, ...]:
    """Carbon of the energy of each month [kg], by the grid of the site on which it is used."""
    grids = {one.site.id: one.site.carbon_kg_per_kwh.value for one in placed_sites(question, world)}
    usual = world.site.carbon_kg_per_kwh.value
    return tuple(
        sum(place.energy_j * grids.get(place.site, usual) for place in month.places) / J_PER_KWH
        if month.places
        else month.energy_j * usual / J_PER_KWH
        for month in bought.months
    )


def with_carbon(question: Question, world: World, bought: BuyResult) -> BuyResult:
    """A schedule with the carbon of each month, and energy, its cost and carbon by site; what was paid of it by site."""
    by_month = carbon_by_month(question, world, bought)
    sites = {one.site.id: one.site for one in placed_sites(question, world)} or {world.site.id: world.site}
    energy, paid = dict.fromkeys(sites, 0.0), dict.fromkeys(sites, 0)
    for month in bought.months:
        for name, joules in [(place.site, place.energy_j) for place in month.places] or [("", month.energy_j)]:
            energy[name if name in energy else world.site.id] += joules
    for row in bought.schedule:
        power = dict(row.lines).get("power", 0.0)
        paid[row.site if row.site in paid else world.site.id] += round(100.0 * power)
    rows = tuple(
        SiteEnergy(
            name, site.region, energy[name], Money(paid[name] / 100.0, bought.cost.currency, bought.cost.date),
            site.carbon_kg_per_kwh.value, energy[name] / J_PER_KWH * site.carbon_kg_per_kwh.value,
        )
        for name, site in sites.items()
    )  # fmt: skip
    months = tuple(replace(state, carbon_kg=carbon) for state, carbon in zip(bought.months, by_month, strict=True))
    return replace(bought, months=months, carbon=rows)
