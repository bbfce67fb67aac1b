"""Figures of weak origin behind a training, weighed by the terms that rest on them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import TrainJob
from suanzhang.spec.result import Term
from suanzhang.spec.stack import TrainStack
from suanzhang.spec.train import TrainEstimate, TrainOption
from suanzhang.spec.trust import Flag, Node

if TYPE_CHECKING:
    from suanzhang.app.explain_terms import Run
    from suanzhang.app.train_scaling_spread import LawSpread
    from suanzhang.source import Quoted


class Given(NamedTuple):
    """What the user gave rather than left to a usual value."""

    batch: bool = True
    seq: bool = True


def run_behind(job: TrainJob, chip: ChipSpec, stack: TrainStack, estimate: TrainEstimate, option: TrainOption) -> Run:
    """Everything that an estimate rests on."""
    from suanzhang.app.explain_terms import Run
    from suanzhang.app.physics import physics
    from suanzhang.app.train_model import pack, sixteen_bit

    at16 = physics(chip, sixteen_bit(chip, job.precision), stack.profile)
    return Run(job, chip, stack, pack(job, chip, stack), estimate, option, physics(chip, job.precision, stack.profile), at16)


def training_trees(
    job: TrainJob, chip: ChipSpec, stack: TrainStack, estimate: TrainEstimate, option: TrainOption, given: Given
) -> list[Node]:
    """Trees of days, memory and energy as ``explain`` builds them, without the times of single layers."""
    from suanzhang.app.explain_terms import days_tree, energy_tree, memory_tree

    run = run_behind(job, chip, stack, estimate, option)
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


def weak_options(runs: Iterable[tuple[TrainJob, ChipSpec, TrainOption]], stack: TrainStack, given: Given) -> tuple[Flag, ...]:
    """Weak figures that weigh more than 5 % of the days of any of several ways to run a job, by chip.

    Args:
        runs: job, chip and whole run of each.
        stack: the software.
        given: what the user gave.
    """
    from suanzhang.app.explain_terms import days_tree, run_on
    from suanzhang.app.weak import weak_inputs

    trees = []
    for job, chip, option in runs:
        run = run_on(job, chip, stack, option.layout)
        name = f"days on {option.chips:,} {chip.id}"
        trees.append(days_tree(run, batch_given=given.batch, seq_given=given.seq, name=name, layers=False))
    return weak_inputs(trees)


class Behind(NamedTuple):
    """What a row of ``scaling`` rests on: the job of its model on its chips, and the rent of them where the catalog gave it."""

    job: TrainJob
    chip: ChipSpec
    stack: TrainStack
    option: TrainOption
    spread: LawSpread
    rent: Quoted | None = None


def weak_scaling(behind: Iterable[Behind]) -> tuple[Flag, ...]:
    """Weak figures that weigh more than 5 % of the compute that a budget buys on each kind of chips."""
    from suanzhang.app.explain_terms import run_on, step_tree
    from suanzhang.app.explain_tree import quoted
    from suanzhang.app.weak import weak_inputs

    trees = []
    for one in behind:
        step = step_tree(run_on(one.job, one.chip, one.stack, one.option.layout), layers=False)
        rent = () if one.rent is None else (quoted(f"rent of {one.chip.id}", one.rent),)
        trees.append(Node(f"compute on {one.chip.id}", None, "FLOP", "product", inputs=rent, parts=(step,)))
    return weak_inputs(trees)


def weak_run(
    job: TrainJob,
    chip: ChipSpec,
    stack: TrainStack,
    estimate: TrainEstimate,
    terms: tuple[Term, ...],
    given: Given,
    usual: frozenset[str],
) -> tuple[Flag, ...]:
    """Weak figures of a simulated run that weigh more than 5 % of its calendar time.

    Args:
        job, chip, stack, estimate, given: as in :func:`weak_training`.
        terms: where the calendar time goes.
        usual: terms that rest on a usual value rather than a given one.
    """
    from suanzhang.app.explain_terms import step_tree, steps_tree
    from suanzhang.app.explain_tree import asked
    from suanzhang.app.train_option import option_of
    from suanzhang.app.weak import weak_inputs

    run = run_behind(job, chip, stack, estimate, option_of(job, chip, stack, estimate))
    behind = {
        "restarts": asked("time to be back after a failure", "usual", "", given=False),
        "waiting for repairs": asked("time until a failed node is back", "usual", "", given=False),
        "checkpoints": asked("rate of the storage", "usual", "", given=False),
    }
    steps = (steps_tree(run, batch_given=given.batch, seq_given=given.seq), step_tree(run, layers=False))
    parts = tuple(
        Node(term.name, term.value, "s", "product", parts=steps)
        if term.name == "steps"
        else Node(term.name, term.value, "s", inputs=(behind[term.name],) if term.name in usual else ())
        for term in terms
    )
    return weak_inputs([Node("days", sum(term.value for term in terms), "s", "sum", parts=parts)])
