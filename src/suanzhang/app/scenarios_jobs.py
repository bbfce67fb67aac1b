"""Scenarios of trainings and services: what the physics says a job takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from suanzhang.app.plan_asks import engines_of
from suanzhang.app.plan_sizing import best_sizing, counts_for, train_options_within
from suanzhang.app.scenario_draws import spread_of
from suanzhang.app.scenario_inputs import Inputs, dated
from suanzhang.app.scenario_owning import rent_draws, rent_per_chip_h
from suanzhang.app.scenarios import Answer, scenario
from suanzhang.app.serve_futures import COMMON_SHARE
from suanzhang.app.spread import inverse, serving_interval
from suanzhang.app.train import train_options
from suanzhang.app.train_asked import with_overlap
from suanzhang.app.train_input import default_precision, sizes_of
from suanzhang.app.train_model import estimate_train
from suanzhang.app.train_option import stack_for
from suanzhang.app.train_spread import Errors, against, errors_of
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.markets import market as find_market
from suanzhang.catalog.models import model as find_model
from suanzhang.errors import Infeasible
from suanzhang.money.procurement.calendar import month_name
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.draws import Floats, standard_normal, two_piece_lognormal
from suanzhang.spec.job import LoadSpec, ServiceSpec, SloSpec, TrainJob
from suanzhang.spec.serve import Refusal, SizedService
from suanzhang.spec.stack import TrainStack
from suanzhang.spec.train import TrainOption
from suanzhang.units import DAY_S, HOUR_S, MONTH_S, format_count, format_figure

_MONTHS_TO_ENGINE = 6
"""A service is not built on the day of the statement: engines of half a year later may run it, as in a plan of a year."""


def _job(
    inputs: Inputs, chip: ChipSpec, precision_key: str = "precision", fleet: Sequence[tuple[ChipSpec, int]] = ()
) -> TrainJob:
    """The training of a claim; the global batch that it leaves out is the usual one, for the fleet where one is given."""
    model = find_model(inputs.text("model"))
    seq = inputs.whole("seq_len", min(model.max_seq, 8192))
    precision = inputs.text(precision_key, default_precision(chip))
    _, batch = sizes_of(model, seq, inputs.whole("global_batch") if inputs.has("global_batch") else 0, fleet)
    tokens = inputs.number("tokens", "count", 300e9)
    return TrainJob("claim", model, tokens, seq, batch, precision, start=dated(inputs))


def _size_training(inputs: Inputs, chip: ChipSpec) -> TrainOption:
    """The fewest chips that meet the deadline."""
    job = replace(_job(inputs, chip), deadline_s=inputs.number("deadline", "time"))
    options = train_options_within(job, chip, stack_for(job, "", chip), 1, assumed_batch=not inputs.has("global_batch"))
    if not options:
        counts = counts_for(job, chip)
        raise Infeasible(
            f"{inputs.where}: no layout of {job.model.name} on up to {counts[-1]:,} {chip.name} meets the deadline",
            binding=[f"deadline: {(job.deadline_s or 0.0) / DAY_S:.0f} days"], fix="allow more time",
        )  # fmt: skip
    return options[0]


@scenario("train-size")
def train_size(inputs: Inputs) -> Answer:
    """Fewest chips that train a model by a deadline: inputs model, tokens, chip, deadline; answers chips, days."""
    chip = find_chip(inputs.text("chip"))
    option = _size_training(inputs, chip)
    factors = option.days_interval.scaled(1.0 / option.days)
    return {
        "chips": option.chips,
        "chips_interval": factors.scaled(option.chips),
        "days": option.days,
        "days_interval": option.days_interval,
        "mfu": option.mfu,
        "mfu_interval": option.mfu_interval,
        "energy_j": option.energy_j,
        "energy_j_interval": option.energy_j_interval,
        "explanation": f"{format_count(option.chips)} {chip.name} take {option.days:.0f} days at {option.mfu:.0%} of peak.",
    }


@scenario("compare-training")
def compare_training(inputs: Inputs) -> Answer:
    """The same training on two kinds of chip: inputs model, chips, chip, other, price_ratio, precision, other_precision;
    answers time_ratio (other over chip), cost_ratio, days and days_other."""
    chip, other = find_chip(inputs.text("chip")), find_chip(inputs.text("other"))
    count = inputs.whole("chips")
    fleet = [(chip, count), (other, count)]
    job, other_job = _job(inputs, chip, fleet=fleet), _job(inputs, other, "other_precision", fleet)
    stack = stack_for(job, "", chip)
    first = _best(train_options(job, chip, (count,), stack), chip, count, inputs)
    second = _best(train_options(other_job, other, (count,), stack), other, count, inputs)
    ratio = second.days / first.days
    price = inputs.number("price_ratio", "count", 1.0)
    drawn = _errors(other_job, other, stack, second), _errors(job, chip, stack, first)
    ratios = ratio * against(drawn[0], drawn[1], layouts=False).draws() / drawn[1].draws()
    return {
        "time_ratio": ratio,
        "time_ratio_interval": spread_of(ratio, ratios),
        "cost_ratio": ratio * price,
        "cost_ratio_interval": spread_of(ratio * price, ratios * price),
        "days": first.days,
        "days_interval": first.days_interval,
        "days_other": second.days,
        "days_other_interval": second.days_interval,
        "explanation": (
            f"{format_count(count)} {chip.name} take {first.days:.1f} days, as many {other.name} {second.days:.1f}, "
            "each in its best layout."
        ),
    }


def _errors(job: TrainJob, chip: ChipSpec, stack: TrainStack, option: TrainOption) -> Errors:
    """Causes of error of the step of an option: those that two options share cancel in their ratio."""
    return errors_of(job, chip, stack, option.layout, estimate_train(job, chip, option.layout, stack))


def _best(options: tuple[TrainOption, ...], chip: ChipSpec, count: int, inputs: Inputs) -> TrainOption:
    if not options:
        raise Infeasible(
            f"{inputs.where}: no layout fits {format_count(count)} {chip.name}",
            binding=["memory or divisors"],
            fix="take another number of chips",
        )
    return options[0]


@scenario("serve-size")
def serve_size(inputs: Inputs) -> Answer:
    """Chips for a service: inputs model, chip, visits_per_day, responses_per_visit, input_tokens, output_tokens, peak_to_mean,
    ttft_p99, tpot_p99, redundancy, weight_dtype; answers chips (peak, targets, spares), chips_mean, chips_mean_no_slo."""
    sized = _size_service(inputs)
    fewer = inverse(serving_interval(sized, find_chip(sized.chip), service=_service(inputs)))
    answer: Answer = {"utilisation_mean": sized.utilisation_mean, "energy_j_per_response": sized.energy_j_per_response}
    for name in ("chips", "chips_mean", "chips_mean_no_slo"):
        answer[name] = getattr(sized, name)
        answer[f"{name}_interval"] = fewer.scaled(float(getattr(sized, name)))
    answer["explanation"] = (
        f"At the mean load without latency limit {format_count(sized.chips_mean_no_slo)} chips, within the limits "
        f"{format_count(sized.chips_mean)}, at peak with spares {format_count(sized.chips)} "
        f"(tp={sized.layout.tp}, pp={sized.layout.pp}, {sized.weight_dtype}, {sized.stack})."
    )
    return answer


def _service(inputs: Inputs) -> ServiceSpec:
    peak = inputs.number("peak_to_mean", "count", 1.0)
    visits = inputs.number("visits_per_day") * inputs.number("responses_per_visit", "count", 1.0)
    return ServiceSpec(
        "claim", find_model(inputs.text("model")),
        visits / DAY_S, inputs.length("input_tokens"), inputs.length("output_tokens"),
        LoadSpec("diurnal" if peak > 1.0 else "flat", peak),
        SloSpec(ttft_p99_s=inputs.optional("ttft_p99", "time"), tpot_p99_s=inputs.optional("tpot_p99", "time")),
        inputs.redundancy("redundancy"), inputs.text("weight_dtype", ""), inputs.text("kv_dtype", ""),
    )  # fmt: skip


def _size_service(inputs: Inputs) -> SizedService:
    chip = find_chip(inputs.text("chip"))
    found = best_sizing(_service(inputs), chip, engines_of(month_name(dated(inputs), _MONTHS_TO_ENGINE)))
    if isinstance(found, Refusal):
        raise Infeasible(
            f"{inputs.where}: {found.reason}", binding=found.binding, nearest=found.nearest, fix="relax the targets"
        )
    return found


@scenario("train-and-serve")
def train_and_serve(inputs: Inputs) -> Answer:
    """Chips to train a model by a deadline and serve the mean load: inputs of train-size and serve-size; answers chips."""
    chip = find_chip(inputs.text("chip"))
    training, sized = _size_training(inputs, chip), _size_service(inputs)
    chips = training.chips + sized.chips_mean
    slower = two_piece_lognormal(training.days_interval.scaled(1.0 / training.days), standard_normal("step time"))
    drawn = training.chips * slower + sized.chips_mean * _fewer(sized, inputs)
    return {
        "chips": chips,
        "chips_interval": spread_of(chips, drawn),
        "explanation": f"{format_count(training.chips)} train and {format_count(sized.chips_mean)} serve the mean load.",
    }


@scenario("response-cost")
def response_cost(inputs: Inputs) -> Answer:
    """Cost of one response on rented chips: inputs of serve-size, market, currency; answers cost_per_response."""
    sized = _size_service(inputs)
    currency = inputs.text("currency")
    rent = rent_per_chip_h(find_market(inputs.text("market")), sized.chip, currency)
    per_s = inputs.number("visits_per_day") * inputs.number("responses_per_visit", "count", 1.0) / DAY_S
    cost = sized.chips * rent / HOUR_S / per_s
    rents = rent_draws(find_market(inputs.text("market")), sized.chip)
    return {
        "cost_per_response": cost,
        "cost_per_response_interval": spread_of(cost, cost * rents * _fewer(sized, inputs)),
        "energy_j_per_response": sized.energy_j_per_response,
        "explanation": f"{format_count(sized.chips)} chips at {rent:.1f} {currency} per hour, paid day and night.",
    }


@scenario("precision-saving")
def precision_saving(inputs: Inputs) -> Answer:
    """Chips that narrower weights save: inputs of serve-size with weight_dtype; answers saving_fraction."""
    narrow = _size_service(inputs)
    full = _size_service(Inputs({key: value for key, value in inputs.given.items() if key != "weight_dtype"}, inputs.where))
    words = [f"{format_count(sized.chips)} chips in {sized.weight_dtype}" for sized in (full, narrow)]
    saving = 1.0 - narrow.chips / full.chips
    drawn = 1.0 - (1.0 - saving) * _fewer(narrow, inputs, narrow.weight_dtype) / _fewer(full, inputs, full.weight_dtype)
    return {
        "saving_fraction": saving,
        "saving_fraction_interval": spread_of(saving, drawn),
        "explanation": ", ".join(words) + ".",
    }


def _fewer(sized: SizedService, inputs: Inputs, own: str = "") -> Floats:
    """Chips that a service truly takes over the predicted ones, drawn.

    Args:
        sized: the service.
        inputs: what was sized.
        own: what is left of the error when two ways to serve one model on one chip are compared; empty for one alone.
    """
    factors = inverse(serving_interval(sized, find_chip(sized.chip), service=_service(inputs)))
    z = standard_normal("serving capacity")
    if own:
        z = math.sqrt(COMMON_SHARE) * z + math.sqrt(1.0 - COMMON_SHARE) * standard_normal(f"serving {own}")
    return two_piece_lognormal(factors, z)


@scenario("portfolio")
def portfolio(inputs: Inputs) -> Answer:
    """Trainings that fit a year or a budget: inputs model, tokens, chip, chips_per_run, and runs with months, or budget
    with market, and stack and overlap (as in ``suanzhang train``); answers days_per_run, chip_hours_per_run, chips_busy or
    runs_affordable."""
    chip, count = find_chip(inputs.text("chip")), inputs.whole("chips_per_run")
    job = _job(inputs, chip, fleet=[(chip, count)])
    stack = with_overlap(stack_for(job, inputs.text("stack", ""), chip), inputs.text("overlap", ""))
    run = _best(train_options(job, chip, (count,), stack), chip, count, inputs)
    hours = run.days * DAY_S / HOUR_S * count
    factors = run.days_interval.scaled(1.0 / run.days)
    answer: Answer = {
        "days_per_run": run.days,
        "days_per_run_interval": run.days_interval,
        "chip_hours_per_run": hours,
        "chip_hours_per_run_interval": factors.scaled(hours),
    }
    if inputs.has("budget"):
        market = find_market(inputs.text("market"))
        cost = hours * rent_per_chip_h(market, chip.id, market.currency)
        runs = inputs.number("budget") / cost
        paid = rent_draws(market, chip.id) * two_piece_lognormal(factors, standard_normal("step time"))
        answer["runs_affordable"] = runs
        answer["runs_affordable_interval"] = spread_of(runs, runs / paid)
        price = format_figure(cost, market.currency)
        answer["explanation"] = f"One run takes {run.days:.0f} days on {format_count(count)} chips and {price} of rent."
        return answer
    busy = inputs.number("runs") * run.days * DAY_S / (inputs.number("months") * MONTH_S) * count
    answer["chips_busy"] = busy
    answer["chips_busy_interval"] = factors.scaled(busy)
    answer["explanation"] = f"One run takes {run.days:.0f} days on {format_count(count)} chips."
    return answer
