"""Judges: estimates whose coefficients never saw the source that they are asked about.

The fits with one source left out are made when the errors are recorded, and kept beside the shipped coefficients. They hold for
exactly those coefficients; after a new fit, validation says that it judges with the shipped ones until they are recorded anew.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from suanzhang.app.rows_serving import ServeCase, serve_case
from suanzhang.app.rows_training import Skip, TrainCase, train_case
from suanzhang.app.train_coefficients import TrainCoefficients, shipped_coefficients
from suanzhang.app.validate_predict import estimate_with_recompute
from suanzhang.errors import PlannerError
from suanzhang.evidence import rows as rows_module
from suanzhang.evidence.rows import Phase, ServeRow, TrainRow, TruthRow
from suanzhang.perf.training.args import Coefficients
from suanzhang.spec.serve import ServeCoefficients, ServeEstimate
from suanzhang.spec.train import TrainEstimate

FOLDS_FILE = Path(rows_module.__file__).resolve().parent / "data" / "folds.yaml"
_FIRM = frozenset({"A", "B"})
LEFT_OUT = "coefficients fitted to the other sources"
SHIPPED = "shipped coefficients"


@dataclass(frozen=True, slots=True)
class Judges:
    """Estimates by source.

    Args:
        title: how they were fitted, in words.
        training, serving: called with the source of a row and its case.
    """

    title: str
    training: Callable[[str, TrainCase], TrainEstimate]
    serving: Callable[[str, ServeCase], ServeEstimate]


@dataclass(frozen=True, slots=True)
class Folds:
    """Coefficients with one source left out.

    Args:
        training, serving: source to the coefficients that never saw it.
        fingerprints: phase to the fingerprint of the shipped coefficients that they belong to.
        stability: phase to what one source's leaving does to the errors of the others (see :func:`stability_of`).
    """

    training: Mapping[str, TrainCoefficients]
    serving: Mapping[str, ServeCoefficients]
    fingerprints: Mapping[str, str]
    stability: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


# ---------------------------------------------------------------- estimates


def _estimate_training(case: TrainCase, coefficients: TrainCoefficients | None) -> TrainEstimate:
    from suanzhang.app.train_model import estimate_train

    return estimate_train(case.job, case.chip, case.layout, case.stack, coefficients)


def _estimate_serving(case: ServeCase, coefficients: ServeCoefficients | None) -> ServeEstimate:
    from suanzhang.app.serve import estimate_serve

    return estimate_serve(
        case.model,
        case.chip,
        case.layout,
        case.stack,
        case.weight_dtype,
        case.kv_dtype,
        case.workload,
        coefficients,
    )


def judges_of(folds: Folds, title: str) -> Judges:
    """Judges that take a source's own fold, and the shipped coefficients for a source without one."""
    return Judges(
        title,
        lambda source, case: _estimate_training(case, folds.training.get(source)),
        lambda source, case: _estimate_serving(case, folds.serving.get(source)),
    )


def shipped_judges() -> Judges:
    """The coefficients that ship with the package, for every source."""
    return judges_of(Folds({}, {}, {}), SHIPPED)


def left_out_judges(phases: Sequence[Phase]) -> Judges:
    """Coefficients that never saw the source of a row, where the recorded folds belong to the shipped coefficients."""
    folds = recorded_folds()
    now = fingerprints()
    usable = {phase for phase in phases if folds.fingerprints.get(phase) == now[phase]}
    kept = Folds(
        folds.training if "training" in usable else {},
        folds.serving if "serving" in usable else {},
        folds.fingerprints,
    )
    stale = [phase for phase in phases if phase not in usable]
    title = LEFT_OUT if usable else SHIPPED
    return judges_of(kept, f"{title} ({', '.join(stale)}: {SHIPPED})" if usable and stale else title)


# ---------------------------------------------------------------- fitting


def fit_folds(table: Sequence[TruthRow]) -> Folds:
    """Coefficients with each source left out, by the fits of training and serving.

    Only rows of quality A and B are fitted to; a source that has none of them needs no fold.
    """
    training = [row for row in table if isinstance(row, TrainRow) and row.quality in _FIRM]
    folds, stability = _fit_training_folds(training)
    return Folds(folds, _fit_serving_folds(table), fingerprints(), {"training": stability})


def _resolved(case: TrainCase) -> TrainCase:
    """The case with the recomputation that the planner would choose where the row does not say."""
    return estimate_with_recompute(case, lambda variant: _estimate_training(variant, None))[0]


