"""Recording what validation found: the table of intervals and the figures that the drift gate compares with.

The files ship with the package and are only ever written by :func:`record`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from suanzhang.app.validate import Progress, predict, rows_of, summarise_outcomes
from suanzhang.app.validate_fit import (
    FOLDS_FILE,
    LEFT_OUT,
    SHIPPED,
    Folds,
    folds_to_json,
    judges_of,
    left_out_judges,
    recorded_folds,
)
from suanzhang.app.validate_folds import Say, fit_folds
from suanzhang.app.validate_predict import Outcome
from suanzhang.errors import CatalogError
from suanzhang.evidence import conformal
from suanzhang.evidence.metrics import Residual
from suanzhang.evidence.rows import PHASES
from suanzhang.spec.validate import ValidateResult

DATA = Path(conformal.__file__).resolve().parent / "data"
DRIFT_FILE = DATA / "drift.yaml"
INTERVALS_FILE = DATA / "intervals.yaml"

_FEWEST_ROWS = 5
_FIRM = frozenset({"A", "B"})


@dataclass(frozen=True, slots=True)
class Drift:
    """One figure that moved against the shipped one.

    Args:
        where: phase, metric and source.
        shipped, now: median absolute error [%].
        allowed: largest value that passes [%].
    """

    where: str
    shipped: float
    now: float
    allowed: float

    @property
    def worse(self) -> bool:
        """Whether it is worse than allowed."""
        return self.now > self.allowed


def drift_figures(results: Mapping[str, ValidateResult]) -> dict[str, Any]:
    """The figures that are kept: rows modelled, and error by metric, in all and by source."""
    figures: dict[str, Any] = {}
    for phase, result in results.items():
        figures[phase] = {
            "rows": result.rows,
            "modelled": result.modelled,
            "judged": result.judged,
            "metrics": {
                name: {
                    "n": item.n,
                    "median_abs_pct": _kept(item.median_abs_pct),
                    "p90_abs_pct": _kept(item.p90_abs_pct),
                    "bias_pct": _kept(item.bias_pct),
                    "rank_corr": None if item.rank_corr is None else round(item.rank_corr, 3),
                    "interval90_coverage": None if item.interval90_coverage is None else round(item.interval90_coverage, 3),
                    "interval_ratio": None if item.interval_ratio is None else round(item.interval_ratio, 2),
                }
                for name, item in sorted(result.metrics.items())
            },
            "by_source": {
                source: {
                    name: {"n": item.n, "median_abs_pct": _kept(item.median_abs_pct)}
                    for name, item in sorted(group.metrics.items())
                    if item.n >= _FEWEST_ROWS
                }
                for source, group in sorted(result.by_source.items())
                if any(item.n >= _FEWEST_ROWS for item in group.metrics.values())
            },
        }
    return figures


def _kept(value: float) -> float:
    return round(value, 2) if math.isfinite(value) else value


def compare(shipped: Mapping[str, Any], now: Mapping[str, Any]) -> list[Drift]:
    """Every shipped figure beside the one of now. One source may not get much worse so that another gets better.

    A figure over all sources may rise by 0.3 points or 3 % of itself, one of a single source by 1.5 points or 10 %.
    """
    moved: list[Drift] = []
    for phase, kept in shipped.items():
        if phase not in now:
            continue
        for metric, item in kept["metrics"].items():
            value = now[phase]["metrics"].get(metric, {"median_abs_pct": math.inf})["median_abs_pct"]
            allowed = item["median_abs_pct"] + max(0.3, 0.03 * item["median_abs_pct"])
            moved.append(Drift(f"{phase} {metric}", item["median_abs_pct"], value, allowed))
        for source, metrics in kept["by_source"].items():
            for metric, item in metrics.items():
                found = now[phase]["by_source"].get(source, {}).get(metric)
                value = found["median_abs_pct"] if found else math.inf
                allowed = item["median_abs_pct"] + max(1.5, 0.10 * item["median_abs_pct"])
                moved.append(Drift(f"{phase} {metric}, {source}", item["median_abs_pct"], value, allowed))
    return moved


def shipped_drift() -> dict[str, Any]:
    """The figures that ship with the package.

    Raises:
        CatalogError: the file is missing.
    """
    if not DRIFT_FILE.exists():
        raise CatalogError("the record of shipped errors is missing from the package", fix="install the package again")
    body: dict[str, Any] = yaml.safe_load(DRIFT_FILE.read_text(encoding="utf-8"))
    figures: dict[str, Any] = body["phases"]
    return figures


def firm_residuals(outcomes: list[Outcome]) -> dict[str, list[Residual]]:
    """Phase to the residuals of rows firm enough to draw intervals from: quality A and B."""
    result: dict[str, list[Residual]] = defaultdict(list)
    for item in outcomes:
        if item.row.quality in _FIRM:
            result[item.row.phase].extend(item.residuals)
    return dict(result)


def record(
    date: str,
    *,
    folder: Path = DATA,
    refit: bool = True,
    progress: Progress | None = None,
    say: Say = lambda text: None,
) -> dict[str, ValidateResult]:
    """Validate the shipped rows, draw the intervals anew and write the files.

    Args:
        date: of the record, ISO.
        folder: where the files are written.
        refit: fit the coefficients with each source left out; otherwise the recorded ones judge.
        progress: called with (rows done, rows in all).
        say: told of the fits, one line at a time.

    Returns:
        Phase to its result, with the new intervals.
    """
    table = rows_of(None, None)
    folds = fit_folds(table, say) if refit else recorded_folds()
    judges = judges_of(folds, _title(folds)) if refit else left_out_judges(PHASES)
    if refit:
        _replace_file(folder / FOLDS_FILE.name, folds_to_json(folds, date))
        recorded_folds.cache_clear()
    outcomes = predict(table, judges, progress)
    intervals = conformal.fit_intervals(firm_residuals(outcomes))
    _replace_file(folder / INTERVALS_FILE.name, conformal.table_to_yaml(intervals, date))
    conformal.shipped_table.cache_clear()
    results: dict[str, ValidateResult] = {}
    for phase in PHASES:
        own = [item for item in outcomes if item.row.phase == phase]
        result = summarise_outcomes(own, with_rows=True, judged=judges.title, own_rows=True)
        results[phase] = replace(result, phase=phase, stability=folds.stability.get(phase, {}))
    body = {
        "generated_by": "suanzhang.app.validate_record.record (never edited by hand)",
        "date": date,
        "unit": "errors in percent, coverage and correlation as plain numbers",
        "phases": drift_figures(results),
    }
    _replace_file(folder / DRIFT_FILE.name, yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=128))
    return results


def _title(folds: Folds) -> str:
    missing = [phase for phase, found in (("training", folds.training), ("serving", folds.serving)) if not found]
    if len(missing) == 2:
        return SHIPPED
    return f"{LEFT_OUT} ({missing[0]}: {SHIPPED})" if missing else LEFT_OUT


def _replace_file(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(path.suffix + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
