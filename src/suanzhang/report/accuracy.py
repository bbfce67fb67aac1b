"""The page of our errors: written from a validation, never by hand."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from suanzhang.report.view_validate import METRIC_WORDS
from suanzhang.spec.validate import GroupError, MetricError, RowError, ValidateResult

_UNITS: Mapping[str, str] = {
    "step_s": "s",
    "memory_bytes": "B",
    "tpot_s": "s",
    "ttft_s": "s",
    "e2e_s": "s",
    "output_tokens_per_s": "1/s",
    "j_per_output_token": "J",
}
_HEAD = """# Accuracy

<!-- Written by suanzhang.report.accuracy from a validation. Do not edit: change the physics, then write it again. -->

How far our predictions are from published measurements. A source is judged as a whole: {judged}.
Errors are predicted over measured minus one, in percent. A measurement that could not be modelled is counted below with its
reason. The 90 % interval of each source comes from the other sources only. What is fitted are the coefficients; the settings of
a generation of software (which kernels, what overlaps) are the same for all sources. "One constant" is a single
share of peak fitted to all rows at once. A sweep is a set of at least five rows that differ only in layout or load: the rank
correlation is the median over sweeps, the regret is what the predicted best of a sweep costs beyond the measured best: on the
median sweep, and at most on nine sweeps of ten.

