"""Intervals from what was off before: quantiles of measured over predicted on sources that the fit never saw.

For each phase and metric the ratio measured / predicted of all published runs gives three quantiles, after division by a spread
that depends on the grade of the chip's timings, the distance from the calibrated range and the traits of the question (see
:mod:`suanzhang.evidence.spread`). A prediction times these is its interval.
Nothing here is written by hand: :func:`fit_intervals` makes the table from residuals, and the package ships it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray

from suanzhang.errors import CatalogError, InputError
from suanzhang.evidence.metrics import Residual, sources_weights, weighted_quantile
from suanzhang.evidence.spread import GRADE_TRAITS, Design, Floats, Spread, Standard, design_of, fit_spread
from suanzhang.spec.result import Interval

Grade = Literal["calibrated", "relative", "physics-only"]
GRADES: tuple[Grade, ...] = ("calibrated", "relative", "physics-only")

_TABLE = Path(__file__).resolve().parent / "data" / "intervals.yaml"
_FEWEST_ROWS, _FEWEST_SOURCES, _FEWEST_FOR_LIMITS = 30, 3, 5
BOUNDLESS = (-math.inf, math.inf)
LEVELS = tuple(0.80 + 0.005 * step for step in range(37))
"""Shares of the evidence between the ends that are tried, the narrowest first."""
NOMINAL = 0.90
OUTERMOST = 0.01
"""Share of the evidence on each side that may lie beyond any interval: widening by several traits at once would otherwise reach
errors that no published run has ever shown."""
FIRM = frozenset({"A", "B"})
"""Qualities of rows that intervals are drawn from; the others are only judged."""
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


@dataclass(frozen=True, slots=True)
class Entry:
    """The interval of one metric.

    Args:
        spread: how the scatter depends on what is known before the run.
        ends: grade to the lower and upper quantile of the standard errors.
        counts: grade to rows and sources that it was drawn from.
        limits: grade to the least and the largest logarithm of measured over predicted that an interval may reach.
    """

    spread: Spread
    ends: Mapping[str, tuple[float, float]]
    counts: Mapping[str, tuple[int, int]]
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IntervalTable:
    """Intervals by (phase, metric).

    Args:
        entries: of each metric.
        level: "phase metric grade" to the share of the evidence between the ends at which left-out sources are covered in 90 %.
    """

    entries: Mapping[tuple[str, str], Entry]
    level: Mapping[str, float]

    def get(
        self, phase: str, metric: str, grade: str, distance: float = 0.0, traits: Mapping[str, float] | None = None
    ) -> Multipliers | None:
        """Multipliers of a question; None when the metric has none. An unknown grade is the worst."""
        found = self.entries.get((phase, metric))
        if found is None:
            return None
        grade = grade if grade in GRADES else GRADES[-1]
        scale = found.spread.at(grade, distance, traits or {})
        low, high = found.ends[grade]
        middle = found.spread.middle_at(grade, distance, traits or {})
        least, most = found.limits.get(grade, BOUNDLESS)
        return Multipliers(
            p05=math.exp(min(max(middle + low * scale, least), middle)),
            p50=math.exp(middle),
            p95=math.exp(max(min(middle + high * scale, most), middle)),
            rows=found.counts[grade][0],
            sources=found.counts[grade][1],
            grade=grade,
        )


@dataclass(frozen=True, slots=True)
class _LeftOut:
    """Residuals of one metric with the spreads and standard errors that the other sources give them."""

    residuals: Sequence[Residual]
    middle: Floats
    scale: Floats
    fold: NDArray[np.int64]
    standards: Sequence[Standard]
    limits: tuple[Floats, Floats]

    def ends(self, level: float) -> tuple[Floats, Floats]:
        """Ends of the logarithm of each residual at a level."""
        half = 0.5 * (1.0 - level)
        low = np.array([min(found.quantile(half), 0.0) for found in self.standards])
        high = np.array([max(found.quantile(1.0 - half), 0.0) for found in self.standards])
        lower = np.maximum(self.middle + low[self.fold] * self.scale, self.limits[0])
        upper = np.minimum(self.middle + high[self.fold] * self.scale, self.limits[1])
        return np.minimum(lower, self.middle), np.maximum(upper, self.middle)

    def covered(self, level: float) -> NDArray[np.bool_]:
        """Whether each residual lies between its ends."""
        low, high = self.ends(level)
        values = np.array([item.log_ratio for item in self.residuals])
        return np.asarray((low <= values) & (values <= high), dtype=np.bool_)


def _left_out(residuals: Sequence[Residual]) -> _LeftOut | None:
    """Each source seen from the firm rows of the others; None with a single source."""
    design = design_of(residuals)
    firm = np.array([item.labels.get("quality", "A") in FIRM for item in residuals])
    names = sorted(set(design.sources.tolist()))
    if any(not (firm & (design.sources != name)).any() for name in names):
        return None
    grades = np.array(_grades(residuals))
    middle, scale, least, most = (np.zeros(len(residuals)) for _ in range(4))
    fold, standards = np.zeros(len(residuals), dtype=np.int64), []
    for index, name in enumerate(names):
        own = design.sources == name
        spread, standard = fit_spread(design, firm & ~own)
        standards.append(standard)
        middle[own], scale[own], fold[own] = spread.middle_of(design, own), spread.of(design, own), index
        limits = _limits(design, grades, firm & ~own)
        least[own], most[own] = (np.array([limits.get(grade, BOUNDLESS)[side] for grade in grades[own]]) for side in range(2))
    return _LeftOut(residuals, middle, scale, fold, standards, (least, most))


def _limits(design: Design, grades: NDArray[np.str_], rows: NDArray[np.bool_]) -> dict[str, tuple[float, float]]:
    """For each grade the outermost errors on chips of that grade and better ones, where enough sources tell."""
    found: dict[str, tuple[float, float]] = {}
    for place, grade in enumerate(GRADES):
        own = rows & np.isin(grades, GRADES[: place + 1])
        if len(set(design.sources[own].tolist())) < _FEWEST_FOR_LIMITS:
            continue
        weights = sources_weights(design.sources[own].tolist())
        values = design.values[own]
        low, high = (weighted_quantile(values, weights, share) for share in (OUTERMOST, 1.0 - OUTERMOST))
        better = found.get(GRADES[max(place - 1, 0)], (low, high))
        found[grade] = (min(low, better[0]), max(high, better[1]))
    return found


def _by_name(residuals: Iterable[Residual]) -> dict[str, list[Residual]]:
    found: dict[str, list[Residual]] = {}
    for item in residuals:
        found.setdefault(item.metric, []).append(item)
    return dict(sorted(found.items()))


def _grades(residuals: Sequence[Residual]) -> list[str]:
    found = [item.labels.get("grade", GRADES[-1]) for item in residuals]
    return [grade if grade in GRADES else GRADES[-1] for grade in found]


def cross_validated(phase: str, residuals: Sequence[Residual], levels: Mapping[str, float]) -> list[Residual]:
    """Each residual with the interval that the other sources give it; those without other sources keep none."""
    result: list[Residual] = []
    for metric, own in _by_name(residuals).items():
        found = _left_out(own)
        if found is None:
            continue
        grades = _grades(own)
        ends = {grade: found.ends(levels.get(f"{phase} {metric} {grade}", NOMINAL)) for grade in set(grades)}
        result += [
            replace(
                item,
                low=item.predicted * math.exp(ends[grade][0][index]),
                high=item.predicted * math.exp(ends[grade][1][index]),
                middle=item.predicted * math.exp(found.middle[index]),
            )
            for index, (item, grade) in enumerate(zip(own, grades, strict=True))
        ]
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
        For each metric and grade the narrowest level that reaches the nominal coverage on left-out sources.
    """
    entries: dict[tuple[str, str], Entry] = {}
    levels: dict[str, float] = {}
    for phase, items in residuals.items():
        for metric, own in _by_name(items).items():
            found = _levels(own)
            levels.update({f"{phase} {metric} {grade}": level for grade, level in found.items()})
            entries[(phase, metric)] = _entry(own, found)
    return IntervalTable(entries, levels)


