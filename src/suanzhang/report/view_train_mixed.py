"""The report of ``train`` over pools of unlike chips."""

from __future__ import annotations

from suanzhang.report.blocks import Column, Fact, Facts, Report, Section, Table, show_fact
from suanzhang.report.common import count_table, layout_words, sources_section, terms_chart, terms_table, warnings_section
from suanzhang.spec.memory import MEMORY_UNIT, in_gib
from suanzhang.spec.train_mixed import MixedOption, MixedResult
from suanzhang.units import DAY_S, GIGA, MEGA, format_count

_WAYS = {"pipeline": "layers split over the pools", "data": "batch split over the pools", "alone": "one pool alone"}


def mixed(result: MixedResult) -> Report:
    """The fastest way, what each pool does in it, and every other way beside it."""
    best = result.best
    pools = " and ".join(f"{format_count(share.chips)} x {share.chip}" for share in best.pools)
    if best.way == "alone":
        verdict = f"Keep the pools apart: {pools} alone train {result.model} in {best.days:,.1f} days, faster than any mix."
    else:
        verdict = (
            f"{pools} in one job train {result.model} in {best.days:,.1f} days ({best.days_interval.p05:,.1f} to "
            f"{best.days_interval.p95:,.1f}), {_WAYS[best.way]}: {result.gain_fraction:.0%} faster than the best pool alone."
        )
    sections = (
        Section("Run", (_run(result),)),
        Section("What each pool does", (_shares("What each pool does", best),)),
        Section("Ways", (_ways(result),)),
        Section("Step", (terms_chart("Parts of the step", best.terms),)),
        warnings_section(result.warnings),
        Section("Terms of the step", (terms_table("Terms of the step", best.terms),), folded=True),
        Section("Layouts left out", (count_table("Layouts left out", result.pruned, "reason", "layouts"),), folded=True),
        sources_section(result.sources),
    )
    return Report(f"Training {result.model} on mixed chips", verdict, sections, main="Ways")


def _run(result: MixedResult) -> Facts:
    best = result.best
    facts = (
        Fact("calendar time", best.days * DAY_S, "s", best.days_interval.scaled(DAY_S), "with failures and restarts"),
        Fact("step time", best.step_s, "s", best.step_s_interval),
        Fact("throughput", best.tokens_per_s, "tokens/s"),
        Fact("all pools, each training a model of its own", result.apart_tokens_per_s, "tokens/s"),
        Fact("lost by mixing", result.mixing_loss_fraction, "fraction", note="of the throughput of pools kept apart"),
        Fact("precision", result.precision),
        Fact("software", result.stack),
        Fact("link between zones", result.between_bytes_per_s / GIGA, "GB/s", note="one direction, shared"),
        Fact("mean draw", best.power_w / MEGA, "MW", note="chips and hosts"),
        Fact("layouts evaluated", result.layouts_evaluated, "layouts", note=f"in {show_fact(result.search_s, 's')}"),
    )
    return Facts("Run", facts)


def _shares(title: str, option: MixedOption) -> Table:
    columns = (
        Column("chip"), Column("zone"), Column("chips", "chips"), Column("layers", "layers"), Column("batch", "sequences"),
        Column("busy", "%"), Column("memory", MEMORY_UNIT), Column("layout"),
    )  # fmt: skip
    rows = tuple(
        (
            share.chip, share.zone, share.chips, share.layers, share.batch, 100.0 * share.busy_fraction,
            in_gib(share.memory_bytes), layout_words(share.layout),
        )
        for share in option.pools
    )  # fmt: skip
    return Table(title, columns, rows)


def _ways(result: MixedResult) -> Table:
    columns = (
        Column("way"), Column("pools"), Column("chips", "chips"), Column("step time", "s"), Column("duration", "d"),
        Column("low", "d", optional=True), Column("high", "d", optional=True), Column("throughput", "tokens/s"),
    )  # fmt: skip
    rows = tuple(
        (
            _WAYS[option.way], ", ".join(_part(option, index) for index in range(len(option.pools))), option.chips,
            option.step_s, option.days, option.days_interval.p05, option.days_interval.p95, option.tokens_per_s,
        )
        for option in result.options
    )  # fmt: skip
    return Table("Ways", columns, rows, "low and high: 90 % interval of the duration; the widest of the pools")


def _part(option: MixedOption, index: int) -> str:
    share = option.pools[index]
    what = {"pipeline": f"{share.layers} layers", "data": f"{share.batch} sequences", "alone": "all"}[option.way]
    return f"{share.chip} {what}"
