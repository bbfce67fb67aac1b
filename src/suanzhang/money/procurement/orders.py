"""Orders as columns: what a lot of an offer costs by line, when it arrives, and what used chips fetch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from suanzhang.errors import InputError
from suanzhang.money.costs import chip_part
from suanzhang.money.procurement.calendar import FOREVER, HOURS_PER_MONTH, nominal_delay, orderable, stock_until
from suanzhang.money.procurement.places import base_name, site_of
from suanzhang.money.tax import NOT_DEDUCTED, later_relief
from suanzhang.spec.buy import NOT_CASH, PurchaseProblem, Scenario
from suanzhang.spec.market import Offer

Floats = NDArray[np.float64]
ORDERED = ("buy", "lease", "reserve")
SHIELD = "tax shield"


@dataclass(frozen=True, slots=True)
class Order:
    """A column: lots of one offer ordered in one month, with its cost by line and scenario (per lot).

    A move of chips between sites and works on a site are orders as well: a move takes chips of the kind ``source`` away
    when it begins and brings them to ``kind`` when it ends; works bring no chips; a sale, where there are many futures, takes
    chips of the kind ``source`` away for good: of the order ``parent`` in the months ``gone`` (by scenario), or else those that
    were there from the start. None of these has an offer (-1). A lease is paid by the month
    (``instalment``, by scenario) from the month in which its chips come.
    """

    offer: int
    month: int
    lot: float
    limit_lots: float
    lines: tuple[tuple[str, Floats], ...]
    cash: Floats
    arrival: NDArray[np.int64]
    leave: NDArray[np.int64]
    name: str = ""
    kind: int = -1
    hosted: bool = False
    source: int = -1
    instalment: Floats | None = None
    parent: int = -1
    gone: NDArray[np.int64] | None = None

    @property
    def sale(self) -> bool:
        """Whether chips are sold."""
        return self.source >= 0 and self.kind < 0

    @property
    def taken(self) -> NDArray[np.int64]:
        """First month by scenario in which chips of the kind ``source`` are gone."""
        return np.full(len(self.arrival), self.month) if self.gone is None else self.gone

    def due(self, months: int) -> Floats:
        """Instalments by scenario and month of the plan."""
        if self.instalment is None:
            return np.zeros((len(self.arrival), months))
        month = np.arange(months)
        return self.instalment[:, None] * ((month >= self.arrival[:, None]) & (month < self.leave[:, None]))

    def paid_by(self, month: int, months: int) -> Floats:
        """Cash by scenario until the end of a month."""
        return self.cash if self.instalment is None else self.cash - self.due(months)[:, month + 1 :].sum(axis=1)


def resale_values(problem: PurchaseProblem, scenarios: tuple[Scenario, ...], chips: tuple[str, ...]) -> Floats:
    """What a used chip fetches, by scenario, chip and end of month 0..T; prices above their trend lift it.

    A used chip never fetches more of its price than it does today: where new ones are expected to fall faster than the
    curve of used ones, used ones follow.

    Equation:
        V_t = price x min(r_t, r_0 g_t) x p_t / g_t, with r the resale curve, g the trend and p the drawn price path.

    Sources:
        [derived].
    """
    value = np.zeros((len(scenarios), len(chips), problem.months + 1))
    trend = (1.0 + problem.price_change_per_year) ** (np.arange(problem.months) / 12.0)
    for index, chip in enumerate(chips):
        base = base_name(problem, chip)
        bought = [offer for offer in problem.offers if offer.kind == "buy" and base_name(problem, offer.chip) == base]
        held = [h.value_per_chip for h in problem.have if base_name(problem, h.chip) == base and h.owned]
        worth = min((_chip_part(problem, offer) for offer in bought), default=0.0) or (max(held) if held else 0.0)
        curve = np.array(problem.costs[chip].resale[: problem.months + 1])
        if len(curve) <= problem.months:
            raise InputError(f"resale of {chip}: {len(curve)} months given, {problem.months + 1} needed")
        for s, scenario in enumerate(scenarios):
            paths = [scenario.price[o.id] for o in bought if o.id in scenario.price]
            factor = np.mean(paths, axis=0) / trend if paths else np.ones(problem.months)
            drift = np.concatenate([[1.0], factor])
            new = np.append(trend, trend[-1])
            value[s, index] = worth * np.minimum(curve, curve[0] * new) * drift
    return value


def _chip_part(problem: PurchaseProblem, offer: Offer) -> float:
    """Today's price of the chip alone: of an offer with its host, the host's share is taken off."""
    return chip_part(offer.price.value, problem.costs[offer.chip].host, offer.includes_host)


def orders_of(
    problem: PurchaseProblem,
    scenarios: tuple[Scenario, ...],
    chips: tuple[str, ...],
    resale: Floats,
    sold: Floats | None = None,
    decided: Collection[tuple[str, int]] | None = None,
) -> tuple[Order, ...]:
    """One order for every offer and month in which it can be placed and would arrive in some scenario.

    Args:
        problem: offers and limits.
        scenarios: ways in which the future may turn out.
        chips: kinds of chip.
        resale: what used chips fetch, by scenario, kind and end of month.
        sold: chips owned from the start by kind and month, where they may be sold; None where sales are no orders.
        decided: names and months of the sales of ordered chips that are looked at; None for all.
    """
    found = []
    for index, offer in enumerate(problem.offers):
        if offer.kind not in ORDERED or offer.chip not in chips:
            continue
        for month in orderable(offer, problem.start, problem.months):
            arrival = np.array([_arrival(offer, scenario, month, problem.months) for scenario in scenarios])
            if arrival.min() >= problem.months:
                continue
            leave = np.where(arrival < FOREVER, arrival + (offer.term_months or FOREVER), FOREVER)
            lines = _order_lines(problem, offer, month, arrival, scenarios, resale[:, chips.index(offer.chip), :])
            cash = np.sum([amounts for name, amounts in lines if name not in NOT_CASH], axis=0)
            limit = stock_until(offer, problem.start, month)
            lots = math.floor(limit / offer.lot_chips + 1e-9) if math.isfinite(limit) else math.inf
            kind, hosted = chips.index(offer.chip), offer.kind == "reserve"
            order = Order(index, month, float(offer.lot_chips), lots, lines, cash, arrival, leave, offer.id, kind, hosted)
            found.append(_leased(problem, order, offer, scenarios) if offer.kind == "lease" else order)
    found += [*_moves(problem, len(scenarios), chips), *_works(problem, len(scenarios))]
    if sold is not None:
        from suanzhang.money.procurement.resales import resales

        found += _sales(problem, chips, resale, sold)
        found += resales(problem, scenarios, found, resale, decided)
    return tuple(found) if problem.tax is None else tuple(_relieved(problem, order) for order in found)


def sale_name(kind: str) -> str:
    """The name of the orders by which used chips of a kind are sold."""
    return f"sell {kind}"


def sale_lots(problem: PurchaseProblem, chips: tuple[str, ...]) -> Floats:
    """Used chips of each kind are sold in the lots in which new ones come, so that no server is split.

    Equation:
        the smallest lot of the offers that sell the kind; 1 where none does.

    Sources:
        [derived].
    """
    found = [[o.lot_chips for o in problem.offers if o.kind == "buy" and o.chip == chip] for chip in chips]
    return np.array([float(min(lots, default=1)) for lots in found])


def _sales(problem: PurchaseProblem, chips: tuple[str, ...], resale: Floats, sold: Floats) -> list[Order]:
    """One order for every kind that is owned from the start and month at whose end chips of it may be sold.

    Sales are decided once for all futures; what they bring differs. What a budget allows is not raised by it, since orders
    must hold in all of them.
    """
    found, rate, count = [], problem.interest_per_year / 12.0, len(resale)
    for k, lot in enumerate(sale_lots(problem, chips)):
        lots = math.floor(float(sold[k].max(initial=0.0)) / lot + 1e-9)
        for month in range(1, problem.months) if lots else ():
            worth = resale[:, k]
            lines = (
                ("chips", -lot * worth[:, month]),
                ("finance", -lot * rate * worth[:, month : problem.months].sum(axis=1)),
                ("value left", lot * worth[:, problem.months]),
            )
            never, name = np.full(count, FOREVER), sale_name(chips[k])
            found.append(Order(-1, month, float(lot), float(lots), lines, np.zeros(count), never, never, name, source=k))
    return found


def relieved(problem: PurchaseProblem, lines: Mapping[str, float]) -> dict[str, float]:
    """Lines with what taxes give back of all that is deducted, beside any shield that is there already.

    Equation:
        shield = -rate x sum of what is deducted.

    Sources:
        [derived].
    """
    if problem.tax is None:
        return dict(lines)
    deducted = sum(amount for name, amount in lines.items() if name not in NOT_DEDUCTED)
    return {**lines, SHIELD: lines.get(SHIELD, 0.0) - problem.tax.rate * deducted}


def _relieved(problem: PurchaseProblem, order: Order) -> Order:
    """An order with what taxes give back of it; a shield that is there already is what comes late of it."""
    lines = dict(order.lines)
    late = lines.pop(SHIELD, np.zeros(len(order.arrival)))
    deducted = np.sum(list(lines.values()), axis=0)
    rate = problem.tax.rate if problem.tax else 0.0
    return replace(order, lines=(*lines.items(), (SHIELD, late - rate * deducted)))


def _moves(problem: PurchaseProblem, scenarios: int, chips: tuple[str, ...]) -> list[Order]:
    """One order for every kind, pair of sites and month in which chips could be moved; where they may stand."""
    if problem.moving is None or len(problem.places) < 2:
        return []
    found = []
    barred = {place.site: place.barred for place in problem.places}
    for source, kind in itertools.permutations(range(len(chips)), 2):
        chip = base_name(problem, chips[source])
        begin, end = (site_of(problem, chips[k]) for k in (source, kind))
        if base_name(problem, chips[kind]) != chip or chip in barred[end]:
            continue
        lots = [offer.lot_chips for offer in problem.offers if offer.kind == "buy" and base_name(problem, offer.chip) == chip]
        lot = float(min(lots, default=1))
        lines = _move_lines(problem, chips[kind], lot, scenarios)
        cash = np.sum([amounts for _, amounts in lines], axis=0)
        for month in range(problem.months - problem.moving.months):
            arrival = np.full(scenarios, month + problem.moving.months)
            leave, name = np.full(scenarios, FOREVER), f"move {chip} {begin} {end}"
            found.append(Order(-1, month, lot, math.inf, lines, cash, arrival, leave, name, kind, source=source))
    return found


def _move_lines(problem: PurchaseProblem, kind: str, lot: float, scenarios: int) -> tuple[tuple[str, Floats], ...]:
    """Cost of moving one lot: the move, and what the chips cost on the way, their room on the new site included."""
    moving, costs = problem.moving, problem.costs[kind]
    months = moving.months if moving else 0
    parts = {"moving": moving.cost_per_chip if moving else 0.0}
    parts |= {name: months * getattr(costs, name) for name in ("room", "spares", "support", "staff")}
    return tuple((name, np.full(scenarios, lot * amount)) for name, amount in parts.items())


def _works(problem: PurchaseProblem, scenarios: int) -> list[Order]:
    """One order for all works and months that would be ready within the plan."""
    found, rate, ones = [], problem.interest_per_year / 12.0, np.ones(scenarios)
    for place in problem.places:
        for works in place.works:
            for month in range(problem.months - works.months):
                arrival, leave = np.full(scenarios, month + works.months), np.full(scenarios, FOREVER)
                age = np.arange(problem.months - month - works.months)
                wear = np.maximum(1.0 - age / works.life_months, 0.0)
                left = works.cost * max(1.0 - len(age) / works.life_months, 0.0)
                tied = works.cost * (works.months + float(wear.sum()))
                lines = (("site", works.cost * ones), ("finance", rate * tied * ones), ("value left", -left * ones))
                cash = works.cost * ones
                found.append(Order(-1, month, 1.0, float(works.most), lines, cash, arrival, leave, works.id))
    return found


def _arrival(offer: Offer, scenario: Scenario, month: int, months: int) -> int:
    """Month in which an order comes; stopped at the border it comes when that opens, or never where that is after the plan.

    What would come after the border has closed a second time never does.
    """
    arrival = month + scenario.delay_months.get(offer.id, nominal_delay(offer))
    if arrival < scenario.barred_from.get(offer.id, FOREVER):
        return arrival
    opened = scenario.barred_until.get(offer.id, FOREVER)
    if arrival >= opened:
        return arrival if arrival < scenario.barred_again.get(offer.id, FOREVER) else FOREVER
    return opened if opened < months else FOREVER


def _leased(problem: PurchaseProblem, order: Order, offer: Offer, scenarios: tuple[Scenario, ...]) -> Order:
    """A lease with its instalments: those within the plan are rent, those after it are owed at the end.

    The fabric, the storage and, where the price leaves it out, the server are paid as for bought chips.
    """
    path = np.array([s.rent[offer.id][order.month] if offer.id in s.rent else 1.0 for s in scenarios])
    delivered = (order.arrival < FOREVER).astype(float)
    instalment = delivered * path * offer.price.value * HOURS_PER_MONTH * order.lot
    within = np.clip(np.minimum(order.leave, problem.months) - order.arrival, 0, None)
    costs, rate = problem.costs[offer.chip], problem.interest_per_year / 12.0
    host = 0.0 if offer.includes_host else costs.host
    infra = host + costs.network + costs.storage
    age = np.maximum(problem.months - order.arrival, 0)
    left = infra * np.maximum(1.0 - age / costs.infra_life_months, 0.0)
    wear = [np.maximum(1.0 - np.arange(months) / costs.infra_life_months, 0.0).sum() for months in age]
    tied = infra * (np.array(wear) + np.minimum(order.arrival - order.month, problem.months - order.month))
    paid = order.lot * delivered
    lines = (
        ("rent", instalment * within),
        ("hosts", paid * host),
        ("network", paid * costs.network),
        ("storage", paid * costs.storage),
        ("finance", paid * rate * tied),
        ("value left", instalment * (max(offer.term_months, 1) - within) - paid * left),
    )
    cash = np.sum([amounts for name, amounts in lines if name not in NOT_CASH], axis=0)
    return replace(order, lines=lines, cash=cash, instalment=instalment)


def _order_lines(
    problem: PurchaseProblem,
    offer: Offer,
    month: int,
    arrival: NDArray[np.int64],
    scenarios: tuple[Scenario, ...],
    resale: Floats,
) -> tuple[tuple[str, Floats], ...]:
    """Cost of one lot ordered in a month by line and scenario. What is never delivered is paid back."""
    lot, rate = float(offer.lot_chips), problem.interest_per_year / 12.0
    delivered = (arrival < FOREVER).astype(float)
    if offer.kind != "buy":
        path = np.array([s.rent[offer.id][month] if offer.id in s.rent else 1.0 for s in scenarios])
        term = max(offer.term_months, 1)
        return (("rent", delivered * path * offer.price.value * HOURS_PER_MONTH * term * lot),)
    costs = problem.costs[offer.chip]
    path = price_path(problem, offer, month, scenarios)
    host = 0.0 if offer.includes_host else costs.host
    infra = host + costs.network + costs.storage
    months_left = np.maximum(problem.months - np.maximum(arrival, month), 0)
    owned_infra = infra + (costs.host * path if offer.includes_host else np.zeros(len(path)))
    tied = np.zeros(len(path))
    for s, first in enumerate(arrival):
        if first < problem.months:
            age = np.arange(problem.months - first)
            wear = np.maximum(1.0 - age / costs.infra_life_months, 0.0)
            tied[s] = resale[s, first : problem.months].sum() + owned_infra[s] * wear.sum()
    waiting = path * offer.price.value * np.minimum(arrival - month, problem.months - month)
    left = resale[:, problem.months] + owned_infra * np.maximum(1.0 - months_left / costs.infra_life_months, 0.0)
    late = _later(problem, path * offer.price.value + infra, tied, problem.months - arrival)
    return tuple(
        (name, delivered * lot * amount)
        for name, amount in (
            ("chips", path * offer.price.value),
            ("hosts", np.full(len(path), host)),
            ("network", np.full(len(path), costs.network)),
            ("storage", np.full(len(path), costs.storage)),
            ("finance", rate * (tied + waiting)),
            ("value left", -left),
            *(((SHIELD, late),) if problem.tax else ()),
        )
    )


def price_path(problem: PurchaseProblem, offer: Offer, month: int, scenarios: tuple[Scenario, ...]) -> Floats:
    """Price of an offer in a month over today's, by scenario: as drawn, or else along the trend.

    Equation:
        p_sm, else (1 + g)^(m / 12).

    Sources:
        [derived].
    """
    trend = (1.0 + problem.price_change_per_year) ** (month / 12.0)
    return np.array([s.price[offer.id][month] if offer.id in s.price else trend for s in scenarios])


def _later(problem: PurchaseProblem, paid: Floats, tied: Floats, months: NDArray[np.int64]) -> Floats:
    """Price of relief that comes later than chips lose their worth, by scenario; 0 without taxes."""
    if problem.tax is None:
        return np.zeros(len(paid))
    tax, rate = problem.tax, problem.interest_per_year / 12.0
    used = zip(paid, tied, months, strict=True)
    return np.array([later_relief(tax, float(p), float(w), max(int(m), 0), rate) for p, w, m in used])
