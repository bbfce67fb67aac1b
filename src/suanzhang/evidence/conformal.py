"""Intervals from what was off before: quantiles of measured over predicted on sources that the fit never saw.

For each phase, metric and grade of the chip's calibration the ratio measured / predicted of all published runs gives three
quantiles. A prediction times these is its interval. Farther from the calibrated range the interval grows by a fitted factor.
Nothing here is written by hand: :func:`fit_intervals` makes the table from residuals, and the package ships it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from suanzhang.errors import CatalogError, InputError
from suanzhang.evidence.metrics import Residual, sources_weights, weighted_quantile
from suanzhang.spec.result import Interval

Grade = Literal["calibrated", "relative", "physics-only"]
GRADES: tuple[Grade, ...] = ("calibrated", "relative", "physics-only")

_TABLE = Path(__file__).resolve().parent / "data" / "intervals.yaml"
_FEWEST_ROWS = 8
_PRIOR_SOURCES = 3.0
_LEVELS = (0.80, 0.82, 0.84, 0.86, 0.88, 0.90, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98)
_NOMINAL = 0.90
_DERIVED: Mapping[str, tuple[str, str, bool]] = {
    "days": ("training", "step_s", False),
    "mfu": ("training", "step_s", True),
    "hfu": ("training", "step_s", True),
    "tokens_per_s_per_chip": ("training", "step_s", True),
    "output_tokens_per_s_per_chip": ("serving", "output_tokens_per_s", False),
    "energy_j_per_response": ("serving", "j_per_output_token", False),
}
"""Quantities without measurements of their own: the metric that carries them, and whether they move against it."""


@dataclass(frozen=True, slots=True)
class Multipliers:
    """What a prediction is multiplied with: 5th, 50th and 95th percentile of measured over predicted.

    Args:
        p05, p50, p95: the factors.
        rows, sources: what they were drawn from.
        grade: grade of the chips that they were drawn from.
    """

    p05: float
    p50: float
    p95: float
    rows: int = 0
    sources: int = 0
    grade: str = ""

    def of(self, value: float) -> Interval:
        """The interval of a predicted value."""
        return Interval(p05=value * self.p05, p50=value * self.p50, p95=value * self.p95)

    def inverse(self) -> Multipliers:
        """The factors of a quantity that falls as this one rises."""
        return Multipliers(1.0 / self.p95, 1.0 / self.p50, 1.0 / self.p05, self.rows, self.sources, self.grade)


def widened(base: Multipliers, distance: float, per_distance: float) -> Multipliers:
    """The same factors farther from the calibrated range: the spread round the median grows with the distance."""
    factor = 1.0 + per_distance * max(distance, 0.0)
    low, middle, high = (math.log(value) for value in (base.p05, base.p50, base.p95))
    return Multipliers(
        p05=math.exp(middle + (low - middle) * factor),
        p50=base.p50,
        p95=math.exp(middle + (high - middle) * factor),
        rows=base.rows,
        sources=base.sources,
        grade=base.grade,
    )


@dataclass(frozen=True, slots=True)
class IntervalTable:
    """Multipliers by (phase, metric, grade), and how they widen with distance.

    Args:
        entries: the multipliers.
        per_distance: growth of the spread per unit of distance, by phase.
        level: "phase metric" to the share of the evidence between the ends at which left-out sources are covered in 90 %.
    """

    entries: Mapping[tuple[str, str, str], Multipliers]
    per_distance: Mapping[str, float]
    level: Mapping[str, float]

    def get(self, phase: str, metric: str, grade: str, distance: float = 0.0) -> Multipliers | None:
        """Multipliers of that grade at that distance; None when the metric has none. An unknown grade is the worst."""
        found = self.entries.get((phase, metric, grade if grade in GRADES else GRADES[-1]))
        return None if found is None else widened(found, distance, self.per_distance.get(phase, 0.0))


def _entries(phase: str, residuals: Sequence[Residual], levels: Mapping[str, float]) -> dict[tuple[str, str, str], Multipliers]:
    result: dict[tuple[str, str, str], Multipliers] = {}
    for metric in sorted({item.metric for item in residuals}):
        of_metric = [item for item in residuals if item.metric == metric]
        for grade, found in _by_grade(of_metric, levels.get(f"{phase} {metric}", _NOMINAL)).items():
            result[(phase, metric, grade)] = found
    return result


def _by_grade(residuals: Sequence[Residual], level: float) -> dict[str, Multipliers]:
    """Multipliers of each grade: one common shape, scaled to the spread of the grade.

    The spread of a grade is the weighted median distance from the common median, drawn towards that of all grades as if
    three more sources had the common spread. A worse grade is never narrower than a better one.
    """
    values = np.array([item.log_ratio for item in residuals])
    weights = sources_weights([item.source for item in residuals])
    middle = weighted_quantile(values, weights, 0.5)
    away = np.abs(values - middle)
    common = max(weighted_quantile(away, weights, 0.5), 1e-6)
    scales: dict[str, float] = {}
    counts: dict[str, tuple[int, int]] = {}
    at_least = 0.0
    for grade in GRADES:
        own = np.array([item.labels.get("grade", "physics-only") == grade for item in residuals])
        sources = len({item.source for item, mine in zip(residuals, own, strict=True) if mine})
        counts[grade] = (int(own.sum()), sources)
        spread = common
        if sources:
            ratio = max(weighted_quantile(away[own], weights[own], 0.5), 1e-6) / common
            spread = common * math.exp(math.log(ratio) * sources / (sources + _PRIOR_SOURCES))
        at_least = max(at_least, spread) if sources else at_least
        scales[grade] = max(spread, at_least)
    standard = (values - middle) / np.array([scales[item.labels.get("grade", "physics-only")] for item in residuals])
    half = 0.5 * (1.0 - level)
    low, high = (weighted_quantile(standard, weights, share) for share in (half, 1.0 - half))
    return {
        grade: Multipliers(
            p05=math.exp(middle + min(low, 0.0) * scales[grade]),
            p50=math.exp(middle),
            p95=math.exp(middle + max(high, 0.0) * scales[grade]),
            rows=counts[grade][0],
            sources=counts[grade][1],
            grade=grade,
        )
        for grade in GRADES
    }


def _folds(residuals: Sequence[Residual]) -> list[tuple[list[Residual], list[Residual]]]:
    names = sorted({item.source for item in residuals})
    return [
        ([item for item in residuals if item.source != name], [item for item in residuals if item.source == name])
        for name in names
    ]


def cross_validated(
    phase: str, residuals: Sequence[Residual], levels: Mapping[str, float], per_distance: float
) -> list[Residual]:
    """Each residual with the interval that the other sources give it; those without other sources keep none."""
    result: list[Residual] = []
    for seen, left_out in _folds(residuals):
        table = IntervalTable(_entries(phase, seen, levels), {phase: per_distance}, levels)
        for item in left_out:
            found = table.get(phase, item.metric, item.labels.get("grade", "physics-only"), item.distance)
            if found is not None:
                result.append(replace(item, low=item.predicted * found.p05, high=item.predicted * found.p95))
    return result


def coverage(residuals: Sequence[Residual], power: float = 1.0) -> float:
    """Share of the residuals inside their interval; sources weigh their rows to ``power``."""
    if not residuals:
        return 0.0
    weights = sources_weights([item.source for item in residuals], power)
    return float(np.sum(weights * np.array([item.covered for item in residuals])))


def fit_intervals(residuals: Mapping[str, Sequence[Residual]]) -> IntervalTable:
    """The table whose intervals, drawn from the other sources, cover a left-out source in 90 % of the rows.

    Args:
        residuals: phase to its residuals, predicted by coefficients that never saw the row's source.

    Returns:
        The narrowest table over a few levels that reaches the nominal coverage; the level is chosen per metric.
    """
    entries: dict[tuple[str, str, str], Multipliers] = {}
    slopes: dict[str, float] = {}
    levels: dict[str, float] = {}
    for phase, items in residuals.items():
        if not items:
            continue
        slopes[phase] = _slope(items)
        for metric in sorted({item.metric for item in items}):
            own = [item for item in items if item.metric == metric]
            levels[f"{phase} {metric}"] = _level(phase, metric, own, slopes[phase])
        entries.update(_entries(phase, items, levels))
    return IntervalTable(entries, slopes, levels)


def _level(phase: str, metric: str, items: Sequence[Residual], slope: float) -> float:
    """The narrowest level that covers left-out sources as often as it should."""
    for level in _LEVELS:
        if coverage(cross_validated(phase, items, {f"{phase} {metric}": level}, slope)) >= _NOMINAL:
            return level
    return _LEVELS[-1]


def _slope(items: Sequence[Residual]) -> float:
    """How much the absolute error grows per unit of distance, relative to the error without distance; 0 to 1."""
    near = [abs(item.log_ratio) for item in items if item.distance <= 0.5]
    far = [(item.distance, abs(item.log_ratio)) for item in items if item.distance > 0.5]
    if len(near) < _FEWEST_ROWS or len(far) < _FEWEST_ROWS:
        return 0.25
    base = max(float(np.median(near)), 1e-6)
    grown = float(np.median([value / base - 1.0 for _, value in far])) / float(np.median([where for where, _ in far]))
    return min(max(grown, 0.0), 1.0)


# ---------------------------------------------------------------- the shipped table


def table_to_yaml(table: IntervalTable, date: str) -> str:
    """The text of the shipped table."""
    body: dict[str, Any] = {
        "generated_by": "suanzhang.app.validate_record.record (never edited by hand)",
        "date": date,
        "unit": "measured over predicted, 1",
        "level": {name: round(value, 4) for name, value in sorted(table.level.items())},
        "per_distance": {phase: round(value, 4) for phase, value in sorted(table.per_distance.items())},
        "entries": [
            {
                "phase": phase,
                "metric": metric,
                "grade": grade,
                "p05": round(found.p05, 5),
                "p50": round(found.p50, 5),
                "p95": round(found.p95, 5),
                "rows": found.rows,
                "sources": found.sources,
            }
            for (phase, metric, grade), found in sorted(table.entries.items())
        ],
    }
    return yaml.safe_dump(body, sort_keys=False, allow_unicode=True)


def table_from_yaml(text: str) -> IntervalTable:
    """Read the table again.

    Raises:
        CatalogError: a factor is missing, not positive or out of order.
    """
    body = yaml.safe_load(text)
    entries: dict[tuple[str, str, str], Multipliers] = {}
    for item in body["entries"]:
        found = Multipliers(item["p05"], item["p50"], item["p95"], item["rows"], item["sources"], item["grade"])
        if not 0.0 < found.p05 <= found.p50 <= found.p95:
            raise CatalogError(f"intervals.yaml: factors of {item['phase']} {item['metric']} are out of order")
        entries[(item["phase"], item["metric"], item["grade"])] = found
    return IntervalTable(entries, body["per_distance"], body["level"])


@cache
def shipped_table() -> IntervalTable:
    """The table that comes with the package."""
    if not _TABLE.exists():
        raise CatalogError("the table of intervals is missing from the package", fix="install the package again")
    return table_from_yaml(_TABLE.read_text(encoding="utf-8"))


def multipliers(phase: str, grade: str, distance: float = 0.0, metric: str = "") -> Multipliers:
    """Factors for a prediction.

    Args:
        phase: "training" or "serving".
        grade: "calibrated", "relative" or "physics-only", the grade of the chip's operator timings.
        distance: how far the question is from what was calibrated; 0 inside.
        metric: name of the metric; the main one of the phase when empty. Quantities without measurements of their own, such
            as days or MFU, take the factors of the metric that carries them.

    Raises:
        InputError: the phase or the metric has no residuals.
    """
    name = metric or ("step_s" if phase == "training" else "output_tokens_per_s")
    against = False
    if name in _DERIVED:
        phase, name, against = _DERIVED[name]
    found = shipped_table().get(phase, name, grade, distance)
    if found is None:
        raise InputError(
            f"no residuals of {name!r} in phase {phase!r}", fix="ask for one of the metrics of `suanzhang validate`"
        )
    return found.inverse() if against else found


def interval(phase: str, grade: str, distance: float = 0.0, metric: str = "") -> tuple[float, float]:
    """The 5th and 95th percentile factors of :func:`multipliers`."""
    found = multipliers(phase, grade, distance, metric)
    return found.p05, found.p95


def covered_share(residuals: Iterable[Residual]) -> float | None:
    """Share inside the interval among those that have one; None when none has."""
    kept = [item for item in residuals if item.high > 0.0]
    return coverage(kept) if kept else None
