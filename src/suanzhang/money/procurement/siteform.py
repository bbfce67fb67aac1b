"""Rows of the sites: power and room by month, what is built, and chips that can be moved or sold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from suanzhang.money.procurement.calendar import FOREVER, month_name
from suanzhang.money.procurement.monthcell import INF, Ints
from suanzhang.money.procurement.orders import Order
from suanzhang.money.procurement.places import limits_of

if TYPE_CHECKING:
    from suanzhang.money.procurement.columns import Columns
    from suanzhang.money.procurement.form import Form
    from suanzhang.money.procurement.shape import Shape


@dataclass(frozen=True, slots=True)
class Mark:
    """A row that is a limit which a reader knows.

    Args:
        row: index of the row.
        value: the limit in its unit.
        unit: of the value.
        kind: "budget", "power", "room", "stock" or "due".
        per: units of the limit in one unit of the row, so that a dual over ``per`` is the worth of one more unit.
        subject: the offer whose stock it is, or the service that is due; empty otherwise.
    """

    row: int
    value: float
    unit: str
    kind: str
    per: float = 1.0
    subject: str = ""


def taken_away(order: Order) -> list[tuple[int, Ints, float]]:
    """Kind, months and sign of the chips that a move or sale takes from where they are."""
    return [(order.source, order.taken, 1.0)] if order.source >= 0 else []


def _balance(form: Form, cols: Columns, kinds: tuple[int, ...], column: int, earliest: bool) -> None:
    """Chips of some kinds by month for sure: all that may stand at the earliest delivery, or one's own at the latest."""
    shape, t_count = form.shape, cols.months
    change = np.diff(shape.have_site[list(kinds)], axis=1, prepend=0.0).ravel()
    first = form.add_rows(change, change.copy())
    index = np.arange(len(kinds) * t_count)
    form.add(first + index, column + index, 1.0)
    carry = index % t_count > 0
    form.add((first + index)[carry], (column + index)[carry] - 1, -1.0)
    for j, order in enumerate(shape.orders):
        leased = order.offer >= 0 and shape.problem.offers[order.offer].kind == "lease"
        if order.hosted or (leased and not earliest):
            continue
        arrival = int(order.arrival.min() if earliest else order.arrival.max())
        away = [(order.source, _away(shape, order, earliest), 1.0)]
        for k, when, sign in ((order.kind, arrival, -1.0), (order.kind, int(order.leave.max()), 1.0), *away):
            if k in kinds and when < t_count:
                form.add(first + kinds.index(k) * t_count + when, j, sign * order.lot)
    for i, k in enumerate(kinds):
        for t in range(t_count - 1):
            if form.upper[cols.sale(k, t)] > 0.0:
                form.add(first + i * t_count + t + 1, cols.sale(k, t), float(shape.sale_lot[k]))


def _away(shape: Shape, order: Order, earliest: bool) -> int:
    """Month from which moved or sold chips are surely gone, or no more surely there where the latest delivery counts.

    Chips that were ordered are not counted as one's own before their latest delivery, nor counted off before it.
    """
    if order.parent < 0:
        return order.month
    arrival = shape.orders[order.parent].arrival
    coming = arrival < shape.months
    if earliest:
        return int(order.taken[coming].max()) if coming.any() else FOREVER
    return max(order.month, int(arrival.max()))


def add_sites(form: Form, cols: Columns) -> None:
    """Power and room of each site, with what is built there; moves and sales only of chips that are there and one's own."""
    shape, problem, t_count = form.shape, form.shape.problem, cols.months
    limits = limits_of(problem, shape.chips)
    if limits:
        _balance(form, cols, tuple(range(cols.chips)), cols.most, earliest=True)
    if shape.owned:
        _balance(form, cols, shape.owned, cols.own, earliest=False)
    for limit in limits:
        row = form.add_rows(np.full(t_count, -INF), limit.most.copy())
        for t in range(t_count):
            form.add(row + t, [cols.most + k * t_count + t for k in limit.kinds], limit.use)
            name = f"{limit.what} of {limit.site or 'the site'} in {month_name(problem.start, t)}"
            form.marks[name] = Mark(row + t, float(limit.most[t]), limit.unit, limit.what)
        for j, order in enumerate(shape.orders):
            if order.kind < 0 and order.name in limit.works:
                form.add(row + np.arange(int(order.arrival[0]), t_count), j, -limit.works[order.name])
