"""The report of ``validate``."""

from __future__ import annotations

import math
from collections.abc import Mapping

from suanzhang.report.blocks import Column, Fact, Facts, Report, Scalar, Section, Table, ranged
from suanzhang.report.common import count_table
from suanzhang.spec.validate import GroupError, MetricError, ValidateResult

_COLUMNS = (
    Column("rows", "rows"),
    Column("sources", "sources"),
    Column("median error", "%"),
    Column("low", "%", optional=True),
    Column("high", "%", optional=True),
    Column("90th percentile", "%"),
    Column("bias", "%"),
    Column("rank correlation", "of 1", optional=True),
    Column("inside our 90 % interval", "%"),
    Column("inside, low", "%", optional=True),
    Column("inside, high", "%", optional=True),
    Column("p95 over p05, all chips", "times", optional=True),
    Column("p95 over p05, calibrated chips", "times"),
)


METRIC_WORDS: Mapping[str, str] = {
    "step_s": "training step time",
    "memory_bytes": "memory of the fullest chip",
    "tpot_s": "time per output token",
    "ttft_s": "time to first token",
    "e2e_s": "end-to-end latency",
    "output_tokens_per_s": "output tokens per second",
    "j_per_output_token": "energy per output token",
}


def validate(result: ValidateResult) -> Report:
    """Error by metric, by group, the worst rows, and what was not modelled."""
    parts = [
        f"{METRIC_WORDS.get(name, name)} {error.median_abs_pct:.0f} % over {error.n} rows"
        for name, error in result.metrics.items()
    ]
    said = f"Median error: {'; '.join(parts)}" if parts else "Nothing to compare"
    verdict = f"{result.modelled} of {result.rows} published rows are modelled. {said}."
    if result.changes:
        verdict += f" {_moved(result)}"
    if result.rows_total > result.rows:
        verdict += f" {result.rows_total - result.rows} more state none of the metrics as a positive number."
    groups = (
        ("source", result.by_source),
        ("chip", result.by_chip),
        ("precision", result.by_precision),
        ("engine", result.by_engine),
        ("architecture", result.by_architecture),
        ("scale", result.by_scale),
        ("quality", result.by_quality),
    )
    sections = (
        Section(
            "Error by metric",
            (
                _metrics("Error by metric", result.metrics),
                _metrics("On rows that state their whole configuration", result.complete_metrics),
                _metrics("One constant for all rows instead", result.baseline),
                _metrics("One constant on those that state their whole configuration", result.complete_baseline),
            ),
        ),
        *((Section("Choosing by prediction", (_choices(result),)),) if _swept(result) else ()),
        *((Section("Against the record", (_changes(result),)),) if result.changes else ()),
        Section("Rows", (_facts(result),)),
        *((Section("When one source leaves the fit", (_stability(result),)),) if result.stability else ()),
        *((Section("Other planners on the same rows", (_peers(result),)),) if result.peers else ()),
        Section("Not modelled", (count_table("Not modelled", result.skipped, "reason", "rows"),)),
        *((Section("Each source beside one constant", (_constants(result),)),) if result.baseline_by_source else ()),
        Section("Error by chip", (_groups("Error by chip", result.by_chip),)),
        Section("Farthest off", (_worst(result), _remarks(result))),
        *(Section(f"By {name}", (_groups(f"By {name}", group),), folded=True) for name, group in groups if name != "chip"),
        Section("Rows one by one", (_entries(result),), folded=True),
    )
    main = "Rows one by one" if result.entries else "Error by metric"
    return Report(f"Our error on published measurements ({result.phase})", verdict, sections, main=main)


def _row(error: MetricError) -> tuple[Scalar, ...]:
    covered = error.interval90_coverage
    return (
        error.n,
        error.sources,
        error.median_abs_pct,
        error.median_abs_low_pct,
        error.median_abs_high_pct,
        error.p90_abs_pct,
        error.bias_pct,
        error.rank_corr,
        100.0 * covered if covered is not None else None,
        None if error.coverage_low is None else 100.0 * error.coverage_low,
        None if error.coverage_high is None else 100.0 * error.coverage_high,
        error.interval_ratio,
        error.calibrated_ratio,
    )


