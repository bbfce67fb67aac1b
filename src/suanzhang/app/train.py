"""The verb ``train``: which layout, how long, how much memory, energy and money."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from suanzhang.app.header import header
from suanzhang.app.physics import physics
from suanzhang.app.train_asked import routing_note, with_overlap, with_routing
from suanzhang.app.train_counts import OBJECTIVES, Bounds, gang_of, refused, value_of
from suanzhang.app.train_deadline import chance_below, chance_to_meet, chips_needed
from suanzhang.app.train_fits import FIT_CONFIDENCE, check_confidence
from suanzhang.app.train_input import (
    batch_words,
    busy_batch,
    default_precision,
    optimizer_of,
    parse_chips,
    sizes_of,
    tokens_of,
    usable_bytes,
)
from suanzhang.app.train_model import estimate_train
from suanzhang.app.train_option import inverse_of, option_of, software_note, stack_for, train_options
from suanzhang.app.train_pools import Ask, Pool, at_count, over_counts, surely
from suanzhang.app.train_spread import errors_of, interval_factors, memory_factors, spanned_terms
from suanzhang.app.train_weak import Given, weak_training
from suanzhang.app.train_within import parse_within
from suanzhang.errors import Infeasible, InputError
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.precision import canonical
from suanzhang.spec.result import Interval, Money
from suanzhang.spec.train import TrainOption, TrainResult
from suanzhang.units import format_count


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
    overlap: str = "",
    routing: str = "",
    within: str = "",
    calibration: str | Path | None = None,
    fit_confidence: float = FIT_CONFIDENCE,
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
        overlap: share of each communication that may hide behind compute, as ``"dp=0.5,tp=off"``; that of the software for
            what is left out.
        routing: how tokens reach the experts, ``"dropless"`` or ``"capacity=1.25,pad"``, with ``imbalance=1.3``.
        within: what the search keeps of a layout, as ``"tp=8,schedule=1f1b|zero-bubble"``.
        calibration: file of corrections by measured runs of one's own, as ``calibrate --runs`` writes it.
        fit_confidence: share of the cases of the interval of its memory in which a layout that is searched must fit; a faster
            one that fits less surely is shown beside it.
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
                offload=offload, start=start, overlap=overlap, routing=routing, within=within, fit_confidence=fit_confidence,
                seed=seed,
            )  # fmt: skip
        return replace(found, warnings=(note, *found.warnings))
    optimizer, confidence = optimizer_of(optimizer), check_confidence(fit_confidence)
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
    kinds = [(chip_of(name), count) for name, count in _chips(chips, max_chips)]
    seq, batch = sizes_of(spec, seq_len, global_batch, kinds)
    amount = tokens_of(tokens, seq * batch)
    job = TrainJob(spec.id, spec, amount, seq, batch, canonical(precision), optimizer, deadline_s=deadline_s, start=start)
    job = with_routing(job, routing)
    prices = _prices(price_per_chip_h, len(kinds), currency, start)
    ranging = bool(max_chips or gang or objective == "chips" or budget is not None)
    ranging = ranging or (deadline_s is not None and objective not in ("time", "days"))
    if ranging and layout is not None:
        raise InputError("a layout together with a search over counts of chips", fix="leave the layout out")
    fixed = parse_within(within)
    if fixed and layout is not None:
        raise InputError("a whole layout beside what the search keeps of one", fix="give --layout or --within")
    pools: list[Pool] = []
    failures: list[Infeasible] = []
    for (kind, count), price in zip(kinds, prices, strict=True):
        own = replace(job, precision=job.precision or default_precision(kind))
        ask = Ask(own, kind, with_overlap(stack_for(own, stack, kind), overlap), price, offload, fixed, confidence)
        try:
            bounds = Bounds(deadline_s, budget, max_chips, gang_of(gang, kind))
            pools += over_counts(ask, count, bounds, objective) if ranging else at_count(ask, count, layout)
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
    assumed = _assumptions(global_batch, seq_len, stack, best, len(kinds)) + surely(best, confidence)
    assumed += _one_batch_note(pools) if ranging and not global_batch else ()
    idle = 0 if ranging else _idle(best, [count for kind, count in kinds if kind.id == best.chip.id])
    assumed = (*_idle_note(best, idle), *assumed)
    found = replace(_result(best, pools, Given(bool(global_batch), bool(seq_len)), assumed, seed), idle_chips=idle)
    if deadline_s is None:
        return found
    needed, span = chips_needed((pool.option for pool in pools), best.option, deadline_s, gang_of(gang, best.chip))
    return replace(
        found,
        chips_needed=needed,
        chips_needed_interval=span,
        deadline_met_fraction=chance_to_meet(best.option, deadline_s),
    )


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


def _assumptions(global_batch: int, seq_len: int, stack: str, best: Pool, pools: int) -> tuple[str, ...]:
    notes = [] if global_batch else [batch_words(best.job.model, best.job.seq_len, best.job.global_batch)]
    notes += [] if seq_len else [f"sequence length assumed: {best.job.seq_len} tokens"]
    notes += [] if stack else [software_note(best.stack, best.job.start, best.chip)]
    notes += [physics(best.chip, best.job.precision, best.stack.profile).note]
    notes += routing_note(best.job)
    notes += ["each kind of chip was planned apart; one job does not mix them"] if pools > 1 else []
    return tuple(notes)


def _one_batch_note(pools: Sequence[Pool]) -> tuple[str, ...]:
    """That a count of chips would be asked alone with another batch, in words; nothing where none of them would."""
    own = {
        busy_batch(pool.job.model, pool.job.seq_len, [(pool.chip, pool.estimate.chips)]) != pool.job.global_batch
        for pool in pools
    }
    if True not in own:
        return ()
    return (
        f"every count of chips is asked with that one batch of {format_count(pools[0].job.global_batch)} sequences, so that "
        "all run the same training; asked alone, some of them would be asked with another: give --global-batch to fix it",
    )


def _idle(best: Pool, counts: Sequence[int]) -> int:
    """Chips that the best layout leaves without work."""
    return min(count for count in counts if count >= best.estimate.chips) - best.estimate.chips


def _idle_note(best: Pool, idle: int) -> tuple[str, ...]:
    """Why chips have no work, in words."""
    if not idle:
        return ()
    used, given, batch = (format_count(n) for n in (best.estimate.chips, best.estimate.chips + idle, best.job.global_batch))
    return (
        f"the answer uses {used} of the {given} {best.chip.name}; {format_count(idle)} stay idle: no layout on all {given} has "
        f"data ranks that divide the batch of {batch} sequences and stages and tensor ranks that divide the model",
    )


def _memory(best: Pool) -> dict[str, object]:
    estimate = best.estimate
    factors = memory_factors(best.chip, best.job, best.stack, estimate.chips, estimate)
    fullest = max(estimate.memory, key=lambda stage: stage.total_bytes)
    by_stage = {
        name: list(values)
        for name, *values in zip(
            [part.name for part in fullest.parts],
            *([part.value for part in stage.parts] for stage in estimate.memory),
            strict=True,
        )
    }
    return {
        "total": estimate.memory_bytes,
        "total_interval": factors.scaled(estimate.memory_bytes),
        "usable": usable_bytes(best.chip),
        "by_part": {part.name: part.value for part in fullest.parts},
        "by_part_interval": {part.name: factors.scaled(part.value) for part in fullest.parts},
        "by_stage": [stage.total_bytes for stage in estimate.memory],
        "by_stage_interval": [factors.scaled(stage.total_bytes) for stage in estimate.memory],
        "part_by_stage": by_stage,
        "part_by_stage_interval": {name: [factors.scaled(value) for value in values] for name, values in by_stage.items()},
    }


def _result(best: Pool, pools: list[Pool], given: Given, assumed: tuple[str, ...], seed: int) -> TrainResult:
    estimate, option = best.estimate, best.option
    errors = errors_of(best.job, best.chip, best.stack, estimate.layout, estimate)
    factors = errors.factors
    memory = option.memory_bytes_interval or Interval(option.memory_bytes, option.memory_bytes, option.memory_bytes)
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
        mfu_interval=inverse_of(factors, estimate.mfu),
        hfu=estimate.hfu,
        tokens_per_s_per_chip=estimate.tokens_per_s_per_chip,
        steps=best.job.tokens / (best.job.seq_len * best.job.global_batch),
        seq_len=best.job.seq_len,
        global_batch=best.job.global_batch,
        days=option.days,
        days_interval=option.days_interval,
        goodput_fraction=option.goodput_fraction,
        goodput_fraction_interval=option.goodput_fraction_interval,
        memory_bytes=_memory(best),
        fits=estimate.fits,
        energy_j=option.energy_j,
        energy_j_interval=option.energy_j_interval or factors.scaled(option.energy_j),
        power_w=option.power_w,
        cost=option.cost,
        cost_interval=option.cost_interval,
        terms=spanned_terms(estimate.terms, errors),
        bound_by=estimate.bound_by,
        layouts_evaluated=evaluated,
        search_s=sum(pool.searched.seconds for pool in pools if pool.searched),
        pruned=_pruned(pools),
        pareto=_pareto(pools),
        warnings=(*estimate.warnings, *assumed),
        sources=(best.stack.source, best.job.model.source),
        hfu_interval=inverse_of(factors, estimate.hfu),
        tokens_per_s_per_chip_interval=inverse_of(factors, estimate.tokens_per_s_per_chip),
        power_w_interval=option.power_w_interval,
        fits_fraction=chance_below(memory, usable_bytes(best.chip)),
        riskier=best.riskier,
        riskier_fits_fraction=best.searched.riskier_fits_fraction if best.searched and best.riskier else 0.0,
        weak_inputs=weak_training(best.job, best.chip, best.stack, estimate, option, given),
    )


def _pruned(pools: list[Pool]) -> dict[str, int]:
    total: dict[str, int] = {}
    for pool in pools:
        for reason, count in (pool.searched.pruned if pool.searched else {}).items():
            total[reason] = total.get(reason, 0) + count
    return total


def _pareto(pools: list[Pool]) -> tuple[TrainOption, ...]:
    """Options of all kinds and counts of chips that no other beats in days, chips, energy and (with a price) cost."""
    import numpy as np

    from suanzhang.search.pareto import pareto_front

    options = [pool.option for pool in pools]
    priced = all(option.cost is not None for option in options)
    points = np.array([[o.days, float(o.chips), o.energy_j, o.cost.amount if priced and o.cost else 0.0] for o in options])
    return tuple(options[int(index)] for index in pareto_front(points))


__all__ = ["estimate_train", "interval_factors", "option_of", "train", "train_options"]
