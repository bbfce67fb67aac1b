"""Scenarios of supply and of the market: what can be delivered, what was recorded, what substitutes cost, what mixes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from suanzhang.app.scenario_draws import grade_factor, spread_of, whole_spread
from suanzhang.app.scenario_inputs import Inputs
from suanzhang.app.scenario_owning import Owning, owning, owning_draws
from suanzhang.app.scenarios import Answer, scenario
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.markets import PricePoint, price_history
from suanzhang.catalog.markets import market as find_market
from suanzhang.errors import Infeasible, InputError
from suanzhang.money.procurement.calendar import month_number, orderable, stock_until
from suanzhang.spec.buy import BuyResult
from suanzhang.spec.draws import DRAWS, Floats, standard_normal, two_piece_lognormal
from suanzhang.spec.market import Offer
from suanzhang.spec.result import Z95, Interval
from suanzhang.units import format_count

if TYPE_CHECKING:
    from suanzhang.app.plan import Sized

GAP = 5e-3
"""How near to its bound the plan of one future must come: futures differ by far more."""
WEEKS_PER_MONTH = 365.25 / 12.0 / 7.0
_P90 = 1.2815515655446004


@scenario("delivery")
def delivery(inputs: Inputs) -> Answer:
    """Chips of some kinds that a market can deliver within some months: inputs market, kinds (a list), start, months;
    answers chips_delivered (its interval: delivery at the 95th and 5th percentile of the lead times)."""
    market, months = find_market(inputs.text("market")), inputs.whole("months")
    start, offers = inputs.text("start", market.date), sold(inputs)
    middle, late, soon = (sum(delivered(offer, start, months, z) for offer in offers) for z in (0.0, Z95, -Z95))
    words = ", ".join(f"{format_count(delivered(o, start, months, 0.0))} {find_chip(o.chip).name}" for o in offers)
    return {
        "chips_delivered": middle,
        "chips_delivered_interval": Interval(late, middle, soon),
        "explanation": f"Ordered from {start} as fast as stocks allow, {months} months bring {words} at the usual delay.",
    }


def sold(inputs: Inputs) -> list[Offer]:
    """Offers of the kinds of chip of a claim that its market sells.

    Raises:
        InputError: the kinds are no list of chips, the month is none, or the market sells none of them.
    """
    market = find_market(inputs.text("market"))
    start, kinds = inputs.text("start", market.date), inputs.raw("kinds")
    if not isinstance(kinds, list) or not kinds or not all(isinstance(kind, str) for kind in kinds):
        raise InputError(f"{inputs.where}: kinds must be a list of chips", fix="write for example [a800-sxm-80]")
    month_number(start, f"{inputs.where}: start")
    wanted = {find_chip(kind).id for kind in kinds}
    offers = [
        offer for offer in market.offers if offer.kind == "buy" and offer.chip in wanted and offer.id not in market.excluded
    ]
    if not offers:
        raise InputError(f"{inputs.where}: market {market.id} sells none of these chips", fix="name another market or chip")
    return offers


def delivered(offer: Offer, start: str, months: int, z: float) -> float:
    """Chips in use at the end of the months when each order takes a percentile of the lead time."""
    lead = offer.lead
    if lead.median_months <= 0.0:
        delay = 0.0
    else:
        delay = lead.median_months * math.exp(z * math.log(max(lead.p90_months / lead.median_months, 1.0)) / _P90)
    last = math.floor(months - delay)
    open_months = orderable(offer, start, months)
    if last < 1 or not len(open_months) or open_months.start >= last:
        return 0.0
    stock = stock_until(offer, start, min(last - 1, open_months.stop - 1))
    if math.isinf(stock):
        raise InputError(f"offer {offer.id} has no stock limit", fix="take a market that states stocks")
    return stock


@scenario("queue")
def queue(inputs: Inputs) -> Answer:
    """Weeks until the last chip of an order is handed over by who serves orders in turn: inputs market, chip, order (chips),
    orders_ahead (chips), and stock (chips) and deliveries_per_month where they are not those of the market's offer; answers
    weeks, chips_within (of the order) by within_weeks."""
    market, chip = find_market(inputs.text("market")), find_chip(inputs.text("chip"))
    offers = [offer for offer in market.offers if offer.kind == "buy" and offer.chip == chip.id]
    if not offers:
        raise InputError(f"{inputs.where}: market {market.id} sells no {chip.name}", fix="name another market or chip")
    offer, stated = offers[0], inputs.has("deliveries_per_month")
    stock = inputs.number("stock", default=offer.stock_chips or 0.0, positive=False)
    monthly = inputs.number("deliveries_per_month", default=offer.stock_per_month or 0.0, positive=False)
    ahead, order = inputs.number("orders_ahead", default=0.0, positive=False), inputs.number("order")
    if min(stock, monthly, ahead) < 0.0:
        raise InputError(f"{inputs.where}: stock, deliveries and orders ahead cannot be negative", fix="give zero or more")
    within = inputs.number("within_weeks", default=WEEKS_PER_MONTH)
    rates = monthly * (np.ones(DRAWS) if stated else _drawn_rate(offer, chip.id))
    weeks, come = _waited(ahead + order - stock, monthly), _come(stock - ahead, order, monthly, within)
    words = f"{format_count(ahead)} are ordered ahead, {format_count(stock)} in stock, {format_count(monthly)} a month come"
    return {
        "weeks": weeks,
        "weeks_interval": spread_of(weeks, np.array([_waited(ahead + order - stock, float(rate)) for rate in rates])),
        "chips_within": come,
        "chips_within_interval": spread_of(come, np.array([_come(stock - ahead, order, float(r), within) for r in rates])),
        "exact": ("weeks", "chips_within") if stated else (),
        "explanation": f"{words}: the order waits its turn, before the time it travels ({offer.lead.median_months:g} months).",
    }


def _drawn_rate(offer: Offer, chip: str) -> Floats:
    """True over stated monthly deliveries of an offer, drawn by the grade of what is known of its delivery."""
    return two_piece_lognormal(grade_factor(offer.lead.grade), standard_normal(f"deliveries of {chip}"))


def _waited(short: float, monthly: float) -> float:
    """Weeks until as many chips have come as are short; infinite when none come."""
    if short <= 0.0:
        return 0.0
    return short / monthly * WEEKS_PER_MONTH if monthly > 0.0 else math.inf


def _come(left: float, order: float, monthly: float, weeks: float) -> float:
    """Chips of an order that are handed over within some weeks, with what the stock leaves after the orders ahead."""
    return min(max(left + monthly * weeks / WEEKS_PER_MONTH, 0.0), order)


@scenario("recorded-change")
def recorded_change(inputs: Inputs) -> Answer:
    """Fall of a recorded price between two months: inputs chip, kind (buy or rent), region, from, to; answers
    fall_fraction (negative: it rose) by the recorded points nearest to the two months."""
    ends = recorded_ends(inputs)
    first, last = ends
    fall = 1.0 - last.price.value / first.price.value
    paid = [_recorded(point) for point in ends]
    return {
        "fall_fraction": fall,
        "fall_fraction_interval": spread_of(fall, 1.0 - paid[1] / paid[0]),
        "explanation": (
            f"Recorded: {first.price.value:g} {first.price.unit} in {first.price.date}, {last.price.value:g} in "
            f"{last.price.date}, {'a fall' if fall >= 0.0 else 'a rise'} of {abs(fall):.0%}."
        ),
    }


def recorded_ends(inputs: Inputs) -> tuple[PricePoint, PricePoint]:
    """The recorded points nearest to the two months of a claim.

    Raises:
        InputError: no path of this chip is recorded.
    """
    chip, kind = find_chip(inputs.text("chip")), inputs.text("kind", "rent")
    region = inputs.text("region", "world")
    points = [p for p in price_history() if p.chip == chip.id and p.kind == kind and p.region == region]
    if len(points) < 2:
        raise InputError(f"{inputs.where}: no {kind} price path of {chip.id} is recorded", fix="take a chip with a record")

    def nearest(name: str) -> PricePoint:
        month = month_number(inputs.text(name), f"{inputs.where}: {name}")
        return min(points, key=lambda p: abs(month_number(p.price.date) - month))

    return nearest("from"), nearest("to")


@scenario("older-chip")
def older_chip(inputs: Inputs) -> Answer:
    """Owning slower chips for the same work: inputs chip, other, market, relative_performance, months; answers extra_cost
    (total cost for the same work over that on the chip, less one), price_for_same_cost, chips_ratio."""
    market, months = find_market(inputs.text("market")), inputs.whole("months")
    chip, other = find_chip(inputs.text("chip")), find_chip(inputs.text("other"))
    speed = inputs.number("relative_performance", "fraction")
    base, slow = per_month(owning(market, chip, months), months), per_month(owning(market, other, months), months)
    price = owning(market, other, months).price
    extra = slow / speed / base - 1.0
    even = price + (base * speed - slow) * months
    bases, slows = (np.array([per_month(own, months) for own in owning_draws(market, kind, months)]) for kind in (chip, other))
    prices = np.array([own.price for own in owning_draws(market, other, months)])
    return {
        "extra_cost": extra,
        "extra_cost_interval": spread_of(extra, slows / speed / bases - 1.0),
        "price_for_same_cost": even,
        "price_for_same_cost_interval": spread_of(even, prices + (bases * speed - slows) * months),
        "exact": ("chips_ratio",),
        "chips_ratio": 1.0 / speed,
        "explanation": (
            f"Over {months} months an owned {chip.name} costs {base:,.0f} {market.currency} a month in all, an owned "
            f"{other.name} {slow:,.0f}; {1.0 / speed:.2f} of these do the same work."
        ),
    }


def per_month(own: Owning, months: int) -> float:
    """Total cost of an owned chip per month, its worth at the end taken off."""
    costs = own.costs
    left = max(1.0 - months / costs.infra_life_months, 0.0)
    infra = costs.host + costs.network + costs.storage
    return (own.price - own.left + infra * (1.0 - left)) / months + own.run


def _recorded(point: PricePoint) -> Floats:
    """The typical price that a recorded point stands for, drawn by its grade."""
    name = f"{point.series} {point.price.date}"
    return two_piece_lognormal(grade_factor(point.price.grade), standard_normal(name)) * point.price.value


@scenario("mixed-fleet")
def mixed_fleet(inputs: Inputs) -> Answer:
    """Kinds of chip in the cheapest plan for one service: inputs model, market, chips (a list, all if left out), start,
    months, visits_per_day, input_tokens, output_tokens, ttft_p99, tpot_p99; answers kinds, cost, mixed_share (of the futures
    in which the cheapest plan mixes kinds)."""
    import yaml

    from suanzhang.app.plan import schedule, size_question
    from suanzhang.app.question import read_question
    from suanzhang.app.scenario_futures import futures

    market = find_market(inputs.text("market"))
    tokens = {"input": inputs.raw("input_tokens"), "output": inputs.raw("output_tokens")}
    slo = {name: inputs.raw(name) for name in ("ttft_p99", "tpot_p99") if inputs.has(name)}
    service = {
        "name": "service", "model": inputs.text("model"), "visits_per_day": inputs.raw("visits_per_day"),
        "tokens": {key: value if isinstance(value, dict) else {"mean": value} for key, value in tokens.items()}, "slo": slo,
    }  # fmt: skip
    asked = {
        "title": inputs.where, "currency": market.currency, "start": inputs.text("start", market.date),
        "months": inputs.whole("months"), "market": market.id, "serve": [service],
        "chips": {"allow": inputs.raw("chips") if inputs.has("chips") else []},
    }  # fmt: skip
    sized = size_question(read_question(yaml.safe_dump(asked)), lambda _: None)
    found = schedule(sized, deep=False)
    shares = _shares(found)
    words = ", ".join(f"{share:.0%} {name}" for share, name in shares)
    drawn = [_solved(other) for other in futures(sized)]
    kinds = np.array([count for count, _ in drawn if count])
    mixed = float(np.mean(kinds > 1)) if len(kinds) else 0.0
    costs = np.array([cost for count, cost in drawn if count])
    return {
        "kinds": float(len(shares)),
        "kinds_interval": whole_spread(float(len(shares)), kinds) if len(kinds) else None,
        "mixed_share": mixed,
        "mixed_share_interval": share_spread(float(np.sum(kinds > 1)), float(len(kinds))),
        "cost": found.cost.amount,
        "cost_interval": spread_of(found.cost.amount, costs) if len(kinds) else None,
        "explanation": (
            f"Of all chip-months of the cheapest plan: {words}; kinds below 1 % are not counted. Solved again in "
            f"{len(drawn)} futures of prices, delays and capacities, {mixed:.0%} of the plans mix kinds."
        ),
    }


def share_spread(found: float, tried: float) -> Interval:
    """The interval of a share that was counted in a number of draws.

    Equation:
        Wilson: (k + z**2/2)/(n + z**2) +- z sqrt(k (n - k)/n + z**2/4)/(n + z**2); all shares where nothing was drawn.
    """
    if tried <= 0.0:
        return Interval(0.0, 0.0, 1.0)
    middle, whole = found + 0.5 * Z95**2, tried + Z95**2
    half = Z95 * math.sqrt(found * (tried - found) / tried + 0.25 * Z95**2)
    return Interval(max((middle - half) / whole, 0.0), found / tried, min((middle + half) / whole, 1.0))


def _solved(sized: Sized) -> tuple[int, float]:
    """Kinds and cost of the cheapest plan of one future; no kinds where nothing can be had in time."""
    from suanzhang.app.buy import RiskOptions
    from suanzhang.app.plan import schedule

    try:
        found = schedule(sized, deep=False, risk=RiskOptions(gap=GAP))
    except Infeasible:
        return 0, 0.0
    return len(_shares(found)), found.cost.amount


def _shares(found: BuyResult) -> list[tuple[float, str]]:
    """Share of each kind in the chip-months of a schedule, the largest first."""
    used: dict[str, float] = {}
    for state in found.months:
        for fleet in (state.owned, state.rented):
            for name, chips in fleet.items():
                used[name] = used.get(name, 0.0) + chips
    total = sum(used.values()) or 1.0
    return sorted(((chips / total, name) for name, chips in used.items() if chips / total >= 0.01), reverse=True)
