"""How wrong a training over unlike pools may be: each pool by its own causes, what they share only once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from suanzhang.app.calibrate_runs_fit import Question, local_names, width_of
from suanzhang.app.train_model import estimate_train
from suanzhang.app.train_spread import (
    OWN,
    Errors,
    RunSpread,
    around,
    errors_of,
    goodput_interval,
    interval_factors,
    silicon,
    stretched,
)
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.draws import Floats, standard_normal
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.result import Interval, Term
from suanzhang.spec.stack import TrainStack
from suanzhang.spec.train_mixed import MixedOption, PoolShare

_BETWEEN = "between"


def pool_errors(job: TrainJob, chip: ChipSpec, stack: TrainStack, chips: int, layout: TrainLayout | None) -> Errors:
    """Causes of error of one pool: those of the whole job on it alone; where it does not hold the job, products make the step.

    Args:
        job: the whole job.
        chip: of the pool.
        stack: the software.
        chips: of the pool.
        layout: best layout of the whole job on the pool; None where none fits.
    """
    if layout is not None:
        return errors_of(job, chip, stack, layout, estimate_train(job, chip, layout, stack))
    weights = {"compute": width_of("compute")}
    for name in local_names(Question(job, chip, stack)):
        cause = name.replace(chip.id, silicon(chip, job.precision, stack)) if chip.id in name else name
        weights[cause] = width_of(name)
    return Errors(weights, {}, interval_factors(chip, job, stack, chips))


class Spread(NamedTuple):
    """Options with their intervals, and how their step times may turn out over the predicted ones."""

    option: MixedOption
    time: Floats


def spread(option: MixedOption, errors: Sequence[Errors], params: float) -> Spread:
    """An option with its intervals.

    Model:
        The pool that needs longest sets the step; each pool needs its busy share of the step times its own error. Traffic
        between pools is as uncertain as the traffic of one. What a pool waits for is mostly traffic and errs as that does.

    Args:
        option: the option.
        errors: of each of its pools.
        params: parameters of the model.
    """
    drawn = [one.draws() for one in errors]
    busy = [share.busy_fraction for share in option.pools]
    load = np.max([share * factor for share, factor in zip(busy, drawn, strict=True)], axis=0) / max(busy)
    time = drawn[0]
    if len(drawn) > 1:  # a mix is a layout of its own
        names = " ".join(f"{share.chip} {share.layers} {share.batch} {share.layout}" for share in option.pools)
        time = np.asarray(load) * np.exp(OWN["layout"] * standard_normal(names))
    run = RunSpread.of(time, goodput_interval(params, float(option.chips)))
    pools = tuple(_share(share, factor / time) for share, factor in zip(option.pools, drawn, strict=True))
    slowest = max(range(len(busy)), key=lambda index: busy[index])
    found = replace(
        option,
        pools=pools,
        step_s_interval=around(option.step_s, option.step_s * time),
        days_interval=around(option.days, option.days * run.days),
        tokens_per_s_interval=around(option.tokens_per_s, option.tokens_per_s / time),
        power_w_interval=around(option.power_w, option.power_w * run.draw),
        terms=tuple(_term(term, errors[slowest]) for term in option.terms),
    )
    return Spread(found, time)


def _share(share: PoolShare, against: Floats) -> PoolShare:
    work = share.busy_fraction * against
    idle = (1.0 - share.busy_fraction) * np.exp(width_of("traffic") * standard_normal("traffic"))
    busy = work / (work + idle)
    return replace(share, busy_fraction_interval=around(share.busy_fraction, busy))


def _term(term: Term, errors: Errors) -> Term:
    if not term.value:
        return term
    factors = errors.of_term(term.name)
    if _BETWEEN in term.name:
        factors = stretched(errors.factors, 1.0 + width_of("traffic") / width_of("compute"))
    return replace(term, value_interval=around_factor(term.value, factors))


def around_factor(value: float, factors: Interval) -> Interval:
    """The interval of a value by its factors, with the value that is shown always in it."""
    found = factors.scaled(value)
    return Interval(min(found.p05, value), found.p50, max(found.p95, value))


def comparison(alone: Sequence[Spread], mixed: Sequence[Spread], best: Spread) -> Mapping[str, Interval | None]:
    """Intervals of the gain of the best way over the best pool, of all pools apart, and of what mixing loses against that."""

    def rate(one: Spread) -> Floats:
        return one.option.tokens_per_s / one.time

    found: dict[str, Interval | None] = dict.fromkeys(("gain", "apart", "loss"))
    if not alone:
        return found
    apart = np.sum([rate(one) for one in alone], axis=0)
    total = sum(one.option.tokens_per_s for one in alone)
    found["apart"] = around(total, apart)
    strongest = max(alone, key=lambda one: one.option.tokens_per_s)
    gain = best.option.tokens_per_s / strongest.option.tokens_per_s - 1.0
    found["gain"] = around(gain, rate(best) / rate(strongest) - 1.0)
    if mixed:
        fastest = max(mixed, key=lambda one: one.option.tokens_per_s)
        found["loss"] = around(1.0 - fastest.option.tokens_per_s / total, 1.0 - rate(fastest) / apart)
    return found
