"""The verbs ``train`` and ``serve`` asked by a question file: one entry of it, on the chips that it names or can have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

import suanzhang
from suanzhang.app.buy import usable_offers
from suanzhang.app.plan_asks import World, resolve_world
from suanzhang.app.plan_sizing import SizedTraining, size_ask, size_training
from suanzhang.app.question import read_question
from suanzhang.app.serve_verb import serve_service
from suanzhang.app.train_fits import FIT_CONFIDENCE
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.stacks import serve_stack
from suanzhang.errors import Infeasible, InputError, unknown_name
from suanzhang.spec.question import Question, TrainAsk
from suanzhang.spec.serve import ServeResult
from suanzhang.spec.train import TrainOption, TrainResult
from suanzhang.spec.train_mixed import MixedResult
from suanzhang.units import DAY_S

Progress = Callable[[str], None]
_RENTED = ("rent", "reserve")


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Ask = TypeVar("_Ask", bound=_Named)


def train_question(
    question: Question | str | Path, name: str = "", *, chips: str = "", seed: int = 0, progress: Progress | None = None
) -> TrainResult | MixedResult:
    """Plan one training of a question file.

    Args:
        question: a question, or a file or text that holds one.
        name: which of its trainings; may be left out where there is one.
        chips: ``CHIP:N`` to train on, or pools ``CHIP:N+CHIP:N`` of one job; when left out, the cheapest way to meet the
            deadline on the chips of the market.
        seed: printed in the header; that of the question when 0.
        progress: called with a line for each step.

    Raises:
        InputError: the question cannot be used, or has no such training.
        Infeasible: no layout fits, or no chip of the market meets the deadline.
    """
    asked = question if isinstance(question, Question) else read_question(question)
    ask = named_ask(asked.train, name, "training", "train")
    if ask.method != "full":
        raise InputError(f"train.{ask.name}: {ask.method} is not planned alone", fix="use `suanzhang plan` with this question")
    if "+" in chips:
        return _over_pools(ask, asked, chips, seed)
    world = resolve_world(asked)
    price: float | None = None
    if not chips:
        sized = size_training(ask, asked, world, progress or (lambda _: None))
        option, price = _cheapest_training(sized, world, asked.currency)
        chips = f"{option.chip}:{option.chips}"
    elif ":" in chips:
        price = rent_per_chip_h(world, asked.currency, find_chip(chips.rpartition(":")[0]).id) if "," not in chips else None
    answered: TrainResult = suanzhang.train(
        ask.model, ask.tokens, chips, global_batch=ask.global_batch, seq_len=ask.seq_len, precision=ask.precision,
        stack=ask.stack, optimizer=ask.optimizer, deadline_s=ask.deadline_s, price_per_chip_h=price,
        currency=asked.currency, start=ask.start or asked.start, seed=seed or asked.seed, overlap=ask.overlap,
        routing=ask.routing, offload=ask.offload,
        fit_confidence=FIT_CONFIDENCE if ask.fit_confidence is None else ask.fit_confidence,
    )  # fmt: skip
    return answered


def _over_pools(ask: TrainAsk, asked: Question, chips: str, seed: int) -> MixedResult:
    """One training over pools of unlike chips, within its deadline."""
    if ask.offload:
        raise InputError(f"train.{ask.name}: offload is not planned over pools", fix="leave it out, or give one kind of chips")
    found: MixedResult = suanzhang.train_mixed(
        ask.model, ask.tokens, chips, global_batch=ask.global_batch, seq_len=ask.seq_len, precision=ask.precision,
        stack=ask.stack, optimizer=ask.optimizer, start=ask.start or asked.start, overlap=ask.overlap, routing=ask.routing,
        seed=seed or asked.seed, fit_confidence=FIT_CONFIDENCE if ask.fit_confidence is None else ask.fit_confidence,
    )  # fmt: skip
    if ask.deadline_s is not None and found.best.days * DAY_S > ask.deadline_s:
        raise Infeasible(
            f"training {ask.name}: the pools take {found.best.days:.1f} days at best",
            binding=[f"deadline: {ask.deadline_s / DAY_S:.1f} days"],
            nearest={"days": found.best.days},
            fix="allow a longer deadline, or more chips",
        )
    return found


def serve_question(
    question: Question | str | Path,
    name: str = "",
    *,
    chip: str = "",
    simulated_requests: int = 20_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> ServeResult:
    """Plan one service of a question file, at its start, within its latency targets and with its spares.

    Args:
        question: a question, or a file or text that holds one.
        name: which of its services; may be left out where there is one.
        chip: kind of chip; when left out, the one of the market that carries the service at the least rent.
        simulated_requests: requests followed by the event simulation; 0 for formulas alone.
        seed: of everything random; that of the question when 0.
        progress: called with a line for each step.

    Raises:
        InputError: the question cannot be used, or has no such service.
        Infeasible: no chip can meet its targets.
    """
    asked = question if isinstance(question, Question) else read_question(question)
    ask = named_ask(asked.serve, name, "service", "serve")
    world = resolve_world(asked)
    if chip:
        kind = find_chip(chip)
        world, ask = replace(world, chips={kind.id: kind}), replace(ask, pools=())
    tell = progress or (lambda _: None)
    sized = size_ask(ask, asked, world, (), tell)
    rents = {option.chip: rent_per_chip_h(world, asked.currency, option.chip) for option in sized.options}
    known = [option for option in sized.options if rents[option.chip] is not None] or list(sized.options)
    best = min(known, key=lambda option: option.chips * (rents[option.chip] or 1.0))
    tell(f"simulate {ask.name} on {best.chip}")
    return serve_service(
        sized.service, find_chip(best.chip), serve_stack(best.stack), best,
        simulated_requests=simulated_requests, seed=seed or asked.seed,
    )  # fmt: skip


def named_ask(asks: Sequence[_Ask], name: str, what: str, key: str) -> _Ask:
    """The entry of that name, or the only one.

    Raises:
        InputError: there is none, or several and none is named.
        CatalogError: no entry has that name.
    """
    if not asks:
        raise InputError(f"the question asks for no {what}", fix=f"add an entry under {key}")
    names = [ask.name for ask in asks]
    if not name:
        if len(asks) > 1:
            raise InputError(f"the question asks for {len(asks)} {what}s: {', '.join(names)}", fix="name one with --name")
        return asks[0]
    found = next((ask for ask in asks if ask.name == name), None)
    if found is None:
        raise unknown_name(what, name, names)
    return found


def rent_per_chip_h(world: World, currency: str, chip: str) -> float | None:
    """Lowest rent of a chip for an hour on the market; None where it is not let."""
    offers, _ = usable_offers(world.market, currency)
    return min((offer.price.value for offer in offers if offer.chip == chip and offer.kind in _RENTED), default=None)


def _cheapest_training(sized: SizedTraining, world: World, currency: str) -> tuple[TrainOption, float | None]:
    """The option with the least rent, or the fewest chip-days where nothing is let, and the rent of its chip-hour."""
    rents = {option.chip: rent_per_chip_h(world, currency, option.chip) for option in sized.options}
    known = [option for option in sized.options if rents[option.chip] is not None] or list(sized.options)
    best = min(known, key=lambda option: option.chips * option.days * (rents[option.chip] or 1.0))
    return best, rents[best.chip]
