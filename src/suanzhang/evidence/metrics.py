"""How far predictions are from measurements: errors, bias, order inside sweeps, regret, coverage of the intervals.

The unit of evidence is the source, not the row: rows of one source share its machine, software and habits, so intervals of a
summary are drawn over sources.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from suanzhang.spec.validate import MetricError

SMALLEST_SWEEP = 5
"""Rows that a sweep must have before its order says anything."""


@dataclass(frozen=True, slots=True)
class Residual:
    """One predicted and one measured value.

    Args:
        row_id, source: where it belongs.
        metric: name such as "step_s".
        predicted, measured: in the same SI unit, both positive.
        sweep: rows with an equal key differ only in their layout or load.
        labels: group name ("chip", "precision", "engine", "architecture", "grade" ...) to value.
        distance: how far the question is from what the physics was calibrated on, 0 inside.
        low, high: 90 % interval of our prediction; zeros when none was asked.
        note: what was assumed.
        traits: what is known before the run about how far off we may be.
        middle: 50th percentile of our prediction; zero when no interval was asked.
    """

    row_id: str
    source: str
    metric: str
    predicted: float
    measured: float
    sweep: Hashable = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    distance: float = 0.0
    low: float = 0.0
    high: float = 0.0
    note: str = ""
    traits: Mapping[str, float] = field(default_factory=dict)
    middle: float = 0.0

    @property
    def error(self) -> float:
        """Predicted over measured, minus one."""
        return self.predicted / self.measured - 1.0

    @property
    def log_ratio(self) -> float:
        """Natural logarithm of measured over predicted."""
        return math.log(self.measured / self.predicted)

    @property
    def covered(self) -> bool:
        """Whether the measured value lies in the interval."""
        return self.low <= self.measured <= self.high


def ranks(values: Sequence[float]) -> NDArray[np.float64]:
    """Ranks from 1, equal values sharing the mean of theirs: ``ranks([10, 20, 20]) == [1, 2.5, 2.5]``."""
    array = np.asarray(values, dtype=np.float64)
    order = np.argsort(array, kind="stable")
    result = np.empty(len(array))
    result[order] = np.arange(1, len(array) + 1)
    for value in np.unique(array):
        same = array == value
        if same.sum() > 1:
            result[same] = result[same].mean()
    return result


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rank correlation, to twelve digits; None when one of the two does not vary."""
    a, b = ranks(first), ranks(second)
    if a.std() == 0.0 or b.std() == 0.0:
        return None
    return round(float(np.corrcoef(a, b)[0, 1]), 12)


def sweeps(residuals: Iterable[Residual]) -> list[list[Residual]]:
    """Groups of at least five rows that differ only in their layout or load."""
    groups: dict[Hashable, list[Residual]] = defaultdict(list)
    for residual in residuals:
        groups[residual.sweep].append(residual)
    return [group for group in groups.values() if len(group) >= SMALLEST_SWEEP]


def regret(group: Sequence[Residual], larger_is_better: bool) -> float:
    """What choosing by prediction costs beyond the best choice of a sweep, as a fraction."""
    if larger_is_better:
        chosen = max(group, key=lambda item: item.predicted)
        return max(item.measured for item in group) / chosen.measured - 1.0
    chosen = min(group, key=lambda item: item.predicted)
    return chosen.measured / min(item.measured for item in group) - 1.0


def _bootstrap_median(by_source: Mapping[str, NDArray[np.float64]], draws: int, seed: int) -> tuple[float, float]:
    """90 % interval of the median over rows when the sources are drawn anew."""
    arrays = list(by_source.values())
    generator = np.random.default_rng(seed)
    picks = generator.integers(len(arrays), size=(draws, len(arrays)))
    medians = [float(np.median(np.concatenate([arrays[index] for index in pick]))) for pick in picks]
    return float(np.quantile(medians, 0.05)), float(np.quantile(medians, 0.95))


def coverage_interval(residuals: Sequence[Residual], draws: int = 400, seed: int = 0) -> tuple[float, float]:
    """90 % interval of the share inside when the sources are drawn anew."""
    inside: dict[str, list[int]] = {}
    for item in residuals:
        inside.setdefault(item.source, []).append(item.covered)
    counts = np.array([[sum(found), len(found)] for found in inside.values()])
    picks = np.random.default_rng(seed).integers(len(counts), size=(draws, len(counts)))
    totals = counts[picks].sum(axis=1)
    shares = totals[:, 0] / totals[:, 1]
    return float(np.quantile(shares, 0.05)), float(np.quantile(shares, 0.95))


