"""Figures of weak origin behind a training, weighed by the terms that rest on them."""

from __future__ import annotations

from typing import NamedTuple

from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import TrainJob
from suanzhang.spec.stack import TrainStack
from suanzhang.spec.train import TrainEstimate, TrainOption
from suanzhang.spec.trust import Flag, Node


class Given(NamedTuple):
    """What the user gave rather than left to a usual value."""

    batch: bool = True
    seq: bool = True


def training_trees(
    job: TrainJob, chip: ChipSpec, stack: TrainStack, estimate: TrainEstimate, option: TrainOption, given: Given
) -> list[Node]:
    """Trees of days, memory and energy as ``explain`` builds them, without the times of single layers."""
    from suanzhang.app.explain_terms import Run, days_tree, energy_tree, memory_tree
    from suanzhang.app.physics import physics
    from suanzhang.app.train_model import pack, sixteen_bit

    at16 = physics(chip, sixteen_bit(chip, job.precision), stack.profile)
    at = physics(chip, job.precision, stack.profile)
    run = Run(job, chip, stack, pack(job, chip, stack), estimate, option, at, at16)
    return [days_tree(run, batch_given=given.batch, seq_given=given.seq, layers=False), memory_tree(run), energy_tree(run)]


def weak_training(
    job: TrainJob, chip: ChipSpec, stack: TrainStack, estimate: TrainEstimate, option: TrainOption, given: Given
) -> tuple[Flag, ...]:
    """Weak figures of a training that weigh more than 5 % of its days, memory or energy, the heaviest first.

    Args:
        job: the job.
        chip: the chip.
        stack: the software.
        estimate: one step.
        option: the whole run.
        given: what the user gave.
    """
    from suanzhang.app.weak import weak_inputs

    return weak_inputs(training_trees(job, chip, stack, estimate, option, given))
