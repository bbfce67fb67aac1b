"""Size every training and service of a question on every kind of chip that is on offer."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from suanzhang.app.plan_asks import World, engines_for, month_index, runs_on, service_spec
from suanzhang.app.serve import size_service
from suanzhang.app.train import train_options
from suanzhang.app.train_ask import job_of, software_of
from suanzhang.app.train_input import default_precision
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.errors import Infeasible, InputError, OutOfDomain
from suanzhang.money.procurement.calendar import nominal_delay
from suanzhang.money.tariff import work_by_hour
from suanzhang.spec.buy import Demand, Need
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import ServiceSpec, TrainJob
from suanzhang.spec.plan import ChipRefusal
from suanzhang.spec.question import Question, ServeAsk, TrainAsk
from suanzhang.spec.serve import Refusal, SizedService
from suanzhang.spec.stack import ServeStack, TrainStack
from suanzhang.spec.train import TrainOption
from suanzhang.units import DAY_S, MONTH_S, format_si

Progress = Callable[[str], None]

_BEST_SHARE_OF_PEAK = 0.65
"""No published run reaches more of the dense peak: bounds the search for the smallest number of chips from below."""
_LEAST_SCALING = 0.9
"""Chip-days on one number of chips over those on another are taken to be no less: slower numbers need no search."""
_STEPS_PER_DOUBLING = (1.0, 1.25, 1.5, 1.75)
_MOST_MONTHS_OF_RAMP = 6
MOST_TIMES_THE_BEST = 20.0
"""A kind of chip that needs more chips for a service than so many times the best kind is no option."""


@dataclass(frozen=True, slots=True)
class SizedTraining:
    """One training on every kind of chip.

    Args:
        ask: what was asked.
        job: the job; its precision is chosen per chip, and its batch grows with the chips of an option where none was given.
        first_month: earliest month in which it may start.
        options: feasible ways, several counts per kind of chip.
        refused: kinds of chip that cannot do it in time.
    """

    ask: TrainAsk
    job: TrainJob
    first_month: int
    options: tuple[TrainOption, ...]
    refused: tuple[ChipRefusal, ...]


@dataclass(frozen=True, slots=True)
class SizedAsk:
    """One service on every kind of chip.

    Args:
        ask: what was asked.
        service: the service.
        first_month: month in which it is first wanted.
        after: name of the training whose model it serves; empty when it waits for none.
        options: the sizing on each kind of chip that can carry it.
        refused: kinds of chip that cannot.
    """

    ask: ServeAsk
    service: ServiceSpec
    first_month: int
    after: str
    options: tuple[SizedService, ...]
    refused: tuple[Refusal, ...]


def size_training(ask: TrainAsk, question: Question, world: World, progress: Progress) -> SizedTraining:
    """The ways to run a training on each kind of chip within its deadline.

    Raises:
        Infeasible: no kind of chip on offer can do it in time; says what each falls short of.
    """
    first = month_index(question.start, ask.start)
    horizon_s = (question.months - first) * MONTH_S
    job = job_of(ask, question, deadline_s=min(ask.deadline_s or horizon_s, horizon_s))
    options: list[TrainOption] = []
    refused: list[ChipRefusal] = []
    for chip in world.chips.values():
        progress(f"train {ask.name} on {chip.name}")
        own = replace(job, precision=ask.precision or default_precision(chip))
        found = _on_chip(own, chip, ask, question, _left_after_delivery(own, chip, first, question, world))
        if isinstance(found, ChipRefusal):
            refused.append(found)
        else:
            options.extend(found)
    if not options:
        raise Infeasible(
            f"training {ask.name}: no chip on offer trains {job.model.name} in time",
            binding=[f"{refusal.chip}: {refusal.reason}" for refusal in refused],
            fix="allow a longer deadline, fewer tokens, or other chips",
        )
    return SizedTraining(ask, job, first, tuple(options), tuple(refused))


def _left_after_delivery(job: TrainJob, chip: ChipSpec, first: int, question: Question, world: World) -> tuple[float, ...]:
    """What is left of the deadline of a job once chips come that are ordered at once, by offer, in seconds, longest first.

    Sources:
        [derived].
    """
    assert job.deadline_s is not None
    left = set()
    for offer in world.market.offers:
        if offer.chip == chip.id:
            ordered = max(month_index(question.start, offer.first_month), 0) if offer.first_month else 0
            left.add(job.deadline_s - max(ordered + nominal_delay(offer) - first, 0) * MONTH_S)
    return tuple(sorted((seconds for seconds in left if 0.0 < seconds < job.deadline_s), reverse=True))


def _on_chip(
    job: TrainJob, chip: ChipSpec, ask: TrainAsk, question: Question, left: tuple[float, ...]
) -> list[TrainOption] | ChipRefusal:
    stack = software_of(ask, question, chip)
    try:
        free = not ask.global_batch
        found = train_options_within(job, chip, stack, 3, ask.offload, ask.fit_confidence, assumed_batch=free, left=left)
        if found:
            return found
        counts = counts_for(job, chip)
        largest = train_options(job, chip, counts[-1:], stack, ask.offload, ask.fit_confidence, assumed_batch=free)
    except (OutOfDomain, Infeasible) as error:
        return ChipRefusal(chip.id, error.message)
    if not largest:
        return ChipRefusal(chip.id, f"no layout fits on up to {counts[-1]:,} chips of {format_si(chip.hbm_bytes, 'B')}")
    return ChipRefusal(chip.id, f"{largest[0].days:.0f} days at best on up to {counts[-1]:,} chips")


def train_options_within(
    job: TrainJob, chip: ChipSpec, stack: TrainStack, most: int, offload: bool = False, confidence: float | None = None,
    *, assumed_batch: bool = False, left: tuple[float, ...] = (),
) -> list[TrainOption]:  # fmt: skip
    """Options that meet the deadline of a job: the fewest chips, then more of them, looked for 1.4 times further on each time.

    The fewest that do with each of the times ``left`` [s] are options too: chips that come late must be faster.

    Raises:
        OutOfDomain: the chip lacks the arithmetic.
    """
    assert job.deadline_s is not None

    def sized(count: int) -> tuple[TrainOption, ...]:
        return train_options(job, chip, (count,), stack, offload, confidence, assumed_batch=assumed_batch)

    found: list[TrainOption] = []
    counts = counts_for(job, chip)
    for count in counts:
        if found and count < 1.4 * found[-1].chips:
            continue
        more = [option for option in sized(count) if not found or option.chips > found[-1].chips]  # others leave the rest idle
        found += [option for option in more if option.days * DAY_S <= job.deadline_s]
        if len(found) >= most:
            break
    for seconds in left if found else ():
        faster = _fewest_within(seconds, counts, found, sized)
        found += [] if faster is None else [faster]
    return sorted(found, key=lambda option: option.chips)


def _fewest_within(
    seconds: float, counts: tuple[int, ...], known: list[TrainOption], sized: Callable[[int], tuple[TrainOption, ...]]
) -> TrainOption | None:
    """The fewest chips that do a job in a time; None where a known option has no more, or none does."""
    in_time = min((option.chips for option in known if option.days * DAY_S <= seconds), default=math.inf)
    work = min(option.days * option.chips for option in known)
    tried = {option.chips for option in known}
    for count in counts:
        if count >= in_time:
            return None
        if count in tried or _LEAST_SCALING * work / count * DAY_S > seconds:
            continue
        for option in sized(count):
            if option.days * DAY_S <= seconds and option.chips not in tried:
                return option
    return None


def counts_for(job: TrainJob, chip: ChipSpec) -> tuple[int, ...]:
    """Numbers of chips to look at: whole nodes, from what no run has beaten up to sixteen times that.

    Raises:
        OutOfDomain: the chip lacks the arithmetic.
    """
    assert job.deadline_s is not None
    node = max(chip.node.chips, 1)
    flop = 6.0 * job.model.active_params * job.tokens
    fewest = flop / (chip.peak(job.precision) * _BEST_SHARE_OF_PEAK * job.deadline_s)
    start = 2.0 ** math.floor(math.log2(max(fewest / node, 1.0)))
    ladder = (start * step * 2.0**double for double in range(6) for step in _STEPS_PER_DOUBLING)
    sizes = sorted({round(size) * node for size in ladder if size >= max(fewest / node, 1.0)})
    return tuple(sizes)


def training_demand(sized: SizedTraining) -> Demand:
    """The training as the procurement model takes it."""
    ask = sized.ask
    needs = tuple(
        Need(option.chip, float(option.chips), 1.0, option.days * DAY_S / MONTH_S, f"{option.chips} x {option.chip}")
        for option in sized.options
    )
    due = None if ask.deadline_s is None else max(1.0, ask.deadline_s / MONTH_S)
    return Demand(ask.name, "train", needs, first_month=sized.first_month, due_months=due)


def size_ask(
    ask: ServeAsk, question: Question, world: World, trainings: tuple[SizedTraining, ...], progress: Progress
) -> SizedAsk:
    """A service sized on each kind of chip.

    A service of a model that a training of the same question makes, and that names no first month of its own,
    starts when that training must be done.

    Raises:
        Infeasible: no kind of chip on offer can meet its targets; says why each cannot.
    """
    service = service_spec(ask)
    engines = engines_for(ask, question)
    options: list[SizedService] = []
    refused: list[Refusal] = []
    for chip in _kinds(ask, world):
        progress(f"serve {ask.name} on {chip.name}")
        found = best_sizing(service, chip, engines)
        if isinstance(found, Refusal):
            refused.append(found)
        else:
            options.append(found)
    if not options:
        raise Infeasible(
            f"service {ask.name}: no chip on offer meets its targets with {service.model.name}",
            binding=[f"{refusal.chip}: {refusal.reason}" for refusal in refused],
            nearest=_nearest(refused),
            fix="relax the latency targets, take a smaller model or narrower weights, or other chips",
        )
    owned = {find_chip(held.chip).id for held in question.have}
    options, wasteful = split_wasteful(options, owned)
    refused += wasteful
    first, after = month_index(question.start, ask.start), ""
    if not ask.start:
        for training in trainings:
            if training.job.model.id == service.model.id:
                first, after = _done_month(training), training.ask.name
    return SizedAsk(ask, service, min(first, question.months - 1), after, tuple(options), tuple(refused))


def _kinds(ask: ServeAsk, world: World) -> tuple[ChipSpec, ...]:
    """Kinds of chip that a service may take: those of its pools where it states some, else all that can be had.

    Raises:
        InputError: no kind of its pools can be had.
    """
    if not ask.pools:
        return tuple(world.chips.values())
    named = tuple(dict.fromkeys(find_chip(pool.chip).id for pool in ask.pools))
    kinds = tuple(world.chips[chip] for chip in named if chip in world.chips)
    if not kinds:
        raise InputError(
            f"service {ask.name}: no chip of its pools is on offer or owned: {', '.join(named)}",
            fix="list them under have, add an offer, or leave the pools out",
        )
    return kinds


def best_sizing(service: ServiceSpec, chip: ChipSpec, engines: tuple[ServeStack, ...]) -> SizedService | Refusal:
    """The sizing with the fewest chips over the engines that run on a chip, or the refusal that comes nearest to one."""
    found: list[SizedService] = []
    refused: list[Refusal] = []
    for engine in (engine for engine in engines if runs_on(engine, chip)):
        try:
            answer = size_service(service, chip, engine)
        except OutOfDomain as error:
            answer = Refusal(service.name, chip.id, error.message, (error.message,))
        if isinstance(answer, SizedService):
            found.append(answer)
        else:
            refused.append(answer)
    if found:
        return min(found, key=lambda sized: sized.chips)
    if refused:
        return max(refused, key=lambda refusal: len(refusal.nearest))
    return Refusal(service.name, chip.id, f"no engine of the time runs on {chip.name}", ("engine",))


def split_wasteful(options: list[SizedService], owned: set[str]) -> tuple[list[SizedService], list[Refusal]]:
    """Options worth planning with, and a refusal for each kind that takes many times the chips of the best kind.

    Args:
        options: sizing on each kind of chip.
        owned: kinds that are there already, which stay whatever they take.
    """
    best = min(options, key=lambda option: option.chips)
    kept, refused = [], []
    for option in options:
        times = option.chips / best.chips
        if times <= MOST_TIMES_THE_BEST or option.chip in owned:
            kept.append(option)
            continue
        reason = f"takes {option.chips:,} chips, {times:,.0f} times those of {best.chip}"
        refused.append(
            Refusal(option.service, option.chip, reason, ("chips",), {"chips": float(option.chips)}, option.layouts_evaluated)
        )
    return kept, refused


def _done_month(training: SizedTraining) -> int:
    """First month after a training that takes its whole deadline, or its fastest option where it has none."""
    longest_s = training.ask.deadline_s or min(option.days for option in training.options) * DAY_S
    return training.first_month + max(1, math.ceil(longest_s / MONTH_S - 1e-9))


def _nearest(refused: list[Refusal]) -> dict[str, float]:
    best: dict[str, float] = {}
    for refusal in refused:
        for key, value in refusal.nearest.items():
            best[key] = min(value, best.get(key, math.inf))
    return best


def service_need(service: ServiceSpec, option: SizedService) -> Need:
    """What a service needs on one kind of chip, with the chips of a replica and the share of all that its load fills."""
    exact = service.requests_per_s * service.load.peak_to_mean / option.replica_requests_per_s + option.spare_replicas
    return Need(
        option.chip, float(option.chips), option.utilisation_mean, 0.0, f"{option.replicas} replicas",
        option.chips / option.replicas, min(exact / option.replicas, 1.0),
    )  # fmt: skip


def service_demand(sized: SizedAsk, question: Question) -> Demand:
    """The service as the procurement model takes it.

    Until the slowest order of its start could have arrived (half a year at most) part of it may wait, at the price that the
    question gives, or at one that is above what chips that can be had would cost, in whole servers and with all that is
    paid beside them (:func:`suanzhang.money.procurement.waiting.waiting_price`).

    Args:
        sized: the service.
        question: the question.
    """
    service, months = sized.service, question.months
    growth = 1.0 + service.load.growth_per_month
    first = sized.first_month
    level = tuple(growth ** max(0, month - first) for month in range(months))
    needs = tuple(service_need(service, option) for option in sized.options)
    return Demand(
        service.name, "serve", needs, first_month=max(first, 0), level=level,
        due_month=max(min(first + _MOST_MONTHS_OF_RAMP, months - 1), 0),
        wait_price=sized.ask.waiting_price_per_month or 0.0,
        api_model=service.model.id,
        api_mtokens=service.requests_per_s * service.output_tokens.mean * MONTH_S / 1e6,
        api_input_mtokens=service.requests_per_s * service.input_tokens.mean * MONTH_S / 1e6,
        interactive=service.slo.any,
        work_by_hour=work_by_hour(service.load),
        wait_priced=sized.ask.waiting_price_per_month is not None,
        growth_sigma_per_year=service.load.growth_sigma_per_year,
    )  # fmt: skip
