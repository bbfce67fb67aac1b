"""Beside a purchase plan: break-even of rent and buying, what facts would flip it, what firm dates would be worth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from suanzhang.errors import Infeasible, SolverError
from suanzhang.money.procurement.calendar import HOURS_PER_MONTH, month_name, month_number
from suanzhang.money.procurement.places import base_name
from suanzhang.money.procurement.shape import build
from suanzhang.money.procurement.solve import ProcurementPlan, describe, solve_shape
from suanzhang.money.procurement.watch import Watch
from suanzhang.spec.buy import ChipCosts, Demand, Need, PurchaseProblem, Scenario
from suanzhang.spec.buy_worth import RentOrBuy, Swing, TwoWay
from suanzhang.spec.market import Offer
from suanzhang.spec.result import Money
from suanzhang.units import format_figure

RENTED = ("rent", "spot", "lease", "reserve")
_SWING_GAP = 2e-3
_STEP = 0.25
_TREND_STEP = 0.15
_WORTH_SAYING = 1e-3
NO_PLAN = "no plan exists"
"""The decision where there is none."""


def rent_or_buy(problem: PurchaseProblem) -> tuple[RentOrBuy, ...]:
    """Break-even of each kind of chip that the market both sells and lets, by its cheapest offers."""
    found = []
    for chip, costs in sorted(problem.costs.items()):
        buys = [offer for offer in problem.offers if offer.chip == chip and offer.kind == "buy"]
        rents = [offer for offer in problem.offers if offer.chip == chip and offer.kind == "rent"]
        if buys and rents:
            buy, rent = min(buys, key=_price), min(rents, key=_price)
            found.append(_one(problem, costs, buy, rent))
    return tuple(found)


def _price(offer: Offer) -> float:
    return offer.price.value


def _one(problem: PurchaseProblem, costs: ChipCosts, buy: Offer, rent: Offer) -> RentOrBuy:
    keep = 1.0 - (problem.tax.rate if problem.tax else 0.0)
    rented = rent.price.value * HOURS_PER_MONTH * keep

    def money(amount: float) -> Money:
        return Money(amount, problem.currency, problem.start)

    def owned(months: int) -> tuple[float, float]:
        return owning_cost(problem, costs, buy, months)

    still, work = owned(problem.months)
    equal = (still + work) / (HOURS_PER_MONTH * keep)
    use = still / (rented - work) if rented > work else math.inf
    month = next((float(m) for m in range(1, problem.months + 1) if sum(owned(m)) <= rented), None)
    return RentOrBuy(costs.chip, buy.id, rent.id, money(rent.price.value), money(equal), use, month)


def owning_cost(problem: PurchaseProblem, costs: ChipCosts, buy: Offer, months: int) -> tuple[float, float]:
    """What an owned chip costs a month over some months, as the plan itself counts it: standing still, and its work on top.

    Model:
        The chip is there from the first month on; its lines are those of an order of the plan (interest on what is tied up,
        worth at the end and taxes included).
    """
    now = replace(
        buy, lead=replace(buy.lead, median_months=0.0, p90_months=0.0), first_month="", last_month="", stock_chips=None,
        stock_per_month=None,
    )  # fmt: skip
    wanted = Demand("owning", "serve", (Need(costs.chip, float(buy.lot_chips)),))
    case = replace(
        problem, demands=(wanted,), offers=(now,), months=months, have=(), places=(), moving=None, budget=None,
        budget_by_month=(), costs={costs.chip: costs}, power_limit_w=None,
    )  # fmt: skip
    shape = build(case, (Scenario(1.0),))
    order = next(one for one in shape.orders if one.month == 0)
    keep = 1.0 - (problem.tax.rate if problem.tax else 0.0)
    once = sum(float(amounts[0]) for _, amounts in order.lines) / order.lot
    return once / months + keep * float(shape.hold[0] + shape.energy_idle[0]), keep * float(shape.energy_busy[0])


def decision_of(plan: ProcurementPlan) -> str:
    """How most chip-months are had: the way with the most of them, its share and its main kind of chip."""
    ways: dict[tuple[str, str], float] = {}
    for state in plan.months:
        for chip, chips in state.owned.items():
            ways["own", chip] = ways.get(("own", chip), 0.0) + chips
        for chip, chips in state.rented.items():
            ways["contract", chip] = ways.get(("contract", chip), 0.0) + chips
    for row in plan.rows:
        if row.action in ("rent", "spot"):
            ways["rent", row.chip] = ways.get(("rent", row.chip), 0.0) + row.chips
            ways["contract", row.chip] = ways.get(("contract", row.chip), 0.0) - row.chips
    total = sum(ways.values())
    if total <= 0.0:
        return "tokens" if any(row.action == "api" for row in plan.rows) else "nothing"
    by_way = {way: sum(v for (w, _), v in ways.items() if w == way) for way in ("own", "contract", "rent")}
    way = max(by_way, key=lambda name: by_way[name])
    chip = max((c for w, c in ways if w == way), key=lambda name: ways[way, name])
    words = {"own": "bought", "contract": "under contract", "rent": "rented by the hour"}
    return f"{by_way[way] / total:.0%} {words[way]}, most of them {chip}"


def _main_of(decision: str) -> str:
    return decision.partition(" ")[2]


@dataclass(frozen=True, slots=True)
class _Fact:
    name: str
    low: str
    high: str
    change: Callable[[PurchaseProblem, float], PurchaseProblem]
    step: float = _STEP
    dearer: int = 1
    """1 where more of it is expected to raise the cost, -1 where it is expected to lower it, 0 where both may be."""


def _offers(problem: PurchaseProblem, kinds: tuple[str, ...], factor: float) -> PurchaseProblem:
    changed = tuple(_priced(offer, factor) if offer.kind in kinds else offer for offer in problem.offers)
    return replace(problem, offers=changed)


def _priced(offer: Offer, factor: float) -> Offer:
    """An offer with all its prices times a factor."""
    read = replace(offer.price_in, value=offer.price_in.value * factor) if offer.price_in else None
    return replace(offer, price=replace(offer.price, value=offer.price.value * factor), price_in=read)


def _costs(problem: PurchaseProblem, change: Callable[[ChipCosts], ChipCosts]) -> PurchaseProblem:
    return replace(problem, costs={name: change(costs) for name, costs in problem.costs.items()})


def _demand(problem: PurchaseProblem, factor: float) -> PurchaseProblem:
    def scaled(demand: Demand) -> Demand:
        if demand.kind != "serve":
            return demand
        options = tuple(replace(need, chips=need.chips * factor) for need in demand.options)
        read, written = demand.api_input_mtokens * factor, demand.api_mtokens * factor
        return replace(
            demand, options=options, api_mtokens=written, api_input_mtokens=read, wait_price=demand.wait_price * factor
        )

    return replace(problem, demands=tuple(scaled(demand) for demand in problem.demands))


def _delivery(problem: PurchaseProblem, factor: float) -> PurchaseProblem:
    offers = tuple(
        replace(o, lead=replace(o.lead, median_months=o.lead.median_months * factor, p90_months=o.lead.p90_months * factor))
        for o in problem.offers
    )
    return replace(problem, offers=offers)


def _resale(problem: PurchaseProblem, factor: float) -> PurchaseProblem:
    return _costs(problem, lambda c: replace(c, resale=tuple(min(value * factor, 1.0) for value in c.resale)))


def _trend(problem: PurchaseProblem, factor: float) -> PurchaseProblem:
    return replace(problem, price_change_per_year=problem.price_change_per_year + factor - 1.0)


_FACTS = (
    _Fact("purchase prices", "25 % lower", "25 % higher", lambda p, f: _offers(p, ("buy",), f)),
    _Fact("rents", "25 % lower", "25 % higher", lambda p, f: _offers(p, RENTED, f)),
    _Fact("prices of tokens", "25 % lower", "25 % higher", lambda p, f: _offers(p, ("api",), f)),
    _Fact("size of the services", "25 % smaller", "25 % larger", _demand),
    _Fact("delivery", "25 % faster", "25 % slower", _delivery),
    _Fact("what used chips fetch", "25 % less", "25 % more", _resale, dearer=-1),
    _Fact("trend of prices", "15 points a year lower", "15 points a year higher", _trend, _TREND_STEP, 0),
    _Fact(
        "price of energy", "25 % lower", "25 % higher",
        lambda p, f: _costs(p, lambda c: replace(c, energy_per_kwh=c.energy_per_kwh * f)),
    ),
    _Fact(
        "hosts, network and storage", "25 % cheaper", "25 % dearer",
        lambda p, f: _costs(p, lambda c: replace(c, host=c.host * f, network=c.network * f, storage=c.storage * f)),
    ),
    _Fact(
        "interest", "25 % lower", "25 % higher", lambda p, f: replace(p, interest_per_year=p.interest_per_year * f)
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Tried:
    """The plan under a changed fact, None where there is none, and its decision in words."""

    plan: ProcurementPlan | None
    decision: str

    def cost(self, problem: PurchaseProblem) -> Money | None:
        """Its cost."""
        return None if self.plan is None else Money(self.plan.cost, problem.currency, problem.start)


def _swing(problem: PurchaseProblem, fact: _Fact, base: _Tried, low: _Tried, high: _Tried) -> Swing:
    """What one fact does, with words for what a reader would not expect."""
    words, whys = [], []
    for side, tried, sign in ((fact.low, low, -1), (fact.high, high, 1)):
        why = "" if base.plan is None or tried.plan is None else moved_words(problem, base.plan, tried.plan)
        whys.append(why)
        if tried.decision == NO_PLAN:
            words.append(f"{fact.name} {side}: {NO_PLAN}")
        if base.plan is None or tried.plan is None:
            continue
        change = tried.plan.cost - base.plan.cost
        if sign * fact.dearer * change < -_WORTH_SAYING * abs(base.plan.cost):
            verb, amount = "raise" if change > 0.0 else "lower", format_figure(abs(change), problem.currency)
            words.append(f"{fact.name} {side} {verb} the cost by {amount}: {why}")
        if _main_of(tried.decision) != _main_of(base.decision):
            words.append(f"{fact.name} {side}: {tried.decision}, instead of {base.decision}")
    flips = any(_main_of(tried.decision) != _main_of(base.decision) for tried in (low, high))
    return Swing(
        fact.name, fact.low, fact.high, low.cost(problem), high.cost(problem), low.decision, high.decision, flips,
        words=tuple(words), why_low=whys[0], why_high=whys[1],
    )  # fmt: skip


_PURCHASE = ("chips", "hosts", "network", "storage")
_GROUPS = {
    "rent": "rents cost", "tokens": "tokens cost", "power": "power costs", "finance": "interest costs",
    "waiting": "waiting costs", "moving": "moves cost", "site": "works cost",
}  # fmt: skip


def moved_words(problem: PurchaseProblem, plan: ProcurementPlan, other: ProcurementPlan) -> str:
    """What makes another plan cost more or less: the largest changes in that direction, then those against it."""
    old = {base_name(problem, held.chip) for held in problem.have if held.owned}
    before, after = _parts(plan, old), _parts(other, old)
    changes = {name: after.get(name, 0.0) - before.get(name, 0.0) for name in {**before, **after}}
    least = max(0.2 * abs(other.cost - plan.cost), _WORTH_SAYING * abs(plan.cost))
    said = [name for name in changes if abs(changes[name]) > least]
    said.sort(key=lambda name: (name != _OWNED_FETCHED, -abs(changes[name])))
    up = other.cost > plan.cost
    words = []
    for names in ([name for name in said if (changes[name] > 0.0) == up], [n for n in said if (changes[n] > 0.0) != up]):
        parts = []
        for name in names[:_MOST_PARTS]:
            more = (changes[name] > 0.0) != (name in (_FETCHED, _OWNED_FETCHED))
            parts.append(f"{name} {format_figure(abs(changes[name]), problem.currency)} {'more' if more else 'less'}")
        words.append(", ".join(parts))
    return "; against it ".join(part for part in words if part) or "the same plan"


_MOST_PARTS = 3
_FETCHED = "bought chips fetch"
_OWNED_FETCHED = "chips that are there already fetch"


def _parts(plan: ProcurementPlan, old: set[str]) -> dict[str, float]:
    """Cost of a plan by what a reader would call it; a sold chip is one that was there where there were any of its kind."""
    parts: dict[str, float] = {}
    for row in plan.rows:
        sold = row.action in ("resell", "retire")
        for name, amount in row.lines:
            if name in ("value at start", "value left") or (name in ("chips", "hosts") and sold):
                part = _OWNED_FETCHED if row.chip in old and (sold or row.offer == "own") else _FETCHED
            else:
                part = "purchases cost" if name in _PURCHASE else _GROUPS.get(name, "running costs are")
            parts[part] = parts.get(part, 0.0) + amount
    return parts


def swings(
    problem: PurchaseProblem,
    watch: Watch,
    tell: Callable[[str], None],
    plan: ProcurementPlan,
    futures: Callable[[PurchaseProblem], tuple[Scenario, ...]],
) -> tuple[str, tuple[Swing, ...], tuple[TwoWay, ...]]:
    """The decision of a plan; each fact lower and higher, the largest swing first; purchase price and rent together.

    Args:
        problem: what was asked.
        watch: stops the solves.
        tell: called with a line for each fact.
        plan: the plan that is printed, from which everything is counted.
        futures: the futures of a changed problem, drawn as those of the plan.
    """
    case = replace(problem, gap=max(problem.gap, _SWING_GAP))

    def again(changed: PurchaseProblem) -> _Tried:
        if watch.stop():
            return _Tried(None, "stopped")
        try:
            plan = describe(solve_shape(changed, futures(changed), Watch(watch.clock, watch.stop)))
        except Infeasible:
            return _Tried(None, "stopped" if watch.stop() else NO_PLAN)
        except SolverError:
            if watch.stop():
                return _Tried(None, "stopped")
            raise
        return _Tried(None, "stopped") if watch.stop() else _Tried(plan, decision_of(plan))

    base = _Tried(plan, decision_of(plan))
    found = []
    sold = {offer.kind for offer in problem.offers}
    for fact in (one for one in _FACTS if one.name != "prices of tokens" or "api" in sold):
        tell(f"what if: {fact.name}")
        found.append(_swing(problem, fact, base, *(again(fact.change(case, f)) for f in (1.0 - fact.step, 1.0 + fact.step))))
    found.sort(key=lambda swing: -_size(swing))
    cells = []
    buy, rent = _FACTS[0], _FACTS[1]
    for a in (1.0 - _STEP, 1.0, 1.0 + _STEP):
        for b in (1.0 - _STEP, 1.0, 1.0 + _STEP):
            tell(f"what if: purchase prices x {a:g}, rents x {b:g}")
            tried = base if a == b == 1.0 else again(rent.change(buy.change(case, a), b))
            cells.append(TwoWay(buy.name, rent.name, a, b, tried.cost(problem), tried.decision))
    return base.decision, tuple(found), tuple(cells)


def _size(swing: Swing) -> float:
    if swing.cost_low is None or swing.cost_high is None:
        return math.inf
    return abs(swing.cost_high.amount - swing.cost_low.amount)


def firm_delivery(problem: PurchaseProblem) -> PurchaseProblem:
    """The same problem with dates that hold: every order comes at the median of its lead time."""
    offers = tuple(replace(o, lead=replace(o.lead, p90_months=o.lead.median_months)) for o in problem.offers)
    return replace(problem, offers=offers)


def held_offers(problem: PurchaseProblem) -> PurchaseProblem:
    """The same problem when nothing is ordered in the first month; rents by the hour stay open."""
    later = month_name(problem.start, 1)
    held = tuple(
        replace(offer, first_month=later)
        if offer.kind in ("buy", "lease", "reserve")
        and (not offer.first_month or month_number(offer.first_month) < month_number(later))
        else offer
        for offer in problem.offers
    )
    return replace(problem, offers=held)
