"""Tables of what money comes to: unit costs by job, charges by team, what taxes give back."""

from __future__ import annotations

from collections.abc import Sequence

from suanzhang.report.blocks import Column, Table, ranged
from suanzhang.spec.buy_worth import ChargeBack
from suanzhang.spec.place import SiteEnergy
from suanzhang.spec.result import Interval, Money
from suanzhang.spec.tariff import EnergyBand
from suanzhang.spec.tax import TaxShield
from suanzhang.spec.unit_costs import UnitCosts
from suanzhang.units import J_PER_KWH, KILO


def units_table(units: Sequence[UnitCosts]) -> Table:
    """What a unit of each job costs; all from the one total."""
    currency = units[0].cost.currency if units else ""
    columns = (
        Column("job"),
        Column("cost", currency),
        Column("chip-hours", "chip-hours", optional=True),
        Column("per chip-hour", currency),
        Column("per useful EFLOP", currency),
        Column("per million tokens", currency),
        Column("per response", currency),
    )
    rows = tuple(
        (
            one.job, ranged(one.cost.amount, one.cost_interval), one.chip_hours, _unit(one.per_chip_h, one.per_chip_h_interval),
            _unit(one.per_useful_eflop, one.per_useful_eflop_interval), _unit(one.per_mtoken, one.per_mtoken_interval),
            _unit(one.per_response, one.per_response_interval),
        )
        for one in units
    )  # fmt: skip
    note = "each part of the cost over what it gave: model FLOP and tokens trained, or tokens written in answers"
    return Table("What a unit costs", columns, rows, note)


def _unit(money: Money | None, interval: Interval | None) -> float | None:
    return None if money is None else ranged(money.amount, interval)


def teams_table(charged: Sequence[ChargeBack], currency: str) -> Table:
    """Charges by team; nothing where no job names one."""
    columns = (
        Column("team"),
        Column("jobs"),
        Column("cash", currency),
        Column("cost", currency),
        Column("chip-months", "chip-months"),
    )
    teams: dict[str, list[ChargeBack]] = {}
    for one in charged if any(one.team for one in charged) else ():
        teams.setdefault(one.team or "no team", []).append(one)
    rows = tuple(
        (
            team, ", ".join(one.demand for one in members), _sum([(one.cash, one.cash_interval) for one in members]),
            _sum([(one.cost, one.cost_interval) for one in members]), sum(one.chip_months for one in members),
        )
        for team, members in teams.items()
    )  # fmt: skip
    return Table("Charge-back by team", columns, rows, "the parts sum to cash and cost")


def _sum(parts: list[tuple[Money, Interval | None]]) -> float | None:
    """A sum in whole cents; what its parts err by moves together."""
    total = sum(round(100.0 * money.amount) for money, _ in parts) / 100.0
    known = [one for _, one in parts if one is not None]
    if len(known) < len(parts):
        return total
    return ranged(total, Interval(sum(i.p05 for i in known), sum(i.p50 for i in known), sum(i.p95 for i in known)))


def tax_table(tax: TaxShield | None) -> Table:
    """What is deducted and what taxes give back of it; empty when no taxes are counted."""
    currency = tax.amount.currency if tax else ""
    columns = (Column("deducted"), Column("amount", currency), Column("cost", currency))
    if tax is None:
        return Table("Tax shield", columns, ())
    rows = tuple((part.name, part.deducted.amount, ranged(part.amount.amount, part.amount_interval)) for part in tax.parts)
    how = f"{tax.terms.declining_per_year:.0%} a year of the book value" if tax.terms.declining_per_year else "a straight line"
    years = f"{tax.terms.life_months / 12.0:g} years"
    note = (
        f"{tax.terms.rate:.1%} of what is deducted, written off by {how} over {years}; the rows of the schedule are after it, "
        "cash is before it"
    )
    return Table("Tax shield", columns, (*rows, ("all", None, ranged(tax.amount.amount, tax.amount_interval))), note)


def energy_table(bands: Sequence[EnergyBand]) -> Table:
    """What is drawn at each price of energy, and what cooling and losses take of its cost."""
    currency = bands[0].cost.currency if bands else ""
    sited = len({band.site for band in bands}) > 1
    columns = (
        *((Column("site"),) if sited else ()),
        Column("hours of the day"),
        Column("price", f"{currency}/kWh"),
        Column("energy", "MWh"),
        Column("cost", currency),
        Column("of it cooling and losses", currency),
    )
    rows = tuple(
        (
            *((band.site,) if sited else ()), band.hours, band.price_per_kwh,
            ranged(band.energy_j, band.energy_j_interval, 1.0 / J_PER_KWH / KILO), ranged(band.cost.amount, band.cost_interval),
            ranged(band.overhead_cost.amount, band.overhead_cost_interval),
        )
        for band in bands
    )  # fmt: skip
    note = "sums to the line power; chips stand at all hours, services work by their load curve, trainings at all hours alike"
    return Table("Energy by price", columns, rows, note)


def carbon_table(sites: Sequence[SiteEnergy]) -> Table:
    """Energy of one's own chips by site, its cost and the carbon of its grid; nothing where none draw any."""
    currency = sites[0].cost.currency if sites else ""
    columns = (
        Column("site"),
        Column("region"),
        Column("energy", "MWh"),
        Column("cost", currency),
        Column("carbon of the grid", "kg/kWh"),
        Column("carbon", "t"),
    )
    rows = tuple(
        (
            one.site, one.region, ranged(one.energy_j, one.energy_j_interval, 1.0 / J_PER_KWH / KILO),
            ranged(one.cost.amount, one.cost_interval), one.carbon_kg_per_kwh,
            ranged(one.carbon_kg, one.carbon_kg_interval, 1.0 / KILO),
        )
        for one in sites
        if one.energy_j > 0.0
    )  # fmt: skip
    words = (
        "of chips of one's own, overhead of the building included; the energy of rented chips is in their rent and not counted"
    )
    return Table("Energy and carbon by site", columns, rows, words)
