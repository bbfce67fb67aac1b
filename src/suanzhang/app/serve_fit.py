"""Fit of the serving coefficients to published runs, and the coefficients that ship with the package."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any, Protocol

import yaml

from suanzhang.errors import CatalogError, PlannerError
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.serve import OpenLoop, ServeCoefficients, StaticBatch, Workload
from suanzhang.spec.stack import ServeStack

_FILE = "data/coefficients/serving.yaml"
_GROUPS = ("matmul", "compute", "attention", "memory", "collective", "host")
_PRIOR_SIGMA = {"matmul": 0.25, "compute": 0.25, "attention": 0.25, "memory": 0.4, "collective": 0.4, "host": 0.7}
"""Spread of the logarithm of a coefficient before any run is seen [assumed]: achieved over isolated is near one."""
_BOUNDS = (0.25, 4.0)
_ROWS_PER_SOURCE = 32
_HUBER = 0.15
"""Log error beyond which a run counts linearly and not squared, so that a few odd runs do not bend the fit."""
_METRICS = ("output_tokens_per_s", "tpot_s", "e2e_s")


class FitCase(Protocol):
    """A published run as the fit needs it."""

    @property
    def model(self) -> ModelSpec: ...  # noqa: D102
    @property
    def chip(self) -> ChipSpec: ...  # noqa: D102
    @property
    def layout(self) -> ServeLayout: ...  # noqa: D102
    @property
    def stack(self) -> ServeStack: ...  # noqa: D102
    @property
    def weight_dtype(self) -> str: ...  # noqa: D102
    @property
    def kv_dtype(self) -> str: ...  # noqa: D102
    @property
    def workload(self) -> Workload: ...  # noqa: D102
    @property
    def replicas(self) -> int: ...  # noqa: D102
    @property
    def measured(self) -> Mapping[str, float]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class FitRow:
    """A published run and the source that it is left out with."""

    source: str
    case: FitCase


def load_coefficients() -> ServeCoefficients:
    """The coefficients that ship with the package; none fitted yet means one for each.

    Raises:
        CatalogError: the file names a coefficient that is not known, or has no record of what it was fitted on.
    """
    path = files("suanzhang.evidence").joinpath(_FILE)
    if not path.is_file():
        return ServeCoefficients()
    body: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return from_record(body)


def from_record(body: dict[str, Any]) -> ServeCoefficients:
    """Coefficients from the text form in which they are kept.

    Raises:
        CatalogError: an unknown coefficient, or no record of what it was fitted on.
    """
    if not body.get("fitted_on"):
        raise CatalogError("serving coefficients without a record of what they were fitted on", fix="fit them again")
    groups = {}
    for name, entry in body["coefficients"].items():
        if name not in _GROUPS:
            raise CatalogError(f"unknown serving coefficient {name!r}", fix="remove it")
        groups[name] = {str(key): float(value) for key, value in entry["values"].items()}
    return ServeCoefficients(**groups, fitted_on=tuple(body["fitted_on"]), residual_p90=float(body.get("residual_p90", 0.0)))


_MEANING = {
    "matmul": "time of matrix products inside an engine over their isolated time",
    "compute": "isolated over achieved arithmetic rate, since clocks fall under lasting load",
    "attention": "time of attention kernels inside an engine over their isolated time",
    "memory": "time of kernels that only move bytes inside an engine over their isolated time",
    "collective": "exposed time of collectives inside an engine over their isolated time",
    "host": "host and launch times over those of the stack table",
}


def to_record(coefficients: ServeCoefficients, date: str) -> str:
    """The text form in which coefficients are kept, each with its meaning."""
    body = {
        "title": "Coefficients of serving, fitted to published runs",
        "grade": "measured",
        "unit": "1",
        "date": date,
        "source": "serving-fit",
        "fitted_on": list(coefficients.fitted_on),
        "residual_p90": round(coefficients.residual_p90, 4),
        "coefficients": {
            name: {
                "meaning": _MEANING[name],
                "values": {key: round(value, 4) for key, value in sorted(getattr(coefficients, name).items())},
            }
            for name in _GROUPS
        },
    }
    return yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=128)


def _log_errors(row: FitRow, coefficients: ServeCoefficients) -> list[float]:
    from suanzhang.app.serve_estimate import estimate_serve

    c = row.case
    try:
        found = estimate_serve(c.model, c.chip, c.layout, c.stack, c.weight_dtype, c.kv_dtype, c.workload, coefficients)
    except PlannerError:
        return []
    predicted = {
        "output_tokens_per_s": found.output_tokens_per_s * c.replicas,
        "tpot_s": found.tpot_s.mean,
        "e2e_s": found.e2e_s.mean,
    }
    pairs = [(predicted[name], c.measured[name]) for name in _METRICS if name in c.measured]
    if (not isinstance(c.workload, OpenLoop) and found.utilisation < 1.0) or isinstance(c.workload, StaticBatch):
        pairs = [*pairs[:1], *([(found.ttft_s.mean, c.measured["ttft_s"])] if "ttft_s" in c.measured else [])]
    else:
        pairs = pairs[:1]
    return [math.log(p / m) for p, m in pairs if p > 0.0 and math.isfinite(p)]


def _huber(error: float) -> float:
    size = abs(error)
    return 0.5 * size**2 if size <= _HUBER else _HUBER * (size - 0.5 * _HUBER)


def _thinned(rows: Iterable[FitRow]) -> dict[str, list[FitRow]]:
    """At most so many rows of each source and stack, evenly over its table: rows of one sweep are near copies."""
    groups: dict[tuple[str, str], list[FitRow]] = {}
    for row in rows:
        groups.setdefault((row.source, row.case.stack.id), []).append(row)
    by_family: dict[str, list[FitRow]] = {}
    for members in groups.values():
        step = max(len(members) / _ROWS_PER_SOURCE, 1.0)
        kept = [members[int(i * step)] for i in range(min(len(members), _ROWS_PER_SOURCE))]
        by_family.setdefault(kept[0].case.stack.engine, []).extend(kept)
    return by_family


def _objective(
    rows: Sequence[FitRow], coefficients: ServeCoefficients, centre: ServeCoefficients, keys: Sequence[tuple[str, str]]
) -> float:
    weights: dict[str, int] = {}
    for row in rows:
        weights[row.source] = weights.get(row.source, 0) + 1
    total = 0.0
    for row in rows:
        errors = _log_errors(row, coefficients)
        if errors:
            total += sum(map(_huber, errors)) / len(errors) / math.sqrt(weights[row.source])
    scale = 0.01
    for group, key in keys:
        values, base = getattr(coefficients, group), getattr(centre, group)
        shift = math.log(values.get(key, 1.0) / base.get("*", 1.0)) if key != "*" else math.log(values[key])
        total += scale * (shift / _PRIOR_SIGMA[group]) ** 2
    return total


def _with(coefficients: ServeCoefficients, group: str, key: str, value: float) -> ServeCoefficients:
    changed: dict[str, Any] = {group: {**getattr(coefficients, group), key: value}}
    return replace(coefficients, **changed)


def _descend(
    rows: Sequence[FitRow], start: ServeCoefficients, keys: Sequence[tuple[str, str]], sweeps: int
) -> ServeCoefficients:
    """Coordinate descent on the logarithms with a shrinking step."""
    centre, best = start, start
    for group, key in keys:
        if key not in getattr(best, group):
            best = _with(best, group, key, getattr(best, group).get("*", 1.0))
    value = _objective(rows, best, centre, keys)
    step = 0.25
    for _ in range(sweeps):
        for group, key in keys:
            for factor in (math.exp(step), math.exp(-step)):
                now = getattr(best, group)[key] * factor
                if not _BOUNDS[0] <= now <= _BOUNDS[1]:
                    continue
                trial = _with(best, group, key, now)
                trial_value = _objective(rows, trial, centre, keys)
                if trial_value < value:
                    best, value = trial, trial_value
                    break
        step *= 0.6
    return best


def fit_serving(rows: Iterable[FitRow], sweeps: int = 6) -> ServeCoefficients:
    """Coefficients that bring the estimates nearest to published runs.

    Model:
        Per engine family one factor for matrix products, attention, byte-moving kernels and collectives, and one for
        host times of each generation; each is drawn towards that of all engines, which is drawn towards one. Each
        source counts with the square root of its rows. Huber loss on logarithms, by coordinate descent.

    Args:
        rows: published runs; leave a source out to judge it.
        sweeps: rounds of the descent.

    Returns:
        The coefficients, with the sources that they were fitted on.
    """
    families = _thinned(rows)
    everything = [row for members in families.values() for row in members]
    shared = [(group, "*") for group in _GROUPS]
    best = _descend(everything[:: max(len(everything) // 160, 1)], ServeCoefficients(), shared, sweeps)
    for family, members in sorted(families.items()):
        stacks = sorted({row.case.stack.id for row in members})
        keys = [(group, family) for group in _GROUPS if group != "host"] + [("host", stack) for stack in stacks]
        best = _descend(members, best, keys, sweeps)
    errors = sorted(abs(error) for row in everything for error in _log_errors(row, best))
    p90 = math.expm1(errors[int(0.9 * len(errors))]) if errors else 0.0
    return replace(best, fitted_on=tuple(sorted({row.source for row in everything})), residual_p90=p90)
