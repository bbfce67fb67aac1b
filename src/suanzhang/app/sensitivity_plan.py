"""The cost of a plan as a function of its inputs: prices by line, and the chips that each training and service takes.

The schedule is held: nothing is bought instead of something else when a price moves (``buy --sensitivity`` solves again). A
training takes chip-days and a service chips in proportion to how slow the chip turns out to be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from suanzhang.app.buy_spread import PRICED
from suanzhang.app.explain import question_of
from suanzhang.app.explain_cost import cost_tree
from suanzhang.app.explain_train import plan_job, run_on
from suanzhang.app.plan_asks import resolve_world
from suanzhang.app.sensitivity_core import Factors, Subject
from suanzhang.app.sensitivity_inputs import of_grade
from suanzhang.app.sensitivity_serve import Service, service_inputs
from suanzhang.app.sensitivity_train import interval_in, run_inputs, training_ratios
from suanzhang.catalog.chips import chip as chip_of
from suanzhang.catalog.models import model as model_of
from suanzhang.catalog.stacks import serve_stack
from suanzhang.money.figures import figure
from suanzhang.money.procurement.calendar import month_number
from suanzhang.money.procurement.orders import SHIELD
from suanzhang.money.tax import NOT_DEDUCTED
from suanzhang.spec.layout import ServeLayout, TrainLayout
from suanzhang.spec.question import Question
from suanzhang.spec.result import Z95
from suanzhang.spec.trust import Node
from suanzhang.spec.trust_plain import rebuilt
from suanzhang.spec.trust_sensitivity import Ranged

HELD = (
    "the schedule is held: buy --sensitivity solves again instead",
    "layouts are held; chips grow as the time of a step or the capacity of a replica does",
)
_OFFERED = frozenset(("chips", "rent", "tokens"))
"""Lines whose price is that of an offer."""
_FIGURES: Mapping[str, str] = {
    "hosts": "host_per_chip", "network": "network_per_port", "storage": "storage_per_chip", "spares": "spares_per_year",
    "support": "support_per_year", "staff": "staff_per_chip_month_usd", "finance": "interest_per_year", "power": "fleet_draw",
}  # fmt: skip
"""Line of the bill: the figure of the money table whose range it has, where it has one."""
_WALK = "price level at the end"
_SHARED = ("run.", "training.", "serving.")
"""Inputs that all demands have in common."""


@dataclass(frozen=True, slots=True)
class _Demand:
    """One training or service of a plan: its share of the cost, and how its chips grow with its inputs."""

    name: str
    share: float
    inputs: tuple[Ranged, ...]
    grow: Callable[[Factors], float]

    def factor(self, factors: Factors) -> float:
        """Chips over those of the plan, with changed inputs."""
        prefix = f"{self.name}|"
        local = {key.removeprefix(prefix): value for key, value in factors.items() if key.startswith(prefix)}
        local |= {key: value for key, value in factors.items() if key.startswith(_SHARED)}
        known = {one.key for one in self.inputs}
        local = {key: value for key, value in local.items() if key in known}
        return self.grow(local) if local else 1.0


def plan_subject(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Subject:
    """The cost of a stored plan or schedule as a function of its inputs.

    Args:
        body: the result of ``plan`` or ``buy``.
        inputs: what it was asked, files put back.
    """
    question = question_of(inputs, "result")
    bought = _after_taxes(body.get("buy", body))
    total, currency = float(bought["cost"]["amount"]), str(bought["cost"]["currency"])
    interval = interval_in(body, "cost_interval")
    demands = _demands(body, question, total) if "train" in body else []
    parts = [(leaf.name, line.name, float(leaf.value or 0.0)) for line, leaf in _leaves(cost_tree(bought, question))]
    prices = _prices(cost_tree(bought, question))
    merged = _merged(demands)
    walk, moving = _walk(bought, question)

    def evaluate(factors: Factors) -> dict[str, float]:
        spread = {key: value for given, value in factors.items() for key in merged.get(given, (given,))}
        grown = sum(one.share * (one.factor(spread) - 1.0) for one in demands)
        priced = sum(amount * factors.get(f"price.{leaf if line in _OFFERED else line}", 1.0) for leaf, line, amount in parts)
        level = factors.get(_WALK, 1.0)
        priced += sum(amount * (level**share - 1.0) for share, amount in moving)
        return {"cost": priced * (1.0 + grown) / total}

    found = {one.key: one for one in (*prices, *walk)}
    for demand in demands:
        found |= {key: replace(one, key=key) for key, one in _global(demand).items()}
    kept = tuple(one for one in found.values() if one.uncertain)
    verb = str(body["verb"]).removesuffix("_question")
    title = question.title or "the question"
    return Subject(verb, title, {"cost": (total, currency, interval)}, kept, evaluate, whole=False, held=HELD)


def _after_taxes(bought: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schedule with its lines after taxes: relief follows what is deducted, and its own line keeps what comes late."""
    tax = bought.get("tax")
    if not tax:
        return bought
    rate = float(tax["terms"]["rate"])
    rows, totals = [], dict.fromkeys(bought["lines"], 0.0)
    for row in bought["schedule"]:
        lines = {name: float(amount) for name, amount in row["lines"]}
        deducted = sum(amount for name, amount in lines.items() if name not in NOT_DEDUCTED)
        kept = {name: amount if name in NOT_DEDUCTED else amount * (1.0 - rate) for name, amount in lines.items()}
        kept[SHIELD] = kept.get(SHIELD, 0.0) + rate * deducted
        for name, amount in kept.items():
            totals[name] += amount
        rows.append({**row, "lines": list(kept.items())})
    money = {name: {**bought["lines"][name], "amount": amount} for name, amount in totals.items()}
    return {**bought, "schedule": rows, "lines": money}


