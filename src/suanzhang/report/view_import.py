"""The reports of what was read from somebody's own files."""

from __future__ import annotations

from suanzhang.report.blocks import Chart, Column, Fact, Facts, Notes, Point, Report, Section, Table, ranged
from suanzhang.report.common import REMAINDER, between, days_words, layout_words, warnings_section
from suanzhang.spec.imports import BenchmarkResult, ExamineResult
from suanzhang.units import DAY_S, format_count

_NAMES = {
    "ttft_s": "first token (ttft) [s]", "tpot_s": "per further token (tpot) [s]", "e2e_s": "end to end (e2e) [s]",
    "output_tokens_per_s": "output [tokens/s]",
}  # fmt: skip
_MARKS = {"error": "wrong", "slow": "slow", "note": "note"}


def examine(result: ExamineResult) -> Report:
    """How long a job should take, what is wrong with it, and the best layout of the same chips."""
    sections = (
        Section("Findings", (_findings(result),)),
        Section("The job", (_job(result),)),
        Section("Parts of the step", (_terms(result),) if result.terms else ()),
        warnings_section(result.warnings, weak=result.weak_inputs),
        Section("Names that change nothing here", (Notes("Names", result.unread),) if result.unread else (), folded=True),
    )
    return Report(f"{result.file} on {format_count(result.chips)} x {result.chip}", _verdict(result), sections, main="Findings")


def _verdict(result: ExamineResult) -> str:
    worst = result.findings[0] if result.findings else None
    if result.step_s is None or not result.fits:
        why = worst.text.removeprefix("cannot run: ") if worst else "the layout does not hold"
        more = sum(one.severity == "error" for one in result.findings) - 1
        return f"It cannot run: {why}{f'; {more} more fault' if more > 0 else ''}{'s' if more > 1 else ''}."
    days = f", {days_words(result.days, result.days_interval)} in all" if result.days and result.days_interval else ""
    wrong = sum(one.severity != "note" for one in result.findings)
    said = f"{wrong} thing{'s' if wrong != 1 else ''} to change" if wrong else "nothing to change"
    step = f"{result.step_s:,.2f}{between(result.step_s_interval, ',.2f')} s"
    mfu = f"{100 * (result.mfu or 0.0):.1f}{between(result.mfu_interval, '.1f', 100.0)} %"
    return f"A step should take {step}{days}, at {mfu} of the dense peak; {said}."


def _findings(result: ExamineResult) -> Table:
    rows = tuple(
        (_MARKS[one.severity], one.text, ranged(one.gain or None, one.gain_interval, 100.0), one.change)
        for one in result.findings
    )
    columns = (Column("kind"), Column("finding"), Column("saves", "% of the step"), Column("change", optional=True))
    return Table("Findings", columns, rows, "each gain is of that change alone")


def _job(result: ExamineResult) -> Facts:
    days = result.days_interval.scaled(DAY_S) if result.days_interval else None
    return Facts(
        "The job",
        (
            Fact("parameters", result.params / 1e9, "billion"),
            Fact("layout", layout_words(result.layout)),
            Fact("software", result.stack),
            Fact("precision", result.precision),
            Fact("tokens of a step", float(result.global_batch * result.seq_len), "tokens"),
            Fact("step time", result.step_s, "s", result.step_s_interval),
            Fact("calendar time", result.days * DAY_S if result.days else None, "s", days, "with failures and restarts"),
            Fact("model FLOP utilisation (mfu)", result.mfu, "fraction", result.mfu_interval),
            Fact(
                "memory of the fullest chip",
                result.memory_bytes,
                "B",
                result.memory_bytes_interval,
                "fits" if result.fits else "does not fit" if result.memory_bytes else "",
            ),
            Fact("pipeline bubble", result.bubble, "fraction", result.bubble_interval if result.bubble else None),
            Fact("best layout of these chips", layout_words(result.best_layout) if result.best_layout else None),
            Fact("its step time", result.best_step_s, "s", result.best_step_s_interval),
        ),
    )


def _terms(result: ExamineResult) -> Chart:
    least = REMAINDER * sum(result.terms.values())
    points = tuple(
        Point(name.removesuffix("_s").replace("_", " "), "", value, result.terms_interval.get(name))
        for name, value in result.terms.items()
        if value > least
    )
    return Chart("Parts of the step", "bars", "part", "time", "s", points)


def benchmark(result: BenchmarkResult) -> Report:
    """A benchmark beside our prediction."""
    inside = sum(one.inside for one in result.metrics)
    verdict = (
        f"Over {len(result.metrics)} figures of {len(result.runs)} run(s) our median error is "
        f"{100 * result.median_error:.1f} %; {inside} of them lie inside our 90 % interval."
    )
    rows = tuple(
        (one.run, _NAMES[one.metric], one.measured, ranged(one.predicted, one.predicted_interval), 100.0 * one.error,
         one.inside)
        for one in result.metrics
    )  # fmt: skip
    columns = (
        Column("run", "index"), Column("figure"), Column("measured", "SI"), Column("predicted", "SI"),
        Column("error", "%"), Column("inside", optional=True),
    )  # fmt: skip
    runs = tuple((n, run.isl, run.osl, run.concurrency, run.rate, run.requests) for n, run in enumerate(result.runs, 1))
    run_columns = (
        Column("run", "index"), Column("prompt", "tokens"), Column("answer", "tokens"), Column("users", "requests"),
        Column("rate", "requests/s"), Column("answered", "requests"),
    )  # fmt: skip
    asked = Facts(
        "Asked",
        (
            Fact("model", result.model),
            Fact("chip", result.chip),
            Fact("engine", result.engine),
            Fact("layout", layout_words(result.layout)),
            Fact("weights / cache", f"{result.weight_dtype} / {result.kv_dtype}"),
        ),
    )
    sections = (
        Section("Measured and predicted", (Table("Measured and predicted", columns, rows),)),
        Section("Runs", (Table("Runs", run_columns, runs), asked)),
        warnings_section(result.warnings),
    )
    return Report(f"{result.file} beside the prediction", verdict, sections)
