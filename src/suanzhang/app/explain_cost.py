"""Explain a plan's money: the total from its lines, each line from offers and chips, each of those from quoted figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from suanzhang.app.buy import chip_price, site_in, usable_offers
from suanzhang.app.buy_energy import bands_of
from suanzhang.app.explain_tree import dotted, of_chip, quoted
from suanzhang.app.plan_asks import World, resolve_world
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.currency import rate
from suanzhang.money.costs import chip_costs
from suanzhang.money.depreciation import resale_curve, resale_path
from suanzhang.money.figures import figure
from suanzhang.money.power import energy_cost_per_hour
from suanzhang.money.procurement.orders import relieved
from suanzhang.money.procurement.schedule import schedule_rows
from suanzhang.spec.buy import ChipCosts
from suanzhang.spec.market import Offer
from suanzhang.spec.question import Question
from suanzhang.spec.trust import Given, Node

_OF_CHIP = {
    "hosts": ("host",),
    "network": ("network",),
    "storage": ("storage",),
    "room": ("room",),
    "spares": ("spares",),
    "support": ("support",),
    "staff": ("staff",),
    "power": ("energy_per_kwh", "pue", "idle_w", "busy_w"),
}
"""Line of the bill: the figures of a chip's costs that it rests on."""
_WORDS = {
    "host": "price of the server per chip",
    "network": "price of a network port",
    "storage": "price of storage per chip",
    "room": "rent of the room",
    "spares": "spares, share of the price a year",
    "support": "support, share of the price a year",
    "staff": "staff per chip and month",
    "energy_per_kwh": "tariff",
    "pue": "power of the building over that of the machines",
    "idle_w": "idle draw, share of nameplate",
    "busy_w": "busy draw, share of nameplate",
}
_FORMULAS = {
    **dict.fromkeys(("hosts", "network", "storage", "room", "spares", "support", "staff"), dotted(chip_costs)),
    "power": dotted(energy_cost_per_hour),
    "value at start": dotted(resale_path),
    "value left": dotted(resale_path),
    "tax shield": dotted(relieved),
}

_TOPOLOGY = {
    "network_tiers": "tiers of switches",
    "network_oversubscription": "oversubscription",
    "network_adapter_share": "share of a port at the server",
}
_BOOKS = {
    "tax_life_years": "years on the books",
    "tax_declining_per_year": "declining balance a year",
    "interest_per_year": "price of capital",
}
"""What the relief for something bought rests on beside the rate."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What a schedule was priced with: offers in the currency of the question, and what chips cost beside."""

    world: World
    offers: Mapping[str, Offer]
    costs: Mapping[str, ChipCosts]
    currency: str = ""
    asked: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, question: Question, chips: Sequence[str]) -> Bill:
        """Offers and costs of a question, for the chips that its schedule names."""
        world = resolve_world(question)
        offers, _ = usable_offers(world.market, question.currency)
        date = world.market.date
        per_usd = rate("USD", question.currency, date).value
        site = site_in(world.site, question.currency, date)
        costs = {}
        for name in chips:
            price = chip_price(name, offers, per_usd)
            costs[name] = chip_costs(find_chip(name), price, site, question.months, question.currency, per_usd)
        works = [one for ask in (question.site, *question.sites) for one in ask.works]
        asked = {one.id: one.cost for one in works if one.cost is not None}
        if question.move_cost_per_chip is not None:
            asked["moving"] = question.move_cost_per_chip
        return cls(world, {offer.id: offer for offer in offers}, costs, question.currency, asked)


