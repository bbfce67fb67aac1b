"""The purchase problem as columns of a first stage and cells of one month and scenario.

First stage: orders in lots, starts of training runs, sales of used chips (orders as well, over many futures). A cell
decides, with the chips that stand there, how services are spread, what is rented by the hour, which tokens are bought and
what waits. Cells of different months and scenarios touch only through the chips that stand there.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from suanzhang.errors import InputError
from suanzhang.money.figures import figure
from suanzhang.money.procurement.calendar import HOURS_PER_MONTH, nominal_delay, orderable, stock_until
from suanzhang.money.procurement.orders import Floats, Order, orders_of, resale_values, sale_lots
from suanzhang.money.procurement.places import base_name, placed, site_of
from suanzhang.spec.buy import Demand, Need, PurchaseProblem, Scenario
from suanzhang.spec.market import Offer

HOURLY = ("rent", "spot")
_LATE = 1.5
"""Price of being late over the price of waiting."""


@dataclass(frozen=True, slots=True)
class Start:
    """A column: a training run that starts in one month on one of its options."""

    demand: int
    need: Need
    month: int
    wait_cost: float


MOST_WHOLE = 100.0
"""Replicas of a service on one kind of chip up to which they are counted in whole ones."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A column of a cell: chips of one kind at work for one service; ``replica`` of them carry a part of it, fewer nothing."""

    demand: int
    chip: int
    chips: float
    busy: float
    replica: float = 0.0


@dataclass(frozen=True)
class Shape:
    """All columns and figures that both forms of the problem are built from."""

    problem: PurchaseProblem
    scenarios: tuple[Scenario, ...]
    weights: Floats
    chips: tuple[str, ...]
    orders: tuple[Order, ...]
    starts: tuple[Start, ...]
    services: tuple[Demand, ...]
    runs: tuple[Demand, ...]
    pairs: tuple[Pair, ...]
    rents: tuple[Offer, ...]
    tokens: tuple[tuple[int, Offer], ...]
    level: Floats  # scenario, service, month
    rent_cost: Floats  # scenario, rent, month: per chip and full month
    rent_stock: Floats  # rent, month
    token_cost: Floats  # scenario, token, month: per share of the service
    wait_cost: Floats  # scenario, service, month
    wait_allowed: NDArray[np.bool_]  # service, month
    have_site: Floats  # chip, month
    have_hosted: Floats  # chip, month
    resale: Floats  # scenario, chip, month 0..T: money per chip
    lateness_priced: bool = False
    hold: Floats = field(default_factory=lambda: np.zeros(0))  # chip: money per standing chip and month
    energy_idle: Floats = field(default_factory=lambda: np.zeros(0))
    energy_busy: Floats = field(default_factory=lambda: np.zeros(0))

    @property
    def sale_lot(self) -> Floats:
        """Chips in which used ones of each kind are sold."""
        return sale_lots(self.problem, self.chips)

    @property
    def lacking_cost(self) -> float:
        """Price of a chip and month that a run lacks in a scenario: three times the dearest rent, or a tenth of a price."""
        rents = [offer.price.value * HOURS_PER_MONTH for offer in self.rents]
        buys = [offer.price.value / 10.0 for offer in self.problem.offers if offer.kind == "buy"]
        return 3.0 * max([*rents, *buys], default=1.0)

    @property
    def keep(self) -> float:
        """Share of a deductible cost that taxes do not give back."""
        return 1.0 if self.problem.tax is None else 1.0 - self.problem.tax.rate

    @property
    def most_busy(self) -> Floats:
        """Largest share of the time that chips of each kind can be at work, over all demands."""
        most = np.zeros(len(self.chips))
        for pair in self.pairs:
            most[pair.chip] = max(most[pair.chip], pair.busy)
        for start in self.starts:
            index = self.chips.index(start.need.chip)
            most[index] = max(most[index], start.need.busy)
        return most

    def label(self, kind: int) -> tuple[str, str]:
        """Chip and site of a kind, as a reader knows them; no site where there is only one."""
        name = self.chips[kind]
        return base_name(self.problem, name), site_of(self.problem, name)

    @property
    def owned(self) -> tuple[int, ...]:
        """Kinds whose chips of one's own are counted apart, because some could be moved, or sold beside leased ones."""
        moved = {order.source for order in self.orders if order.source >= 0 and order.parent < 0}
        leased = {order.kind for order in self.orders if order.offer >= 0 and self.problem.offers[order.offer].kind == "lease"}
        sold = self.problem.resale_allowed and not self.lateness_priced
        return tuple(sorted(moved | (leased if sold else set())))

    @property
    def months(self) -> int:
        """Length of the plan."""
        return self.problem.months

    @property
    def count(self) -> int:
        """How many scenarios."""
        return len(self.scenarios)


