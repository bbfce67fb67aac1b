"""Fits the coefficients of the training step to published runs, so that any source can be left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba.typed import List
from numpy.typing import NDArray
from scipy.optimize import least_squares

from suanzhang.app.train_coefficients import (
    GENERATIONS,
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
UNTIMED_PRIOR = (0.8, 0.25)
"""The same for chips whose kernels nobody timed: typical shares of the peak stand in, which suit large tiles badly."""
_UNTIMED = ("tpu", "trillium")
ATTENTION_PRIOR = (1.1, 0.25)
LARGE_RESIDUAL = 0.15
"""Logarithmic error from which on a run counts less than by its square."""


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
        log_step: logarithm of the measured time.
        sources: of each run.
        skipped: runs that cannot be evaluated, by reason.
    """

    questions: Any
    generations: NDArray[np.int64]
    power: Floats
    narrow: NDArray[np.bool_]
    log_step: Floats
    sources: tuple[str, ...]
    skipped: Counter[str]


def prepare(runs: Sequence[FittedRun]) -> Prepared:
    """Pack the runs; what cannot be evaluated is counted with its reason."""
    questions, kinds, power, narrow, logs, sources = List(), [], [], [], [], []
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
        logs.append(float(np.log(run.step_s)))
        sources.append(run.source)
    return Prepared(
        questions,
        np.asarray(kinds, dtype=np.int64),
        np.asarray(power),
        np.asarray(narrow),
        np.asarray(logs),
        tuple(sources),
        skipped,
    )


def _names() -> tuple[list[str], Floats, Floats]:
    names = list(PRIORS) + [f"gemm.{g}" for g in GENERATIONS] + [f"attention.{g}" for g in GENERATIONS]
    gemm = [UNTIMED_PRIOR if g in _UNTIMED else GEMM_PRIOR for g in GENERATIONS]
    priors = [*PRIORS.values(), *gemm] + [ATTENTION_PRIOR] * len(GENERATIONS)
    return names, np.log([median for median, _ in priors]), np.asarray([spread for _, spread in priors])


def predict_log(prepared: Prepared, log_values: Floats) -> Floats:
    """Logarithm of the predicted step time of each run for logarithmic parameters."""
    values = np.exp(log_values)
    shared = dict(zip(PRIORS, values, strict=False))
    count = len(PRIORS)
    gemm = values[count : count + len(GENERATIONS)][prepared.generations] * prepared.power
    gemm = gemm * np.where(prepared.narrow, shared["narrow"], 1.0)
    attention = values[count + len(GENERATIONS) :][prepared.generations] * prepared.power
    fit = Coefficients(gemm=1.0, attention=1.0, **shared)
    return np.log(many_steps(prepared.questions, gemm, attention, fit))


def fit_prepared(prepared: Prepared, leave_out: str = "", start: Floats | None = None) -> tuple[Floats, int]:
    """Logarithmic parameters fitted to all runs but those of one source, and the number of runs used."""
    _, middle, spread = _names()
    keep = np.asarray([source != leave_out for source in prepared.sources])
    if not keep.any():
        raise InputError("no published run is left to fit to", fix="give rows of more than one source")
    sizes = Counter(source for source, kept in zip(prepared.sources, keep, strict=True) if kept)
    weight = np.asarray([sizes[source] ** -0.25 if source in sizes else 0.0 for source in prepared.sources])[keep]

    def residuals(log_values: Floats) -> Floats:
        error = (predict_log(prepared, log_values) - prepared.log_step)[keep]
        root = np.sqrt(2.0 * (np.sqrt(1.0 + (error / LARGE_RESIDUAL) ** 2) - 1.0))
        return np.concatenate((weight * np.sign(error) * root, (log_values - middle) / spread))

    found = least_squares(residuals, middle if start is None else start, method="trf", max_nfev=12, x_scale=spread)
    return np.asarray(found.x), int(keep.sum())


def coefficients_of(log_values: Floats, rows: int, sources: int, note: str, date: str) -> TrainCoefficients:
    """Coefficients from fitted logarithmic parameters."""
    names, _, _ = _names()
    values = dict(zip(names, (float(value) for value in np.exp(log_values)), strict=True))
    shared = {name: values[name] for name in PRIORS}
    return replace(
        shipped_coefficients(),
        values=Coefficients(gemm=1.0, attention=1.0, **shared),
        gemm={g: values[f"gemm.{g}"] for g in GENERATIONS},
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
