"""Reads what a user writes about a post-training: names looked up, counts checked, defaults stated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from suanzhang.app.post_training_costs import rl_costs, untuned
from suanzhang.app.serve_input import parse_serve_layout
from suanzhang.app.train_fits import FIT_CONFIDENCE, check_confidence
from suanzhang.app.train_input import complete_layout, default_precision, parse_chips, parse_layout
from suanzhang.app.train_option import software_note
from suanzhang.catalog import CATALOG_DATE
from suanzhang.catalog.chips import chip as chip_of
from suanzhang.catalog.models import model as model_of
from suanzhang.catalog.stack_defaults import default_train_stack_on
from suanzhang.catalog.stacks import serve_stack, train_stack
from suanzhang.errors import InputError, nearest_names
from suanzhang.perf.serving.precision import compute_dtype
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.layout import ServeLayout, TrainLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.post_training import ADAPTERS, METHODS, PLACEMENTS, RlCosts, RolloutSpec
from suanzhang.spec.stack import ServeStack, TrainStack
from suanzhang.units import parse_quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_ENGINE = "vllm-0.12"


@dataclass(frozen=True, slots=True)
class Tuning:
    """What supervised or preference tuning reads; fields as in ``post_train``."""

    examples: float
    example_tokens: float
    example_max: float
    epochs: float
    seq_len: int
    packed: bool
    batch: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A post-training, looked up; ``rollout`` is None where nothing is sampled."""

    method: str
    adapters: Literal["", "lora", "qlora"]
    lora_rank: int
    model: ModelSpec
    chip: ChipSpec
    chips: int
    stack: TrainStack
    engine: ServeStack
    precision: str
    weight_dtype: str
    optimizer: str
    reference: bool
    rollout: RolloutSpec | None
    tuning: Tuning
    placement: str
    rollout_chips: int
    rollout_layout: ServeLayout | None
    layout: TrainLayout | None
    seed: int
    notes: tuple[str, ...]
    costs: RlCosts
    engine_memory: float = 0.0
    fit_confidence: float = FIT_CONFIDENCE


def _choice(what: str, given: str, known: Sequence[str]) -> str:
    if given in known:
        return given
    near = nearest_names(given, [name for name in known if name])
    listed = ", ".join(name for name in known if name)
    raise InputError(f"unknown {what} {given!r}", fix=f"did you mean {near[0]}?" if near else f"use one of {listed}")


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not (value > 0.0 and math.isfinite(value)):
            raise InputError(f"{name} must be positive, got {value:g}", fix=f"give a {name} above zero")


def _layout(text: str, chips: int, stack: TrainStack) -> TrainLayout | None:
    if not text:
        return None
    given = parse_layout(text)
    defaults = TrainLayout(
        sp=stack.sequence_parallel, zero_stage=stack.default_zero_stage, recompute=stack.default_recompute, overlap_tp=True
    )
    return complete_layout(given, chips, defaults)


def _rollout(
    method: str, prompts: int, group: int, prompt_tokens: float, response_tokens: float, response_max: float, train_batch: int,
    reference: bool, reward_model: str, in_flight: int, environment_s: float,
    notes: list[str],
) -> RolloutSpec | None:  # fmt: skip
    if method not in ("grpo", "ppo"):
        return None
    most = response_max or 2.0 * response_tokens
    if not response_max:
        notes.append(f"longest answer assumed: {most:.0f} tokens, twice the mean")
    _positive(prompts=prompts, group=group, prompt_tokens=prompt_tokens, response_tokens=response_tokens)
    if most < response_tokens:
        raise InputError(
            f"response_max {most:.0f} is below the mean of {response_tokens:.0f} tokens", fix="give the longest answer"
        )
    batch = train_batch or prompts * group
    if prompts * group % batch:
        raise InputError(
            f"train_batch {batch} does not divide {prompts} x {group} = {prompts * group} answers",
            fix="choose one that divides",
        )
    scored = model_of(reward_model).active_params if reward_model else 0.0
    return RolloutSpec(prompts, group, prompt_tokens, response_tokens, most, batch, reference, scored, in_flight, environment_s)


