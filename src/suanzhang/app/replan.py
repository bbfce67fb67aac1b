"""Plan again on the way: what an earlier plan has done by a month becomes the start of the next one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from suanzhang.app.plan_asks import month_index, resolve_world
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.errors import InputError
from suanzhang.money.procurement.calendar import month_name
from suanzhang.spec.question import Holding, Question, ServeAsk, SiteAsk, TrainAsk
from suanzhang.units import MONTH_S

_IN_USE = "in use from "
_CONTRACTS = ("lease", "reserve")


@dataclass(slots=True)
class _Lot:
    """Chips of one's own: how many, where, from when."""

    chip: str
    site: str
    chips: float
    since: str


def later_question(
    question: Question, earlier: str | Path | Mapping[str, Any], month: str, paid: float | None = None
) -> tuple[Question, tuple[str, ...]]:
    """The question as it stands in a later month when an earlier plan has been followed until then.

    Model:
        Chips bought and not sold are owned, those on order come in their month, contracts run to their ends, works that
        are built or being built raise power and room, trainings that have ended are left out and one that runs goes on
        with the tokens that are left, services go on from the month in which they began, and what was paid is off the budget.
        Prices and stocks are those of the market or of the quotes given today.

    Args:
        question: as it was asked first, with the quotes of today.
        earlier: the earlier answer of ``buy`` or ``plan`` as JSON, or its path.
        month: first month that is still open.
        paid: cash really paid until then; as planned when None.

    Returns:
        The question of the later month, and lines that a reader must know.

    Raises:
        InputError: the file holds no purchase plan, or the month is not inside it.
    """
    plan, month = _read(earlier), month_name(month, 0)
    k = month_index(question.start, month)
    if not 0 < k < question.months or plan["months"][0]["month"] != question.start:
        last = month_name(question.start, question.months - 1)
        raise InputError(
            f"replan: {month} is not after the start of the plan ({question.start} to {last})",
            fix="give the question and the answer of the same plan, and a month inside it",
        )
    done = [row for row in plan["schedule"] if row["month"] < month]
    spent = sum(float(state["cash"]) for state in plan["months"] if state["month"] < month) if paid is None else paid
    runs = {run["demand"]: run for run in plan["runs"]}
    trainings = tuple(one for ask in question.train if (one := _training(ask, runs.get(ask.name), question, month)))
    changed = replace(
        question,
        start=month,
        months=question.months - k,
        train=trainings,
        serve=tuple(_service(ask, plan, question) for ask in question.serve),
        have=(*_owned(question, done), *_contracts(question, done, month)),
        budget=None if question.budget is None else max(question.budget - spent, 0.0),
        budget_by_month=tuple(max(limit - spent, 0.0) for limit in question.budget_by_month[k:]),
        site=_site(question.site, done, question, month),
        sites=tuple(_site(site, done, question, month) for site in question.sites),
    )
    if not changed.train and not changed.serve:
        raise InputError(f"replan: nothing is left to do from {month} on", fix="give an earlier month")
    notes = [
        f"planned again from {month}: {spent:,.0f} {question.currency} paid before; prices are those of the market and of the "
        "quotes given, none has moved since"
    ]
    owed = sum(
        float(row["cost"]["amount"]) for row in plan["schedule"] if row["action"] == "instalment" and row["month"] >= month
    )
    if owed > 0.0:
        notes.append(
            f"instalments of {owed:,.0f} {question.currency} for leases signed before {month} come on top of this plan"
        )
    return changed, tuple(notes)


