from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import suanzhang
from suanzhang.app.explain_any import FORMULAS, any_trees
from suanzhang.app.explain_serve import layers_with
from suanzhang.app.explain_train import run_of
from suanzhang.app.explain_tree import find_formula, flags_of, formulas_of, givens_of, summed
from suanzhang.catalog.models import model
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
            if node.joined == "sum" and node.parts:
                total = sum(part.value or 0.0 for part in node.parts)
                assert total == pytest.approx(node.value, rel=1e-6), node.name
    for name in set(formulas_of(result.trees)):
        assert callable(find_formula(name))
    for given in givens_of(result.trees):
        assert given.grade in (*GRADES, "asked"), given
        assert isinstance(given.value, str) or given.unit, given


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
    assert tree(service, "cost of a response").inputs[0].grade in GRADES
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


@pytest.mark.parametrize("verb", sorted(FORMULAS))
def test_every_verb_that_predicts_is_explained_and_cited(verb: str, answers: dict[str, Any]) -> None:
    body = json.loads(to_text(answers[verb]))
    assert body["verb"] == verb
    result = suanzhang.explain(body)
    check(result)
    assert any(node.value for found in result.trees for node in nodes(found)), "no figure"
    assert any(given.source for given in givens_of(result.trees)) or body.get("sources"), "no source"
    assert set(formulas_of(result.trees)), "no formula"
    assert suanzhang.cite(body).references


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


def test_gains_of_an_examined_job_are_shares() -> None:
    body = {"best_gain": 0.5, "best_gain_interval": {}, "findings": [{"gain": 0.25, "gain_interval": {}}]}
    tree = any_trees("examine", body, {})[-1]
    found = {node.name: node.unit for part in tree.parts for node in (part, *part.parts) if node.value is not None}
    assert found == {"best gain": "fraction", "gain": "fraction"}
