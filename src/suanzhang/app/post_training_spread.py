"""How wrong a post-training may be: both sides by their own errors, and what frameworks lose between them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from suanzhang.app.post_training_input import Asked
from suanzhang.app.post_training_record import framework
from suanzhang.app.post_training_sides import BLOCK, estimated_rollout, job_of, packed_job, tuning_seq
from suanzhang.app.spread import estimate_factors, inverse
from suanzhang.app.train_model import estimate_train
from suanzhang.app.train_option import option_of
from suanzhang.app.train_spread import around, interval_factors, memory_factors
from suanzhang.errors import PlannerError
from suanzhang.spec.draws import Floats, standard_normal, two_piece_lognormal
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.post_training import PostOption
from suanzhang.spec.result import Interval, Term
from suanzhang.spec.serve import ClosedLoop, ServeEstimate
from suanzhang.spec.train import TrainEstimate, TrainOption
from suanzhang.spec.trust import Flag, Node

_ROLLOUT = "rollout"


def training_job(asked: Asked) -> TrainJob:
    """One optimizer step of tuning."""
    return job_of(asked, tuning_seq(asked.tuning), asked.tuning.batch)


def trained(asked: Asked, layout: TrainLayout) -> tuple[TrainJob, TrainLayout]:
    """One optimizer step of the training side, and its layout in the sequences of that step."""
    return packed_job(asked, asked.rollout, layout) if asked.rollout else (training_job(asked), layout)


def rollout_of(asked: Asked, option: PostOption) -> tuple[ServeEstimate, ClosedLoop] | None:
    """The steady state of one sampling replica of an option; None without rollout."""
    spec = asked.rollout
    if spec is None or option.rollout is None:
        return None
    share = math.ceil(spec.responses / max(1, option.rollout_chips // option.rollout.chips))
    work = ClosedLoop(float(share), spec.prompt_tokens, spec.response_tokens, float(share), together=True)
    return estimated_rollout(asked, option.rollout, work, apart=option.placement == "apart"), work


@dataclass(frozen=True, slots=True)
class PostSpread:
    """Measured over predicted times of an option, drawn.

    Args:
        factors: of each side, with what the framework loses.
        step: of the whole step.
        memory: of the memory of the training chips.
    """

    factors: dict[str, Floats]
    step: Floats
    memory: Interval

    def of(self, term: Term) -> Floats:
        """Of one part of a step."""
        if term.name == "environment":
            return np.ones(len(self.step))
        return self.factors[_ROLLOUT if term.name.startswith(_ROLLOUT) else "training"]


def spread_of(asked: Asked, option: PostOption) -> PostSpread:
    """How wrong an option may be.

    Model:
        Each side errs by its own residuals, training and serving; what a framework loses errs once for both. Sides that run
        beside one another: the longer one, whichever that turns out to be, sets the step.
    """
    job, laid = trained(asked, option.layout)
    lost: Floats = np.ones(len(standard_normal("")))
    if option.rollout:
        lost = two_piece_lognormal(framework(), standard_normal("framework"))
    factors = interval_factors(asked.chip, job, asked.stack, option.train_chips)
    found = {"training": lost * two_piece_lognormal(_beside(option, factors), standard_normal("step time"))}
    sampling = rollout_of(asked, option)
    if sampling is not None:
        factors = inverse(estimate_factors(*sampling, asked.model, asked.chip))
        found[_ROLLOUT] = lost * two_piece_lognormal(_beside(option, factors), standard_normal("rollout"))
    memory = memory_factors(
        asked.chip, job, asked.stack, option.train_chips, estimate_train(job, asked.chip, laid, asked.stack)
    )
    made = PostSpread(found, lost, memory)
    return replace(made, step=_step(option, made) / option.step_s)


def _beside(option: PostOption, factors: Interval) -> Interval:
    """Errors of a side; beside those of a framework, whose runs were off by the bias of the sides as well, round one."""
    return factors.scaled(1.0 / factors.p50) if option.rollout else factors


def _step(option: PostOption, spread: PostSpread) -> Floats:
    """Time of a step, drawn."""
    if not option.sides:
        return np.asarray(sum(term.value * spread.of(term) for term in option.terms))
    sides = np.max([side.value * spread.of(side) for side in option.sides], axis=0)
    rest = option.step_s - max(side.value for side in option.sides)
    return np.asarray(sides + rest * spread.factors["training"])


def spanned(option: PostOption, spread: PostSpread) -> PostOption:
    """An option with its intervals."""

    def term(one: Term) -> Term:
        return replace(one, value_interval=around(one.value, one.value * spread.of(one))) if one.value else one

    return replace(
        option,
        step_s_interval=around(option.step_s, option.step_s * spread.step),
        memory_bytes_interval=spread.memory.scaled(option.memory_bytes),
        terms=tuple(term(one) for one in option.terms),
        sides=tuple(term(one) for one in option.sides),
    )


def utilisation_of(option: PostOption, chips: int, spread: PostSpread) -> tuple[float, Interval | None]:
    """Share of the chips' time in which both sides of an apart fleet work; 1 otherwise."""
    if not option.sides:
        return 1.0, None
    by_side = {side.name: side for side in option.sides}
    sampling, training = by_side["rollout side"], by_side["training side"]
    work = sampling.value * option.rollout_chips + training.value * option.train_chips
    drawn = sampling.value * option.rollout_chips * spread.of(sampling) + training.value * option.train_chips * spread.of(
        training
    )
    share = work / (option.step_s * chips)
    return share, around(share, np.minimum(1.0, drawn / (option.step_s * spread.step * chips)))


def whole_run(asked: Asked, best: PostOption) -> tuple[TrainEstimate, TrainOption]:
    """The training side on all chips, for what depends on their number alone."""
    job, layout = trained(asked, best.layout)
    made = replace(estimate_train(job, asked.chip, layout, asked.stack), chips=asked.chips)
    return made, option_of(job_of(asked, BLOCK, 1), asked.chip, asked.stack, made)


def weak_post_training(asked: Asked, best: PostOption) -> tuple[Flag, ...]:
    """Weak figures that weigh more than 5 % of the step: those of the training and of the sampling, each by its share.

    Args:
        asked: the post-training.
        best: its best way.
    """
    from suanzhang.app.explain_serve import Replica, iteration
    from suanzhang.app.explain_terms import run_on, step_tree
    from suanzhang.app.weak import weak_inputs
    from suanzhang.spec.trust_plain import plain

    try:
        job, layout = trained(asked, best.layout)
        training = step_tree(run_on(job, asked.chip, asked.stack, layout), layers=False)
    except PlannerError:  # the optimizer step of one side does not divide the batch of the question
        return ()
    sampling = rollout_of(asked, best)
    below: tuple[Node, ...] = ()
    if sampling is not None:
        replica = Replica.of(plain(sampling[0]), asked.chip.id)
        below = (iteration("one iteration", replica, "terms", "sampling"),)

    def parts(name: str) -> tuple[Node, ...]:
        if name == _ROLLOUT:
            return below
        return (training,) if name.startswith(("training of", "log-probabilities", "values", "reward")) else ()

    terms = tuple(Node(term.name, term.value, "s", "product", parts=parts(term.name)) for term in best.terms)
    return weak_inputs([Node("step time", best.step_s, "s", "sum", parts=terms)])
