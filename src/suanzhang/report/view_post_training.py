"""The report of post-training."""

from __future__ import annotations

import math
from collections.abc import Sequence

from suanzhang.report.blocks import Column, Fact, Facts, Report, Section, Table, money_fact, ranged
from suanzhang.report.common import between, layout_words, sources_section, terms_chart, terms_table, warnings_section
from suanzhang.spec.memory import MEMORY_UNIT, in_gib
from suanzhang.spec.post_training import PostOption, PostResult
from suanzhang.units import DAY_S, format_count, format_duration

_NAMES = {
    "sft": "Supervised tuning",
    "dpo": "Preference tuning",
    "grpo": "Reinforcement learning",
    "ppo": "Reinforcement learning",
}


_BESIDE = "the sides work at the same time: the longer one sets the step; share: of the work of both"


def post_training(result: PostResult) -> Report:
    """Days, money, the parts of a step and the other ways to place it."""
    best = result.best
    words = {"colocated": "taking turns on all chips", "training": "on all chips"}
    place = words.get(best.placement, f"{best.rollout_chips} chips sampling beside {best.train_chips} training")
    low, high = result.days_interval.p05, result.days_interval.p95
    verdict = (
        f"{format_count(result.chips)} x {result.chip} do {format_count(_steps(result))} steps of {result.method} on "
        f"{result.model} in {_duration(result.days)} ({_duration(low)} to {_duration(high)}), {place}; "
        f"a step takes {best.step_s:,.1f}{between(result.step_s_interval, ',.1f')} s."
    )
    options = _options(result.options)
    sections = (
        Section("Run", (_run(result),)),
        Section("Parts of a step", (terms_chart("Parts of a step", best.terms),)),
        Section("Sides of the fleet", (terms_table("Sides of the fleet", best.sides, _BESIDE),) if best.sides else ()),
        Section("Ways to place it", (options,)),
        warnings_section(result.warnings, weak=result.weak_inputs),
        Section("Terms of a step", (terms_table("Terms of a step", best.terms),), folded=True),
        sources_section(tuple(key for key in result.sources if key)),
    )
    return Report(f"{_NAMES[result.method]} of {result.model}", verdict, sections, main="Ways to place it")


def _steps(result: PostResult) -> int:
    """Steps, the last one counted whole even where its batch is not full."""
    return math.ceil(result.steps - 1e-9)


def _last_step(result: PostResult) -> str:
    part = result.steps - math.floor(result.steps)
    return f"the last one with {part:.0%} of a batch" if 1e-9 < part < 1.0 - 1e-9 else ""


def _duration(days: float) -> str:
    return format_duration(days * DAY_S)


def _run(result: PostResult) -> Facts:
    best = result.best
    return Facts(
        "Run",
        (
            Fact("calendar time", result.days * DAY_S, "s", result.days_interval.scaled(DAY_S), "with failures and restarts"),
            Fact("steps", _steps(result), "steps", note=_last_step(result)),
            Fact("step time", best.step_s, "s", result.step_s_interval),
            Fact("chip-hours", result.chip_hours, "chip-hours", result.chip_hours_interval),
            money_fact("cost", result.cost, result.cost_interval),
            Fact("tokens of a step", result.tokens_per_step, "tokens"),
            Fact("throughput", result.tokens_per_s_per_chip, "tokens/s/chip", result.tokens_per_s_per_chip_interval),
            Fact("share of the chips' time at work", result.utilisation, "fraction", result.utilisation_interval),
            Fact("training", f"{best.train_chips} chips, {layout_words(best.layout)}", note=result.stack),
            *_rollout(result),
            Fact(
                "memory of the fullest training chip",
                best.memory_bytes,
                "B",
                best.memory_bytes_interval,
                f"fits in {100.0 * best.fits_fraction:.0f} of 100 cases",
            ),
        ),
    )


def _rollout(result: PostResult) -> tuple[Fact, ...]:
    """Where answers are sampled; nothing where none are."""
    best = result.best
    if best.rollout is None:
        return ()
    return (Fact("rollout", f"{best.rollout_chips} chips, {layout_words(best.rollout)}", note=result.engine),)


def _options(options: Sequence[PostOption]) -> Table:
    """Ways to place it; the columns of the rollout only where there is one."""
    keep = [i for i, column in enumerate(_COLUMNS) if "rollout" not in column.name or any(one.rollout for one in options)]
    rows = tuple(tuple(_row(option)[i] for i in keep) for option in options)
    return Table("Ways to place it", tuple(_COLUMNS[i] for i in keep), rows)


_COLUMNS = (
    Column("placement"),
    Column("training", "chips"),
    Column("rollout", "chips"),
    Column("step time", "s"),
    Column("memory", MEMORY_UNIT),
    Column("rollout layout", optional=True),
    Column("training layout"),
)


def _row(option: PostOption) -> tuple[str | float | None, ...]:
    return (
        option.placement,
        option.train_chips,
        option.rollout_chips,
        ranged(option.step_s, option.step_s_interval),
        ranged(option.memory_bytes, option.memory_bytes_interval, in_gib(1.0)),
        layout_words(option.rollout) if option.rollout else "",
        layout_words(option.layout),
    )
