"""Post-training: supervised and preference tuning, and reinforcement learning on one fleet, colocated or apart."""

from __future__ import annotations

import math
from dataclasses import replace

from suanzhang.app.header import header
from suanzhang.app.physics import operator_args
from suanzhang.app.post_training_costs import copy_span, tensors_of
from suanzhang.app.post_training_input import Asked, checked
from suanzhang.app.post_training_sides import Rollout, Side, job_of, longest, rollouts, term_of, training_sides, tuning_seq
from suanzhang.app.post_training_spread import spanned, spread_of, utilisation_of, weak_post_training, whole_run
from suanzhang.app.serve_verb_answer import rent_per_chip_h
from suanzhang.app.train_fits import FIT_CONFIDENCE, Riskier, sure_words
from suanzhang.app.train_input import memory_there
from suanzhang.app.train_model import describe
from suanzhang.app.train_spread import RunSpread, around
from suanzhang.errors import Infeasible, InputError
from suanzhang.perf.post_training import copy_s, dispatch_s, refit_s
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.memory import memory_words
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.post_training import PostOption, PostResult, RolloutSpec
from suanzhang.spec.result import Interval, Money, Term
from suanzhang.units import DAY_S, HOUR_S, format_count

_SHOWN = 12
_SHARES = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875)
"""Shares of the chips that are tried as the rollout side of a fleet whose sides are apart."""


def _sampling_terms(spec: RolloutSpec, rollout: Rollout) -> list[Term]:
    """What the rollout side does in one step; with answers in flight, environments work beside it."""
    terms = [term_of("rollout", rollout.seconds)]
    waits = spec.environment_s if not spec.in_flight else 0.0
    return [*terms, term_of("environment", waits)] if waits else terms


def _training_terms(asked: Asked, side: Side, spec: RolloutSpec) -> list[Term]:
    """What the training side does in one step: log-probabilities, reference, reward, critic, optimizer steps."""
    once = side.forward_s * side.steps
    terms = [term_of("log-probabilities of the policy", once)]
    terms += [term_of("log-probabilities of the reference", once)] if spec.reference else []
    terms += [term_of("reference from the host and back", side.fetch_s)] if spec.reference and side.fetch_s else []
    if spec.reward_params:
        terms.append(term_of("reward model", once * spec.reward_params / asked.model.active_params))
    if asked.method == "ppo":
        terms += [term_of("values of the critic", once), term_of("training of the critic", side.step_s)]
    terms.append(term_of("training of the policy", side.step_s))
    waited = dispatched(asked, side, spec)
    terms += [term_of("dispatch to the experts", waited)] if waited else []
    return [*terms, term_of("host work of the step", asked.costs.step_s)]


def dispatched(asked: Asked, side: Side, spec: RolloutSpec) -> float:
    """Waits for the host in all layers with experts of a step."""
    layout, layers = side.layout, asked.model.moe_layers / side.layout.pp
    fill = float(side.steps * (layout.pp - 1))
    return dispatch_s(layers, side.micro_batches * side.steps, fill, passes_of(asked, spec, layout), asked.costs.dispatch_s)


def passes_of(asked: Asked, spec: RolloutSpec, layout: TrainLayout) -> float:
    """Passes over each micro-batch in a step: log-probabilities, and forward, backward twice and recompute of the training."""
    trained = 3.0 + (1.0 if layout.recompute == "full" else 0.0)
    read = 1.0 + (1.0 if spec.reference else 0.0)
    return trained * 2.0 + read + 1.0 if asked.method == "ppo" else trained + read


def near_copies(asked: Asked, layout: TrainLayout, chips: int, *, apart: bool) -> float:
    """1 where the weights of one copy stay inside a scale-up domain on their way to the engine, 0 otherwise."""
    return 1.0 if not apart and min(chips, copy_span(layout)) <= asked.chip.node.chips else 0.0


def _refit(asked: Asked, layout: TrainLayout, chips: int, *, apart: bool) -> float:
    weights = asked.model.params * (2.0 if not asked.adapters else 0.02)
    near = near_copies(asked, layout, chips, apart=apart)
    link = operator_args(asked.chip, asked.precision).link
    return refit_s(weights, tensors_of(asked.model), asked.costs.tensor_s, near, link)


