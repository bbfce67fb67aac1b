"""``calibrate --runs``: corrections of the training model by a few of the user's own measured runs, and how they are used."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from suanzhang.app.calibrate_runs_check import check_plausible, sure
from suanzhang.app.calibrate_runs_fit import (
    GROUPS,
    NOTHING,
    WIDTHS,
    OwnFactors,
    Question,
    Seen,
    corrected,
    fit_factors,
    local_names,
    narrowing,
    place_of,
    width_of,
)
from suanzhang.app.train_coefficients import TrainCoefficients, corrected_by, shipped_coefficients
from suanzhang.app.train_input import complete_layout, default_precision, parse_chips, parse_layout
from suanzhang.app.train_model import check_layout, describe, estimate_train, pack
from suanzhang.errors import InputError, PlannerError, nearest_names
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.own_runs import Correction, OwnRunsResult, RunFit
from suanzhang.spec.result import Z95, Interval
from suanzhang.spec.stack import TrainStack
from suanzhang.units import parse_quantity

REQUIRED = ("model", "chips", "layout", "global_batch", "seq_len", "step_s")
OPTIONAL = ("precision", "stack", "optimizer", "method", "lora_rank")
"""Columns of the file of runs."""
FEWEST, MOST = 3, 1000
"""Runs that a file must hold, and may hold."""
_SLOPE_STEP = 0.02
_FORMAT = 2
_FACTOR_RANGE = (0.2, 5.0)


@dataclass(frozen=True, slots=True)
class OwnRun:
    """One measured run.

    Args:
        line: line of the file.
        question: job, chip and software.
        layout: how it was laid out.
        step_s: time of one optimizer step, measured [s].
    """

    line: int
    question: Question
    layout: TrainLayout
    step_s: float


# ---------------------------------------------------------------- the file of runs


def read_runs(path: str | Path) -> tuple[OwnRun, ...]:
    """Measured runs of a CSV file: model, chips, layout, global_batch, seq_len and step_s, one run on a line.

    Args:
        path: the file; ``chips`` as ``h100-sxm-80:64``, ``layout`` as ``tp=8,pp=2`` (in quotes), further columns
            ``precision``, ``stack``, ``optimizer``, ``method`` and ``lora_rank`` where they are not the usual ones.

    Raises:
        InputError: the file or a line of it cannot be used; says which line and why.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, restkey="", strict=True)
            header = [name.strip() for name in reader.fieldnames or ()]
            _check_header(path, header)
            rows = [(reader.line_num, dict(zip(header, row.values(), strict=False)), "" in row) for row in reader]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or 'cannot be read'}", fix="give a readable CSV file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is no CSV file", fix="save it as CSV in UTF-8") from error
    filled = [(line, row, long) for line, row, long in rows if any((value or "").strip() for value in row.values())]
    if not FEWEST <= len(filled) <= MOST:
        raise InputError(f"{path}: {len(filled)} runs", fix=f"give {FEWEST} to {MOST} measured runs")
    runs = []
    for line, row, long in filled:
        if long:
            raise InputError(f"{path}, line {line}: more values than columns", fix="put the layout in quotes")
        try:
            runs.append(_run(line, {name: (value or "").strip() for name, value in row.items()}))
        except PlannerError as error:
            raise InputError(f"{path}, line {line}: {error.message}", fix=error.fix) from error
    return tuple(runs)


def _check_header(path: str | Path, header: Sequence[str]) -> None:
    known = (*REQUIRED, *OPTIONAL)
    for name in header:
        if name not in known:
            near = nearest_names(name, known)
            raise InputError(f"{path}: unknown column {name!r}", fix=f"did you mean {' or '.join(near) or REQUIRED[0]}?")
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise InputError(f"{path}: lacks the column {', '.join(missing)}", fix=f"the first line names {', '.join(REQUIRED)}")
    if len(set(header)) != len(header):
        raise InputError(f"{path}: a column is named twice", fix="keep one of them")


def _count(row: Mapping[str, str], name: str) -> int:
    value = parse_quantity(row[name], "count", name)
    if value < 1 or value != int(value):
        raise InputError(f"{name}: {row[name]!r} is no positive whole number", fix="write for example 1024")
    return int(value)


