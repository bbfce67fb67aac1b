"""The mixed-integer programme in full: first stage, standing chips, and one cell for each month and scenario."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from suanzhang.money.procurement.calendar import month_name
from suanzhang.money.procurement.columns import Columns, columns_of
from suanzhang.money.procurement.highs import Programme, compress
from suanzhang.money.procurement.monthcell import INF, Cell, Ints, cell_costs, cell_of, rent_lots, run_months, whole_columns
from suanzhang.money.procurement.orders import Floats, relieved
from suanzhang.money.procurement.places import base_name
from suanzhang.money.procurement.purse import budget_limits, budget_name, spendable
from suanzhang.money.procurement.shape import Shape
from suanzhang.money.procurement.siteform import Mark, add_sites, taken_away
from suanzhang.spec.buy import NOT_CASH


@dataclass
class Form:
    """A programme under construction: rows with bounds, columns with costs, coefficients as triplets.

    ``cost`` is the expected cost of a column; ``lines`` keeps no detail here, the schedule computes it again from the
    shape with the same figures.
    """

    shape: Shape
    cell: Cell
    cost: Floats
    lower: Floats
    upper: Floats
    integer: NDArray[np.bool_]
    row_lower: list[Floats] = field(default_factory=list)
    row_upper: list[Floats] = field(default_factory=list)
    rows: int = 0
    triplets: list[tuple[Ints, Ints, Floats]] = field(default_factory=list)
    marks: dict[str, Mark] = field(default_factory=dict)
    run_rows: list[int] = field(default_factory=list)
    first_cell: int = 0

    def add_rows(self, lower: Floats, upper: Floats) -> int:
        """Append rows; returns the index of the first."""
        first = self.rows
        self.row_lower.append(lower)
        self.row_upper.append(upper)
        self.rows += len(lower)
        return first

    def free_row(self, row: int) -> None:
        """Set the bounds of a row that are finite to zero, so that its amount can stand on a column instead."""
        for lower, upper in zip(self.row_lower, self.row_upper, strict=True):
            if row < len(lower):
                lower[row] = 0.0 if np.isfinite(lower[row]) else lower[row]
                upper[row] = 0.0 if np.isfinite(upper[row]) else upper[row]
                return
            row -= len(lower)

    def add(self, rows: object, cols: object, values: object) -> None:
        """Append coefficients (broadcast together)."""
        r, c, v = np.broadcast_arrays(np.asarray(rows), np.asarray(cols), np.asarray(values, dtype=float))
        self.triplets.append((r.astype(np.int64).ravel(), c.astype(np.int64).ravel(), v.ravel()))


def build_form(shape: Shape) -> tuple[Form, Columns]:
    """The programme of a shape."""
    cell = cell_of(shape)
    cols = columns_of(shape, cell)
    form = Form(
        shape, cell, np.zeros(cols.total), np.zeros(cols.total), np.full(cols.total, INF), np.zeros(cols.total, dtype=bool)
    )
    _first_stage(form, cols)
    _sales(form, cols)
    _stock(form, cols)
    add_sites(form, cols)
    _cells(form, cols)
    _budget(form, cols)
    _tail(form, cols)
    return form, cols


def add_first_stage(shape: Shape, cell: Cell, extra: int) -> tuple[Form, Columns]:
    """The first stage alone, followed by ``extra`` free columns from 0 up: the start of a master programme."""
    full = columns_of(shape, cell)
    first = full.site
    cols = replace(full, hosted=first, cells=first, tail=first, total=first + extra)
    form = Form(
        shape, cell, np.zeros(cols.total), np.zeros(cols.total), np.full(cols.total, INF), np.zeros(cols.total, dtype=bool)
    )
    _first_stage(form, cols)
    _sales(form, cols)
    add_sites(form, cols)
    return form, cols


def order_total(shape: Shape, index: int) -> Floats:
    """Cost of one lot of an order by scenario.

    Equation:
        C_s = sum over lines of c_ls.

    Sources:
        [derived].
    """
    return np.asarray(np.sum([amounts for _, amounts in shape.orders[index].lines], axis=0))


def _first_stage(form: Form, cols: Columns) -> None:
    shape, problem = form.shape, form.shape.problem
    for j, order in enumerate(shape.orders):
        form.cost[j] = float(shape.weights @ order_total(shape, j))
        form.upper[j] = order.limit_lots
        form.integer[j] = True
        form.upper[cols.minimum + j] = 0.0
        if order.offer >= 0 and (offer := problem.offers[order.offer]).min_order_chips > offer.lot_chips:
            most = order.limit_lots if np.isfinite(order.limit_lots) else 1e6
            form.upper[cols.minimum + j], form.integer[cols.minimum + j] = 1.0, True
            row = form.add_rows(np.array([-INF, 0.0]), np.array([0.0, INF]))
            form.add([row, row, row + 1, row + 1], [j, cols.minimum + j] * 2, [1.0, -most, order.lot, -offer.min_order_chips])
    _on_sale(form)
    _resold(form)
    for chip, cap in useful_chips(shape).items():
        members = [
            j
            for j, o in enumerate(shape.orders)
            if o.offer >= 0 and (f := problem.offers[o.offer]).chip == chip and f.kind == "buy"
        ]
        if members:
            row = form.add_rows(np.array([-INF]), np.array([cap]))
            form.add(row, members, [shape.orders[j].lot for j in members])
    for index in range(len(shape.runs)):
        members = [j for j, start in enumerate(shape.starts) if start.demand == index]
        row = form.add_rows(np.array([1.0]), np.array([1.0]))
        form.run_rows.append(row)
        if members:
            form.add(row, [cols.starts + j for j in members], 1.0)
    for j, start in enumerate(shape.starts):
        form.cost[cols.starts + j] = start.wait_cost
        form.upper[cols.starts + j], form.integer[cols.starts + j] = 1.0, True


def _on_sale(form: Form) -> None:
    """Chips of each offer on sale up to each month, whichever site they go to; works up to their number."""
    shape, problem = form.shape, form.shape.problem
    groups: dict[str, list[int]] = {}
    for j, order in enumerate(shape.orders):
        if order.source < 0:
            groups.setdefault(base_name(problem, order.name), []).append(j)
    for name, members in groups.items():
        limits = {shape.orders[j].month: shape.orders[j].limit_lots for j in members}
        months = sorted(limits)
        for month, after in zip(months, [*months[1:], -1], strict=True):
            if not np.isfinite(limits[month]) or (after >= 0 and limits[after] <= limits[month]):
                continue
            row = form.add_rows(np.array([-INF]), np.array([limits[month]]))
            form.add(row, [j for j in members if shape.orders[j].month <= month], 1.0)
            first = shape.orders[members[0]]
            if first.offer >= 0:
                words = f"stock of {name} up to {month_name(problem.start, month)}"
                form.marks[words] = Mark(row, limits[month] * first.lot, "chips", "stock", first.lot, name)


def _resold(form: Form) -> None:
    """No more lots of an order are sold than were ordered."""
    members: dict[int, list[int]] = {}
    for j, order in enumerate(form.shape.orders):
        if order.parent >= 0:
            members.setdefault(order.parent, []).append(j)
    for parent, sales in members.items():
        row = form.add_rows(np.array([-INF]), np.array([0.0]))
        form.add(row, [*sales, parent], [*[1.0] * len(sales), -1.0])


def useful_chips(shape: Shape) -> dict[str, float]:
    """Chips of each kind that all demands together could use at most: none is bought to be traded.

    Equation:
        N_k = sum over services of n_kd max_t l_dt + sum over runs of their need, in whole lots.

    Sources:
        [derived].
    """
    most = dict.fromkeys(shape.chips, 0.0)
    for pair in shape.pairs:
        most[shape.chips[pair.chip]] += pair.chips * float(shape.level[:, pair.demand].max())
    for index in range(len(shape.runs)):
        for chip in shape.chips:
            needs = [need.chips for need in shape.runs[index].options if need.chip == chip]
            most[chip] += max(needs, default=0.0)
    for offer in shape.problem.offers:
        if offer.kind == "buy" and offer.chip in most:
            lots = -(-max(most[offer.chip], offer.min_order_chips) // offer.lot_chips)
            most[offer.chip] = max(most[offer.chip], lots * offer.lot_chips)
    return most


def _sales(form: Form, cols: Columns) -> None:
    """Used chips sold at the end of a month; only with one scenario, since a sale cannot foresee a delivery."""
    shape, problem = form.shape, form.shape.problem
    rate = problem.interest_per_year / 12.0
    for k in range(cols.chips):
        for t in range(cols.months):
            column = cols.sale(k, t)
            if not problem.resale_allowed or shape.lateness_priced or t == cols.months - 1:
                form.upper[column] = 0.0
                continue
            form.cost[column] = float(shape.sale_lot[k]) * sum(sale_lines(shape, k, t, rate).values())
            form.integer[column] = True


def server_worth(shape: Shape, chip: int) -> Floats:
    """Worth of the server, fabric and storage of one chip of one's own at the end of month 0..T, were it as old as any can be.

    Servers of chips that are owned from the start are of an age that nobody states: for kinds of which some are, it is nothing.

    Equation:
        H_t = (host + network + storage) max(1 - (t - a) / L, 0), a the first month in which one can be there, L their life.

    Sources:
        [derived] in a straight line, as for those that are bought.
    """
    costs = shape.problem.costs[shape.chips[chip]]
    bought = [o for o in shape.orders if o.kind == chip and o.offer >= 0 and shape.problem.offers[o.offer].kind == "buy"]
    if not bought or np.any(shape.have_site[chip] > 0.0):
        return np.zeros(shape.months + 1)
    first = min(int(order.arrival.min()) for order in bought)
    age = np.maximum(np.arange(shape.months + 1) - first, 0)
    return np.asarray((costs.host + costs.network + costs.storage) * np.maximum(1.0 - age / costs.infra_life_months, 0.0))


SERVER_LINES = ("hosts", "network", "storage")
"""Lines of what a chip stands in, which is sold with it."""


def server_shares(shape: Shape, chip: int) -> dict[str, float]:
    """The parts of what a chip stands in, as shares of what they cost together; all of one age, they wear alike.

    Equation:
        share = cost of host, network or storage / the three together.

    Sources:
        [derived].
    """
    costs = shape.problem.costs[shape.chips[chip]]
    parts = (costs.host, costs.network, costs.storage)
    return {name: part / max(sum(parts), 1e-12) for name, part in zip(SERVER_LINES, parts, strict=True)}


def sale_lines(shape: Shape, chip: int, month: int, rate: float) -> dict[str, float]:
    """Cost by line of one chip sold with its server at the end of a month: less its worth at the end, and interest saved.

    Equation:
        c = -(V + H)_(t+1) + (V + H)_T - i sum of (V + H)_(t+1)..(T-1), with V the resale curve, H the worth of the server
        and i the interest of a month.

    Sources:
        [derived].
    """
    curve, server = shape.resale[0, chip], server_worth(shape, chip)
    both = curve + server
    lines = {
        "chips": -float(curve[month + 1]),
        **{name: -share * float(server[month + 1]) for name, share in server_shares(shape, chip).items()},
        "value left": float(both[shape.months]),
        "finance": -rate * float(both[month + 1 : shape.months].sum()),
    }
    return relieved(shape.problem, lines)


def sale_cash(shape: Shape, chip: int, month: int) -> float:
    """What one chip sold at the end of a month takes out of the account: less than nothing.

    Equation:
        sum of the lines of its sale that are paid.

    Sources:
        [derived].
    """
    return sum(amount for name, amount in sale_lines(shape, chip, month, 0.0).items() if name not in NOT_CASH)


def _stock(form: Form, cols: Columns) -> None:
    """Chips that stand: those of the month before, arrivals, ends of contracts, sales."""
    shape = form.shape
    k_count, t_count, s_count = cols.chips, cols.months, shape.count
    first = form.add_rows(*_have_rows(shape))
    rows = first + np.arange(s_count * k_count * t_count)
    form.add(rows, cols.site + np.arange(len(rows)), 1.0)
    carry = np.arange(len(rows)) % t_count > 0
    form.add(rows[carry], cols.site + np.arange(len(rows))[carry] - 1, -1.0)
    hosted_first = form.add_rows(*_have_rows(shape, hosted=True))
    hosted_rows = hosted_first + np.arange(s_count * k_count * t_count)
    form.add(hosted_rows, cols.hosted + np.arange(len(rows)), 1.0)
    form.add(hosted_rows[carry], cols.hosted + np.arange(len(rows))[carry] - 1, -1.0)
    scenario = np.arange(s_count)
    for j, order in enumerate(shape.orders):
        base = hosted_first if order.hosted else first
        for k, when, sign in ((order.kind, order.arrival, -1.0), (order.kind, order.leave, 1.0), *taken_away(order)):
            live = when < t_count if k >= 0 else np.zeros(s_count, dtype=bool)
            form.add(base + (scenario[live] * k_count + k) * t_count + when[live], j, sign * order.lot)
    for k in range(k_count):
        for t in range(t_count - 1):
            if form.upper[cols.sale(k, t)] > 0.0:
                form.add(first + k * t_count + t + 1, cols.sale(k, t), float(shape.sale_lot[k]))
    hold = shape.keep * (shape.hold + shape.energy_idle)
    form.cost[cols.site : cols.hosted] = (shape.weights[:, None, None] * hold[None, :, None] * np.ones(t_count)).ravel()


def _have_rows(shape: Shape, hosted: bool = False) -> tuple[Floats, Floats]:
    have = shape.have_hosted if hosted else shape.have_site
    change = np.diff(have, axis=1, prepend=0.0)
    tiled = np.tile(change.ravel(), shape.count)
    return tiled, tiled.copy()


def _cells(form: Form, cols: Columns) -> None:
    shape, cell = form.shape, form.cell
    k, t_count, s_count = cols.chips, cols.months, shape.count
    n = s_count * t_count
    lower, upper = np.full((n, cell.rows), -INF), np.zeros((n, cell.rows))
    lower[:, cell.met : cell.firm] = shape.level.transpose(0, 2, 1).reshape(n, -1)
    upper[:, cell.met : cell.firm] = INF
    first = form.first_cell = form.add_rows(lower.ravel(), upper.ravel())
    row0, col0 = first + np.arange(n) * cell.rows, cols.cells + np.arange(n) * cell.cols
    lots = rent_lots(shape, cell)
    form.add(row0[:, None] + cell.a_row, col0[:, None] + cell.a_col, (cell.a_val * lots[cell.a_col])[None, :])
    chip = np.arange(k)
    s_index, t_index = np.divmod(np.arange(n), t_count)
    site = cols.site + (s_index[:, None] * k + chip) * t_count + t_index[:, None]
    hosted = cols.hosted + (s_index[:, None] * k + chip) * t_count + t_index[:, None]
    form.add(row0[:, None] + chip, site, -1.0)
    form.add(row0[:, None] + chip, hosted, -1.0)
    form.add(row0[:, None] + cell.work + chip, hosted, -shape.most_busy)
    for i, k_spot in enumerate(cell.spotted):
        form.add(row0 + cell.firm + 3 * i, site[:, k_spot], -1.0)
        form.add(row0 + cell.firm + 3 * i, hosted[:, k_spot], -1.0)
    for j, start in enumerate(shape.starts):
        index = shape.chips.index(start.need.chip)
        for month, share in run_months(start.month, start.need.months):
            rows = row0[np.arange(s_count) * t_count + month] + index
            form.add(rows, cols.starts + j, start.need.chips)
            form.add(rows + cell.work, cols.starts + j, start.need.chips * start.need.busy * share)
            for at in np.flatnonzero(cell.spotted == index):
                firm = rows - index + cell.firm + 3 * int(at)
                form.add([firm, firm + 2], cols.starts + j, [[start.need.chips], [-start.need.chips]])
    cost, limit = cell_costs(shape, cell)
    if s_count == 1:
        limit[:, :, cell.hours : cell.busy] = np.floor(
            limit[:, :, cell.hours : cell.busy] / lots[cell.hours : cell.busy] + 1e-9
        )
        form.integer[cols.cells : cols.tail] = np.tile(whole_columns(shape, cell), n)
    form.cost[cols.cells : cols.tail] = (shape.weights[:, None, None] * cost * lots).ravel()
    form.upper[cols.cells : cols.tail] = limit.ravel()
    for d, demand in enumerate(shape.services):
        for t in range(t_count):
            if shape.level[0, d, t] > 0.0 and not shape.wait_allowed[d, t] and s_count == 1:
                name = f"all of {demand.name} due in {month_name(shape.problem.start, t)}"
                part = 1.0 / float(shape.level[0, d, t])
                form.marks[name] = Mark(first + t * cell.rows + cell.met + d, 1.0, "of its demand", "due", part, demand.name)


def demand_rows(form: Form) -> list[tuple[int, float]]:
    """Rows that hold a demand of the first scenario, with its amount: services by month, and one start for each run."""
    shape, cell = form.shape, form.cell
    found = [(row, 1.0) for row in form.run_rows]
    for d in range(len(shape.services)):
        for t in range(shape.months):
            if shape.level[0, d, t] > 0.0:
                found.append((form.first_cell + t * cell.rows + cell.met + d, float(shape.level[0, d, t])))
    return found


def _budget(form: Form, cols: Columns) -> None:
    """What has been paid by the end of each month in each future, less what sales have brought by then."""
    shape, problem, cell = form.shape, form.shape.problem, form.cell
    sales = bool(np.any(form.upper[cols.sales : cols.most] > 0.0))
    for t, limit in budget_limits(problem, sales).items():
        first = form.add_rows(np.full(shape.count, -INF), np.full(shape.count, spendable(limit) / 1e6))
        for s in np.flatnonzero(shape.weights > 0.0):
            row, whole = first + int(s), float(shape.weights[s]) * shape.keep * 1e6
            words = budget_name(problem, t) if shape.count == 1 else f"{budget_name(problem, t)} in future {s + 1}"
            form.marks[words] = Mark(row, limit, problem.currency, "budget", 1e6)
            for j, order in enumerate(shape.orders):
                if order.month <= t:
                    form.add(row, j, float(order.paid_by(t, problem.months)[s]) / 1e6)
            for k in range(cols.chips):
                for u in range(t):
                    if form.upper[cols.sale(k, u)] > 0.0:
                        form.add(row, cols.sale(k, u), sale_cash(shape, k, u) * float(shape.sale_lot[k]) / 1e6)
            site = (cols.site_at(int(s), 0, 0) + np.arange(cols.chips)[:, None] * cols.months + np.arange(t + 1)).ravel()
            form.add(row, site, form.cost[site] / whole)
            cells = cols.cell_at(int(s), 0) + np.arange(t + 1)[:, None] * cols.cell_cols
            for begin, end in ((cell.tokens, cell.wait), (cell.hours, cell.lacking)):
                columns = (cells + np.arange(begin, end)).ravel()
                form.add(row, columns, form.cost[columns] / whole)


def _tail(form: Form, cols: Columns) -> None:
    """Mean of the worst tail by the form of Rockafellar and Uryasev: level and excess of each scenario."""
    shape, problem = form.shape, form.shape.problem
    if problem.cvar_weight <= 0.0:
        return
    weight, s_count = problem.cvar_weight, shape.count
    mean = form.cost.copy()
    form.cost *= 1.0 - weight
    form.lower[cols.tail] = -INF
    form.cost[cols.tail] = weight
    form.cost[cols.tail + 1 :] = weight * shape.weights / problem.cvar_tail
    scale = max(1.0, float(np.abs(mean).max()))
    row = form.add_rows(np.full(s_count, -INF), np.zeros(s_count))
    totals = np.array([order_total(shape, j) for j in range(len(shape.orders))])
    for s in range(s_count):
        if len(totals):
            form.add(row + s, np.arange(len(totals)), totals[:, s] / scale)
        starts = np.arange(cols.starts, cols.sales)
        form.add(row + s, starts, mean[starts] / scale)
        per = cols.chips * cols.months
        own = np.arange(cols.site + s * per, cols.site + (s + 1) * per)
        cells = np.arange(cols.cell_at(s, 0), cols.cell_at(s, 0) + cols.months * cols.cell_cols)
        for columns in (own, cells):
            used = columns[mean[columns] != 0.0]
            form.add(row + s, used, mean[used] / shape.weights[s] / scale)
        form.add(row + s, [cols.tail, cols.tail + 1 + s], -1.0 / scale)


def programme_of(form: Form) -> Programme:
    """The finished programme of a form."""
    parts = form.triplets
    triplets = (
        np.concatenate([part[0] for part in parts]),
        np.concatenate([part[1] for part in parts]),
        np.concatenate([part[2] for part in parts]),
    )
    rows = (np.concatenate(form.row_lower), np.concatenate(form.row_upper))
    return compress(form.cost, (form.lower, form.upper), form.integer, rows, triplets)
