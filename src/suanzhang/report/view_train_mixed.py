"""The report of ``train`` over pools of unlike chips."""

from __future__ import annotations

from suanzhang.report.blocks import Column, Fact, Facts, Report, Section, Table, ranged, show_fact
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
from suanzhang.spec.memory import MEMORY_UNIT, in_gib
from suanzhang.spec.train_mixed import MixedOption, MixedResult
from suanzhang.units import DAY_S, GIGA, MEGA, format_count

_WAYS = {
    "pipeline": "layers split over the pools",
    "data": "batch split over the pools",
    "groups": "batch split over groups of pools, layers split inside them",
    "alone": "one pool alone",
}


def mixed(result: MixedResult) -> Report:
    """The fastest way, what each pool does in it, and every other way beside it."""
    best = result.best
    pools = " and ".join(f"{format_count(share.chips)} x {share.chip}" for share in best.pools)
    if best.way == "alone":
        days = days_words(best.days, best.days_interval)
        verdict = f"Keep the pools apart: {pools} alone train {result.model} in {days}, faster than any mix."
    else:
        verdict = (
            f"{pools} in one job train {result.model} in {days_words(best.days, best.days_interval)}, "
            f"{_WAYS[best.way]}: {result.gain_fraction:.0%}{between(result.gain_fraction_interval, '.0%')} "
            f"faster than the best pool alone."
        )
    sections = (
        Section("Run", (_run(result),)),
        Section("What each pool does", (_shares("What each pool does", best),)),
        Section("Ways", (_ways(result),)),
        Section("Step", (terms_chart("Parts of the step", best.terms),)),
        warnings_section(result.warnings, weak=result.weak_inputs),
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
        Fact("throughput", best.tokens_per_s, "tokens/s", best.tokens_per_s_interval),
        Fact("gain over the best pool alone", result.gain_fraction, "fraction", result.gain_fraction_interval),
        Fact(
            "all pools, each training a model of its own",
            result.apart_tokens_per_s,
            "tokens/s",
            result.apart_tokens_per_s_interval,
        ),
        Fact(
            "lost by mixing",
            result.mixing_loss_fraction,
            "fraction",
            result.mixing_loss_fraction_interval,
            "of the throughput of pools kept apart",
        ),
        Fact("memory of every pool", f"fits in {100.0 * best.fits_fraction:.0f} of 100 cases"),
        Fact("precision", result.precision),
        Fact("software", result.stack),
        Fact("link between zones", result.between_bytes_per_s / GIGA, "GB/s", note="one direction, shared"),
        Fact(
            "mean draw",
            best.power_w / MEGA,
            "MW",
            best.power_w_interval.scaled(1.0 / MEGA) if best.power_w_interval else None,
            "chips and hosts",
        ),
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
            share.chip, share.zone, share.chips, share.layers, share.batch,
            ranged(share.busy_fraction, share.busy_fraction_interval, 100.0),
            ranged(share.memory_bytes, share.memory_bytes_interval, in_gib(1.0)), layout_words(share.layout),
        )
        for share in option.pools
    )  # fmt: skip
    return Table(title, columns, rows)


def _ways(result: MixedResult) -> Table:
    columns = (
        Column("way"), Column("pools"), Column("chips", "chips"), Column("step time", "s"), Column("duration", "d"),
        Column("throughput", "tokens/s"),
    )  # fmt: skip
    rows = tuple(
        (
            _WAYS[option.way], ", ".join(_part(option, index) for index in range(len(option.pools))), option.chips,
            ranged(option.step_s, option.step_s_interval), ranged(option.days, option.days_interval),
            ranged(option.tokens_per_s, option.tokens_per_s_interval),
        )
        for option in result.options
    )  # fmt: skip
    return Table("Ways", columns, rows, "the pool that needs longest sets the step")


def _part(option: MixedOption, index: int) -> str:
    share = option.pools[index]
    what = {
        "pipeline": f"{share.layers} layers",
        "data": f"{share.batch} sequences",
        "groups": f"{share.layers} layers of {share.batch} sequences",
        "alone": "all",
    }[option.way]
    return f"{share.chip} {what}"
