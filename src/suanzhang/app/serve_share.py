"""Several services and trainings on one fleet of one kind of chip: what sharing saves."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from suanzhang.app.header import header
from suanzhang.app.serve_futures import DRAWS, span, whole_span
from suanzhang.app.serve_improve_today import Today, asked_of, today_of
from suanzhang.app.serve_share_models import beside, one_base
from suanzhang.app.serve_weak import market_rents, weak_ways
from suanzhang.app.train import train_options
from suanzhang.app.train_ask import job_of, software_of
from suanzhang.catalog.models import model as find_model
from suanzhang.errors import InputError, PlannerError
from suanzhang.sim.arrivals import Traffic, rate_table
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.draws import Floats
from suanzhang.spec.question import Question, TrainAsk
from suanzhang.spec.serve_share import AloneService, ShareResult, SharingWay
from suanzhang.units import DAY_S, HOUR_S

SWITCH_S = 1800.0
"""From serving to training and back in a night, loading and saving included [assumed]."""
HOURS = 24
NIGHT = "training at night"


def serve_share(
    question: Question | str | Path,
    *,
    chip: str = "",
    lora_rank: int = 16,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> ShareResult:
    """What is saved when the services of a question share one fleet, and its trainings run on it at night.

    Services of one model count as fine-tunes of it and share replicas as adapters; a service that is small beside another
    joins its chips; trainings take the replicas that the night leaves idle.

    Args:
        question: a question, or a file or text that holds one.
        chip: kind of chip for all; that which carries the largest service at the least rent when left out.
        lora_rank: rank of the adapters.
        seed: of the simulated requests; that of the question when 0.
        progress: called with a line for each step.

    Raises:
        InputError: the question asks for no service, or the rank is not positive.
        Infeasible: a service cannot be carried alone.
    """
    started, tell = time.perf_counter(), progress or (lambda _: None)
    asked = asked_of(question)
    if not asked.serve:
        raise InputError("the question asks for no service", fix="add an entry under serve")
    if lora_rank < 1:
        raise InputError(f"lora_rank: {lora_rank} is not positive", fix="give for example 16")
    heaviest = max(asked.serve, key=lambda ask: ask.requests_per_s * find_model(ask.model).active_params)
    first = today_of(asked, heaviest.name, chip, seed, tell)
    kind = first.first.way.chip
    days = [first if ask is heaviest else today_of(asked, ask.name, kind.id, seed, tell) for ask in asked.serve]
    ways: list[SharingWay] = []
    groups: dict[str, list[Today]] = {}
    for today in days:
        groups.setdefault(today.first.way.model.id, []).append(today)
    tell("share chips between models")
    ways += [one_base(members, lora_rank) for members in groups.values() if len(members) > 1]
    leads = [max(members, key=lambda today: today.first.chips) for members in groups.values()]
    leads.sort(key=lambda today: -today.first.chips)
    ways += [beside(leads[0], small) for small in leads[1:]]
    tell("train at night")
    ways += [_night(ask, days, asked) for ask in asked.train]
    spans = [_Spans.of(way, days, kind) for way in ways]
    pairs = sorted(zip(ways, spans, strict=True), key=lambda pair: -pair[0].saved_chips)
    ways, spans = [one.on(way) for way, one in pairs], [one for _, one in pairs]
    good = [way for way in ways if way.saved_chips > 0 and way.meets_targets]
    serving = sum(today.first.chips for today in days)
    training = sum(way.chips_apart - way.chips_shared for way in ways if way.name == NIGHT)
    saved = sum(way.saved_chips for way in good)
    priced = first.judge.priced({kind.id: 1})
    apart_drawn = sum((today.judge.futures.chips(today.first) for today in days), np.full(DRAWS, float(training)))
    saved_drawn = sum((one.saved for way, one in zip(ways, spans, strict=True) if way in good), np.zeros(DRAWS))
    money = first.judge.cost({kind.id: saved})
    return ShareResult(
        header=header(seed or asked.seed), chip=kind.id, alone=tuple(_alone(today) for today in days), ways=tuple(ways),
        chips_apart=serving + training, chips_shared=serving + training - saved, saved_chips=saved,
        saved_per_month=first.judge.money(money) if priced else None,
        requests_simulated=sum(today.judge.simulated for today in days), wall_s=time.perf_counter() - started,
        warnings=_warnings(ways), chips_apart_interval=whole_span(serving + training, apart_drawn),
        chips_shared_interval=whole_span(serving + training - saved, apart_drawn - saved_drawn),
        saved_chips_interval=whole_span(saved, saved_drawn),
        saved_per_month_interval=span(money, saved_drawn * _rent(first, kind)) if priced else None,
        weak_inputs=weak_ways((pool for today in days for pool in today.first.pools), first.judge.service, market_rents(first)),
    )  # fmt: skip


def _rent(today: Today, kind: ChipSpec) -> Floats:
    """Drawn rent of a chip and month."""
    return today.judge.cost({kind.id: 1}) * today.judge.futures.rent(kind)


@dataclass(frozen=True, slots=True)
class _Spans:
    """Drawn chips of one way to share: on chips of their own, together, and what that saves; with the rent of a chip."""

    apart: Floats
    shared: Floats
    rent: Floats

    @classmethod
    def of(cls, way: SharingWay, days: list[Today], kind: ChipSpec) -> _Spans:
        """The draws of a way: a training at night has what the services leave, the others what both sides would need."""
        rent = _rent(days[0], kind)
        if way.name == NIGHT:
            replaced = np.minimum(_idle_draws(days), float(way.chips_apart))
            return cls(replaced, np.zeros(DRAWS), rent)
        members = [today for today in days if today.ask.name in way.members]
        apart = sum((today.judge.futures.chips(today.first) for today in members), np.zeros(DRAWS))
        if way.saved_chips == 0 and way.chips_shared == way.chips_apart:
            return cls(apart, apart, rent)
        host = max(members, key=lambda today: today.first.chips)
        return cls(apart, _shared_draws(way, host), rent)

    @property
    def saved(self) -> Floats:
        """Chips that sharing saves."""
        return self.apart - self.shared

    def on(self, way: SharingWay) -> SharingWay:
        """The way with its intervals."""
        money = way.saved_per_month
        return replace(
            way,
            chips_apart_interval=whole_span(way.chips_apart, self.apart),
            chips_shared_interval=whole_span(way.chips_shared, self.shared),
            saved_chips_interval=whole_span(way.saved_chips, self.saved),
            saved_per_month_interval=None if money is None else span(money.amount, self.saved * self.rent),
        )


def _capacity(today: Today) -> Floats:
    """Measured over predicted capacity of a replica of a service as it stands alone, drawn."""
    return today.judge.futures.capacity(today.first.way, today.first.deployment.requests_per_s_per_replica)


def _shared_draws(way: SharingWay, host: Today) -> Floats:
    """Chips that the shared replicas would truly take; the load is taken half a replica below what they carry."""
    size = host.first.way.layout.chips
    total = max(way.chips_shared // size, 1)
    carrying = next((count for count in range(total, 0, -1) if host.judge.with_spares(count) <= total), 1)
    needed = np.maximum(np.ceil((carrying - 0.5) / _capacity(host) - 1e-9), 1.0)
    return np.asarray(host.judge.futures.spared(needed) * size)


def _idle_draws(days: list[Today]) -> Floats:
    """Chips of their own that the chips idle at night truly replace: the replicas stand, what they carry is drawn."""
    start, length, _ = _window(idle_by_hour(days))
    least = np.full(DRAWS, np.inf)
    for hour in ((start + offset) % HOURS for offset in range(length)):
        free = np.zeros(DRAWS)
        for today in days:
            one = today.first.deployment.requests_per_s_per_replica * _capacity(today)
            needed = today.judge.futures.spared(np.maximum(np.ceil(_busiest(today, hour) / one - 1e-9), 1.0))
            free += np.maximum(today.first.deployment.replicas - needed, 0.0) * today.first.way.layout.chips
        least = np.minimum(least, free)
    hours = max(length - 2.0 * SWITCH_S / HOUR_S, 0.0)
    return np.asarray(np.floor(np.where(np.isfinite(least), least, 0.0) * hours / HOURS))


def _busiest(today: Today, hour: int) -> float:
    """Highest rate of a service within an hour of the day."""
    service = today.judge.service
    rates = rate_table(Traffic(service.requests_per_s, service.input_tokens, service.output_tokens, service.load))
    each = len(rates) // HOURS
    return float(rates[hour * each : (hour + 1) * each].max())


def _alone(today: Today) -> AloneService:
    made = today.judge.futures.spread(today.first)
    return AloneService(
        today.ask.name, today.first.way.model.id, today.first.chips, made.replicas, made.words, made.rent_per_month,
        made.chips_interval, made.replicas_interval, made.rent_per_month_interval,
    )  # fmt: skip


def idle_by_hour(days: list[Today]) -> list[int]:
    """Chips that no service needs in each hour of the day, spares left in place."""
    free = [0] * HOURS
    for today in days:
        made, way = today.first.deployment, today.first.way
        for hour in range(HOURS):
            needed = today.judge.with_spares(max(math.ceil(_busiest(today, hour) / made.requests_per_s_per_replica - 1e-9), 1))
            free[hour] += max(made.replicas - needed, 0) * way.layout.chips
    return free


def _window(free: list[int]) -> tuple[int, int, int]:
    """The hours that give most chip-hours after switching: their start, their length, the chips free in all of them."""
    best = (0.0, 0, 0, 0)
    for start in range(HOURS):
        least = free[start]
        for length in range(1, HOURS + 1):
            least = min(least, free[(start + length - 1) % HOURS])
            gain = least * max(length - 2.0 * SWITCH_S / HOUR_S, 0.0)
            if gain > best[0]:
                best = (gain, start, length, least)
    return best[1], best[2], best[3]


def _night(ask: TrainAsk, days: list[Today], asked: Question) -> SharingWay:
    """A training on the chips that the services leave idle at night, against chips of its own at the same pace."""
    name, kind = NIGHT, days[0].first.way.chip
    start, length, least = _window(idle_by_hour(days))
    job = job_of(ask, asked, kind)
    model, stack = job.model, software_of(ask, asked, kind)
    counts = [2**k for k in range(3, 15) if 2**k <= least]
    cannot = SharingWay(name, "not possible", (ask.name,), 0, 0, 0, None, False, f"the night leaves {least} chips idle")
    try:
        options = [
            option
            for count in counts[::-1]
            for option in train_options(
                job, kind, (count,), stack, ask.offload, ask.fit_confidence, assumed_batch=not ask.global_batch
            )
        ][:1]
    except PlannerError as error:
        return replace(cannot, note=error.message)
    if not options:
        return replace(cannot, note=f"no layout of {model.name} fits {least} idle chips")
    option = options[0]
    hours = length - 2.0 * SWITCH_S / HOUR_S
    nights = option.days * DAY_S / HOUR_S / hours
    replaced = math.floor(option.chips * hours / HOURS)
    judge = days[0].judge
    money = judge.money(judge.cost({kind.id: replaced})) if judge.priced({kind.id: 1}) else None
    until = (start + length) % HOURS
    late = ask.deadline_s is not None and nights * DAY_S > ask.deadline_s
    note = f"{option.chips} chips from {start:02d}:00 to {until:02d}:00, done after {nights:,.0f} nights"
    if late:
        note += f", beyond the deadline of {ask.deadline_s / DAY_S:,.0f} days" if ask.deadline_s else ""
    words = f"{model.name} on {option.chips} of the {least} chips that are idle"
    return SharingWay(name, words, (ask.name,), replaced, 0, replaced, money, not late, note)


def _warnings(ways: list[SharingWay]) -> tuple[str, ...]:
    found = []
    if any(way.name == NIGHT for way in ways):
        found.append(f"{SWITCH_S / 60.0:.0f} minutes each for the change to training and back [assumed]")
    if any(way.name == "beside a larger model" for way in ways):
        found.append("two models on one chip are taken to share its time; whether an engine isolates them well is not modelled")
    return tuple(found)
