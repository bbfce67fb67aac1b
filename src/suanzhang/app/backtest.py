"""`backtest`: replay recorded prices month by month without foresight, against simple rules and against hindsight."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from suanzhang.app.buy import site_in
from suanzhang.app.header import header
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.markets import markets, price_history
from suanzhang.catalog.sites import site as find_site
from suanzhang.catalog.sources import sources as all_sources
from suanzhang.errors import InputError
from suanzhang.money.costs import chip_costs
from suanzhang.money.figures import figure
from suanzhang.money.procurement.calendar import month_name, month_number, nominal_delay
from suanzhang.money.procurement.scenarios import Uncertainty, draw_scenarios
from suanzhang.money.procurement.solve import solve_shape
from suanzhang.money.procurement.worth import cost_of_orders
from suanzhang.source import Quoted
from suanzhang.spec.backtest import BacktestResult, BacktestRow
from suanzhang.spec.buy import Demand, Holding, Need, PurchaseProblem, Scenario
from suanzhang.spec.market import LeadTime, Offer
from suanzhang.spec.result import Interval, Money, SourceUse

KINDS = ("a100-sxm-80", "h100-sxm-80")
"""Kinds of chip of which both purchase prices and rents are recorded over years."""
_SITE, _CURRENCY = "us-virginia", "USD"
_EVERY_MONTHS = 6
_HORIZONS = (12, 24, 36)
_FUTURES = 12
_LOT = 8
_PRIOR_MONTHS = 24.0
_RULES = ("planned", "rent_all", "contract_all", "contract_3y_all", "buy_at_once")
_TERMS = {"contract": 12, "contract-3y": 36}
"""Contracts by the id of their offer: months for which they are signed, and owed."""
_HAD = {"buy": "bought", "contract": "under contract for a year", "contract-3y": "under contract for three years"}
NEEDS = ("steady", "growing", "project", "swinging")
"""Steady use; a quarter growing to the whole; a third of the time and then nothing; every other quarter of a year."""


def need_levels(need: str, months: int) -> tuple[float, ...]:
    """How much of the chips is needed in each month."""
    if need == "growing":
        return tuple(0.25 + 0.75 * month / max(months - 1, 1) for month in range(months))
    if need == "project":
        return tuple(1.0 if month < months / 3.0 else 0.0 for month in range(months))
    if need == "swinging":
        return tuple(1.0 if month // 3 % 2 == 0 else 0.25 for month in range(months))
    return (1.0,) * months


@dataclass(frozen=True, slots=True)
class History:
    """A recorded series: months since year 0 and values, in between along a straight line of logarithms."""

    months: tuple[int, ...]
    values: tuple[float, ...]
    sources: tuple[str, ...]

    def at(self, month: int) -> float:
        """The recorded or interpolated value of a month within the record."""
        return float(np.exp(np.interp(month, self.months, np.log(self.values))))

    def trend(self, month: int, prior: float) -> float:
        """Yearly change of the logarithm as known in a month: the record so far, shrunk to what was thought before.

        Only values of that month and before are looked at.
        """
        seen = range(max(self.months[0], month - 12), month + 1)
        if len(seen) < 2:
            return prior
        change = math.log(self.at(seen[-1]) / self.at(seen[0])) / (len(seen) - 1) * 12.0
        weight = (len(seen) - 1) / (len(seen) - 1 + _PRIOR_MONTHS)
        return weight * change + (1.0 - weight) * prior


def recorded(chip: str, kind: str) -> History:
    """The recorded purchase prices or rents of a chip on the world market.

    Raises:
        InputError: fewer than two points are recorded.
    """
    points = [p for p in price_history() if p.chip == chip and p.kind == kind and p.region == "world"]
    if len(points) < 2:
        raise InputError(f"no price path of {chip} ({kind}) is recorded", fix=f"take one of {', '.join(KINDS)}")
    return History(
        tuple(month_number(p.price.date) for p in points),
        tuple(p.price.value for p in points),
        tuple(dict.fromkeys(p.price.source for p in points)),
    )


def backtest(
    *, chips: int = 64, horizon: int = 0, seed: int = 0, progress: Callable[[str], None] | None = None
) -> BacktestResult:
    """Replay the recorded prices of 2022 to 2026: chips must be at work, steadily or not.

    Each month the purchase plan is made again from the prices of that month, the trend of the months before it and
    random futures; only the orders of that month are placed. What comes later is not known to it.

    Args:
        chips: most chips that must be at work, whole servers of eight.
        horizon: months of each replay; one, two and three years when left out.
        seed: of the random futures.
        progress: called with a line for each replay.

    Raises:
        InputError: a number cannot be used, or the record is shorter than the horizon.
    """
    if chips < 1 or chips % _LOT:
        raise InputError(f"chips: must be whole servers of {_LOT}, got {chips}", fix=f"give a multiple of {_LOT}")
    tell = progress or (lambda _: None)
    rows, keys = [], []
    for kind in KINDS:
        past = Past.recorded(kind)
        buy, rent = past.buy, past.rent
        keys += [*buy.sources, *rent.sources, *(source for share in past.shares.values() for source in share.sources)]
        first = max(buy.months[0], rent.months[0])
        for months in (horizon,) if horizon else _HORIZONS:
            last = min(buy.months[-1], rent.months[-1]) - months
            for start in range(first, last + 1, _EVERY_MONTHS):
                tell(f"replay {kind}, {months} months from {_iso(start)}")
                rows += [_Replay(_Case(kind, need, start, months, chips, seed), past).row() for need in NEEDS]
    if not rows:
        raise InputError(f"horizon: the record is shorter than {horizon} months", fix="give fewer months")
    regrets = {
        "planned": [row.regret_planned for row in rows],
        "rent_all": [row.regret_rent for row in rows],
        "contract_all": [row.regret_contract for row in rows],
        "contract_3y_all": [row.regret_contract_3y for row in rows],
        "buy_at_once": [row.regret_buy for row in rows],
    }
    return BacktestResult(
        header(seed),
        chips,
        tuple(rows),
        tuple((rule, float(np.mean(regrets[rule]))) for rule in _RULES),
        tuple((rule, float(np.max(regrets[rule]))) for rule in _RULES),
        sum(bool(row.beaten_by) for row in rows),
        _sources(keys),
        (
            "prices between recorded points follow a straight line of logarithms; list prices, not what was billed",
            "a contract over one or three years costs the share of the rent by the hour that large vendors asked for it, "
            "recorded to March 2025 and then held; it is owed in full, also beyond a replay, and cannot be let to others",
            "three years fit the record once: contracts over three years outlast the other replays",
            "delivery takes what the market of the time quoted; it does not change within a replay",
            "replays that overlap in time are not independent of each other",
            "no used chip is sold before the end; then it fetches what its curve and the price of a new one say",
        ),
        tuple((rule, mean_interval([row.start for row in rows], regrets[rule], seed)) for rule in _RULES),
    )


_DRAWS = 2000


def mean_interval(starts: Sequence[str], values: Sequence[float], seed: int) -> Interval:
    """The interval of a mean over replays: first months are drawn again with all of their replays (bootstrap).

    Args:
        starts: first month of each replay.
        values: regret of each.
        seed: of the draws.
    """
    names = sorted(set(starts))
    sums, counts = np.zeros(len(names)), np.zeros(len(names))
    for start, value in zip(starts, values, strict=True):
        sums[names.index(start)] += value
        counts[names.index(start)] += 1.0
    drawn = np.random.default_rng(seed).integers(0, len(names), (_DRAWS, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.05, 0.95))
    mean = float(np.mean(values))
    return Interval(min(float(low), mean), mean, max(float(high), mean))


def _iso(month: int) -> str:
    return month_name("0000-01", month)


def _sources(keys: list[str]) -> tuple[SourceUse, ...]:
    known = all_sources()
    return tuple(
        SourceUse(key, known[key].title, known[key].url, "published", ("recorded prices",))
        for key in dict.fromkeys(keys)
        if key in known
    )


def _lead(chip: str, month: int) -> LeadTime:
    """Delivery of a chip as quoted by the latest market before a month; by the first market when there is none."""
    dated = sorted((market for market in markets().values() if market.region == "US"), key=lambda market: market.date)
    found = [
        (month_number(market.date), offer.lead)
        for market in dated
        for offer in market.offers
        if offer.chip == chip and offer.kind == "buy"
    ]
    before = [lead for date, lead in found if date <= month]
    if before:
        return before[-1]
    return found[0][1] if found else LeadTime(2.0, 4.0, "assumed-market", "assumed")


@dataclass(frozen=True, slots=True)
class Past:
    """What was recorded of one kind of chip: purchase prices, rents by the hour, and prices of contracts as a share of them."""

    buy: History
    rent: History
    shares: Mapping[str, History]

    @classmethod
    def recorded(cls, chip: str) -> Past:
        """The record of a chip on the world market."""
        shares = {name: recorded(chip, name.replace("contract", "contract-share")) for name in _TERMS}
        return cls(recorded(chip, "buy"), recorded(chip, "rent"), shares)

    def contract(self, name: str, month: int) -> float:
        """Price of a chip-hour under a contract signed in a month."""
        return self.rent.at(month) * self.shares[name].at(month)


@dataclass(frozen=True, slots=True)
class _Case:
    """A replay: kind of chip, need, first month since year 0, length, most chips at work, seed of the random futures."""

    chip: str
    need: str
    start: int
    horizon: int
    chips: int
    seed: int


class _Replay:
    """One kind of chip and need from one month on, with the record of its prices."""

    def __init__(self, case: _Case, past: Past) -> None:
        self.chip, self.need, self.past = case.chip, case.need, past
        self.start, self.horizon, self.chips, self.seed = case.start, case.horizon, case.chips, case.seed
        self.lead = _lead(case.chip, case.start)
        wanted = need_levels(case.need, case.horizon)
        self.level = tuple(round(level * case.chips) / case.chips for level in wanted)

    def problem(self, month: int, trend: float, have: tuple[Holding, ...] = ()) -> PurchaseProblem:
        """What is to be decided in a month, at its prices."""
        left, date = self.start + self.horizon - month, _iso(month)
        now = LeadTime(0.0, 0.0, "assumed-market", "assumed")

        def quoted(value: float, unit: str) -> Quoted:
            return Quoted(value, f"{_CURRENCY}/{unit}", "recorded", "derived", date)

        past = self.past
        offers = (
            Offer("buy", "buy", self.chip, quoted(past.buy.at(month), "chip"), False, 0, self.lead, lot_chips=_LOT),
            Offer("rent", "rent", self.chip, quoted(past.rent.at(month), "chip_h"), True, 0, now),
            *(
                Offer(name, "reserve", self.chip, quoted(past.contract(name, month), "chip_h"), True, term, now, lot_chips=_LOT)
                for name, term in _TERMS.items()
            ),
        )
        place = site_in(find_site(_SITE), _CURRENCY, date)
        costs = chip_costs(find_chip(self.chip), past.buy.at(month), place, left, _CURRENCY, 1.0)
        work = Demand("work", "serve", (Need(self.chip, float(self.chips)),), level=self.level[-left:])
        return PurchaseProblem(
            (work,), offers, {self.chip: costs}, left, date, _CURRENCY,
            have=have, price_change_per_year=math.expm1(trend), interest_per_year=figure("interest_per_year").value,
            resale_allowed=False, gap=1e-3, time_limit_s=20.0,
        )  # fmt: skip

    def truth(self) -> tuple[PurchaseProblem, Scenario]:
        """The whole replay at the prices that came."""
        past, months = self.past, range(self.start, self.start + self.horizon)

        def path(price: Callable[[int], float]) -> tuple[float, ...]:
            return tuple(price(month) / price(self.start) for month in months)

        trend = math.log(past.buy.at(months[-1]) / past.buy.at(self.start)) / self.horizon * 12.0
        rents = {"rent": path(past.rent.at)} | {name: path(partial(past.contract, name)) for name in _TERMS}
        return self.problem(self.start, trend), Scenario(1.0, {"buy": path(past.buy.at)}, rents)

    def plan(self) -> dict[tuple[str, int], float]:
        """Lots ordered by month when the plan is made again each month on what was known then."""
        prior = math.log1p(figure("price_change_per_year").value)
        sigma = next(iter(markets().values())).price_sigma_per_year
        orders: dict[tuple[str, int], float] = {}
        wait = nominal_delay(replace(self.problem(self.start, 0.0).offers[0], lead=self.lead))
        for index in range(self.horizon - 1):
            month, left = self.start + index, self.horizon - index
            have = self._have(orders, index, wait)
            until_end = sum(holding.chips for holding in have if holding.until_month is None or holding.until_month >= left)
            owed = min(term * self.past.shares[name].at(month) for name, term in _TERMS.items())
            dear = owed >= left  # then renting to the end is cheaper than any contract
            if until_end >= self.chips or (wait >= left and dear):
                continue
            case = self.problem(month, self.past.buy.trend(month, prior), have)
            futures = draw_scenarios(case, Uncertainty(sigma.value if sigma else 0.3), _FUTURES, self.seed + index)
            solved = solve_shape(case, futures)
            for j, order in enumerate(solved.shape.orders):
                if order.month == 0 and solved.outcome.lots[j] > 0.0:
                    orders[order.name, index] = float(solved.outcome.lots[j])
        return orders

    def _have(self, orders: dict[tuple[str, int], float], index: int, wait: int) -> tuple[Holding, ...]:
        """What was ordered before a month and is there, or on its way."""
        have = []
        for (name, ordered), lots in orders.items():
            if name == "buy":
                have.append(Holding(self.chip, lots * _LOT, None, True, 0.0, max(ordered + wait - index, 0)))
            elif ordered + _TERMS[name] > index:
                have.append(Holding(self.chip, lots * _LOT, ordered + _TERMS[name] - index, False))
        return tuple(have)

    def row(self) -> BacktestRow:
        """All four ways at the prices that came."""
        case, true = self.truth()
        orders = self.plan()
        best = solve_shape(replace(case, gap=1e-6), (true,))
        perfect = {
            (order.name, order.month): float(best.outcome.lots[j])
            for j, order in enumerate(best.shape.orders)
            if best.outcome.lots[j] > 0.0
        }
        whole = self.chips / _LOT
        one_year, three_years = (
            {(name, month): whole for month in range(0, self.horizon, term)} for name, term in _TERMS.items()
        )
        ways = {
            "planned": orders, "rent_all": {}, "contract_all": one_year, "contract_3y_all": three_years,
            "buy_at_once": {("buy", 0): whole}, "foresight": perfect,
        }  # fmt: skip
        cost = {name: cost_of_orders(case, (true,), way, {}) for name, way in ways.items()}
        simple = {
            "renting all the time": cost["rent_all"],
            "one-year contracts": cost["contract_all"],
            "three-year contracts": cost["contract_3y_all"],
            "buying at once": cost["buy_at_once"],
        }
        cheapest = min(simple, key=lambda name: simple[name])
        bought = ", ".join(
            f"{lots * _LOT:,.0f} {_HAD[name]} in {_iso(self.start + month)}"
            for (name, month), lots in sorted(orders.items(), key=lambda item: item[0][1])
        )

        def money(name: str) -> Money:
            return Money(round(cost[name], 2), _CURRENCY, _iso(self.start))

        def regret(name: str) -> float:
            return cost[name] / cost["foresight"] - 1.0

        return BacktestRow(
            self.chip, self.need, _iso(self.start), self.horizon, money("rent_all"), money("buy_at_once"), money("planned"),
            money("foresight"), regret("planned"), regret("rent_all"), regret("buy_at_once"),
            cheapest if simple[cheapest] < cost["planned"] * (1.0 - 1e-6) else "", bought or "nothing",
            money("contract_all"), regret("contract_all"), money("contract_3y_all"), regret("contract_3y_all"),
        )  # fmt: skip