def energy_cost(problem: PurchaseProblem, chip: str, watts: float) -> float:
    """Money for one chip that draws ``watts`` for a month, cooling included.

    Equation:
        W h / 1000 x PUE x tariff.

    Sources:
        [derived].
    """
    costs = problem.costs[chip]
    return watts * HOURS_PER_MONTH / 1000.0 * costs.pue * costs.energy_per_kwh


def build(
    problem: PurchaseProblem,
    scenarios: tuple[Scenario, ...],
    lateness_priced: bool = False,
    decided: Collection[tuple[str, int]] | None = None,
) -> Shape:
    """Columns and figures of a problem over scenarios.

    Args:
        problem: demands, offers and limits.
        scenarios: ways in which the future may turn out.
        lateness_priced: lateness has a price rather than being ruled out; always so with several scenarios.
        decided: names and months of orders that hold, where nothing is decided any more: sales that are none of them are
            left out, and these are there whatever the scenarios.

    Raises:
        InputError: the problem is not well posed.
    """
    problem, scenarios = placed(problem, scenarios)
    _check(problem)
    priced = lateness_priced or len(scenarios) > 1
    chips = tuple(sorted({need.chip for demand in problem.demands for need in demand.options}))
    services = tuple(demand for demand in problem.demands if demand.kind == "serve")
    runs = tuple(demand for demand in problem.demands if demand.kind == "train")
    rents = tuple(o for o in problem.offers if o.kind in HOURLY and o.chip in chips)
    resale = resale_values(problem, scenarios, chips)
    site, hosted = _have(problem, chips)
    orders = orders_of(problem, scenarios, chips, resale, site if priced and problem.resale_allowed else None, decided)
    tokens = tuple(
        (index, offer)
        for index, demand in enumerate(services)
        for offer in problem.offers
        if offer.kind == "api" and offer.chip == demand.api_model and demand.api_mtokens > 0.0
    )
    allowed = np.array([[may_wait(demand, month) for month in range(problem.months)] for demand in services], dtype=bool)
    allowed = allowed.reshape(len(services), problem.months)
    shape = Shape(
        problem=problem,
        scenarios=scenarios,
        weights=np.array([scenario.weight for scenario in scenarios]),
        chips=chips,
        orders=orders,
        starts=_starts(problem, runs),
        services=services,
        runs=runs,
        pairs=_pairs(services, chips, whole=not priced),
        rents=rents,
        tokens=tokens,
        level=_levels(problem, scenarios, services),
        rent_cost=_rent_cost(problem, scenarios, rents),
        rent_stock=_rent_stock(problem, rents),
        token_cost=_token_cost(problem, scenarios, services, tokens),
        wait_cost=_wait_cost(problem, services, allowed, len(scenarios)),
        wait_allowed=np.ones_like(allowed) if priced else allowed,
        lateness_priced=priced,
        have_site=site,
        have_hosted=hosted,
        resale=resale,
        hold=np.array([_hold(problem, chip) for chip in chips]),
        energy_idle=np.array([energy_cost(problem, chip, problem.costs[chip].idle_w) for chip in chips]),
        energy_busy=np.array(
            [
                energy_cost(problem, chip, costs.busy_w - costs.idle_w) * costs.work_price
                for chip, costs in ((chip, problem.costs[chip]) for chip in chips)
            ]
        ),
    )
    return _following(shape, allowed) if len(scenarios) > 1 and any(one.wait_follows for one in services) else shape


