from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import suanzhang
from suanzhang.app.cite import NO_DOCUMENT
from suanzhang.app.explain import TREES
from suanzhang.app.explain_serve import layers_with
from suanzhang.app.explain_train import run_of
from suanzhang.app.explain_tree import find_formula, flags_of, formulas_of, givens_of, held, made_of, summed
from suanzhang.catalog.models import model
from suanzhang.catalog.sources import sources
from suanzhang.errors import InputError
from suanzhang.report.html import page
from suanzhang.report.jsonable import to_json, to_text
from suanzhang.report.views import report_of
from suanzhang.source import GRADES
from suanzhang.spec.trust import ExplainResult, Given, Node


def nodes(tree: Node) -> Iterator[Node]:
    yield tree
    for part in tree.parts:
        yield from nodes(part)


def check(result: ExplainResult) -> None:
    for tree in result.trees:
        for node in nodes(tree):
            assert node.unit or node.value is None, node.name
            assert made_of(node), f"{tree.name} > {node.name}: {node.value} is no {node.joined} of its parts"
    for name in set(formulas_of(result.trees)):
        assert callable(find_formula(name))
    for given in givens_of(result.trees):
        assert given.grade in (*GRADES, "asked"), given
        assert isinstance(given.value, str) or given.unit, given
        assert given.source in (*sources(), "", *NO_DOCUMENT), given


def depth(node: Node) -> int:
    return 1 + max((depth(part) for part in node.parts), default=0)


def tree(result: ExplainResult, name: str) -> Node:
    return next(found for found in result.trees if found.name == name)


def test_days_of_a_training_lead_down_to_the_peak_of_the_chip(train_file: Path) -> None:
    result = suanzhang.explain(train_file)
    held = json.loads(train_file.read_text())
    check(result)
    assert not result.warnings
    days = tree(result, "days")
    assert days.value == pytest.approx(held["days"], rel=1e-12)
    step = next(node for node in nodes(days) if node.name == "one optimizer step")
    assert {part.name for part in step.parts} >= {"forward", "bubble", "data comm"}
    assert sum(part.value for part in step.parts) == pytest.approx(held["step_s"], rel=1e-12)
    peaks = [given for given in givens_of((step,)) if given.name.startswith("bf16 peak")]
    assert peaks and peaks[0].source and peaks[0].value == pytest.approx(989e12, rel=0.01)
    assert tree(result, "cost").value == pytest.approx(held["cost"]["amount"], rel=1e-9)
    assert tree(result, "energy").value == pytest.approx(held["energy_j"], rel=1e-9)


def test_a_result_that_other_formulas_made_is_told(train_file: Path) -> None:
    held = json.loads(train_file.read_text())
    assert any("the step is" in line for line in suanzhang.explain({**held, "step_s": 1.1 * held["step_s"]}).warnings)


def test_service_and_plan_sum_up(serve_file: Path, plan_file: Path) -> None:
    service = suanzhang.explain(serve_file)
    check(service)
    rents = [given for given in givens_of([tree(service, "cost of a response")]) if given.name.startswith("rent")]
    assert rents and rents[0].grade in GRADES and rents[0].unit == "USD/chip/h"
    plan = suanzhang.explain(plan_file)
    check(plan)
    held = json.loads(plan_file.read_text())
    cost = tree(plan, "cost")
    assert cost.value == held["cost"]["amount"]
    assert {part.name for part in cost.parts} == {line["name"] for line in held["costs"]}
    lines = [part for part in cost.parts if part.name in ("chips", "rent")]
    priced = [leaf for part in lines for leaf in part.parts if not leaf.name.startswith(("resell", "retire"))]
    assert priced
    assert all(leaf.inputs[0].unit.startswith("USD/chip") and leaf.inputs[0].source for leaf in priced)
    assert any(found.name == "days of base" for found in plan.trees)


