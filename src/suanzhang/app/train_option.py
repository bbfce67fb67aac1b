"""A training job as a whole run on some chips: the best layout, days with failures, energy, power, each with its interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from suanzhang.app.train_fits import FIT_CONFIDENCE, Surely
from suanzhang.app.train_input import busy_batch
from suanzhang.app.train_model import Packed, estimate_packed, pack
from suanzhang.app.train_search import Searched, chip_counts, default_axes, search_layouts
from suanzhang.app.train_spread import RunSpread, goodput_interval, interval_factors, memory_factors
from suanzhang.app.train_within import within
from suanzhang.perf.energy import chip_power_w, host_power_w
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.draws import interval_of
from suanzhang.spec.job import TrainJob
from suanzhang.spec.result import Interval, Money
from suanzhang.spec.stack import TrainStack
from suanzhang.spec.train import TrainEstimate, TrainOption
from suanzhang.units import DAY_S, HOUR_S

if TYPE_CHECKING:
    from suanzhang.catalog.stack_defaults import DefaultStack

_KEEP = 12


def option_of(
    job: TrainJob, chip: ChipSpec, stack: TrainStack, estimate: TrainEstimate, price: Money | None = None
) -> TrainOption:
    """The whole run of an estimated step: days with failures, energy and power.

    Args:
        job: the job.
        chip: the chip.
        stack: the software.
        estimate: one step of it.
        price: of one chip for one hour; no cost without.
    """
    goodput = goodput_interval(job.model.params, float(estimate.chips))
    useful = goodput.p50
    steps = job.tokens / (job.seq_len * job.global_batch)
    days = steps * estimate.step_s / useful / DAY_S
    factors = interval_factors(chip, job, stack, estimate.chips, estimate)
    spread = RunSpread.of(factors, goodput)
    chip_w = chip_power_w(chip.tdp_w, min(1.0, estimate.utilisation))
    host_w = host_power_w(chip.node.power_w, float(chip.node.chips), chip.tdp_w)
    power = estimate.chips * (chip_w + host_w)
    in_days = spread.interval(days, "days")
    cost = None if price is None else price.scaled(days * DAY_S / HOUR_S * estimate.chips)
    return TrainOption(
        chip=chip.id,
        chips=estimate.chips,
        layout=estimate.layout,
        step_s=estimate.step_s,
        days=days,
        days_interval=in_days,
        goodput_fraction=useful,
        energy_j=power * days * DAY_S,
        power_w=power,
        mfu=estimate.mfu,
        memory_bytes=estimate.memory_bytes,
        cost=cost,
        step_s_interval=factors.scaled(estimate.step_s),
        mfu_interval=inverse_of(factors, estimate.mfu),
        energy_j_interval=spread.interval(power * days * DAY_S, "days", "draw"),
        power_w_interval=interval_of(spread.draw * power),
        goodput_fraction_interval=goodput,
        memory_bytes_interval=memory_factors(chip, job, stack, estimate.chips, estimate).scaled(estimate.memory_bytes),
        cost_interval=None if cost is None else in_days.scaled(cost.amount / days),
        global_batch=job.global_batch,
    )


def inverse_of(factors: Interval, value: float) -> Interval:
    """The interval of a value that falls as the factors rise."""
    return Interval(value / factors.p95, value / factors.p50, value / factors.p05)


def train_options(
    job: TrainJob, chip: ChipSpec, counts: tuple[int, ...], stack: TrainStack | None = None, offload: bool = False,
    confidence: float | None = None, *, assumed_batch: bool = False,
) -> tuple[TrainOption, ...]:  # fmt: skip
    """The best way to run a job on each number of chips, for a plan that prices them.

    Args:
        job: the job.
        chip: the chip.
        counts: numbers of chips to look at.
        stack: generation of software; that of the job's start when left out.
        offload: optimizer states and activations may live in host memory.
        confidence: share of cases in which a layout must fit; the usual one when left out.
        assumed_batch: nobody gave the global batch of the job: it grows with each number of chips (:func:`busy_batch`).

    Returns:
        One option per count that has a feasible layout; a count without one is left out.

    Raises:
        OutOfDomain: the chip lacks the arithmetic that the job asks for.
    """
    stack = stack or stack_for(job, "", chip)
    sure = FIT_CONFIDENCE if confidence is None else confidence

    def best(own: TrainJob, count: int) -> TrainOption | None:
        packed = pack(own, chip, stack)
        searched = search(packed, own, chip, stack, count, offload, confidence=sure)
        return option_of(own, chip, stack, estimate_packed(packed, searched.layouts[0], chip)) if searched.layouts else None

    found = (_with_its_batch(job, chip, count, best) if assumed_batch else best(job, count) for count in counts)
    return tuple(option for option in found if option is not None)


def _with_its_batch(
    job: TrainJob, chip: ChipSpec, count: int, best: Callable[[TrainJob, int], TrainOption | None]
) -> TrainOption | None:
    """The best option with the batch that is assumed on as many chips as it puts to work, which may be fewer than there are."""
    while True:
        own = on_fleet(job, chip, count)
        option = best(own, count)
        if option is None or on_fleet(job, chip, option.chips).global_batch == own.global_batch:
            return option
        count = option.chips


def on_fleet(job: TrainJob, chip: ChipSpec, count: int) -> TrainJob:
    """A job whose global batch nobody gave, with the one that is assumed on so many chips."""
    return replace(job, global_batch=busy_batch(job.model, job.seq_len, [(chip, count)]))


def as_sized(job: TrainJob, option: TrainOption) -> TrainJob:
    """A job with the global batch that one of its options was sized with."""
    return replace(job, global_batch=option.global_batch or job.global_batch)


def stack_for(job: TrainJob, name: str, chip: ChipSpec | None = None) -> TrainStack:
    """The software of a name; without one the newest for the maker of the chip that was published by the job's start."""
    from suanzhang.catalog.stacks import train_stack

    return train_stack(name) if name else _default_on(job.start, chip).stack


def _default_on(start: str, chip: ChipSpec | None) -> DefaultStack:
    from suanzhang.catalog import CATALOG_DATE
    from suanzhang.catalog.stack_defaults import default_train_stack_on

    return default_train_stack_on(chip, start or CATALOG_DATE)


def software_note(stack: TrainStack, start: str, chip: ChipSpec | None) -> str:
    """What is assumed about the software where a question names none, in words."""
    found = _default_on(start, chip)
    odd = f" ({found.note})" if found.note and found.stack.id == stack.id else ""
    return f"software assumed: {stack.title}{odd}"


def search(
    packed: Packed, job: TrainJob, chip: ChipSpec, stack: TrainStack, chips: int, offload: bool = False, gang: int = 1,
    kept: Mapping[str, tuple[int, ...]] | None = None, confidence: float = FIT_CONFIDENCE,
) -> Searched:  # fmt: skip
    """The best layouts of a packed job on a number of chips, in whole gangs, within the values of axes that are kept.

    A layout is taken when it fits in a share ``confidence`` of the cases of the interval of its memory.
    """
    domain = int(packed.run.domain)
    axes = default_axes(job, stack, chips, domain)
    if offload:
        axes = replace(axes, offload_optimizer=(0, 1), offload_activations=(0, 1))
    axes = within(axes, kept or {})
    counts = chip_counts(job, chips, axes, gang)

    def scan(memory_bytes: float, keep: int) -> Searched:
        room = replace(packed, run=packed.run._replace(hbm_bytes=memory_bytes))
        return search_layouts(room, job, axes, counts, keep)

    return Surely(scan, packed, job, chip, stack).find(confidence, _KEEP)
