"""The two sides of a post-training: what trains, and what samples."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from suanzhang.app.post_training_costs import sampling_engine
from suanzhang.app.post_training_input import Asked, Tuning
from suanzhang.app.post_training_lengths import bins, lengths
from suanzhang.app.serve_estimate import estimate_serve
from suanzhang.app.serve_sim import table_and_settings
from suanzhang.app.serve_size import serve_layouts
from suanzhang.app.train_deadline import chance_below
from suanzhang.app.train_input import usable_bytes
from suanzhang.app.train_model import estimate_train, pack
from suanzhang.app.train_option import search
from suanzhang.app.train_spread import memory_factors
from suanzhang.errors import InputError, PlannerError
from suanzhang.perf.post_training import copy_s, forward_pass_s
from suanzhang.perf.training.args import StepTerms
from suanzhang.perf.training.pack import HOST_LINK_BYTES_PER_S
from suanzhang.sim.replica import simulate
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import ServeLayout, TrainLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.post_training import RolloutSpec
from suanzhang.spec.result import Term
from suanzhang.spec.serve import ClosedLoop, ServeEstimate
from suanzhang.spec.sim import EngineSettings, IterationTable, RequestBatch
from suanzhang.spec.stack import ServeStack
from suanzhang.spec.train import TrainEstimate

_FORMULA = "suanzhang.app.post_training"
_KEEP = 4
_AHEAD = 2
_NODES = (2, 4)
BLOCK = 128
"""Sequences are taken in whole blocks of tokens, so that they divide over tensor and context ranks."""


@dataclass(frozen=True, slots=True)
class Side:
    """The training side on some chips: one optimizer step, its passes without gradients, and what it holds.

    Args:
        layout: as asked or found; a micro-batch holds so many of the longest sequences.
        estimate: one optimizer step over packed sequences.
        forward_s: a pass without gradients over its batch.
        steps: optimizer steps of one rollout.
        memory_bytes: of the fullest chip, with the frozen reference where that fits beside the training.
        fetch_s: time to bring the reference from host memory and take the weights back, once a step; 0 where it fits.
        micro_batches: of one data rank in one optimizer step.
        fits_fraction: share of the cases of the interval of its memory in which it fits.
    """

    layout: TrainLayout
    estimate: TrainEstimate
    forward_s: float
    steps: int
    memory_bytes: float
    fetch_s: float
    micro_batches: float = 1.0
    fits_fraction: float = 1.0

    @property
    def step_s(self) -> float:
        """All optimizer steps of one rollout."""
        return self.estimate.step_s * self.steps

    def bytes_of(self, *kinds: str) -> float:
        """Bytes of some parts on the chip that keeps most of them."""
        return max(sum(part.value for part in stage.parts if part.name.startswith(kinds)) for stage in self.estimate.memory)


@dataclass(frozen=True, slots=True)
class Rollout:
    """The rollout side on some chips."""

    layout: ServeLayout
    seconds: float
    estimate: ServeEstimate
    work: ClosedLoop


def job_of(asked: Asked, seq: int, batch: int) -> TrainJob:
    """The training job of one step."""
    method: Literal["full", "lora", "qlora"] = asked.adapters or "full"
    rank = asked.lora_rank if asked.adapters else 0
    tokens = float(seq) * batch
    return TrainJob(
        "post-training", asked.model, tokens, seq, batch, asked.precision, asked.optimizer, method=method, lora_rank=rank
    )


def tuning_seq(tune: Tuning) -> int:
    """Tokens of one sequence of tuning: those of a packed one, or of the longest example in whole blocks."""
    return tune.seq_len if tune.packed else max(BLOCK, math.ceil(tune.example_max / BLOCK) * BLOCK)


def frozen_bytes(asked: Asked, estimate: TrainEstimate) -> float:
    """Weights of a frozen reference on one training chip: none where adapters are switched off instead."""
    if not asked.reference or asked.adapters:
        return 0.0
    fullest = max(estimate.memory, key=lambda stage: stage.total_bytes)
    return sum(part.value for part in fullest.parts if part.name.startswith("weights"))


def training_layouts(asked: Asked, job: TrainJob, chips: int) -> tuple[TrainLayout, ...]:
    """The layout that was given, or the fastest ones that fit surely enough, and the fastest of all.

    Of tuning with a frozen reference also the fastest ones that leave room for it.
    """
    if asked.layout is not None:
        given = asked.layout
        cut = given.tp * given.pp * given.cp
        return () if chips % cut else (replace(given, dp=chips // cut),)
    layouts = _searched(asked, job, asked.chip, chips)
    if layouts and asked.rollout is None:
        frozen = frozen_bytes(asked, estimate_train(job, asked.chip, layouts[0], asked.stack))
        left = asked.chip.hbm_bytes * (1.0 - frozen / usable_bytes(asked.chip))
        if 0.0 < left < asked.chip.hbm_bytes:
            layouts += _searched(asked, job, replace(asked.chip, hbm_bytes=left), chips)
    return tuple(dict.fromkeys(layouts))


def _searched(asked: Asked, job: TrainJob, chip: ChipSpec, chips: int) -> tuple[TrainLayout, ...]:
    """The fastest layouts that fit surely enough, and the fastest of all."""
    found = search(pack(job, chip, asked.stack), job, chip, asked.stack, chips, confidence=asked.fit_confidence)
    return (*found.layouts[:_KEEP], *((found.riskier,) if found.riskier else ()))


def longest(spec: RolloutSpec) -> int:
    """Tokens of the longest question with its answer, in whole blocks."""
    return max(BLOCK, math.ceil((spec.prompt_tokens + spec.response_max) / BLOCK) * BLOCK)


def packed_job(asked: Asked, spec: RolloutSpec, layout: TrainLayout) -> tuple[TrainJob, TrainLayout]:
    """One optimizer step over answers that share micro-batches.

    Model:
        A micro-batch has room for the longest sequence (times ``layout.micro_batch``); sequences are put into the first that
        has room, longest first, and every data rank gets as many micro-batches as any other. Pipeline stages exchange
        activations of one shape: with more than one stage, each micro-batch is padded to its full room. Without packing each
        sequence is padded to the longest.

    Sources:
        [nemo-rl-performance] packing of its recipes.
    """
    room = longest(spec) * layout.micro_batch
    if not asked.tuning.packed:
        return job_of(asked, longest(spec), spec.train_batch), layout
    tokens = lengths(spec, spec.train_batch, asked.seed) + round(spec.prompt_tokens)
    filled = bins(tokens, room)
    count = math.ceil(filled / layout.dp) * layout.dp
    each = max(1, round(len(tokens) / count))
    used = float(room) if layout.pp > 1 else float(tokens.sum()) / count
    seq = max(BLOCK, math.ceil(used / each / BLOCK) * BLOCK)
    return job_of(asked, seq, count * each), replace(layout, micro_batch=each)


def training_sides(asked: Asked, chips: int, job: TrainJob, steps: int) -> list[Side]:
    """Training layouts that fit, and where a frozen reference then lives; those of the shortest optimizer steps first.

    Args:
        asked: the post-training.
        chips: of the training.
        job: one optimizer step of tuning; of reinforcement learning with every sequence as long as the longest.
        steps: optimizer steps of one rollout.
    """
    found: list[Side] = []
    for layout in training_layouts(asked, job, chips):
        one, laid = (job, layout) if asked.rollout is None else packed_job(asked, asked.rollout, layout)
        try:
            estimate = estimate_train(one, asked.chip, laid, asked.stack)
        except PlannerError:
            continue
        if estimate.fits and layout.chips == chips:
            found.append(_side(asked, one, layout, estimate, steps, one.global_batch / laid.dp / laid.micro_batch))
    return sorted(found, key=lambda side: side.step_s)


def _side(
    asked: Asked, job: TrainJob, layout: TrainLayout, estimate: TrainEstimate, steps: int, micro_batches: float
) -> Side:  # fmt: skip
    terms = StepTerms(*(term.value for term in estimate.terms))
    frozen = frozen_bytes(asked, estimate)
    factors = memory_factors(asked.chip, job, asked.stack, layout.chips, estimate)

    def chance(memory_bytes: float) -> float:
        return chance_below(factors.scaled(memory_bytes), usable_bytes(asked.chip))

    together = asked.rollout is None and chance(estimate.memory_bytes + frozen) >= max(asked.fit_confidence, 0.5)
    memory = estimate.memory_bytes + (frozen if together else 0.0)
    moved = 0.0 if together else fetched(asked, estimate)
    return Side(layout, estimate, forward_pass_s(terms), steps, memory, moved, micro_batches, chance(memory))


def fetched(asked: Asked, estimate: TrainEstimate) -> float:
    """Time to bring the reference from host memory and the weights of the policy back.

    In reinforcement learning frameworks keep the reference there and let it change places with the policy: the policy leaves,
    the reference comes, the policy comes back.
    """
    frozen = frozen_bytes(asked, estimate)
    if asked.rollout is not None:
        return copy_s(3.0 * frozen, asked.costs.copy_bytes_per_s)
    return copy_s(2.0 * frozen, HOST_LINK_BYTES_PER_S)


def rollouts(asked: Asked, chips: int, spec: RolloutSpec, *, apart: bool) -> list[Rollout]:
    """Rollout layouts on some chips, by simulation of one replica with its share of the questions."""
    found: list[Rollout] = []
    offered = [asked.rollout_layout] if asked.rollout_layout else rollout_layouts(asked.model, asked.chip)
    for layout in offered:
        replicas = chips // layout.chips
        if not replicas:
            continue
        try:
            found.append(simulated_rollout(asked, layout, math.ceil(spec.responses / replicas), spec, apart=apart))
        except PlannerError:
            continue
    return sorted(found, key=lambda one: one.seconds)


def rollout_layouts(model: ModelSpec, chip: ChipSpec) -> list[ServeLayout]:
    """Layouts of one sampling replica that are worth a try; over several nodes where one holds little beside the weights."""
    offered = [one for one in serve_layouts(model, chip) if one.pp == 1 and (one.dp == 1 or one.tp == 1)]
    if 2.0 * model.params > 0.5 * chip.hbm_bytes * chip.node.chips:
        wide = [chip.node.chips * nodes for nodes in _NODES]
        offered += [ServeLayout(tp=tp) for tp in wide if model.heads % tp == 0]
    return list(dict.fromkeys(offered))


def simulated_rollout(asked: Asked, layout: ServeLayout, count: int, spec: RolloutSpec, *, apart: bool) -> Rollout:
    """Time until the last of some answers is there, all asked at once, followed token by token.

    Where new weights come while answers are under way, there is no last one: the time of a further step in a row of them, each
    answer followed by the next question, is what a step takes.
    """
    isl, osl = spec.prompt_tokens, spec.response_tokens
    work = ClosedLoop(float(count), isl, osl, float(count), together=True)
    estimate = estimated_rollout(asked, layout, work, apart=apart)
    if not estimate.memory.fits:
        raise InputError("does not fit")
    engine = engine_of(asked, layout, apart=apart)
    table, settings = table_and_settings(asked.model, asked.chip, estimate, engine, isl, osl)
    seconds = _followed(asked, spec, count, table, settings)
    if apart and spec.in_flight:
        more = spec.in_flight
        kept = replace(settings, max_seqs=min(settings.max_seqs, count * spec.in_flight))
        first, later = (_followed(asked, spec, count * steps, table, kept) for steps in (more, more + _AHEAD))
        seconds = (later - first) / _AHEAD
    return Rollout(layout, seconds, estimate, work)


def _followed(asked: Asked, spec: RolloutSpec, count: int, table: IterationTable, settings: EngineSettings) -> float:
    """Time until the last of some answers is there."""
    prompts = np.full(count, max(1, round(spec.prompt_tokens)), dtype=np.int64)
    batch = RequestBatch(np.zeros(count), prompts, lengths(spec, count, asked.seed))
    done = simulate(batch, table, settings, seed=asked.seed)
    if done.finished < count:
        raise InputError("the cache is too small for these answers")
    return done.simulated_s


def engine_of(asked: Asked, layout: ServeLayout, *, apart: bool) -> ServeStack:
    """The engine as it samples in this post-training."""
    share = asked.engine_memory or (asked.costs.share_apart if apart else asked.costs.share)
    return sampling_engine(asked.engine, layout.chips, share, asked.costs)


def estimated_rollout(asked: Asked, layout: ServeLayout, work: ClosedLoop, *, apart: bool) -> ServeEstimate:
    """The steady state of one sampling replica."""
    engine = engine_of(asked, layout, apart=apart)
    return estimate_serve(asked.model, asked.chip, layout, engine, asked.weight_dtype, asked.weight_dtype, work)


def term_of(name: str, value: float) -> Term:
    """A named part of a step."""
    return Term(name, value, "s", _FORMULA)
