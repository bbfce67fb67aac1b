"""Fits the coefficients of the training step to published runs, so that any source can be left out."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numba.typed import List
from numpy.typing import NDArray

from suanzhang.app.train_coefficients import (
    GENERATIONS,
    KERNELS,
    TrainCoefficients,
    generation,
    is_narrow,
    power_factor,
    shipped_coefficients,
)
from suanzhang.app.train_model import pack
from suanzhang.errors import InputError, PlannerError
from suanzhang.perf.training.args import Coefficients
from suanzhang.perf.training.batch import many_steps
from suanzhang.perf.training.feasible import layout_reason
from suanzhang.perf.training.pack import layout_args
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.stack import TrainStack

Floats = NDArray[np.float64]

PRIORS: dict[str, tuple[float, float]] = {
    "memory": (1.4, 0.35),
    "tensor": (1.15, 0.25),
    "data": (1.2, 0.35),
    "expert": (1.2, 0.4),
    "pipeline": (1.2, 0.5),
    "hidden": (0.12, 0.7),
    "jitter": (0.004, 0.8),
    "launch": (1.0, 0.3),
    "quantize": (1.2, 0.4),
    "narrow": (1.0, 0.12),
}
"""What is believed before the fit: median, and standard deviation of its logarithm."""
GEMM_PRIOR = (1.1, 0.12)
UNTIMED_PRIOR = (0.65, 0.25)
"""The same for chips whose kernels nobody timed: shares of the peak typical of graphics chips stand in, while systolic arrays
come close to their peak on the large products of training."""
_UNTIMED = ("tpu", "trillium")
ATTENTION_PRIOR = (1.25, 0.18)
"""Of attention inside frameworks against the kernels timed alone: narrow enough that no single source sets a generation."""
KERNELS_PRIOR = (1.0, 0.06)
"""Factor of a family of kernels on products; one source alone moves it little."""
LARGE_RESIDUAL = 0.15
"""Logarithmic error from which on a run counts less than by its square."""
STEPS, REWEIGHTINGS = 5, 8
"""Gauss-Newton steps of a fit, and rounds of weights in each."""
SLOPE_STEP = 0.02


@dataclass(frozen=True, slots=True)
class FittedRun:
    """One published run as the fit takes it.

    Args:
        source: where it was published; sources weigh by the root of their runs.
        job, chip, layout, stack: the question.
        step_s: measured time of one optimizer step.
    """

    source: str
    job: TrainJob
    chip: ChipSpec
    layout: TrainLayout
    stack: TrainStack
    step_s: float


@dataclass(frozen=True, slots=True)
class Prepared:
    """Runs as the compiled formulas take them.

    Args:
        questions: typed list of the arguments.
        generations: index of the chip generation of each run.
        power: what the power of its chip does to its products.
        narrow: whether its products are in 8 or 4 bit.
        kernels: index of the family of kernels.
        log_step: logarithm of the measured time.
        sources, chips: of each run.
        skipped: runs that cannot be evaluated, by reason.
        kept: derivatives at the parameters where they were asked for last.
    """

    questions: Any
    generations: NDArray[np.int64]
    power: Floats
    narrow: NDArray[np.bool_]
    kernels: NDArray[np.int64]
    log_step: Floats
    sources: tuple[str, ...]
    chips: tuple[str, ...]
    skipped: Counter[str]
    kept: dict[bytes, tuple[Floats, Floats]] = field(default_factory=dict)


def prepare(runs: Sequence[FittedRun]) -> Prepared:
    """Pack the runs; what cannot be evaluated is counted with its reason."""
    questions, kinds, power, narrow, kernels, logs, kept = List(), [], [], [], [], [], []
    skipped: Counter[str] = Counter()
    start = shipped_coefficients()
    for run in runs:
        try:
            packed = pack(run.job, run.chip, run.stack, start)
        except PlannerError as error:
            skipped[error.message] += 1
            continue
        row = layout_args(run.layout)
        if layout_reason(packed.shape, packed.run, row) > 0.0 or not run.step_s > 0.0:
            skipped["layout that cannot be"] += 1
            continue
        questions.append((packed.shape, packed.run, row, packed.ops, packed.ops16))
        kinds.append(GENERATIONS.index(generation(run.chip)))
        power.append(power_factor(run.chip))
        narrow.append(is_narrow(run.job.precision))
        kernels.append(KERNELS.index(run.stack.kernels))
        logs.append(float(np.log(run.step_s)))
        kept.append(run)
    return Prepared(
        questions,
        np.asarray(kinds, dtype=np.int64),
        np.asarray(power),
        np.asarray(narrow),
        np.asarray(kernels, dtype=np.int64),
        np.asarray(logs),
        tuple(run.source for run in kept),
        tuple(run.chip.id for run in kept),
        skipped,
    )


def _names() -> tuple[list[str], Floats, Floats]:
    names = list(PRIORS) + [f"gemm.{g}" for g in GENERATIONS] + [f"attention.{g}" for g in GENERATIONS]
    names += [f"gemm.{family}" for family in KERNELS]
    gemm = [UNTIMED_PRIOR if g in _UNTIMED else GEMM_PRIOR for g in GENERATIONS]
    priors = [*PRIORS.values(), *gemm] + [ATTENTION_PRIOR] * len(GENERATIONS) + [KERNELS_PRIOR] * len(KERNELS)
    return names, np.log([median for median, _ in priors]), np.asarray([spread for _, spread in priors])


def predict_log(prepared: Prepared, log_values: Floats) -> Floats:
    """Logarithm of the predicted step time of each run for logarithmic parameters."""
    values = np.exp(log_values)
    shared = dict(zip(PRIORS, values, strict=False))
    count = len(PRIORS)
    gemm = values[count : count + len(GENERATIONS)][prepared.generations] * prepared.power
    gemm = gemm * np.where(prepared.narrow, shared["narrow"], 1.0)
    count += len(GENERATIONS)
    attention = values[count : count + len(GENERATIONS)][prepared.generations] * prepared.power
    gemm = gemm * values[count + len(GENERATIONS) :][prepared.kernels]
    fit = Coefficients(gemm=1.0, attention=1.0, **shared)
    return np.log(many_steps(prepared.questions, gemm, attention, fit))


def _slopes(prepared: Prepared, at: Floats) -> tuple[Floats, Floats]:
    """Predicted logarithms at parameters, and how they change with each; kept, as every left-out source starts there."""
    key = at.tobytes()
    if key not in prepared.kept:
        middle = predict_log(prepared, at)
        columns = [(predict_log(prepared, at + SLOPE_STEP * unit) - middle) / SLOPE_STEP for unit in np.eye(len(at))]
        prepared.kept.clear()
        prepared.kept[key] = (middle, np.stack(columns, axis=1))
    return prepared.kept[key]


def _solve(target: Floats, middle: Floats, slopes: Floats, at: Floats, weight: Floats) -> Floats:
    """The least of the robust error of the linear model about ``at``, with the priors."""
    _, prior, spread = _names()
    precision = np.diag(spread**-2.0)
    found = at
    for _ in range(REWEIGHTINGS):
        error = middle + slopes @ (found - at) - target
        share = (weight / LARGE_RESIDUAL) ** 2 / np.sqrt(1.0 + (error / LARGE_RESIDUAL) ** 2)
        normal = (slopes * share[:, None]).T @ slopes + precision
        right = (slopes * share[:, None]).T @ (target - middle + slopes @ at) + prior / spread**2.0
        found = np.asarray(np.linalg.solve(normal, right), dtype=np.float64)
    return found


def fit_prepared(
    prepared: Prepared, leave_out: str = "", start: Floats | None = None, by: Sequence[str] | None = None
) -> tuple[Floats, int]:
    """Logarithmic parameters fitted to all runs but those of one source (or one chip), and the number of runs used.

    Model:    Gauss-Newton steps on the robust error of the logarithmic step time plus the priors. From a ``start`` (the fit
              to all sources) the derivatives there serve for every source that is left out; the second step takes the exact
              prediction at the first.

    Args:
        prepared: the runs.
        leave_out: source whose runs are not looked at.
        by: name of each run among which ``leave_out`` is one; its sources when left out.
        start: parameters to start from; the priors, and more steps, when left out.

    Returns:
        Parameters and number of runs.

    Raises:
        InputError: no run is left.
    """
    _, middle, _ = _names()
    names = np.asarray(prepared.sources)
    keep = np.asarray(prepared.sources if by is None else by) != leave_out
    if not keep.any():
        raise InputError("no published run is left to fit to", fix="give rows of more than one source")
    sizes = Counter(names[keep].tolist())
    weight = np.asarray([sizes[str(name)] ** -0.25 if kept else 0.0 for name, kept in zip(names, keep, strict=True)])
    target = prepared.log_step
    if start is not None:
        predicted, slopes = _slopes(prepared, start)
        first = _solve(target, predicted, slopes, start, weight)
        return _solve(target, predict_log(prepared, first), slopes, first, weight), int(keep.sum())
    found = middle
    for _ in range(STEPS):
        predicted, slopes = _slopes(prepared, found)
        found = found + np.clip(_solve(target, predicted, slopes, found, weight) - found, -0.5, 0.5)
    return found, int(keep.sum())


def coefficients_of(log_values: Floats, rows: int, sources: int, note: str, date: str) -> TrainCoefficients:
    """Coefficients from fitted logarithmic parameters."""
    names, _, _ = _names()
    values = dict(zip(names, (float(value) for value in np.exp(log_values)), strict=True))
    shared = {name: values[name] for name in PRIORS}
    return replace(
        shipped_coefficients(),
        values=Coefficients(gemm=1.0, attention=1.0, **shared),
        gemm={g: values[f"gemm.{g}"] for g in (*GENERATIONS, *KERNELS)},
        attention={g: values[f"attention.{g}"] for g in GENERATIONS},
        date=date,
        grade="derived",
        rows=rows,
        sources=sources,
        note=note,
    )


def fit_training(runs: Sequence[FittedRun], leave_out: str = "", date: str = "") -> TrainCoefficients:
    """Coefficients fitted to published runs.

    Args:
        runs: the runs; those of all sources.
        leave_out: a source whose runs are not looked at.
        date: day of the fit for its record.

    Raises:
        InputError: no run is left.
    """
    prepared = prepare(runs)
    found, rows = fit_prepared(prepared, leave_out)
    sources = len(set(prepared.sources) - {leave_out})
    return coefficients_of(found, rows, sources, "robust least squares of log step time, with priors", date)


# ---------------------------------------------------------------- the command that writes what ships


FEWEST_ROWS = 30
"""Left-out runs of one grade from which on their own spread is recorded."""
_HEAD = (
    "# Coefficients of the training step: few, physical, fitted over all published runs of quality A and B at once.\n"
    "# Each is a ratio of the value inside a running step to its isolated or ideal value.\n"
    "# Written by `python -m suanzhang.app.train_fit`; never edited by hand.\n"
)


def shipped_runs() -> tuple[list[FittedRun], list[str]]:
    """The published runs of quality A and B that ship with the package, and the grade of the kernels of each."""
    from suanzhang.app.validate import rows_of
    from suanzhang.app.validate_folds import train_cases
    from suanzhang.app.validate_predict import train_grade_of
    from suanzhang.evidence.rows import TrainRow

    rows = [row for row in rows_of(None, "training") if isinstance(row, TrainRow) and row.quality in ("A", "B")]
    cases = train_cases(rows)
    runs = [FittedRun(c.row.source, c.job, c.chip, c.layout, c.stack, c.measured["step_s"]) for c in cases]
    return runs, [train_grade_of(c.chip, c.job.precision, c.stack.profile) for c in cases]


def left_out_errors(prepared: Prepared, start: Floats, by: Sequence[str] | None = None) -> Floats:
    """Logarithm of predicted over measured time of each run, with its source (or what ``by`` names) left out of the fit."""
    errors = np.zeros(len(prepared.log_step))
    names = np.asarray(prepared.sources if by is None else by)
    for name in sorted(set(names.tolist())):
        values, _ = fit_prepared(prepared, name, start, names.tolist())
        own = names == name
        errors[own] = (predict_log(prepared, values) - prepared.log_step)[own]
    return errors


def _spread(errors: Floats, chip_errors: Floats, grades: Sequence[str]) -> dict[str, list[float]]:
    """Measured over predicted time, 5th, 50th and 95th percentile by grade.

    Chips with timings of their own by the runs of other sources, those with a relative's by the runs of other chips, the
    others by their own runs; what rests on less is never narrower.
    """
    own = np.asarray([grade == "physics-only" for grade in grades])
    groups = {"calibrated": errors, "relative": chip_errors, "physics-only": chip_errors[own]}
    spread: dict[str, list[float]] = {}
    low, high = np.inf, 0.0
    for grade, found in groups.items():
        bottom, middle, top = np.quantile(np.exp(-(found if len(found) >= FEWEST_ROWS else chip_errors)), (0.05, 0.5, 0.95))
        low, high = min(low, bottom), max(high, top)
        spread[grade] = [float(f"{value:.3f}") for value in (low, middle, high)]
    return spread


def _note(inside: Floats, outside: Floats, chips: Floats) -> str:
    def figures(errors: Floats) -> str:
        sizes = 100.0 * np.abs(np.expm1(errors))
        return f"{np.median(sizes):.1f} %, {np.quantile(sizes, 0.9):.0f} %"

    bias = 100.0 * float(np.expm1(np.median(outside)))
    return (
        "robust least squares of log step time with priors, all sources in; median absolute error and 90th percentile "
        f"{figures(inside)}; with the source left out {figures(outside)}, median bias {bias:+.1f} %; with the chip "
        f"left out {figures(chips)}"
    )


def to_yaml(found: TrainCoefficients, residuals: Mapping[str, list[float]]) -> str:
    """The text of the file that ships."""

    def rounded(values: Mapping[str, float]) -> dict[str, float]:
        return {name: float(f"{value:.4g}") for name, value in values.items()}

    shared = {name: value for name, value in found.values._asdict().items() if name not in ("gemm", "attention")}
    body = {
        "fit": {
            "date": found.date,
            "grade": found.grade,
            "rows": found.rows,
            "sources": found.sources,
            "note": found.note,
        },
        "values": {"gemm": rounded(found.gemm), "attention": rounded(found.attention), **rounded(shared)},
        "residuals": dict(residuals),
    }
    return _HEAD + yaml.safe_dump(body, sort_keys=False, width=1000)


def refit(path: Path, date: str) -> TrainCoefficients:
    """Fit the coefficients to the published runs that ship, and write them.

    Args:
        path: the file.
        date: day of the fit for its record, ISO.

    Raises:
        InputError: no run can be evaluated.
    """
    runs, grades = shipped_runs()
    prepared = prepare(runs)
    if prepared.skipped:
        raise InputError(f"runs that cannot be evaluated: {dict(prepared.skipped)}", fix="leave them out of the rows")
    values, rows = fit_prepared(prepared)
    outside = left_out_errors(prepared, values)
    inside = predict_log(prepared, values) - prepared.log_step
    chips = left_out_errors(prepared, values, prepared.chips)
    found = coefficients_of(values, rows, len(set(prepared.sources)), _note(inside, outside, chips), date)
    path.write_text(to_yaml(found, _spread(outside, chips, grades)), encoding="utf-8")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: ``python -m suanzhang.app.train_fit [--date 2026-11-22] [--out FILE]``."""
    from suanzhang.app.train_coefficients import COEFFICIENTS_FILE
    from suanzhang.catalog import CATALOG_DATE

    parser = argparse.ArgumentParser(prog="python -m suanzhang.app.train_fit", description="fit the coefficients of training")
    parser.add_argument("--date", default=CATALOG_DATE, help="day of the fit for its record, ISO")
    parser.add_argument("--out", type=Path, default=COEFFICIENTS_FILE, help="where to write; the shipped file")
    given = parser.parse_args(arguments)
    sys.stdout.write(refit(given.out, given.date).note + "\n")


if __name__ == "__main__":
    main()
