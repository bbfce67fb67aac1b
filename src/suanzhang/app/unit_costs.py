"""The unit costs of a plan: each job's part of the one total over its chip-hours, useful FLOP, tokens and answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from suanzhang.app.buy_spread import option_for
from suanzhang.app.plan_shares import carried, chip_months
from suanzhang.app.train_input import default_precision
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.money.procurement.calendar import HOURS_PER_MONTH
from suanzhang.spec.buy import BuyResult
from suanzhang.spec.result import Interval, Money
from suanzhang.spec.unit_costs import UnitCosts
from suanzhang.units import MONTH_S

if TYPE_CHECKING:
    from suanzhang.app.plan import Sized
    from suanzhang.app.plan_sizing import SizedAsk, SizedTraining

EXA = 1e18
MILLION = 1e6
ALL = "all"
Charged = Mapping[str, tuple[Money, Interval | None]]
"""By job: its part of the cost, and our uncertainty about it."""


def unit_costs(sized: Sized, bought: BuyResult, charged: Charged) -> tuple[UnitCosts, ...]:
    """Unit costs of every training and service, and of the whole plan as the last one.

    Args:
        sized: the question.
        bought: its schedule.
        charged: what each job is charged of the cost; the parts sum to it.
    """
    hours = {name: sum(kinds.values()) * HOURS_PER_MONTH for name, kinds in chip_months(bought).items()}
    found = []
    for training in sized.trainings:
        name = training.ask.name
        cost, interval = charged[name]
        base = UnitCosts(name, "train", training.ask.team, cost, hours.get(name, 0.0), cost_interval=interval)
        found.append(priced(replace(base, useful_flop=useful_flop(training, bought), tokens=training.ask.tokens)))
    for service in sized.services:
        name = service.ask.name
        cost, interval = charged[name]
        base = UnitCosts(name, "serve", service.ask.team, cost, hours.get(name, 0.0), cost_interval=interval)
        answers = responses(service, sized, bought)
        found.append(priced(replace(base, responses=answers, tokens=answers * service.service.output_tokens.mean)))
    whole = UnitCosts(ALL, "", "", bought.cost, sum(hours.values()), cost_interval=bought.cost_interval)
    return (*found, priced(whole))


def priced(one: UnitCosts) -> UnitCosts:
    """The unit costs of a job from its cost and its quantities; a unit errs by as large a share as the cost does."""

    def per(quantity: float) -> tuple[Money | None, Interval | None]:
        if quantity <= 0.0:
            return None, None
        span = one.cost_interval.scaled(1.0 / quantity) if one.cost_interval else None
        return one.cost.scaled(1.0 / quantity), span

    hour, flop, token, answer = (
        per(quantity) for quantity in (one.chip_hours, one.useful_flop / EXA, one.tokens / MILLION, one.responses)
    )
    return replace(
        one, per_chip_h=hour[0], per_chip_h_interval=hour[1], per_useful_eflop=flop[0], per_useful_eflop_interval=flop[1],
        per_mtoken=token[0], per_mtoken_interval=token[1], per_response=answer[0], per_response_interval=answer[1],
    )  # fmt: skip


def useful_flop(one: SizedTraining, bought: BuyResult) -> float:
    """Model FLOP of a whole training: what its MFU counts, over all its steps."""
    run = next((run for run in bought.runs if run.demand == one.ask.name), None)
    option = one.options[0] if run is None else option_for(one, run)
    chip = find_chip(option.chip)
    peak = chip.peak(one.ask.precision or default_precision(chip))
    steps = one.ask.tokens / ((option.global_batch or one.job.global_batch) * one.job.seq_len)
    return option.mfu * peak * option.chips * option.step_s * steps


def responses(one: SizedAsk, sized: Sized, bought: BuyResult) -> float:
    """Answers given within the plan: what waits is not answered."""
    level = next(demand for demand in sized.demands if demand.name == one.ask.name).level
    served = carried(one.ask.name, level, sized.question, bought)
    each = one.service.requests_per_s * MONTH_S
    return sum(each * size * share for size, share in zip(level, served, strict=True))


def charging(sized: Sized) -> tuple[dict[str, float], dict[str, str]]:
    """By job: the million tokens that it would buy a month, and the team that is charged for it."""
    mtokens = {demand.name: demand.api_mtokens for demand in sized.demands}
    teams = {ask.name: ask.team for ask in sized.question.train}
    return mtokens, teams | {ask.name: ask.team for ask in sized.question.serve}


def with_unit_costs(bought: BuyResult, sized: Sized) -> BuyResult:
    """A schedule that is charged back, with the unit costs of its jobs."""
    parts = {one.demand: (one.cost, one.cost_interval) for one in bought.charge_back}
    return replace(bought, unit_costs=unit_costs(sized, bought, parts))
