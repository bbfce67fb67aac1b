"""What a computed claim is made of, below the function that computed it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from suanzhang.app.explain_terms import Run, days_tree, run_on
from suanzhang.app.explain_tree import named, over
from suanzhang.app.scenario_inputs import Inputs
from suanzhang.app.scenario_owning import rent_per_chip_h
from suanzhang.app.scenarios_jobs import _best, _job, _size_service, _size_training
from suanzhang.app.train import train_options
from suanzhang.app.train_option import as_sized, stack_for
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.markets import market as find_market
from suanzhang.errors import PlannerError
from suanzhang.spec.trust import Node
from suanzhang.units import DAY_S, HOUR_S


def deepened(node: Node, row: Mapping[str, Any]) -> Node:
    """The tree of a claim with the terms of its computation beside what was stated; as it is where they are not known.

    Args:
        node: the claim, one level deep.
        row: the claim as the audit holds it.
    """
    terms = _TERMS.get(str(row["verb"]))
    if terms is None or node.value is None:
        return node
    try:
        found = terms(Inputs(row["inputs"], str(row["id"])))
    except PlannerError:  # a catalog of another day may know the chip no longer; the audit's own figures stay
        return node
    for one in found:
        if one.value is not None and math.isclose(one.value, node.value, rel_tol=1e-9):
            return replace(node, parts=(*node.parts, replace(one, unit=one.unit or node.unit)))
    return node


def _change(inputs: Inputs) -> list[Node]:
    before, after = named("before", inputs.number("from"), "as stated"), named("after", inputs.number("to"), "as stated")
    grown = over("after over before", after, before, "times")
    whole = Node("less the price before", -1.0, "times")
    return [Node("relative change", (grown.value or 0.0) - 1.0, "fraction", "sum", parts=(grown, whole))]


def _product(inputs: Inputs) -> list[Node]:
    factors = [float(factor) for factor in inputs.raw("factors")]
    parts = tuple(named(f"factor {number}", factor, "times") for number, factor in enumerate(factors, start=1))
    return [Node("product of the factors", math.prod(factors), "", "product", parts=parts)]


def _ratio(inputs: Inputs) -> list[Node]:
    return [
        over(
            "share",
            named("part", inputs.number("part"), "as stated"),
            named("whole", inputs.number("whole"), "as stated"),
            "fraction",
        )
    ]


def _days(inputs: Inputs, chip_key: str, precision_key: str, name: str) -> Node:
    """Days of a training of a claim on one of its chips, in its best layout; the software is that of the first chip."""
    chip, first = find_chip(inputs.text(chip_key)), find_chip(inputs.text("chip"))
    count = inputs.whole("chips")
    fleet = [(find_chip(inputs.text(key)), count) for key in ("chip", "other") if inputs.has(key)]
    job = _job(inputs, chip, precision_key, fleet)
    stack = stack_for(_job(inputs, first), "", first)
    option = _best(train_options(job, chip, (count,), stack), chip, count, inputs)
    return _days_of(inputs, run_on(job, chip, stack, option.layout), name)


def _days_of(inputs: Inputs, run: Run, name: str) -> Node:
    return days_tree(run, batch_given=inputs.has("global_batch"), seq_given=inputs.has("seq_len"), name=name)


def _compare(inputs: Inputs) -> list[Node]:
    first = _days(inputs, "chip", "precision", f"days on {inputs.text('chip')}")
    second = _days(inputs, "other", "other_precision", f"days on {inputs.text('other')}")
    times = over("time against time", second, first, "times")
    price = named("price against price", inputs.number("price_ratio", "count", 1.0), "times")
    cost = Node("cost against cost", (times.value or 0.0) * (price.value or 0.0), "times", "product", parts=(times, price))
    return [first, second, times, cost]


def _train_size(inputs: Inputs) -> list[Node]:
    chip = find_chip(inputs.text("chip"))
    option = _size_training(inputs, chip)
    job = as_sized(_job(inputs, chip), option)
    days = _days_of(inputs, run_on(job, chip, stack_for(job, "", chip), option.layout), "days")
    limit = named("deadline", inputs.number("deadline", "time") / DAY_S, "days")
    chips = Node("fewest chips in time", float(option.chips), "chips", "formula", parts=(days, limit))
    return [days, chips]


def _response_cost(inputs: Inputs) -> list[Node]:
    sized, currency = _size_service(inputs), inputs.text("currency")
    rent = named("rent of a chip-hour", rent_per_chip_h(find_market(inputs.text("market")), sized.chip, currency), currency)
    chips = named("chips, day and night", float(sized.chips), "chips")
    bill = Node("rent of an hour", (rent.value or 0.0) * sized.chips, currency, "product", parts=(chips, rent))
    visits = named("visits per day", inputs.number("visits_per_day"), "1/d")
    each = named("responses per visit", inputs.number("responses_per_visit", "count", 1.0), "responses")
    hour = named("hours of a day, inverted", HOUR_S / DAY_S, "d")
    per_h = (visits.value or 0.0) * (each.value or 0.0) * HOUR_S / DAY_S
    served = Node("responses of an hour", per_h, "responses", "product", parts=(visits, each, hour))
    return [over("cost of a response", bill, served, currency)]


_TERMS: Mapping[str, Callable[[Inputs], list[Node]]] = {
    "change": _change,
    "compare-training": _compare,
    "product": _product,
    "ratio": _ratio,
    "response-cost": _response_cost,
    "train-size": _train_size,
}
"""Verbs of claims to what a claim may ask of them, each as a tree."""
