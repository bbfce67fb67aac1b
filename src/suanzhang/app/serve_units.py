"""Unit economics of a service: cost and energy of a response by the hour, idle capacity by reason, and what would save."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from suanzhang.app.header import header
from suanzhang.app.serve_estimate import estimate_serve
from suanzhang.app.serve_futures import span, whole_span
from suanzhang.app.serve_improve_data import lever_facts
from suanzhang.app.serve_improve_judge import Deployed, cheapest
from suanzhang.app.serve_improve_today import Today, today_of
from suanzhang.app.serve_size_way import Prepared, latencies, misses, prepare, run_at
from suanzhang.app.serve_spread import Off, around, off_of, percentiles_around, use_interval
from suanzhang.app.serve_weak import market_rents, weak_ways
from suanzhang.errors import InputError
from suanzhang.sim.arrivals import Traffic, rate_table
from suanzhang.sim.fleet import simulate_fleet
from suanzhang.sim.operations import Autoscaler
from suanzhang.spec.draws import Floats
from suanzhang.spec.question import Question
from suanzhang.spec.result import Interval, Money
from suanzhang.spec.serve import OpenLoop, Percentiles
from suanzhang.spec.serve_units import HourCost, IdlePart, UnitSaving, UnitsResult
from suanzhang.units import DAY_S, MONTH_S

HOURS = 24
PEAK, NIGHT = 0.8, 0.4
"""Hours of at least the first share of the peak rate are the peak tier, those below the second the night tier."""
FLEET = 8
"""Replicas of the scaled-down fleet on which the release of idle replicas is simulated over a day."""
COLD_START_S = 180.0
"""From the decision to start a replica until it serves, loading its weights [assumed]."""
SCALE_AT = (0.75, 0.5, 0.33)
"""Requests in a replica, over those at its peak, above which one more is started; the first that meets the targets."""
FORMATS = ("fp8", "int4")
KWH_J = 3.6e6


@dataclass(frozen=True, slots=True)
class _Running:
    """The deployment of today with what its hours are computed from."""

    today: Today
    ready: Prepared
    replicas: int
    carrying: int
    chips: int


def serve_units(
    question: Question | str | Path,
    name: str = "",
    *,
    chip: str = "",
    deferrable: float = 0.3,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> UnitsResult:
    """What one response costs by the hour of the day, what the chips are held for, and what would cost less.

    Args:
        question: a question, or a file or text that holds one.
        name: which of its services; may be left out where there is one.
        chip: kind of chip; the cheapest of the market when left out.
        deferrable: share of the requests that may wait for the night.
        seed: of the simulated requests; that of the question when 0.
        progress: called with a line for each step.

    Raises:
        InputError: the question cannot be used, or the share is no fraction.
        Infeasible: no chip meets the targets.
    """
    started, tell = time.perf_counter(), progress or (lambda _: None)
    if not 0.0 <= deferrable < 1.0:
        raise InputError(f"deferrable: {deferrable:g} is no fraction below 1", fix="give for example 0.3")
    today = today_of(question, name, chip, seed, tell)
    first, judge = today.first, today.judge
    ready = prepare(first.way, judge.demand.input, judge.demand.output)
    carrying = max(math.ceil(judge.peak / first.deployment.requests_per_s_per_replica - 1e-9), 1)
    run = _Running(today, ready, first.deployment.replicas, carrying, first.chips)
    tell("simulate the hours of the day")
    hours = _hours(run)
    top = max(hour.requests_per_s for hour in hours)
    groups = {
        "peak": [hour for hour in hours if hour.requests_per_s >= PEAK * top],
        "middle": [hour for hour in hours if NIGHT * top <= hour.requests_per_s < PEAK * top],
        "night": [hour for hour in hours if hour.requests_per_s < NIGHT * top],
    }
    tiers = tuple(_mean(tier, members, run) for tier, members in groups.items() if members)
    tell("simulate what would save")
    savings, followed = _savings(run, deferrable)
    return UnitsResult(
        header=header(seed or today.asked.seed), service=today.ask.name, model=first.way.model.id, chip=first.way.chip.id,
        deployment=judge.futures.spread(first), hours=tuple(hours), tiers=tiers, day=_mean("day", hours, run), idle=_idle(run),
        savings=savings, requests_simulated=judge.simulated + followed, wall_s=time.perf_counter() - started,
        warnings=_warnings(run, deferrable), weak_inputs=weak_ways(first.pools, judge.service, market_rents(today)),
    )  # fmt: skip


def _hours(run: _Running) -> list[HourCost]:
    service = run.today.judge.service
    rates = rate_table(Traffic(service.requests_per_s, service.input_tokens, service.output_tokens, service.load))
    each = len(rates) // HOURS
    return [_hour(f"{hour:02d}:00", float(rates[hour * each : (hour + 1) * each].mean()), run) for hour in range(HOURS)]


def _around_hour(hour: HourCost, run: _Running, off: Off, requests: float, batch: float) -> HourCost:
    """The hour with its intervals: of one replica at its load, and of the rent of the chips that would be needed."""
    first = run.today.first
    late = percentiles_around(Percentiles.constant(hour.ttft_p99_s), off.ttft, requests, batch)
    pace = percentiles_around(Percentiles.constant(hour.tpot_p99_s), off.tpot, requests, batch)
    cost = _ratio_span(run.today.judge.futures.cost(first), first.cost)
    energy = hour.energy_cost_per_response
    return replace(
        hour,
        utilisation_interval=use_interval(hour.utilisation, off.capacity),
        ttft_p99_s_interval=late.p99_interval,
        tpot_p99_s_interval=pace.p99_interval,
        energy_j_per_response_interval=around(hour.energy_j_per_response, off.draw),
        energy_cost_per_response_interval=around(energy.amount, off.draw) if energy else None,
        cost_per_response_interval=cost.scaled(hour.cost_per_response.amount) if hour.cost_per_response else None,
        cost_per_mtoken_interval=cost.scaled(hour.cost_per_mtoken.amount) if hour.cost_per_mtoken else None,
    )


def _ratio_span(draws: Floats, value: float) -> Interval:
    """Drawn values over what is predicted."""
    return span(1.0, draws / value)


def _hour(name: str, rate: float, run: _Running) -> HourCost:
    """One hour at a steady rate over all replicas that are kept."""
    judge, way = run.today.judge, run.today.first.way
    service = judge.service
    share = max(rate / run.replicas, 1e-6)
    found = run_at(run.ready, judge.demand, share)
    judge.simulated += found.requests
    ttft, tpot, _ = latencies(found, run.ready)
    work = OpenLoop(share, service.input_tokens, service.output_tokens)
    steady = estimate_serve(way.model, way.chip, way.layout, way.stack, way.weight_dtype, way.kv_dtype, work)
    joule = steady.power_w_per_chip * run.chips / max(rate, 1e-9)
    use = rate / (run.replicas * run.today.first.deployment.requests_per_s_per_replica)
    costed = _costed(HourCost(name, 1.0, rate, use, ttft.p99, tpot.p99, joule, None, None, None), run)
    off = off_of(steady, work, way.model, way.chip)
    return _around_hour(costed, run, off, float(found.requests), found.batch_mean)


def _costed(hour: HourCost, run: _Running) -> HourCost:
    """The hour with its money: rent of all chips, and their energy at the tariff of the site."""
    judge, site = run.today.judge, run.today.world.site
    per_response = run.today.first.cost / MONTH_S / max(hour.requests_per_s, 1e-9)
    priced = run.today.first.deployment.rent_per_month is not None
    energy = hour.energy_j_per_response * site.pue.value / KWH_J * site.tariff_per_kwh.value
    token = per_response / judge.service.output_tokens.mean * 1e6
    return replace(
        hour,
        energy_cost_per_response=judge.money(energy),
        cost_per_response=judge.money(per_response) if priced else None,
        cost_per_mtoken=judge.money(token) if priced else None,
    )


def _mean(name: str, hours: Sequence[HourCost], run: _Running) -> HourCost:
    """Hours together: means over responses, the worst latency among them."""
    rate = sum(hour.requests_per_s for hour in hours) / len(hours)
    joule = sum(hour.energy_j_per_response * hour.requests_per_s for hour in hours) / (rate * len(hours))
    use = sum(hour.utilisation for hour in hours) / len(hours)
    ttft, tpot = max(hour.ttft_p99_s for hour in hours), max(hour.tpot_p99_s for hour in hours)
    costed = _costed(HourCost(name, float(len(hours)), rate, use, ttft, tpot, joule, None, None, None), run)
    slowest, latest = max(hours, key=lambda hour: hour.tpot_p99_s), max(hours, key=lambda hour: hour.ttft_p99_s)
    top, idlest = max(hours, key=lambda hour: hour.requests_per_s), min(hours, key=lambda hour: hour.utilisation)
    spans = replace(
        costed,
        ttft_p99_s_interval=latest.ttft_p99_s_interval,
        tpot_p99_s_interval=slowest.tpot_p99_s_interval,
        utilisation_interval=_like(use, idlest.utilisation, idlest.utilisation_interval),
        energy_j_per_response_interval=_like(joule, top.energy_j_per_response, top.energy_j_per_response_interval),
    )
    money = ("energy_cost_per_response", "cost_per_response", "cost_per_mtoken")
    changes: dict[str, Any] = {}
    for field in money:
        own, other = getattr(costed, field), getattr(top, field)
        if own is not None:
            changes[f"{field}_interval"] = _like(own.amount, other.amount, getattr(top, f"{field}_interval"))
    return replace(spans, **changes)


def _like(value: float, other: float, interval: Interval | None) -> Interval | None:
    """The interval of a value that errs by as large a share as another does."""
    return interval.scaled(value / other) if interval is not None and other else None


def _idle(run: _Running) -> tuple[IdlePart, ...]:
    """All chips by what they are held for, each reason on top of those before it."""
    judge, first, way = run.today.judge, run.today.first, run.today.first.way
    one, mean = first.deployment.requests_per_s_per_replica, judge.service.requests_per_s
    capacity = max(run.ready.estimate.capacity_requests_per_s, one)
    drawn = judge.futures.capacity(way, one)
    levels = [mean / capacity, mean / one, judge.peak / one]
    counts = [max(math.ceil(level - 1e-9), 1) for level in levels] + [run.replicas]
    truly = [np.maximum(np.ceil(level / drawn - 1e-9), 1.0) for level in levels]
    truly.append(judge.futures.spared(truly[-1]))
    names = ("mean load", "latency targets", "peak of the day", "spares")
    parts, before, drawn_before = [], 0, np.zeros(len(drawn))
    priced = first.deployment.rent_per_month is not None
    rent = judge.futures.rent(way.chip)
    for reason, count, each in zip(names, counts, truly, strict=True):
        held, moved = (count - before) * way.layout.chips, (each - drawn_before) * way.layout.chips
        before, drawn_before = count, each
        amount = first.cost * held / run.chips
        parts.append(
            IdlePart(
                reason, held, held / run.chips, judge.money(amount) if priced else None, whole_span(held, moved),
                span(held / run.chips, moved / (truly[-1] * way.layout.chips)),
                span(amount, first.cost / run.chips * moved * rent) if priced else None,
            )
        )  # fmt: skip
    return tuple(parts)


def _savings(run: _Running, deferrable: float) -> tuple[tuple[UnitSaving, ...], int]:
    judge, first = run.today.judge, run.today.first
    priced = first.deployment.rent_per_month is not None

    def money(saving: float) -> Money | None:
        return judge.money(saving * first.cost) if priced else None

    found, followed = [], 0
    if judge.peak > judge.service.requests_per_s:
        released, followed = _released(run)
        found.append(_with_money(released, run, money(released.saving_fraction), _released_draws(run, released)))
        needed = max((1.0 - deferrable) * judge.peak, judge.service.requests_per_s)
        saving = 1.0 - judge.with_spares(
            max(math.ceil(needed / first.deployment.requests_per_s_per_replica - 1e-9), 1)
        ) / run.replicas  # fmt: skip
        words = f"{deferrable:.0%} of the requests wait for hours below the mean; the others keep their targets"
        one = first.deployment.requests_per_s_per_replica
        drawn = one * judge.futures.capacity(first.way, one)
        fewer, all_of = (judge.futures.spared(np.maximum(np.ceil(load / drawn - 1e-9), 1.0)) for load in (needed, judge.peak))
        found.append(_with_money(UnitSaving("batch", words, saving, None), run, money(saving), 1.0 - fewer / all_of))
    for dtype in FORMATS:
        way = replace(first.way, weight_dtype=dtype)
        narrow = cheapest(
            [judge.deploy(item) for item in (way, *(replace(way, layout=layout) for layout in judge.layouts(way)))]
        )
        if isinstance(narrow, Deployed):
            saving = 1.0 - narrow.cost / first.cost
            words = f"weights in {dtype}: {', '.join(narrow.deployment.chips)}"
            quality = lever_facts()[dtype].quality
            shown = judge.futures.spread(narrow).ttft_s
            made = UnitSaving(dtype, words, saving, None, shown.p99, True, quality, ttft_p99_s_interval=shown.p99_interval)
            found.append(_with_money(made, run, money(saving), judge.futures.saving(narrow, first)))
    return tuple(sorted(found, key=lambda item: -item.saving_fraction)), followed


def _with_money(made: UnitSaving, run: _Running, money: Money | None, drawn: Floats) -> UnitSaving:
    """A saving in money, with the intervals of both."""
    cost = run.today.judge.futures.cost(run.today.first)
    return replace(
        made, saving_per_month=money, saving_fraction_interval=span(made.saving_fraction, drawn),
        saving_per_month_interval=None if money is None else span(money.amount, drawn * cost),
    )  # fmt: skip


def _released_draws(run: _Running, made: UnitSaving) -> Floats:
    """What giving back saves, were the capacity as far off as it may be: what is kept on follows the load."""
    first, futures = run.today.first, run.today.judge.futures
    one = first.deployment.requests_per_s_per_replica
    drawn = futures.capacity(first.way, one)
    steps = np.maximum(np.ceil(run.carrying / drawn - 1e-9), 1.0) / (run.carrying / drawn)
    return np.asarray(1.0 - (1.0 - made.saving_fraction) / steps)


def _released(run: _Running) -> tuple[UnitSaving, int]:
    """Replicas given back when they idle: a whole day of a small fleet of the same load per replica, simulated."""
    judge, service = run.today.judge, run.today.judge.service
    replicas = min(FLEET, run.carrying)
    rate = service.requests_per_s * replicas / run.carrying
    traffic = Traffic(rate, service.input_tokens, service.output_tokens, service.load)
    batch = run_at(run.ready, judge.demand, judge.peak / run.carrying).batch_mean
    followed = 0
    for load in SCALE_AT:
        scaler = Autoscaler(max(1, replicas // 4), max(load * batch, 1.0), 60.0, COLD_START_S)
        day = simulate_fleet(
            traffic, round(rate * DAY_S), run.ready.table, run.ready.settings, replicas, router="least-loaded",
            seed=judge.seed, scaler=scaler,
        )  # fmt: skip
        followed += day.requests
        found = latencies(day, run.ready)
        fine = not misses(*found, service.slo) and not day.overloaded
        if fine:
            break
    saving = 1.0 - day.replica_on_s / (replicas * DAY_S)
    off = judge.futures.off(run.today.first.way, judge.peak / run.carrying)
    late = percentiles_around(found[0], off.ttft, float(day.requests), batch)
    words = (
        f"replicas follow the load at {load:.0%} of a full batch, {COLD_START_S:g} s cold start; {replicas} simulated for a day"
    )
    made = UnitSaving("off-peak release", words, saving, None, found[0].p99, fine, ttft_p99_s_interval=late.p99_interval)
    return made, followed


def _warnings(run: _Running, deferrable: float) -> tuple[str, ...]:
    found = [f"{deferrable:.0%} of the requests are taken to wait for the night where asked; give --deferrable"]
    if run.today.first.deployment.rent_per_month is None:
        found.append("no rent of the chip is known: no cost per response")
    else:
        found.append("rent usually includes energy: the cost of energy is shown beside it, not added")
    return tuple(found)
