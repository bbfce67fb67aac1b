"""What would change the answer: the plan solved again under one change of the question at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from suanzhang.app.buy_spread import Spread, factor_of, span
from suanzhang.app.plan_sold import sold_words
from suanzhang.app.serve_size import size_service
from suanzhang.app.spread import inverse, serving_interval
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.stacks import serve_stack
from suanzhang.errors import Infeasible, OutOfDomain, SolverError
from suanzhang.spec.buy import BuyResult, Demand, Need
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.market import LeadTime, Offer
from suanzhang.spec.plan import Flip
from suanzhang.spec.result import Money
from suanzhang.spec.serve import SizedService
from suanzhang.units import format_figure

if TYPE_CHECKING:
    from suanzhang.app.plan import Sized
    from suanzhang.app.plan_sizing import SizedAsk


class Solve(Protocol):
    """Gives the schedule of a changed question, to a relative gap that is usual where none is given."""

    def __call__(self, change: Sized, gap: float = ...) -> BuyResult:
        """The schedule."""


Answer = tuple[str, BuyResult] | Flip | None
"""A change with its plan; its row, where there is no plan; nothing, where it changes nothing."""

_PRICE_STEP = 0.25
_RENT_CUT = 0.4
_DELAY_MONTHS = 3.0
_RENTED = ("rent", "reserve", "lease", "spot")
_TIGHT_GAP = 0.02
"""A plan that spends its budget to the last coin is hard to prove: what is left open widens the interval of its row."""
_EIGHT_BIT = ("fp8", "int8")
LONGEST_EFFECT = 100


def find_flips(
    sized: Sized, bought: BuyResult, again: Solve, progress: Callable[[str], None], spread: Spread
) -> tuple[Flip, ...]:
    """One row for each change: cost, chips at the end, and the chips that come or go.

    Args:
        sized, bought: the question and its schedule.
        again: gives the schedule of a changed question.
        progress: called with a line for each change.
        spread: the futures in which plans are compared.
    """
    compare = _Compare(bought, spread)
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
        narrow, formats = _eight_bit(sized, bought)
        if formats:
            changes.append((f"8-bit weights ({formats}) where the quality allows", narrow))
    cash = bought.cash.amount
    tasks = {"the smallest budget": partial(_least_budget, sized, cash, again)}
    tasks |= {change: partial(_solved, change, changed, again) for change, changed in changes}
    least, *others = _side_by_side(tasks, progress)
    return tuple(compare.flip(*one) if isinstance(one, tuple) else one for one in (*others, least) if one is not None)


def _side_by_side(tasks: Mapping[str, Callable[[], Answer]], progress: Callable[[str], None]) -> list[Answer]:
    """The answers of tasks in their order, as many at a time as there are cores; the optimiser lets go of the interpreter."""
    workers = ThreadPoolExecutor(max_workers=min(len(tasks), os.cpu_count() or 1))
    try:
        running = {title: workers.submit(copy_context().run, task) for title, task in tasks.items()}
        found = []
        for title, one in running.items():
            progress(f"what if: {title}")
            found.append(one.result())
        return found
    finally:
        workers.shutdown(wait=False, cancel_futures=True)


def _solved(change: str, changed: Sized, again: Solve, **gap: float) -> Answer:
    """The plan of a changed question beside its title; the row itself where there is no plan."""
    try:
        return change, again(changed, **gap)
    except Infeasible as failure:
        return Flip(change, None, None, None, f"no plan exists: {first_clause(_why(failure))}")
    except SolverError as failure:
        why = "stopped" if failure.message == "stopped" else "the optimiser ran out of time"
        return Flip(change, None, None, None, f"not answered: {why}")


def _why(failure: Infeasible) -> str:
    return failure.binding[0] if failure.binding else failure.message


def first_clause(text: str, longest: int = LONGEST_EFFECT - len("no plan exists: ")) -> str:
    """The first clause of a sentence; a list of more than three names becomes a count, and what is too long is cut.

    Example:
        >>> first_clause("supply: stock of a, b, c, d and e do not reach the demand; at any budget")
        'supply: stock of a, b, c, d and e do not reach the demand'
        >>> first_clause("supply: stock and lead times of a-b, c-d, e-f, g-h do not reach the demand")
        'supply: stock and lead times of a-b, c-d and 2 more do not reach the demand'
    """
    clause = text.split(";")[0].strip()
    head, mark, tail = clause.partition(" of ")
    names = tail.split(", ") if mark else []
    if len(names) > 3:
        last, space, rest = names[-1].partition(" ")
        if last and " and " not in tail:
            clause = f"{head} of {names[0]}, {names[1]} and {len(names) - 2} more{space}{rest}"
    return clause if len(clause) <= longest else clause[: longest - 1].rsplit(" ", 1)[0].rstrip(",") + "…"


class _Compare:
    """The plan, and its drawn cost, beside which others are set."""

    def __init__(self, bought: BuyResult, spread: Spread) -> None:
        self.bought, self.spread = bought, spread
        self.cost = spread.of(bought).cost

    def flip(self, change: str, other: BuyResult) -> Flip:
        """What another plan costs more, and the chips that come or go."""
        bought, drawn = self.bought, self.spread.of(other)
        before, after = _final_chips(bought), _final_chips(other)
        parts = [f"{chip} joins" for chip in after if chip not in before]
        parts += [f"{chip} goes" for chip in before if chip not in after]
        parts += [
            f"{chip} {after[chip] - before[chip]:+,.0f}"
            for chip in after
            if chip in before and round(after[chip]) != round(before[chip])
        ]
        parts += sold_words(bought, other)
        parts[:0] = _other_way(bought, other)
        relative = (other.cost.amount - bought.cost.amount) / abs(bought.cost.amount) if bought.cost.amount else None
        change_span = None if relative is None else factor_of(drawn.cost, self.cost, relative, other.gap + bought.gap)
        return Flip(
            change, Money(other.cost.amount, other.cost.currency, other.cost.date), relative,
            round(sum(after.values()) - sum(before.values())), ", ".join(parts) or "the same chips", other.cash,
            span(other.cost.amount, drawn.cost), change_span, span(other.cash.amount, drawn.cash),
        )  # fmt: skip


_WAYS = {"bought": "mostly bought", "under": "mostly under contract", "rented": "mostly rented by the hour"}


def _other_way(bought: BuyResult, other: BuyResult) -> list[str]:
    """How most chip-months are had in another plan, where that is another way than in the plan."""
    before, after = (result.decision.partition("% ")[2].split(" ")[0].rstrip(",") for result in (bought, other))
    return [_WAYS[after]] if after in _WAYS and before in _WAYS and after != before else []


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


def _least_budget(sized: Sized, paid: float, again: Solve) -> Answer:
    """The plan with the least cash that any plan needs; None where no cash is needed, or the planned cash is the least.

    A hopeless budget makes the solver name the smallest one that would do; that one is then planned with.
    """
    if paid <= 0.0:
        return None
    try:
        again(_with_budget(sized, 1e-6 * paid))
    except Infeasible as failure:
        least = failure.nearest.get("budget")
    except SolverError:
        return None
    else:
        return None
    if not isinstance(least, float) or least >= 0.999 * paid:
        return None
    # The solver proves the least budget to one part in a thousand: so much more is allowed, or rounding would leave no plan.
    least *= 1.001
    text = format_figure(least, sized.question.currency)
    return _solved(f"the smallest budget, {text} of cash", _with_budget(sized, least), again, gap=_TIGHT_GAP)


def _with_budget(sized: Sized, budget: float) -> Sized:
    return replace(sized, question=replace(sized.question, budget=budget))


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


def _needs(sized: Sized, change: Callable[[str, Need], Need]) -> Sized:
    """The services with other needs: ``change(service, need)`` for each kind of chip."""

    def changed(demand: Demand) -> Demand:
        if demand.kind != "serve":
            return demand
        return replace(demand, options=tuple(change(demand.name, need) for need in demand.options))

    return replace(sized, demands=tuple(changed(demand) for demand in sized.demands))


def _slower(sized: Sized) -> Sized:
    options = {(one.ask.name, option.chip): option for one in sized.services for option in one.options}
    asked = {one.ask.name: one.service for one in sized.services}

    def change(service: str, need: Need) -> Need:
        factor = inverse(serving_interval(options[service, need.chip], find_chip(need.chip), service=asked[service])).p95
        return replace(need, chips=need.chips * factor)

    return _needs(sized, change)


def _without_limits(sized: Sized) -> Sized:
    options = {(one.ask.name, option.chip): option for one in sized.services for option in one.options}

    def change(service: str, need: Need) -> Need:
        found = options[service, need.chip]
        return replace(need, chips=need.chips * min(1.0, found.replica_requests_per_s / found.replica_requests_per_s_no_slo))

    return _needs(sized, change)


def eight_bit_of(chip: ChipSpec) -> str:
    """The 8-bit format that a chip multiplies in, fp8 before int8; empty where it has none."""
    return next((dtype for dtype in _EIGHT_BIT if dtype in chip.peak_flop_per_s), "")


def _eight_bit(sized: Sized, bought: BuyResult) -> tuple[Sized, str]:
    """The services sized with 8-bit weights on the chips that carry them, and the formats; none where nothing changes."""
    from suanzhang.app.plan_sizing import service_need

    narrow: dict[tuple[str, str], SizedService] = {}
    services = {one.ask.name: one.service for one in sized.services}
    for one in sized.services:
        for name in sorted({share.chip for share in bought.shares if share.demand == one.ask.name}):
            found = _narrow(one, name)
            if found is not None:
                narrow[one.ask.name, name] = found

    def change(service: str, need: Need) -> Need:
        found = narrow.get((service, need.chip))
        return need if found is None else service_need(services[service], found)

    formats = sorted({found.weight_dtype for found in narrow.values()})
    return _needs(sized, change), " or ".join(formats)


def _narrow(one: SizedAsk, name: str) -> SizedService | None:
    """A service with 8-bit weights on one kind of chip; None where that is no change, not possible, or no gain."""
    wide = next((option for option in one.options if option.chip == name), None)
    if wide is None or wide.weight_dtype in (*_EIGHT_BIT, "int4", "fp4"):
        return None
    chip = find_chip(name)
    dtype = eight_bit_of(chip)
    if not dtype:
        return None
    try:
        found = size_service(replace(one.service, weight_dtype=dtype), chip, serve_stack(wide.stack))
    except OutOfDomain:
        return None
    return found if isinstance(found, SizedService) and found.chips < wide.chips else None
