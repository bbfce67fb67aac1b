"""Each computed claim names the function that computed it and what that was given, in words."""

import json
from collections.abc import Iterator

import pytest

import suanzhang
from suanzhang.app.explain_tree import find_formula, givens_of, made_of, nodes_of
from suanzhang.report.jsonable import to_text
from suanzhang.spec.trust import Node


def test_every_computed_claim_says_how_and_from_what() -> None:
    found = suanzhang.audit("examples/audit-2026/claims.yaml")
    trees = suanzhang.explain(json.loads(to_text(found))).trees
    assert len(trees) == sum(claim.computed is not None for claim in found.claims) > 3
    for tree in trees:
        assert callable(find_formula(tree.formula)), tree.name
        assert tree.inputs, tree.name
        assert not any("{" in str(given.value) or "[" in str(given.value) for given in tree.inputs), tree.name


def test_terms_of_a_claim_go_below_its_function_and_make_its_value() -> None:
    found = suanzhang.audit("examples/audit-2026/claims.yaml")
    trees = {tree.name: tree for tree in suanzhang.explain(json.loads(to_text(found))).trees}

    def walked(node: Node) -> Iterator[Node]:
        yield node
        for part in node.parts:
            yield from walked(part)

    for name, least in {"B01-h100-rent-rise": 3, "B05-b300-server": 3, "B08-h20-against-h100": 5, "B09-token-price": 4}.items():
        tree = trees[name]
        computed = tree.parts[-1]
        assert computed.value == pytest.approx(tree.value, rel=1e-9), name
        assert len(list(walked(computed))) >= least, name
        assert all(made_of(node) for node in walked(computed)), name
    assert any("step_total_s" in node.formula for node in walked(trees["B08-h20-against-h100"]))


UNTOLD = {"mixed-fleet"}
"""Verbs whose figure is counted over plans of many futures: no terms of one plan make it."""


@pytest.mark.parametrize("path", ["examples/audit-2026/claims.yaml", "examples/gpu-rush-2023/claims.yaml"])
def test_every_claim_is_told_by_terms_that_make_it(path: str) -> None:
    """The computed value of each claim comes again from its own inputs, down to figures with unit, source and grade."""
    body = json.loads(to_text(suanzhang.audit(path)))
    rows = {row["id"]: row for row in body["claims"] if row["computed"] is not None and row["verb"] not in UNTOLD}
    trees = {tree.name: tree for tree in suanzhang.explain(body).trees}
    for name, row in rows.items():
        _, *terms = trees[name].parts
        assert terms, f"{name}: {row['verb']} names its function alone"
        assert terms[0].value == pytest.approx(row["computed"], rel=1e-9), name
        for node in nodes_of(terms[0]):
            assert made_of(node), f"{name} > {node.name}"
            assert node.unit, f"{name} > {node.name}"
            assert node.parts or node.inputs or node.grade, f"{name} > {node.name} has no grade"
    owned = next(name for name, row in rows.items() if row["verb"] == "rent-or-buy")
    kinds = {given.source for given in givens_of([trees[owned]])}
    assert {"claim", "epoch-cost-method"} <= kinds, "the figures of owning are named"