def _run(line: int, row: Mapping[str, str]) -> OwnRun:
    from suanzhang.catalog import CATALOG_DATE
    from suanzhang.catalog.chips import chip as chip_of
    from suanzhang.catalog.models import model as model_of
    from suanzhang.catalog.stack_defaults import default_train_stack_on
    from suanzhang.catalog.stacks import train_stack

    empty = [name for name in REQUIRED if not row[name]]
    if empty:
        raise InputError(f"{empty[0]} is empty", fix="fill it in, or leave the line out")
    pairs = parse_chips(row["chips"])
    if len(pairs) != 1:
        raise InputError(f"chips: {row['chips']!r} names several kinds", fix="give one kind, as h100-sxm-80:64")
    name, count = pairs[0]
    chip, model = chip_of(name), model_of(row["model"])
    stack = train_stack(row["stack"]) if row.get("stack") else default_train_stack_on(chip, CATALOG_DATE).stack
    step_s = parse_quantity(row["step_s"], "time", "step_s")
    if not 0.0 < step_s < 1e7:
        raise InputError(f"step_s: {row['step_s']!r} is no time of a step", fix="give seconds above zero")
    method = row.get("method") or "full"
    if method not in ("full", "lora", "qlora"):
        raise InputError(f"method: unknown {method!r}", fix="use full, lora or qlora")
    batch, seq = _count(row, "global_batch"), _count(row, "seq_len")
    job = TrainJob(
        name=f"line {line}",
        model=model,
        tokens=float(batch * seq),
        seq_len=seq,
        global_batch=batch,
        precision=row.get("precision") or default_precision(chip),
        optimizer=row.get("optimizer") or "adam",
        method=method,  # type: ignore[arg-type]
        lora_rank=_count(row, "lora_rank") if row.get("lora_rank") else 0 if method == "full" else 16,
    )
    usual = TrainLayout(
        sp=stack.sequence_parallel, zero_stage=stack.default_zero_stage, recompute=stack.default_recompute, overlap_tp=True
    )
    layout = complete_layout(parse_layout(row["layout"]), count, usual)
    check_layout(pack(job, chip, stack), layout)
    return OwnRun(line, Question(job, chip, stack), layout, step_s)


# ---------------------------------------------------------------- the fit


def _log_step(question: Question, layout: TrainLayout, coefficients: TrainCoefficients) -> float:
    return float(np.log(estimate_train(question.job, question.chip, layout, question.stack, coefficients).step_s))


def seen_of(question: Question, layout: TrainLayout, base: TrainCoefficients) -> tuple[Seen, float]:
    """What a run would say: which factors move it, and how far; and the logarithm of its predicted time."""
    middle = _log_step(question, layout, base)
    slopes = {}
    for name in (*GROUPS, "everything"):
        larger = corrected(base, OwnFactors({name: float(np.exp(_SLOPE_STEP))}, {}), question)
        slopes[name] = (_log_step(question, layout, larger) - middle) / _SLOPE_STEP
    return Seen(place_of(question), local_names(question), slopes), middle


def own_factors(runs: Sequence[OwnRun], base: TrainCoefficients | None = None) -> OwnFactors:
    """Factors fitted to measured runs.

    Args:
        runs: the runs.
        base: coefficients to correct; the shipped ones when left out.
    """
    base = base or shipped_coefficients()
    found = [seen_of(run.question, run.layout, base) for run in runs]
    errors = np.asarray([middle for _, middle in found]) - np.log([run.step_s for run in runs])
    return fit_factors([seen for seen, _ in found], errors)


def predicted_s(run: OwnRun, own: OwnFactors = NOTHING, base: TrainCoefficients | None = None) -> float:
    """Step time of a run by corrected coefficients [s]."""
    return float(np.exp(_log_step(run.question, run.layout, corrected(base or shipped_coefficients(), own, run.question))))


def _fingerprint() -> str:
    from suanzhang.app.validate_fit import fingerprints

    return fingerprints()["training"]


def calibrate_runs(runs: str | Path, keep: str | Path | None = None) -> OwnRunsResult:
    """Narrow the training model by a few measured runs of one's own.

    Args:
        runs: CSV file, see :func:`read_runs`.
        keep: where to write the corrections, for ``train --calibration``; nowhere when left out.

    Raises:
        InputError: the file cannot be used, or the corrections cannot be written.
    """
    from suanzhang.app.header import header
    from suanzhang.catalog import CATALOG_DATE

    measured = read_runs(runs)
    check_plausible(
        runs, [run.line for run in measured], [run.step_s for run in measured], [predicted_s(run) for run in measured]
    )
    found = replace(own_factors(measured), date=CATALOG_DATE, of=_fingerprint())
    fits = tuple(_fit_of(run, found) for run in measured)
    rest = [[other for other in measured if other is not run] for run in measured]
    alone = [abs(predicted_s(run, own_factors(others)) / run.step_s - 1.0) for run, others in zip(measured, rest, strict=True)]
    if keep is not None:
        _write(Path(keep), found)
    return OwnRunsResult(
        header=header(),
        runs=len(measured),
        before_pct=float(np.median([abs(item.before_pct) for item in fits])),
        after_pct=float(np.median([abs(item.after_pct) for item in fits])),
        left_out_pct=100.0 * float(np.median(alone)),
        file="" if keep is None else str(keep),
        corrections=tuple(
            Correction(name, factor, 100.0 * width_of(name), 100.0 * found.left[name], _span(factor, found.left[name]))
            for name, factor in found.factors.items()
        ),
        fits=fits,
        warnings=_warnings(fits),
    )


