"""Terms of claims about money and supply: what owning, renting, power and waiting come to, from the figures they rest on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from suanzhang.app.explain_cost import cost_figures
from suanzhang.app.explain_tree import asked, constant, dotted, leaf, less, named, of_chip, over, quoted
from suanzhang.app.scenario_inputs import Inputs, dated
from suanzhang.app.scenario_owning import RENTED, Owning, offer_of, owning, rent_per_chip_h
from suanzhang.app.scenarios_market import WEEKS_PER_MONTH, delivered, older_chip, per_month, recorded_ends, sold
from suanzhang.app.scenarios_money import chip_lines
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.currency import last_day, rate
from suanzhang.catalog.markets import market as find_market
from suanzhang.catalog.sites import site as find_site
from suanzhang.money.costs import chip_costs, chip_hour_lines, chip_part
from suanzhang.money.depreciation import resale_curve
from suanzhang.money.figures import figure
from suanzhang.money.power import chip_draw, chips_of_energy, energy_of_bill_j
from suanzhang.money.procurement.calendar import HOURS_PER_MONTH
from suanzhang.source import Quoted
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.market import Market
from suanzhang.spec.trust import Given, Node
from suanzhang.units import DAY_S, J_PER_KWH, MONTH_S, YEAR_S

_HOURS = constant("hours of a month", HOURS_PER_MONTH, "h")


def stated(inputs: Inputs, name: str, unit: str, default: float | None = None, *, words: str = "") -> Given:
    """An input of a claim; the usual value where the claim leaves it out."""
    given = inputs.has(name)
    value = inputs.number(name, "count", default, positive=False)
    found = asked(words or name.replace("_", " "), value, unit, given=given)
    return replace(found, source="claim") if given else found


def rent(market: Market, chip: str, currency: str) -> Node:
    """Rent of a chip-hour, with the offer that it was read from."""
    offer = offer_of(market, chip, RENTED)
    given: tuple[Given, ...] = (quoted(f"price of {offer.id}", offer.price),)
    if not offer.price.unit.startswith(currency):
        given = (*given, quoted("rate", rate(offer.price.unit.partition("/")[0], currency, offer.price.date or market.date)))
    price = rent_per_chip_h(market, chip, currency)
    return Node("rent of a chip-hour", price, f"{currency}/chip_h", "formula", dotted(rent_per_chip_h), given)


def _exchange(currency: str, date: str) -> tuple[Given, ...]:
    """The rate of the dollar, where a figure in dollars is used in another currency."""
    return () if currency == "USD" else (quoted("rate of the dollar", rate("USD", currency, date)),)


class Own:
    """What owning a chip costs, as trees."""

    def __init__(self, market: Market, chip: ChipSpec, months: int) -> None:
        self.market, self.chip, self.months = market, chip, months
        self.owning: Owning = owning(market, chip, months)
        self.unit = market.currency
        self.dollar = _exchange(self.unit, market.date)

    def price(self) -> Node:
        """The chip alone."""
        offer = offer_of(self.market, self.chip.id, ("buy",))
        host = quoted("price of the server per chip", figure("host_per_chip").quoted)
        given = (quoted(f"price of {offer.id}", offer.price), *((host,) if offer.includes_host else ()))
        return Node("price of the chip", self.owning.price, f"{self.unit}/chip", "formula", dotted(chip_part), given)

    def line(self, name: str, value: float, unit: str) -> Node:
        """One line of what owning costs beside the chip."""
        further = self.dollar if name in ("hosts", "network", "storage", "spares", "support") else ()
        given = (*cost_figures(name, self.chip.id, self.owning.costs), *further)
        parts = (self.price(),) if name in ("spares", "support") else ()
        return Node(name, value, unit, "formula", dotted(chip_costs), given, parts)

    def upfront(self) -> Node:
        """What is paid at once."""
        costs, unit = self.owning.costs, f"{self.unit}/chip"
        amounts = {"hosts": costs.host, "network": costs.network, "storage": costs.storage}
        parts = tuple(self.line(name, value, unit) for name, value in amounts.items() if value)
        return Node("paid at once", self.owning.upfront, unit, "sum", "", (), (self.price(), *parts))

    def run(self) -> Node:
        """What a month costs."""
        costs, unit = self.owning.costs, f"{self.unit}/chip_month"
        amounts = {name: float(getattr(costs, name)) for name in ("room", "spares", "support", "staff")}
        amounts["power"] = self.owning.run - sum(amounts.values())
        parts = tuple(self.line(name, value, unit) for name, value in amounts.items() if value)
        return Node("running costs of a month", self.owning.run, unit, "sum", "", (), parts)

    def left(self) -> Node:
        """What the chip fetches at the end."""
        share = Node("share of its price that it fetches", self.owning.costs.resale[-1], "fraction", "formula",
                     dotted(resale_curve), resale(self.chip.id))  # fmt: skip
        return Node("worth at the end", self.owning.left, f"{self.unit}/chip", "product", "", (), (self.price(), share))


def resale(chip: str) -> tuple[Given, ...]:
    """What the worth of used chips rests on."""
    curve, less_ = resale_curve(chip), figure("used_discount")
    own = Given(f"yearly resale factor of {chip}", curve.factor_per_year, "times", curve.source, curve.grade)
    return own, quoted("what a used chip fetches less than a new one", less_.quoted)


def _rent_or_buy(inputs: Inputs) -> list[Node]:
    market, chip = find_market(inputs.text("market")), find_chip(inputs.text("chip"))
    life = stated(inputs, "life_months", "months", 48.0)
    months = float(life.value)
    own, hourly = Own(market, chip, int(months)), f"{market.currency}/chip_h"
    if inputs.has("rent_per_month"):
        bill = leaf(stated(inputs, "rent_per_month", f"{market.currency}/month"))
        price = over("rent of a chip-hour", bill, leaf(stated(inputs, "chips", "chips")), hourly)
        price = replace(price, value=(price.value or 0.0) / HOURS_PER_MONTH, parts=(*price.parts, leaf(_HOURS)))
    else:
        price = rent(market, chip.id, market.currency)
    cut = inputs.number("rent_cut", "fraction", 1e-12)
    kept = named("what a cut leaves of the rent", 1.0 - cut, "fraction")
    if inputs.has("rent_cut"):
        kept = replace(kept, source="claim", grade="asked")
    lower = Node("rent after the cut", (price.value or 0.0) * (1.0 - cut), hourly, "product", "", (), (price, kept))
    wear = (own.owning.upfront - own.owning.left) / months
    lost = _sum("paid at once less worth at the end", own.upfront(), less(own.left()))
    worn = Node("wear of a month", wear, f"{market.currency}/chip_month", "ratio", "", (), (lost, leaf(life)))
    whole = _sum("owning, a month", worn, own.run())
    uses = [over("use above which owning pays", whole, _month(one), "fraction") for one in (price, lower)]
    saved = _sum("saved by owning, a month", _month(price), less(own.run()))
    month = over("month in which owning has paid", own.upfront(), saved, "months")
    after = replace(uses[1], name="use above which owning pays after the cut")
    return [uses[0], month, price, over("use after the cut over that before", after, uses[0], "times"), after]


def _month(price: Node) -> Node:
    """Rent of a month in which a chip always works."""
    unit = price.unit.replace("/chip_h", "/chip_month")
    return Node(
        f"{price.name}, a month of it", (price.value or 0.0) * HOURS_PER_MONTH, unit, "product", "", (_HOURS,), (price,)
    )


def _sum(name: str, *parts: Node) -> Node:
    return Node(name, sum(part.value or 0.0 for part in parts), parts[0].unit, "sum", "", (), parts)


def _beyond(inputs: Inputs) -> list[Node]:
    market, chip = find_market(inputs.text("market")), find_chip(inputs.text("chip"))
    months = inputs.number("months")
    own = Own(market, chip, int(months))
    lines = chip_lines(own.owning, months)
    capital = quoted("price of capital", figure("interest_per_year").quoted)
    nodes: dict[str, Node] = {}
    unit = f"{market.currency}/chip_h"
    for name, value in lines.items():
        if name == "chips":
            nodes[name] = Node(name, value, unit, "formula", dotted(chip_hour_lines), (), (own.price(), own.left()))
        elif name == "finance":
            nodes[name] = Node(name, value, unit, "formula", dotted(chip_hour_lines), (capital,), (own.upfront(), own.left()))
        elif value:
            nodes[name] = replace(own.line(name, value, unit), formula=dotted(chip_hour_lines))
    total = replace(_sum("cost of a chip-hour", *nodes.values()), value=sum(lines.values()))
    beyond = _sum("cost of a chip-hour beyond the chip", *(node for name, node in nodes.items() if name != "chips"))
    return [over("share beyond the chip", beyond, total, "fraction"), total]


def _older(inputs: Inputs) -> list[Node]:
    market, months = find_market(inputs.text("market")), inputs.whole("months")
    chips = [find_chip(inputs.text(key)) for key in ("chip", "other")]
    speed = leaf(stated(inputs, "relative_performance", "fraction"))
    costs = [_owned_month(Own(market, chip, months), months) for chip in chips]
    same = _product("owning for the same work on the first", costs[0], speed)
    grown = over("owning the slower ones over that", costs[1], same, "times")
    extra = _sum("extra cost", replace(grown, unit="fraction"), named("less one", -1.0, "fraction"))
    slower = Own(market, chips[1], months)
    saved = _sum("owning for the same work, less that of the slower one", same, less(costs[1]))
    room = Node("over all months", (saved.value or 0.0) * months, f"{market.currency}/chip", "product", "", (),
                (saved, leaf(constant("months", float(months), "months"))))  # fmt: skip
    even = _sum("price for the same cost", slower.price(), room)
    return [extra, even, over("chips for the same work", leaf(constant("one chip", 1.0, "chips")), speed, "times")]


def _owned_month(own: Own, months: int) -> Node:
    """A month of an owned chip, its worth at the end taken off."""
    costs, unit = own.owning.costs, f"{own.unit}/chip_month"
    whole = per_month(own.owning, months)
    life = quoted("life of servers, network and storage", costs.sources.get("infra_life_months"))
    worn, name = whole - own.owning.run, "wear of chip, server, network and storage"
    rest = Node(name, worn, unit, "formula", dotted(older_chip), (life,), (own.upfront(), own.left()))
    return Node(f"owning a {own.chip.name}, a month", whole, unit, "sum", "", (), (rest, own.run()))


def _product(name: str, *parts: Node) -> Node:
    return Node(name, math.prod(part.value or 0.0 for part in parts), parts[0].unit, "product", "", (), parts)


def _bill(inputs: Inputs) -> list[Node]:
    currency = inputs.text("currency", "CNY")
    chips, price = leaf(stated(inputs, "chips", "chips")), leaf(stated(inputs, "price_per_chip", f"{currency}/chip"))
    amount = replace(_product("price of the chips", price, chips), unit=currency)
    date = dated(inputs) if inputs.has("date") or inputs.has("market") else last_day()
    each = figure("host_per_chip")
    host = Node("server of a chip", each.value * rate("USD", currency, date).value, f"{currency}/chip", "formula",
                dotted(rate), (quoted("price of the server per chip", each.quoted), *_exchange(currency, date)))  # fmt: skip
    hosts = replace(_product("servers", host, chips), unit=currency)
    return [amount, _sum("chips with servers", amount, hosts)]


def _electricity(inputs: Inputs) -> list[Node]:
    where, chip = find_site(inputs.text("site")), find_chip(inputs.text("chip"))
    unit = where.tariff_per_kwh.unit
    given = inputs.has("tariff_per_kwh")
    tariff = stated(inputs, "tariff_per_kwh", unit) if given else quoted(f"tariff of {where.id}", where.tariff_per_kwh)
    bill = stated(inputs, "bill", unit.partition("/")[0])
    joules = energy_of_bill_j(float(bill.value), float(tariff.value))
    energy = Node("energy", joules, "J", "formula", dotted(energy_of_bill_j), (bill, tariff))
    kwh = Node("energy in kWh", joules / J_PER_KWH, "kWh", "ratio", "", (), (energy, leaf(constant("a kWh", J_PER_KWH, "J"))))
    giga = Node("energy in GWh", joules / J_PER_KWH / 1e6, "GWh", "ratio", "", (), (kwh, leaf(constant("a GWh", 1e6, "kWh"))))
    carbon = leaf(quoted("carbon of the grid", where.carbon_kg_per_kwh))
    draw = chip_draw(chip)
    figures = (of_chip(chip, "tdp_w", "nameplate power"), of_chip(chip, "node.power_w", "nameplate power of the node"))
    overhead = quoted(f"overhead of {where.id}", where.pue)
    known = [quoted(words, figure(key).quoted) for key, words in _DRAWS.items()]
    fleets = []
    for words, watts, more in (("at nameplate draw", draw.nameplate_w, []), ("as measured", draw.fleet_w.p50, known)):
        each = Node(f"draw of a chip, {words}", watts, "W", "formula", dotted(chip_draw), (*figures, *more))
        value = chips_of_energy(joules, MONTH_S, watts, where.pue.value)
        given_here = (overhead, constant("a month", MONTH_S, "s"))
        fleets.append(Node(f"chips {words}", value, "chips", "formula", dotted(chips_of_energy), given_here, (energy, each)))
    person = stated(inputs, "residential_kwh_per_person_year", "kWh", words="energy of a person a year")
    month = Node("energy of a person a month", float(person.value) / 12.0, "kWh", "ratio", "", (),
                 (leaf(person), leaf(constant("months of a year", 12.0, "months"))))  # fmt: skip
    return [energy, giga, *fleets, replace(_product("carbon", kwh, carbon), unit="kg"), over("people", kwh, month, "people")]


_DRAWS = {"server_over_chip_power": "power of the server over that of its chips", "fleet_draw": "draw of fleets over nameplate"}


def _traffic(inputs: Inputs) -> list[Node]:
    currency, market, chip = inputs.text("currency"), find_market(inputs.text("market")), find_chip(inputs.text("chip"))
    cost = leaf(stated(inputs, "cost_per_response", currency))
    visits = leaf(stated(inputs, "visits_per_day", "1/d"))
    day = replace(_product("cost of a day", cost, visits), unit=f"{currency}/d")
    days = leaf(constant("days of a year", YEAR_S / DAY_S, "d"))
    year = replace(_product("cost of a year", day, days), unit=f"{currency}/year")
    month = over("cost of a month", year, leaf(constant("months of a year", 12.0, "months")), f"{currency}/month")
    price = rent(market, chip.id, currency)
    daily = replace(
        _product("rent of a chip-day", price, leaf(constant("hours of a day", 24.0, "h"))), unit=f"{currency}/chip/d"
    )
    return [day, month, year, price, over("chips that the money rents", day, daily, "chips")]


def _idle(inputs: Inputs) -> list[Node]:
    chip, months = find_chip(inputs.text("chip")), stated(inputs, "months", "months")
    curve = resale_curve(chip.id)
    kept = Node("worth that is kept", curve.factor_per_year ** (float(months.value) / 12.0), "fraction", "formula",
                dotted(resale_curve), (resale(chip.id)[0], months))  # fmt: skip
    return [_sum("worth that is lost", leaf(constant("all of it", 1.0, "fraction")), less(kept))]


def _recorded(inputs: Inputs) -> list[Node]:
    first, last = recorded_ends(inputs)
    ends = [leaf(quoted(f"recorded in {point.price.date}", point.price)) for point in (first, last)]
    ratio = over("later over earlier", ends[1], ends[0], "fraction")
    return [_sum("fall", leaf(constant("all of it", 1.0, "fraction")), less(ratio))]


def _queue(inputs: Inputs) -> list[Node]:
    market, chip = find_market(inputs.text("market")), find_chip(inputs.text("chip"))
    offer = offer_of(market, chip.id, ("buy",))

    def of_offer(name: str, known: float | None, words: str) -> Node:
        if inputs.has(name):
            return leaf(stated(inputs, name, "chips", words=words))
        quote = Quoted(known or 0.0, "chips", offer.lead.source, offer.lead.grade, "", f"offer {offer.id}")  # type: ignore[arg-type]
        return leaf(quoted(words, quote))

    ahead = leaf(stated(inputs, "orders_ahead", "chips", 0.0, words="orders ahead"))
    order = leaf(stated(inputs, "order", "chips"))
    short = _sum("chips that must still come", ahead, order, less(of_offer("stock", offer.stock_chips, "in stock")))
    monthly = of_offer("deliveries_per_month", offer.stock_per_month, "delivered in a month")
    months = over("months of waiting", short, monthly, "months")
    week = leaf(constant("weeks of a month", WEEKS_PER_MONTH, "weeks"))
    return [replace(_product("weeks of waiting", months, week), unit="weeks")]


def _delivery(inputs: Inputs) -> list[Node]:
    market, months = find_market(inputs.text("market")), inputs.whole("months")
    start = inputs.text("start", market.date)
    asked_for = (asked("months", float(months), "months", given=True), asked("ordered from", start, "", given=True))
    parts = []
    for offer in sold(inputs):
        lead = offer.lead
        known = (("months until it works, median", offer.lead.median_months, "months"),
                 ("chips to be had at once", offer.stock_chips, "chips"),
                 ("further chips a month", offer.stock_per_month, "chips/month"))  # fmt: skip
        given = tuple(
            Given(name, float(value), unit, lead.source, lead.grade) for name, value, unit in known if value is not None
        )
        come = delivered(offer, start, months, 0.0)
        parts.append(Node(f"delivered by {offer.id}", come, "chips", "formula", dotted(delivered), (*asked_for, *given)))
    return [_sum("chips delivered", *parts)]


def _substitute(inputs: Inputs) -> list[Node]:
    speed = leaf(stated(inputs, "relative_performance", "fraction"))
    one = leaf(constant("one chip", 1.0, "chips"))
    more = leaf(
        asked("cost of the same work over that before", 1.0 + inputs.number("extra_cost", "fraction"), "times", given=True)
    )
    price = replace(_product("price of a slower chip over that of the other", more, speed), unit="times")
    return [over("slower chips for one", one, speed, "times"), *([] if inputs.has("capital_share") else [price])]


MONEY_TERMS: Mapping[str, Callable[[Inputs], list[Node]]] = {
    "beyond-the-chip": _beyond,
    "bill": _bill,
    "delivery": _delivery,
    "electricity": _electricity,
    "idle": _idle,
    "older-chip": _older,
    "queue": _queue,
    "recorded-change": _recorded,
    "rent-or-buy": _rent_or_buy,
    "substitute": _substitute,
    "traffic-bill": _traffic,
}
"""Verbs of claims about money and supply to what a claim may ask of them, each as a tree."""
