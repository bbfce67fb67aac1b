"""The rows of a plan: every cost once, rounded to the cent, so that rows, lines and total agree."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from suanzhang.money.procurement.calendar import HOURS_PER_MONTH, month_name
from suanzhang.money.procurement.form import sale_lines
from suanzhang.money.procurement.monthcell import Cell
from suanzhang.money.procurement.orders import Floats
from suanzhang.money.procurement.outcome import Outcome, rented_chips
from suanzhang.money.procurement.shape import Shape
from suanzhang.spec.buy import Action, MonthState, RunWindow, ScheduleRow, ServiceShare
from suanzhang.spec.result import Money
from suanzhang.units import HOUR_S

_SMALL = 1e-6
_ORDER: tuple[Action, ...] = (
    "buy", "lease", "reserve", "rent", "spot", "api", "wait", "run", "resell", "retire", "interest", "value left",
)  # fmt: skip
"""Order of the rows of one month."""


def _row(
    shape: Shape, month: int, offer: str, action: Action, chip: str, chips: float, lines: Mapping[str, float], note: str = ""
) -> ScheduleRow:
    cents = {name: round(amount * 100.0) for name, amount in lines.items()}
    problem = shape.problem
    return ScheduleRow(
        month_name(problem.start, month),
        offer,
        action,
        chip,
        chips,
        Money(sum(cents.values()) / 100.0, problem.currency, problem.start),
        tuple((name, amount / 100.0) for name, amount in cents.items() if amount),
        note,
    )


def schedule_rows(shape: Shape, cell: Cell, outcome: Outcome) -> tuple[ScheduleRow, ...]:
    """All rows in the order of months; recourse is the mean over scenarios."""
    rows = [
        *_order_rows(shape, outcome),
        *_run_rows(shape, cell, outcome),
        *_hour_rows(shape, cell, outcome),
        *_wait_rows(shape, cell, outcome),
        *_sale_rows(shape, outcome),
        *_left_rows(shape, outcome),
    ]
    return tuple(sorted(rows, key=lambda row: (row.month, _ORDER.index(row.action), row.offer, row.chip)))


def _order_rows(shape: Shape, outcome: Outcome) -> list[ScheduleRow]:
    rows = []
    for j, order in enumerate(shape.orders):
        if outcome.lots[j] <= 0.0:
            continue
        offer, chips = shape.problem.offers[order.offer], outcome.lots[j] * order.lot
        lines = {name: float(shape.weights @ amounts) * outcome.lots[j] for name, amounts in order.lines}
        lines.pop("value left", 0.0)
        arrival = order.arrival[order.arrival < shape.months]
        text = f"in use from {month_name(shape.problem.start, int(np.median(arrival)))}" if len(arrival) else "not delivered"
        rows.append(_row(shape, order.month, offer.id, offer.kind, offer.chip, chips, lines, text))  # type: ignore[arg-type]
    return rows


def _run_rows(shape: Shape, cell: Cell, outcome: Outcome) -> list[ScheduleRow]:
    rows = []
    site = np.einsum("s,skt->kt", shape.weights, outcome.site)
    busy = np.einsum("s,stk->kt", shape.weights, outcome.cells[:, :, cell.busy : cell.lacking])
    for k, chip in enumerate(shape.chips):
        costs = shape.problem.costs[chip]
        for t in range(shape.months):
            if site[k, t] > _SMALL:
                lines = {name: getattr(costs, name) * float(site[k, t]) for name in ("room", "spares", "support", "staff")}
                lines["power"] = float(shape.energy_idle[k] * site[k, t] + shape.energy_busy[k] * busy[k, t])
                rows.append(_row(shape, t, "own", "run", chip, float(site[k, t]), lines))
    return rows


def _hour_rows(shape: Shape, cell: Cell, outcome: Outcome) -> list[ScheduleRow]:
    rows = []
    hours = outcome.cells[:, :, cell.hours : cell.busy]
    cost = np.einsum("s,str,srt->rt", shape.weights, hours, shape.rent_cost)
    there = np.einsum("s,srt->rt", shape.weights, rented_chips(cell, outcome))
    for r, offer in enumerate(shape.rents):
        for t in range(shape.months):
            if there[r, t] > _SMALL or cost[r, t] > 0.005:
                lines = {"rent": float(cost[r, t])}
                rows.append(_row(shape, t, offer.id, offer.kind, offer.chip, float(there[r, t]), lines))  # type: ignore[arg-type]
    tokens = outcome.cells[:, :, cell.tokens : cell.wait]
    token_cost = np.einsum("s,sta,sat->at", shape.weights, tokens, shape.token_cost)
    for a, (_, offer) in enumerate(shape.tokens):
        for t in range(shape.months):
            if token_cost[a, t] > 0.005:
                rows.append(_row(shape, t, offer.id, "api", "", 0.0, {"tokens": float(token_cost[a, t])}))
    return rows


def _wait_rows(shape: Shape, cell: Cell, outcome: Outcome) -> list[ScheduleRow]:
    rows = []
    wait = np.einsum("s,std->dt", shape.weights, outcome.cells[:, :, cell.wait : cell.hours])
    for d, demand in enumerate(shape.services):
        for t in range(shape.months):
            lines = {"waiting": float(wait[d, t] * shape.wait_cost[d, t])}
            if wait[d, t] > _SMALL or lines["waiting"] > 0.005:
                rows.append(_row(shape, t, demand.name, "wait", "", 0.0, lines, f"{100.0 * wait[d, t]:.1f} % waits"))
    for j, start in enumerate(shape.starts):
        if outcome.starts[j] > 0.5 and start.wait_cost > 0.0:
            rows.append(_row(shape, start.month, shape.runs[start.demand].name, "wait", "", 0.0, {"waiting": start.wait_cost}))
    lacking = np.einsum("s,stk->kt", shape.weights, outcome.cells[:, :, cell.lacking : cell.taken])
    for k, chip in enumerate(shape.chips):
        for t in range(shape.months):
            lines = {"waiting": float(lacking[k, t] * shape.lacking_cost)}
            if lacking[k, t] > _SMALL or lines["waiting"] > 0.005:
                rows.append(_row(shape, t, "late delivery", "wait", chip, float(lacking[k, t]), lines, "chips that runs lack"))
    return rows


def _sale_rows(shape: Shape, outcome: Outcome) -> list[ScheduleRow]:
    rows = []
    rate = shape.problem.interest_per_year / 12.0
    for k, chip in enumerate(shape.chips):
        for t in range(shape.months):
            sold = float(outcome.sales[k, t])
            if sold > _SMALL:
                lines = {"chips": sale_lines(shape, k, t, rate)["chips"] * sold}
                action: Action = "resell" if lines["chips"] < 0.0 else "retire"
                rows.append(_row(shape, t, "own", action, chip, sold, lines, "at the end of the month"))
    return rows


def _left_rows(shape: Shape, outcome: Outcome) -> list[ScheduleRow]:
    """One row for each kind of chip that is still there at the end, with its worth; one for the interest of those held."""
    rows = []
    rate = shape.problem.interest_per_year / 12.0
    for k, chip in enumerate(shape.chips):
        lines = holding_lines(shape, k)
        chips = float(shape.have_site[k, -1]) - float(outcome.sales[k].sum())
        for t in range(shape.months):
            if outcome.sales[k, t] > _SMALL:
                back = sale_lines(shape, k, t, rate)
                for name in lines:
                    lines[name] += back[name] * float(outcome.sales[k, t])
        for j, order in enumerate(shape.orders):
            worth = float(shape.weights @ dict(order.lines).get("value left", np.zeros(shape.count))) * outcome.lots[j]
            if outcome.lots[j] > 0.0 and worth and shape.problem.offers[order.offer].chip == chip:
                lines["value left"] += worth
                chips += outcome.lots[j] * order.lot
        held, end = float(shape.have_site[k].max()) or float(outcome.sales[k].sum()), shape.months - 1
        if abs(lines["finance"]) >= 0.005:
            paid = "on the worth of the chips that were there, until they are sold or the plan ends"
            note = paid if lines["finance"] > 0.0 else "no longer owed on chips that were sold"
            rows.append(_row(shape, end, "own", "interest", chip, held, {"finance": lines["finance"]}, note))
        if abs(lines["value left"]) >= 0.005:
            left = {"value left": lines["value left"]}
            rows.append(_row(shape, end, "own", "value left", chip, max(chips, 0.0), left, "what they and servers would fetch"))
    return rows


def holding_lines(shape: Shape, chip: int) -> dict[str, float]:
    """Constant lines of the chips of one kind that are owned from the start."""
    value = np.einsum("s,st->t", shape.weights, shape.resale[:, chip])
    rate = shape.problem.interest_per_year / 12.0
    return {
        "finance": rate * float((value[: shape.months] * shape.have_site[chip]).sum()),
        "value left": -float(value[shape.months] * shape.have_site[chip, -1]),
    }


def scenario_totals(shape: Shape, cell: Cell, outcome: Outcome) -> Floats:
    """Total cost in each scenario."""
    totals = np.zeros(shape.count)
    for j, order in enumerate(shape.orders):
        if outcome.lots[j] > 0.0:
            totals += outcome.lots[j] * np.sum([amounts for _, amounts in order.lines], axis=0)
    totals += sum(start.wait_cost * outcome.starts[j] for j, start in enumerate(shape.starts))
    totals += np.einsum("k,skt->s", shape.hold + shape.energy_idle, outcome.site)
    cells = outcome.cells
    totals += np.einsum("str,srt->s", cells[:, :, cell.hours : cell.busy], shape.rent_cost)
    totals += np.einsum("sta,sat->s", cells[:, :, cell.tokens : cell.wait], shape.token_cost)
    totals += np.einsum("std,dt->s", cells[:, :, cell.wait : cell.hours], shape.wait_cost)
    totals += np.einsum("stk,k->s", cells[:, :, cell.busy : cell.lacking], shape.energy_busy)
    totals += shape.lacking_cost * cells[:, :, cell.lacking : cell.taken].sum(axis=(1, 2))
    rate = shape.problem.interest_per_year / 12.0
    for k in range(len(shape.chips)):
        for t in range(shape.months):
            if outcome.sales[k, t] > 0.0:
                totals += outcome.sales[k, t] * sum(sale_lines(shape, k, t, rate).values())
        totals += sum(holding_lines(shape, k).values())
    return totals


def run_windows(shape: Shape, outcome: Outcome) -> tuple[RunWindow, ...]:
    """When and on what each run goes."""
    found = []
    for j, start in enumerate(shape.starts):
        if outcome.starts[j] > 0.5:
            need = start.need
            last = start.month + int(np.ceil(need.months - 1e-9)) - 1
            begin, end = (month_name(shape.problem.start, month) for month in (start.month, last))
            found.append(RunWindow(shape.runs[start.demand].name, need.chip, need.chips, need.label, begin, end, need.months))
    return tuple(found)


def service_shares(shape: Shape, cell: Cell, outcome: Outcome) -> tuple[ServiceShare, ...]:
    """How much of each service stands on what in each month."""
    mean = np.einsum("s,stc->tc", shape.weights, outcome.cells)
    found = []
    for t in range(shape.months):
        month = month_name(shape.problem.start, t)
        for j, pair in enumerate(shape.pairs):
            chips = float(mean[t, cell.pairs + j])
            if chips > _SMALL:
                name = shape.services[pair.demand].name
                found.append(ServiceShare(name, month, shape.chips[pair.chip], chips, chips / pair.chips))
        for a, (d, _) in enumerate(shape.tokens):
            if mean[t, cell.tokens + a] > _SMALL:
                found.append(ServiceShare(shape.services[d].name, month, "", 0.0, float(mean[t, cell.tokens + a])))
        for d, demand in enumerate(shape.services):
            if mean[t, cell.wait + d] > _SMALL:
                found.append(ServiceShare(demand.name, month, "waiting", 0.0, float(mean[t, cell.wait + d])))
    return tuple(found)


def month_states(shape: Shape, cell: Cell, outcome: Outcome, rows: tuple[ScheduleRow, ...]) -> tuple[MonthState, ...]:
    """What stands in each month, what it draws, and the cash that it takes."""
    site = np.einsum("s,skt->kt", shape.weights, outcome.site)
    hosted = np.einsum("s,skt->kt", shape.weights, outcome.hosted)
    rented = np.einsum("s,srt->rt", shape.weights, rented_chips(cell, outcome))
    busy = np.einsum("s,stk->kt", shape.weights, outcome.cells[:, :, cell.busy : cell.lacking])
    found = []
    for t in range(shape.months):
        month = month_name(shape.problem.start, t)
        away: dict[str, float] = {}
        for r, offer in enumerate(shape.rents):
            away[offer.chip] = away.get(offer.chip, 0.0) + float(rented[r, t])
        draw = peak = 0.0
        for k, chip in enumerate(shape.chips):
            costs = shape.problem.costs[chip]
            away[chip] = away.get(chip, 0.0) + float(hosted[k, t])
            draw += costs.pue * (costs.idle_w * site[k, t] + (costs.busy_w - costs.idle_w) * busy[k, t])
            peak += costs.pue * costs.peak_w * site[k, t]
        owned = {chip: float(site[k, t]) for k, chip in enumerate(shape.chips) if site[k, t] > _SMALL}
        cash = sum(
            amount
            for row in rows
            if row.month == month
            for name, amount in row.lines
            if name not in ("finance", "waiting", "value left")
        )
        there = {chip: chips for chip, chips in away.items() if chips > _SMALL}
        found.append(MonthState(month, owned, there, float(draw), float(peak), float(draw) * HOURS_PER_MONTH * HOUR_S, cash))
    return tuple(found)
