"""The verb ``plan``: one question with trainings, services, a market, a site and a budget; one answer to all of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from suanzhang.app.buy import RiskOptions, plan_purchases
from suanzhang.app.buy_sites import moving_of, placed_sites
from suanzhang.app.plan_answer import assemble
from suanzhang.app.plan_asks import World, month_index, resolve_world
from suanzhang.app.plan_early import with_early_starts
from suanzhang.app.plan_replicas import with_whole_replicas
from suanzhang.app.plan_sizing import (
    SizedAsk,
    SizedTraining,
    service_demand,
    size_ask,
    size_training,
    training_demand,
)
from suanzhang.app.question import read_question
from suanzhang.app.spread import inverse, serving_interval
from suanzhang.app.watching import watched
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.errors import InputError, SolverError
from suanzhang.money.figures import instead
from suanzhang.money.procurement.form import SERVER_LINES
from suanzhang.money.procurement.watch import Watch
from suanzhang.spec.buy import BuyResult, Demand, Holding
from suanzhang.spec.plan import PlanResult
from suanzhang.spec.question import Question
from suanzhang.spec.result import Interval

DEEP_SCENARIOS = 50
WHAT_IF_GAP = 5e-3
"""A what-if is read to three digits at most: half a percent is enough, and a dozen of them must not make a user wait."""


@dataclass(frozen=True, slots=True)
class Sized:
    """A question resolved and sized, before anything is bought."""

    question: Question
    world: World
    trainings: tuple[SizedTraining, ...]
    services: tuple[SizedAsk, ...]
    demands: tuple[Demand, ...]


def plan(question: Question | str | Path, *, deep: bool = False, progress: Callable[[str], None] | None = None) -> PlanResult:
    """Plan everything that a question asks.

    Args:
        question: a question, or a file or text that holds one.
        deep: simulate the services event by event and solve over many futures, instead of analytically as expected.
        progress: called with a line for each step.

    Returns:
        Trainings, services, purchases, power, costs, what binds, what would change the answer, risks and sources.

    Raises:
        InputError: the question cannot be used.
        Infeasible: no plan exists; names what binds and the nearest feasible limits.
        Interrupted: Ctrl-C came before there was a plan; later it gives the best plan so far, with its bound and gap.
    """
    asked = question if isinstance(question, Question) else read_question(question)
    tell = progress or (lambda _: None)
    with instead(dict(asked.costs)):
        sized = size_question(asked, tell)
        tell("schedule purchases")
        with watched(progress) as (watch, stop):
            bought = schedule(sized, deep=deep or asked.deep, watch=watch, progress=tell)
            if bought.scenarios == 1:
                sized, bought = refined(
                    sized, bought, lambda other: schedule(other, deep=False, watch=watch, progress=tell), watch.stop
                )
            bought = replace(bought, interrupted=stop.early)
            aside = Watch(watch.clock, watch.stop)

            def again(change: Sized, gap: float = WHAT_IF_GAP) -> BuyResult:
                try:
                    found = None if aside.stop() else schedule(change, deep=False, risk=RiskOptions(gap=gap), watch=aside)
                except SolverError:
                    if not aside.stop():
                        raise
                    found = None
                if found is None or aside.stop():
                    raise SolverError("stopped", fix="let it run longer")
                return found

            return assemble(sized, bought, again, tell, deep=deep or asked.deep)


def size_question(question: Question, progress: Callable[[str], None]) -> Sized:
    """Resolve the names of a question and size its trainings and services on every kind of chip on offer.

    Raises:
        InputError: it asks for nothing, or a name cannot be used.
        Infeasible: a training or service fits no chip on offer.
    """
    if not question.train and not question.serve:
        raise InputError("the question asks for no training and no service", fix="add an entry under train or serve")
    names = [ask.name for ask in question.train] + [ask.name for ask in question.serve]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two entries are named {name!r}", fix="give each training and service its own name")
    world = resolve_world(question)
    trainings = tuple(size_training(ask, question, world, progress) for ask in question.train)
    services = tuple(size_ask(ask, question, world, trainings, progress) for ask in question.serve)
    demands = tuple(training_demand(one) for one in trainings) + tuple(service_demand(one, question) for one in services)
    return Sized(question, world, trainings, services, demands)


def refined(
    sized: Sized, found: BuyResult, solve: Callable[[Sized], BuyResult], stop: Callable[[], bool]
) -> tuple[Sized, BuyResult]:
    """A plan for one future without what its proportions hide: slivers of replicas, and runs that wait for nothing."""
    sized, found = with_whole_replicas(sized, found, solve, stop)
    return sized, with_early_starts(sized, found, solve, stop)


def physics_spreads(sized: Sized) -> dict[tuple[str, str], Interval]:
    """By demand and chip: the time (of a training) or the chips (of a service) that it truly takes over the predicted."""
    found: dict[tuple[str, str], Interval] = {}
    for training in sized.trainings:
        for option in training.options:
            found[training.ask.name, option.chip] = option.days_interval.scaled(1.0 / option.days)
    for service in sized.services:
        for carried in service.options:
            spread = serving_interval(carried, find_chip(carried.chip), service=service.service)
            found[service.ask.name, carried.chip] = inverse(spread)
    return found


def schedule(
    sized: Sized,
    *,
    deep: bool,
    risk: RiskOptions | None = None,
    watch: Watch | None = None,
    progress: Callable[[str], None] | None = None,
) -> BuyResult:
    """The cheapest purchases and rents for sized demands; over many futures when ``deep``, or as ``risk`` says."""
    question, world = sized.question, sized.world
    usual = (
        RiskOptions(DEEP_SCENARIOS, question.seed, cvar_weight=0.1, values=True, gap=5e-3) if deep else RiskOptions(gap=1e-3)
    )
    found = plan_purchases(
        sized.demands, world.market, world.site, budget=question.budget, months=question.months, start=question.start,
        currency=question.currency, have=_holdings(question), risk=risk or usual, watch=watch, progress=progress,
        budget_by_month=question.budget_by_month, sites=placed_sites(question, world), moving=moving_of(question),
    )  # fmt: skip
    return replace(found, warnings=(*found.warnings, *_line_notes(found)))


def _line_notes(found: BuyResult) -> tuple[str, ...]:
    """What a line of the total that looks odd is made of."""
    paid_back = [name for name in SERVER_LINES if name in found.lines and found.lines[name].amount < 0.0]
    if not paid_back:
        return ()
    return (f"an income under {', '.join(paid_back)}: what is sold with a chip is credited to the line that pays for it",)


def _holdings(question: Question) -> tuple[Holding, ...]:
    held = []
    for have in question.have:
        until = month_index(question.start, have.until) + 1 if have.until else None
        since = max(month_index(question.start, have.since), 0)
        own = have.kind == "own"
        held.append(Holding(find_chip(have.chip).id, float(have.chips), until, own, from_month=since, site=have.site))
    return tuple(held)
