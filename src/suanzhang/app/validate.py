"""`validate`: our error on published measurements, by source, chip, precision, engine; what could not be modelled and why.

The rows that ship with the package are judged with coefficients that never saw the row's source, where a fit of that kind is
at hand; a file of other rows is judged with the shipped coefficients, which never saw it either.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from suanzhang.app.header import header
from suanzhang.app.validate_against import CONSTANT_METRICS, by_source_pct, constant_residuals, peer_errors
from suanzhang.app.validate_drift import changes
from suanzhang.app.validate_fit import Judges, chip_left_out_judges, left_out_judges, recorded_folds, shipped_judges
from suanzhang.app.validate_predict import Outcome, outcome, shared_reasons
from suanzhang.app.validate_sources import sources_of
from suanzhang.app.validate_unstated import unstated_precisions
from suanzhang.catalog.chips import chip
from suanzhang.errors import CatalogError, InputError
from suanzhang.evidence.conformal import IntervalTable, cross_validated, shipped_table
from suanzhang.evidence.metrics import Residual, by_metric, worst
from suanzhang.evidence.remarks import explanation
from suanzhang.evidence.rows import PHASES, Phase, TruthRow, read_rows, shipped_rows
from suanzhang.spec.result import Interval
from suanzhang.spec.validate import (
    GroupError,
    MemoryVerdicts,
    RowError,
    ValidateResult,
    WorstRow,
)

Progress = Callable[[int, int], None]
_WORST = 10
_NOTHING = "none of its metrics predicted"


def validate(
    truth: str | Path | None = None,
    phase: str | None = None,
    rows: bool = False,
    *,
    left_out: bool = True,
    leave_out: str = "source",
    progress: Progress | None = None,
) -> ValidateResult:
    """Predict every published row and compare.

    Args:
        truth: a file of rows; None for those that ship with the package.
        phase: "training" or "serving"; None takes what the keys of each row tell.
        rows: also give one entry per row.
        left_out: judge shipped rows by coefficients that never saw their source.
        leave_out: "source", or "chip": judge training by coefficients that never saw the chip of a row, as if its kernels had
            not been timed either.
        progress: called with (rows done, rows in all).

    Returns:
        Errors by metric and group, skips by reason, the worst rows.

    Raises:
        InputError: the file is not such a file, holds no row of that phase, states a metric in another unit than its key
            says, or the phase is unknown.
    """
    started = time.monotonic()
    phase = phase or None
    table = rows_of(truth, phase)
    if leave_out not in ("source", "chip"):
        raise InputError(f"leave_out: {leave_out!r} is none", fix="use source or chip")
    if leave_out == "chip" and _phases(table) != ["training"]:
        raise InputError("leave_out: a chip can be left out of training only", fix="add --phase training")
    if leave_out == "chip":
        judges = chip_left_out_judges()
    else:
        judges = left_out_judges(_phases(table)) if truth is None and left_out else shipped_judges()
    outcomes = predict(table, judges, progress)
    if truth is not None:
        _check_units(outcomes, str(truth))
    result = summarise_outcomes(outcomes, with_rows=rows, judged=judges.title, own_rows=truth is None)
    result = replace(result, by_precision={**result.by_precision, **unstated_precisions(outcomes, judges)})
    stability = recorded_folds().stability.get(phase or _phase_of(table), {}) if truth is None else {}
    result = replace(result, phase=phase or _phase_of(table), stability=stability)
    moved = changes(result) if truth is None and left_out else ()
    return replace(result, changes=moved, wall_s=time.monotonic() - started)


_OTHER_UNIT, _ROWS_THAT_TELL = 100.0, 5
"""Three of four rows of a file are not so many times slower or faster than predicted; those in another unit are."""


def _check_units(outcomes: Sequence[Outcome], truth: str) -> None:
    """Refuse a file whose rows are off by what only another unit explains."""
    ratios: dict[str, list[float]] = {}
    for item in outcomes:
        for metric in item.predicted.keys() & item.measured.keys():
            ratios.setdefault(metric, []).append(item.measured[metric] / item.predicted[metric])
    for metric, found in sorted(ratios.items()):
        if len(found) < _ROWS_THAT_TELL:
            continue
        low, middle, high = statistics.quantiles(found)
        if low > _OTHER_UNIT or high < 1.0 / _OTHER_UNIT:
            raise InputError(
                f"{truth}: the measured {metric} is {middle:.3g} times what is predicted (median of {len(found)})",
                fix="check the unit of its values against docs/reference/truth-format.md",
            )


def rows_of(truth: str | Path | None, phase: str | None) -> tuple[TruthRow, ...]:
    """The rows of a file, or those that ship, of one phase or of both.

    Raises:
        InputError: see :func:`validate`.
    """
    if phase is not None and phase not in PHASES:
        raise InputError(f"phase: {phase!r} is none", fix="use training or serving")
    if truth is None:
        return tuple(row for name in PHASES if phase in (None, name) for row in shipped_rows(name))
    found = read_rows(truth)
    kept = tuple(row for row in found if phase in (None, row.phase))
    if not kept:
        raise InputError(f"{truth}: holds no row of {phase}", fix=f"leave out --phase; its rows are of {found[0].phase}")
    return kept


def _phases(table: Sequence[TruthRow]) -> list[Phase]:
    found = {row.phase for row in table}
    return [phase for phase in PHASES if phase in found]


def _phase_of(table: Sequence[TruthRow]) -> str:
    phases = _phases(table)
    return phases[0] if len(phases) == 1 else "all"


def predict(table: Sequence[TruthRow], judges: Judges, progress: Progress | None = None) -> list[Outcome]:
    """The outcome of each row, in their order."""
    outcomes = []
    for index, row in enumerate(table):
        outcomes.append(outcome(row, partial(judges.training, row.source), partial(judges.serving, row.source)))
        if progress is not None and (index % 50 == 0 or index + 1 == len(table)):
            progress(index + 1, len(table))
    return outcomes


# ---------------------------------------------------------------- summaries


def summarise_outcomes(outcomes: Sequence[Outcome], *, with_rows: bool, judged: str, own_rows: bool) -> ValidateResult:
    """All figures of a validation from the outcomes of its rows."""
    counted = [item for item in outcomes if item.counted]
    residuals = with_intervals(outcomes, own_rows)
    by_id: dict[tuple[str, str], list[Residual]] = defaultdict(list)
    for item in residuals:
        by_id[(item.source, item.row_id)].append(item)
    group = partial(_groups, counted, by_id)
    constants = {metric: constant_residuals(outcomes, metric) for metric in CONSTANT_METRICS}
    complete = [item for item in counted if item.row.complete]
    stated = {(item.row.source, item.row.id) for item in complete}
    return ValidateResult(
        header=header(),
        phase="",
        rows=len(counted),
        modelled=sum(1 for item in counted if item.residuals),
        skipped=shared_reasons(item.skip or _NOTHING for item in counted if not item.residuals),
        metrics=by_metric(residuals),
        by_source=group(lambda item: item.row.source),
        by_chip=group(lambda item: item.labels.get("chip") or _chip_id(item.row.chip)),
        by_precision=group(lambda item: item.labels.get("precision", "")),
        by_engine=group(lambda item: item.labels.get("engine") or item.labels.get("stack", "")),
        by_architecture=group(lambda item: item.labels.get("architecture", "")),
        by_scale=group(lambda item: item.labels.get("scale", "")),
        by_quality=group(lambda item: item.row.quality),
        baseline={name: error for items in constants.values() for name, error in by_metric(items).items()},
        memory_verdicts=_verdicts(outcomes),
        stability={},
        worst=_worst(residuals, outcomes),
        judged=judged,
        rows_total=len(outcomes),
        wall_s=0.0,
        entries=tuple(_entry(item, by_id[item.row.source, item.row.id]) for item in counted) if with_rows else (),
        complete_rows=len(complete),
        complete_modelled=sum(1 for item in complete if item.residuals),
        complete_metrics=by_metric([item for item in residuals if (item.source, item.row_id) in stated]),
        baseline_by_source={metric: by_source_pct(items) for metric, items in constants.items() if items},
        complete_baseline={
            name: error
            for items in constants.values()
            for name, error in by_metric([item for item in items if (item.source, item.row_id) in stated]).items()
        },
        peers=peer_errors(outcomes) if own_rows else (),
        sources=sources_of(item.row for item in outcomes),
    )


def with_intervals(outcomes: Iterable[Outcome], own_rows: bool) -> list[Residual]:
    """Residuals with our 90 % interval: from the other sources for our own rows, from the shipped table for a file."""
    by_phase: dict[Phase, list[Residual]] = defaultdict(list)
    for item in outcomes:
        by_phase[item.row.phase].extend(item.residuals)
    try:
        table = shipped_table()
    except CatalogError:
        return [residual for group in by_phase.values() for residual in group]
    result: list[Residual] = []
    for phase, group in by_phase.items():
        if own_rows:
            kept = cross_validated(phase, group, table.level)
            known = {(item.source, item.row_id, item.metric) for item in kept}
            rest = [item for item in group if (item.source, item.row_id, item.metric) not in known]
            result += kept + rest
        else:
            result += [_with_interval(phase, item, table) for item in group]
    return result


def _with_interval(phase: str, item: Residual, table: IntervalTable) -> Residual:
    found = table.get(phase, item.metric, item.labels.get("grade", "physics-only"), item.distance, item.traits)
    if found is None:
        return item
    low, middle, high = (item.predicted * factor for factor in (found.p05, found.p50, found.p95))
    return replace(item, low=low, middle=middle, high=high)


def _interval(item: Residual) -> Interval | None:
    return Interval(item.low, item.middle, item.high) if item.high > 0.0 else None


def _groups(
    counted: Sequence[Outcome], by_id: Mapping[tuple[str, str], list[Residual]], label: Callable[[Outcome], str]
) -> dict[str, GroupError]:
    members: dict[str, list[Outcome]] = defaultdict(list)
    for item in counted:
        name = label(item)
        if name:
            members[name].append(item)
    result: dict[str, GroupError] = {}
    for name in sorted(members):
        residuals = [residual for item in members[name] for residual in by_id.get((item.row.source, item.row.id), [])]
        modelled = sum(1 for item in members[name] if item.residuals)
        result[name] = GroupError(len(members[name]), modelled, by_metric(residuals, draws=0))
    return result


def _verdicts(outcomes: Iterable[Outcome]) -> MemoryVerdicts:
    count = Counter((item.ran, item.fits) for item in outcomes if item.fits is not None)
    return MemoryVerdicts(count[True, True], count[True, False], count[False, False], count[False, True])


@functools.cache
def _chip_id(written: str) -> str:
    """Catalog name of a chip as a row writes it; as written where the catalog does not have it."""
    try:
        return chip(written).id
    except CatalogError:
        return written


def _worst(residuals: Sequence[Residual], outcomes: Iterable[Outcome]) -> tuple[WorstRow, ...]:
    by_id = {(item.row.source, item.row.id): item for item in outcomes}
    firm = [item for item in residuals if by_id[item.source, item.row_id].row.quality in {"A", "B"}]
    return tuple(
        WorstRow(
            id=item.row_id,
            source=item.source,
            metric=item.metric,
            predicted=item.predicted,
            measured=item.measured,
            error_pct=100.0 * item.error,
            bound_by=by_id[item.source, item.row_id].bound_by,
            assumed=by_id[item.source, item.row_id].flags,
            explanation=explanation(item.row_id),
            predicted_interval=_interval(item),
        )
        for item in worst(firm, _WORST)
    )


def _entry(item: Outcome, judged: Sequence[Residual]) -> RowError:
    return RowError(
        id=item.row.id,
        source=item.row.source,
        phase=item.row.phase,
        chip=item.row.chip,
        model=item.row.model_name,
        predicted=dict(item.predicted),
        measured=dict(item.measured),
        skipped=item.skip or ("" if item.residuals else _NOTHING),
        assumed=item.flags,
        labels=dict(item.labels),
        predicted_interval={one.metric: span for one in judged if (span := _interval(one)) is not None},
    )