HEADLINES: dict[str, dict[str, str]] = {
    "backtest": {"cost of the plan, a100-sxm-80, steady, 12 months from 2023-04": "rows.0.planned.amount"},
    "calibrate_runs": {"step of line 2, gpt3-175b on a100-sxm-80": "fits.0.after_s"},
    "compare_benchmark": {"time per further token of run 1": "metrics.1.predicted"},
    "examine": {"days": "days", "saved by the best layout": ""},
    "goodput": {"days": "days", "useful share of the time": "goodput_fraction", "failures": "failures",
                "useful share by the formula": "formula_fraction", "mean time between failures": "mtbf_s"},
    "improve": {"cost of a response today": "baseline.cost_per_response.amount", "saved by kv-fp8": "",
                "saved by the best combination": "saving_per_month.amount"},
    "launch_serve": {"time per further token": "plan.tpot_s.mean", "cost of a response": "plan.cost_per_response.amount"},
    "launch_train": {"days": "plan.days", "energy": "plan.energy_j"},
    "post_train": {"days": "days", "cost": "cost.amount", "memory of the fullest chip": "best.memory_bytes"},
    "scaling": {"loss": "best.loss", "parameters": "best.params", "tokens": "best.tokens"},
    "sensitivity": {"spread of days": ""},
    "serve": {"cost of a response": "cost_per_response.amount", "energy of a response": "energy_j_per_response"},
    "serve_kinds": {"cost of a response": "options.0.deployment.cost_per_response.amount", "chips": "options.0.chips"},
    "serve_share": {"chips together": "chips_shared", "chips saved by sharing": "saved_chips"},
    "serve_units": {"cost of a response over the day": "day.cost_per_response.amount",
                    "energy of a response over the day": "day.energy_j_per_response", "chips by what they are held for": ""},
    "simulate": {"time per further token": "tpot_s.mean", "replicas": "replicas", "tokens a second": "output_tokens_per_s"},
    "train": {"days": "days", "energy": "energy_j"},
    "train_mixed": {"days": "best.days", "gain of the best way": "gain_fraction", "loss by mixing": "mixing_loss_fraction"},
    "variants": {"days on 64 a100-sxm-80": "rows.0.option.days", "time of a800-sxm-80 over a100-sxm-80": "rows.1.time_ratio"},
}  # fmt: skip
"""Verb to the names of its headline figures, and where its result holds them."""


def at(body: Any, path: str) -> Any:
    for key in path.split("."):
        body = body[int(key)] if key.isdigit() else body[key]
    return body


@pytest.mark.parametrize("verb", sorted(TREES))
def test_every_verb_that_predicts_is_explained_and_cited(verb: str, answers: dict[str, Any]) -> None:
    body = json.loads(to_text(answers[verb]))
    result = suanzhang.explain(body)
    assert result.verb == verb
    assert not result.warnings
    check(result)
    for name, path in HEADLINES[verb].items():
        found = tree(result, name)
        assert found.parts or found.inputs or not found.value, f"{name} is a leaf"
        if path:
            assert found.value == pytest.approx(at(body, path), rel=1e-9), name
    assert any(given.source in sources() for given in givens_of(result.trees)), "no document"
    assert all(found.value is not None for found in result.trees), "an answer without a value"
    assert suanzhang.cite(body).references


@pytest.mark.parametrize("verb", sorted(set(TREES) - {"backtest", "sensitivity"}))
def test_headlines_lead_down_to_figures_of_chips_or_laws(verb: str, answers: dict[str, Any]) -> None:
    result = suanzhang.explain(json.loads(to_text(answers[verb])))
    deepest = max(result.trees, key=depth)
    assert depth(deepest) >= 3, "one level deep"
    assert len(set(formulas_of(result.trees))) >= 3, "one formula for all"
    kinds = {given.grade for given in givens_of(result.trees)}
    assert kinds - {"asked", "assumed"}, "nothing but what was asked"


def test_an_answer_lists_no_term_twice_beside_itself(answers: dict[str, Any]) -> None:
    for verb in sorted(TREES):
        result = suanzhang.explain(json.loads(to_text(answers[verb])))
        names = [found.name for found in result.trees]
        assert len(names) == len(set(names)), verb
        for found in result.trees:
            for node in nodes(found):
                below = [part.name for part in node.parts]
                assert len(below) == len(set(below)), f"{verb}: {node.name}"


@pytest.mark.parametrize("joined", ["sum", "product", "ratio", "largest"])
def test_parts_that_do_not_make_their_whole_are_found(joined: Any) -> None:
    parts = (Node("a", 6.0, "s"), Node("b", 2.0, "s"))
    right = {"sum": 8.0, "product": 12.0, "ratio": 3.0, "largest": 6.0}[joined]
    assert made_of(Node("right", right, "s", joined, parts=parts))
    assert made_of(held(Node("right", right, "s", joined, parts=parts)))
    wrong = Node("wrong", right * (1.0 + 1e-7), "s", joined, parts=parts)
    assert not made_of(wrong)
    assert held(wrong).joined == "formula"


