"""Fit one surface: coefficients of the closed form, its tables, and how well it does on shapes that it did not see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from suanzhang.app.surfaces import COLLECTIVE_KINDS, Peaks, Surface
from suanzhang.evidence.calibration.fit import Floats, fit_closed, fit_table, held_out, look_up, median_abs_pct
from suanzhang.evidence.calibration.readers import Timings
from suanzhang.spec.profile import FittedSurface

_CLOSED_ROWS = 4000
_TABLE_ROWS = 24_000
_FEWEST_GROUPS = 5
_PER_MILLE = 1000.0


def thinned(shapes: Floats, seconds: Floats, rows: int) -> tuple[Floats, Floats]:
    """At most ``rows`` of the timings, drawn evenly and always the same."""
    if len(seconds) <= rows:
        return shapes, seconds
    pick = np.random.default_rng(0).permutation(len(seconds))[:rows]
    return shapes[pick], seconds[pick]


def _fit_once(
    surface: Surface, item: Timings, peaks: Peaks, rows: NDArray[np.bool_]
) -> tuple[dict[str, float], dict[str, Floats]]:
    shapes, seconds = thinned(item.shapes[rows], item.seconds[rows], _CLOSED_ROWS)
    coefficients = surface.fitted(peaks, item.dtype, shapes, seconds)
    names = [c.name for c in coefficients]
    found = fit_closed(
        lambda v: surface.predict(peaks, item.dtype, dict(zip(names, v.tolist(), strict=True)), shapes),
        coefficients,
        seconds,
    )
    values = dict(zip(names, found.tolist(), strict=True))
    shapes, seconds = thinned(item.shapes[rows], item.seconds[rows], _TABLE_ROWS)
    ratio = np.log(seconds / surface.predict(peaks, item.dtype, values, shapes))
    tables: dict[str, Floats] = {}
    for name, pick in _table_rows(surface.op, shapes).items():
        if pick.any():
            tables |= _fit_tables(surface, peaks, shapes[pick], ratio[pick], name)
    return values, tables


def _fit_tables(surface: Surface, peaks: Peaks, shapes: Floats, ratio: Floats, name: str) -> dict[str, Floats]:
    """The table of what the closed form leaves and, where there is a second one, both in turn as often as its kind asks."""
    points = surface.points(shapes)
    table = fit_table(points, ratio, surface.axes, surface.ridge)
    if surface.second_points is None:
        return {name: np.round(table * _PER_MILLE)}
    others = surface.second_points(peaks, shapes)
    second = fit_table(others, ratio - look_up(points, surface.axes, table), surface.second_axes, surface.ridge)
    for _ in range(surface.turns):
        table = fit_table(points, ratio - look_up(others, surface.second_axes, second), surface.axes, surface.ridge)
        second = fit_table(others, ratio - look_up(points, surface.axes, table), surface.second_axes, surface.ridge)
    return {name: np.round(table * _PER_MILLE), "second": np.round(second * _PER_MILLE)}


def _table_rows(op: str, shapes: Floats) -> dict[str, NDArray[np.bool_]]:
    if op != "link":
        return {"": np.ones(len(shapes), dtype=bool)}
    return {name: shapes[:, 2] == kind for name, kind in COLLECTIVE_KINDS.items()}


def log_error(
    surface: Surface,
    peaks: Peaks,
    dtype: str,
    values: dict[str, float],
    tables: dict[str, Floats],
    shapes: Floats,
    seconds: Floats,
) -> Floats:
    """Log of measured over predicted, closed form and table together, one per timing."""
    error = np.log(seconds / surface.predict(peaks, dtype, values, shapes))
    for name, pick in _table_rows(surface.op, shapes).items():
        if name in tables and pick.any():
            error[pick] -= look_up(surface.points(shapes[pick]), surface.axes, tables[name] / _PER_MILLE)
    if "second" in tables and surface.second_points is not None:
        error -= look_up(surface.second_points(peaks, shapes), surface.second_axes, tables["second"] / _PER_MILLE)
    return error


def _left_out(surface: Surface, item: Timings, peaks: Peaks) -> float:
    """Median absolute error on whole shape groups that a fit did not see [%]; not a number with a single group."""
    groups = item.shapes[:, list(surface.groups)]
    if surface.finer_groups and len(np.unique(groups, axis=0)) < _FEWEST_GROUPS:
        groups = item.shapes[:, list(surface.finer_groups)]
    errors = []
    for out in held_out(groups):
        values, tables = _fit_once(surface, item, peaks, ~out)
        errors.append(log_error(surface, peaks, item.dtype, values, tables, item.shapes[out], item.seconds[out]))
    return median_abs_pct(np.concatenate(errors)) if errors else float("nan")


def fit_surface(surface: Surface, item: Timings, peaks: Peaks) -> FittedSurface:
    """Fit one kind of timing twice: without some whole shape groups, to judge it, and with all rows, to keep it."""
    left_out = _left_out(surface, item, peaks)
    values, tables = _fit_once(surface, item, peaks, np.ones(len(item.seconds), dtype=bool))
    error = log_error(surface, peaks, item.dtype, values, tables, item.shapes, item.seconds)
    p05, p50, p95 = (float(x) for x in np.expm1(np.quantile(error, (0.05, 0.5, 0.95))))
    coverage = {
        name: (float(item.shapes[:, i].min()), float(item.shapes[:, i].max())) for i, name in enumerate(surface.columns)
    }
    return FittedSurface(
        op=surface.op,
        dtype=item.dtype,
        coefficients={name: float(f"{value:.5g}") for name, value in values.items()},
        axes=tuple((axis.low, axis.step, axis.count) for axis in surface.axes),
        second_axes=tuple((axis.low, axis.step, axis.count) for axis in surface.second_axes),
        tables={name: tuple(int(x) for x in table.ravel()) for name, table in tables.items()},
        rows=len(item.seconds),
        coverage=coverage,
        error_p05=round(p05, 4),
        error_p50=round(p50, 4),
        error_p95=round(p95, 4),
        median_abs_pct=round(median_abs_pct(error), 2),
        left_out_pct=round(left_out, 2),
        version=item.version,
    )
