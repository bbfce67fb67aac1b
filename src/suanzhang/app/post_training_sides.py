"""The two sides of a post-training: what trains, and what samples."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from suanzhang.app.post_training_input import Asked
from suanzhang.app.serve_estimate import estimate_serve
from suanzhang.app.serve_sim import table_and_settings
from suanzhang.app.serve_size import serve_layouts
from suanzhang.app.train_model import estimate_train, pack
from suanzhang.app.train_search import chip_counts, default_axes, search_layouts
from suanzhang.errors import InputError, PlannerError
from suanzhang.perf.post_training import forward_pass_s, swap_s
from suanzhang.perf.training.args import StepTerms
from suanzhang.perf.training.pack import HOST_LINK_BYTES_PER_S
from suanzhang.sim.replica import simulate
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.draws import lognormal_sigma
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import ServeLayout, TrainLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.post_training import RolloutSpec
from suanzhang.spec.result import Term
from suanzhang.spec.serve import ClosedLoop, ServeEstimate
from suanzhang.spec.sim import RequestBatch
from suanzhang.spec.train import TrainEstimate

_FORMULA = "suanzhang.app.post_training"
_KEEP = 4
BLOCK = 128
"""Sequences are taken in whole blocks of tokens, so that they divide over tensor and context ranks."""


@dataclass(frozen=True, slots=True)
class Side:
    """The training side on some chips: one optimizer step, its passes without gradients, and what it holds.

    Args:
        estimate: one optimizer step.
        forward_s: a pass without gradients over its batch.
        steps: optimizer steps of one rollout.
        memory_bytes: of the fullest chip, with the frozen reference where that fits beside the training.
        fetch_s: time to bring the reference from host memory and take the weights back, once a step; 0 where it fits.
    """

    estimate: TrainEstimate
    forward_s: float
    steps: int
    memory_bytes: float
    fetch_s: float

    @property
    def step_s(self) -> float:
        """All optimizer steps of one rollout."""
        return self.estimate.step_s * self.steps


@dataclass(frozen=True, slots=True)
class Rollout:
    """The rollout side on some chips."""

    layout: ServeLayout
    seconds: float
    estimate: ServeEstimate
    work: ClosedLoop


def lengths(rollout: RolloutSpec, count: int, seed: int) -> np.ndarray:
    """Tokens of answers: lognormal with the mean asked for, cut at the longest.

    The spread is that at which two in a hundred answers reach the longest, which long reasoning does; answers as long as
    the longest are all equal.
    """
    mean, most = rollout.response_tokens, rollout.response_max
    if most <= 1.02 * mean:
        return np.full(count, round(mean), dtype=np.int64)
    normal = np.random.default_rng(seed).standard_normal(count)
    reach = 2.0537489106318225  # 98th percentile of the standard normal
    sigma = lognormal_sigma(most / mean, reach)
    drawn = np.exp(math.log(mean) - 0.5 * sigma**2 + sigma * normal)
    drawn = np.clip(drawn, 1.0, most)
    return np.asarray(np.clip(np.rint(drawn * mean / drawn.mean()), 1, most), dtype=np.int64)


def job_of(asked: Asked, seq: int, batch: int) -> TrainJob:
    """The training job of one step."""
    method: Literal["full", "lora", "qlora"] = asked.adapters or "full"
    rank = asked.lora_rank if asked.adapters else 0
    tokens = float(seq) * batch
    return TrainJob(
        "post-training", asked.model, tokens, seq, batch, asked.precision, asked.optimizer, method=method, lora_rank=rank
    )


def frozen_bytes(asked: Asked, estimate: TrainEstimate) -> float:
    """Weights of a frozen reference on one training chip: none where adapters are switched off instead."""
    if not asked.reference or asked.adapters:
        return 0.0
    fullest = max(estimate.memory, key=lambda stage: stage.total_bytes)
    return sum(part.value for part in fullest.parts if part.name.startswith("weights"))


def training_layouts(asked: Asked, job: TrainJob, chips: int) -> tuple[TrainLayout, ...]:
    """The layout that was given, or the fastest ones that fit."""
    if asked.layout is not None:
        given = asked.layout
        cut = given.tp * given.pp * given.cp
        return () if chips % cut else (replace(given, dp=chips // cut),)
    packed = pack(job, asked.chip, asked.stack)
    axes = default_axes(job, asked.stack, chips, int(packed.run.domain))
    return search_layouts(packed, job, axes, chip_counts(job, chips, axes), _KEEP).layouts


def training_side(asked: Asked, chips: int, seq: int, batch: int, steps: int) -> Side | None:
    """The fastest training layout, and where a frozen reference then lives; None when nothing fits."""
    job = job_of(asked, seq, batch)
    for layout in training_layouts(asked, job, chips):
        try:
            estimate = estimate_train(job, asked.chip, layout, asked.stack)
        except PlannerError:
            continue
        if not estimate.fits or layout.chips != chips:
            continue
        frozen = frozen_bytes(asked, estimate)
        terms = StepTerms(*(term.value for term in estimate.terms))
        together = estimate.memory_bytes + frozen <= asked.chip.hbm_bytes
        memory = estimate.memory_bytes + (frozen if together else 0.0)
        fetched = 0.0 if together else swap_s(frozen, HOST_LINK_BYTES_PER_S)
        return Side(estimate, forward_pass_s(terms), steps, memory, fetched)
    return None


def rollouts(asked: Asked, chips: int, spec: RolloutSpec) -> list[Rollout]:
    """Rollout layouts on some chips, by simulation of one replica with its share of the questions."""
    found: list[Rollout] = []
    offered = [asked.rollout_layout] if asked.rollout_layout else rollout_layouts(asked.model, asked.chip)
    for layout in offered:
        replicas = chips // layout.chips
        if not replicas:
            continue
        try:
            found.append(simulated_rollout(asked, layout, math.ceil(spec.responses / replicas), spec))
        except PlannerError:
            continue
    return sorted(found, key=lambda one: one.seconds)


def rollout_layouts(model: ModelSpec, chip: ChipSpec) -> list[ServeLayout]:
    """Layouts of one sampling replica that are worth a try."""
    return [one for one in serve_layouts(model, chip) if one.pp == 1 and (one.dp == 1 or one.tp == 1)]


def simulated_rollout(asked: Asked, layout: ServeLayout, count: int, spec: RolloutSpec) -> Rollout:
    """Time until the last of some answers is there, all asked at once, followed token by token."""
    isl, osl = spec.prompt_tokens, spec.response_tokens
    work = ClosedLoop(float(count), isl, osl, float(count), together=True)
    estimate = estimated_rollout(asked, layout, work)
    if not estimate.memory.fits:
        raise InputError("does not fit")
    table, settings = table_and_settings(asked.model, asked.chip, estimate, asked.engine, isl, osl)
    prompts = np.full(count, max(1, round(isl)), dtype=np.int64)
    batch = RequestBatch(np.zeros(count), prompts, lengths(spec, count, asked.seed))
    done = simulate(batch, table, settings, seed=asked.seed)
    if done.finished < count:
        raise InputError("the cache is too small for these answers")
    return Rollout(layout, done.simulated_s, estimate, work)


def estimated_rollout(asked: Asked, layout: ServeLayout, work: ClosedLoop) -> ServeEstimate:
    """The steady state of one sampling replica."""
    return estimate_serve(asked.model, asked.chip, layout, asked.engine, asked.weight_dtype, asked.weight_dtype, work)


def term_of(name: str, value: float) -> Term:
    """A named part of a step."""
    return Term(name, value, "s", _FORMULA)