def _metrics(title: str, metrics: Mapping[str, MetricError]) -> Table:
    rows = tuple((name, *_row(error)) for name, error in metrics.items())
    return Table(
        title,
        (Column("metric"), *_COLUMNS),
        rows,
        "low and high: 90 % interval over sources, of the median and of the share inside" if rows else "",
    )


REGRET_BAR = 10.0
"""Most that choosing by prediction may cost on nine sweeps of ten [%]; our aim for layouts of a training."""


def _swept(result: ValidateResult) -> dict[str, MetricError]:
    """Metrics that have sweeps."""
    return {name: error for name, error in result.metrics.items() if error.sweeps}


def _choices(result: ValidateResult) -> Table:
    """What the predicted best of a sweep costs beyond the measured best, on the median sweep and on nine of ten."""
    sets = (("all rows", _swept(result)), ("whole configuration stated", result.complete_metrics))
    rows = tuple(
        (name, words, error.sweeps, error.rank_corr, error.regret_pct, error.regret_p90_pct)
        for words, found in sets
        for name, error in found.items()
        if error.sweeps
    )
    columns = (
        Column("metric"), Column("rows"), Column("sweeps", "sweeps"), Column("rank correlation", "of 1"),
        Column("regret, median sweep", "%"), Column("regret, nine of ten", "%"),
    )  # fmt: skip
    note = "regret: what the predicted best of a sweep costs beyond the measured best"
    if result.phase == "training":
        note += f"; the bar for layouts is 2 % on the median sweep and {REGRET_BAR:g} % on nine of ten"
    return Table("Choosing by prediction", columns, rows, note)


def _groups(title: str, groups: Mapping[str, GroupError]) -> Table:
    rows = tuple((name, metric, *_row(error)) for name, group in groups.items() for metric, error in group.metrics.items())
    return Table(title, (Column("group"), Column("metric"), *_COLUMNS), rows)


def _facts(result: ValidateResult) -> Facts:
    verdicts = result.memory_verdicts
    return Facts(
        "Rows",
        (
            Fact("rows in the file", result.rows_total, "rows"),
            Fact("rows that state a metric", result.rows, "rows"),
            Fact("modelled", result.modelled, "rows"),
            Fact("rows that state their whole configuration", result.complete_rows, "rows"),
            Fact("of them modelled", result.complete_modelled, "rows"),
            Fact("how it is judged", result.judged),
            Fact("ran, and said to fit", verdicts.ran_and_fits, "rows"),
            Fact("ran, but said not to fit", verdicts.ran_but_refused, "rows"),
            Fact("out of memory, and said not to fit", verdicts.failed_and_refused, "rows"),
            Fact("out of memory, but said to fit", verdicts.failed_but_fits, "rows"),
            Fact("time taken", result.wall_s, "s"),
        ),
    )


_NOISE_POINTS = 0.05
_FEWEST_ROWS = 5


def _moved(result: ValidateResult) -> str:
    """How the recorded figures moved, in a sentence."""
    moves = [(item.now_pct if item.now_pct is not None else math.inf) - item.recorded_pct for item in result.changes]
    better, worse = (sum(1 for move in moves if sign * move > _NOISE_POINTS) for sign in (-1.0, 1.0))
    beyond = sum(1 for item in result.changes if item.worse)
    counts = f"{better} better, {worse} worse ({beyond} beyond what is allowed)"
    return f"Of {len(moves)} recorded errors {counts if better or worse else 'none moved'}."


def _changes(result: ValidateResult) -> Table:
    """All figures over all sources, and those of single sources that moved, the largest step first."""
    columns = (
        Column("source"), Column("metric"), Column("recorded", "%", 4), Column("now", "%", 4), Column("allowed", "%", 4),
        Column("verdict"),
    )  # fmt: skip
    shown = [(item, (item.now_pct if item.now_pct is not None else math.inf) - item.recorded_pct) for item in result.changes]
    shown = [(item, move) for item, move in shown if not item.source or abs(move) > _NOISE_POINTS]
    shown.sort(key=lambda pair: (bool(pair[0].source), not pair[0].worse, -abs(pair[1])))
    rows = tuple(
        (item.source or "all", item.metric, item.recorded_pct, item.now_pct, item.allowed_pct, _verdict(item.worse, move))
        for item, move in shown
    )
    return Table("Against the record", columns, rows, "median errors; sources that did not move are left out")