def checked(
    model: str | ModelSpec, chips: str, method: str, adapters: str, lora_rank: int, prompts: int, group: int,
    prompt_tokens: float, response_tokens: float, response_max: float, train_batch: int, reference: bool, reward_model: str,
    placement: str, rollout_chips: int, rollout_layout: str, layout: str, examples: float | str, example_tokens: float,
    example_max: float, epochs: float, seq_len: int, packed: bool, batch: int, precision: str, stack: str, engine: str,
    engine_memory: float, in_flight: int, environment_s: float, seed: int, fit_confidence: float = FIT_CONFIDENCE,
) -> Asked:  # fmt: skip
    """A post-training from the values of :func:`suanzhang.app.post_training.post_train`.

    Raises:
        InputError: something given cannot be used.
    """
    method = _choice("method", method, METHODS)
    kind = cast('Literal["", "lora", "qlora"]', _choice("adapters", adapters, ADAPTERS))
    placement = _choice("placement", placement, PLACEMENTS)
    pairs = parse_chips(chips)
    if len(pairs) != 1:
        raise InputError("post-training takes one kind of chip", fix="write CHIP:N")
    chip, count = chip_of(pairs[0][0]), pairs[0][1]
    if rollout_chips and not 0 < rollout_chips < count:
        raise InputError(f"rollout_chips {rollout_chips} leaves no chip of {count} to train on", fix="give fewer")
    if rollout_chips and placement == "colocated":
        raise InputError("rollout_chips together with a colocated fleet", fix="leave one of them out")
    shape = model if isinstance(model, ModelSpec) else model_of(str(model))
    software = train_stack(stack) if stack else default_train_stack_on(chip, CATALOG_DATE).stack
    notes = [] if stack else [software_note(software, CATALOG_DATE, chip)]
    serving = serve_stack(engine or DEFAULT_ENGINE)
    rollout = _rollout(
        method,
        prompts,
        group,
        prompt_tokens,
        response_tokens,
        response_max,
        train_batch,
        reference,
        reward_model,
        in_flight,
        environment_s,
        notes,
    )
    notes += [f"engine assumed: {serving.title}"] if rollout and not engine else []
    amount = parse_quantity(examples, "count", "examples")
    if rollout is None:
        if amount <= 0.0:
            raise InputError(f"{method} needs a number of examples", fix="give --examples, such as 100K")
        _positive(example_tokens=example_tokens, epochs=epochs, seq_len=seq_len, batch=batch)
        if packed and example_tokens > seq_len:
            raise InputError(f"examples of {example_tokens:g} tokens do not fit sequences of {seq_len}", fix="raise --seq-len")
    most = example_max or 2.0 * example_tokens
    tuning = Tuning(amount, example_tokens, most, epochs, seq_len, packed, batch)
    half = compute_dtype(chip, "bf16")
    if not 0.0 <= engine_memory < 1.0:
        raise InputError(f"engine_memory {engine_memory:g} is no share of a chip's memory", fix="give one such as 0.6")
    if not 0.0 <= environment_s < math.inf:
        raise InputError(f"environment_s {environment_s:g} is no time", fix="give seconds, or leave it out")
    if in_flight < 0:
        raise InputError(f"in_flight {in_flight} is negative", fix="give 0 or more steps")
    if in_flight and placement == "colocated":
        raise InputError("in_flight needs a rollout side of its own", fix="give placement apart, or leave it out")
    software = untuned(software) if rollout is not None else software
    return Asked(
        method=method, adapters=kind, lora_rank=lora_rank, model=shape, chip=chip, chips=count, stack=software,
        engine=serving, precision=precision or default_precision(chip), weight_dtype=half, optimizer="adam",
        reference=reference if method != "sft" else False, rollout=rollout, tuning=tuning, placement=placement,
        rollout_chips=rollout_chips, rollout_layout=parse_serve_layout(rollout_layout) if rollout_layout else None,
        layout=_layout(layout, count - rollout_chips, software), seed=seed, notes=tuple(notes), costs=rl_costs(),
        engine_memory=engine_memory, fit_confidence=check_confidence(fit_confidence),
    )  # fmt: skip