def _entry(residuals: Sequence[Residual], levels: Mapping[str, float]) -> Entry:
    design = design_of(residuals)
    spread, standard = fit_spread(design, np.ones(len(residuals), dtype=bool))
    grades = np.array(_grades(residuals))
    ends: dict[str, tuple[float, float]] = {}
    counts: dict[str, tuple[int, int]] = {}
    low, high = 0.0, 0.0
    for grade in GRADES:
        half = 0.5 * (1.0 - levels[grade])
        low, high = min(standard.quantile(half), low), max(standard.quantile(1.0 - half), high)
        ends[grade] = (low, high)
        own = grades == grade
        counts[grade] = (int(own.sum()), len(set(design.sources[own].tolist())))
    return Entry(spread, ends, counts, _limits(design, grades, np.ones(len(residuals), dtype=bool)))


def _levels(residuals: Sequence[Residual]) -> dict[str, float]:
    """For each grade the narrowest level that covers left-out sources as often as it should.

    A grade with few rows or sources takes the level over all of them. A worse grade never takes a lower one.
    """
    found = _left_out(residuals)
    if found is None:
        return dict.fromkeys(GRADES, LEVELS[-1])
    covered = {level: found.covered(level) for level in LEVELS}
    grades = np.array(_grades(residuals))
    sources = np.array([item.source for item in residuals])

    def narrowest(rows: NDArray[np.bool_]) -> float:
        return next((level for level in LEVELS if float(covered[level][rows].mean()) >= NOMINAL), LEVELS[-1])

    overall = narrowest(np.ones(len(residuals), dtype=bool))
    result: dict[str, float] = {}
    least = 0.0
    for grade in GRADES:
        own = grades == grade
        enough = own.sum() >= _FEWEST_ROWS and len(set(sources[own].tolist())) >= _FEWEST_SOURCES
        result[grade] = least = max(narrowest(own) if enough else overall, least)
    return result


