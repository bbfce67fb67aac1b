"""Kinds and counts of chips that a training may take, each with the best that was found on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from suanzhang.app.train_counts import Bounds, fewest, grid, halvings, value_of
from suanzhang.app.train_deadline import chance_below
from suanzhang.app.train_fits import FIT_CONFIDENCE, Riskier, sure_words
from suanzhang.app.train_input import check_chunks, check_recompute, complete_layout, memory_there, parse_layout, usable_bytes
from suanzhang.app.train_model import Packed, check_layout, describe, estimate_packed, pack
from suanzhang.app.train_option import option_of, search
from suanzhang.app.train_search import Searched
from suanzhang.errors import Infeasible
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.memory import memory_words
from suanzhang.spec.result import Money
from suanzhang.spec.stack import TrainStack
from suanzhang.spec.train import TrainEstimate, TrainOption
from suanzhang.units import format_count

_ROUNDS = 4
"""How often the gaps beside the best count of chips are halved."""


@dataclass(frozen=True, slots=True)
class Pool:
    """One kind of chip with the best that was found on a number of them; ``aside`` when shown for comparison only.

    ``riskier`` is a faster way that fits less surely than asked.
    """

    chip: ChipSpec
    job: TrainJob
    stack: TrainStack
    estimate: TrainEstimate
    option: TrainOption
    searched: Searched | None
    aside: bool = False
    riskier: TrainOption | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """One kind of chip with all that is asked of it."""

    job: TrainJob
    chip: ChipSpec
    stack: TrainStack
    price: Money | None
    offload: bool
    kept: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    confidence: float = FIT_CONFIDENCE


def _pool(ask: Ask, packed: Packed, searched: Searched, aside: bool = False) -> Pool:
    estimate = estimate_packed(packed, searched.layouts[0], ask.chip)
    option = option_of(ask.job, ask.chip, ask.stack, estimate, ask.price)
    riskier = None
    if searched.riskier is not None and not aside:
        faster = estimate_packed(packed, searched.riskier, ask.chip)
        riskier = option_of(ask.job, ask.chip, ask.stack, faster, ask.price)
    return Pool(ask.chip, ask.job, ask.stack, estimate, option, searched, aside, riskier)


def surely(best: Pool, confidence: float) -> tuple[str, ...]:
    """What a reader must know of how surely the searched layout fits, and of a faster one that fits less surely."""
    searched = best.searched
    if searched is None:
        return ()
    span = best.option.memory_bytes_interval
    chance = chance_below(span, usable_bytes(best.chip)) if span else 1.0
    faster = None
    if best.riskier is not None:
        gain = 1.0 - best.riskier.step_s / best.option.step_s
        faster = Riskier(describe(best.riskier.layout), gain, searched.riskier_fits_fraction)
    return sure_words(chance, confidence, faster)


def over_counts(ask: Ask, most: int, bounds: Bounds, objective: str) -> list[Pool]:
    """The best on each of many counts of chips in whole gangs, finest where the bounds begin to hold."""
    limit = min(most, bounds.max_chips or most) // bounds.gang * bounds.gang
    if limit < bounds.gang:
        raise Infeasible(
            f"{format_count(most)} {ask.chip.name} are less than a gang",
            binding=[f"gang: {format_count(bounds.gang)} chips"],
            fix="allow more chips or smaller gangs",
        )
    packed = pack(ask.job, ask.chip, ask.stack)
    found: dict[int, Pool] = {}
    last: list[Searched] = []

    def holds(count: int) -> bool:
        searched = search(packed, ask.job, ask.chip, ask.stack, count, ask.offload, bounds.gang, ask.kept, ask.confidence)
        last.append(searched)
        if not searched.layouts:
            return False
        pool = _pool(ask, packed, searched)
        found[count] = pool
        return bounds.holds(pool.option)

    looked_at: dict[int, bool] = {}
    for count in grid(limit, bounds.gang):
        looked_at[count] = holds(count)
        if not found.get(count) and len(looked_at) > 1:
            break  # fewer chips hold the model even less
    if objective == "chips":
        fewest((), bounds.gang, holds, looked_at)
    else:
        _closer(found, bounds, objective, holds)
    pools = [found[count] for count in sorted(found, reverse=True)]
    if not pools:
        raise _nothing_fits(ask.job, ask.chip, limit, last[0])
    return pools


def _closer(found: dict[int, Pool], bounds: Bounds, objective: str, look: Callable[[int], bool]) -> None:
    """Look at counts beside the best one that keeps the bounds, by halving the gaps to its neighbours."""
    for _ in range(_ROUNDS):
        kept = {count: pool.option for count, pool in found.items() if bounds.holds(pool.option)}
        if not kept:
            return
        best = min(kept, key=lambda count: value_of(kept[count], objective))
        looked_at = sorted(found)
        place = looked_at.index(best)
        gaps = [looked_at[place - 1 : place + 1], looked_at[place : place + 2]]
        middles = [sum(gap) // 2 // bounds.gang * bounds.gang for gap in gaps if len(gap) == 2]
        for middle in middles:
            if middle not in found and middle >= bounds.gang:
                look(middle)


def at_count(ask: Ask, count: int, layout: str | TrainLayout | None) -> list[Pool]:
    """The layout given or the best one on a number of chips; without a layout also on fewer of them, for the front."""
    job, chip, stack = ask.job, ask.chip, ask.stack
    packed = pack(job, chip, stack)
    if layout is None:
        searched = search(packed, job, chip, stack, count, ask.offload, kept=ask.kept, confidence=ask.confidence)
        if not searched.layouts:
            raise _nothing_fits(job, chip, count, searched)
        pools = [_pool(ask, packed, searched)]
        for fewer in halvings(count, max(1, min(chip.node.chips, count))):
            beside = search(packed, job, chip, stack, fewer, ask.offload, kept=ask.kept, confidence=ask.confidence)
            if not beside.layouts:
                break
            pools.append(_pool(ask, packed, beside, aside=True))
        return pools
    given = layout if isinstance(layout, TrainLayout) else read_layout(layout, count, stack)
    check_recompute(given, job.model.layers)
    check_layout(packed, given)
    check_chunks(given, job.model.layers, stack)
    estimate = estimate_packed(packed, given, chip)
    if not estimate.fits:
        searched = search(packed, job, chip, stack, count, ask.offload)
        nearest = describe(searched.layouts[0]) if searched.layouts else "none on these chips"
        raise Infeasible(
            f"layout {describe(given)} does not fit {chip.name}",
            binding=[f"memory: {memory_words(estimate.memory_bytes)} needed, {memory_there(chip)}"],
            nearest={"layout": nearest},
            fix="recompute more, split the model over more chips, or shard the optimizer",
        )
    return [Pool(chip, job, stack, estimate, option_of(job, chip, stack, estimate, ask.price), None)]


def read_layout(text: str, count: int, stack: TrainStack) -> TrainLayout:
    """A layout that a user wrote, completed by what the software does."""
    defaults = TrainLayout(
        sp=stack.sequence_parallel,
        zero_stage=stack.default_zero_stage,
        recompute=stack.default_recompute,
        overlap_tp=True,
        overlap_pp="pp" in stack.asked_overlap,
    )
    return complete_layout(parse_layout(text), count, defaults)


def _nothing_fits(job: TrainJob, chip: ChipSpec, count: int, searched: Searched) -> Infeasible:
    if searched.leanest is None:
        reasons = sorted(searched.pruned.items(), key=lambda item: -item[1])
        return Infeasible(
            f"no layout of {job.model.name} on {format_count(count)} {chip.name} divides",
            binding=[f"{reason}: {format_count(number)} layouts" for reason, number in reasons[:3]],
            fix="use a global batch and a number of chips with more divisors",
        )
    return Infeasible(
        f"{job.model.name} does not fit {format_count(count)} {chip.name}",
        binding=[f"memory: at least {memory_words(searched.leanest_bytes)} per chip, {memory_there(chip)}"],
        nearest={"layout": describe(searched.leanest), "memory_bytes": searched.leanest_bytes},
        fix="use more chips, chips with more memory, or adapters instead of full training",
    )
