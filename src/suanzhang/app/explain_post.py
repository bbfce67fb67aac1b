"""Explain a post-training: the step from sampling, training and hand-over, each down to the terms of its own side."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from suanzhang.app.explain_serve import Replica, iteration
from suanzhang.app.explain_terms import Run, calendar_tree, givens_of_run, run_on, step_tree
from suanzhang.app.explain_tree import asked, dotted, leaf, named, quoted
from suanzhang.app.post_training import near_copies, passes_of, post_train
from suanzhang.app.post_training_costs import cost_given, tensors_of
from suanzhang.app.post_training_input import Asked, checked
from suanzhang.app.post_training_sides import (
    engine_of,
    estimated_rollout,
    frozen_bytes,
    job_of,
    packed_job,
    tuning_seq,
)
from suanzhang.app.serve_verb_answer import rent_per_chip_h
from suanzhang.catalog.chips import chip as chip_of
from suanzhang.perf.post_training import copy_s, dispatch_s, forward_pass_s, refit_s
from suanzhang.perf.training.pack import HOST_LINK_BYTES_PER_S
from suanzhang.sim.replica import simulate
from suanzhang.spec.layout import ServeLayout, TrainLayout
from suanzhang.spec.post_training import RolloutSpec
from suanzhang.spec.serve import ClosedLoop
from suanzhang.spec.trust import Given, Node
from suanzhang.spec.trust_plain import plain, rebuilt
from suanzhang.units import DAY_S, HOUR_S

Trees = tuple[list[Node], list[str]]
_VERB = "suanzhang.app.post_training.post_train"
_SAME = 1e-9
_SHARED = ("embedding_head_s", "launch_s", "tensor_comm_s", "context_comm_s", "expert_comm_s", "pipeline_comm_s", "bubble_s",
           "jitter_s")  # fmt: skip
"""Terms of a step of which a pass without gradients takes a third."""


def explain_post(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Trees:
    """Trees of the days, the step of the best way and of the others, the memory, and the cost.

    Args:
        body: the result.
        inputs: what it was asked.
    """
    asked_for = read_back(body, inputs)
    best, warnings = _Way(asked_for, body["best"], inputs).step("one step")
    count, days, seconds = float(body["steps"]), float(body["days"]), float(body["best"]["step_s"])
    steps = _steps(asked_for, count, inputs)
    useful = count * seconds / (days * DAY_S)
    trees = [calendar_tree("days", steps, best, days, useful, asked_for.model.params, int(body["chips"]), _VERB)]
    trees += [_memory(asked_for, body["best"], inputs), *_money(body, inputs)]
    for number, option in enumerate(body["options"]):
        if option != body["best"]:
            words = f"one step, way {number + 1}: {option['placement']}"
            step, more = _Way(asked_for, option, inputs).step(words)
            trees, warnings = [*trees, step], warnings + more
    return trees, warnings


def read_back(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Asked:
    """What was asked, looked up as the verb looks it up."""
    usual = {name: item.default for name, item in inspect.signature(post_train).parameters.items()}
    names = inspect.signature(checked).parameters
    given = {**{name: usual[name] for name in names}, **{name: inputs[name] for name in names if name in inputs}}
    return checked(**{**given, "seed": int(body["seed"])})


def _steps(ask: Asked, count: float, inputs: Mapping[str, Any]) -> Node:
    """Steps of the run: those that were asked, or examples over those of a step."""
    if ask.rollout is not None:
        usual = asked("rollout steps", count, "steps", given=bool(inputs.get("steps")))
        return Node("steps", count, "steps", "formula", "", (usual,))
    tune = ask.tuning
    givens = (
        asked("examples", tune.examples, "examples", given=True),
        asked("passes over them", tune.epochs, "passes", given="epochs" in inputs),
        asked("tokens of an example", tune.example_tokens, "tokens", given="example_tokens" in inputs),
        asked("tokens of a packed sequence", float(tune.seq_len), "tokens", given="seq_len" in inputs),
        asked("sequences of a step", float(tune.batch), "sequences", given="batch" in inputs),
    )
    return Node("optimizer steps", count, "steps", "formula", _VERB, givens, note="examples over those of a step")


class _Way:
    """One way to run a post-training."""

    def __init__(self, ask: Asked, option: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
        self.ask, self.option, self.inputs = ask, option, inputs
        spec = ask.rollout
        self.updates = math.ceil(spec.responses / spec.train_batch) if spec else 1
        self.layout = rebuilt(TrainLayout, option["layout"], "layout")
        self.run = self._training(self.layout)
        self.train = step_tree(self.run)
        self.forward = self._forward()

    def _training(self, layout: TrainLayout) -> Run:
        spec, tune = self.ask.rollout, self.ask.tuning
        if spec is not None:
            job, layout = packed_job(self.ask, spec, layout)
        else:
            job = job_of(self.ask, tuning_seq(tune), tune.batch)
        return run_on(job, self.ask.chip, self.ask.stack, layout)

    def _forward(self) -> Node:
        """A pass without gradients: the forward products and a third of what passes share."""
        terms = {part.name.replace(" ", "_") + "_s": part for part in self.train.parts}
        parts = [replace(terms["forward_s"], value=terms["forward_s"].value)]
        third = named("a third", 1.0 / 3.0, "fraction", note="one of three passes")
        for name in _SHARED:
            value = terms[name].value or 0.0
            if value:
                words = f"forward part of {terms[name].name}"
                parts.append(Node(words, value / 3.0, "s", "product", dotted(forward_pass_s), parts=(third, terms[name])))
        parts.append(terms["overhead_s"])
        total = sum(part.value or 0.0 for part in parts)
        return Node("one pass without gradients", total, "s", "sum", dotted(forward_pass_s), parts=tuple(parts))

    def step(self, name: str) -> tuple[Node, list[str]]:
        """The step as the sum of its terms."""
        warnings: list[str] = []
        parts = []
        for term in self.option["terms"]:
            part = self._term(str(term["name"]), float(term["value"]))
            parts.append(part)
            if (
                part.joined == "product"
                and abs(math.prod(p.value or 0.0 for p in part.parts) / (part.value or 1.0) - 1.0) > _SAME
            ):
                warnings.append(f"{part.name} differs by the formulas of this version")
        node = Node(name, float(self.option["step_s"]), "s", "sum", _VERB, parts=tuple(parts))
        if not self.option["sides"]:
            return node, warnings
        sides = [self._side(str(one["name"]), float(one["value"]), node) for one in self.option["sides"]]
        longest = max(side.value or 0.0 for side in sides)
        rest = tuple(part for part in parts if part.name.startswith("weights to"))
        longer = Node("longer side", longest, "s", "largest", _VERB, parts=tuple(sides), note="both sides work at once")
        return replace(node, parts=(longer, *rest)), warnings

    def _side(self, name: str, value: float, node: Node) -> Node:
        """One side of a fleet whose sides work beside one another."""
        if name.startswith("rollout"):
            return replace(self._term("rollout", value), name=name)
        own = tuple(part for part in node.parts if part.name != "rollout" and not part.name.startswith("weights to"))
        if abs(sum(part.value or 0.0 for part in own) - value) <= _SAME * value:
            return Node(name, value, "s", "sum", _VERB, parts=own)
        update = self._times(self.train, "training of the policy")
        words, rest = "passes without gradients and the critic", value - (update.value or 0.0)
        others = Node(words, rest, "s", "formula", dotted(forward_pass_s), parts=(self.forward,))
        return Node(name, value, "s", "sum", _VERB, parts=(update, others))

    def _times(self, one: Node, name: str = "", factor: float = 1.0) -> Node:
        """So many times one step or pass."""
        count = named("optimizer steps of a rollout", float(self.updates), "steps")
        share = () if factor == 1.0 else (named("size of the other model over the policy's", factor, "times"),)
        value = (one.value or 0.0) * self.updates * factor
        return Node(name, value, "s", "product", _VERB, parts=(count, *share, one))

    def _term(self, name: str, value: float) -> Node:
        if name in ("training of the policy", "training of the critic"):
            return replace(self._times(self.train, name), value=value)
        if name.startswith(("log-probabilities", "values of the critic")):
            return replace(self._times(self.forward, name), value=value)
        if name == "reward model":
            spec = self.ask.rollout
            factor = (spec.reward_params if spec else 0.0) / self.ask.model.active_params
            return replace(self._times(self.forward, name, factor), value=value)
        if name == "rollout":
            return self._rollout(value)
        if name == "weights to the rollout":
            return self._weights(value)
        if name == "dispatch to the experts":
            return self._dispatch(value)
        if name == "host work of the step":
            return Node(name, value, "s", "sum", _VERB, (cost_given("step_s", self.ask.costs.step_s),))
        if name == "environment":
            return Node(name, value, "s", "sum", _VERB, (asked("time of the environment", value, "s", given=True),))
        return self._host(name, value)

    def _rollout(self, value: float) -> Node:
        """Sampling, simulated token by token; beside it one iteration at its mean load."""
        spec = self.ask.rollout
        if spec is None:
            return named("rollout", value, "s")
        layout = rebuilt(ServeLayout, self.option["rollout"], "rollout")
        replicas = max(1, int(self.option["rollout_chips"]) // layout.chips)
        share = math.ceil(spec.responses / replicas)
        work = ClosedLoop(float(share), spec.prompt_tokens, spec.response_tokens, float(share), together=True)
        apart = self.option["placement"] == "apart"
        estimate = estimated_rollout(self.ask, layout, work, apart=apart)
        replica = Replica.of(plain(estimate), self.ask.chip.id, self.ask.model)
        load = f"{float(replica.stored['running_batch']):.0f} answers at once"
        decode = iteration("one iteration of sampling", replica, "terms", load)
        prefill = iteration("reading one question", replica, "prefill_terms", "alone in its iteration")
        return Node(
            "rollout", value, "s", "formula", dotted(simulate), (*_answers(spec, self.inputs), *self._engine(layout)),
            (decode, prefill), note=f"{share} answers on each of {replicas} replicas, {_until(spec, apart=apart)}",
        )  # fmt: skip

    def _engine(self, layout: ServeLayout) -> tuple[Given, ...]:
        """What the engine is given and what it costs to sample with it."""
        costs, apart = self.ask.costs, self.option["placement"] == "apart"
        share = engine_of(self.ask, layout, apart=apart).memory_fraction
        memory = cost_given("share_apart" if apart else "share", share)
        spread = (cost_given("spread_s", costs.spread_s),) if layout.chips > 1 else ()
        return (memory, cost_given("token_s", costs.token_s), *spread)

    def _dispatch(self, value: float) -> Node:
        """Waits for the host in layers with experts."""
        spec, layout = self.ask.rollout, self.layout
        if spec is None:
            return named("dispatch to the experts", value, "s")
        layers = named("layers with experts on a stage", self.ask.model.moe_layers / layout.pp, "layers")
        passes = named("passes over a micro-batch", passes_of(self.ask, spec, layout), "passes")
        each = self.ask.costs.dispatch_s
        count = value / (each * (layers.value or 1.0) * (passes.value or 1.0)) if each else 0.0
        batches = named("micro-batches of all steps, with fill and drain", count, "micro-batches")
        given = (cost_given("dispatch_s", each),)
        return Node("dispatch to the experts", value, "s", "formula", dotted(dispatch_s), given, (layers, passes, batches))

    def _weights(self, value: float) -> Node:
        """New weights to the chips that sample."""
        each = 2.0 if not self.ask.adapters else 0.02
        params = leaf(Given("parameters", self.ask.model.params, "parameters", self.ask.model.source, "published"))
        size = named("bytes of a parameter", each, "B", note="adapters alone" if self.ask.adapters else "16 bit")
        sent = Node("weights", self.ask.model.params * each, "B", "product", parts=(params, size))
        apart = self.option["placement"] == "apart"
        near = near_copies(self.ask, self.layout, int(self.option["rollout_chips"]), apart=apart)
        link = givens_of_run(self.run)["link" if near else "nic"]
        tensors = named("tensors", tensors_of(self.ask.model), "tensors")
        givens = (link, cost_given("tensor_s", self.ask.costs.tensor_s))
        return Node("weights to the rollout", value, "s", "formula", dotted(refit_s), givens, (sent, tensors))

    def _host(self, name: str, value: float) -> Node:
        """What moves to host memory and back, over the rate of the copies."""
        rate = Given("link to the host", HOST_LINK_BYTES_PER_S, "B/s", "planner-default", "assumed", "PCIe 4.0 x16")
        if self.ask.rollout is not None:
            rate = cost_given("copy_bytes_per_s", self.ask.costs.copy_bytes_per_s)
        what = "weights and optimizer states, out and in"
        if name.startswith("reference"):
            what = "weights of the policy out and in, of the reference in" if self.ask.rollout else "weights of the reference"
        kept = named("bytes of a chip that move", value * float(rate.value), "B", note=what)
        return Node(name, value, "s", "formula", dotted(copy_s), (rate,), (kept,))


def _until(spec: RolloutSpec, *, apart: bool) -> str:
    return "one step in a row of them" if apart and spec.in_flight else "until the last is there"


def _answers(spec: RolloutSpec, inputs: Mapping[str, Any]) -> tuple[Given, ...]:
    """What one rollout samples."""
    return (
        asked("questions of a step", float(spec.prompts), "questions", given="prompts" in inputs),
        asked("answers to each", float(spec.group), "answers", given="group" in inputs),
        asked("tokens of a question", spec.prompt_tokens, "tokens", given="prompt_tokens" in inputs),
        asked("tokens of an answer, mean", spec.response_tokens, "tokens", given="response_tokens" in inputs),
        asked("tokens of the longest answer", spec.response_max, "tokens", given="response_max" in inputs),
    )


def _memory(ask: Asked, option: Mapping[str, Any], inputs: Mapping[str, Any]) -> Node:
    """Memory of the fullest training chip, with the frozen reference where that fits."""
    from suanzhang.app.explain_terms import memory_tree

    way = _Way(ask, option, inputs)
    training = memory_tree(way.run)
    total, frozen = float(option["memory_bytes"]), frozen_bytes(ask, way.run.estimate)
    if abs(total - (training.value or 0.0)) <= _SAME * total:
        return training
    parts = (*training.parts, named("frozen reference", frozen, "B"))
    return replace(training, value=total, parts=parts)


def _money(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[Node]:
    """Chip-hours, and what they cost."""
    chips, time = (
        leaf(asked("chips", float(body["chips"]), "chips", given=True)),
        named("calendar time", float(body["days"]) * DAY_S / HOUR_S, "h"),
    )
    hours = Node("chip-hours", float(body["chip_hours"]), "chip_h", "product", _VERB, parts=(chips, time))
    money = body["cost"]
    if not money:
        return [hours]
    price = inputs.get("price_per_chip_h")
    rent = rent_per_chip_h(chip_of(str(body["chip"])))
    given = asked("price of a chip-hour", float(price or 0.0), f"{money['currency']}/chip_h", given=True)
    if price is None and rent is not None:
        given = quoted(f"rent of {body['chip']} for an hour", rent.price)
    return [hours, Node("cost", float(money["amount"]), str(money["currency"]), "product", _VERB, (given,), (hours,))]