def _swap(asked: Asked, side: Side) -> float:
    """Colocated sides take turns in memory: weights and optimizer states leave and come back; gradients are dropped."""
    return copy_s(2.0 * side.bytes_of("weights", "optimizer"), asked.costs.copy_bytes_per_s)


def _colocated(asked: Asked, spec: RolloutSpec) -> list[PostOption]:
    sides = rl_sides(asked, asked.chips, spec)
    if not sides:
        return []
    found = rollouts(asked, asked.chips, spec, apart=False)
    return [_surest(asked, sides, [colocated(asked, spec, side, one) for side in sides]) for one in found]


def _surest(asked: Asked, sides: list[Side], options: list[PostOption]) -> PostOption:
    """The fastest way that fits surely enough, with what a faster one that fits less surely would save."""
    options = [replace(option, fits_fraction=side.fits_fraction) for option, side in zip(options, sides, strict=True)]
    fastest = min(options, key=lambda option: option.step_s)
    sure = [option for option in options if option.fits_fraction >= asked.fit_confidence]
    best = min(sure, key=lambda option: option.step_s) if sure else max(options, key=lambda option: option.fits_fraction)
    if best is fastest:
        return best
    return replace(
        best,
        riskier_layout=fastest.layout,
        riskier_gain_fraction=1.0 - fastest.step_s / best.step_s,
        riskier_fits_fraction=fastest.fits_fraction,
    )


def colocated(asked: Asked, spec: RolloutSpec, side: Side, rollout: Rollout) -> PostOption:
    """Both sides taking turns on all chips."""
    terms = [
        *_sampling_terms(spec, rollout),
        *_training_terms(asked, side, spec),
        term_of("weights to the rollout", _refit(asked, side.layout, asked.chips, apart=False)),
        term_of("training states to the host and back", _swap(asked, side)),
    ]
    total = sum(term.value for term in terms)
    chips = asked.chips
    return PostOption("colocated", chips, chips, side.layout, rollout.layout, total, tuple(terms), (), side.memory_bytes)


def _apart(asked: Asked, spec: RolloutSpec) -> list[PostOption]:
    options = []
    for there in _splits(asked):
        sides = rl_sides(asked, asked.chips - there, spec)
        if not sides:
            continue
        for rollout in rollouts(asked, there, spec, apart=True)[:1]:
            options.append(_surest(asked, sides, [apart(asked, spec, side, rollout, there) for side in sides]))
    return options


def apart(asked: Asked, spec: RolloutSpec, side: Side, rollout: Rollout, there: int) -> PostOption:
    """Both sides beside one another, each on its own chips."""
    training = _training_terms(asked, side, spec)
    train_s = sum(term.value for term in training)
    refit = term_of("weights to the rollout", _refit(asked, side.layout, there, apart=True))
    sampling = _sampling_terms(spec, rollout)
    sample_s = sum(term.value for term in sampling)
    longer = sampling if sample_s > train_s else training
    terms = (*longer, refit)
    sides = (term_of("rollout side", sample_s), term_of("training side", train_s))
    total, chips = sum(term.value for term in terms), asked.chips - there
    return PostOption("apart", chips, there, side.layout, rollout.layout, total, terms, sides, side.memory_bytes)


def _splits(asked: Asked) -> list[int]:
    if asked.rollout_chips:
        return [asked.rollout_chips]
    unit = asked.chip.node.chips if asked.chips >= 2 * asked.chip.node.chips else 1
    counts = {round(asked.chips * share / unit) * unit for share in _SHARES}
    return sorted(count for count in counts if 0 < count < asked.chips)


def rl_sides(asked: Asked, chips: int, spec: RolloutSpec) -> list[Side]:
    """The training sides of reinforcement learning that fit some chips."""
    job = job_of(asked, longest(spec), spec.train_batch)
    return training_sides(asked, chips, job, math.ceil(spec.responses / spec.train_batch))


def _tuning(asked: Asked) -> tuple[list[PostOption], float, float]:
    """Supervised or preference tuning: options, steps of the run, tokens of a step."""
    tune = asked.tuning
    seq = tuning_seq(tune)
    per_sequence = seq / tune.example_tokens if tune.packed else 1.0
    examples = tune.examples * tune.epochs * (2.0 if asked.method == "dpo" else 1.0)
    steps = examples / per_sequence / tune.batch
    if steps < 1.0:
        raise InputError(
            f"examples: {tune.examples:,g} are less than one step of {tune.batch} sequences", fix="give more, such as 100K"
        )
    sides = training_sides(asked, asked.chips, job_of(asked, seq, tune.batch), 1)
    if not sides:
        return [], steps, 0.0
    return (
        [_surest(asked, sides, [_tuned(asked, side) for side in sides])],
        steps,
        tune.batch * per_sequence * tune.example_tokens,
    )