def _read(earlier: str | Path | Mapping[str, Any]) -> Mapping[str, Any]:
    body: Any = earlier
    if not isinstance(earlier, Mapping):
        try:
            body = json.loads(Path(earlier).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(
                f"replan: {earlier} cannot be read as JSON ({type(error).__name__})", fix="give --json output"
            ) from None
    found = body.get("buy", body) if isinstance(body, Mapping) else None
    if not isinstance(found, Mapping) or any(key not in found for key in ("schedule", "months", "runs")) or not found["months"]:
        raise InputError("replan: the file holds no purchase plan", fix="give the --json output of buy or plan")
    return found


def _since(row: Mapping[str, Any]) -> str:
    note = str(row["note"])
    return note.rpartition(_IN_USE)[2][:7] if _IN_USE in note else str(row["month"])


def _take(lots: list[_Lot], chip: str, site: str, chips: float) -> None:
    """Take chips away, those that have stood longest first."""
    for lot in sorted((lot for lot in lots if (lot.chip, lot.site) == (chip, site)), key=lambda lot: lot.since):
        taken = min(lot.chips, chips)
        lot.chips -= taken
        chips -= taken


def _owned(question: Question, done: list[Mapping[str, Any]]) -> tuple[Holding, ...]:
    first = question.site.id if question.sites else ""
    lots = [
        _Lot(find_chip(one.chip).id, one.site or first, float(one.chips), one.since)
        for one in question.have
        if one.kind == "own"
    ]
    for row in done:
        chip, chips, site = str(row["chip"]), float(row["chips"]), str(row.get("site", ""))
        if row["action"] == "buy":
            lots.append(_Lot(chip, site, chips, _since(row)))
        elif row["action"] in ("resell", "retire"):
            _take(lots, chip, site, chips)
        elif row["action"] == "move":
            begin, _, end = str(row["offer"]).partition(" to ")
            _take(lots, chip, begin, chips)
            lots.append(_Lot(chip, end, chips, _since(row)))
    kept = [lot for lot in lots if round(lot.chips) > 0]
    return tuple(Holding(lot.chip, round(lot.chips), "own", lot.since, site=lot.site) for lot in kept)


def _contracts(question: Question, done: list[Mapping[str, Any]], month: str) -> tuple[Holding, ...]:
    kept = [one for one in question.have if one.kind != "own" and (not one.until or one.until >= month)]
    terms = {offer.id: offer.term_months for offer in resolve_world(question).market.offers}
    for row in done:
        if row["action"] in _CONTRACTS:
            since = _since(row)
            until = month_name(since, max(terms.get(str(row["offer"]), 1), 1) - 1)
            if until >= month:
                kept.append(Holding(str(row["chip"]), round(float(row["chips"])), row["action"], since, until))
    return tuple(kept)


def _training(ask: TrainAsk, run: Mapping[str, Any] | None, question: Question, month: str) -> TrainAsk | None:
    """The training from a month on; None when it has ended."""
    asked = ask.start or question.start
    gone = max(month_index(asked, month), 0)
    left = None if ask.deadline_s is None else max(ask.deadline_s - gone * MONTH_S, 0.01 * MONTH_S)
    if run is None or str(run["start"]) >= month:
        return replace(ask, start=max(asked, month), deadline_s=left)
    share = 1.0 - month_index(str(run["start"]), month) / float(run["months"])
    return None if share <= 1e-9 else replace(ask, start=month, tokens=ask.tokens * share, deadline_s=left)


def _service(ask: ServeAsk, plan: Mapping[str, Any], question: Question) -> ServeAsk:
    """The service with the month in which it began: what it has grown to, and when it must stand, follow from that."""
    shares = [str(share["month"]) for share in plan["shares"] if share["demand"] == ask.name]
    return replace(ask, start=ask.start or min(shares, default=question.start))


def _site(ask: SiteAsk, done: list[Mapping[str, Any]], question: Question, month: str) -> SiteAsk:
    """A site from a month on: limits by month begin there, and works ordered before belong to them."""
    k, months = month_index(question.start, month), question.months - month_index(question.start, month)
    power = ask.power_by_month or (() if ask.power_limit_w is None else (ask.power_limit_w,))

    def later(values: tuple[float, ...]) -> list[float]:
        return [values[min(k + t, len(values) - 1)] for t in range(months)] if values else []

    watts, racks, works = later(power), later(ask.racks), []
    for one in ask.works:
        built = 0
        for row in done:
            if row["action"] == "build" and row["offer"] == one.id:
                count = math.floor(float(str(row["note"]).split(" x")[0]) + 0.5)
                ready = max(month_index(month, _since(row)), 0)
                built += count
                watts[ready:] = [value + count * one.power_w for value in watts[ready:]]
                racks[ready:] = [value + count * one.racks for value in racks[ready:]]
        if built < one.most:
            works.append(replace(one, most=one.most - built))
    return replace(
        ask, power_by_month=tuple(watts) if len(set(watts)) > 1 or ask.power_by_month else (),
        power_limit_w=watts[0] if watts and len(set(watts)) == 1 and not ask.power_by_month else None,
        racks=tuple(racks), works=tuple(works),
    )  # fmt: skip
