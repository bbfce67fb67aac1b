"""Explain a training: what a result or a plan holds, computed again with everything that it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from suanzhang.app.explain_terms import Run, cost_tree, days_tree, energy_tree, memory_tree, mfu_tree, run_on
from suanzhang.app.explain_tree import moved_words
from suanzhang.app.question import read_question
from suanzhang.app.train_ask import job_of, software_of
from suanzhang.app.train_asked import with_overlap, with_routing
from suanzhang.app.train_input import default_batch
from suanzhang.catalog.chips import chip as chip_of
from suanzhang.catalog.models import model as model_of
from suanzhang.catalog.stacks import train_stack
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.question import Question, TrainAsk
from suanzhang.spec.stack import TrainStack
from suanzhang.spec.trust import Node
from suanzhang.spec.trust_plain import rebuilt
from suanzhang.units import DAY_S, HOUR_S, parse_quantity


def run_of(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Run:
    """The training that a result holds, computed again by the formulas of now.

    Args:
        body: the result.
        inputs: what it was asked, files put back.
    """
    if "question" in inputs:
        asked_for, name = read_question(str(inputs["question"])), str(inputs.get("name", ""))
        ask = next(item for item in asked_for.train if not name or item.name == name)
        job, _ = plan_job(ask, asked_for, str(body["chip"]), int(body.get("global_batch") or 0))
        job = replace(job, precision=str(body["precision"]))
        software = with_overlap(train_stack(body["stack"]), ask.overlap)
        return run_on(job, chip_of(body["chip"]), software, rebuilt(TrainLayout, body["layout"], "layout"))
    spec = inputs.get("model", body["model"])
    model = spec if isinstance(spec, ModelSpec) else model_of(str(spec))
    seq = int(inputs.get("seq_len") or min(model.max_seq, 8192))
    batch = int(inputs.get("global_batch") or body.get("global_batch") or default_batch(model, seq))
    tokens = parse_quantity(inputs.get("tokens", float(body["steps"]) * seq * batch), "count", "tokens")
    start = str(inputs.get("start", ""))
    job = TrainJob(model.id, model, tokens, seq, batch, body["precision"], str(inputs.get("optimizer", "adam")), start=start)
    job = with_routing(job, str(inputs.get("routing") or ""))
    layout = rebuilt(TrainLayout, body["layout"], "layout")
    stack = with_overlap(train_stack(body["stack"]), str(inputs.get("overlap") or ""))
    return run_on(job, chip_of(body["chip"]), stack, layout)


def explain_train(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> tuple[list[Node], list[str]]:
    """Trees of days, memory, energy and cost of a training result, and where it differs from the formulas of now.

    Args:
        body: the result.
        inputs: what it was asked, files put back.
    """
    run = run_of(body, inputs)
    warnings = moved_words("the step", body, "step_s", run.estimate.step_s) + moved_words("days", body, "days", run.option.days)
    batch_given, seq_given = bool(inputs.get("global_batch")), bool(inputs.get("seq_len"))
    trees = [days_tree(run, batch_given=batch_given, seq_given=seq_given), memory_tree(run), mfu_tree(run), energy_tree(run)]
    price = inputs.get("price_per_chip_h")
    if body.get("cost") and price is not None:
        if isinstance(price, (list, tuple)):  # one for each kind: that of the chip chosen
            price = float(body["cost"]["amount"]) / (float(body["days"]) * DAY_S / HOUR_S * float(body["chips"]))
        trees.append(cost_tree(run, float(price), str(body["cost"]["currency"])))
    return trees, warnings


def explain_option(
    name: str, job: TrainJob, option: Mapping[str, Any], stack: TrainStack, *, batch_given: bool = True, seq_given: bool = True
) -> tuple[list[Node], list[str]]:
    """Tree of the days of one training of a plan.

    Args:
        name: of the training.
        job: what is trained.
        option: the chosen chip, count and layout, as the plan holds it.
        stack: generation of software.
        batch_given, seq_given: whether the question says them.
    """
    run = run_on(job, chip_of(option["chip"]), stack, rebuilt(TrainLayout, option["layout"], "layout"))
    warnings = moved_words(f"days of {name}", option, "days", run.option.days)
    return [days_tree(run, batch_given=batch_given, seq_given=seq_given, name=f"days of {name}")], warnings


def plan_job(ask: TrainAsk, question: Question, chip: str, batch: int = 0) -> tuple[TrainJob, TrainStack]:
    """The job and the software that a plan sized an ask with, on one kind of chip.

    Args:
        ask: the training that was asked.
        question: the whole question.
        chip: catalog id.
        batch: sequences of a step that it was sized with; the usual ones for 0 where the ask gives none.
    """
    kind = chip_of(chip)
    job = job_of(ask, question, kind)
    return replace(job, global_batch=batch or job.global_batch), software_of(ask, question, kind)


__all__ = ["Run", "explain_option", "explain_train", "plan_job", "run_of", "run_on"]