def test_of_the_largest_only_the_largest_weighs() -> None:
    weak = Given("guess", 1.0, "1", "x", "assumed")
    sides = (Node("long", 9.0, "s"), Node("short", 5.0, "s", inputs=(weak,)))
    assert not flags_of((summed(Node("step", 9.0, "s", "largest", parts=sides)),))
    assert flags_of((summed(Node("step", 14.0, "s", "sum", parts=sides)),))


def test_a_weak_figure_in_two_arguments_of_a_formula_weighs_as_in_the_heavier() -> None:
    weak = Given("guess", 1.0, "1", "x", "assumed")

    def argument(share: float) -> Node:
        return Node("mix", 1.0, "s", "sum", parts=(Node("a", share, "s", inputs=(weak,)), Node("b", 1.0 - share, "s")))

    whole = Node("answer", 3.0, "s", "formula", parts=(argument(0.3), argument(0.2)))
    assert flags_of((summed(whole),))[0].share == pytest.approx(0.3)


@pytest.mark.parametrize("verb", sorted(TREES))
def test_weak_figures_that_a_result_names_are_flagged_by_its_explanation(verb: str, answers: dict[str, Any]) -> None:
    body = json.loads(to_text(answers[verb]))
    own = {flag["figure"] for flag in (body.get("plan") or body).get("weak_inputs") or ()}
    assert own <= {flag.figure for flag in suanzhang.explain(body).flags}


def test_what_predicts_nothing_says_so_and_is_cited_by_its_sources(answers: dict[str, Any]) -> None:
    body = json.loads(to_text(answers["diff"]))
    with pytest.raises(InputError, match="predict nothing"):
        suanzhang.explain(body)
    with pytest.raises(InputError, match="rest on no source"):
        suanzhang.cite(body)


def test_only_weak_figures_above_five_percent_are_flagged() -> None:
    weak, firm = Given("guess", 1.0, "1", "x", "assumed"), Given("fact", 1.0, "1", "y", "published")
    own = Given("tariff", 1.0, "1", "question", "assumed")

    def parts(value: float) -> tuple[Node, ...]:
        return (Node("a", value, "s", inputs=(weak,)), Node("b", 100.0 - value, "s", inputs=(firm, own)))

    light = summed(Node("total", 100.0, "s", "sum", parts=parts(4.9)))
    heavy = summed(Node("total", 100.0, "s", "sum", parts=parts(5.1)))
    assert not flags_of((light,))
    (flag,) = flags_of((heavy,))
    assert (flag.figure, flag.grade, flag.answer) == ("guess", "assumed", "total")
    assert flag.share == pytest.approx(0.051)


def test_an_income_does_not_hide_a_weak_figure() -> None:
    weak = Given("guess", 1.0, "1", "x", "assumed")
    bill = Node("cost", 10.0, "CNY", "sum", parts=(Node("chips", 100.0, "CNY", inputs=(weak,)), Node("left", -90.0, "CNY")))
    assert flags_of((summed(bill),))[0].share == 1.0


def test_page_folds_its_branches(train_file: Path) -> None:
    result = suanzhang.explain(train_file)
    text = page(report_of(result), result)
    assert text.count("<details") > 20
    assert "suanzhang.perf.training.step.step_total_s" in text


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": "0"}', '{"error": {"kind": "input"}}'])
def test_what_is_no_result_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        suanzhang.explain(path)
    assert "\n" not in str(caught.value)


def test_a_damaged_result_is_refused_in_one_line(train_file: Path) -> None:
    held = json.loads(train_file.read_text())
    del held["layout"]
    with pytest.raises(InputError, match="damaged"):
        suanzhang.explain(held)


def test_a_service_is_explained_by_layer(serve_file: Path) -> None:
    tpot = suanzhang.explain(serve_file).trees[0]
    (decode,) = tpot.parts
    layered = [term for term in decode.parts if term.parts]
    assert {"projections", "ffn", "decode attention"} <= {term.name for term in layered}
    for term in layered:
        (layer,) = term.parts
        assert layer.value == pytest.approx((term.value or 0.0) / 32)


def test_layers_of_each_kind_are_counted() -> None:
    mixed = model("deepseek-v3")
    assert layers_with("experts", mixed) == ("mixture", 58)
    assert layers_with("ffn", mixed) == ("dense", 3)
    assert layers_with("decode_attention", mixed) == ("attention", 61)
    assert layers_with("head", mixed) == ("", 0)


