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

    Columns: pairs, tokens, waiting, rented chips, busy chips on the site, chips that a run lacks, and by kind of chip with
    a spot offer the spot chips that runs take. Rows: presence and work (one per chip each), services met, and by kind with
    a spot offer three that keep the mean traffic of interactive services on chips that nobody takes back: it fits on what
    is left of these beside the runs, which may take spot chips, but no more than there are and than they need. A rented
    chip is paid as long as it is held: where chips are scarce, none is handed back for the night. Chips elsewhere take
    their part of the work, so that energy is paid for the rest.
    """

    pairs: int
    tokens: int
    wait: int
    hours: int
    busy: int
    lacking: int
    taken: int
    cols: int
    work: int
    met: int
    firm: int
    rows: int
    spotted: Ints
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
    taken = lacking + k
    work, met = k, 2 * k
    firm = met + d
    spotted = spotted_chips(shape)
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
    for i, chip in enumerate(spotted):
        entries += _firm_entries(shape, chip, (firm + 3 * i, hours, lacking + chip, taken + i))
    table = np.array(entries)
    return Cell(
        pairs, tokens, wait, hours, busy, lacking, taken, taken + len(spotted), work, met, firm, firm + 3 * len(spotted),
        np.array(spotted, dtype=np.int64), table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2],
    )  # fmt: skip


def spotted_chips(shape: Shape) -> list[int]:
    """Kinds of chip that have a spot offer and carry an interactive service."""
    spot = {offer.chip for offer in shape.rents if offer.kind == "spot"}
    carrying = {pair.chip for pair in shape.pairs if shape.services[pair.demand].interactive}
    return [k for k, chip in enumerate(shape.chips) if chip in spot and k in carrying]


def _firm_entries(shape: Shape, chip: int, at: tuple[int, int, int, int]) -> list[tuple[int, int, float]]:
    """Entries of the three rows of a kind: mean traffic on firm chips, spot chips that runs take, runs that take them."""
    row, hours, lacking, taken = at
    entries = [
        (row, j, pair.busy)
        for j, pair in enumerate(shape.pairs)
        if pair.chip == chip and shape.services[pair.demand].interactive
    ]
    entries += [(row, lacking, -1.0), (row, taken, -1.0), (row + 1, taken, 1.0), (row + 2, taken, 1.0)]
    for j, offer in enumerate(shape.rents):
        if shape.chips.index(offer.chip) == chip:
            spot = offer.kind == "spot"
            entries.append((row + 1, hours + j, -spot_share(offer)) if spot else (row, hours + j, -1.0))
    return entries


def rent_lots(shape: Shape, cell: Cell) -> Floats:
    """Chips in one unit of each column: rents are had in whole lots where there is one scenario, else as a mean.

    So are replicas of a service on each kind of chip and site: with fewer chips than one of them there is none.

    Equation:
        lot of the offer, or chips of a replica, for one scenario, else 1.

    Sources:
        [derived].
    """
    lots = np.ones(cell.cols)
    if shape.count == 1:
        lots[cell.hours : cell.busy] = [offer.lot_chips for offer in shape.rents]
        lots[cell.pairs : cell.tokens] = [pair.replica or 1.0 for pair in shape.pairs]
    return lots


def whole_columns(shape: Shape, cell: Cell) -> NDArray[np.bool_]:
    """Columns of a cell that come in whole units with one scenario: rents and replicas.

    Equation:
        whole = rents, and pairs of a service and a chip whose replicas are counted.

    Sources:
        [derived].
    """
    whole = np.zeros(cell.cols, dtype=bool)
    whole[cell.hours : cell.busy] = True
    whole[cell.pairs : cell.tokens] = [pair.replica > 0.0 for pair in shape.pairs]
    return whole


def run_months(start: int, months: float) -> list[tuple[int, float]]:
    """Months that a run covers, with the share of each in which it is at work."""
    whole = int(np.ceil(months - 1e-9))
    return [(start + index, min(1.0, months - index)) for index in range(whole)]


def cell_costs(shape: Shape, cell: Cell) -> tuple[Floats, Floats]:
    """Costs (after tax) and upper bounds of the columns of all cells: scenario, month, column. Standing chips bound none.

    Equation:
        c = price of the column in its month; of what taxes let deduct, times one less the rate.

    Sources:
        [derived].
    """
    size = (shape.count, shape.months, cell.cols)
    cost, upper = np.zeros(size), np.full(size, INF)
    cost[:, :, cell.tokens : cell.wait] = shape.keep * shape.token_cost.transpose(0, 2, 1)
    cost[:, :, cell.wait : cell.hours] = shape.wait_cost.transpose(0, 2, 1)
    upper[:, :, cell.wait : cell.hours] = np.where(shape.wait_allowed.T, INF, 0.0)
    upper[:, :, cell.hours : cell.busy] = shape.rent_stock.T
    cost[:, :, cell.hours : cell.busy] = shape.keep * shape.rent_cost.transpose(0, 2, 1)
    cost[:, :, cell.busy : cell.lacking] = shape.keep * shape.energy_busy
    cost[:, :, cell.lacking : cell.taken] = shape.lacking_cost
    upper[:, :, cell.lacking : cell.taken] = INF if shape.lateness_priced and shape.starts else 0.0
    return cost, upper
