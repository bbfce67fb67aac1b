"""The one place that talks to the solver: a programme in, values, bound and duals out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suanzhang.errors import SolverError
from suanzhang.money.procurement.orders import Floats
from suanzhang.money.procurement.watch import QUIET, Watch


@dataclass(frozen=True, slots=True)
class Programme:
    """A minimisation with bounds on rows and columns; the matrix is compressed by columns."""

    cost: Floats
    lower: Floats
    upper: Floats
    integer: NDArray[np.bool_]
    row_lower: Floats
    row_upper: Floats
    start: NDArray[np.int32]
    index: NDArray[np.int32]
    value: Floats


@dataclass(frozen=True, slots=True)
class Solution:
    """What the solver found; ``status`` is "optimal", "limit" (a plan with its gap) or "infeasible"."""

    status: str
    values: Floats
    objective: float
    bound: float
    gap: float
    row_duals: Floats
    col_duals: Floats
    seconds: float


_NO_PLAN = 1e25
_EFFORT_WITH_START = 0.01
"""Share of the work that looks for better plans where one is given: what is left to do is to raise the bound."""


def compress(
    cost: Floats,
    bounds: tuple[Floats, Floats],
    integer: NDArray[np.bool_],
    row_bounds: tuple[Floats, Floats],
    triplets: tuple[NDArray[np.int64], NDArray[np.int64], Floats],
) -> Programme:
    """A programme from triplets; equal positions are added."""
    from scipy.sparse import coo_matrix

    rows, cols, values = triplets
    matrix = coo_matrix((values, (rows, cols)), shape=(len(row_bounds[0]), len(cost))).tocsc()
    matrix.eliminate_zeros()
    return Programme(
        cost, *bounds, integer, *row_bounds, matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32), matrix.data
    )


def _scale(cost: Floats) -> float:
    """A power of ten that brings the costs near one."""
    used = np.abs(cost[cost != 0.0])
    return 10.0 ** float(np.round(np.median(np.log10(used)))) if len(used) else 1.0


def solve_programme(
    programme: Programme,
    *,
    gap: float,
    time_limit_s: float,
    relax: bool = False,
    strict: bool = False,
    watch: Watch = QUIET,
    start: Floats | None = None,
) -> Solution:
    """The least cost of a programme, its proven bound, and duals when it is linear.

    Args:
        programme: the programme.
        gap: relative gap at which a search over integers may stop.
        time_limit_s: longest time.
        relax: leave the integers out.
        strict: hold limits and whole numbers to a thousandth of the usual tolerance.
        watch: who is told, and may stop the search at the best plan so far.
        start: values of a plan from which a search over integers begins.

    Raises:
        SolverError: the solver failed for another reason than that no answer exists.
    """
    import highspy

    solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.silent()
    solver.setOptionValue("mip_rel_gap", gap)
    solver.setOptionValue("time_limit", time_limit_s)
    if strict:
        for name in ("mip_feasibility_tolerance", "primal_feasibility_tolerance"):
            solver.setOptionValue(name, 1e-9)
    scale = _scale(programme.cost)
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(programme.cost), len(programme.row_lower)
    model.col_cost_ = programme.cost / scale
    model.col_lower_, model.col_upper_ = programme.lower, programme.upper
    model.row_lower_, model.row_upper_ = programme.row_lower, programme.row_upper
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_, model.a_matrix_.index_, model.a_matrix_.value_ = (
        programme.start,
        programme.index,
        programme.value,
    )
    if not relax and programme.integer.any():
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        model.integrality_ = [kinds[int(flag)] for flag in programme.integer]
    solver.passModel(model)
    if start is not None:
        solution = highspy.HighsSolution()
        solution.col_value = list(start)
        solver.setSolution(solution)
        solver.setOptionValue("mip_heuristic_effort", _EFFORT_WITH_START)
    if watch is not QUIET:
        _watched(solver, scale, watch, programme)
    solver.run()
    return _read(solver, highspy, scale, programme, relax)


def _watched(solver: Any, scale: float, watch: Watch, programme: Programme) -> None:
    """Tell of progress, and stop when asked: at once, or once there is a plan and a bound."""

    found, asked = [False], [math.inf]

    def ask(event: Any) -> None:
        if not watch.stop():
            return
        asked[0] = min(asked[0], watch.clock())
        if found[0] or watch.clock() - asked[0] >= watch.patience_s:
            event.interrupt()

    def tell(event: Any) -> None:
        out = event.data_out
        cost, bound = float(out.mip_primal_bound), float(out.mip_dual_bound)
        found[0] = found[0] or (abs(cost) < _NO_PLAN and math.isfinite(bound))
        watch.tell(cost * scale if abs(cost) < _NO_PLAN else math.inf, bound * scale)

    if not programme.integer.any() or watch.patience_s <= 0.0:
        solver.cbSimplexInterrupt += ask
    solver.cbMipInterrupt += ask
    solver.cbMipImprovingSolution += tell
    solver.cbMipLogging += tell


def _read(solver: Any, highspy: Any, scale: float, programme: Programme, relax: bool) -> Solution:
    status, info, seconds = solver.getModelStatus(), solver.getInfo(), float(solver.getRunTime())
    kinds = highspy.HighsModelStatus
    none = np.zeros(0)
    if status in (kinds.kInfeasible, kinds.kUnboundedOrInfeasible):
        return Solution("infeasible", none, float("inf"), float("inf"), 0.0, none, none, seconds)
    found = solver.getSolution()
    feasible = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    if status not in (kinds.kOptimal, kinds.kTimeLimit, kinds.kInterrupt, kinds.kSolutionLimit) or not feasible:
        raise SolverError(
            f"the optimiser stopped with {solver.modelStatusToString(status)!r} and no plan",
            fix="give it more time, fewer scenarios or fewer months",
        )
    is_mip = not relax and bool(programme.integer.any())
    objective = info.objective_function_value * scale
    bound = info.mip_dual_bound * scale if is_mip else objective
    gap = abs(objective - bound) / max(abs(objective), 1e-9) if is_mip else 0.0
    duals = np.array(found.row_dual) * scale if found.dual_valid else np.zeros(len(programme.row_lower))
    reduced = np.array(found.col_dual) * scale if found.dual_valid else np.zeros(len(programme.cost))
    word = "optimal" if status == kinds.kOptimal else "limit"
    return Solution(word, np.array(found.col_value), objective, bound, gap, duals, reduced, seconds)