def _span(factor: float, left: float) -> Interval:
    """A factor with what the runs leave open of its logarithm."""
    return Interval(factor * float(np.exp(-Z95 * left)), factor, factor * float(np.exp(Z95 * left)))


def _fit_of(run: OwnRun, own: OwnFactors) -> RunFit:
    before, after = predicted_s(run), predicted_s(run, own)
    question = run.question
    spans = sure(question, run.layout, own, seen_of(question, run.layout, shipped_coefficients())[0])
    return RunFit(
        line=run.line,
        model=question.job.model.id,
        chip=question.chip.id,
        layout=describe(run.layout),
        measured_s=run.step_s,
        before_s=before,
        after_s=after,
        before_pct=100.0 * (before / run.step_s - 1.0),
        after_pct=100.0 * (after / run.step_s - 1.0),
        before_s_interval=spans[0].scaled(before),
        after_s_interval=spans[1].scaled(after),
    )


_FAR_PCT = 30.0


def _warnings(fits: Sequence[RunFit]) -> tuple[str, ...]:
    far = [str(item.line) for item in fits if abs(item.after_pct) > _FAR_PCT]
    if not far:
        return ()
    return (f"line {', '.join(far)}: more than {_FAR_PCT:.0f} % off even after the correction; check what was measured",)


# ---------------------------------------------------------------- the file of corrections


def _write(path: Path, found: OwnFactors) -> None:
    body = {
        "suanzhang_calibration": _FORMAT,
        "date": found.date,
        "of": found.of,
        "factors": {name: float(f"{value:.6g}") for name, value in found.factors.items()},
        "left": {name: float(f"{value:.4g}") for name, value in found.left.items()},
        "seen": [asdict(run) for run in found.seen],
        "strength": float(f"{found.strength:.6g}"),
    }
    try:
        path.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or 'cannot be written'}", fix="name a file in a folder that exists"
        ) from error


def read_calibration(path: str | Path) -> OwnFactors:
    """Corrections that :func:`calibrate_runs` wrote.

    Raises:
        InputError: the file is no such file.
    """
    fix = "give a file that `suanzhang calibrate --runs` wrote"
    try:
        body: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or 'cannot be read'}", fix=fix) from error
    except ValueError as error:
        raise InputError(f"{path}: is no JSON", fix=fix) from error
    if not isinstance(body, dict) or body.get("suanzhang_calibration") != _FORMAT:
        raise InputError(f"{path}: holds no corrections of this version", fix=fix)
    factors, left = body.get("factors"), body.get("left")
    if not isinstance(factors, dict) or not isinstance(left, dict):
        raise InputError(f"{path}: lacks its factors", fix=fix)
    low, high = _FACTOR_RANGE
    for name, value in factors.items():
        if name.split(" ", 1)[0] not in WIDTHS and name not in WIDTHS:
            raise InputError(f"{path}: unknown factor {name!r}", fix=fix)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
            raise InputError(f"{path}: factor {name!r} is {value!r}", fix=f"factors lie between {low:g} and {high:g}")
    try:
        seen = tuple(_seen(item) for item in body["seen"])
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: lacks the runs behind its factors", fix=fix) from None
    strength = body.get("strength", 1.0)
    if not isinstance(strength, (int, float)) or isinstance(strength, bool) or not 0.0 <= strength <= 1.0:
        raise InputError(f"{path}: strength is {strength!r}", fix="it is a share from 0 to 1")
    return OwnFactors(factors, left, seen, str(body.get("date", "")), str(body.get("of", "")), float(strength))


def _seen(item: Mapping[str, Any]) -> Seen:
    slopes = {name: float(item["slopes"][name]) for name in (*GROUPS, "everything")}
    place = tuple(float(value) for value in item["place"])
    found = Seen(place, tuple(str(name) for name in item["names"]), slopes, float(item["variance"]), float(item["pull"]))
    if (
        len(place) != 3
        or found.variance <= 0.0
        or not np.isfinite([*place, *slopes.values(), found.variance, found.pull]).all()
    ):
        raise ValueError
    return found


@contextmanager
def calibrated(path: str | Path) -> Iterator[str]:
    """Answer what is asked inside with the corrections of a file; gives a line that says so."""
    found = read_calibration(path)

    def correct(base: TrainCoefficients, job: TrainJob, chip: ChipSpec, stack: TrainStack) -> TrainCoefficients:
        return corrected(base, found, Question(job, chip, stack))

    def narrow(job: TrainJob, chip: ChipSpec, stack: TrainStack, layout: TrainLayout) -> float:
        return narrowing(found, seen_of(Question(job, chip, stack), layout, shipped_coefficients())[0])

    note = f"corrected by {len(found.seen)} measured runs of {Path(path).name}"
    if found.of != _fingerprint():
        note += ", which were fitted to other coefficients than those of this version: calibrate again"
    with corrected_by(correct, narrow):
        yield note


__all__ = ["OwnRun", "calibrate_runs", "calibrated", "own_factors", "predicted_s", "read_calibration", "read_runs", "seen_of"]
