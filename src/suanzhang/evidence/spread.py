"""How wide the errors of a prediction scatter, by what is known before the run.

The logarithm of measured over predicted lies round a median with a spread. Both depend on the grade of the chip's timings, the
distance from the calibrated range and the traits of the question: a run bound by its host scatters more than one bound by
arithmetic, a queue near saturation more than a static batch. The median is fitted by robust least squares, held near a common
one (traits move it only where many sources agree). The spread is fitted by weighted least squares on the
logarithm of the absolute errors, drawn towards one common spread; divided by it the errors share one distribution, whose
quantiles make the interval (conformal prediction with normalised residuals).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suanzhang.evidence.metrics import Residual, sources_weights, weighted_quantile

Floats = NDArray[np.float64]

GRADE_TRAITS = ("not calibrated", "physics only", "distance")
"""Traits that may only widen."""
_DISTANCE = GRADE_TRAITS.index("distance")
_RIDGE = 0.1
"""Weight, in sources, of the belief that a trait does not matter."""
_RIDGE_MIDDLE = 2.0
"""The same for the belief that a trait does not move the median."""
_FARTHEST = 0.4
"""Most that traits may move the median, in logarithms: a factor of 1.5."""
_ROUNDS = 8
_FLOOR = 0.15
"""Errors below this share of their median count as that share: a lucky hit says nothing about the spread."""
_NARROWEST, _WIDEST = 0.25, 6.0


def grade_traits(grade: str, distance: float) -> tuple[float, float, float]:
    """The traits that every question has: an unknown grade is the worst."""
    return float(grade != "calibrated"), float(grade not in {"calibrated", "relative"}), max(distance, 0.0)


@dataclass(frozen=True, slots=True)
class Design:
    """Residuals of one metric as arrays.

    Args:
        names: of the traits, those of the grade first.
        traits: one row per residual.
        values: logarithm of measured over predicted.
        sources: of each.
    """

    names: tuple[str, ...]
    traits: Floats
    values: Floats
    sources: NDArray[np.str_]


def design_of(residuals: Sequence[Residual]) -> Design:
    """The arrays of residuals of one metric; a trait that a residual lacks is 0."""
    own = sorted({name for item in residuals for name in item.traits})
    rows = [
        [*grade_traits(item.labels.get("grade", "physics-only"), item.distance), *(item.traits.get(name, 0.0) for name in own)]
        for item in residuals
    ]
    return Design(
        names=(*GRADE_TRAITS, *own),
        traits=np.array(rows, dtype=np.float64).reshape(len(residuals), len(own) + len(GRADE_TRAITS)),
        values=np.array([item.log_ratio for item in residuals]),
        sources=np.array([item.source for item in residuals]),
    )


@dataclass(frozen=True, slots=True)
class Spread:
    """A fitted spread.

    Args:
        middle: median of the logarithm at the mean traits.
        base: logarithm of the spread at the mean traits.
        slopes: change of that logarithm per unit of each trait.
        means: mean of each trait; what is taken when a question does not say.
        shifts: change of the median per unit of each trait.
    """

    middle: float
    base: float
    slopes: Mapping[str, float]
    means: Mapping[str, float]
    shifts: Mapping[str, float] = field(default_factory=dict)

    def at(self, grade: str, distance: float, traits: Mapping[str, float]) -> float:
        """Spread of a question."""
        known = {**traits, **dict(zip(GRADE_TRAITS, grade_traits(grade, distance), strict=True))}
        away = sum(slope * (known.get(name, self.means[name]) - self.means[name]) for name, slope in self.slopes.items())
        return math.exp(self.base) * min(max(math.exp(min(away, 20.0)), _NARROWEST), _WIDEST)

    def middle_at(self, grade: str, distance: float, traits: Mapping[str, float]) -> float:
        """Median of the logarithm of measured over predicted for a question."""
        known = {**traits, **dict(zip(GRADE_TRAITS, grade_traits(grade, distance), strict=True))}
        away = sum(shift * (known.get(name, self.means[name]) - self.means[name]) for name, shift in self.shifts.items())
        return self.middle + min(max(away, -_FARTHEST), _FARTHEST)

    def middle_of(self, design: Design, rows: NDArray[np.bool_]) -> Floats:
        """Medians of some rows of a design."""
        shifts = np.array([self.shifts.get(name, 0.0) for name in design.names])
        means = np.array([self.means[name] for name in design.names])
        found: Any = self.middle + np.clip((design.traits[rows] - means) @ shifts, -_FARTHEST, _FARTHEST)
        return np.asarray(found, dtype=np.float64)

    def of(self, design: Design, rows: NDArray[np.bool_]) -> Floats:
        """Spreads of some rows of a design."""
        slopes = np.array([self.slopes[name] for name in design.names])
        means = np.array([self.means[name] for name in design.names])
        away = (design.traits[rows] - means) @ slopes
        found: Any = math.exp(self.base) * np.clip(np.exp(np.minimum(away, 20.0)), _NARROWEST, _WIDEST)
        return np.asarray(found, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Standard:
    """Errors divided by their spread, with weights, in rising order."""

    values: Floats
    cumulative: Floats

    def quantile(self, share: float) -> float:
        """Value below which that share of the weight lies."""
        return float(np.interp(share, self.cumulative, self.values))


def fit_spread(design: Design, rows: NDArray[np.bool_]) -> tuple[Spread, Standard]:
    """The spread over some rows, and their standard errors. Each source counts with the root of its rows."""
    values, traits = design.values[rows], design.traits[rows]
    sources = design.sources[rows].tolist()
    weights = sources_weights(sources)
    means = weights @ traits
    count = len(set(sources))
    middle, shifts = _median_by_traits(values, traits - means, weights, count)
    central = middle + np.clip((traits - means) @ shifts, -_FARTHEST, _FARTHEST)
    away = np.abs(values - central)
    typical = max(weighted_quantile(away, weights, 0.5), 1e-6)
    target = np.log(np.maximum(away, _FLOOR * typical))
    base = float(weights @ target)
    centred = traits - means
    normal = count * (centred * weights[:, None]).T @ centred + _RIDGE * np.eye(traits.shape[1])
    right = count * centred.T @ (weights * (target - base))
    slopes = _never_narrower(normal, right, len(GRADE_TRAITS))
    spread = Spread(
        middle,
        base,
        dict(zip(design.names, slopes.tolist(), strict=True)),
        dict(zip(design.names, means.tolist(), strict=True)),
        dict(zip(design.names, shifts.tolist(), strict=True)),
    )
    standard = (values - central) / spread.of(design, rows)
    order = np.argsort(standard, kind="stable")
    cumulative = np.cumsum(weights[order])
    return spread, Standard(standard[order], (cumulative - 0.5 * weights[order]) / cumulative[-1])


def _median_by_traits(values: Floats, centred: Floats, weights: Floats, count: int) -> tuple[float, Floats]:
    """Median at the mean traits and its change with each: Huber's robust least squares with a ridge of some sources' weight."""
    middle = weighted_quantile(values, weights, 0.5)
    shifts = np.zeros(centred.shape[1])
    usual = 1.5 * weighted_quantile(np.abs(values - middle), weights, 0.5) + 1e-6
    for _ in range(_ROUNDS):
        away = np.abs(values - middle - centred @ shifts)
        trusted = weights * np.minimum(1.0, usual / np.maximum(away, 1e-9))
        trusted = trusted / trusted.sum()
        about = centred - trusted @ centred
        about[:, _DISTANCE] = 0.0  # what lies farther off scatters more; it is not faster or slower
        normal = count * (about * trusted[:, None]).T @ about + _RIDGE_MIDDLE * np.eye(len(shifts))
        shifts = np.linalg.solve(normal, count * about.T @ (trusted * (values - middle)))
        middle = weighted_quantile(values - centred @ shifts, weights, 0.5)
    return middle, np.asarray(shifts, dtype=np.float64)


def _never_narrower(normal: Floats, right: Floats, first: int) -> Floats:
    """Least squares whose first few unknowns are not negative: those that want to be are held at 0."""
    free = np.ones(len(right), dtype=bool)
    while True:
        found = np.zeros(len(right))
        found[free] = np.linalg.solve(normal[np.ix_(free, free)], right[free])
        negative = (found < 0.0) & (np.arange(len(right)) < first)
        if not negative.any():
            return found
        free &= ~negative
