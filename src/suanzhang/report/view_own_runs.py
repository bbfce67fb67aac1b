"""The report of ``calibrate --runs``."""

from __future__ import annotations

from suanzhang.report.blocks import Column, Fact, Facts, Report, Scalar, Section, Table, ranged
from suanzhang.report.common import warnings_section
from suanzhang.spec.own_runs import OwnRunsResult
from suanzhang.spec.result import Interval

_WORTH = 0.005
"""Corrections that move nothing by more than this, and of which nothing was learnt, are folded away."""

_Row = tuple[Scalar, ...]


def own_runs(result: OwnRunsResult) -> Report:
    """What one's own runs change: errors before and after, each run, and the factors behind it."""
    widths = [
        (_width(fit.before_s_interval), _width(fit.after_s_interval))
        for fit in result.fits
        if fit.before_s_interval is not None
    ]
    narrower = ""
    if widths:
        before, after = (sorted(each)[len(widths) // 2] for each in zip(*widths, strict=True))
        narrower = f" Their intervals narrow from {before:.2f} to {after:.2f} (p95 over p05)."
    verdict = (
        f"{result.runs} runs of your own: the error on a run left out is {result.left_out_pct:.1f} %, "
        f"{result.before_pct:.1f} % without them.{narrower}"
    )
    moved, rest = _split(result)
    columns = (
        Column("part of the step or of the question"), Column("factor on its time", "times"),
        Column("open before", "%", 2), Column("open after", "%", 2),
    )  # fmt: skip
    note = "open: one standard deviation of what is not known of the factor"
    sections = (
        Section("Errors", (_errors(result),)),
        Section("Each run", (_fits(result),)),
        Section("Corrections", (Table("Corrections", columns, moved, note),) if moved else ()),
        warnings_section(result.warnings),
        Section("Corrections that the runs say nothing of", (Table("Left as they were", columns, rest),) if rest else (),
                folded=True),
    )  # fmt: skip
    return Report("Corrections by measured runs of one's own", verdict, sections, main="Each run")


def _width(interval: Interval | None) -> float:
    return interval.p95 / interval.p05 if interval else 1.0


def _errors(result: OwnRunsResult) -> Facts:
    facts = (
        Fact("measured runs", result.runs, "runs"),
        Fact("median error of the shipped coefficients", result.before_pct, "%"),
        Fact("with the corrections", result.after_pct, "%", note="on the runs that they were fitted to"),
        Fact("each run predicted from the others", result.left_out_pct, "%", note="what to expect of the next run"),
        Fact(
            "written to",
            result.file or None,
            note="" if result.file else "nowhere; --keep FILE keeps it for train --calibration",
        ),
    )
    return Facts("Errors", facts)


def _fits(result: OwnRunsResult) -> Table:
    columns = (
        Column("line", "line"), Column("model"), Column("chip"), Column("measured", "s"), Column("predicted before", "s"),
        Column("predicted after", "s"), Column("error before", "%", 2), Column("error after", "%", 2),
        Column("layout", optional=True),
    )  # fmt: skip
    rows = tuple(
        (
            fit.line, fit.model, fit.chip, fit.measured_s, ranged(fit.before_s, fit.before_s_interval),
            ranged(fit.after_s, fit.after_s_interval), fit.before_pct, fit.after_pct, fit.layout,
        )
        for fit in result.fits
    )  # fmt: skip
    return Table("Each run", columns, rows)


def _split(result: OwnRunsResult) -> tuple[tuple[_Row, ...], tuple[_Row, ...]]:
    """Rows of corrections that the runs moved or narrowed, and of the others."""
    moved: list[_Row] = []
    rest: list[_Row] = []
    for one in result.corrections:
        row: _Row = (one.name, ranged(one.factor, one.factor_interval), one.prior_pct, one.left_pct)
        told = one.prior_pct - one.left_pct > 100.0 * _WORTH or abs(one.factor - 1.0) > _WORTH
        (moved if told else rest).append(row)
    return tuple(moved), tuple(rest)