# ---------------------------------------------------------------- the shipped table


def table_to_yaml(table: IntervalTable, date: str) -> str:
    """The text of the shipped table."""

    def rounded(values: Mapping[str, float]) -> dict[str, float]:
        return {name: round(value, 5) for name, value in values.items()}

    body: dict[str, Any] = {
        "generated_by": "suanzhang.app.validate_record.record (never edited by hand)",
        "date": date,
        "unit": "logarithm of measured over predicted, 1",
        "level": {name: round(value, 4) for name, value in sorted(table.level.items())},
        "entries": [
            {
                "phase": phase,
                "metric": metric,
                "middle": round(found.spread.middle, 5),
                "base": round(found.spread.base, 5),
                "slopes": rounded(found.spread.slopes),
                "means": rounded(found.spread.means),
                "shifts": rounded(found.spread.shifts),
                "ends": {grade: [round(value, 5) for value in found.ends[grade]] for grade in GRADES},
                "counts": {grade: list(found.counts[grade]) for grade in GRADES},
                "limits": {grade: [round(value, 5) for value in ends] for grade, ends in found.limits.items()},
            }
            for (phase, metric), found in sorted(table.entries.items())
        ],
    }
    return yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=128)


def table_from_yaml(text: str) -> IntervalTable:
    """Read the table again.

    Raises:
        CatalogError: an end is on the wrong side of the median, or a worse grade or more distance would narrow it.
    """
    body = yaml.safe_load(text)
    entries: dict[tuple[str, str], Entry] = {}
    for item in body["entries"]:
        name = f"{item['phase']} {item['metric']}"
        ends: dict[str, tuple[float, float]] = {
            grade: (float(item["ends"][grade][0]), float(item["ends"][grade][1])) for grade in GRADES
        }
        counts: dict[str, tuple[int, int]] = {
            grade: (int(item["counts"][grade][0]), int(item["counts"][grade][1])) for grade in GRADES
        }
        if any(not low <= 0.0 <= high for low, high in ends.values()):
            raise CatalogError(f"intervals.yaml: factors of {name} are out of order")
        if any(item["slopes"][trait] < 0.0 for trait in GRADE_TRAITS):
            raise CatalogError(f"intervals.yaml: {name} grows narrower with a worse grade or with distance")
        spread = Spread(item["middle"], item["base"], item["slopes"], item["means"], item.get("shifts", {}))
        limits = {grade: (float(low), float(high)) for grade, (low, high) in item.get("limits", {}).items()}
        entries[(item["phase"], item["metric"])] = Entry(spread, ends, counts, limits)
    return IntervalTable(entries, body["level"])


@cache
def shipped_table() -> IntervalTable:
    """The table that comes with the package."""
    if not _TABLE.exists():
        raise CatalogError("the table of intervals is missing from the package", fix="install the package again")
    return table_from_yaml(_TABLE.read_text(encoding="utf-8"))


def multipliers(
    phase: str, grade: str, distance: float = 0.0, metric: str = "", traits: Mapping[str, float] | None = None
) -> Multipliers:
    """Factors for a prediction.

    Args:
        phase: "training" or "serving".
        grade: "calibrated", "relative" or "physics-only", the grade of the chip's operator timings.
        distance: how far the question is from what was calibrated; 0 inside.
        metric: name of the metric; the main one of the phase when empty. Quantities without measurements of their own, such
            as days or MFU, take the factors of the metric that carries them.
        traits: what else is known of the question (see the traits of `validate`); the mean of the evidence where
            it does not say.

    Raises:
        InputError: the phase or the metric has no residuals.
    """
    name = metric or ("step_s" if phase == "training" else "output_tokens_per_s")
    against = False
    if name in _DERIVED:
        phase, name, against = _DERIVED[name]
    found = shipped_table().get(phase, name, grade, distance, traits)
    if found is None:
        raise InputError(
            f"no residuals of {name!r} in phase {phase!r}", fix="ask for one of the metrics of `suanzhang validate`"
        )
    return found.inverse() if against else found


def interval(phase: str, grade: str, distance: float = 0.0, metric: str = "") -> tuple[float, float]:
    """The 5th and 95th percentile factors of :func:`multipliers`."""
    found = multipliers(phase, grade, distance, metric)
    return found.p05, found.p95
