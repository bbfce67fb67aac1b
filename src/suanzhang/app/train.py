"""The verb ``train``: which layout, how long, how much memory, energy and money."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from suanzhang.app.header import header
from suanzhang.app.physics import physics
from suanzhang.app.spread import draw_factors, sum_interval
from suanzhang.app.train_coefficients import shipped_coefficients
from suanzhang.app.train_counts import (
    OBJECTIVES,
    Bounds,
    cost_of,
    fewest,
    gang_of,
    grid,
    halvings,
    refused,
    value_of,
)
from suanzhang.app.train_input import (
    complete_layout,
    default_batch,
    default_precision,
    memory_there,
    parse_chips,
    parse_layout,
    usable_bytes,
)
from suanzhang.app.train_model import Packed, check_layout, describe, estimate_packed, estimate_train, pack
from suanzhang.app.train_search import Searched, chip_counts, default_axes, search_layouts
from suanzhang.errors import CatalogError, Infeasible, InputError
from suanzhang.evidence.conformal import Grade
from suanzhang.perf.energy import chip_power_w, host_power_w
from suanzhang.perf.goodput import LLAMA3_FAILURES_PER_CHIP_DAY, RESTART_S, checkpoint_s, goodput_fraction
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.memory import memory_words
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.result import Interval, Money
from suanzhang.spec.stack import TrainStack
from suanzhang.spec.train import TrainEstimate, TrainOption, TrainResult
from suanzhang.units import DAY_S, HOUR_S, format_count, parse_quantity

_GRADES: dict[str, Grade] = {"measured": "calibrated", "relative": "relative", "physics": "physics-only"}
_KEEP = 12


@dataclass(frozen=True, slots=True)
class _Pool:
    """One kind of chip with the best that was found on a number of them; ``aside`` when shown for comparison only."""

    chip: ChipSpec
    job: TrainJob
    stack: TrainStack
    estimate: TrainEstimate
    option: TrainOption
    searched: Searched | None
    aside: bool = False


def interval_factors(
    chip: ChipSpec, job: TrainJob, stack: TrainStack, chips: int, estimate: TrainEstimate | None = None
) -> Interval:
    """Measured over predicted step time: 5th, 50th and 95th percentile for such a question.

    An estimate tells more of what intervals are drawn by: what the step is spent on.
    """
    from suanzhang.app.validate_predict import train_distance
    from suanzhang.app.validate_traits import train_traits
    from suanzhang.evidence.conformal import multipliers

    grade = _GRADES[physics(chip, job.precision, stack.profile).origin]
    distance = train_distance(chips, job.seq_len)
    try:
        traits = None
        if estimate is not None:
            mixture, adapters = job.model.moe is not None, job.method != "full"
            traits = train_traits(estimate, estimate.layout, job.precision, mixture=mixture, adapters=adapters)
        found = multipliers("training", grade, distance, "step_s", traits)
    except CatalogError:
        low, middle, high = shipped_coefficients().residuals[grade]
        spread = 1.0 + 0.25 * distance
        return Interval(middle * (low / middle) ** spread, middle, middle * (high / middle) ** spread)
    return Interval(found.p05, found.p50, found.p95)


def option_of(job: TrainJob, chip: ChipSpec, stack: TrainStack, estimate: TrainEstimate) -> TrainOption:
    """The whole run of an estimated step: days with failures, energy and power."""
    params = job.model.params
    saved = checkpoint_s(params, float(estimate.chips))
    goodput = goodput_fraction(float(estimate.chips), LLAMA3_FAILURES_PER_CHIP_DAY, saved, RESTART_S)
    steps = job.tokens / (job.seq_len * job.global_batch)
    days = steps * estimate.step_s / goodput / DAY_S
    factors = interval_factors(chip, job, stack, estimate.chips, estimate)
    chip_w = chip_power_w(chip.tdp_w, min(1.0, estimate.utilisation))
    host_w = host_power_w(chip.node.power_w, float(chip.node.chips), chip.tdp_w)
    power = estimate.chips * (chip_w + host_w)
    return TrainOption(
        chip=chip.id,
        chips=estimate.chips,
        layout=estimate.layout,
        step_s=estimate.step_s,
        days=days,
        days_interval=factors.scaled(days),
        goodput_fraction=goodput,
        energy_j=power * days * DAY_S,
        power_w=power,
        mfu=estimate.mfu,
        memory_bytes=estimate.memory_bytes,
        step_s_interval=factors.scaled(estimate.step_s),
        mfu_interval=_inverse(factors, estimate.mfu),
        energy_j_interval=sum_interval([(power * days * DAY_S, {"time": factors, "draw": draw_factors()})], 0),
        power_w_interval=draw_factors().scaled(power),
    )


def train_options(
    job: TrainJob, chip: ChipSpec, counts: tuple[int, ...], stack: TrainStack | None = None
) -> tuple[TrainOption, ...]:
    """The best way to run a job on each number of chips, for a plan that prices them.

    Args:
        job: the job.
        chip: the chip.
        counts: numbers of chips to look at.
        stack: generation of software; that of the job's start when left out.

    Returns:
        One option per count that has a feasible layout; a count without one is left out.

    Raises:
        OutOfDomain: the chip lacks the arithmetic that the job asks for.
    """
    stack = stack or _stack_for(job, "")
    packed = pack(job, chip, stack)
    options = []
    for count in counts:
        searched = _search(packed, job, chip, stack, count)
        if searched.layouts:
            options.append(option_of(job, chip, stack, estimate_packed(packed, searched.layouts[0], chip)))
    return tuple(options)


def _stack_for(job: TrainJob, name: str) -> TrainStack:
    from suanzhang.catalog import CATALOG_DATE
    from suanzhang.catalog.stacks import default_train_stack, train_stack

    return train_stack(name) if name else default_train_stack(int((job.start or CATALOG_DATE)[:4]))


def _search(packed: Packed, job: TrainJob, chip: ChipSpec, stack: TrainStack, chips: int, offload: bool = False) -> Searched:
    domain = int(packed.run.domain)
    axes = default_axes(job, stack, chips, domain)
    if offload:
        axes = replace(axes, offload_optimizer=(0, 1), offload_activations=(0, 1))
    return search_layouts(packed, job, axes, chip_counts(job, chips, axes), _KEEP)


def train(
    model: str | Path | ModelSpec,
    tokens: float | str,
    chips: str,
    *,
    layout: str | TrainLayout | None = None,
    global_batch: int = 0,
    seq_len: int = 0,
    precision: str = "",
    stack: str = "",
    optimizer: str = "adam",
    deadline_s: float | None = None,
    objective: str = "time",
    price_per_chip_h: float | Sequence[float] | None = None,
    currency: str = "USD",
    budget: float | None = None,
    max_chips: int = 0,
    gang: str = "",
    offload: bool = False,
    start: str = "",
    calibration: str | Path | None = None,
    seed: int = 0,
) -> TrainResult:
    """Plan a training run: the layout given or the best one, and what it takes.

    Args:
        model: catalog id, alias, path of a ``config.json``, or a shape.
        tokens: tokens to train on, such as ``"300B"``.
        chips: ``"CHIP:N"``, or several kinds separated by commas, of which the best is taken; ``"CHIP"`` with ``max_chips``.
        layout: ``"tp=8,pp=8"`` or a layout; searched when left out.
        global_batch: sequences of a step; a usual size for the model when left out.
        seq_len: tokens of a sequence; 2,048, 4,096 or 8,192 by the model's own length when left out.
        precision: dtype of the products; 16 bit when left out.
        stack: generation of software; that of the start year when left out.
        optimizer: as in ``TrainJob``.
        deadline_s: longest duration allowed.
        objective: "time" (or "days"), "cost", "energy" or "chips", to choose between kinds and counts of chips.
        price_per_chip_h: money per chip and hour, one for all kinds or one for each; no cost without.
        currency: of the price.
        budget: most money for chip-hours.
        max_chips: most chips. With it, with a gang, a budget or the objective "chips", or with a deadline beside another
            objective than time, fewer chips than the number given may be taken.
        gang: chips come in whole nodes ("NODE") or in multiples of a number.
        offload: let optimizer states and activations live in host memory, as further axes of the search.
        start: month of the start, ISO.
        calibration: file of corrections by measured runs of one's own, as ``calibrate --runs`` writes it.
        seed: printed in the header; nothing here is random.

    Raises:
        InputError: something given cannot be used.
        Infeasible: no layout fits, or the deadline cannot be met; with what binds and the nearest feasible point.
    """
    if calibration is not None:
        from suanzhang.app.calibrate_runs import calibrated

        with calibrated(calibration) as note:
            found = train(
                model, tokens, chips, layout=layout, global_batch=global_batch, seq_len=seq_len, precision=precision,
                stack=stack, optimizer=optimizer, deadline_s=deadline_s, objective=objective,
                price_per_chip_h=price_per_chip_h, currency=currency, budget=budget, max_chips=max_chips, gang=gang,
                offload=offload, start=start, seed=seed,
            )  # fmt: skip
        return replace(found, warnings=(note, *found.warnings))
    if objective not in OBJECTIVES:
        raise InputError(f"unknown objective {objective!r}", fix=f"use one of {', '.join(OBJECTIVES)}")
    if budget is not None and (budget <= 0.0 or price_per_chip_h is None):
        raise InputError("budget: needs an amount above zero and a price", fix="add the price per chip and hour")
    from suanzhang.catalog.chips import chip as chip_of
    from suanzhang.catalog.currency import currencies, day_number
    from suanzhang.catalog.models import model as model_of

    if start:
        day_number(start)
    if currency not in currencies():
        raise InputError(f"unknown currency {currency!r}", fix=f"use one of {', '.join(currencies())}")
    spec = model if isinstance(model, ModelSpec) else model_of(str(model))
    amount = parse_quantity(tokens, "count", "tokens")
    if amount <= 0:
        raise InputError(f"tokens: {tokens!r} is not positive", fix="write for example 300B")
    seq = seq_len or min(spec.max_seq, 8192)
    batch = global_batch or default_batch(spec, seq)
    job = TrainJob(spec.id, spec, amount, seq, batch, precision, optimizer, deadline_s=deadline_s, start=start)
    kinds = [(chip_of(name), count) for name, count in _chips(chips, max_chips)]
    prices = _prices(price_per_chip_h, len(kinds), currency, start)
    ranging = bool(max_chips or gang or objective == "chips" or budget is not None)
    ranging = ranging or (deadline_s is not None and objective not in ("time", "days"))
    if ranging and layout is not None:
        raise InputError("a layout together with a search over counts of chips", fix="leave the layout out")
    pools: list[_Pool] = []
    failures: list[Infeasible] = []
    for (kind, count), price in zip(kinds, prices, strict=True):
        own = replace(job, precision=precision or default_precision(kind))
        ask = _Ask(own, kind, _stack_for(own, stack), price, offload)
        try:
            bounds = Bounds(deadline_s, budget, max_chips, gang_of(gang, kind))
            pools += _over_counts(ask, count, bounds, objective) if ranging else _at_count(ask, count, layout)
        except Infeasible as failure:
            failures.append(failure)
    if not pools:
        raise failures[0]
    bounds = Bounds(deadline_s, budget, max_chips)
    options = [pool.option for pool in pools if not pool.aside]
    kept = [pool for pool in pools if not pool.aside and bounds.holds(pool.option)]
    if not kept:
        raise refused(spec.name, options, bounds)
    best = min(kept, key=lambda pool: value_of(pool.option, objective))
    price = prices[[kind.id for kind, _ in kinds].index(best.chip.id)]
    assumed = _assumptions(global_batch, seq_len, stack, best, len(kinds))
    return _result(best, pools, price, assumed, seed)


@dataclass(frozen=True, slots=True)
class _Ask:
    """One kind of chip with all that is asked of it."""

    job: TrainJob
    chip: ChipSpec
    stack: TrainStack
    price: Money | None
    offload: bool


def _chips(text: str, max_chips: int) -> tuple[tuple[str, int], ...]:
    """Kinds and counts; a kind without a count may take as many as are allowed at most."""
    if max_chips < 0:
        raise InputError(f"max_chips: {max_chips} is below zero", fix="give a positive number")
    if max_chips:
        text = ",".join(part if ":" in part else f"{part.strip()}:{max_chips}" for part in text.split(","))
    return parse_chips(text)


def _prices(given: float | Sequence[float] | None, kinds: int, currency: str, start: str) -> list[Money | None]:
    """One price for each kind of chip."""
    if given is None:
        return [None] * kinds
    amounts = [given] * kinds if isinstance(given, (int, float)) else list(given)
    if len(amounts) == 1:
        amounts *= kinds
    if len(amounts) != kinds:
        raise InputError(f"{len(amounts)} prices for {kinds} kinds of chips", fix="give one price, or one for each kind")
    return [Money(float(amount), currency, start) for amount in amounts]


def _pool(ask: _Ask, packed: Packed, searched: Searched, aside: bool = False) -> _Pool:
    estimate = estimate_packed(packed, searched.layouts[0], ask.chip)
    option = option_of(ask.job, ask.chip, ask.stack, estimate)
    option = replace(option, cost=cost_of(option, ask.price))
    return _Pool(ask.chip, ask.job, ask.stack, estimate, option, searched, aside)


def _over_counts(ask: _Ask, most: int, bounds: Bounds, objective: str) -> list[_Pool]:
    """The best on each of many counts of chips in whole gangs, finest where the bounds begin to hold."""
    limit = min(most, bounds.max_chips or most) // bounds.gang * bounds.gang
    if limit < bounds.gang:
        raise Infeasible(
            f"{format_count(most)} {ask.chip.name} are less than a gang",
            binding=[f"gang: {format_count(bounds.gang)} chips"],
            fix="allow more chips or smaller gangs",
        )
    packed = pack(ask.job, ask.chip, ask.stack)
    found: dict[int, _Pool] = {}
    last: list[Searched] = []

    def holds(count: int) -> bool:
        searched = _search(packed, ask.job, ask.chip, ask.stack, count, ask.offload)
        last.append(searched)
        if not searched.layouts:
            return False
        pool = _pool(ask, packed, searched)
        found[count] = pool
        return pool.option.chips % bounds.gang == 0 and bounds.holds(pool.option)

    looked_at: dict[int, bool] = {}
    for count in grid(limit, bounds.gang):
        looked_at[count] = holds(count)
        if not found.get(count) and len(looked_at) > 1:
            break  # fewer chips hold the model even less
    if objective == "chips":
        fewest((), bounds.gang, holds, looked_at)
    pools = [found[count] for count in sorted(found, reverse=True) if found[count].option.chips % bounds.gang == 0]
    if not pools:
        raise _nothing_fits(ask.job, ask.chip, limit, last[0])
    return pools


def _at_count(ask: _Ask, count: int, layout: str | TrainLayout | None) -> list[_Pool]:
    """The layout given or the best one on a number of chips; without a layout also on fewer of them, for the front."""
    job, chip, stack = ask.job, ask.chip, ask.stack
    packed = pack(job, chip, stack)
    if layout is None:
        searched = _search(packed, job, chip, stack, count, ask.offload)
        if not searched.layouts:
            raise _nothing_fits(job, chip, count, searched)
        pools = [_pool(ask, packed, searched)]
        for fewer in halvings(count, max(1, min(chip.node.chips, count))):
            beside = _search(packed, job, chip, stack, fewer, ask.offload)
            if not beside.layouts:
                break
            pools.append(_pool(ask, packed, beside, aside=True))
        return pools
    given = layout if isinstance(layout, TrainLayout) else _read_layout(layout, count, stack)
    check_layout(packed, given)
    estimate = estimate_packed(packed, given, chip)
    if not estimate.fits:
        searched = _search(packed, job, chip, stack, count, ask.offload)
        nearest = describe(searched.layouts[0]) if searched.layouts else "none on these chips"
        raise Infeasible(
            f"layout {describe(given)} does not fit {chip.name}",
            binding=[f"memory: {memory_words(estimate.memory_bytes)} needed, {memory_there(chip)}"],
            nearest={"layout": nearest},
            fix="recompute more, split the model over more chips, or shard the optimizer",
        )
    option = option_of(job, chip, stack, estimate)
    return [_Pool(chip, job, stack, estimate, replace(option, cost=cost_of(option, ask.price)), None)]


def _read_layout(text: str, count: int, stack: TrainStack) -> TrainLayout:
    defaults = TrainLayout(
        sp=stack.sequence_parallel, zero_stage=stack.default_zero_stage, recompute=stack.default_recompute, overlap_tp=True
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


def _assumptions(global_batch: int, seq_len: int, stack: str, best: _Pool, pools: int) -> tuple[str, ...]:
    notes = [] if global_batch else [f"global batch assumed: {best.job.global_batch} sequences"]
    notes += [] if seq_len else [f"sequence length assumed: {best.job.seq_len} tokens"]
    notes += [] if stack else [f"software assumed: {best.stack.title}"]
    notes += [physics(best.chip, best.job.precision, best.stack.profile).note]
    notes += ["each kind of chip was planned apart; one job does not mix them"] if pools > 1 else []
    return tuple(notes)


def _memory(estimate: TrainEstimate, chip: ChipSpec) -> dict[str, object]:
    fullest = max(estimate.memory, key=lambda stage: stage.total_bytes)
    return {
        "total": estimate.memory_bytes,
        "usable": usable_bytes(chip),
        "by_part": {part.name: part.value for part in fullest.parts},
        "by_stage": [stage.total_bytes for stage in estimate.memory],
    }


def _inverse(factors: Interval, value: float) -> Interval:
    return Interval(value / factors.p95, value / factors.p50, value / factors.p05)


def _result(best: _Pool, pools: list[_Pool], price: Money | None, assumed: tuple[str, ...], seed: int) -> TrainResult:
    estimate, option = best.estimate, best.option
    factors = interval_factors(best.chip, best.job, best.stack, estimate.chips, estimate)
    hours = option.days * DAY_S / HOUR_S * estimate.chips
    cost = None if price is None else price.scaled(hours)
    evaluated = sum(pool.searched.evaluated if pool.searched else 1 for pool in pools)
    return TrainResult(
        header=header(seed),
        model=best.job.model.id,
        chip=best.chip.id,
        stack=best.stack.id,
        precision=best.job.precision,
        chips=estimate.chips,
        layout=estimate.layout,
        step_s=estimate.step_s,
        step_s_interval=factors.scaled(estimate.step_s),
        mfu=estimate.mfu,
        mfu_interval=_inverse(factors, estimate.mfu),
        hfu=estimate.hfu,
        tokens_per_s_per_chip=estimate.tokens_per_s_per_chip,
        steps=best.job.tokens / (best.job.seq_len * best.job.global_batch),
        seq_len=best.job.seq_len,
        global_batch=best.job.global_batch,
        days=option.days,
        days_interval=option.days_interval,
        goodput_fraction=option.goodput_fraction,
        memory_bytes=_memory(estimate, best.chip),
        fits=estimate.fits,
        energy_j=option.energy_j,
        energy_j_interval=option.energy_j_interval or factors.scaled(option.energy_j),
        power_w=option.power_w,
        cost=cost,
        cost_interval=None if cost is None else factors.scaled(cost.amount),
        terms=estimate.terms,
        bound_by=estimate.bound_by,
        layouts_evaluated=evaluated,
        search_s=sum(pool.searched.seconds for pool in pools if pool.searched),
        pruned=_pruned(pools),
        pareto=_pareto(pools),
        warnings=(*estimate.warnings, *assumed),
        sources=(best.stack.source, best.job.model.source),
        hfu_interval=_inverse(factors, estimate.hfu),
        tokens_per_s_per_chip_interval=_inverse(factors, estimate.tokens_per_s_per_chip),
        power_w_interval=option.power_w_interval,
    )


def _pruned(pools: list[_Pool]) -> dict[str, int]:
    total: dict[str, int] = {}
    for pool in pools:
        for reason, count in (pool.searched.pruned if pool.searched else {}).items():
            total[reason] = total.get(reason, 0) + count
    return total


def _pareto(pools: list[_Pool]) -> tuple[TrainOption, ...]:
    """Options of all kinds and counts of chips that no other beats in days, chips, energy and (with a price) cost."""
    import numpy as np

    from suanzhang.search.pareto import pareto_front

    options = [pool.option for pool in pools]
    priced = all(option.cost is not None for option in options)
    points = np.array([[o.days, float(o.chips), o.energy_j, o.cost.amount if priced and o.cost else 0.0] for o in options])
    return tuple(options[int(index)] for index in pareto_front(points))


__all__ = ["estimate_train", "interval_factors", "option_of", "train", "train_options"]
