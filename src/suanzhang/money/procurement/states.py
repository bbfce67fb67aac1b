"""What a plan looks like month by month: runs, services and what stands, draws and is paid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from suanzhang.money.procurement.calendar import HOURS_PER_MONTH, month_name
from suanzhang.money.procurement.monthcell import Cell
from suanzhang.money.procurement.orders import Floats
from suanzhang.money.procurement.outcome import Outcome, rented_chips
from suanzhang.money.procurement.places import KW, limits_of
from suanzhang.money.procurement.shape import Shape
from suanzhang.spec.buy import NOT_CASH, MonthState, RunWindow, ScheduleRow, ServiceShare
from suanzhang.spec.place import PlaceState
from suanzhang.units import HOUR_S

SMALL = 1e-6
"""Counts below it are what floats leave behind."""


def rounded(chips: float) -> float:
    """A count without what floats leave behind.

    Equation:
        the nearest whole number where it is closer than 1e-6, else the count.

    Sources:
        [derived].
    """
    return float(round(chips)) if abs(chips - round(chips)) < SMALL else chips


def run_windows(shape: Shape, outcome: Outcome) -> tuple[RunWindow, ...]:
    """When and on what each run goes."""
    found = []
    for j, start in enumerate(shape.starts):
        if outcome.starts[j] > 0.5:
            need = start.need
            last = start.month + int(np.ceil(need.months - 1e-9)) - 1
            begin, end = (month_name(shape.problem.start, month) for month in (start.month, last))
            chip, site = shape.label(shape.chips.index(need.chip))
            name = shape.runs[start.demand].name
            found.append(RunWindow(name, chip, need.chips, need.label, begin, end, need.months, site=site))
    return tuple(found)


def service_shares(shape: Shape, cell: Cell, outcome: Outcome) -> tuple[ServiceShare, ...]:
    """How much of each service stands on what in each month.

    Equation:
        share = size / sum of the sizes of its service and month, size = chips / chips that carry level 1.

    Sources:
        [derived].
    """
    mean = np.einsum("s,stc->tc", shape.weights, outcome.cells)
    found: list[ServiceShare] = []

    def add(name: str, month: str, chip: str, chips: float, size: float, site: str = "") -> None:
        found.append(ServiceShare(name, month, chip, rounded(chips), size, site, size))

    for t in range(shape.months):
        month = month_name(shape.problem.start, t)
        for j, pair in enumerate(shape.pairs):
            chips = float(mean[t, cell.pairs + j])
            if chips > SMALL:
                chip, site = shape.label(pair.chip)
                add(shape.services[pair.demand].name, month, chip, chips, chips / pair.chips, site)
        for a, (d, _) in enumerate(shape.tokens):
            if mean[t, cell.tokens + a] > SMALL:
                add(shape.services[d].name, month, "", 0.0, float(mean[t, cell.tokens + a]))
        for d, demand in enumerate(shape.services):
            if mean[t, cell.wait + d] > SMALL:
                add(demand.name, month, "waiting", 0.0, float(mean[t, cell.wait + d]))
    whole: dict[tuple[str, str], float] = {}
    for one in found:
        whole[one.demand, one.month] = whole.get((one.demand, one.month), 0.0) + one.size_factor
    return tuple(replace(one, share=one.size_factor / whole[one.demand, one.month]) for one in found)


def month_states(shape: Shape, cell: Cell, outcome: Outcome, rows: tuple[ScheduleRow, ...]) -> tuple[MonthState, ...]:
    """What stands in each month, what it draws, and the cash that it takes."""
    site = np.einsum("s,skt->kt", shape.weights, outcome.site)
    hosted = np.einsum("s,skt->kt", shape.weights, outcome.hosted)
    rented = np.einsum("s,srt->rt", shape.weights, rented_chips(cell, outcome))
    busy = np.einsum("s,stk->kt", shape.weights, outcome.cells[:, :, cell.busy : cell.lacking])
    states = place_states(shape, outcome.lots, site, busy)
    found = []
    for t in range(shape.months):
        month = month_name(shape.problem.start, t)
        away: dict[str, float] = {}
        owned: dict[str, float] = {}
        for r, offer in enumerate(shape.rents):
            away[offer.chip] = away.get(offer.chip, 0.0) + float(rented[r, t])
        for k in range(len(shape.chips)):
            chip = shape.label(k)[0]
            away[chip] = away.get(chip, 0.0) + float(hosted[k, t])
            if site[k, t] > SMALL:
                owned[chip] = rounded(owned.get(chip, 0.0) + float(site[k, t]))
        draw, peak = (float(sum(getattr(state, name) for state in states[t])) for name in ("draw_w", "peak_w"))
        cash = sum(amount for row in rows if row.month == month for name, amount in row.lines if name not in NOT_CASH)
        powered = sum(amount for row in rows if row.month == month for name, amount in row.lines if name == "power")
        there = {chip: rounded(chips) for chip, chips in away.items() if chips > SMALL}
        places = states[t] if shape.problem.places else ()
        energy = draw * HOURS_PER_MONTH * HOUR_S
        found.append(MonthState(month, owned, there, draw, peak, energy, cash, places=places, energy_cost=powered))
    return tuple(found)


def place_states(shape: Shape, lots: Floats, site: Floats, busy: Floats) -> list[tuple[PlaceState, ...]]:
    """What stands on each site by month, what it draws and what it could hold."""
    problem, found = shape.problem, []
    limits = limits_of(problem, shape.chips)
    names = [place.site for place in problem.places] if len(problem.places) > 1 else [""]
    for t in range(shape.months):
        states = []
        for name in names:
            kinds = [k for k in range(len(shape.chips)) if shape.label(k)[1] == name]
            draw = peak = racks = 0.0
            for k in kinds:
                costs = problem.costs[shape.chips[k]]
                draw += float(costs.pue * (costs.idle_w * site[k, t] + (costs.busy_w - costs.idle_w) * busy[k, t]))
                peak += float(costs.pue * costs.peak_w * site[k, t])
                racks += float(costs.racks * site[k, t])
            owned = tuple((shape.label(k)[0], float(site[k, t])) for k in kinds if site[k, t] > SMALL)
            most: dict[str, float | None] = {"power": None, "room": None}
            for limit in limits:
                if limit.site == name:
                    built = sum(
                        lots[j] * limit.works.get(order.name, 0.0)
                        for j, order in enumerate(shape.orders)
                        if order.kind < 0 and int(order.arrival[0]) <= t
                    )
                    most[limit.what] = float(limit.most[t] + built)
            shown = name or (problem.places[0].site if problem.places else "")
            power = most["power"]
            watts = None if power is None else power * KW
            energy = draw * HOURS_PER_MONTH * HOUR_S
            states.append(PlaceState(shown, owned, draw, peak, energy, watts, racks, most["room"]))
        found.append(tuple(states))
    return found
