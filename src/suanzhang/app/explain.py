"""The verb ``explain``: the tree of terms behind a result, each with its formula, its figures and their sources."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from suanzhang.app.explain_spans import held_by, with_spans
from suanzhang.app.explain_tree import dotted, flags_of, graded, leaf, summed
from suanzhang.app.header import header
from suanzhang.app.replay_inputs import answering_verb, given_back, read_result
from suanzhang.errors import InputError
from suanzhang.money.figures import instead
from suanzhang.spec.question import Question
from suanzhang.spec.result import Header
from suanzhang.spec.train import TrainResult
from suanzhang.spec.trust import AnswerWorth, ExplainResult, Flag, Given, Node
from suanzhang.spec.trust_plain import plain, rebuilt

_BEST = 3
"""Measurements that are named for each answer."""
TREES: Mapping[str, str] = {
    "backtest": "suanzhang.app.explain_replays:explain_backtest",
    "calibrate_runs": "suanzhang.app.explain_runs:explain_own_runs",
    "compare_benchmark": "suanzhang.app.explain_fleets:explain_benchmark",
    "examine": "suanzhang.app.explain_runs:explain_examine",
    "goodput": "suanzhang.app.explain_runs:explain_goodput",
    "improve": "suanzhang.app.explain_fleets:explain_improve",
    "launch_serve": "suanzhang.app.explain_fleets:explain_launch",
    "launch_train": "suanzhang.app.explain_runs:explain_launch",
    "post_train": "suanzhang.app.explain_post:explain_post",
    "scaling": "suanzhang.app.explain_scaling:explain_scaling",
    "sensitivity": "suanzhang.app.explain_replays:explain_sensitivity",
    "serve": "suanzhang.app.explain_serve:explain_serve",
    "serve_kinds": "suanzhang.app.explain_fleets:explain_kinds",
    "serve_share": "suanzhang.app.explain_fleets:explain_share",
    "serve_units": "suanzhang.app.explain_units:explain_units",
    "simulate": "suanzhang.app.explain_fleets:explain_day",
    "train": "suanzhang.app.explain_train:explain_train",
    "train_mixed": "suanzhang.app.explain_mixed:explain_mixed",
    "variants": "suanzhang.app.explain_runs:explain_variants",
}
"""Verb to what builds its trees and says where the formulas of this version give another value."""
EXPLAINED = ("plan", "buy", "audit", *TREES)
"""Verbs whose results can be explained."""


def explain(result: str | Path | Mapping[str, Any]) -> ExplainResult:
    """What the answers of a result are made of.

    Args:
        result: a file that ``--json`` or ``--out`` wrote, or its body.

    Returns:
        A tree for each answer, the figures of weak origin that weigh on it, and where the formulas of this version give
        another value than the result holds.

    Raises:
        InputError: the file is no result, or of a verb that is not explained, or lacks what it was asked.
    """
    body = read_result(result)
    verb = answering_verb(body)
    where = str(result) if isinstance(result, (str, Path)) else "result"
    if verb not in EXPLAINED:
        fix = f"give one of {', '.join(EXPLAINED)}"
        raise InputError(f"{where}: results of {verb or 'this kind'} predict nothing that has terms", fix=fix)
    try:
        with given_back(body.get("inputs") or {}, where) as inputs:
            trees, warnings = _trees(verb, body, inputs, where)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"{where}: is damaged, or of another version ({error!r})"[:200], fix="repeat the command") from None
    held = held_by(body)
    shown = tuple(with_spans(graded(summed(tree)), held) for tree in trees)
    return ExplainResult(
        header(int(body["seed"])),
        verb,
        made_with(body),
        shown,
        _flags(body, shown),
        tuple(warnings),
        _worth(verb, body),
        _trained(body) if verb == "train" else None,
    )


def _trained(body: Mapping[str, Any]) -> TrainResult | None:
    """The result of ``train`` that a body holds; None where an older version wrote other fields."""
    known = {part.name for part in fields(TrainResult)}
    held = {name: value for name, value in body.items() if name in known}
    try:
        found: TrainResult = rebuilt(TrainResult, {**held, "header": plain(made_with(body))}, "result")
    except InputError:
        return None
    return found


def verb_of(body: Mapping[str, Any]) -> str:
    """The verb whose trees a result has: of a service or training of a question that of its own kind.

    The ``verb`` of a sensitivity is that of its subject.
    """
    if "answers" in body and "subject" in (body.get("inputs") or {}):
        return "sensitivity"
    return str(body["verb"]).removesuffix("_question")


def _flags(body: Mapping[str, Any], trees: tuple[Node, ...]) -> tuple[Flag, ...]:
    """Weak figures of the trees, and those that the result names itself of answers that no tree shows."""
    found = flags_of(trees)
    known = {(flag.answer, flag.figure) for flag in found}
    named_weak = [Flag(**flag) for flag in body.get("weak_inputs") or ()]
    return tuple(sorted((*found, *(flag for flag in named_weak if (flag.answer, flag.figure) not in known)),
                        key=lambda flag: (-flag.share, flag.answer, flag.figure)))  # fmt: skip


def _worth(verb: str, body: Mapping[str, Any]) -> tuple[AnswerWorth, ...]:
    """Measurements that would narrow each answer most; none for answers whose inputs cannot be swung."""
    from suanzhang.app.sensitivity import VERBS, subject_of
    from suanzhang.app.sensitivity_core import studied

    if verb not in VERBS or not body.get("inputs"):
        return ()
    answers, _, _ = studied(subject_of(body), sobol=False)
    return tuple(AnswerWorth(one.name, one.unit, one.worth[:_BEST]) for one in answers if one.worth)


def made_with(body: Mapping[str, Any]) -> Header:
    """The header of a stored result."""
    prints = body.get("fingerprints")
    return Header(
        str(body["version"]), str(body["catalog_date"]), int(body["seed"]), str(body.get("verb", "")), {},
        dict(prints) if isinstance(prints, Mapping) else {},
    )  # fmt: skip


def _trees(verb: str, body: Mapping[str, Any], inputs: Mapping[str, Any], where: str) -> tuple[list[Node], list[str]]:
    if verb == "train_mixed" and "question" in inputs:
        from suanzhang.app.train_ask import as_flags

        inputs = {**inputs, **as_flags(question_of(inputs, where), str(inputs.get("name") or ""))}
    if verb in TREES:
        home, _, name = TREES[verb].partition(":")
        found: tuple[list[Node], list[str]] = getattr(importlib.import_module(home), name)(body, inputs)
        return found
    if verb == "audit":
        from suanzhang.app.explain_audit import deepened

        computed = [row for row in body["claims"] if row["computed"] is not None]
        return [deepened(tree, row) for tree, row in zip(audit_trees(body), computed, strict=True)], []
    return _plan(body, question_of(inputs, where))


def question_of(inputs: Mapping[str, Any], where: str) -> Question:
    """The question that a plan was asked.

    Raises:
        InputError: the result does not hold it.
    """
    from suanzhang.app.question import read_question

    found = inputs.get("question")
    if found is None:
        raise InputError(f"{where}: does not hold its question", fix="repeat the plan with this version, with --json")
    return found if isinstance(found, Question) else read_question(str(found))


def _plan(body: Mapping[str, Any], question: Question) -> tuple[list[Node], list[str]]:
    from suanzhang.app.explain_cost import cost_tree
    from suanzhang.app.explain_serve import Replica, latencies, memory
    from suanzhang.app.explain_train import explain_option, plan_job
    from suanzhang.catalog.models import model

    with instead(dict(question.costs)):
        trees = [cost_tree(body.get("buy", body), question)]
    warnings: list[str] = []
    asks = {ask.name: ask for ask in question.train}
    for one in body.get("train", ()):
        ask, option = asks[one["name"]], one["option"]
        job, stack = plan_job(ask, question, str(option["chip"]), int(option.get("global_batch") or 0))
        given = {"batch_given": bool(ask.global_batch), "seq_given": bool(ask.seq_len)}
        found, words = explain_option(str(one["name"]), job, option, stack, **given)
        trees, warnings = trees + found, warnings + words
    services = {ask.name: ask for ask in question.serve}
    for one in body.get("serve", ()):
        replica = Replica.of(one["sized"]["peak"], str(one["sized"]["chip"]), model(services[one["name"]].model))
        of = f" of {one['name']}"
        trees += [*latencies(replica, replica.stored, of), memory(replica, of)]
    return trees, warnings


def audit_trees(body: Mapping[str, Any]) -> list[Node]:
    """A tree for each claim that was computed, from its inputs."""
    trees = []
    for row in body["claims"]:
        if row["computed"] is None:
            continue
        given = tuple(_claim_input(str(name), value) for name, value in row["inputs"].items())
        stated = leaf(Given("stated", float(row["stated"]), row["unit"], "claim", "asked", str(row["says"])))
        trees.append(
            Node(str(row["id"]), row["computed"], row["unit"], "formula", _scenario_home(str(row["verb"])), given, (stated,),
                 note=f"{row['verdict']}: {row['quantity']}")
        )  # fmt: skip
    return trees


def _claim_input(name: str, value: Any) -> Given:
    """An input of a claim; a model or chip that it names brings the source of its figures."""
    from suanzhang.catalog.chips import chip
    from suanzhang.catalog.models import model

    words = name.replace("_", " ")
    if name == "model":
        return Given(words, str(value), "", model(str(value)).source, "published")
    if name == "chip":
        quotes = chip(str(value)).quotes
        peak = next((quotes[key] for key in ("peak_flop_per_s.bf16", "peak_flop_per_s.fp16") if key in quotes), None)
        return Given(words, str(value), "", peak.source if peak else "", peak.grade if peak else "assumed")
    return Given(words, float(value) if isinstance(value, (int, float)) else _worded(value), "", "claim", "asked")


def _worded(value: Any) -> str:
    """An input that is no number, in words: ``{"dist": "lognormal", "mean": 200}`` as ``lognormal, mean 200``."""
    if isinstance(value, Mapping):
        return ", ".join(_worded(item) if name == "dist" else f"{name} {_worded(item)}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_worded(item) for item in value)
    return str(value)


def _scenario_home(verb: str) -> str:
    """The function that computes a verb of claims."""
    from suanzhang.app.scenarios import scenario_function

    found = scenario_function(verb)
    return dotted(found) if found is not None else ""