Record of {date}, version {version}, catalog of {catalog_date}.
"""


def write_accuracy(results: Mapping[str, ValidateResult], page: Path, figures: Path, date: str) -> tuple[Path, ...]:
    """Write the page and its figures.

    Args:
        results: phase to its validation, with one entry per row.
        page: where the page goes.
        figures: folder of the figures.
        date: of the record, ISO.

    Returns:
        The files written, the page first.
    """
    figures.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    text = [_head(results, date)]
    for phase, result in results.items():
        drawn = {
            f"accuracy-{phase}-scatter.png": (scatter(result.entries), "png"),
            f"accuracy-{phase}-sources.svg": (by_source(result.by_source), "svg"),
        }
        for name, (chart, kind) in drawn.items():
            if chart is not None:
                written.append(_save(chart, figures / name, kind))
        text.append(page_of(phase, result, [path for path in written if f"-{phase}-" in path.name], page))
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(text), encoding="utf-8")
    return (page, *written)


def _head(results: Mapping[str, ValidateResult], date: str) -> str:
    first = next(iter(results.values()))
    return _HEAD.format(
        judged="; ".join(sorted({result.judged for result in results.values()})),
        date=date,
        version=first.header.version,
        catalog_date=first.header.catalog_date,
    )


def page_of(phase: str, result: ValidateResult, drawn: Sequence[Path], page: Path) -> str:
    """The part of the page about one phase, as Markdown."""
    parts = [
        f"## {phase.capitalize()}\n",
        f"{result.modelled:,} of {result.rows:,} rows that state a metric are modelled. {_complete(phase, result)}\n",
        metric_table(result.metrics, result.baseline),
        f"On the {_WHICH[phase]} alone:\n",
        metric_table(result.complete_metrics, result.complete_baseline),
        "### Intervals\n",
        interval_table(result.metrics),
        "\n".join(f"![{path.stem}]({path.relative_to(page.parent).as_posix()})\n" for path in drawn),
        "### By source\n",
        group_table(result.by_source, result.baseline_by_source),
        "### By chip\n",
        group_table(result.by_chip),
        "### By precision\n",
        group_table(result.by_precision),
        "### By software\n",
        group_table(result.by_engine),
        "### Dense and mixture, scale, quality of the row\n",
        group_table({**result.by_architecture, **result.by_scale, **{f"quality {k}": v for k, v in result.by_quality.items()}}),
    ]
    if result.peers:
        parts += ["### Other planners on the same rows\n", _peers(result)]
    if phase == "training":
        parts += ["### What fits the memory\n", _verdicts(result)]
    if result.stability:
        parts += ["### Stability\n", _stability(result)]
    parts += ["### Farthest off\n", _worst(result), "### Not modelled\n", _skipped(result)]
    return "\n".join(parts)


_WHICH = {
    "training": "rows of quality A or B that state shape, chips, sequence, batch, precision and layout",
    "serving": "rows of tier A, which are well specified",
}


def _complete(phase: str, result: ValidateResult) -> str:
    share = 100.0 * result.complete_modelled / max(result.complete_rows, 1)
    return f"Of the {result.complete_rows:,} {_WHICH[phase]}, {result.complete_modelled:,} are: **{share:.1f} %**."


def interval_table(metrics: Mapping[str, MetricError]) -> str:
    """How often the 90 % interval of a source, drawn from the other sources, holds, and how wide it is."""
    rows = [
        [
            f"{METRIC_WORDS.get(name, name)} (`{name}`)",
            _share(item.interval90_coverage),
            f"{_share(item.coverage_low)} to {_share(item.coverage_high)}",
            _pct(item.interval_ratio, 2),
            _share(item.calibrated_coverage),
            _pct(item.calibrated_ratio, 2),
        ]
        for name, item in sorted(metrics.items())
        if item.interval90_coverage is not None
    ]
    head = (
        "metric", "inside 90 % interval", "over sources", "p95/p05, median row", "inside, calibrated chips",
        "p95/p05, calibrated chips",
    )  # fmt: skip
    return _table(head, rows)


def _share(value: float | None) -> str:
    return "" if value is None else f"{100.0 * value:.0f} %"


def _peers(result: ValidateResult) -> str:
    rows = [
        [
            f"{item.name} ({item.commit[:7]} of {item.commit_date}, run on {item.date})",
            f"`{item.metric}`",
            f"{item.rows:,}",
            str(item.sources),
            f"{item.peer_median_abs_pct:.1f}",
            f"{item.peer_p90_abs_pct:.1f}",
            f"{item.peer_bias_pct:+.1f}",
            f"**{item.our_median_abs_pct:.1f}**",
            f"{item.our_p90_abs_pct:.1f}",
            f"{item.our_bias_pct:+.1f}",
            f"{item.constant_median_abs_pct:.1f}",
        ]
        for item in result.peers
    ]
    head = (
        "planner", "metric", "rows", "sources", "its median error %", "its p90 %", "its bias %", "our median error %",
        "our p90 %", "our bias %", "one constant %",
    )  # fmt: skip
    settings = "\n".join(f"{item.name}: {item.settings}.\n" for item in result.peers)
    return f"{_table(head, rows)}\n{settings}"


def _pct(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    numeric = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join([_row(head), _row(numeric), *(_row(row) for row in rows)]) + "\n"


def metric_table(metrics: Mapping[str, MetricError], baseline: Mapping[str, MetricError]) -> str:
    """One line per metric, with the error of a single fitted constant beside ours."""
    head = (
        "metric", "rows", "sources", "median error %", "over sources %", "p90 error %", "bias %", "rank corr.", "regret %",
        "regret, nine sweeps of ten %", "one constant %",
    )  # fmt: skip
    rows = []
    for name, item in sorted(metrics.items()):
        other = baseline.get(name)
        rows.append(
            [
                f"{METRIC_WORDS.get(name, name)} (`{name}`)",
                f"{item.n:,}",
                str(item.sources),
                f"**{item.median_abs_pct:.1f}**",
                f"{item.median_abs_low_pct:.1f} to {item.median_abs_high_pct:.1f}",
                _pct(item.p90_abs_pct),
                f"{item.bias_pct:+.1f}",
                _pct(item.rank_corr, 2),
                _pct(item.regret_pct),
                _pct(item.regret_p90_pct),
                _pct(other.median_abs_pct if other else None),
            ]
        )
    return _table(head, rows)


def group_table(groups: Mapping[str, GroupError], constant: Mapping[str, Mapping[str, float]] | None = None) -> str:
    """One line per group and metric: rows, median, 90th percentile, bias, order, regret, and the error of one constant."""
    rows = []
    for name, group in groups.items():
        label = f"{_plain(name)} ({group.modelled} of {group.rows})"
        for metric, item in sorted(group.metrics.items()):
            rows.append(
                [
                    label,
                    f"`{metric}`",
                    f"{item.n:,}",
                    _pct(item.median_abs_pct),
                    _pct(item.p90_abs_pct),
                    f"{item.bias_pct:+.1f}",
                    _pct(item.rank_corr, 2),
                    _pct(item.regret_pct),
                    _pct((constant or {}).get(metric, {}).get(name)),
                ]
            )
            label = ""
        if not group.metrics:
            rows.append([label, "", "0", *[""] * 6])
    head = (
        "group (modelled of rows)", "metric", "rows", "median error %", "p90 %", "bias %", "rank corr.", "regret %",
        "one constant %",
    )  # fmt: skip
    last = len(head) if constant else len(head) - 1
    return _table(head[:last], [row[:last] for row in rows])


def _plain(text: str) -> str:
    return text.replace("|", "/")


def _verdicts(result: ValidateResult) -> str:
    found = result.memory_verdicts
    return _table(
        ("published", "said to fit", "said not to fit"),
        [
            ["ran", f"{found.ran_and_fits:,}", f"{found.ran_but_refused:,}"],
            ["ran out of memory", f"{found.failed_but_fits:,}", f"{found.failed_and_refused:,}"],
        ],
    )


def _stability(result: ValidateResult) -> str:
    words = {
        "largest_move_points": "largest move of another source's median error, its chip covered by two further sources, points",
        "largest_growth_elsewhere": "largest growth of a median error elsewhere, times",
        "pairs": "pairs of a source that leaves and one that stays",
        "pairs_beyond_3_points": "pairs beyond 3 points where two further sources cover the chip",
        "pairs_beyond_double": "pairs beyond double elsewhere",
    }
    return _table(
        ("when one source leaves the fit", "value"),
        [
            [words.get(name, name), f"{value:,.0f}" if name.startswith("pairs") else _pct(value, 2)]
            for name, value in sorted(result.stability.items())
        ],
    )


def _worst(result: ValidateResult) -> str:
    rows = []
    for item in result.worst:
        why = item.explanation or "; ".join(item.assumed) or "not understood yet"
        unit = _UNITS.get(item.metric, "")
        rows.append(
            [
                f"{_plain(item.source)}: `{_plain(item.id)}`",
                f"`{item.metric}`",
                f"{item.predicted:.4g} {unit}",
                f"{item.measured:.4g} {unit}",
                f"{item.error_pct:+.0f}",
                item.bound_by,
                _plain(why),
            ]
        )
    return _table(("row", "metric", "predicted", "measured", "error %", "bound by", "why"), rows)


def _skipped(result: ValidateResult) -> str:
    if not result.skipped:
        return "Every row is modelled.\n"
    return _table(("reason", "rows"), [[_plain(reason), f"{count:,}"] for reason, count in result.skipped.items()])


# ---------------------------------------------------------------- figures


def _altair() -> Any:
    """Altair, loaded only when a figure is drawn."""
    return importlib.import_module("altair")


def scatter(entries: Sequence[RowError]) -> Any:
    """Predicted against measured on logarithmic axes, one panel per metric; None without rows."""
    alt = _altair()
    points = [
        {"metric": METRIC_WORDS.get(name, name), "measured": value, "predicted": entry.predicted[name]}
        for entry in entries
        for name, value in entry.measured.items()
        if name in entry.predicted
    ]
    if not points:
        return None
    panels = []
    for title in sorted({str(point["metric"]) for point in points}):
        own = [point for point in points if point["metric"] == title]
        ends = [point[key] for point in own for key in ("measured", "predicted")]
        line = [{"measured": value, "predicted": value} for value in (min(ends), max(ends))]  # type: ignore[type-var]
        axis: dict[str, Any] = {"scale": alt.Scale(type="log"), "axis": alt.Axis(format="~s", labelOverlap=True, grid=False)}
        dots = (
            alt.Chart(alt.Data(values=own), title=f"{title}, {len(own):,} values")
            .mark_circle(size=12, opacity=0.35)
            .encode(
                x=alt.X("measured:Q", title="measured (SI)", **axis), y=alt.Y("predicted:Q", title="predicted (SI)", **axis)
            )
        )
        equal = alt.Chart(alt.Data(values=line)).mark_line(color="black", strokeWidth=1).encode(x="measured:Q", y="predicted:Q")
        panels.append((dots + equal).properties(width=260, height=220))
    return alt.concat(*panels, columns=3)


def by_source(groups: Mapping[str, GroupError], fewest: int = 5) -> Any:
    """Median absolute error of each source with at least ``fewest`` rows, by metric; None without any."""
    alt = _altair()
    bars = [
        {"source": f"{name[:60]}", "metric": METRIC_WORDS.get(metric, metric), "error": item.median_abs_pct, "rows": item.n}
        for name, group in groups.items()
        for metric, item in group.metrics.items()
        if item.n >= fewest
    ]
    if not bars:
        return None
    return (
        alt.Chart(alt.Data(values=bars))
        .mark_point(filled=True, size=55)
        .encode(
            x=alt.X("error:Q", title="median absolute error, %", scale=alt.Scale(type="symlog", constant=10)),
            y=alt.Y("source:N", title=None, axis=alt.Axis(labelLimit=420), sort="x"),
            color=alt.Color("metric:N", title=None),
            shape=alt.Shape("metric:N", title=None),
        )
        .properties(width=420)
    )


def _save(chart: Any, path: Path, kind: str) -> Path:
    buffer: io.BytesIO | io.StringIO = io.BytesIO() if kind == "png" else io.StringIO()
    chart.save(buffer, format=kind, **({"scale_factor": 1.0} if kind == "png" else {}))
    content = buffer.getvalue()
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def refresh(date: str, root: Path, *, refit: bool = True) -> tuple[Path, ...]:
    """Record the errors anew and write the page from them: ``python -m suanzhang.report.accuracy DATE ROOT``.

    Args:
        date: of the record, ISO.
        root: root of the repository.
        refit: fit the coefficients with each source left out again, which takes minutes.
    """
    from suanzhang.app.validate_record import record

    return write_accuracy(record(date, refit=refit, say=_say), root / "docs" / "accuracy.md", root / "docs" / "figures", date)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    refresh(sys.argv[1], Path(sys.argv[2]), refit="--no-refit" not in sys.argv)
