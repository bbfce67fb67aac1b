"""The report of ``variants``."""

from __future__ import annotations

from suanzhang.report.blocks import Column, Notes, Report, Section, Table, ranged
from suanzhang.report.common import between, layout_words, sources_section, warnings_section
from suanzhang.spec.result import Interval
from suanzhang.spec.train_variants import VariantRow, VariantsResult
from suanzhang.units import format_count, in_words


def variants(result: VariantsResult) -> Report:
    """Each chip against the first of its group: time, break-even price, and where the time goes."""
    others = [row for row in result.rows if row.chip != row.base]
    verdict = f"On {result.model} with {format_count(result.chips)} chips: " + "; ".join(_words(row) for row in others) + "."
    lacks = tuple(f"{row.chip}: {'; '.join(row.notes)}" for row in others if row.notes)
    sections = (
        Section("Against the first chip of each group", (_table(result),)),
        Section("What is cut", (_figures(result),)),
        Section("What they lack", (Notes("What they lack", lacks),) if lacks else ()),
        Section("Where the time goes", (Notes("Where the time goes", tuple(_where(row) for row in others)),)),
        Section("Best layouts", (_layouts(result),)),
        warnings_section(result.warnings, weak=result.weak_inputs),
        sources_section(result.sources),
    )
    return Report(f"Variants of a chip on {result.model}", verdict, sections, main="Against the first chip of each group")


def _words(row: VariantRow) -> str:
    if row.option is None:
        return f"{row.chip} cannot run it"
    change = row.time_ratio - 1.0
    span = row.time_ratio_interval
    later = Interval(span.p05 - 1.0, span.p50 - 1.0, span.p95 - 1.0) if span else None
    slower = (
        f"{change:.1%}{between(later, '.1%')} slower than"
        if change < 1.0
        else f"{row.time_ratio:.1f}{between(span, '.1f')} times as slow as"
    )
    even = f"{row.even_price_ratio:.0%}{between(row.even_price_ratio_interval, '.0%')}"
    return f"{row.chip} is {slower} {row.base} and breaks even at {even} of its price per hour"


def _table(result: VariantsResult) -> Table:
    money = next((row.even_price_per_chip_h for row in result.rows if row.even_price_per_chip_h), None)
    columns = [
        Column("chip"), Column("against"), Column("duration", "d"), Column("time", "times", 4),
        Column("same layout", "times", 4),
        Column("break-even price", "%"), Column("fewest chips", "chips"),
    ]  # fmt: skip
    if money:
        columns.insert(6, Column("break-even price per hour", f"{money.currency}/chip/h"))
    rows = []
    for row in result.rows:
        even = row.even_price_per_chip_h
        cells = [
            row.chip, row.base if row.base != row.chip else "–",
            ranged(row.option.days, row.option.days_interval) if row.option else None,
            ranged(row.time_ratio or None, row.time_ratio_interval),
            ranged(row.same_layout_ratio or None, row.same_layout_ratio_interval),
            ranged(row.even_price_ratio or None, row.even_price_ratio_interval, 100.0),
            ranged(row.fewest_chips or None, row.fewest_chips_interval),
        ]  # fmt: skip
        if money:
            cells.insert(6, ranged(even.amount, row.even_price_per_chip_h_interval) if even else None)
        rows.append(tuple(cells))
    note = "time: days over those of the first chip, each in its best layout; break-even: share of its price per chip-hour"
    return Table("Against the first chip of each group", tuple(columns), tuple(rows), note)


def _figures(result: VariantsResult) -> Table:
    columns = (
        Column("chip"), Column("against"), Column("precision"), Column("peak", "%"), Column("memory", "%"),
        Column("memory bandwidth", "%"), Column("link", "%"), Column("network", "%"),
    )  # fmt: skip
    rows = tuple(
        (
            row.chip, row.base, row.precision,
            *[
                100.0 * value if value else None
                for value in (row.peak_ratio, row.hbm_ratio, row.hbm_bandwidth_ratio, row.link_ratio, row.nic_ratio)
            ],
        )
        for row in result.rows
        if row.chip != row.base
    )  # fmt: skip
    return Table("What is cut", columns, rows, "figures over those of the first chip")


def _where(row: VariantRow) -> str:
    if not row.lost:
        return f"{row.chip}: the best layout of {row.base} does not run on it"
    parts = [
        f"{in_words(name)} {value:+.1%} ({row.lost_interval[name].p05:+.1%} to {row.lost_interval[name].p95:+.1%})"
        for name, value in list(row.lost.items())[:4]
    ]
    return f"{row.chip} in the best layout of {row.base}: {', '.join(parts)} of its step"


def _layouts(result: VariantsResult) -> Table:
    columns = (Column("chip"), Column("chips", "chips"), Column("mfu", "%"), Column("layout"))
    rows = tuple(
        (row.chip, row.option.chips, ranged(row.option.mfu, row.option.mfu_interval, 100.0), layout_words(row.option.layout))
        for row in result.rows
        if row.option
    )
    return Table("Best layouts", columns, rows)