def _check(problem: PurchaseProblem) -> None:
    if not problem.demands:
        raise InputError("nothing is wanted", fix="give at least one demand")
    if problem.months < 1:
        raise InputError(f"months: a plan needs at least one, got {problem.months}", fix="write for example 12")
    names = [demand.name for demand in problem.demands]
    if len(set(names)) != len(names):
        raise InputError("two demands share one name", fix="give each its own")
    for demand in problem.demands:
        if not demand.options:
            raise InputError(f"demand {demand.name}: no kind of chip can meet it", fix="give at least one option")
        for need in demand.options:
            if need.chips <= 0.0 or not 0.0 < need.busy <= 1.0 or (demand.kind == "train" and need.months <= 0.0):
                raise InputError(f"demand {demand.name} on {need.chip}: chips, share of time and months must be positive")
            if need.chip not in problem.costs:
                raise InputError(f"demand {demand.name}: the costs of {need.chip} are not given", fix="add its costs")
    for limit, name in ((problem.budget, "budget"), (problem.power_limit_w, "power limit")):
        if limit is not None and not limit >= 0.0:
            raise InputError(f"{name}: must not be negative, got {limit:g}")


def may_wait(demand: Demand, month: int) -> bool:
    """Whether a part of a service may wait in a month."""
    return demand.due_month is not None and month < demand.due_month


def _hold(problem: PurchaseProblem, chip: str) -> float:
    costs = problem.costs[chip]
    return costs.room + costs.spares + costs.support + costs.staff


def _starts(problem: PurchaseProblem, runs: tuple[Demand, ...]) -> tuple[Start, ...]:
    found = []
    for index, demand in enumerate(runs):
        end = problem.months if demand.due_month is None else min(demand.due_month + 1, problem.months)
        for need in demand.options:
            for month in range(demand.first_month, problem.months):
                ends = month + need.months
                late = demand.due_months is not None and ends > demand.first_month + demand.due_months + 1e-9
                if ends <= end + 1e-9 and not late:
                    found.append(Start(index, need, month, demand.wait_price * (month - demand.first_month)))
    return tuple(found)


def _pairs(services: tuple[Demand, ...], chips: tuple[str, ...], whole: bool) -> tuple[Pair, ...]:
    """Services on kinds of chip; where replicas are counted in whole ones, they carry all that they can.

    Of more than ``MOST_WHOLE`` replicas a part of one is less than a hundredth: those count in proportion.
    """
    found = []
    for index, demand in enumerate(services):
        best: dict[str, Need] = {}
        for need in demand.options:
            if need.chip not in best or need.chips < best[need.chip].chips:
                best[need.chip] = need
        for chip, need in best.items():
            few = need.replica > 0.0 and need.chips <= MOST_WHOLE * need.replica
            filled, replica = (need.filled, need.replica) if whole and few else (1.0, 0.0)
            found.append(Pair(index, chips.index(chip), need.chips * filled, need.busy, replica))
    return tuple(found)


def _levels(problem: PurchaseProblem, scenarios: tuple[Scenario, ...], services: tuple[Demand, ...]) -> Floats:
    level = np.zeros((len(scenarios), len(services), problem.months))
    for d, demand in enumerate(services):
        last = problem.months - 1 if demand.last_month is None else demand.last_month
        for month in range(demand.first_month, min(last, problem.months - 1) + 1):
            base = demand.level[month] if month < len(demand.level) else (demand.level[-1] if demand.level else 1.0)
            for s, scenario in enumerate(scenarios):
                level[s, d, month] = base * (scenario.growth[demand.name][month] if demand.name in scenario.growth else 1.0)
    return level


def _rent_cost(problem: PurchaseProblem, scenarios: tuple[Scenario, ...], rents: tuple[Offer, ...]) -> Floats:
    cost = np.zeros((len(scenarios), len(rents), problem.months))
    for r, offer in enumerate(rents):
        for s, scenario in enumerate(scenarios):
            path = np.array(scenario.rent[offer.id]) if offer.id in scenario.rent else np.ones(problem.months)
            cost[s, r] = offer.price.value * HOURS_PER_MONTH * path
    return cost


def _rent_stock(problem: PurchaseProblem, rents: tuple[Offer, ...]) -> Floats:
    stock = np.zeros((len(rents), problem.months))
    for r, offer in enumerate(rents):
        for month in orderable(offer, problem.start, problem.months):
            begin = month - nominal_delay(offer)
            stock[r, month] = stock_until(offer, problem.start, month) if begin >= 0 else 0.0
    return stock