def _verdict(beyond: bool, move: float) -> str:
    if beyond:
        return "worse than allowed"
    if abs(move) <= _NOISE_POINTS:
        return "as recorded"
    return "worse" if move > 0.0 else "better"


def _constants(result: ValidateResult) -> Table:
    """Our error on each source of five rows or more beside that of one constant fitted to all rows."""
    columns = (
        Column("source"), Column("metric"), Column("rows", "rows"), Column("our median error", "%"),
        Column("one constant", "%"), Column("nearer"),
    )  # fmt: skip
    rows = []
    for source, group in result.by_source.items():
        for metric, found in result.baseline_by_source.items():
            error = group.metrics.get(metric)
            if error is None or source not in found or error.n < _FEWEST_ROWS:
                continue
            nearer = "ours" if error.median_abs_pct <= found[source] else "the constant"
            rows.append((source, metric, error.n, error.median_abs_pct, found[source], nearer))
    return Table("Each source beside one constant", columns, tuple(rows))


_STABILITY = {
    "largest_move_points": ("largest move of another source's median error, two further sources covering its chip", "% points"),
    "largest_growth_elsewhere": ("largest growth of a median error elsewhere", "times"),
    "pairs": ("pairs of a source that leaves and one that stays", "pairs"),
    "pairs_beyond_3_points": ("pairs beyond 3 points", "pairs"),
    "pairs_beyond_double": ("pairs beyond double elsewhere", "pairs"),
}


def _stability(result: ValidateResult) -> Facts:
    facts = tuple(
        Fact(_STABILITY[name][0], result.stability[name], _STABILITY[name][1])
        for name in _STABILITY
        if name in result.stability
    )
    return Facts("When one source leaves the fit", facts)


def _peers(result: ValidateResult) -> Table:
    columns = (
        Column("planner"),
        Column("metric"),
        Column("rows", "rows"),
        Column("its median error", "%"),
        Column("its bias", "%"),
        Column("our median error", "%"),
        Column("our bias", "%"),
        Column("one constant", "%"),
    )
    rows = tuple(
        (
            f"{item.name} {item.commit[:7]}",
            item.metric,
            item.rows,
            item.peer_median_abs_pct,
            item.peer_bias_pct,
            item.our_median_abs_pct,
            item.our_bias_pct,
            item.constant_median_abs_pct,
        )
        for item in result.peers
    )
    return Table("Other planners on the same rows", columns, rows)


def _worst(result: ValidateResult) -> Table:
    columns = (
        Column("row"),
        Column("source"),
        Column("metric"),
        Column("predicted", "SI"),
        Column("measured", "SI"),
        Column("error", "%"),
        Column("bound by"),
    )
    rows = tuple(
        (w.id, w.source, w.metric, ranged(w.predicted, w.predicted_interval), w.measured, w.error_pct, w.bound_by)
        for w in result.worst
    )
    return Table("Farthest off", columns, rows)


def _remarks(result: ValidateResult) -> Table:
    """What explains the rows farthest off, each explanation once."""
    explained: dict[str, list[str]] = {}
    for row in result.worst:
        explained.setdefault(row.explanation, []).append(row.id)
    rows = tuple(("; ".join(dict.fromkeys(ids)), text) for text, ids in explained.items() if text)
    return Table("What explains them", (Column("rows"), Column("explanation")), rows)


def _entries(result: ValidateResult) -> Table:
    columns = (
        Column("row"),
        Column("source"),
        Column("phase"),
        Column("chip"),
        Column("model"),
        Column("metric"),
        Column("predicted", "SI"),
        Column("measured", "SI"),
        Column("not modelled because"),
    )
    rows: list[tuple[Scalar, ...]] = []
    for entry in result.entries:
        base = (entry.id, entry.source, entry.phase, entry.chip, entry.model)
        if not entry.measured:
            rows.append((*base, "", None, None, entry.skipped))
        for metric, measured in entry.measured.items():
            predicted = entry.predicted.get(metric)
            shown = None if predicted is None else ranged(predicted, entry.predicted_interval.get(metric))
            rows.append((*base, metric, shown, measured, entry.skipped))
    return Table("Rows one by one", columns, tuple(rows))