def _fit_training_folds(rows: Sequence[TrainRow]) -> tuple[dict[str, TrainCoefficients], dict[str, float]]:
    from suanzhang.app.train_fit import FittedRun, coefficients_of, fit_prepared, predict_log, prepare

    runs = []
    for row in rows:
        case = train_case(row)
        if isinstance(case, Skip) or "step_s" not in case.measured:
            continue
        try:
            case = _resolved(case)
        except PlannerError:
            continue
        runs.append(FittedRun(row.source, case.job, case.chip, case.layout, case.stack, case.measured["step_s"]))
    if not runs:
        return {}, {}
    prepared = prepare(runs)
    sources = sorted(set(prepared.sources))
    start, _ = fit_prepared(prepared)
    names = np.array(prepared.sources)
    folds, without = {}, {}
    for source in sources:
        found, count = fit_prepared(prepared, source, start)
        folds[source] = coefficients_of(found, count, len(sources) - 1, f"without {source}", "")
        without[source] = _medians(predict_log(prepared, found) - prepared.log_step, names)
    chips: dict[str, set[str]] = defaultdict(set)
    for run in runs:
        chips[run.source].add(run.chip.id)
    return folds, stability_of(_medians(predict_log(prepared, start) - prepared.log_step, names), without, chips)


def _medians(log_errors: NDArray[np.float64], names: NDArray[np.str_]) -> dict[str, float]:
    """Median absolute error of each source [%]."""
    away = 100.0 * np.abs(np.expm1(log_errors))
    return {str(name): float(np.median(away[names == name])) for name in np.unique(names)}


def stability_of(
    complete: Mapping[str, float], without: Mapping[str, Mapping[str, float]], chips: Mapping[str, set[str]]
) -> dict[str, float]:
    """How much the error of a source depends on one other source being in the fit.

    Args:
        complete: median absolute error of each source under the fit to all [%].
        without: source left out to the same under the fit without it.
        chips: chips that each source covers.

    Returns:
        The largest move of a source's median where at least two further sources cover one of its chips [points], and the
        largest growth of a median elsewhere (a ratio; 1 is none).
    """
    moved, grown = 0.0, 1.0
    for left_out, medians in without.items():
        for source, now in medians.items():
            if source == left_out:
                continue
            others = [name for name in chips if name not in (source, left_out) and chips[name] & chips[source]]
            if len(others) >= 2:
                moved = max(moved, abs(now - complete[source]))
            elif complete[source] > 1.0:
                grown = max(grown, now / complete[source])
    return {"largest_move_points": moved, "largest_growth_elsewhere": grown}


def _fit_serving_folds(rows: Sequence[TruthRow]) -> dict[str, ServeCoefficients]:
    from suanzhang.app.serve_fit import FitRow, fit_serving_folds

    cases = []
    for row in rows:
        if isinstance(row, ServeRow) and row.quality in _FIRM:
            case = serve_case(row)
            if isinstance(case, ServeCase) and case.measured:
                cases.append(FitRow(row.source, case))
    return fit_serving_folds(cases)[1] if cases else {}


# ---------------------------------------------------------------- the record


@cache
def fingerprints() -> dict[str, str]:
    """Short hashes of the shipped coefficients, by phase."""
    from suanzhang.app.serve_fit import load_coefficients

    found: dict[str, Any] = {"training": _train_record(shipped_coefficients()), "serving": asdict(load_coefficients())}
    return {
        phase: hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]
        for phase, value in found.items()
    }


def _train_record(found: TrainCoefficients) -> dict[str, Any]:
    def rounded(values: Mapping[str, float]) -> dict[str, float]:
        return {name: float(f"{value:.6g}") for name, value in values.items()}

    shared = {name: value for name, value in found.values._asdict().items() if name not in ("gemm", "attention")}
    return {"values": rounded(shared), "gemm": rounded(found.gemm), "attention": rounded(found.attention)}


def folds_to_yaml(folds: Folds, date: str) -> str:
    """The text of the recorded folds."""
    serving = {}
    for source, found in sorted(folds.serving.items()):
        serving[source] = {name: value for name, value in asdict(found).items() if isinstance(value, dict)}
    body = {
        "generated_by": "suanzhang.app.validate_record.record (never edited by hand)",
        "date": date,
        "of": dict(folds.fingerprints),
        "stability": {phase: {key: round(v, 3) for key, v in found.items()} for phase, found in folds.stability.items()},
        "training": {source: _train_record(found) for source, found in sorted(folds.training.items())},
        "serving": serving,
    }
    return yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=128)


@cache
def recorded_folds() -> Folds:
    """The folds that ship with the package; none when they were never recorded."""
    if not FOLDS_FILE.exists():
        return Folds({}, {}, {})
    body: dict[str, Any] = yaml.safe_load(FOLDS_FILE.read_text(encoding="utf-8"))
    base = shipped_coefficients()
    training = {
        source: replace(
            base,
            values=Coefficients(gemm=1.0, attention=1.0, **item["values"]),
            gemm=item["gemm"],
            attention=item["attention"],
            note=f"without {source}",
        )
        for source, item in body["training"].items()
    }
    return Folds(
        training,
        {source: ServeCoefficients(**item) for source, item in body["serving"].items()},
        body["of"],
        body.get("stability", {}),
    )
