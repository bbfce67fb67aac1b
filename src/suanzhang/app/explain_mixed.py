"""Explain a training over pools of unlike chips: the step of each way from its stages, groups or shares of the batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from suanzhang.app.explain_runs import job_asked
from suanzhang.app.explain_terms import Run, calendar_tree, givens_of_run, run_on, step_tree, steps_tree
from suanzhang.app.explain_tree import asked, dotted, named, over
from suanzhang.app.train_asked import with_overlap
from suanzhang.app.train_mixed_costs import pool_costs
from suanzhang.app.train_mixed_data import across_s
from suanzhang.app.train_mixed_pipeline import best_pipeline
from suanzhang.catalog.chips import chip as chip_of
from suanzhang.catalog.stacks import train_stack
from suanzhang.errors import PlannerError
from suanzhang.perf.mixed import pools_allreduce_s, unequal_pipeline_s
from suanzhang.perf.training.layer import layer_times
from suanzhang.perf.training.step import data_comm_s, step_terms, step_total_s
from suanzhang.perf.training.traffic import optimizer_s
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.stack import TrainStack
from suanzhang.spec.trust import Node
from suanzhang.spec.trust_plain import rebuilt

Trees = tuple[list[Node], list[str]]
_SAME = 1e-9
_WORDS = {
    "pipeline": "layers split over the pools",
    "data": "batch split over the pools",
    "groups": "groups of pools side by side",
    "alone": "one pool alone",
}
_OTHERS = {
    "data_comm_s": (dotted(data_comm_s), ("link", "nic", "data")),
    "optimizer_s": (dotted(optimizer_s), ("hbm",)),
    "overhead_s": (dotted(step_terms), ("overhead",)),
    "jitter_s": (dotted(step_terms), ("jitter",)),
}


def explain_mixed(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Trees:
    """Trees of the days and the step of the best way, of each other way, and of what mixing gains or loses.

    Args:
        body: the result.
        inputs: what it was asked.
    """
    asked_for = _Asked(body, inputs)
    trees, warnings = asked_for.way(body["best"], "days")
    for number, option in enumerate(body["options"]):
        if option != body["best"]:
            more, words = asked_for.way(option, f"days of way {number + 1}")
            trees, warnings = trees + more, warnings + words
    return [*trees, *_gains(body)], warnings


def _gains(body: Mapping[str, Any]) -> list[Node]:
    """What the best way gains on the fastest pool alone, and what mixing loses against pools that work apart."""
    alone = {_pools(one): float(one["tokens_per_s"]) for one in body["options"] if one["way"] == "alone"}
    mixed = [float(one["tokens_per_s"]) for one in body["options"] if one["way"] != "alone"]
    if not alone:
        return []
    lone = [named(f"tokens a second of {name}", rate, "tokens/s") for name, rate in alone.items()]
    best = named("tokens a second of the best way", float(body["best"]["tokens_per_s"]), "tokens/s")
    fastest = Node("tokens a second of the fastest pool alone", max(alone.values()), "tokens/s", "largest", parts=tuple(lone))
    one = Node("less one", -1.0, "fraction")
    gain = Node("gain of the best way", float(body["gain_fraction"]), "fraction", "sum", parts=(
        over("best way over the fastest pool", best, fastest, "fraction"), one))  # fmt: skip
    apart = Node("tokens a second of the pools apart", float(body["apart_tokens_per_s"]), "tokens/s", "sum", parts=tuple(lone))
    trees = [gain, apart]
    if mixed and body["mixing_loss_fraction"]:
        ways = tuple(named(f"tokens a second of way {number + 1}", rate, "tokens/s") for number, rate in enumerate(mixed))
        together = Node("tokens a second of the fastest mix", max(mixed), "tokens/s", "largest", parts=ways)
        share = over("fastest mix over the pools apart", together, apart, "fraction")
        kept = Node("less what the mix keeps", -(share.value or 0.0), "fraction", "product", parts=(
            Node("minus one", -1.0, "fraction"), share))  # fmt: skip
        trees.append(Node("loss by mixing", float(body["mixing_loss_fraction"]), "fraction", "sum", parts=(
            named("all of it", 1.0, "fraction"), kept)))  # fmt: skip
    return trees


def _pools(option: Mapping[str, Any]) -> str:
    return " + ".join(f"{share['chips']} {share['chip']}" for share in option["pools"])


class _Asked:
    """The job, the software and the link between zones that a mix was asked with."""

    def __init__(self, body: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
        self.inputs = inputs
        self.job: TrainJob = job_asked(body, inputs, str(body["precision"]))
        self.stack: TrainStack = with_overlap(train_stack(str(body["stack"])), str(inputs.get("overlap") or ""))
        given = inputs.get("between_bytes_per_s") is not None
        self.link = (
            asked("link between zones", float(body["between_bytes_per_s"]), "B/s", given=given),
            asked("time of an empty message between zones", float(body["between_s"]), "s", given=given),
        )

    def run(self, share: Mapping[str, Any]) -> Run:
        """One pool with its share of the batch, as if it stood alone."""
        job = replace(self.job, global_batch=int(share["batch"]))
        return run_on(job, chip_of(str(share["chip"])), self.stack, rebuilt(TrainLayout, share["layout"], "layout"))

    def way(self, option: Mapping[str, Any], name: str) -> Trees:
        """The days of one way, from its step."""
        step, warnings = self._step(option, name)
        first = option["pools"][0]
        whole = Run(self.job, *_rest(self.run(first) if option["way"] != "pipeline" else self._stage(first)))
        steps = steps_tree(whole, batch_given=bool(self.inputs.get("global_batch")), seq_given=bool(self.inputs.get("seq_len")))
        days, seconds = float(option["days"]), float(option["step_s"]) * (steps.value or 0.0)
        tree = calendar_tree(name, steps, step, days, seconds / 86400.0 / days, self.job.model.params, int(option["chips"]),
                             "suanzhang.app.train_mixed.train_mixed")  # fmt: skip
        return [replace(tree, note=f"{_WORDS[option['way']]}: {_pools(option)}")], warnings

    def _step(self, option: Mapping[str, Any], name: str) -> tuple[Node, list[str]]:
        total = float(option["step_s"])
        if option["way"] == "alone":
            step = step_tree(self.run(option["pools"][0]))
            return step, _moved(name, step.value or 0.0, total)
        terms = {str(term["name"]): float(term["value"]) for term in option["terms"]}
        if option["way"] == "pipeline":
            return self._pipeline(option["pools"], terms, total), []
        across = terms.pop("between_pools_s", 0.0)
        sides = [self._side(share) for share in option["pools"] if self._alone(share)]
        slowest = Node("slowest side", total - across, "s", "largest", dotted(step_total_s), parts=tuple(sides))
        if not any(abs((side.value or 0.0) / (total - across) - 1.0) < _SAME for side in sides):
            slowest = self._pipeline([one for one in option["pools"] if not self._alone(one)], terms, total - across)
            slowest = replace(slowest, name="slowest side")
        between = Node("gradients between the pools", across, "s", "formula", dotted(pools_allreduce_s), self.link,
                       note=f"as {dotted(across_s).rpartition('.')[2]} adds them up")  # fmt: skip
        return Node("one optimizer step", total, "s", "sum", dotted(step_total_s), parts=(slowest, between)), []

    def _alone(self, share: Mapping[str, Any]) -> bool:
        """Whether a pool holds all layers."""
        return int(share["layers"]) == self.job.model.layers

    def _side(self, share: Mapping[str, Any]) -> Node:
        return replace(
            step_tree(self.run(share)), name=f"step of {share['chips']} {share['chip']} at {share['batch']} sequences"
        )

    def _stage(self, share: Mapping[str, Any]) -> Run:
        """One pool of a pipeline: its layers alone are computed, in a layout of one stage where its own cannot stand alone."""
        layout = rebuilt(TrainLayout, share["layout"], "layout")
        for one in (layout, replace(layout, pp=1)):
            try:
                return run_on(replace(self.job, global_batch=int(share["batch"])), chip_of(str(share["chip"])), self.stack, one)
            except PlannerError:
                continue
        raise KeyError(f"layout of {share['chip']}")

    def _pipeline(self, pools: list[Mapping[str, Any]], terms: Mapping[str, float], total: float) -> Node:
        """A step over stages of unlike pools: the pace of the slowest, fill and drain, and what follows once a step."""
        stages = tuple(self._part(share) for share in pools)
        slow = self._stage(max(zip(pools, stages, strict=True), key=lambda pair: pair[1].value or 0.0)[0])
        givens = givens_of_run(slow)
        parts = []
        for name, value in terms.items():
            words = name.removesuffix("_s").replace("_", " ")
            if name in _OTHERS:
                formula, figures = _OTHERS[name]
                parts.append(
                    Node(words, value, "s", "formula", formula, tuple(givens[one] for one in figures) if value else ())
                )
                continue
            formula = dotted(unequal_pipeline_s)
            parts.append(Node(words, value, "s", "formula", formula, self.link if len(_zones(pools)) > 1 else (), stages))
        shown = tuple(sorted(parts, key=lambda part: -(part.value or 0.0)))
        return Node("one optimizer step", total, "s", "sum", dotted(best_pipeline), parts=shown)

    def _part(self, share: Mapping[str, Any]) -> Node:
        """What the stages of one pool work at a micro-batch: layers of a stage times one layer."""
        run, layout = self._stage(share), rebuilt(TrainLayout, share["layout"], "layout")
        costs, stages = pool_costs(run.packed, layout), max(1, layout.pp)
        givens = givens_of_run(run)
        layer = Node("one layer, all passes", costs.layer_s, "s", "formula", dotted(layer_times),
                     tuple(givens[name] for name in ("peak", "kernels", "gemm", "hbm", "link", "tensor")))  # fmt: skip
        count = int(share["layers"]) / stages
        held = named("layers of a stage", count, "layers", note=f"{share['layers']} layers over {stages} stages, mean")
        name = f"a micro-batch in a stage of {share['chip']}"
        work = Node("its layers", count * costs.layer_s, "s", "product", parts=(held, layer))
        if not costs.message_s or stages == 1:
            return replace(work, name=name)
        sent = Node(
            "message to the next stage of the pool", costs.message_s, "s", "formula", dotted(pool_costs), (givens["nic"],)
        )
        return Node(name, (work.value or 0.0) + costs.message_s, "s", "sum", parts=(work, sent))


def _zones(pools: list[Mapping[str, Any]]) -> set[str]:
    return {str(share["zone"]) for share in pools}


def _rest(run: Run) -> tuple[Any, ...]:
    return run.chip, run.stack, run.packed, run.estimate, run.option, run.at, run.at16


def _moved(name: str, now: float, stored: float) -> list[str]:
    if abs(now / stored - 1.0) < _SAME:
        return []
    return [f"the step of {name} is {now:.6g} s by the formulas of this version, the result holds {stored:.6g} s"]
