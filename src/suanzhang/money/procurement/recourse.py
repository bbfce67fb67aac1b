"""The cost of recourse for given orders and starts, and how it changes with them: all cells at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from suanzhang.errors import SolverError
from suanzhang.money.procurement.cells import solve_cells
from suanzhang.money.procurement.monthcell import Cell, cell_costs
from suanzhang.money.procurement.orders import Floats
from suanzhang.money.procurement.outcome import run_load, standing
from suanzhang.money.procurement.shape import Shape

_THREADS = 2
_BOUND = 1e9


@dataclass(frozen=True, slots=True)
class Answer:
    """Cost of every cell and the worth of one more chip in it: scenario, month (and chip); of one more that a run holds."""

    value: Floats
    presence: Floats
    held: Floats
    work: Floats
    columns: Floats


@dataclass
class Recourse:
    """All cells of a shape with their last bases."""

    shape: Shape
    cell: Cell
    unit: float = field(init=False)
    ridx: NDArray[np.int64] = field(init=False)
    rval: Floats = field(init=False)
    scale: Floats = field(init=False)
    cost: Floats = field(init=False)
    upper: Floats = field(init=False)
    basis: NDArray[np.int64] = field(init=False)
    place: NDArray[np.int8] = field(init=False)
    inverse: Floats = field(init=False)

    def __post_init__(self) -> None:
        shape, cell = self.shape, self.cell
        k = len(shape.chips)
        n, m = cell.cols, cell.rows
        self.unit = float(np.median([pair.chips for pair in shape.pairs])) if shape.pairs else 1000.0
        self.scale = np.full(n, self.unit)
        self.scale[cell.pairs : cell.tokens] = [pair.chips for pair in shape.pairs]
        self.scale[cell.tokens : cell.hours] = 1.0
        row_scale = np.full(m, 1.0 / self.unit)
        row_scale[cell.met : cell.firm] = -1.0
        width = max(3, int(np.bincount(cell.a_col).max()))
        self.ridx, self.rval = np.zeros((n, width), dtype=np.int64), np.zeros((n, width))
        filled = np.zeros(n, dtype=np.int64)
        for row, col, value in zip(cell.a_row, cell.a_col, cell.a_val, strict=True):
            self.ridx[col, filled[col]] = row
            self.rval[col, filled[col]] = value * row_scale[row] * self.scale[col]
            filled[col] += 1
        cost, upper = cell_costs(shape, cell)
        count = shape.count * shape.months
        self.cost = np.ascontiguousarray((cost * self.scale).reshape(count, n))
        self.upper = np.ascontiguousarray(np.minimum(upper / self.scale, _BOUND).reshape(count, n))
        self.basis = np.tile(np.arange(n, n + m), (count, 1))
        self.place = np.tile(np.concatenate([np.zeros(n), np.full(m, 2)]).astype(np.int8), (count, 1))
        self.inverse = np.tile(np.eye(m), (count, 1, 1))
        del k

    def __call__(self, lots: Floats, starts: Floats) -> Answer:
        """Solve every cell for these orders and starts.

        Raises:
            SolverError: a cell has no answer.
        """
        return self.answer(*standing(self.shape, lots), *run_load(self.shape, starts))

    def answer(self, site: Floats, hosted: Floats, held: Floats, work: Floats) -> Answer:
        """Solve every cell for chips that stand there and chips that runs hold and work with.

        Args:
            site: chips on the site, shape (scenario, chip, month).
            hosted: chips under contract, shape (scenario, chip, month).
            held: chips that runs hold, shape (chip, month), or (scenario, chip, month) where futures differ in it.
            work: chips that runs work with, as ``held``.

        Raises:
            SolverError: a cell has no answer.
        """
        shape, cell = self.shape, self.cell
        k, count = len(shape.chips), shape.count * shape.months
        rhs = np.zeros((shape.count, shape.months, cell.rows))
        rhs[:, :, :k] = (site + hosted - held).transpose(0, 2, 1) / self.unit
        rhs[:, :, k : cell.met] = (hosted * shape.most_busy[:, None] - work).transpose(0, 2, 1) / self.unit
        rhs[:, :, cell.met : cell.firm] = -shape.level.transpose(0, 2, 1)
        spot = cell.spotted
        rhs[:, :, cell.firm :: 3] = (site + hosted - held)[:, spot].transpose(0, 2, 1) / self.unit
        rhs[:, :, cell.firm + 2 :: 3] = np.broadcast_to(held, site.shape)[:, spot].transpose(0, 2, 1) / self.unit
        flat = rhs.reshape(count, cell.rows)
        x, y = np.zeros((count, cell.cols + cell.rows)), np.zeros((count, cell.rows))
        value, fail = np.zeros(count), np.zeros(count, dtype=np.int64)
        cuts = np.linspace(0, count, _THREADS + 1).astype(int)

        def part(low: int, high: int) -> None:
            rows = slice(low, high)
            solve_cells(
                self.ridx, self.rval, self.cost[rows], self.upper[rows], flat[rows], self.basis[rows],
                self.place[rows], self.inverse[rows], x[rows], y[rows], value[rows], fail[rows],
            )  # fmt: skip

        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(part, cuts[:-1], cuts[1:]))
        if fail.any():
            raise SolverError(f"{int(fail.sum())} months of scenarios have no answer", fix="report the question")
        size = (shape.count, shape.months)
        presence = y[:, :k].copy()
        presence[:, spot] += y[:, cell.firm :: 3]
        holding = presence.copy()
        holding[:, spot] -= y[:, cell.firm + 2 :: 3]
        return Answer(
            value.reshape(size),
            presence.reshape(*size, k) / self.unit,
            holding.reshape(*size, k) / self.unit,
            y[:, k : cell.met].reshape(*size, k) / self.unit,
            (x[:, : cell.cols] * self.scale).reshape(*size, cell.cols),
        )
