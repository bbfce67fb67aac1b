"""What a computed claim is made of, below the function that computed it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from suanzhang.app.explain_claims import MONEY_TERMS, rent, stated
from suanzhang.app.explain_fleets import explain_improve
from suanzhang.app.explain_serve import Replica, latencies
from suanzhang.app.explain_terms import Run, days_tree, run_on
from suanzhang.app.explain_tree import asked, constant, dotted, leaf, less, named, nodes_of, of_chip, over
from suanzhang.app.question import question_from
from suanzhang.app.scenario_inputs import Inputs
from suanzhang.app.scenarios_jobs import _best, _job, _size_service, _size_training
from suanzhang.app.serve_improve import improve
from suanzhang.app.serve_size import size_service
from suanzhang.app.train import train_options
from suanzhang.app.train_asked import with_overlap
from suanzhang.app.train_input import default_precision
from suanzhang.app.train_option import as_sized, stack_for
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.markets import market as find_market
from suanzhang.catalog.models import model as find_model
from suanzhang.errors import PlannerError
from suanzhang.perf.scaling import BESIROGLU_2024, FLOP_PER_PARAM_TOKEN, best_params, loss
from suanzhang.spec.precision import precision_of
from suanzhang.spec.serve import SizedService
from suanzhang.spec.trust import Given, Node
from suanzhang.spec.trust_plain import plain
from suanzhang.units import DAY_S, HOUR_S, MONTH_S


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
    before, after = (
        leaf(stated(inputs, key, "as stated", words=words)) for key, words in (("from", "before"), ("to", "after"))
    )
    grown = over("after over before", after, before, "times")
    whole = leaf(constant("less the price before", -1.0, "times"))
    return [Node("relative change", (grown.value or 0.0) - 1.0, "fraction", "sum", parts=(grown, whole))]


def _product(inputs: Inputs) -> list[Node]:
    factors = [float(factor) for factor in inputs.raw("factors")]
    parts = tuple(leaf(asked(f"factor {n}", factor, "times", given=True)) for n, factor in enumerate(factors, start=1))
    return [Node("product of the factors", math.prod(factors), "", "product", parts=parts)]


def _ratio(inputs: Inputs) -> list[Node]:
    part, whole = (leaf(stated(inputs, key, "as stated")) for key in ("part", "whole"))
    return [over("share", part, whole, "fraction")]


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
    price = leaf(stated(inputs, "price_ratio", "times", 1.0, words="price against price"))
    cost = Node("cost against cost", (times.value or 0.0) * (price.value or 0.0), "times", "product", parts=(times, price))
    return [first, second, times, cost]


def _train_size(inputs: Inputs) -> list[Node]:
    days, chips = _sized_training(inputs)
    return [days, chips]


def _sized_training(inputs: Inputs) -> tuple[Node, Node]:
    """Days of the fewest chips that meet the deadline of a claim, and their number."""
    chip = find_chip(inputs.text("chip"))
    option = _size_training(inputs, chip)
    job = as_sized(_job(inputs, chip), option)
    days = _days_of(inputs, run_on(job, chip, stack_for(job, "", chip), option.layout), "days")
    limit = leaf(asked("deadline", inputs.number("deadline", "time") / DAY_S, "days", given=True))
    home = dotted(_size_training)
    return days, Node("fewest chips in time", float(option.chips), "chips", "formula", home, parts=(days, limit))


def _sized_service(inputs: Inputs) -> tuple[SizedService, list[Node]]:
    """The service of a claim, and its chips: at the mean without and with targets, and at the peak with spares."""
    sized = _size_service(inputs)
    replica = Replica.of(plain(sized.peak), sized.chip, find_model(inputs.text("model")))
    times = tuple(latencies(replica, replica.stored))
    load = (stated(inputs, "visits_per_day", "1/d"), stated(inputs, "responses_per_visit", "responses", 1.0))
    peak = stated(inputs, "peak_to_mean", "times", 1.0, words="peak over mean")
    limits = tuple(
        asked(words, inputs.number(key, "time"), "s", given=True)
        for key, words in (("ttft_p99", "limit of the first token"), ("tpot_p99", "limit of further tokens"))
        if inputs.has(key)
    )

    def chips(words: str, count: float, given: tuple[Given, ...]) -> Node:
        return Node(words, float(count), "chips", "formula", dotted(size_service), given, times)

    found = [
        chips("chips, day and night", sized.chips, (*load, peak, *limits)),
        chips("chips at the mean load", sized.chips_mean, (*load, *limits)),
        chips("chips at the mean load without limits", sized.chips_mean_no_slo, load),
    ]
    return sized, found


def _serve_size(inputs: Inputs) -> list[Node]:
    return _sized_service(inputs)[1]


def _train_and_serve(inputs: Inputs) -> list[Node]:
    training, serving = _sized_training(inputs)[1], _sized_service(inputs)[1][1]
    return [Node("chips", (training.value or 0.0) + (serving.value or 0.0), "chips", "sum", parts=(training, serving))]


def _response_cost(inputs: Inputs) -> list[Node]:
    sized, fleets = _sized_service(inputs)
    currency = inputs.text("currency")
    price = rent(find_market(inputs.text("market")), sized.chip, currency)
    bill = Node("rent of an hour", (price.value or 0.0) * sized.chips, f"{currency}/h", "product", parts=(fleets[0], price))
    visits, each = (
        leaf(stated(inputs, "visits_per_day", "1/d")), leaf(stated(inputs, "responses_per_visit", "responses", 1.0))
    )  # fmt: skip
    hour = leaf(constant("an hour in days", HOUR_S / DAY_S, "d"))
    per_h = (visits.value or 0.0) * (each.value or 0.0) * HOUR_S / DAY_S
    served = Node("responses of an hour", per_h, "responses", "product", parts=(visits, each, hour))
    return [over("cost of a response", bill, served, currency)]


def _portfolio(inputs: Inputs) -> list[Node]:
    chip, count = find_chip(inputs.text("chip")), inputs.whole("chips_per_run")
    job = _job(inputs, chip, fleet=[(chip, count)])
    stack = with_overlap(stack_for(job, inputs.text("stack", ""), chip), inputs.text("overlap", ""))
    option = _best(train_options(job, chip, (count,), stack), chip, count, inputs)
    days = _days_of(inputs, run_on(job, chip, stack, option.layout), "days of a run")
    chips, day = leaf(stated(inputs, "chips_per_run", "chips")), constant("hours of a day", DAY_S / HOUR_S, "h")
    used = option.days * DAY_S / HOUR_S * count
    hours = Node("chip-hours of a run", used, "chip_h", "product", "", (day,), (days, chips))
    if inputs.has("budget"):
        market = find_market(inputs.text("market"))
        price = rent(market, chip.id, market.currency)
        run = Node("rent of a run", used * (price.value or 0.0), market.currency, "product", "", (), (hours, price))
        return [days, hours, over("runs", leaf(stated(inputs, "budget", market.currency)), run, "runs")]
    if not (inputs.has("runs") and inputs.has("months")):
        return [days, hours]
    runs, months = leaf(stated(inputs, "runs", "runs")), stated(inputs, "months", "months")
    work = Node("chip-days of all runs", (runs.value or 0.0) * option.days * count, "chip_days", "product", "", (),
                (runs, days, chips))  # fmt: skip
    month = constant("days of a month", MONTH_S / DAY_S, "d")
    time = Node("days", float(months.value) * MONTH_S / DAY_S, "d", "product", "", (months, month))
    return [days, hours, over("chips at work", work, time, "chips")]


def _compute_to_loss(inputs: Inputs) -> list[Node]:
    chip, law = find_chip(inputs.text("chip")), BESIROGLU_2024
    kind = default_precision(chip)
    peak = of_chip(chip, f"peak_flop_per_s.{precision_of(kind).arithmetic}", f"{kind} peak")
    given = (stated(inputs, "chips", "chips"), stated(inputs, "days", "d"), stated(inputs, "mfu", "fraction"))
    seconds = constant("seconds of a day", DAY_S, "s")
    factors = (*(float(one.value) for one in given), chip.peak(kind), DAY_S)
    flop = Node("training compute", math.prod(factors), "FLOP", "product", "", (*given, peak, seconds))
    times = stated(inputs, "times", "times", 10.0, words="times as many chips")
    more = Node(
        "training compute of more chips", (flop.value or 0.0) * float(times.value), "FLOP", "product", "", (times,), (flop,)
    )
    fit = Given("fit of the scaling law", "exponents, factors and the loss that stays", "", "besiroglu2024", "published")
    reached = []
    for one, of in ((flop, ""), (more, " of more chips")):
        size = Node(
            f"parameters{of}", best_params(one.value or 0.0, law), "parameters", "formula", dotted(best_params), (fit,), (one,)
        )
        each = leaf(constant("FLOP of a parameter and token", FLOP_PER_PARAM_TOKEN, "FLOP"))
        total = (one.value or 0.0) / (FLOP_PER_PARAM_TOKEN * (size.value or 1.0))
        tokens = Node(f"tokens{of}", total, "tokens", "ratio", "", (), (one, each, size))
        value = loss(size.value or 0.0, total, law)
        reached += [size, tokens, Node(f"loss{of}", value, "nats", "formula", dotted(loss), (fit,), (size, tokens))]
    gain = Node(
        "loss gained",
        (reached[2].value or 0.0) - (reached[5].value or 0.0),
        "nats",
        "sum",
        parts=(reached[2], less(reached[5])),
    )
    floor = leaf(Given("loss that no compute takes away", law.e, "nats", "besiroglu2024", "published"))
    above = Node("loss above it", (reached[2].value or 0.0) - law.e, "nats", "sum", parts=(reached[2], less(floor)))
    return [flop, *reached, gain, over("share of what can be learnt", gain, above, "fraction")]


def _improve(inputs: Inputs) -> list[Node]:
    question = question_from(inputs.given, inputs.where)
    body = plain(improve(question))
    trees, _ = explain_improve(body, {"question": question})
    today = body["baseline"]["rent_per_month"]
    if not today:
        return trees[:1]
    amount, unit = float(today["amount"]), str(today["currency"])
    rents = (node for tree in trees for node in nodes_of(tree) if node.unit == unit and node.parts)
    held_rent = next((node for node in rents if math.isclose(node.value or 0.0, amount, rel_tol=1e-9)), None)
    whole = replace(held_rent or named("rent of a month", amount, unit), name="rent of a month today")
    return [over("share of the rent that is saved", trees[0], whole, "fraction"), trees[0]]


_TERMS: Mapping[str, Callable[[Inputs], list[Node]]] = {
    "change": _change,
    "compare-training": _compare,
    "compute-to-loss": _compute_to_loss,
    "improve": _improve,
    "portfolio": _portfolio,
    "product": _product,
    "ratio": _ratio,
    "response-cost": _response_cost,
    "serve-size": _serve_size,
    "train-and-serve": _train_and_serve,
    "train-size": _train_size,
    **MONEY_TERMS,
}
"""Verbs of claims to what a claim may ask of them, each as a tree."""