def test_a_training_with_options_of_its_own_is_explained_by_them(tmp_path: Path) -> None:
    where = tmp_path / "train.json"
    asked = {"layout": "ep=8,pp=2", "global_batch": 256, "seq_len": 4096}
    asked |= {"overlap": "dp=off,ep=0.5", "routing": "capacity=1.25,pad,imbalance=1.4"}
    where.write_text(json.dumps(to_json(suanzhang.train("mixtral-8x7b", "1T", "h200-sxm-141:64", **asked))))
    body = json.loads(where.read_text())
    run = run_of(body, asked | {"tokens": "1T", "model": "mixtral-8x7b"})
    assert run.estimate.step_s == pytest.approx(body["step_s"], rel=1e-12)
    assert run_of(body, {**asked, "tokens": "1T", "overlap": ""}).estimate.step_s != run.estimate.step_s


def test_gains_of_an_examined_job_are_shares(answers: dict[str, Any]) -> None:
    body = json.loads(to_text(answers["examine"]))
    found = tree(suanzhang.explain(body), "saved by the best layout")
    assert (found.unit, found.joined) == ("fraction", "ratio")
    assert found.value == pytest.approx(body["best_gain"], rel=1e-9)


def test_a_lever_that_takes_another_model_is_explained_with_that_model() -> None:
    from suanzhang.app.explain_fleets import _combined_model, _other

    small = {"name": "smaller-model", "words": "Llama 2 7B: 45.3 % on MMLU against 43.9 % of GPT-3 175B"}
    assert _other(small, "gpt3-175b") == "llama-2-7b"
    body = {"model": "gpt3-175b", "levers": [small], "combination": ["smaller-model", "int4"]}
    assert _combined_model(body) == "llama-2-7b"
    assert _combined_model({**body, "combination": ["int4"]}) == "gpt3-175b"


@pytest.mark.parametrize("verb", sorted(TREES))
def test_every_leaf_has_unit_and_grade(verb: str, answers: dict[str, Any]) -> None:
    result = suanzhang.explain(json.loads(to_text(answers[verb])))
    for found in result.trees:
        for node in nodes(found):
            assert node.parts or node.inputs or (node.unit and node.grade in (*GRADES, "asked")), f"{found.name} > {node.name}"


def test_a_weak_leaf_is_flagged_and_cited_as_a_figure_is() -> None:
    from suanzhang.app.explain_tree import leaf

    guess = leaf(Given("guess", 2.0, "times", "typical-efficiency", "assumed"))
    whole = Node("answer", 6.0, "s", "product", parts=(Node("time", 3.0, "s"), guess))
    assert [flag.figure for flag in flags_of((summed(whole),))] == ["guess"]
    assert [given.source for given in givens_of((whole,))] == ["typical-efficiency"]


def test_a_figure_of_the_catalog_that_is_only_assumed_is_flagged_by_its_weight(
    train_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace as other

    from suanzhang.catalog.chips import chips

    def flagged() -> dict[str, float]:
        found = suanzhang.explain(train_file).flags
        return {flag.answer: flag.share for flag in found if flag.figure == "bf16 peak of h100-sxm-80"}

    assert not flagged()
    known = chips()["h100-sxm-80"]
    quotes = {**known.quotes, "peak_flop_per_s.bf16": other(known.quotes["peak_flop_per_s.bf16"], grade="assumed")}
    altered = {**chips(), known.id: other(known, quotes=quotes)}
    monkeypatch.setattr("suanzhang.catalog.chips.chips", lambda: altered)
    shares = flagged()
    assert shares["model FLOP utilisation"] == 1.0
    days = tree(suanzhang.explain(train_file), "days")
    step = next(node for node in nodes(days) if node.name == "one optimizer step")
    own = [part for part in step.parts if any(given.name == "bf16 peak of h100-sxm-80" for given in part.inputs)]
    assert 0.5 < shares["days"] == pytest.approx(sum(part.share or 0.0 for part in own), rel=1e-9)


def test_no_weak_figure_is_flagged_under_two_names(answers: dict[str, Any]) -> None:
    flags = suanzhang.explain(json.loads(to_text(answers["goodput"]))).flags
    assert {flag.figure for flag in flags if flag.answer == "days"} >= {"global batch", "sequence length"}
    assert not any(flag.figure == "sequences of a step" for flag in flags)