def cost_tree(bought: Mapping[str, Any], question: Question) -> Node:
    """The total of a schedule: lines, then offers or chips, then figures.

    Args:
        bought: the ``buy`` part of a plan, or the result of ``buy``.
        question: what was asked.
    """
    rows = bought["schedule"]
    bill = Bill.of(question, sorted({str(row["chip"]) for row in rows if row["chip"]}))
    groups: dict[str, dict[tuple[str, str, str], list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        for name, amount in row["lines"]:
            groups[name][row["offer"], row["action"], row["chip"]].append((float(amount), float(row["chips"])))
    currency = str(bought["cost"]["currency"])
    lines = []
    for name, money in bought["lines"].items():
        amount = float(money["amount"])
        if amount == 0.0:
            continue
        parts = tuple(
            _leaf(name, key, found, currency, bill) for key, found in sorted(groups[name].items(), key=lambda item: item[0])
        )
        lines.append(Node(name, amount, currency, "sum", dotted(schedule_rows), parts=parts))
    lines.sort(key=lambda line: -abs(line.value or 0.0))
    return Node("cost", float(bought["cost"]["amount"]), currency, "sum", dotted(schedule_rows), parts=tuple(lines))


def _leaf(line: str, key: tuple[str, str, str], rows: list[tuple[float, float]], currency: str, bill: Bill) -> Node:
    offer, action, chip = key
    amount, chips = sum(row[0] for row in rows), sum(row[1] for row in rows)
    name = f"{action} {offer}" if not chip or offer not in ("own", "late delivery") else f"{action} {offer} {chip}"
    unit = "chips" if action in ("buy", "resell", "retire", "interest", "value at start", "value left") else "chip-months"
    note = f"{chips:,.0f} {unit}" if chips else ""
    given = tuple(_figures(line, offer, chip, bill))
    formula = dotted(schedule_rows) if not chip else _FORMULAS.get(line, dotted(schedule_rows))
    return Node(name, amount, currency, "formula", formula, given, note=note)


def _site_figures(line: str, offer: str, bill: Bill) -> list[Given]:
    """What works and moves rest on: the published figures, or what the question says."""
    if line == "moving":
        known = bill.asked.get(line)
        words, quote = "price of moving a chip", figure("move_cost_per_chip").quoted
    else:
        known = bill.asked.get(offer)
        words, quote = f"cost of {offer}" if known is not None else "cost of a site per watt", figure("site_cost_per_w").quoted
    first = quoted(words, quote) if known is None else Given(words, known, bill.currency, "question", "assumed")
    life = [quoted("life of what is built", figure("site_life_months").quoted)] if line == "value left" else []
    return [first, *life]


def _hour_prices(bill: Bill, costs: ChipCosts) -> list[Given]:
    """Prices of energy by the hour, as the question gives them."""
    unit = f"{bill.currency}/kWh"
    return [Given(f"tariff, {words}", price, unit, "question", "assumed") for words, price, _ in bands_of(costs)]


def cost_figures(line: str, chip: str, costs: ChipCosts) -> list[Given]:
    """Figures that a line of the costs of a chip rests on.

    Args:
        line: such as "hosts" or "power"; nothing is known of others.
        chip: catalog id.
        costs: of that chip.
    """
    found = [quoted(_WORDS[name], costs.sources.get(name)) for name in _OF_CHIP.get(line, ())]
    if line == "network":
        found += [quoted(words, figure(key).quoted) for key, words in _TOPOLOGY.items()]
    if line == "power":
        found.append(of_chip(find_chip(chip), "node.power_w", "nameplate power of the node"))
    return found


def _figures(line: str, offer: str, chip: str, bill: Bill) -> list[Given]:
    found: list[Given] = []
    price = bill.offers.get(offer)
    if line in ("chips", "rent", "tokens", "value left") and price is not None:
        found.append(quoted(f"price of {offer}", price.price))
    if line in ("site", "moving") or (line == "value left" and not chip):
        return [*found, *_site_figures(line, offer, bill)]
    if line in ("spares", "support") or (line in ("chips", "value at start", "value left") and price is None):
        found += [quoted(f"price of {o.id}", o.price) for o in bill.offers.values() if o.kind == "buy" and o.chip == chip][:1]
    if line in _OF_CHIP and chip in bill.costs:
        costs = bill.costs[chip]
        found += cost_figures(line, chip, costs)
        if line == "power" and costs.tariff is not None:
            found += _hour_prices(bill, costs)
    if line == "finance":
        found.append(quoted("price of capital", figure("interest_per_year").quoted))
    if (line in ("value at start", "value left") and price is None) or (line == "chips" and offer == "own"):
        curve = resale_curve(chip)
        found.append(Given(f"yearly resale factor of {chip}", curve.factor_per_year, "times", curve.source, curve.grade))
        loss = figure("used_discount")
        found.append(quoted(f"what a used chip fetches less than a new one ({loss.value:.0%} of its price)", loss.quoted))
    if line == "tax shield":
        found.append(quoted("share that taxes give back", figure("tax_shield").quoted))
        if price is not None and price.kind == "buy":
            found += [quoted(words, figure(key).quoted) for key, words in _BOOKS.items() if figure(key).value]
    if line == "waiting":
        words = "just above its last chip in a whole server, on the dearest way that supply makes needed"
        found.append(Given("price of a month of waiting", words, "", "planner-default", "assumed"))
    return found
