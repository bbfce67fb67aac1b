"""Explain whole runs: goodput by where the calendar time goes, variants side by side, jobs of files, own measured runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from suanzhang.app.explain_terms import Run, days_tree, memory_tree, mfu_tree, run_on, step_tree
from suanzhang.app.explain_train import explain_train
from suanzhang.app.explain_tree import asked, constant, dotted, leaf, less, moved_words, named, over
from suanzhang.app.train_asked import with_overlap, with_routing
from suanzhang.app.train_input import default_precision, parse_chips, sizes_of, tokens_of
from suanzhang.app.train_run import HARDWARE, RATES
from suanzhang.app.train_run_answer import REPAIR_S, closed
from suanzhang.catalog.chips import chip as chip_of
from suanzhang.catalog.models import model as model_of
from suanzhang.catalog.stacks import train_stack
from suanzhang.errors import PlannerError
from suanzhang.perf.goodput import (
    CHECKPOINT_BYTES_PER_PARAM,
    RESTART_S,
    STORE_BYTES_PER_S_PER_CHIP,
    best_interval_s,
    checkpoint_s,
    straggler_fraction,
)
from suanzhang.perf.training.pack import HOST_LINK_BYTES_PER_S
from suanzhang.perf.training.step import step_total_s
from suanzhang.sim.run import simulate_runs
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.trust import Given, Node
from suanzhang.spec.trust_plain import rebuilt
from suanzhang.units import DAY_S

Trees = tuple[list[Node], list[str]]
_SAME = 1e-9
_RATE_SOURCES = {"llama3": "llama3", "meta-rsc-1": "kokolis2024", "meta-rsc-2": "kokolis2024", "opt": "opt"}


def job_asked(body: Mapping[str, Any], inputs: Mapping[str, Any], precision: str) -> TrainJob:
    """The training that a verb was asked, from its stored inputs.

    Args:
        body: the result.
        inputs: what it was asked.
        precision: arithmetic that it was answered in.
    """
    spec = inputs.get("model", body["model"])
    model = spec if isinstance(spec, ModelSpec) else model_of(str(spec))
    chips = str(inputs.get("chips") or "")
    fleet = [(chip_of(name), count) for name, count in parse_chips(chips)] if ":" in chips and "+" not in chips else []
    given = int(inputs.get("global_batch") or body.get("global_batch") or 0)
    seq, batch = sizes_of(model, int(inputs.get("seq_len") or 0), given, fleet)
    tokens = tokens_of(inputs.get("tokens", 0.0), seq * batch)
    optimizer = str(inputs.get("optimizer") or "adam")
    job = TrainJob(model.id, model, tokens, seq, batch, precision, optimizer, start=str(inputs.get("start") or ""))
    return with_routing(job, str(inputs.get("routing") or ""))


def _run(body: Mapping[str, Any], inputs: Mapping[str, Any], chip: str, layout: Mapping[str, Any], precision: str) -> Run:
    stack = with_overlap(train_stack(body["stack"]), str(inputs.get("overlap") or ""))
    return run_on(job_asked(body, inputs, precision), chip_of(chip), stack, rebuilt(TrainLayout, layout, "layout"))


def _given(inputs: Mapping[str, Any]) -> dict[str, bool]:
    return {"batch_given": bool(inputs.get("global_batch")), "seq_given": bool(inputs.get("seq_len"))}


# ---------------------------------------------------------------- goodput


def explain_goodput(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Trees:
    """Trees of the calendar time, the useful share, the interval between checkpoints and the failures of a run."""
    run = goodput_run(body, inputs)
    causes = _Causes(body, inputs, run)
    terms = {str(term["name"]): float(term["value"]) for term in body["terms"]}
    parts = tuple(causes.term(name, value) for name, value in terms.items())
    note = f"mean of {body['replications']} simulated runs"
    days = Node("days", float(body["days"]), "d", "sum", dotted(simulate_runs), parts=parts, note=note)
    useful = over(
        "useful share of the time", named("time of the steps", terms["steps"] / DAY_S, "d"),
        named("calendar time", float(body["days"]), "d"), "fraction", dotted(simulate_runs),
    )  # fmt: skip
    trees = [days, useful, causes.formula(), causes.young(), causes.failures(), causes.mtbf()]
    return trees, moved_words("the step", body, "step_s", run.estimate.step_s)


def goodput_run(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Run:
    """The training whose calendar time was simulated."""
    precision = str(inputs.get("precision") or default_precision(chip_of(body["chip"])))
    return _run(body, inputs, body["chip"], body["layout"], precision)


class _Causes:
    """What adds calendar time to the steps of a run."""

    def __init__(self, body: Mapping[str, Any], inputs: Mapping[str, Any], run: Run) -> None:
        self.body, self.inputs, self.run = body, inputs, run
        rate = str(inputs.get("failures", "llama3"))
        source = _RATE_SOURCES.get(rate, "question")
        self.rate = Given(
            "failures per chip and day", float(body["failures_per_chip_day"]), "1/d", source,
            "published" if rate in RATES else "asked", str(body["rate_source"]),
        )  # fmt: skip
        self.chips = leaf(asked("chips", float(body["chips"]), "chips", given=True))

    def _usual(self, key: str, words: str, usual: float, unit: str = "s") -> Given:
        value = self.inputs.get(key)
        return asked(words, usual if value is None else float(value), unit, given=value is not None and float(value) != usual)

    def term(self, name: str, value: float) -> Node:
        """One part of the calendar time."""
        days, simulated = value / DAY_S, dotted(simulate_runs)
        if name == "steps":
            return self._steps(days)
        if name == "slow nodes":
            share = (float(self.inputs.get("slow_nodes_fraction", 0.0)), float(self.inputs.get("slowdown_fraction", 0.1)))
            inputs = (asked("share of the time that a node is slow", share[0], "fraction", given=True),
                      asked("how much longer its steps take", share[1], "fraction", given=True))  # fmt: skip
            return Node(name, days, "d", "formula", dotted(straggler_fraction), inputs)
        if name == "evaluation":
            inputs = (asked("length of a pause", float(self.inputs["evaluation_s"]), "s", given=True),
                      asked("work between two", float(self.inputs["evaluation_every_s"]), "s", given=True))  # fmt: skip
            return Node(name, days, "d", "formula", simulated, inputs)
        if name == "restarts":
            back = self._usual("restart_s", "time to be back after a failure", RESTART_S)
            apart = abs(float(back.value) * float(self.body["failures"]) / value - 1.0) < _SAME
            note = "" if apart else "failures while the run is not yet back fall together"
            return Node(name, days, "d", "product" if apart else "formula", simulated, (back,), (self.failures(),), note=note)
        if name == "checkpoints":
            return Node(name, days, "d", "formula", simulated, (self._interval(),), (self._stall(),))
        if name == "waiting for repairs":
            back = self._usual("repair_s", "time until a failed node is back", REPAIR_S)
            broken = Given("share of failures that take a node out", HARDWARE, "fraction", "llama3", "published")
            spare = Given("spare nodes", float(self.body["spares"]), "nodes", "question", "asked")
            return Node(name, days, "d", "formula", simulated, (back, broken, spare), (self.failures(),))
        return Node(name, days, "d", "formula", simulated, (self._interval(),), (self.failures(),))

    def _steps(self, days: float) -> Node:
        phases = []
        for number, phase in enumerate(self.body["warm_up"]):
            final = number == len(self.body["warm_up"]) - 1
            words = f"global batch{'' if final else f' of phase {number + 1}'}"
            batch = asked(
                words, float(phase["global_batch"]), "sequences", given=not final or _given(self.inputs)["batch_given"]
            )
            seq = asked("sequence length", float(self.run.job.seq_len), "tokens", given=_given(self.inputs)["seq_given"])
            tokens = asked("tokens", float(phase["tokens"]), "tokens", given=True)
            count = float(phase["tokens"]) / (self.run.job.seq_len * float(phase["global_batch"]))
            steps = Node(
                "optimizer steps", count, "steps", "formula", "", (tokens, seq, batch), note="tokens over those of a step"
            )
            step = (
                step_tree(self.run) if final else named("one optimizer step", float(phase["step_s"]), "s", dotted(step_total_s))
            )
            name = "steps" if len(self.body["warm_up"]) == 1 else f"steps of {phase['global_batch']} sequences"
            phases.append(Node(name, float(phase["days"]), "d", "product", dotted(simulate_runs), parts=(steps, step)))
        return phases[0] if len(phases) == 1 else Node("steps", days, "d", "sum", dotted(simulate_runs), parts=tuple(phases))

    def _interval(self) -> Given:
        given = bool(self.inputs.get("interval_s"))
        return Given(
            "work between two checkpoints", float(self.body["interval_s"]), "s", "question" if given else "derived",
            "asked" if given else "derived", "" if given else "the best of those simulated",
        )  # fmt: skip

    def _stall(self) -> Node:
        """What one checkpoint holds the training up for."""
        params = self.run.job.model.params
        each = Given("bytes of a parameter in a checkpoint", CHECKPOINT_BYTES_PER_PARAM, "B", "llama3", "published")
        if float(self.body["checkpoint_stall_s"]) < float(self.body["checkpoint_durable_s"]):
            link = Given("link to the host", HOST_LINK_BYTES_PER_S, "B/s", "planner-default", "assumed")
        else:
            link = Given("storage that a chip gets", STORE_BYTES_PER_S_PER_CHIP, "B/s", "planner-default", "assumed")
        parts = (leaf(Given("parameters", params, "parameters", self.run.job.model.source, "published")), self.chips)
        name, value = "stall of one checkpoint", float(self.body["checkpoint_stall_s"])
        return Node(name, value, "s", "formula", dotted(checkpoint_s), (each, link), parts)

    def mtbf(self) -> Node:
        """Mean time between failures: a day over those of all chips in a day."""
        value = float(self.body["mtbf_s"])
        daily = Node("failures of all chips in a day", DAY_S / value, "failures", "product", "", (self.rate,), (self.chips,))
        return replace(over("mean time between failures", leaf(constant("a day", DAY_S, "s")), daily, "s"), value=value)

    def failures(self) -> Node:
        """Failures of the run: its length over the time between them, as they fell in the simulation."""
        return Node("failures", float(self.body["failures"]), "failures", "formula", dotted(simulate_runs), (), (self.mtbf(),))

    def young(self) -> Node:
        """The interval between checkpoints that the formula advises."""
        value = float(self.body["young_s"])
        return Node("best interval by the formula", value, "s", "formula", dotted(best_interval_s), (),
                    (self._stall(), self.mtbf()))  # fmt: skip

    def formula(self) -> Node:
        """The useful share by the closed formula."""
        back = self._usual("restart_s", "time to be back after a failure", RESTART_S)
        return Node(
            "useful share by the formula", float(self.body["formula_fraction"]), "fraction", "formula", dotted(closed),
            (self._interval(), back), (self._stall(), self.mtbf()), note="tau / (tau + C) x M / (M + R + tau / 2)",
        )  # fmt: skip


# ---------------------------------------------------------------- variants


def explain_variants(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Trees:
    """Trees of the days of each chip, and of its times and price over those of the chip that it is measured by."""
    trees: list[Node] = []
    warnings: list[str] = []
    rows, runs = variant_runs(body, inputs)
    for name, run in runs.items():
        words = f"days on {body['chips']:,} {name}"
        trees.append(days_tree(run, **_given(inputs), name=words))
        warnings += moved_words(words, rows[name]["option"], "days", run.option.days)
    for row in body["rows"]:
        name, base = str(row["chip"]), str(row["base"])
        if name != base and name in runs and base in runs:
            trees += _beside(row, rows, runs, inputs)
    return trees, warnings


def variant_runs(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Run]]:
    """The compared chips that have a way to run the job, and their runs, both by chip."""
    rows = {str(row["chip"]): row for row in body["rows"] if row["option"]}
    runs = {
        name: _run({**body, **_batch(row)}, inputs, name, row["option"]["layout"], str(row["precision"]))
        for name, row in rows.items()
    }
    return rows, runs


def _batch(row: Mapping[str, Any]) -> dict[str, int]:
    return {"global_batch": int(row["option"].get("global_batch") or 0)}


def _beside(row: Mapping[str, Any], rows: Mapping[str, Any], runs: Mapping[str, Run], inputs: Mapping[str, Any]) -> list[Node]:
    """A chip beside its base: ratio of days, the even price, and both steps in one layout."""
    name, base = str(row["chip"]), str(row["base"])
    own, theirs = (named(f"days on {one}", float(rows[one]["option"]["days"]), "d") for one in (name, base))
    trees = [
        over(f"time of {name} over {base}", own, theirs, "times"),
        over(f"even price of {name} over {base}", theirs, own, "times"),
    ]
    price = inputs.get("price_per_chip_h")
    if price is not None and row["even_price_per_chip_h"]:
        money = row["even_price_per_chip_h"]
        rent = asked(f"price of {base}", float(price), f"{money['currency']}/chip/h", given=True)
        even = replace(trees[-1], name="even price ratio")
        amount, unit = float(money["amount"]), f"{money['currency']}/chip/h"
        trees.append(Node(f"even price of {name}", amount, unit, "product", inputs=(rent,), parts=(even,)))
    if row["same_layout_ratio"]:
        here, there = runs[name], runs[base]
        same = run_on(here.job, here.chip, here.stack, there.estimate.layout)
        own, theirs = (replace(step_tree(run), name=f"step on {run.chip.id}") for run in (same, there))
        trees.append(over(f"step of {name} over {base} in the layout of {base}", own, theirs, "times"))
    return trees


# ---------------------------------------------------------------- jobs of files, launches, own runs


def explain_launch(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Trees:
    """Trees of the training that a launch starts."""
    plan = {**body["plan"], "catalog_date": body["catalog_date"]}
    return explain_train(plan, inputs)


def explain_examine(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Trees:
    """Trees of a job that a file describes, and of what the best layout saves."""
    job, chip, stack = _examined(body), chip_of(body["chip"]), train_stack(body["stack"])
    trees: list[Node] = []
    if body["step_s"] is not None:
        run = examined_run(body)
        job = run.job
        first = [days_tree(run, batch_given=True, seq_given=True)] if body["days"] is not None else [step_tree(run)]
        trees = [*first, memory_tree(run), mfu_tree(run), _bubble(run)]
    if body["best_layout"]:
        best = run_on(job, chip, stack, rebuilt(TrainLayout, body["best_layout"], "layout"))
        trees.append(replace(step_tree(best), name="one optimizer step in the best layout"))
        if trees and body["step_s"] is not None and body["best_gain"] is not None:
            trees.append(_saved("saved by the best layout", float(body["step_s"]), best.estimate.step_s))
    for finding in body["findings"]:
        if finding["change"] and finding["gain"] and finding["step_s"] and body["step_s"] is not None:
            trees.append(_saved(f"saved by {finding['change']}", float(body["step_s"]), float(finding["step_s"])))
    warnings = moved_words("the step", body, "step_s", run.estimate.step_s) if body["step_s"] is not None else []
    return trees, warnings


def _examined(body: Mapping[str, Any]) -> TrainJob:
    """The job of a file, with the usual optimizer."""
    batch, seq = int(body["global_batch"]), int(body["seq_len"])
    tokens = float(max(1, int(body["steps"]))) * batch * seq
    return TrainJob("import", rebuilt(ModelSpec, body["model"], "model"), tokens, seq, batch, body["precision"])


def examined_run(body: Mapping[str, Any]) -> Run:
    """The job of a file in its own layout, where that gave a step."""
    layout = rebuilt(TrainLayout, body["layout"], "layout")
    return run_on(_optimizer_of(_examined(body), body), chip_of(body["chip"]), train_stack(body["stack"]), layout)


def _optimizer_of(job: TrainJob, body: Mapping[str, Any]) -> TrainJob:
    """The job with the optimizer of the file, which a result does not name: the one that gives its step."""
    layout, found = rebuilt(TrainLayout, body["layout"], "layout"), job
    least = float("inf")
    for optimizer in ("adam", "sgd", "muon"):
        one = replace(job, optimizer=optimizer)
        try:
            run = run_on(one, chip_of(body["chip"]), train_stack(body["stack"]), layout)
        except PlannerError:
            continue
        off = abs(run.estimate.step_s - float(body["step_s"])) + abs(
            run.estimate.memory_bytes / float(body["memory_bytes"]) - 1.0
        )
        if off < least:
            found, least = one, off
    return found


def _saved(name: str, now: float, then: float) -> Node:
    """Share of the step that a change saves."""
    step = named("step of the file", now, "s")
    parts = (step, less(named("step after the change", then, "s")))
    return over(name, Node("shorter by", now - then, "s", "sum", dotted(step_total_s), parts=parts), step, "fraction")


def _bubble(run: Run) -> Node:
    terms = {term.name: term.value for term in run.estimate.terms}
    bubble, step = named("bubble", terms["bubble_s"], "s"), named("one optimizer step", run.estimate.step_s, "s")
    return over("share of the bubble", bubble, step, "fraction")


def explain_own_runs(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Trees:
    """Trees of the step of each measured run before its correction, and of the error that is left."""
    from suanzhang.app.calibrate_runs import read_runs

    trees: list[Node] = []
    runs = {run.line: run for run in read_runs(inputs["runs"])}
    for fit in body["fits"]:
        found = runs.get(int(fit["line"]))
        if found is None:
            continue
        ask = found.question
        step = step_tree(run_on(ask.job, ask.chip, ask.stack, found.layout), layers=False)
        factors = tuple(
            Given(f"correction of {one['name']}", float(one["factor"]), "times", "question", "derived")
            for one in body["corrections"]
        )
        before = float(fit["before_s"])
        moved = Node("what the corrections add", float(fit["after_s"]) - before, "s", "formula", _FACTORS, factors)
        name = f"step of line {fit['line']}, {fit['model']} on {fit['chip']}"
        trees.append(Node(name, float(fit["after_s"]), "s", "sum", _FACTORS, parts=(step, moved)))
        measured = Node("less the measured step", -float(fit["measured_s"]), "s")
        left = Node("error left", float(fit["after_s"]) - float(fit["measured_s"]), "s", "sum", parts=(
            named("predicted step", float(fit["after_s"]), "s"), measured))  # fmt: skip
        trees.append(replace(left, name=f"error left of line {fit['line']}"))
    return trees, []


_FACTORS = "suanzhang.app.calibrate_runs_fit.corrected"
__all__ = [
    "explain_examine", "explain_goodput", "explain_launch", "explain_own_runs", "explain_variants", "job_asked",
    "variant_runs",
]  # fmt: skip
