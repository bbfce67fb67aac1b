"""One training job on variants of a chip: what a cut of the link, of the peak or of the memory costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from suanzhang.app.train_input import memory_there
from suanzhang.app.train_model import estimate_train, sixteen_bit
from suanzhang.app.train_option import stack_for, train_options
from suanzhang.catalog.chips import chip as chip_of
from suanzhang.errors import Infeasible, PlannerError
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import TrainJob
from suanzhang.spec.stack import TrainStack
from suanzhang.spec.train import TrainOption


@dataclass(frozen=True, slots=True)
class Variant:
    """A chip beside the first one on the same job and count.

    Args:
        chip: catalog id.
        option: its best way to run the job; None when there is none.
        time_ratio: its days over those of the first chip, each with its own best layout; 0 without an option.
        same_layout_ratio: its step over that of the first chip with the first chip's layout; 0 when that cannot be.
        even_price: price per chip-hour, over that of the first chip, at which the job costs the same; 0 without an option.
        notes: what it lacks, in words.
    """

    chip: str
    option: TrainOption | None
    time_ratio: float
    same_layout_ratio: float
    even_price: float
    notes: tuple[str, ...]


def compare_variants(job: TrainJob, chips: Sequence[str], count: int, stack: TrainStack | None = None) -> tuple[Variant, ...]:
    """The job on each chip, the first being what the others are measured by.

    Model:    each chip runs the job with its own best layout, and with the best layout of the first chip. A chip without the
              job's 16-bit format takes the one that it has. The chips cost the same for the job when their prices per hour
              stand in the inverse ratio of their chip-hours.

    Args:
        job: the job.
        chips: names of two chips or more.
        count: chips of each.
        stack: generation of software; that of the job's year when left out.

    Returns:
        One entry per chip, in order.

    Raises:
        Infeasible: the first chip cannot run the job.
        CatalogError: a chip is unknown.

    Equation: even price = (n_1 t_1) / (n t), n chips in use and t days.

    Validity: equal failure rates.

    Sources:  see the formulas of the step.
    """
    specs = [chip_of(name) for name in chips]
    stack = stack or stack_for(job, "", specs[0])
    first = specs[0]
    base = train_options(job, first, (count,), stack)
    if not base:
        raise Infeasible(
            f"{first.name}: no layout of {count} chips fits the job",
            binding=[f"memory: {memory_there(first)} per chip"],
            fix="take more chips or a smaller job",
        )
    return tuple(_variant(job, spec, first, base[0], count, stack) for spec in specs)


def _variant(job: TrainJob, spec: ChipSpec, first: ChipSpec, base: TrainOption, count: int, stack: TrainStack) -> Variant:
    notes: list[str] = []
    own = job
    if not spec.has(job.precision):
        half = sixteen_bit(spec, "fp8")
        notes.append(f"{spec.name} has no {job.precision} arithmetic; {half} taken")
        own = replace(job, precision=half)
    try:
        options = train_options(own, spec, (count,), stack)
    except PlannerError as error:
        return Variant(spec.id, None, 0.0, 0.0, 0.0, (*notes, error.message))
    if not options:
        notes.append(f"no layout of {count} chips fits its memory, {memory_there(spec)}")
        return Variant(spec.id, None, 0.0, 0.0, 0.0, tuple(notes))
    best = options[0]
    same = 0.0
    try:
        estimate = estimate_train(own, spec, base.layout, stack)
        reference = estimate_train(job, first, base.layout, stack)
        same = estimate.step_s / reference.step_s if estimate.fits else 0.0
    except PlannerError as error:
        notes.append(error.message)
    if not same:
        notes.append(f"the best layout of {first.name} does not run on it")
    even = base.chips * base.days / (best.chips * best.days)
    return Variant(spec.id, best, best.days / base.days, same, even, tuple(notes))
