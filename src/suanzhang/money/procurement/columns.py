"""Where the columns of each kind begin in the programme in full."""

from __future__ import annotations

from dataclasses import dataclass

from suanzhang.money.procurement.monthcell import Cell
from suanzhang.money.procurement.places import limits_of
from suanzhang.money.procurement.shape import Shape


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the columns of each kind begin."""

    orders: int
    minimum: int
    starts: int
    sales: int
    most: int
    own: int
    site: int
    hosted: int
    cells: int
    tail: int
    total: int
    chips: int
    months: int
    cell_cols: int

    def sale(self, chip: int, month: int) -> int:
        """Column of a sale."""
        return self.sales + chip * self.months + month

    def site_at(self, scenario: int, chip: int, month: int) -> int:
        """Column of chips on the site."""
        return self.site + (scenario * self.chips + chip) * self.months + month

    def cell_at(self, scenario: int, month: int) -> int:
        """First column of a cell."""
        return self.cells + (scenario * self.months + month) * self.cell_cols


def columns_of(shape: Shape, cell: Cell) -> Columns:
    """Layout of the columns."""
    problem, k, t, s = shape.problem, len(shape.chips), shape.months, shape.count
    orders = 0
    minimum = len(shape.orders)
    starts = minimum + len(shape.orders)
    sales = starts + len(shape.starts)
    most = sales + k * t
    own = most + (k * t if limits_of(problem, shape.chips) else 0)
    site = own + len(shape.owned) * t
    hosted = site + s * k * t
    cells = hosted + s * k * t
    tail = cells + s * t * cell.cols
    total = tail + (1 + s if problem.cvar_weight > 0.0 else 0)
    return Columns(orders, minimum, starts, sales, most, own, site, hosted, cells, tail, total, k, t, cell.cols)
