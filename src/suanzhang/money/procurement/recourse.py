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
from suanzhang.money.procurement.purse import Purse
from suanzhang.money.procurement.shape import Shape

_THREADS = 2
_BOUND = 1e9
_CENT = 0.01
_DEAR = 1e4
"""Price on what is paid at which nothing is paid that need not be."""
_CHORDS = 40


@dataclass(frozen=True, slots=True)
class Answer:
    """Cost of every cell and the worth of one more chip in it: scenario, month (and chip); of one more that a run holds.

    Under a budget ``bound`` is the least cost of every cell when what is paid costs more by the ``price`` of a limit (limit,
    scenario); without one it is the cost.
    """

    value: Floats
    presence: Floats
    held: Floats
    work: Floats
    columns: Floats
    bound: Floats
    price: Floats


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
    cash: Floats = field(init=False)
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
        self.cash = np.zeros_like(self.cost)
        for first, end in ((cell.tokens, cell.wait), (cell.hours, cell.lacking)):
            self.cash[:, first:end] = self.cost[:, first:end] / shape.keep
        self.upper = np.ascontiguousarray(np.minimum(upper / self.scale, _BOUND).reshape(count, n))
        self.basis = np.tile(np.arange(n, n + m), (count, 1))
        self.place = np.tile(np.concatenate([np.zeros(n), np.full(m, 2)]).astype(np.int8), (count, 1))
        self.inverse = np.tile(np.eye(m), (count, 1, 1))
        del k

    def __call__(self, lots: Floats, starts: Floats, purse: Purse | None = None) -> Answer:
        """Solve every cell for these orders and starts, within what they leave of a budget.

        Raises:
            SolverError: a cell has no answer.
        """
        return self.answer(*standing(self.shape, lots), *run_load(self.shape, starts), purse, lots)

    def answer(
        self,
        site: Floats,
        hosted: Floats,
        held: Floats,
        work: Floats,
        purse: Purse | None = None,
        lots: Floats | None = None,
    ) -> Answer:
        """Solve every cell for chips that stand there and chips that runs hold and work with.

        Args:
            site: chips on the site, shape (scenario, chip, month).
            hosted: chips under contract, shape (scenario, chip, month).
            held: chips that runs hold, shape (chip, month), or (scenario, chip, month) where futures differ in it.
            work: chips that runs work with, as ``held``.
            purse: the budget; None for no limit.
            lots: the orders, which take their part of it.

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
        values, bound, price = x[:, : cell.cols], value, np.zeros((0, shape.count))
        if purse is not None and lots is not None:
            paying = Paying(self, flat, values, y, value)
            price = paying.within(purse.months, purse.room(lots))
            value = np.einsum("cn,cn->c", values, self.cost)
        presence = y[:, :k].copy()
        presence[:, spot] += y[:, cell.firm :: 3]
        holding = presence.copy()
        holding[:, spot] -= y[:, cell.firm + 2 :: 3]
        return Answer(
            value.reshape(size),
            presence.reshape(*size, k) / self.unit,
            holding.reshape(*size, k) / self.unit,
            y[:, k : cell.met].reshape(*size, k) / self.unit,
            (values * self.scale).reshape(*size, cell.cols),
            bound.reshape(size),
            price,
        )

    def anew(self, rhs: Floats, rows: NDArray[np.int64], price: Floats) -> tuple[Floats, Floats, Floats]:
        """Some cells solved from nothing when all that is paid costs more by a price: values, duals, least costs.

        Raises:
            SolverError: a cell has no answer.
        """
        n, m = self.cell.cols, self.cell.rows
        cost = np.ascontiguousarray(self.cost[rows] + price[:, None] * self.cash[rows])
        x, y = np.zeros((len(rows), n + m)), np.zeros((len(rows), m))
        value, fail = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.int64)
        solve_cells(
            self.ridx, self.rval, cost, np.ascontiguousarray(self.upper[rows]), np.ascontiguousarray(rhs[rows]),
            np.tile(np.arange(n, n + m), (len(rows), 1)),
            np.tile(np.concatenate([np.zeros(n), np.full(m, 2)]).astype(np.int8), (len(rows), 1)),
            np.tile(np.eye(m), (len(rows), 1, 1)), x, y, value, fail,
        )  # fmt: skip
        if fail.any():
            raise SolverError(f"{int(fail.sum())} months of scenarios have no answer", fix="report the question")
        return x[:, :n], y, value


@dataclass
class Paying:
    """Cells of futures that would pay more than their budget, solved again at a price on what is paid.

    The cells of a future share nothing but its budget: at the right price on what is paid they pay just as much as they may.
    Where they jump from more to less at that price, a mean of both plans pays it to the cent.
    """

    recourse: Recourse
    rhs: Floats
    x: Floats
    y: Floats
    least: Floats

    def within(self, months: tuple[int, ...], room: Floats) -> Floats:
        """Change values, duals and least costs so that every limit holds; the prices of the limits (limit, future)."""
        shape = self.recourse.shape
        price = np.zeros(room.shape)
        extra = np.zeros((shape.count, shape.months))
        for i in reversed(range(len(months))):
            first = np.arange(shape.count)[:, None] * shape.months + np.arange(months[i] + 1)
            paid = np.einsum("scn,scn->s", self.x[first], self.recourse.cash[first])
            over = np.flatnonzero(paid > room[i] + _CENT)
            if len(over):
                price[i, over] = self._limited(first[over], room[i, over], extra[over][:, : months[i] + 1])
                extra[over, : months[i] + 1] += price[i, over, None]
        return price

    def _limited(self, cells: NDArray[np.int64], room: Floats, extra: Floats) -> Floats:
        """The price at which some futures pay what they may, by chords between a plan that pays more and one that pays less."""
        count, width = cells.shape
        rows = cells.ravel()

        def totals(x: Floats) -> tuple[Floats, Floats]:
            part = x.reshape(count, width, -1)
            paid = np.einsum("scn,scn->s", part, self.recourse.cash[cells])
            prior = np.einsum("scn,scn,sc->s", part, self.recourse.cash[cells], extra)
            return np.einsum("scn,scn->s", part, self.recourse.cost[cells]) + prior, paid

        more = self.x[rows]
        less, duals, least = self.recourse.anew(self.rhs, rows, (extra + _DEAR).ravel())
        price, final = np.full(count, _DEAR), np.zeros(count, dtype=bool)
        for _ in range(_CHORDS):
            (cost_more, paid_more), (cost_less, paid_less) = totals(more), totals(less)
            chord = np.maximum(cost_less - cost_more, 0.0) / np.maximum(paid_more - paid_less, 1e-12)
            price = np.where(final, price, np.minimum(chord, _DEAR))
            found, duals, least = self.recourse.anew(self.rhs, rows, (extra + price[:, None]).ravel())
            cost, paid = totals(found)
            line = cost_more + price * paid_more
            final |= cost + price * paid >= line - 1e-9 * np.maximum(np.abs(line), 1.0)
            if final.all():
                break
            below, above = np.repeat(~final & (paid <= room), width), np.repeat(~final & (paid > room), width)
            less = np.where(below[:, None], found, less)
            more = np.where(above[:, None], found, more)
        (_, paid_more), (_, paid_less) = totals(more), totals(less)
        share = np.clip((room - paid_less) / np.maximum(paid_more - paid_less, 1e-12), 0.0, 1.0)
        part = np.repeat(share, width)[:, None]
        self.x[rows] = part * more + (1.0 - part) * less
        self.y[rows], self.least[rows] = duals, least
        return price