def _walk(bought: Mapping[str, Any], question: Question) -> tuple[tuple[Ranged, ...], tuple[tuple[float, float], ...]]:
    """The level of prices at the end of the plan as an input, and what moves with it: how far on its way, and the amount.

    Prices are a random walk: by month ``t`` of ``T`` they are off by the root of ``t/T`` of what they are off by at the end.
    """
    market = resolve_world(question).market
    sigma = market.price_sigma_per_year
    first, months = month_number(question.start), question.months
    by_month: dict[int, float] = {}
    for row in bought["schedule"]:
        when = months if row["action"] == "value left" else month_number(str(row["month"])) - first
        by_month[when] = by_month.get(when, 0.0) + sum(float(amount) for name, amount in row["lines"] if name in PRICED)
    if sigma is None or sigma.value <= 0.0:
        return (), ()
    at = (months + 0.5) / 12.0
    factor = math.exp(Z95 * sigma.value * math.sqrt(at))
    one = Ranged(
        _WALK, "price level of the market by the end of the plan", "price", 1.0, "times", 1.0 / factor, factor, sigma.source,
        sigma.grade, f"random walk of {sigma.value:.0%} a year",
    )  # fmt: skip
    shares = tuple((math.sqrt((when + 0.5) / (months + 0.5)), amount) for when, amount in sorted(by_month.items()))
    return (one,), shares


def _leaves(tree: Node) -> list[tuple[Node, Node]]:
    return [(line, leaf) for line in tree.parts for leaf in line.parts]


def _prices(tree: Node) -> list[Ranged]:
    """One input for each offer in use, and one for each other line of the bill."""
    found: dict[str, Ranged] = {}
    for line, leaf in _leaves(tree):
        offered = line.name in _OFFERED
        key = f"price.{leaf.name if offered else line.name}"
        given = leaf.inputs[0] if leaf.inputs else None
        source, grade = (given.source, given.grade) if given else ("planner-default", "assumed")
        words = f"price of {leaf.name.partition(' ')[2] or leaf.name}" if offered else f"figures behind {line.name}"
        one = of_grade(
            key,
            words,
            "price",
            float(leaf.value or 0.0),
            leaf.unit,
            source,
            grade or "assumed",
            f"a firm quote for {words.removeprefix('price of ').removeprefix('figures behind ')}",
        )
        own = _range_of(line.name)
        if own is not None and not offered:
            one = replace(one, low_factor=own[0], high_factor=own[1], basis="range of the money table")
        found.setdefault(key, one)
    return list(found.values())


def _range_of(line: str) -> tuple[float, float] | None:
    name = _FIGURES.get(line)
    if name is None:
        return None
    own = figure(name)
    low, high = min(own.low, own.value) / own.value, max(own.high, own.value) / own.value
    return (low, high) if 0.0 < low < high else None


def _demands(body: Mapping[str, Any], question: Question, total: float) -> list[_Demand]:
    """Trainings and services with their share of the cost."""
    found = []
    asks = {ask.name: ask for ask in question.train}
    for one in body["train"]:
        option = one["option"]
        job, stack = plan_job(asks[one["name"]], question, str(option["chip"]), int(option.get("global_batch") or 0))
        run = run_on(job, chip_of(str(option["chip"])), stack, rebuilt(TrainLayout, option["layout"], "layout"))
        share = float(one["cost"]["amount"]) / total
        found.append(_Demand(str(one["name"]), share, tuple(run_inputs(run, asked=False)), _training(training_ratios(run))))
    services = {ask.name: ask for ask in question.serve}
    for one in body["serve"]:
        sized, ask = one["sized"], services[one["name"]]
        service = Service(
            model_of(ask.model), chip_of(str(sized["chip"])), serve_stack(str(sized["stack"])),
            rebuilt(ServeLayout, sized["layout"], "layout"), str(sized["weight_dtype"]), str(sized["kv_dtype"]),
            ask.input_tokens, ask.output_tokens, float(sized["peak"]["requests_per_s"]), 0.0,
        )  # fmt: skip
        share = float(one["cost"]["amount"]) / total
        own = tuple(service_inputs(service, priced=False, asked=False))
        found.append(_Demand(str(one["name"]), share, own, _service(service)))
    return found


def _training(ratios: Callable[[Factors], Mapping[str, float]]) -> Callable[[Factors], float]:
    return lambda factors: ratios(factors)["days"]


def _service(service: Service) -> Callable[[Factors], float]:
    base = service.capacity({})
    return lambda factors: base / service.capacity(factors)


def _global(demand: _Demand) -> dict[str, Ranged]:
    """The inputs of a demand under keys that no other demand has, shared ones under their own."""
    return {one.key if one.key.startswith(_SHARED) else f"{one.name}": one for one in demand.inputs}


def _merged(demands: list[_Demand]) -> dict[str, tuple[str, ...]]:
    """Key of an input to the keys that it has in each demand: the same chip in two demands is one input."""
    found: dict[str, tuple[str, ...]] = {}
    for demand in demands:
        for key, one in _global(demand).items():
            if key != one.key:
                found[key] = (*found.get(key, ()), f"{demand.name}|{one.key}")
    return found
