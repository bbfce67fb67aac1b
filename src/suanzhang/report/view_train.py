"""The report of ``train``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from suanzhang.report.blocks import (
    Block,
    Chart,
    Column,
    Fact,
    Facts,
    Point,
    Report,
    Section,
    Table,
    money_fact,
    ranged,
    show_fact,
)
from suanzhang.report.common import (
    between,
    count_table,
    days_words,
    layout_words,
    sources_section,
    terms_chart,
    terms_table,
    warnings_section,
)
from suanzhang.spec.memory import MEMORY_UNIT, in_gib, memory_words
from suanzhang.spec.result import Interval
from suanzhang.spec.train import TrainOption, TrainResult
from suanzhang.units import DAY_S, J_PER_KWH, KILO, MEGA, format_count


def train(result: TrainResult) -> Report:
    """Days, layout, step, memory, energy and money of one training, then what limits it and what else was found."""
    given = f" of the {format_count(result.chips + result.idle_chips)} given" if result.idle_chips else ""
    verdict = (
        f"{format_count(result.chips)}{given} x {result.chip} train {result.model} in "
        f"{days_words(result.days, result.days_interval)}, "
        f"at {100 * result.mfu:.1f}{between(result.mfu_interval, '.1f', 100.0)} % of the dense peak; "
        f"bound by {result.bound_by}."
    )
    sections = (
        Section("Run", (_run(result),)),
        Section("Layout and step", (_step(result), terms_chart("Parts of the step", result.terms))),
        Section("Memory of the fullest chip", (_memory_chart(result.memory_bytes),)),
        Section("Other ways", _other_ways(result)),
        warnings_section(result.warnings, weak=result.weak_inputs),
        Section("Terms of the step", (terms_table("Terms of the step", result.terms),), folded=True),
        Section("Layouts left out", (count_table("Layouts left out", result.pruned, "reason", "layouts"),), folded=True),
        Section("Memory by stage", _memory_tables(result.memory_bytes), folded=True),
        sources_section(result.sources),
    )
    return Report(
        f"Training {result.model} on {format_count(result.chips)} x {result.chip}",
        verdict,
        sections,
        main="Pareto front: days, chips, energy",
    )


def _other_ways(result: TrainResult) -> tuple[Block, ...]:
    """The front, and a faster way that fits less surely where there is one."""
    front = (options_table("Pareto front: days, chips, energy", result.pareto),) if result.pareto else ()
    if result.riskier is None:
        return front
    title = f"Faster, but fits in only {100.0 * result.riskier_fits_fraction:.0f} of 100 cases"
    return (*front, options_table(title, (result.riskier,)))


def _run(result: TrainResult) -> Facts:
    facts = [
        Fact("calendar time", result.days * DAY_S, "s", result.days_interval.scaled(DAY_S), "with failures and restarts"),
        *_deadline(result),
        Fact("optimizer steps", result.steps, "steps"),
        Fact("useful share of the time", result.goodput_fraction, "fraction", result.goodput_fraction_interval),
        money_fact("cost", result.cost, result.cost_interval),
        Fact(
            "energy",
            result.energy_j / J_PER_KWH / KILO,
            "MWh",
            result.energy_j_interval.scaled(1.0 / J_PER_KWH / KILO),
            "chips and hosts, before the building",
        ),
        Fact("mean draw", result.power_w / MEGA, "MW", _scaled(result.power_w_interval, 1.0 / MEGA), "chips and hosts"),
    ]
    return Facts("Run", tuple(facts))


def _deadline(result: TrainResult) -> tuple[Fact, ...]:
    if result.deadline_met_fraction is None:
        return ()
    return (
        Fact("chance to meet the deadline", result.deadline_met_fraction, "fraction", note="by the interval of the time"),
        Fact("chips that the deadline needs", result.chips_needed, "chips", result.chips_needed_interval),
    )


def _step(result: TrainResult) -> Facts:
    return Facts(
        "Layout and step",
        (
            Fact("layout", layout_words(result.layout)),
            Fact("software", result.stack),
            Fact("precision", result.precision),
            Fact("step time", result.step_s, "s", result.step_s_interval),
            Fact("model FLOP utilisation (mfu)", result.mfu, "fraction", result.mfu_interval, "of the dense peak"),
            Fact("with recomputed work (hfu)", result.hfu, "fraction", result.hfu_interval),
            Fact("throughput", result.tokens_per_s_per_chip, "tokens/s/chip", result.tokens_per_s_per_chip_interval),
            _memory_fact(result),
            Fact("bound by", result.bound_by),
            Fact("layouts evaluated", result.layouts_evaluated, "layouts", note=f"in {show_fact(result.search_s, 's')}"),
        ),
    )


def _memory_fact(result: TrainResult) -> Fact:
    """Memory of the fullest chip beside what a chip has free."""
    total, usable = (_numbers(result.memory_bytes).get(name) for name in ("total", "usable"))
    span = result.memory_bytes.get("total_interval")
    note = f"of {memory_words(usable)} usable; fits in {100.0 * result.fits_fraction:.0f} of 100 cases" if usable else ""
    return Fact("memory of the fullest chip", total, "B", span if isinstance(span, Interval) else None, note)


def _scaled(interval: Interval | None, factor: float) -> Interval | None:
    """An interval in another unit."""
    return interval.scaled(factor) if interval else None


def _numbers(value: Any) -> dict[str, float]:
    return {str(k): float(v) for k, v in value.items() if isinstance(v, (int, float))} if isinstance(value, Mapping) else {}


def _memory_chart(memory: Mapping[str, object]) -> Chart:
    """Parts of the fullest chip's memory; the chart's title carries the total."""
    parts = _numbers(memory.get("by_part")) or {
        key: value for key, value in _numbers(memory).items() if key not in ("total", "usable")
    }
    total = _numbers(memory).get("total", sum(parts.values()))
    usable = _numbers(memory).get("usable", 0.0)
    there = f" of {memory_words(usable)} usable" if usable else " in all"
    spans = memory.get("by_part_interval")
    points = tuple(Point(name, "", in_gib(amount), _interval(spans, name)) for name, amount in parts.items() if amount > 0.0)
    return Chart(f"{memory_words(total)}{there}, by part", "bars", "part", "memory", MEMORY_UNIT, points)


def _interval(spans: object, key: object) -> Interval | None:
    """An interval of a map or a list of them, in the unit of memory."""
    if isinstance(spans, Mapping):
        found = spans.get(key)
    else:
        found = spans[key] if isinstance(spans, (list, tuple)) and isinstance(key, int) else None
    return found.scaled(in_gib(1.0)) if isinstance(found, Interval) else None


def _memory_tables(memory: Mapping[str, object]) -> tuple[Block, ...]:
    """Every nested map of the memory, and one row for each pipeline stage."""
    nested = {key: (_numbers(value), memory.get(f"{key}_interval")) for key, value in memory.items() if _numbers(value)}
    columns = (Column("part"), Column("memory", MEMORY_UNIT))
    blocks: list[Block] = [
        Table(
            f"Memory {key.replace('_', ' ')}",
            columns,
            tuple((name, ranged(in_gib(amount), _interval(spans, name))) for name, amount in parts.items()),
        )
        for key, (parts, spans) in nested.items()
    ]
    stages = memory.get("by_stage")
    if isinstance(stages, (list, tuple)):
        spans = memory.get("by_stage_interval")
        each = tuple(_stage_row(number, stage, _interval(spans, number)) for number, stage in enumerate(stages))
        head = (Column("stage", "index"), Column("memory", MEMORY_UNIT), Column("parts"))
        blocks.append(Table("Memory by stage", head, each))
    return tuple(blocks)


def _stage_row(number: int, stage: Any, interval: Interval | None) -> tuple[int, float | None, str]:
    if isinstance(stage, (int, float)):
        return number, ranged(in_gib(float(stage)), interval), ""
    values = _numbers(stage)
    total = values.pop("total_bytes", None) or values.pop("total", None) or sum(v for k, v in values.items() if k != "stage")
    values.pop("stage", None)
    return number, in_gib(float(total)), ", ".join(f"{key} {memory_words(amount)}" for key, amount in values.items())


def options_table(title: str, options: Iterable[TrainOption]) -> Table:
    """Ways to run one training, one row each."""
    columns: tuple[Column, ...] = (
        Column("chip"),
        Column("chips", "chips"),
        Column("duration", "d"),
        Column("step time", "s", optional=True),
        Column("useful share", "%", optional=True),
        Column("mfu", "%"),
        Column("energy", "MWh"),
        Column("mean draw", "MW", optional=True),
        Column("memory", MEMORY_UNIT),
    )
    options = tuple(options)
    money = next((option.cost.currency for option in options if option.cost), "")
    columns += (*((Column("cost", money),) if money else ()), Column("layout"))
    rows = tuple(
        (
            option.chip,
            option.chips,
            ranged(option.days, option.days_interval),
            ranged(option.step_s, option.step_s_interval),
            ranged(option.goodput_fraction, option.goodput_fraction_interval, 100.0),
            ranged(option.mfu, option.mfu_interval, 100.0),
            ranged(option.energy_j, option.energy_j_interval, 1.0 / J_PER_KWH / KILO),
            ranged(option.power_w, option.power_w_interval, 1.0 / MEGA),
            ranged(option.memory_bytes, option.memory_bytes_interval, in_gib(1.0)),
            *((ranged(option.cost.amount, option.cost_interval) if option.cost else None,) if money else ()),
            layout_words(option.layout),
        )
        for option in options
    )
    return Table(title, columns, rows)
