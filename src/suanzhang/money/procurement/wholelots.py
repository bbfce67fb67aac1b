"""A second attempt at a programme that the plain search does not close: a start month by month, and chips counted in lots.

What is rented by the hour in one month touches no other month once orders, sales and starts of runs are held. A search over
all months together has to branch on the rounding of each; month by month it is a small programme, solved at once.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from suanzhang.errors import SolverError
from suanzhang.money.procurement.columns import Columns
from suanzhang.money.procurement.form import Form
from suanzhang.money.procurement.highs import Programme, Solution, solve_programme
from suanzhang.money.procurement.orders import Floats
from suanzhang.money.procurement.watch import Watch

_FIRST_S, _MONTH_S = 10.0, 2.0
_FIRST_GAP, _MONTH_GAP = 5e-4, 1e-5
_HELD = 1e-6


def closed_further(
    form: Form, cols: Columns, programme: Programme, found: Solution | None, time_limit_s: float, watch: Watch
) -> Solution:
    """A plan at least as good as the one found, and a bound at least as high.

    Model:
        The start is the better of the plan found and one in two steps: orders, sales and starts of runs with rents in
        fractions, then each month's rents in whole lots. The search then counts standing chips in the lots in which they come
        and go, which it cannot know from columns that count chips: it may branch on them and round its cuts.

    Args:
        form: the programme under construction, for the place of its columns and rows.
        cols: where the columns begin.
        programme: as it is solved.
        found: the plan and bound of the plain search; None where it found no plan.
        time_limit_s: of this attempt.
        watch: who is told, and may stop it.

    Raises:
        SolverError: no plan was found.
    """
    start = monthly_start(form, cols, programme, watch)
    if found is not None and watch.stop():
        return found
    if found is not None and (start is None or found.objective <= programme.cost @ start):
        start = found.values
    scale, integer = _counted_in_lots(form, cols, programme)
    again = solve_programme(
        _scaled(programme, scale, integer), gap=form.shape.problem.gap, time_limit_s=time_limit_s, watch=watch,
        start=None if start is None else start / scale,
    )  # fmt: skip
    if again.status == "infeasible":
        return again
    again = replace(again, values=again.values * scale, col_duals=again.col_duals / scale)
    if found is None:
        return again
    best = again if again.objective <= found.objective else found
    return replace(best, bound=max(again.bound, found.bound), seconds=again.seconds + found.seconds)


def monthly_start(form: Form, cols: Columns, programme: Programme, watch: Watch) -> Floats | None:
    """Values of all columns of a plan in two steps; None where a step has no answer or the months do not hold together."""
    aside = Watch(watch.clock, watch.stop)
    first = programme.integer.copy()
    first[cols.cells : cols.tail] = False
    if not programme.integer[cols.cells : cols.tail].any():
        return None
    try:
        rough = solve_programme(replace(programme, integer=first), gap=_FIRST_GAP, time_limit_s=_FIRST_S, watch=aside)
        if rough.status == "infeasible":
            return None
        whole = np.round(rough.values)
        lower, upper = np.where(first, whole, programme.lower), np.where(first, whole, programme.upper)
        held = solve_programme(replace(programme, lower=lower, upper=upper), gap=0.0, time_limit_s=_FIRST_S, relax=True)
        if held.status == "infeasible":
            return None
        values = held.values.copy()
        for t in range(cols.months):
            if watch.stop():
                return None
            own = np.arange(cols.cell_at(0, t), cols.cell_at(0, t) + form.cell.cols)
            month = _month(form, programme, values, own, t)
            best = solve_programme(month, gap=_MONTH_GAP, time_limit_s=_MONTH_S)
            if best.status == "infeasible":
                return None
            values[own] = best.values
    except SolverError:
        return None
    return values if _holds(programme, values) else None


def _month(form: Form, programme: Programme, values: Floats, own: np.ndarray, t: int) -> Programme:
    """The programme of one month alone, with all other columns at their values."""
    from scipy.sparse import csc_matrix

    rows = np.arange(form.first_cell + t * form.cell.rows, form.first_cell + (t + 1) * form.cell.rows)
    matrix = csc_matrix((programme.value, programme.index, programme.start), shape=(len(programme.row_lower), len(values)))
    outside = values.copy()
    outside[own] = 0.0
    there = np.asarray(matrix @ outside).ravel()[rows]
    inside = csc_matrix(matrix[:, own][rows])
    return Programme(
        programme.cost[own], programme.lower[own], programme.upper[own], programme.integer[own],
        programme.row_lower[rows] - there, programme.row_upper[rows] - there,
        inside.indptr.astype(np.int32), inside.indices.astype(np.int32), inside.data,
    )  # fmt: skip


def _holds(programme: Programme, values: Floats) -> bool:
    """Whether all rows hold: months together may pass a limit that they share, such as a budget."""
    from scipy.sparse import csc_matrix

    shape = (len(programme.row_lower), len(values))
    used = np.asarray(csc_matrix((programme.value, programme.index, programme.start), shape=shape) @ values).ravel()
    slack = _HELD * np.maximum(np.abs(used), 1.0)
    return bool(np.all(used >= programme.row_lower - slack) and np.all(used <= programme.row_upper + slack))


def _counted_in_lots(form: Form, cols: Columns, programme: Programme) -> tuple[Floats, np.ndarray]:
    """Chips in one unit of each column, standing chips in their lots where they come and go in whole ones; what is whole."""
    shape = form.shape
    scale, integer = np.ones(len(programme.cost)), programme.integer.copy()
    for k in range(cols.chips):
        sizes = [order.lot for order in shape.orders if k in (order.kind, order.source)] + [float(shape.sale_lot[k])]
        sizes += [float(chips) for have in (shape.have_site[k], shape.have_hosted[k]) for chips in have if chips > 0.0]
        if not all(float(size).is_integer() for size in sizes):
            continue
        lot = float(np.gcd.reduce([int(size) for size in sizes]))
        for first in (cols.site, cols.hosted):
            part = slice(first + k * cols.months, first + (k + 1) * cols.months)
            scale[part], integer[part] = lot, True
    return scale, integer


def _scaled(programme: Programme, scale: Floats, integer: np.ndarray) -> Programme:
    """The programme with columns that count in other units."""
    by_entry = np.repeat(scale, np.diff(programme.start))
    return replace(
        programme, cost=programme.cost * scale, lower=programme.lower / scale, upper=programme.upper / scale,
        integer=integer, value=programme.value * by_entry,
    )  # fmt: skip
