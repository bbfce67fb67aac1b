"""Scenarios of supply and of the market: what can be delivered, what was recorded, what substitutes cost, what mixes."""

from __future__ import annotations

import math

from suanzhang.app.scenario_inputs import Inputs
from suanzhang.app.scenarios import Answer, scenario
from suanzhang.app.scenarios_money import own_costs, running_per_month
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.markets import market as find_market
from suanzhang.catalog.markets import price_history
from suanzhang.errors import InputError
from suanzhang.money.procurement.calendar import month_number, orderable, stock_until
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.market import Market, Offer
from suanzhang.spec.result import Z95, Interval
from suanzhang.units import format_count

_P90 = 1.2815515655446004


@scenario("delivery")
def delivery(inputs: Inputs) -> Answer:
    """Chips of some kinds that a market can deliver within some months: inputs market, kinds (a list), start, months;
    answers chips_delivered (its interval: delivery at the 95th and 5th percentile of the lead times)."""
    market, months = find_market(inputs.text("market")), inputs.whole("months")
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
    middle, late, soon = (sum(_delivered(offer, start, months, z) for offer in offers) for z in (0.0, Z95, -Z95))
    words = ", ".join(f"{format_count(_delivered(o, start, months, 0.0))} {find_chip(o.chip).name}" for o in offers)
    return {
        "chips_delivered": middle,
        "chips_delivered_interval": Interval(late, middle, soon),
        "explanation": f"Ordered from {start} as fast as stocks allow, {months} months bring {words} at the usual delay.",
    }


def _delivered(offer: Offer, start: str, months: int, z: float) -> float:
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


@scenario("recorded-change")
def recorded_change(inputs: Inputs) -> Answer:
    """Fall of a recorded price between two months: inputs chip, kind (buy or rent), region, from, to; answers
    fall_fraction (negative: it rose) by the recorded points nearest to the two months."""
    chip, kind = find_chip(inputs.text("chip")), inputs.text("kind", "rent")
    region = inputs.text("region", "world")
    points = [p for p in price_history() if p.chip == chip.id and p.kind == kind and p.region == region]
    if len(points) < 2:
        raise InputError(f"{inputs.where}: no {kind} price path of {chip.id} is recorded", fix="take a chip with a record")
    ends = []
    for name in ("from", "to"):
        month = month_number(inputs.text(name), f"{inputs.where}: {name}")
        ends.append(min(points, key=lambda p: abs(month_number(p.price.date) - month)))
    first, last = ends
    fall = 1.0 - last.price.value / first.price.value
    return {
        "fall_fraction": fall,
        "explanation": (
            f"Recorded: {first.price.value:g} {first.price.unit} in {first.price.date}, {last.price.value:g} in "
            f"{last.price.date}, {'a fall' if fall >= 0.0 else 'a rise'} of {abs(fall):.0%}."
        ),
    }


@scenario("older-chip")
def older_chip(inputs: Inputs) -> Answer:
    """Owning slower chips for the same work: inputs chip, other, market, relative_performance, months; answers extra_cost
    (total cost for the same work over that on the chip, less one), price_for_same_cost, chips_ratio."""
    market, months = find_market(inputs.text("market")), inputs.whole("months")
    chip, other = find_chip(inputs.text("chip")), find_chip(inputs.text("other"))
    speed = inputs.number("relative_performance", "fraction")
    base, _ = _own_per_month(market, chip, months)
    slow, price = _own_per_month(market, other, months)
    extra = slow / speed / base - 1.0
    even = price + (base * speed - slow) * months
    return {
        "extra_cost": extra,
        "price_for_same_cost": even,
        "chips_ratio": 1.0 / speed,
        "explanation": (
            f"Over {months} months an owned {chip.name} costs {base:,.0f} {market.currency} a month in all, an owned "
            f"{other.name} {slow:,.0f}; {1.0 / speed:.2f} of these do the same work."
        ),
    }


def _own_per_month(market: Market, chip: ChipSpec, months: int) -> tuple[float, float]:
    """Total cost of an owned chip per month, its worth at the end taken off, and its price."""
    price, costs = own_costs(market, chip, months)
    left = max(1.0 - months / costs.infra_life_months, 0.0)
    infra = costs.host + costs.network + costs.storage
    whole = price * (1.0 - costs.resale[months]) + infra * (1.0 - left)
    return whole / months + running_per_month(costs), price


@scenario("mixed-fleet")
def mixed_fleet(inputs: Inputs) -> Answer:
    """Kinds of chip in the cheapest plan for one service: inputs model, market, chips (a list, all if left out), start,
    months, visits_per_day, input_tokens, output_tokens, ttft_p99, tpot_p99; answers kinds, cost."""
    import yaml

    from suanzhang.app.plan import schedule, size_question
    from suanzhang.app.question import read_question

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
    found = schedule(size_question(read_question(yaml.safe_dump(asked)), lambda _: None), deep=False)
    used: dict[str, float] = {}
    for state in found.months:
        for fleet in (state.owned, state.rented):
            for name, chips in fleet.items():
                used[name] = used.get(name, 0.0) + chips
    total = sum(used.values()) or 1.0
    shares = sorted(((chips / total, name) for name, chips in used.items() if chips / total >= 0.01), reverse=True)
    words = ", ".join(f"{share:.0%} {name}" for share, name in shares)
    return {
        "kinds": float(len(shares)),
        "cost": found.cost.amount,
        "explanation": f"Of all chip-months of the cheapest plan: {words}; kinds below 1 % are not counted.",
    }
