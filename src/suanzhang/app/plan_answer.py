"""Put the parts of a plan together: trainings, services, chips, power, costs with their intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from suanzhang.app.buy_sites import carbon_by_month
from suanzhang.app.buy_spread import (
    RANGES,
    Drawn,
    Spread,
    main_option,
    option_for,
    physics_factors,
    range_of,
    span,
    spread_bought,
)
from suanzhang.app.header import header
from suanzhang.app.plan_binding import binding_words
from suanzhang.app.plan_flips import find_flips
from suanzhang.app.plan_risks import find_risks
from suanzhang.app.plan_shares import carried, cost_by_demand, held_for
from suanzhang.app.plan_simulated import simulated_latencies
from suanzhang.app.plan_sources import plan_sources
from suanzhang.app.serve_spread import spread_refusal, spread_sized
from suanzhang.app.serve_weak import weak_plan
from suanzhang.app.spread import sum_interval
from suanzhang.app.train_input import busy_words
from suanzhang.app.train_option import as_sized
from suanzhang.app.unit_costs import responses, unit_costs
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.money.figures import figure
from suanzhang.money.power import chip_draw
from suanzhang.money.procurement.calendar import month_name
from suanzhang.spec.buy import BuyResult
from suanzhang.spec.plan import TOKENS, ChipsRow, CostLine, FleetShare, PlanResult, PowerRow, ServicePlan, TrainingPlan
from suanzhang.spec.result import Z95, Interval, Money
from suanzhang.units import J_PER_KWH

if TYPE_CHECKING:
    from suanzhang.app.plan import Sized
    from suanzhang.app.plan_flips import Solve
    from suanzhang.app.plan_sizing import SizedAsk, SizedTraining
    from suanzhang.spec.job import TrainJob
    from suanzhang.spec.question import TrainAsk

_WHOLE = 0.9999
_GRADED = {"tax shield": "tax_shield"}
"""Lines whose grade is that of a figure without a range of its own."""


def assemble(sized: Sized, bought: BuyResult, again: Solve, progress: Callable[[str], None], *, deep: bool) -> PlanResult:
    """The whole answer from the sized question and its schedule."""
    question = sized.question
    costs = cost_by_demand(bought, {demand.name: demand.api_mtokens for demand in sized.demands})
    factors = physics_factors(sized, bought)
    spread = Spread(sized, bought)
    drawn = spread.of(bought)
    lines = _cost_lines(bought, drawn)
    trainings = tuple(_training(one, sized, bought, costs, factors) for one in sized.trainings)
    services = tuple(_service(one, sized, bought, costs, factors) for one in sized.services)
    if deep:
        services = tuple(
            replace(part, simulated=simulated_latencies(one, part, question.seed, progress))
            for one, part in zip(sized.services, services, strict=True)
        )
    charged: dict[str, tuple[Money, Interval | None]] = {part.name: (part.cost, part.cost_interval) for part in trainings}
    charged |= {part.name: (part.cost, part.cost_interval) for part in services}
    ranged = spread_bought(bought, sized, spread)
    left, waiting = (_line(name, sized, bought, drawn) for name in ("value left", "waiting"))
    date = question.start
    found = PlanResult(
        header=header(question.seed),
        title=question.title,
        market=sized.world.market.id,
        site=sized.world.site.id,
        currency=question.currency,
        start=date,
        months=question.months,
        cost=bought.cost,
        cost_interval=span(bought.cost.amount, drawn.cost),
        budget=None if question.budget is None else Money(question.budget, question.currency, date),
        train=trainings,
        serve=services,
        buy=ranged,
        chips=_chips(bought),
        power=_power(sized, bought),
        costs=lines,
        binding=binding_words(bought),
        flips=find_flips(sized, bought, again, progress, spread),
        risks=find_risks(sized, bought, trainings, services, left[1].scaled(-1.0)),
        warnings=_warnings(sized, ranged, deep=deep),
        sources=plan_sources(sized, bought),
        cash=bought.cash,
        cash_interval=span(bought.cash.amount, drawn.cash),
        value_left=left[0].scaled(-1.0),
        value_left_interval=left[1].scaled(-1.0),
        waiting=waiting[0],
        waiting_interval=waiting[1],
        unit_costs=unit_costs(sized, replace(bought, cost_interval=span(bought.cost.amount, drawn.cost)), charged),
    )
    return replace(found, weak_inputs=weak_plan(found, question))


def _line(name: str, sized: Sized, bought: BuyResult, drawn: Drawn) -> tuple[Money, Interval]:
    """A line of the bill, and our uncertainty about it."""
    amount = bought.lines[name].amount if name in bought.lines else 0.0
    return Money(amount, sized.question.currency, sized.question.start), span(amount, drawn.lines[name])


def _price_factor(sized: Sized) -> Interval:
    """Price over the quoted one: the yearly spread of the market over half the plan."""
    sigma = sized.world.market.price_sigma_per_year
    half = Z95 * (sigma.value if sigma else 0.0) * math.sqrt(sized.question.months / 24.0)
    return Interval(math.exp(-half), 1.0, math.exp(half))


def _cost_lines(bought: BuyResult, drawn: Drawn) -> tuple[CostLine, ...]:
    grades: dict[str, str] = {"chips": "", "rent": ""}
    for use in bought.sources:
        for what in use.used_for:
            if what.startswith("price of"):
                grades["chips"] = grades["rent"] = _weaker(grades["chips"], use.grade)
    found = []
    for name, money in bought.lines.items():
        if money.amount == 0.0:
            continue
        key = _GRADED.get(name) or RANGES.get(name)
        grade = grades.get(name) or (figure(key).quoted.grade if key else "assumed")
        found.append(CostLine(name, money, span(money.amount, drawn.lines[name]), grade))
    return tuple(found)


def _weaker(a: str, b: str) -> str:
    from suanzhang.source import GRADES

    order: tuple[str, ...] = GRADES
    return max((a, b), key=lambda grade: order.index(grade) if grade in order else -1)


def _cost_of(name: str, sized: Sized, costs: dict[str, float], factors: dict[str, Interval]) -> tuple[Money, Interval]:
    amount = costs[name]
    known = {"price": _price_factor(sized), f"physics of {name}": factors[name]} if name in factors else {}
    interval = sum_interval([(amount, known)], sized.question.seed)
    return Money(amount, sized.question.currency, sized.question.start), interval


def _training(
    one: SizedTraining, sized: Sized, bought: BuyResult, costs: dict[str, float], factors: dict[str, Interval]
) -> TrainingPlan:
    run = next(run for run in bought.runs if run.demand == one.ask.name)
    option = option_for(one, run)
    cost, interval = _cost_of(one.ask.name, sized, costs, factors)
    others = {other.chip: other for other in reversed(one.options) if other.chip != option.chip}
    return TrainingPlan(
        one.ask.name, one.job.model.id, option, run.start, run.end, cost, interval,
        tuple(sorted(others.values(), key=lambda other: other.chips)), one.refused,
    )  # fmt: skip


def _service(
    one: SizedAsk, sized: Sized, bought: BuyResult, costs: dict[str, float], factors: dict[str, Interval]
) -> ServicePlan:
    question, name = sized.question, one.ask.name
    main = main_option(one, bought)
    wanted = next(demand for demand in sized.demands if demand.name == name)
    served = carried(name, wanted.level, question, bought)
    full = next((m for m in range(wanted.first_month, question.months) if all(s >= _WHOLE for s in served[m:])), None)
    given = responses(one, sized, bought)
    cost, interval = _cost_of(name, sized, costs, factors)
    last = month_name(question.start, question.months - 1)
    fleet = tuple(
        FleetShare(share.chip or TOKENS, round(held_for(bought, share)), share.share)
        for share in bought.shares
        if share.demand == name and share.month == last and share.chip != "waiting"
    )
    each = 1.0 / given if given else 0.0
    draw = chip_draw(find_chip(main.chip))
    site = sized.world.site.pue.value
    mean_w = main.chips * (draw.idle_w + (draw.busy_w - draw.idle_w) * main.utilisation_mean) * site
    ours = 0.0 if fleet and all(share.chip == TOKENS for share in fleet) else 1.0
    energy = ours * mean_w / one.service.requests_per_s
    spread = draw.fleet_w.scaled(1.0 / draw.fleet_w.p50)
    options = {option.chip: spread_sized(option, one.service, find_chip(option.chip)) for option in one.options}
    refused = tuple(spread_refusal(item, find_chip(item.chip)) for item in one.refused)
    shown = options[main.chip]
    use = shown.utilisation_mean_interval
    idle = None if use is None else Interval(1.0 - use.p95, 1.0 - use.p50, 1.0 - use.p05)
    return ServicePlan(
        name, one.service.model.id, fleet, "" if full is None else month_name(question.start, full), tuple(served), shown,
        tuple(options.values()), refused, cost, cost.scaled(each), interval.scaled(each), energy, spread.scaled(energy),
        1.0 - main.utilisation_mean, cost_interval=interval, ttft_s_interval=shown.peak.ttft_s.mean_interval,
        tpot_s_interval=shown.peak.tpot_s.mean_interval, e2e_s_interval=shown.peak.e2e_s.mean_interval,
        idle_fraction_interval=idle,
    )  # fmt: skip


def _chips(bought: BuyResult) -> tuple[ChipsRow, ...]:
    rows = []
    for month in bought.months:
        for how, kinds in (("owned", month.owned), ("rented", month.rented)):
            rows += [ChipsRow(month.month, kind, how, round(count)) for kind, count in sorted(kinds.items()) if count >= 0.5]
    return tuple(rows)


def _power(sized: Sized, bought: BuyResult) -> tuple[PowerRow, ...]:
    site, fleet = sized.world.site, range_of("fleet_draw")
    return tuple(
        PowerRow(
            month.month, month.draw_w, fleet.scaled(month.draw_w), month.peak_w, site.power_limit_w, month.energy_j,
            carbon, fleet.scaled(month.peak_w), fleet.scaled(month.energy_j), fleet.scaled(carbon),
            Money(month.energy_cost, sized.question.currency, sized.question.start), fleet.scaled(month.energy_cost),
            month.energy_cost / (month.energy_j / J_PER_KWH) if month.energy_j > 0.0 else None,
        )
        for month, carbon in zip(bought.months, carbon_by_month(sized.question, sized.world, bought), strict=True)
    )  # fmt: skip


def _as_run(one: SizedTraining, bought: BuyResult) -> TrainJob:
    """The job of a training as the schedule runs it."""
    run = next(run for run in bought.runs if run.demand == one.ask.name)
    return as_sized(one.job, option_for(one, run))


def _batch_lines(trainings: Sequence[tuple[TrainAsk, TrainJob]]) -> list[str]:
    """Which batches are assumed, with one line for all trainings that have the same."""
    alike: dict[str, list[str]] = {}
    for ask, job in trainings:
        if not ask.global_batch:
            why = busy_words(job.model, job.seq_len, job.global_batch)
            words = f"planned with batches of {job.global_batch} sequences of {job.seq_len} tokens{why}"
            alike.setdefault(words, []).append(ask.name)
    return [
        f"training {names[0]} is {words}" if len(names) == 1 else f"trainings {', '.join(names)} are {words}"
        for words, names in alike.items()
    ]


def _warnings(sized: Sized, bought: BuyResult, *, deep: bool) -> tuple[str, ...]:
    lines = [
        f"service {one.ask.name} starts when training {one.after} must be done; give it a start month of its own to change that"
        for one in sized.services
        if one.after
    ]
    lines += [
        f"service {one.ask.name} is planned with the engine of the time that takes the fewest chips "
        f"({', '.join(sorted({option.stack for option in one.options}))})"
        for one in sized.services
        if not one.ask.stack
    ]
    lines += _batch_lines([(one.ask, _as_run(one, bought)) for one in sized.trainings])
    if not deep:
        lines.append(
            "sized by formulas, for one future in which prices and dates are as expected; `buy` plans the same demands and "
            "offers over many, in which rents follow prices and orders cannot, and may order otherwise; --deep does so here"
        )
    return (*lines, *bought.warnings)
