"""The report of ``scaling``."""

from __future__ import annotations

from suanzhang.report.blocks import Column, Fact, Facts, Report, Section, Table, money_fact, ranged
from suanzhang.report.common import between, layout_words, sources_section, warnings_section
from suanzhang.spec.train_scaling import ScalingResult, ScalingRow
from suanzhang.units import GIGA, MEGA, TERA, format_count

_EXPONENTS = (24, 21, 18)
"""Powers of ten that compute is shown in, the largest that it reaches."""


def _unit(flop: float) -> tuple[float, str]:
    power = next((power for power in _EXPONENTS if flop >= 0.1 * 10.0**power), _EXPONENTS[-1])
    return 10.0**power, f"10^{power} FLOP"


def scaling(result: ScalingResult) -> Report:
    """Size, tokens and loss of the best model, then the kinds of chips and other sizes."""
    best = result.best
    who = f"{format_count(best.chips)} x {best.chip} in {best.days:,.0f} days" if best.chip else f"{best.flop:.2e} FLOP"
    span = best.loss_interval
    verdict = (
        f"{who} train {best.params / GIGA:,.3g}{between(best.params_interval, ',.3g', 1.0 / GIGA)} billion parameters on "
        f"{best.tokens / TERA:,.3g}{between(best.tokens_interval, ',.3g', 1.0 / TERA)} trillion tokens to a loss of"
        f" {best.loss:.3f} nats per token ({span.p05:.3f} to {span.p95:.3f})."
    )
    sections = (
        Section("Budget and model", (_facts(result, best),)),
        Section("Kinds of chips", (_chips(result),) if best.chip else ()),
        Section("Other sizes and other laws", (_sizes(result),)),
        warnings_section(result.warnings, weak=result.weak_inputs),
        sources_section(result.sources),
    )
    main = "Kinds of chips" if best.chip else "Other sizes and other laws"
    return Report("What a budget can train", verdict, sections, main=main)


def _facts(result: ScalingResult, best: ScalingRow) -> Facts:
    scale, unit = _unit(best.flop)
    compute = best.flop_interval.scaled(1.0 / scale) if best.chip else None
    facts = [
        Fact("training compute", best.flop / scale, unit, compute),
        Fact("parameters", best.params / GIGA, "billion", best.params_interval.scaled(1.0 / GIGA)),
        Fact("training tokens", best.tokens / TERA, "trillion", best.tokens_interval.scaled(1.0 / TERA)),
        Fact("tokens per parameter", best.tokens_per_param, "tokens", best.tokens_per_param_interval),
        Fact("expected loss", best.loss, "nats/token", best.loss_interval, "step time, and how far published laws differ"),
    ]
    if best.chip:
        facts += [
            Fact("shape", f"{best.layers} layers, {format_count(best.hidden)} wide"),
            Fact("layout", layout_words(best.layout) if best.layout else "–"),
            Fact("model FLOP utilisation (mfu)", best.mfu, "fraction", best.mfu_interval),
            Fact("useful share of the time", best.goodput_fraction, "fraction", best.goodput_fraction_interval),
            money_fact("cost of its chip-hours", best.cost),
        ]
    if result.budget is not None:
        facts.append(money_fact("budget", result.budget))
    return Facts("Budget and model", tuple(facts))


def _chips(result: ScalingResult) -> Table:
    money = next((row.cost.currency for row in result.rows if row.cost), "")
    same = len({row.days for row in result.rows}) == 1
    scale, unit = _unit(max(row.flop for row in result.rows))
    columns = [
        Column("chip"), Column("chips", "chips"), Column("duration", "d", optional=same), Column("mfu", "%"),
        Column("compute", unit), Column("size", "billion"), Column("tokens", "trillion"),
        Column("loss", "nats/token", 4),
    ]  # fmt: skip
    if money:
        columns += [Column("price per hour", f"{money}/chip/h"), Column("cost", f"million {money}")]
    rows = []
    for row in result.rows:
        cells: list[str | float | None] = [
            row.chip, row.chips, row.days, ranged(row.mfu, row.mfu_interval, 100.0),
            ranged(row.flop, row.flop_interval, 1.0 / scale), ranged(row.params, row.params_interval, 1.0 / GIGA),
            ranged(row.tokens, row.tokens_interval, 1.0 / TERA), ranged(row.loss, row.loss_interval),
        ]  # fmt: skip
        if money:
            cells += [
                row.price_per_chip_h.amount if row.price_per_chip_h else None,
                row.cost.amount / MEGA if row.cost else None,
            ]
        rows.append(tuple(cells))
    note = f"each for {result.rows[0].days:,.0f} days" if same else ""
    return Table("Kinds of chips", tuple(columns), tuple(rows), note)


def _sizes(result: ScalingResult) -> Table:
    columns = (Column("choice"), Column("parameters", "billion"), Column("tokens", "trillion"), Column("loss", "nats/token", 4))
    rows = tuple(
        (
            row.law,
            ranged(row.params, row.params_interval, 1.0 / GIGA),
            ranged(row.tokens, row.tokens_interval, 1.0 / TERA),
            ranged(row.loss, row.loss_interval),
        )
        for row in result.sizes
    )
    return Table("Other sizes and other laws", columns, rows, "the same compute; sizes beside the best one by the first law")
