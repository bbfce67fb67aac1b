"""What would change the answer: the plan solved again under one change of the question at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from suanzhang.app.spread import inverse, serving_interval
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.errors import Infeasible
from suanzhang.spec.buy import BuyResult, Demand
from suanzhang.spec.market import LeadTime, Offer
from suanzhang.spec.plan import Flip
from suanzhang.spec.result import Money

if TYPE_CHECKING:
    from suanzhang.app.plan import Sized

_PRICE_STEP = 0.25
_RENT_CUT = 0.4
_DELAY_MONTHS = 3.0
_RENTED = ("rent", "reserve", "lease", "spot")


def find_flips(sized: Sized, bought: BuyResult, again: Callable[[Sized], BuyResult]) -> tuple[Flip, ...]:
    """One row for each change: cost, chips at the end, and the chips that come or go."""
    changes: list[tuple[str, Sized]] = [
        (f"chips cost {_PRICE_STEP:.0%} more", _offers(sized, lambda offer: _priced(offer, ("buy",), 1.0 + _PRICE_STEP))),
        (f"chips cost {_PRICE_STEP:.0%} less", _offers(sized, lambda offer: _priced(offer, ("buy",), 1.0 - _PRICE_STEP))),
        (f"rents fall by {_RENT_CUT:.0%}", _offers(sized, lambda offer: _priced(offer, _RENTED, 1.0 - _RENT_CUT))),
        (f"orders arrive {_DELAY_MONTHS:.0f} months later", _offers(sized, _later)),
    ]
    if sized.services:
        changes += [
            ("services run as slowly as our interval allows (95 of 100)", _slower(sized)),
            ("no latency limits", _without_limits(sized)),
        ]
    if sized.question.budget is not None:
        half = replace(sized.question, budget=0.5 * sized.question.budget)
        changes.append(("half the budget", replace(sized, question=half)))
    return tuple(_flip(change, changed, bought, again) for change, changed in changes)


def _flip(change: str, changed: Sized, bought: BuyResult, again: Callable[[Sized], BuyResult]) -> Flip:
    try:
        other = again(changed)
    except Infeasible as failure:
        return Flip(change, None, None, None, f"no plan exists: {failure.binding[0] if failure.binding else failure.message}")
    before, after = _final_chips(bought), _final_chips(other)
    parts = [f"{chip} joins" for chip in after if chip not in before] + [f"{chip} goes" for chip in before if chip not in after]
    parts += [
        f"{chip} {after[chip] - before[chip]:+,.0f}"
        for chip in after
        if chip in before and round(after[chip]) != round(before[chip])
    ]
    relative = (other.cost.amount - bought.cost.amount) / abs(bought.cost.amount) if bought.cost.amount else None
    return Flip(
        change, Money(other.cost.amount, other.cost.currency, other.cost.date), relative,
        round(sum(after.values()) - sum(before.values())), ", ".join(parts) or "the same chips",
    )  # fmt: skip


def _final_chips(bought: BuyResult) -> dict[str, float]:
    """Chips by kind in the month with the most of them, over the last three months."""
    best: dict[str, float] = {}
    for month in bought.months[-3:]:
        chips: dict[str, float] = dict(month.owned)
        for chip, count in month.rented.items():
            chips[chip] = chips.get(chip, 0.0) + count
        if sum(chips.values()) >= sum(best.values()):
            best = {chip: count for chip, count in chips.items() if count >= 0.5}
    return best


def _offers(sized: Sized, change: Callable[[Offer], Offer]) -> Sized:
    market = sized.world.market
    changed = replace(market, offers=tuple(change(offer) for offer in market.offers))
    return replace(sized, world=replace(sized.world, market=changed))


def _priced(offer: Offer, kinds: tuple[str, ...], factor: float) -> Offer:
    if offer.kind not in kinds:
        return offer
    return replace(offer, price=replace(offer.price, value=offer.price.value * factor))


def _later(offer: Offer) -> Offer:
    lead = offer.lead
    if offer.kind in ("rent", "spot", "api"):
        return offer
    delayed = LeadTime(lead.median_months + _DELAY_MONTHS, lead.p90_months + _DELAY_MONTHS, lead.source, lead.grade)
    return replace(offer, lead=delayed)


def _scaled(sized: Sized, factor: Callable[[str, str], float]) -> Sized:
    """The services with other chip counts: ``factor(service, chip)`` times as many."""

    def change(demand: Demand) -> Demand:
        if demand.kind != "serve":
            return demand
        needs = tuple(replace(need, chips=need.chips * factor(demand.name, need.chip)) for need in demand.options)
        return replace(demand, options=needs)

    return replace(sized, demands=tuple(change(demand) for demand in sized.demands))


def _slower(sized: Sized) -> Sized:
    options = {(one.ask.name, option.chip): option for one in sized.services for option in one.options}
    return _scaled(sized, lambda service, chip: inverse(serving_interval(options[service, chip], find_chip(chip))).p95)


def _without_limits(sized: Sized) -> Sized:
    options = {(one.ask.name, option.chip): option for one in sized.services for option in one.options}

    def factor(service: str, chip: str) -> float:
        found = options[service, chip]
        return min(1.0, found.replica_requests_per_s / found.replica_requests_per_s_no_slo)

    return _scaled(sized, factor)
