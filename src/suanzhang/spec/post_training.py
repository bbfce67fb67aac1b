"""Post-training: what is asked, and what it takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from suanzhang.spec.layout import ServeLayout, TrainLayout
from suanzhang.spec.result import Header, Interval, Money, Term
from suanzhang.spec.trust import Flag

Method = Literal["sft", "dpo", "grpo", "ppo"]
METHODS = ("sft", "dpo", "grpo", "ppo")
ADAPTERS = ("", "lora", "qlora")
PLACEMENTS = ("", "colocated", "apart")


@dataclass(frozen=True, slots=True)
class RolloutSpec:
    """What one step of reinforcement learning samples.

    Args:
        prompts: questions of one step.
        group: answers to each.
        prompt_tokens: mean tokens of a question.
        response_tokens: mean tokens of an answer.
        response_max: most tokens of an answer; the longest ones end the step.
        train_batch: answers of one optimizer step.
        reference: the log-probabilities of a reference model are needed too.
        reward_params: parameters of a reward model that reads each answer; 0 for a rule.
        in_flight: answers under way at once on a rollout side apart, in steps, where new weights come while they are; 0 where
            all answers of a step are waited for.
        environment_s: time of an environment or of scoring after the last answer [s].
    """

    prompts: int
    group: int
    prompt_tokens: float
    response_tokens: float
    response_max: float
    train_batch: int
    reference: bool = True
    reward_params: float = 0.0
    in_flight: int = 0
    environment_s: float = 0.0

    @property
    def responses(self) -> int:
        """Answers of one step."""
        return self.prompts * self.group


@dataclass(frozen=True, slots=True)
class RlCosts:
    """What frameworks of reinforcement learning spend beside the work of chips and links; fitted, see ``rl_costs.yaml``.

    Args:
        spread_s: time of an iteration to reach all processes of an engine on several chips [s].
        token_s: host time to hand out one sampled token with its log-probability [s].
        dispatch_s: wait for the host in each layer with experts and each pass over a micro-batch [s].
        copy_bytes_per_s: rate of copies between a chip and pageable host memory [B/s].
        tensor_s: host time to hand over one tensor [s].
        step_s: host time of a step between its phases [s].
        share, share_apart: memory that an engine takes beside a training that sleeps, and on chips of its own [fraction].
    """

    spread_s: float
    token_s: float
    dispatch_s: float
    copy_bytes_per_s: float
    tensor_s: float
    step_s: float
    share: float
    share_apart: float


@dataclass(frozen=True, slots=True)
class PostOption:
    """One way to run a post-training.

    Args:
        placement: "colocated" (training and rollout take turns on all chips), "apart", or "training" alone.
        train_chips, rollout_chips: chips of each side; the same ones when colocated.
        layout: of the training.
        rollout: layout of one rollout replica; None without rollout.
        step_s: time of one step.
        terms: parts of the step; they sum to it. Parts that run beside a longer side do not appear.
        sides: time of the two sides when they run beside one another; empty otherwise.
        memory_bytes: memory of the fullest training chip, frozen copies included.
        step_s_interval, memory_bytes_interval: our uncertainty about them.
        fits_fraction: share of the cases of the interval of the memory in which the training fits.
        riskier_layout: of a faster training that fits in fewer of the cases than asked; None when the fastest is sure enough.
        riskier_gain_fraction: share of the step that it would save.
        riskier_fits_fraction: share of the cases in which it fits.
    """

    placement: str
    train_chips: int
    rollout_chips: int
    layout: TrainLayout
    rollout: ServeLayout | None
    step_s: float
    terms: tuple[Term, ...]
    sides: tuple[Term, ...] = ()
    memory_bytes: float = 0.0
    step_s_interval: Interval | None = None
    memory_bytes_interval: Interval | None = None
    fits_fraction: float = 1.0
    riskier_layout: TrainLayout | None = None
    riskier_gain_fraction: float = 0.0
    riskier_fits_fraction: float = 0.0


@dataclass(frozen=True, slots=True)
class PostResult:
    """The answer of ``post-train``. Field names are the stable JSON keys.

    Args:
        header: version, catalog date and seed.
        method, adapters: how.
        model, chip, stack, engine, precision: what and on what, by catalog id; no engine without rollout.
        chips: all chips.
        steps: optimizer steps of ``sft`` and ``dpo``, rollout steps of ``grpo`` and ``ppo``.
        best: the best way found.
        step_s_interval: our interval of its step time.
        days, days_interval: of the whole run with failures.
        chip_hours: of the whole run.
        cost, cost_interval: of the chip-hours.
        tokens_per_step: tokens that are trained on in a step.
        tokens_per_s_per_chip: the same over time and chips.
        utilisation: share of the chips' time in which both sides of an apart fleet work; 1 otherwise.
        options: all ways that were looked at, fastest first.
        evaluated: how many.
        warnings: what a reader must know.
        sources: keys of the sources the answer rests on.
        chip_hours_interval, tokens_per_s_per_chip_interval, utilisation_interval: our uncertainty about them.
        weak_inputs: figures of grade unverified or assumed that weigh more than 5 % of the step.
    """

    header: Header
    method: str
    adapters: str
    model: str
    chip: str
    stack: str
    engine: str
    precision: str
    chips: int
    steps: float
    best: PostOption
    step_s_interval: Interval
    days: float
    days_interval: Interval
    chip_hours: float
    cost: Money | None
    cost_interval: Interval | None
    tokens_per_step: float
    tokens_per_s_per_chip: float
    utilisation: float
    options: tuple[PostOption, ...]
    evaluated: int
    warnings: tuple[str, ...] = ()
    sources: tuple[str, ...] = field(default=())
    chip_hours_interval: Interval | None = None
    tokens_per_s_per_chip_interval: Interval | None = None
    utilisation_interval: Interval | None = None
    weak_inputs: tuple[Flag, ...] = ()