def _tuned(asked: Asked, side: Side) -> PostOption:
    """One step of tuning."""
    terms = [term_of("training of the policy", side.step_s)]
    if asked.reference:
        terms.insert(0, term_of("log-probabilities of the reference", side.forward_s))
        terms += [term_of("reference from the host and back", side.fetch_s)] if side.fetch_s else []
    total = sum(term.value for term in terms)
    return PostOption("training", asked.chips, 0, side.layout, None, total, tuple(terms), (), side.memory_bytes)


def post_train(
    model: str | ModelSpec,
    chips: str,
    method: str = "grpo",
    *,
    adapters: str = "",
    lora_rank: int = 16,
    steps: float = 0.0,
    prompts: int = 128,
    group: int = 16,
    prompt_tokens: float = 256.0,
    response_tokens: float = 2048.0,
    response_max: float = 0.0,
    train_batch: int = 0,
    reference: bool = True,
    reward_model: str = "",
    placement: str = "",
    rollout_chips: int = 0,
    rollout_layout: str = "",
    layout: str = "",
    examples: float | str = 0.0,
    example_tokens: float = 512.0,
    example_max: float = 0.0,
    epochs: float = 1.0,
    seq_len: int = 4096,
    packed: bool = True,
    batch: int = 128,
    precision: str = "",
    stack: str = "",
    engine: str = "",
    engine_memory: float = 0.0,
    in_flight: int = 0,
    environment_s: float = 0.0,
    price_per_chip_h: float | None = None,
    currency: str = "USD",
    seed: int = 0,
    fit_confidence: float = FIT_CONFIDENCE,
) -> PostResult:
    """What a post-training takes: step, days, chip-hours and money, in the best way found.

    Args:
        model: catalog id, alias, path of a configuration, or a shape.
        chips: ``CHIP:N``.
        method: "sft", "dpo", "grpo" or "ppo".
        adapters: "lora" or "qlora"; all parameters when left out.
        lora_rank: rank of the adapters.
        steps: rollout steps of ``grpo`` and ``ppo``; 100 when left out.
        prompts, group, prompt_tokens, response_tokens, response_max, train_batch, reference: see ``RolloutSpec``.
        reward_model: catalog id of a model that scores answers; a rule when left out.
        placement: "colocated" or "apart"; the faster when left out.
        rollout_chips, rollout_layout, layout: fix what is otherwise searched.
        examples, example_tokens, example_max, epochs: of ``sft`` (conversations) and ``dpo`` (pairs).
        seq_len, packed, batch: tokens of a packed sequence, whether examples share one, sequences of a step.
        precision, stack, engine: as in ``train`` and ``serve``.
        engine_memory: share of a chip's memory that the sampling engine takes; 0.6 taking turns and 0.8 apart when left out.
        in_flight: sides apart: so many steps of answers are under way while new weights come, so that no step waits for its
            last answer; 0 where each does.
        environment_s: time of an environment or of scoring after the last answer of a step.
        price_per_chip_h: money per chip and hour; the newest rent of the catalog when left out.
        currency: of the price.
        seed: of the lengths of answers.
        fit_confidence: share of the cases of the interval of its memory in which a training layout that is searched must fit; a
            faster one that fits less surely is named beside it.

    Raises:
        InputError: something given cannot be used.
        Infeasible: nothing fits; with what binds.
    """
    asked = checked(
        model, chips, method, adapters, lora_rank, prompts, group, prompt_tokens, response_tokens, response_max, train_batch,
        reference, reward_model, placement, rollout_chips, rollout_layout, layout, examples, example_tokens, example_max,
        epochs, seq_len, packed, batch, precision, stack, engine, engine_memory, in_flight,
        environment_s, seed, fit_confidence,
    )  # fmt: skip
    if asked.rollout is None:
        options, count, tokens = _tuning(asked)
    else:
        options = _colocated(asked, asked.rollout) if asked.placement != "apart" else []
        options += _apart(asked, asked.rollout) if asked.placement != "colocated" else []
        spec = asked.rollout
        count, tokens = steps or 100.0, spec.responses * (spec.prompt_tokens + spec.response_tokens)
    if not options:
        need = memory_words(asked.model.params * 18.0 / asked.chips)
        raise Infeasible(
            f"{asked.model.name} does not fit {format_count(asked.chips)} {asked.chip.name} for {method}",
            binding=[f"memory: about {need} of training states per chip, {memory_there(asked.chip)}"],
            fix="use more chips or adapters (--adapters lora)",
        )
    options.sort(key=lambda one: one.step_s)
    rent = rent_per_chip_h(asked.chip)
    price = None if price_per_chip_h is None else Money(price_per_chip_h, currency, "")
    if price is None and rent is not None:
        price = Money(rent.price.value, rent.price.unit.partition("/")[0], rent.price.date)
    return _result(asked, options, count, tokens, price)


