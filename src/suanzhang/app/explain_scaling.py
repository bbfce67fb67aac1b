"""Explain a sizing: the loss as the sum of the law's terms, size and tokens from the compute, the compute from the step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from suanzhang.app.explain_terms import Run, run_on, step_tree
from suanzhang.app.explain_tree import asked, dotted, named, over, quoted
from suanzhang.app.train_input import default_precision
from suanzhang.app.train_option import stack_for
from suanzhang.app.train_scaling import EPOCHS, batch_for, shape_of
from suanzhang.app.train_scaling_spread import LAWS
from suanzhang.catalog.chips import chip as chip_of
from suanzhang.errors import PlannerError
from suanzhang.perf.goodput import goodput_fraction
from suanzhang.perf.scaling import (
    FLOP_PER_PARAM_TOKEN,
    HOFFMANN_2022,
    LossLaw,
    best_params,
    kaplan_loss,
    kaplan_params,
    loss,
)
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.trust import Given, Node
from suanzhang.spec.trust_plain import rebuilt
from suanzhang.units import DAY_S, HOUR_S, parse_quantity

Trees = tuple[list[Node], list[str]]
_VOCABULARIES = (128_256, 32_000)
_SAME = 1e-6
_CONSTANTS = {
    "e": ("loss of perfect prediction, E", "nats/token"), "a": ("weight of a finite model, A", "nats/token"),
    "b": ("weight of finite data, B", "nats/token"), "alpha": ("exponent of the parameters, alpha", "exponent"),
    "beta": ("exponent of the tokens, beta", "exponent"),
}  # fmt: skip


def explain_scaling(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Trees:
    """Trees of the best row, of each other chip, and of what each law chooses.

    Args:
        body: the result.
        inputs: what it was asked.
    """
    law = next(iter(LAWS.values()))
    trees, warnings = _row(body["best"], inputs, law, "")
    for row in body["rows"]:
        if row["chip"] and row["chip"] != body["best"]["chip"]:
            more, words = _row(row, inputs, law, f" on {row['chip']}")
            trees, warnings = trees + more, warnings + words
    flop = float(body["best"]["flop"])
    for size in body["sizes"]:
        trees += _size(size, flop, law)
    return trees, warnings


def _constants(law: LossLaw, *fields: str) -> tuple[Given, ...]:
    source = "hoffmann2022" if law == HOFFMANN_2022 else "besiroglu2024"
    return tuple(Given(_CONSTANTS[name][0], getattr(law, name), _CONSTANTS[name][1], source, "published") for name in fields)


def _loss(name: str, value: float, params: Node, tokens: Node, law: LossLaw) -> Node:
    """The loss as the sum of its three terms."""
    finite = law.a / (params.value or 1.0) ** law.alpha
    data = law.b / (tokens.value or 1.0) ** law.beta
    unit, by = "nats/token", dotted(loss)
    parts = (
        Node("perfect prediction", law.e, unit, "formula", by, _constants(law, "e"), note="E"),
        Node("finite model", finite, unit, "formula", by, _constants(law, "a", "alpha"), (params,), note="A / N^alpha"),
        Node("finite data", data, unit, "formula", by, _constants(law, "b", "beta"), (tokens,), note="B / D^beta"),
    )
    return Node(name, value, unit, "sum", by, parts=parts)


def _tokens(name: str, value: float, flop: Node, params: Node) -> Node:
    """Tokens that the compute is worth at a size."""
    six = named("FLOP of a parameter and token", FLOP_PER_PARAM_TOKEN, "FLOP", note="forward 2, backward 4")
    return Node(name, value, "tokens", "ratio", dotted(best_params), parts=(flop, six, params))


def _row(row: Mapping[str, Any], inputs: Mapping[str, Any], law: LossLaw, of: str) -> tuple[list[Node], list[str]]:
    """Loss, size, tokens, compute and cost of one kind of chips."""
    warnings: list[str] = []
    amount = float(row["flop"])
    compute = named("training compute", amount, "FLOP")
    trees: list[Node] = []
    if row["chip"]:
        bought, warnings = _compute(row, inputs, of)
        trees = [bought]
    else:
        ask = Given("training compute", amount, "FLOP", "question", "asked")
        compute = Node("training compute", amount, "FLOP", "formula", "", (ask,))
    params = _params(row, inputs, law, compute)
    tokens = _tokens(f"tokens{of}", float(row["tokens"]), compute, named("parameters", float(row["params"]), "parameters"))
    first = _loss(f"loss{of}", float(row["loss"]), params, tokens, law)
    each = over(f"tokens per parameter{of}", named("tokens", float(row["tokens"]), "tokens"),
                named("parameters", float(row["params"]), "parameters"), "tokens")  # fmt: skip
    return [first, replace(params, name=f"parameters{of}"), tokens, each, *trees, *_cost(row, inputs, of)], warnings


def _params(row: Mapping[str, Any], inputs: Mapping[str, Any], law: LossLaw, compute: Node) -> Node:
    """Parameters as the law chooses them, or as what was fixed does."""
    value, free = float(row["params"]), best_params(float(row["flop"]), law)
    if abs(value / free - 1.0) < _SAME:
        by = _constants(law, "a", "b", "alpha", "beta")
        note = "(alpha A / (beta B))^(1/(alpha+beta)) (C/6)^(beta/(alpha+beta))"
        return Node("parameters", value, "parameters", "formula", dotted(best_params), by, (compute,), note=note)
    given: list[Given] = []
    ratio = float(inputs.get("tokens_per_param") or 0.0)
    text = parse_quantity(inputs.get("unique_tokens") or 0.0, "count", "unique tokens")
    if ratio:
        given.append(asked("tokens per parameter", ratio, "tokens", given=True))
    if text:
        given += [asked("tokens of text that there are", text, "tokens", given=True),
                  Given("passes over them", EPOCHS, "passes", "planner-default", "assumed")]  # fmt: skip
    return Node("parameters", value, "parameters", "formula", dotted(best_params), tuple(given), (compute,),
                note="compute over six times the tokens that were fixed")  # fmt: skip


def _behind(row: Mapping[str, Any], inputs: Mapping[str, Any]) -> Run | None:
    """The training of the sized model on its chips, as the result names its shape."""
    chip, seq = chip_of(str(row["chip"])), int(inputs.get("seq_len") or 4096)
    best: tuple[float, Run] | None = None
    for vocab in _VOCABULARIES:
        shape = shape_of(int(row["layers"]), int(row["hidden"]), vocab)
        precision = str(inputs.get("precision") or default_precision(chip))
        job = TrainJob("sized", shape, 1e12, seq, batch_for(shape, seq, chip, int(row["chips"])), precision,
                       start=str(inputs.get("start") or ""))  # fmt: skip
        try:
            run = run_on(
                job, chip, stack_for(job, str(inputs.get("stack") or ""), chip), rebuilt(TrainLayout, row["layout"], "layout")
            )
        except PlannerError:
            continue
        off = abs(run.estimate.mfu - float(row["mfu"]))
        if best is None or off < best[0]:
            best = (off, run)
    return best[1] if best else None


def _compute(row: Mapping[str, Any], inputs: Mapping[str, Any], of: str) -> tuple[Node, list[str]]:
    """Compute that chips and time give: work of a step over its time, for the useful part of the time."""
    name, amount, seconds = f"training compute{of}", float(row["flop"]), float(row["days"]) * DAY_S
    useful = named("useful share of the time", float(row["goodput_fraction"]), "fraction", dotted(goodput_fraction))
    run = _behind(row, inputs)
    if run is None:
        return named(name, amount, "FLOP"), [f"{row['chip']}: the sized model does not fit its layout any more"]
    job = run.job
    time = named("time of the steps", seconds * float(row["goodput_fraction"]), "s")
    steps = over("optimizer steps", time, step_tree(run), "steps")
    work = Node(
        "work of a step", FLOP_PER_PARAM_TOKEN * job.model.params * job.seq_len * job.global_batch, "FLOP", "product", "",
        parts=(
            named("FLOP of a parameter and token", FLOP_PER_PARAM_TOKEN, "FLOP", note="forward 2, backward 4"),
            named("parameters of the sized model", job.model.params, "parameters"),
            named("tokens of a step", float(job.seq_len * job.global_batch), "tokens"),
        ),
    )  # fmt: skip
    now = (work.value or 0.0) * (steps.value or 0.0)
    calendar = named("calendar time", seconds, "s")
    kept = Node("time of the steps", time.value, "s", "product", "", parts=(calendar, useful))
    steps = replace(steps, parts=(kept, steps.parts[1]))
    warnings = (
        [] if abs(now / amount - 1.0) < _SAME else [f"{name} is {now:.6g} by the formulas of this version, not {amount:.6g}"]
    )
    return Node(name, now, "FLOP", "product", dotted(goodput_fraction), parts=(work, steps)), warnings


def _cost(row: Mapping[str, Any], inputs: Mapping[str, Any], of: str) -> list[Node]:
    """Chip-hours at their price."""
    money, price = row["cost"], row["price_per_chip_h"]
    if not money or not price:
        return []
    found = chip_of(str(row["chip"]))
    rents = [item.price for item in found.prices if item.kind == "rent" and item.price.unit.startswith(str(price["currency"]))]
    latest = max(rents, key=lambda one: one.date or "", default=None)
    given = asked("price of a chip-hour", float(price["amount"]), f"{price['currency']}/chip_h", given=True)
    if inputs.get("price_per_chip_h") is None and latest is not None:
        given = quoted(f"rent of {found.id} for an hour", latest)
    time, chips = named("calendar time", float(row["days"]) * DAY_S / HOUR_S, "h"), named("chips", float(row["chips"]), "chips")
    hours = Node("chip-hours", (time.value or 0.0) * float(row["chips"]), "chip_h", "product", "", parts=(chips, time))
    amount = float(money["amount"])
    return [Node(f"cost{of}", amount, str(money["currency"]), "product", "", (given,), (hours,))]


def _size(size: Mapping[str, Any], flop: float, law: LossLaw) -> list[Node]:
    """What one law chooses, or what another size would cost by the first law."""
    words, value = str(size["law"]), float(size["params"])
    compute = named("training compute", flop, "FLOP")
    own = LAWS.get(words, law)
    if words.startswith("Kaplan"):
        params = Node(f"parameters by {words}", value, "parameters", "formula", dotted(kaplan_params), (), (compute,))
        first = Node(f"loss by {words}", float(size["loss"]), "nats/token", "formula", dotted(kaplan_loss), (), (compute,))
        return [first, params]
    known = words in LAWS
    by = _constants(own, "a", "b", "alpha", "beta") if known else ()
    name = f"parameters by {words}" if known else f"parameters at {words}"
    params = Node(name, value, "parameters", "formula", dotted(best_params), by, (compute,))
    tokens = _tokens("tokens", float(size["tokens"]), compute, named("parameters", value, "parameters"))
    return [_loss(name.replace("parameters", "loss"), float(size["loss"]), params, tokens, own)]
