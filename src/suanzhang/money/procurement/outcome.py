"""What a solved plan holds before it is put into words: orders, starts, standing chips and the cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from suanzhang.money.procurement.columns import Columns
from suanzhang.money.procurement.monthcell import Cell, rent_lots, run_months
from suanzhang.money.procurement.orders import Floats
from suanzhang.money.procurement.shape import Shape


@dataclass(frozen=True, slots=True)
class Outcome:
    """Values of all decisions; arrays over scenario, chip, month, and the columns of cells."""

    lots: Floats  # order
    starts: Floats  # start
    sales: Floats  # chip, month
    site: Floats  # scenario, chip, month
    hosted: Floats  # scenario, chip, month
    cells: Floats  # scenario, month, column


def outcome_of(shape: Shape, cell: Cell, cols: Columns, values: Floats) -> Outcome:
    """The values of a solved form by meaning; integers are rounded to integers."""
    k, t, s = cols.chips, cols.months, shape.count
    return Outcome(
        np.round(values[: len(shape.orders)]),
        np.round(values[cols.starts : cols.sales]),
        np.round(values[cols.sales : cols.most]).reshape(k, t) * shape.sale_lot[:, None],
        np.maximum(values[cols.site : cols.hosted], 0.0).reshape(s, k, t),
        np.maximum(values[cols.hosted : cols.cells], 0.0).reshape(s, k, t),
        np.maximum(values[cols.cells : cols.tail], 0.0).reshape(s, t, cell.cols) * rent_lots(shape, cell),
    )


def standing(shape: Shape, lots: Floats, sales: Floats | None = None) -> tuple[Floats, Floats]:
    """Chips that stand on the site and under contract for given orders: scenario, chip, month.

    Equation:
        n_t = there at the start + sum of lots whose arrival <= t < end - moved or sold before t.

    Sources:
        [derived].
    """
    s_count, k_count, t_count = shape.count, len(shape.chips), shape.months
    site = np.tile(shape.have_site, (s_count, 1, 1))
    hosted = np.tile(shape.have_hosted, (s_count, 1, 1))
    months = np.arange(t_count)
    for j, order in enumerate(shape.orders):
        if lots[j] != 0.0:
            there = (months >= order.arrival[:, None]) & (months < order.leave[:, None])
            if order.kind >= 0:
                (hosted if order.hosted else site)[:, order.kind] += lots[j] * order.lot * there
            if order.source >= 0:
                site[:, order.source] -= lots[j] * order.lot * (months >= order.taken[:, None])
    if sales is not None:
        gone = np.concatenate([np.zeros((k_count, 1)), np.cumsum(sales, axis=1)[:, :-1]], axis=1)
        site = site - gone
    return site, hosted


def really_there(shape: Shape, site: Floats) -> Floats:
    """Chips on the site by scenario, kind and month when orders made for other futures move or sell what has not come yet.

    A kind that falls below zero was moved before it was there: as many are missing where they went.

    Equation:
        max(n, 0) less what others of the kind are short of.

    Sources:
        [derived].
    """
    found = site.copy()
    kinds: dict[str, list[int]] = {}
    for k in range(len(shape.chips)):
        kinds.setdefault(shape.label(k)[0], []).append(k)
    for members in kinds.values():
        short = np.minimum(found[:, members], 0.0).sum(axis=1)
        for k in members:
            found[:, k] = np.maximum(found[:, k], 0.0)
            taken = np.minimum(found[:, k], -short)
            found[:, k] -= taken
            short += taken
    return found


def run_load(shape: Shape, starts: Floats) -> tuple[Floats, Floats]:
    """Chips that runs hold, and work with, by chip and month.

    Equation:
        held_t = sum of starts x chips over the months of a run; work_t = held_t x share at work.

    Sources:
        [derived].
    """
    held = np.zeros((len(shape.chips), shape.months))
    work = np.zeros_like(held)
    for j, start in enumerate(shape.starts):
        if starts[j] > 0.0:
            k = shape.chips.index(start.need.chip)
            for month, share in run_months(start.month, start.need.months):
                held[k, month] += starts[j] * start.need.chips
                work[k, month] += starts[j] * start.need.chips * start.need.busy * share
    return held, work


def rented_chips(cell: Cell, outcome: Outcome) -> Floats:
    """Chips rented by the hour: scenario, rent, month.

    Equation:
        chips of the columns of rents by the hour.

    Sources:
        [derived].
    """
    return outcome.cells[:, :, cell.hours : cell.busy].transpose(0, 2, 1)
