"""The cell of one month and scenario: its columns, rows, coefficients, costs and bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from suanzhang.money.procurement.orders import Floats
from suanzhang.money.procurement.shape import Shape, spot_share

Ints = NDArray[np.int64]
INF = float("inf")


@dataclass(frozen=True, slots=True)
class Cell:
    """Columns, rows and coefficients that every cell shares; offsets are local to the cell.

    Columns: pairs, tokens, waiting, rented chips, busy chips on the site, chips that a run lacks. Rows: presence and
    work (one per chip each), services met. A rented chip is paid as long as it is held: where chips are scarce, none
    is handed back for the night. Chips elsewhere take their part of the work, so that energy is paid for the rest.
    """

    pairs: int
    tokens: int
    wait: int
    hours: int
    busy: int
    lacking: int
    cols: int
    work: int
    met: int
    rows: int
    a_row: Ints
    a_col: Ints
    a_val: Floats


def cell_of(shape: Shape) -> Cell:
    """The one cell of a shape."""
    k, r, d = len(shape.chips), len(shape.rents), len(shape.services)
    pairs, tokens = 0, len(shape.pairs)
    wait = tokens + len(shape.tokens)
    hours = wait + d
    busy = hours + r
    lacking = busy + k
    work, met = k, 2 * k
    entries: list[tuple[int, int, float]] = []
    for j, pair in enumerate(shape.pairs):
        entries += [(pair.chip, j, 1.0), (work + pair.chip, j, pair.busy), (met + pair.demand, j, 1.0 / pair.chips)]
    for j, (service, _) in enumerate(shape.tokens):
        entries.append((met + service, tokens + j, 1.0))
    entries += [(met + j, wait + j, 1.0) for j in range(d)]
    for j, offer in enumerate(shape.rents):
        chip, share = shape.chips.index(offer.chip), spot_share(offer)
        entries += [(chip, hours + j, -share), (work + chip, hours + j, -share * float(shape.most_busy[chip]))]
    for j in range(k):
        entries.append((work + j, busy + j, -1.0))
        entries += [(j, lacking + j, -1.0), (work + j, lacking + j, -1.0)]
    table = np.array(entries)
    return Cell(
        pairs, tokens, wait, hours, busy, lacking, lacking + k, work, met, met + d,
        table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2],
    )  # fmt: skip


def rent_lots(shape: Shape, cell: Cell) -> Floats:
    """Chips in one unit of each column: rents are had in whole lots where there is one scenario, else as a mean."""
    lots = np.ones(cell.cols)
    if shape.count == 1:
        lots[cell.hours : cell.busy] = [offer.lot_chips for offer in shape.rents]
    return lots


def run_months(start: int, months: float) -> list[tuple[int, float]]:
    """Months that a run covers, with the share of each in which it is at work."""
    whole = int(np.ceil(months - 1e-9))
    return [(start + index, min(1.0, months - index)) for index in range(whole)]


def cell_costs(shape: Shape, cell: Cell) -> tuple[Floats, Floats]:
    """Costs and upper bounds of the columns of all cells: scenario, month, column. Standing chips bound no column here."""
    size = (shape.count, shape.months, cell.cols)
    cost, upper = np.zeros(size), np.full(size, INF)
    cost[:, :, cell.tokens : cell.wait] = shape.token_cost.transpose(0, 2, 1)
    cost[:, :, cell.wait : cell.hours] = shape.wait_cost.T
    upper[:, :, cell.wait : cell.hours] = np.where(shape.wait_allowed.T, INF, 0.0)
    upper[:, :, cell.hours : cell.busy] = shape.rent_stock.T
    cost[:, :, cell.hours : cell.busy] = shape.rent_cost.transpose(0, 2, 1)
    cost[:, :, cell.busy : cell.lacking] = shape.energy_busy
    cost[:, :, cell.lacking :] = shape.lacking_cost
    upper[:, :, cell.lacking :] = INF if shape.lateness_priced and shape.starts else 0.0
    return cost, upper
