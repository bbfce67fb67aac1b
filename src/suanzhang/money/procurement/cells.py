"""The least cost of one month in one scenario: a small linear programme, solved by the dual simplex method in place.

Rows and bounds change from one set of orders to the next while costs stay, so the last basis remains dual feasible and
a few pivots lead from one answer to the next.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from suanzhang.jit import formula

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MOST_PIVOTS = 2000
_FRESHEN = 64


@formula
def solve_cell(
    ridx: Ints,
    rval: Floats,
    cost: Floats,
    upper: Floats,
    rhs: Floats,
    basis: Ints,
    place: NDArray[np.int8],
    inverse: Floats,
    x: Floats,
    y: Floats,
) -> int:
    """Least cost of ``cost x`` with ``A x + slack = rhs`` and ``0 <= x <= upper``, from the last basis.

    Model:
        Bounded dual simplex with an explicit inverse; columns have a few entries each.

    Args:
        ridx: row of each entry, shape (n, width).
        rval: value of each entry, shape (n, width), zero where there is none.
        cost: cost of each column, none negative, shape (n,).
        upper: upper bound of each column, shape (n,).
        rhs: right-hand sides, shape (m,).
        basis: basic column of each row (n + i is the slack of row i), changed in place.
        place: 0 at its lower bound, 1 at its upper, 2 basic; shape (n + m,), changed in place.
        inverse: inverse of the basis, shape (m, m), changed in place.
        x: the values, shape (n + m,), written.
        y: the duals of the rows, shape (m,), written.

    Returns:
        The number of pivots; negative when it failed.

    Equation:
        y = c_B B^-1; the entering column minimises |d_j| / |alpha_j|.

    Validity:
        Costs not negative, so that the slack basis is dual feasible.

    Sources:
        [lemke1954]; textbook form.

    Example:
        See ``tests/unit/money/test_cells.py``.
    """
    m, n, width = len(rhs), len(cost), ridx.shape[1]
    xb = np.zeros(m)
    work = np.zeros(m)
    pivots = 0
    fresh = False
    while pivots < MOST_PIVOTS:
        if not fresh:
            for i in range(m):
                work[i] = rhs[i]
            for j in range(n):
                if place[j] == 1:
                    for e in range(width):
                        work[ridx[j, e]] -= rval[j, e] * upper[j]
            for i in range(m):
                total = 0.0
                for k in range(m):
                    total += inverse[i, k] * work[k]
                xb[i] = total
            for k in range(m):
                total = 0.0
                for i in range(m):
                    if basis[i] < n:
                        total += cost[basis[i]] * inverse[i, k]
                y[k] = total
            fresh = True
        worst, row, above = 1e-9, -1, False
        for i in range(m):
            j = basis[i]
            if -xb[i] > worst:
                worst, row, above = -xb[i], i, False
            elif j < n and xb[i] - upper[j] > worst:
                worst, row, above = xb[i] - upper[j], i, True
        if row < 0:
            break
        sign = -1.0 if above else 1.0
        best, enter, alpha_in, d_in = np.inf, -1, 0.0, 0.0
        for j in range(n + m):
            if place[j] == 2:
                continue
            if j < n:
                if upper[j] <= 0.0:
                    continue
                alpha, d = 0.0, cost[j]
                for e in range(width):
                    alpha += inverse[row, ridx[j, e]] * rval[j, e]
                    d -= y[ridx[j, e]] * rval[j, e]
            else:
                alpha, d = inverse[row, j - n], -y[j - n]
            toward = sign * alpha if place[j] == 0 else -sign * alpha
            if toward < -1e-9:
                ratio = abs(d) / -toward
                if ratio < best - 1e-12 or (ratio <= best + 1e-12 and abs(alpha) > abs(alpha_in)):
                    best, enter, alpha_in, d_in = ratio, j, alpha, d
        if enter < 0:
            return -1
        leave = basis[row]
        bound = upper[leave] if above else 0.0
        step = (xb[row] - bound) / alpha_in
        for i in range(m):
            total = 0.0
            if enter < n:
                for e in range(width):
                    total += inverse[i, ridx[enter, e]] * rval[enter, e]
            else:
                total = inverse[i, enter - n]
            work[i] = total
        start = upper[enter] if place[enter] == 1 else 0.0
        for i in range(m):
            xb[i] -= step * work[i]
        for k in range(m):
            y[k] += d_in / alpha_in * inverse[row, k]
        for k in range(m):
            inverse[row, k] /= work[row]
        for i in range(m):
            if i != row and work[i] != 0.0:
                factor = work[i]
                for k in range(m):
                    inverse[i, k] -= factor * inverse[row, k]
        xb[row] = start + step
        place[leave] = 1 if above else 0
        place[enter] = 2
        basis[row] = enter
        pivots += 1
        if pivots % _FRESHEN == 0:
            fresh = False
    for j in range(n + m):
        x[j] = upper[j] if j < n and place[j] == 1 else 0.0
    for i in range(m):
        x[basis[i]] = max(xb[i], 0.0)
    return pivots if pivots < MOST_PIVOTS else -2


@formula
def solve_cells(
    ridx: Ints,
    rval: Floats,
    cost: Floats,
    upper: Floats,
    rhs: Floats,
    basis: Ints,
    place: NDArray[np.int8],
    inverse: Floats,
    x: Floats,
    y: Floats,
    value: Floats,
    fail: Ints,
) -> int:
    """Solve a batch of cells; arrays have the cell as their first axis.

    Model:
        One :func:`solve_cell` for each; a failed one is tried again from the slack basis.

    Args:
        ridx: row of each entry, shape (n, width).
        rval: value of each entry, shape (n, width).
        cost: costs, shape (cells, n).
        upper: bounds, shape (cells, n).
        rhs: right-hand sides, shape (cells, m).
        basis: bases, changed in place.
        place: places, changed in place.
        inverse: inverses, changed in place.
        x: values, written.
        y: duals, written.
        value: least cost of each cell, written.
        fail: 1 for a cell without an answer, written.

    Returns:
        The number of pivots.

    Equation:
        As :func:`solve_cell`.

    Validity:
        As :func:`solve_cell`.

    Sources:
        [lemke1954], as :func:`solve_cell`.

    Example:
        See ``tests/unit/money/test_cells.py``.
    """
    cells, n = cost.shape
    m = rhs.shape[1]
    pivots = 0
    for c in range(cells):
        done = solve_cell(ridx, rval, cost[c], upper[c], rhs[c], basis[c], place[c], inverse[c], x[c], y[c])
        if done < 0:
            for i in range(m):
                basis[c, i] = n + i
                for k in range(m):
                    inverse[c, i, k] = 1.0 if i == k else 0.0
            for j in range(n + m):
                place[c, j] = 2 if j >= n else 0
            done = solve_cell(ridx, rval, cost[c], upper[c], rhs[c], basis[c], place[c], inverse[c], x[c], y[c])
        fail[c] = 1 if done < 0 else 0
        total = 0.0
        for j in range(n):
            total += cost[c, j] * x[c, j]
        value[c] = total
        pivots += max(done, 0)
    return pivots
