"""The small linear programmes of the cells against a general solver."""

import numpy as np
from scipy.optimize import linprog

from suanzhang.money.procurement.cells import solve_cell


def random_cell(stream, n=14, m=6):
    ridx, rval = np.zeros((n, 3), dtype=np.int64), np.zeros((n, 3))
    for j in range(n):
        rows = stream.choice(m, 3, replace=False)
        ridx[j] = rows
        rval[j] = np.where(stream.random(3) < 0.7, stream.normal(0, 1, 3), 0.0)
    cost = stream.uniform(0.0, 3.0, n)
    upper = np.where(stream.random(n) < 0.5, stream.uniform(0.0, 2.0, n), 1e9)
    ridx[0], rval[0], upper[0], cost[0] = [0, 1, 2], [-1.0, -1.0, -1.0], 1e9, 50.0
    ridx[1], rval[1], upper[1], cost[1] = [3, 4, 5], [-1.0, -1.0, -1.0], 1e9, 50.0
    return ridx, rval, cost, upper


def dense(ridx, rval, m):
    matrix = np.zeros((m, len(ridx)))
    for j in range(len(ridx)):
        for row, value in zip(ridx[j], rval[j], strict=True):
            matrix[row, j] += value
    return matrix


def test_equals_a_general_solver_from_any_start():
    stream = np.random.default_rng(0)
    for _ in range(40):
        ridx, rval, cost, upper = random_cell(stream)
        m, n = 6, len(cost)
        basis, inverse = np.arange(n, n + m), np.eye(m)
        place = np.concatenate([np.zeros(n), np.full(m, 2)]).astype(np.int8)
        x, y = np.zeros(n + m), np.zeros(m)
        for _ in range(4):
            rhs = stream.normal(0, 2, m)
            pivots = solve_cell(ridx, rval, cost, upper, rhs, basis, place, inverse, x, y)
            exact = linprog(cost, A_ub=dense(ridx, rval, m), b_ub=rhs, bounds=list(zip([0] * n, upper, strict=True)))
            assert pivots >= 0
            assert abs(cost @ x[:n] - exact.fun) <= 1e-7 * max(1.0, abs(exact.fun))
            assert np.all(y <= 1e-9)
            assert np.allclose(y, exact.ineqlin.marginals, atol=1e-6) or abs(y @ rhs - exact.ineqlin.marginals @ rhs) < 1e-3
