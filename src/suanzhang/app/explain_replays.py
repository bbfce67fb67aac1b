"""Explain replays of recorded prices by their orders and prices, and sensitivities by what each input adds to the spread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from suanzhang.app.backtest import Past
from suanzhang.app.explain_tree import dotted, held, named, over
from suanzhang.app.sensitivity_core import studied
from suanzhang.money.procurement.calendar import month_number
from suanzhang.money.procurement.worth import cost_of_orders
from suanzhang.spec.trust import Given, Node
from suanzhang.units import HOUR_S, MONTH_S

Trees = tuple[list[Node], list[str]]
_RULES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "planned": ("the plan", ()),
    "rent_all": ("renting all the time", ("rent",)),
    "contract_all": ("one-year contracts", ("contract",)),
    "contract_3y_all": ("three-year contracts", ("contract",)),
    "buy_at_once": ("buying at once", ("buy",)),
    "foresight": ("hindsight", ()),
}
"""Way to buy: its name, and the recorded prices that it pays."""
_COST = dotted(cost_of_orders)

# ---------------------------------------------------------------- replays


def explain_backtest(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Trees:
    """Trees of the mean and the worst regret of each rule, and of what each replay paid.

    Args:
        body: the result.
        inputs: what it was asked.
    """
    replays = [_Replay(row, int(body["chips"])) for row in body["rows"]]
    trees: list[Node] = []
    for rule, value in body["mean_regret"]:
        regrets = [found for one in replays if (found := one.regret(str(rule))) is not None]
        if regrets:
            share = named("share of one replay", 1.0 / len(regrets), "fraction")
            total = Node(
                "regrets of all replays", sum(part.value or 0.0 for part in regrets), "fraction", "sum", parts=tuple(regrets)
            )
            words = f"mean regret of {_RULES[str(rule)][0]}"
            trees.append(_near(Node(words, float(value), "fraction", "product", "", (), (share, total))))
    for rule, value in body["worst_regret"]:
        regrets = [found for one in replays if (found := one.regret(str(rule))) is not None]
        if regrets:
            trees.append(
                _near(
                    Node(f"worst regret of {_RULES[str(rule)][0]}", float(value), "fraction", "largest", "", (), tuple(regrets))
                )
            )
    return [*trees, *(tree for one in replays for tree in one.costs())], []


def _near(node: Node) -> Node:
    """A value that was kept before its amounts were rounded to cents: that of the cents, where they agree to a millionth."""
    parts = [part.value or 0.0 for part in node.parts]
    made = max(parts) if node.joined == "largest" else parts[0] * parts[1]
    return replace(node, value=made) if abs(made - (node.value or 0.0)) < 1e-6 else replace(node, joined="formula")


class _Replay:
    """One replay, with the record that it paid from."""

    def __init__(self, row: Mapping[str, Any], chips: int) -> None:
        self.row, self.chips = row, chips
        self.past = Past.recorded(str(row["chip"]))
        self.start, self.months = month_number(str(row["start"])), int(row["months"])
        self.name = f"{row['chip']}, {row['need']}, {row['months']} months from {row['start']}"

    def _amount(self, rule: str) -> Node | None:
        money = self.row.get(rule)
        return None if not money else named(f"cost of {_RULES[rule][0]}", float(money["amount"]), str(money["currency"]))

    def regret(self, rule: str) -> Node | None:
        """What a rule paid over hindsight, less one."""
        own, best = self._amount(rule), self._amount("foresight")
        if own is None or best is None:
            return None
        ratio = over("over hindsight", own, best, "fraction", _COST)
        parts = (ratio, Node("less one", -1.0, "fraction"))
        return Node(f"regret, {self.name}", (ratio.value or 0.0) - 1.0, "fraction", "sum", "", (), parts)

    def costs(self) -> list[Node]:
        """What each rule paid, with the prices of the first month."""
        found = []
        for rule, (words, _) in _RULES.items():
            node = self._amount(rule)
            if node is not None:
                name = f"cost of {words}, {self.name}"
                note = f"orders: {self.row['bought']}" if rule == "planned" else ""
                prices = self._prices(rule)
                found.append(replace(node, name=name, joined="formula", formula=_COST, inputs=prices, note=note))
        return found

    def _prices(self, rule: str) -> tuple[Given, ...]:
        past, unit = self.past, str(self.row["rent_all"]["currency"])
        kinds = _RULES[rule][1] or ("buy", "rent", "contract")
        month = str(self.row["start"])
        found = [Given("chips at work at most", float(self.chips), "chips", "question", "asked"),
                 Given("hours of a month", MONTH_S / HOUR_S, "h", "derived", "derived")]  # fmt: skip
        if "buy" in kinds:
            found.append(Given(f"price of a {self.row['chip']}", past.buy.at(self.start), f"{unit}/chip", past.buy.sources[0],
                               "published", month))  # fmt: skip
        found.append(Given(f"rent of a {self.row['chip']}", past.rent.at(self.start), f"{unit}/chip/h", past.rent.sources[0],
                           "published", month))  # fmt: skip
        if "contract" in kinds:
            for name, share in past.shares.items():
                found.append(Given(f"{name} over the rent by the hour", share.at(self.start), "fraction", share.sources[0],
                                   "published", month))  # fmt: skip
        return tuple(found)


# ---------------------------------------------------------------- sensitivities


def explain_sensitivity(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Trees:
    """Trees of the spread of each answer: what each input adds, and what no input explains.

    Args:
        body: the result.
        inputs: what it was asked.
    """
    return [_spread(answer) for answer in body["answers"]], []


def _spread(answer: Mapping[str, Any]) -> Node:
    """The spread of an answer, whose parts are shares of its variance."""
    parts = []
    for effect in answer["effects"]:
        share, source = float(effect["variance_fraction"]), effect["input"]
        if share <= 0.0:
            continue
        unit = str(source["unit"])
        span = f"times {float(source['low_factor']):.3g} to {float(source['high_factor']):.3g}: {source['basis']}"
        where, grade = str(source["source"]), str(source["grade"])
        given = Given(str(source["name"]), float(source["value"]), unit, where, grade, span)
        parts.append(Node(f"share of {source['name']}", share, "fraction", "formula", dotted(studied), (given,)))
    left = float(answer["unexplained_fraction"])
    parts.append(
        Node("share that no input explains", left, "fraction", "given", note="what published runs were off by beyond them")
    )
    ends = answer["interval"]
    note = f"p05 {float(ends['p05']):.4g}, p95 {float(ends['p95']):.4g} {answer['unit']}"
    whole = Node(f"spread of {answer['name']}", 1.0, "fraction", "sum", dotted(studied), parts=tuple(parts), note=note)
    return held(whole)
