"""Each computed claim names the function that computed it and what that was given, in words."""

import json

import suanzhang
from suanzhang.app.explain_tree import find_formula
from suanzhang.report.jsonable import to_text


def test_every_computed_claim_says_how_and_from_what() -> None:
    found = suanzhang.audit("examples/audit-2026/claims.yaml")
    trees = suanzhang.explain(json.loads(to_text(found))).trees
    assert len(trees) == sum(claim.computed is not None for claim in found.claims) > 3
    for tree in trees:
        assert callable(find_formula(tree.formula)), tree.name
        assert tree.inputs, tree.name
        assert not any("{" in str(given.value) or "[" in str(given.value) for given in tree.inputs), tree.name
