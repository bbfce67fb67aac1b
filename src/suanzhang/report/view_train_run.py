"""The report of ``goodput``."""

from __future__ import annotations

from suanzhang.report.blocks import Chart, Column, Fact, Facts, Point, Report, Section, Table, ranged, show_fact
from suanzhang.report.common import between, days_words, layout_words, sources_section, terms_table, warnings_section
from suanzhang.spec.train_run import RunResult
from suanzhang.units import DAY_S, HOUR_S, TERA, format_count


def run(result: RunResult) -> Report:
    """Calendar time and where it goes, then checkpoints and spare nodes."""
    span = result.days_interval
    verdict = (
        f"{format_count(result.chips)} x {result.chip} train {result.model} in {days_words(result.days, span)} "
        f"with {result.failures:,.0f}{between(result.failures_interval, ',.0f')} failures; "
        f"{result.goodput_fraction:.1%}{between(result.goodput_fraction_interval, '.1%')} of the time is useful. "
        f"Save every {show_fact(result.interval_s, 's')}, keep {result.spares} spare nodes."
    )
    sections = (
        Section("Run", (_facts(result), _chart(result))),
        Section("Interval between checkpoints", (_intervals(result),)),
        Section("Spare nodes", (_spares(result),)),
        Section("Batch size", (_phases(result),) if len(result.warm_up) > 1 else ()),
        warnings_section(result.warnings, weak=result.weak_inputs),
        Section("Parts of the calendar time", (terms_table("Parts of the calendar time", result.terms),), folded=True),
        sources_section(result.sources),
    )
    return Report(f"A whole run of {result.model}", verdict, sections, main="Interval between checkpoints")


_BEST = "of those that the storage keeps up with"


def _facts(result: RunResult) -> Facts:
    facts = (
        Fact("calendar time", result.days * DAY_S, "s", result.days_interval.scaled(DAY_S), "step time, rates and chance"),
        Fact("useful share of the time", result.goodput_fraction, "fraction", result.goodput_fraction_interval),
        Fact("the same by the closed formula", result.formula_fraction, "fraction", result.formula_fraction_interval),
        Fact("failures", result.failures, "failures", result.failures_interval),
        Fact("mean time between them", result.mtbf_s, "s", result.mtbf_s_interval, result.rate_source),
        Fact("a checkpoint stops training for", result.checkpoint_stall_s, "s", result.checkpoint_stall_s_interval),
        Fact("and is safe after", result.checkpoint_durable_s, "s", result.checkpoint_durable_s_interval),
        Fact("best interval by Young's formula", result.young_s, "s", result.young_s_interval, "of the stall alone"),
        Fact("best interval by simulation", result.simulated_best_s, "s", result.simulated_best_s_interval, _BEST),
        Fact("nodes", result.nodes, "nodes"),
        Fact("spare nodes", result.spares, "nodes"),
        Fact("step time", result.step_s, "s", result.step_s_interval),
        Fact("layout", layout_words(result.layout)),
        Fact("simulated runs", result.replications, "runs"),
    )
    return Facts("Run", facts)


def _chart(result: RunResult) -> Chart:
    points = tuple(
        Point(term.name, "", term.value / HOUR_S, term.value_interval.scaled(1.0 / HOUR_S) if term.value_interval else None)
        for term in result.terms
        if term.name != "steps"
    )
    return Chart("Hours that are no steps", "bars", "part", "time", "h", points)


def _intervals(result: RunResult) -> Table:
    columns = (Column("interval", "min"), Column("useful time, simulated", "%", 4), Column("useful time, formula", "%", 4))
    rows = tuple(
        (
            each.value / 60.0,
            ranged(each.goodput_fraction, each.goodput_fraction_interval, 100.0),
            ranged(each.formula_fraction, each.formula_fraction_interval, 100.0),
        )
        for each in result.intervals
    )
    return Table("Interval between checkpoints", columns, rows, "evaluation and slow nodes count as useful here")


def _spares(result: RunResult) -> Table:
    columns = (Column("spare nodes", "nodes"), Column("useful time", "%", 4))
    rows = tuple(
        (each.value, ranged(each.goodput_fraction, each.goodput_fraction_interval, 100.0)) for each in result.spare_settings
    )
    return Table("Spare nodes", columns, rows)


def _phases(result: RunResult) -> Table:
    columns = (Column("batch", "sequences"), Column("tokens", "trillion"), Column("step time", "s"), Column("duration", "d"))
    rows = tuple(
        (
            each.global_batch,
            each.tokens / TERA,
            ranged(each.step_s, each.step_s_interval),
            ranged(each.days, each.days_interval),
        )
        for each in result.warm_up
    )
    return Table("Batch size", columns, rows, "duration without failures")