def _token_cost(
    problem: PurchaseProblem,
    scenarios: tuple[Scenario, ...],
    services: tuple[Demand, ...],
    tokens: tuple[tuple[int, Offer], ...],
) -> Floats:
    cost = np.zeros((len(scenarios), len(tokens), problem.months))
    for a, (d, offer) in enumerate(tokens):
        for s, scenario in enumerate(scenarios):
            path = np.array(scenario.rent[offer.id]) if offer.id in scenario.rent else np.ones(problem.months)
            cost[s, a] = _tokens_bill(services[d], offer) * path
    return cost


def _tokens_bill(demand: Demand, offer: Offer) -> float:
    """Price of a month of a service at level 1 under an offer of tokens: what it reads and what it writes."""
    read = offer.price_in.value * demand.api_input_mtokens if offer.price_in else 0.0
    return read + offer.price.value * demand.api_mtokens


def late_price(problem: PurchaseProblem, demand: Demand) -> float:
    """Price of a month in which the whole of a service is late in a scenario that nothing can mend.

    Three times the dearest rent that would serve it (a tenth of the dearest price, where nothing is let by the hour), and
    never less than one and a half times its own price of waiting.

    Equation:
        max(3 x dearest rent of a month x chips, 1.5 x price of waiting).

    Sources:
        [derived].
    """
    chips = {need.chip: need.chips for need in demand.options}
    ours = [offer for offer in problem.offers if offer.chip in chips]
    rents = [o.price.value * HOURS_PER_MONTH * chips[o.chip] for o in ours if o.kind in HOURLY]
    terms = [o.price.value * HOURS_PER_MONTH * chips[o.chip] for o in ours if o.kind in ("lease", "reserve")]
    prices = [0.1 * o.price.value * chips[o.chip] for o in ours if o.kind == "buy"]
    dearest = max(rents or [*terms, *prices, 0.0])
    return max(3.0 * dearest, _LATE * demand.wait_price)


def _wait_cost(problem: PurchaseProblem, services: tuple[Demand, ...], allowed: NDArray[np.bool_], scenarios: int) -> Floats:
    """Price of waiting by scenario, service and month; where waiting is not allowed, the price of being late."""
    late = np.array([late_price(problem, demand) for demand in services]).reshape(-1, 1)
    wait = np.array([demand.wait_price for demand in services]).reshape(-1, 1)
    return np.repeat(np.where(allowed, wait, late)[None], scenarios, axis=0)


def _following(shape: Shape, allowed: NDArray[np.bool_]) -> Shape:
    """A shape whose prices of waiting are just above what would end it in each future, not in the expected one alone."""
    from suanzhang.money.procurement.waiting import waiting_prices

    cost = shape.wait_cost.copy()
    for d, demand in enumerate(shape.services):
        if demand.wait_follows:
            wait = np.maximum(waiting_prices(shape, demand), demand.wait_price)[:, None]
            cost[:, d] = np.where(allowed[d], wait, np.maximum(cost[:, d], _LATE * wait))
    return replace(shape, wait_cost=cost)


def _have(problem: PurchaseProblem, chips: tuple[str, ...]) -> tuple[Floats, Floats]:
    site, hosted = np.zeros((len(chips), problem.months)), np.zeros((len(chips), problem.months))
    for holding in problem.have:
        if holding.chip not in chips:
            continue
        until = problem.months if holding.until_month is None else min(holding.until_month, problem.months)
        target = site if holding.owned else hosted
        target[chips.index(holding.chip), max(holding.from_month, 0) : until] += holding.chips
    return site, hosted


def spot_share(offer: Offer) -> float:
    """Share of a rented chip that can be counted on: a spot chip that is taken back is away until another is had.

    Its inverse less one is the share of spare chips that stand beside the spot chips of a plan.

    Equation:
        1 - months until another is had x interruptions per month.

    Sources:
        [derived].
    """
    if offer.kind != "spot":
        return 1.0
    return max(1.0 - figure("spot_replace_months").value * offer.interruption_per_month, 0.0)