def summarise(residuals: Sequence[Residual], draws: int = 200, seed: int = 0) -> MetricError | None:
    """Summary of the residuals of one metric; None when there are none.

    Args:
        residuals: rows of one metric.
        draws: bootstrap draws over sources; 0 leaves the interval of the median at the median.
        seed: of the draws.
    """
    if not residuals:
        return None
    errors = np.array([item.error for item in residuals])
    absolute = np.abs(errors)
    groups: dict[str, list[float]] = defaultdict(list)
    for item, value in zip(residuals, absolute, strict=True):
        groups[item.source].append(float(value))
    median = float(np.median(absolute))
    low, high = median, median
    if draws and len(groups) > 1:
        low, high = _bootstrap_median({name: np.array(values) for name, values in groups.items()}, draws, seed)
    found = sweeps(residuals)
    orders = [spearman([i.predicted for i in group], [i.measured for i in group]) for group in found]
    kept = [order for order in orders if order is not None]
    larger = residuals[0].metric.endswith("_per_s")
    regrets = [regret(group, larger) for group in found]
    with_interval = [item for item in residuals if item.high > 0.0]
    calibrated = [item for item in with_interval if item.labels.get("grade") == "calibrated"]
    span = coverage_interval(with_interval) if with_interval and draws else (None, None)
    return MetricError(
        n=len(residuals),
        median_abs_pct=100.0 * median,
        p90_abs_pct=100.0 * float(np.quantile(absolute, 0.9)),
        bias_pct=100.0 * float(np.median(errors)),
        rank_corr=float(np.median(kept)) if kept else None,
        interval90_coverage=float(np.mean([item.covered for item in with_interval])) if with_interval else None,
        interval_ratio=float(np.median([item.high / item.low for item in with_interval])) if with_interval else None,
        regret_pct=100.0 * float(np.median(regrets)) if regrets else None,
        sources=len(groups),
        median_abs_low_pct=100.0 * low,
        median_abs_high_pct=100.0 * high,
        coverage_low=span[0],
        coverage_high=span[1],
        calibrated_coverage=float(np.mean([item.covered for item in calibrated])) if calibrated else None,
        calibrated_ratio=float(np.median([item.high / item.low for item in calibrated])) if calibrated else None,
        regret_p90_pct=100.0 * float(np.quantile(regrets, 0.9)) if regrets else None,
        sweeps=len(found),
    )


def by_metric(residuals: Iterable[Residual], draws: int = 200) -> dict[str, MetricError]:
    """Summary of each metric that occurs."""
    groups: dict[str, list[Residual]] = defaultdict(list)
    for item in residuals:
        groups[item.metric].append(item)
    return {name: summary for name, group in groups.items() if (summary := summarise(group, draws)) is not None}


def by_label(
    residuals: Iterable[Residual], key: Callable[[Residual], str | None], draws: int = 0
) -> dict[str, dict[str, MetricError]]:
    """Summaries of each metric by a label such as the source or the chip; rows without the label are left out."""
    groups: dict[str, list[Residual]] = defaultdict(list)
    for item in residuals:
        label = key(item)
        if label:
            groups[label].append(item)
    return {label: by_metric(groups[label], draws) for label in sorted(groups)}


def worst(residuals: Iterable[Residual], count: int = 10) -> list[Residual]:
    """The rows farthest off on a logarithmic scale, where half and double are equally wrong; each row once."""
    found: dict[tuple[str, str], Residual] = {}
    for item in sorted(residuals, key=lambda item: -abs(item.log_ratio)):
        found.setdefault((item.source, item.row_id), item)
    return list(found.values())[:count]


def sources_weights(sources: Sequence[str], power: float = 0.5) -> NDArray[np.float64]:
    """Weights that keep one large source from drowning the others: each source weighs its rows to ``power``."""
    counts: dict[str, int] = defaultdict(int)
    for source in sources:
        counts[source] += 1
    weights = np.array([counts[source] ** (power - 1.0) for source in sources])
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def weighted_quantile(values: NDArray[np.float64], weights: NDArray[np.float64], share: float) -> float:
    """Value below which ``share`` of the weight lies, between neighbours linear."""
    order = np.argsort(values, kind="stable")
    ordered, cumulative = values[order], np.cumsum(weights[order])
    middle = (cumulative - 0.5 * weights[order]) / cumulative[-1]
    return float(np.interp(share, middle, ordered))