def _result(asked: Asked, options: list[PostOption], steps: float, tokens: float, price: Money | None) -> PostResult:
    spreads = [spread_of(asked, option) for option in options[:_SHOWN]]
    shown = tuple(spanned(option, spread) for option, spread in zip(options[:_SHOWN], spreads, strict=True))
    best, spread = shown[0], spreads[0]
    whole = whole_run(asked, best)[1]
    useful = whole.goodput_fraction_interval or Interval(1.0, 1.0, 1.0)
    run = RunSpread.of(spread.step, useful)
    days = steps * best.step_s / whole.goodput_fraction / DAY_S
    hours = days * DAY_S / HOUR_S * asked.chips
    cost = price.scaled(hours) if price else None
    rate = tokens / best.step_s / asked.chips
    busy, busy_span = utilisation_of(best, asked.chips, spread)
    return PostResult(
        header=header(asked.seed),
        method=asked.method,
        adapters=asked.adapters,
        model=asked.model.id,
        chip=asked.chip.id,
        stack=asked.stack.id,
        engine=asked.engine.id if best.rollout else "",
        precision=asked.precision,
        chips=asked.chips,
        steps=steps,
        best=best,
        step_s_interval=around(best.step_s, best.step_s * spread.step),
        days=days,
        days_interval=around(days, days * run.days),
        chip_hours=hours,
        cost=cost,
        cost_interval=around(cost.amount, cost.amount * run.days) if cost else None,
        tokens_per_step=tokens,
        tokens_per_s_per_chip=rate,
        utilisation=busy,
        options=shown,
        evaluated=len(options),
        warnings=_notes(asked, best, price),
        sources=(asked.stack.source, asked.engine.source, asked.model.source),
        chip_hours_interval=around(hours, hours * run.days),
        tokens_per_s_per_chip_interval=around(rate, rate / spread.step),
        utilisation_interval=busy_span,
        weak_inputs=weak_post_training(asked, best),
    )


def _notes(asked: Asked, best: PostOption, price: Money | None) -> tuple[str, ...]:
    notes = list(asked.notes)
    if best.rollout is not None:
        notes.append("answers: lognormal lengths, two in a hundred as long as the longest, more where the mean is near it")
        notes.append(
            "host work, copies and hand-overs are fitted to 47 published steps of one framework (NeMo RL): another may be "
            "faster or slower; the interval holds that"
        )
    if best.placement == "apart" and asked.rollout is not None and asked.rollout.in_flight:
        notes.append("answers under way go on with new weights: the policy is trained on answers of more than one policy")
    elif best.placement == "apart":
        notes.append("the rollout works one step ahead: the policy is trained on answers of the step before")
    if any(term.name.startswith("reference from") for term in best.terms):
        notes.append("the reference rests in host memory and comes once a step")
    if price is None:
        notes.append(f"no rent of {asked.chip.name} is known: no cost")
    return (*notes, f"training layout {describe(best.layout)}", *_surely(asked, best))


def _surely(asked: Asked, best: PostOption) -> tuple[str, ...]:
    """How surely the training fits, where its layout was searched."""
    if asked.layout is not None:
        return ()
    faster = None
    if best.riskier_layout is not None and best.riskier_gain_fraction > 0.0:
        faster = Riskier(describe(best.riskier_layout), best.riskier_gain_fraction, best.riskier_fits_fraction)
    return sure_words(best.fits_fraction, asked.fit_confidence, faster)
