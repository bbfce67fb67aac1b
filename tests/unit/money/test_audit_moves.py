"""No claim is answered by a constant: each answer moves when one of its inputs does."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from suanzhang.app import scenario_futures
from suanzhang.app.audit import value_and_range
from suanzhang.app.claims import read_claims
from suanzhang.app.scenarios import run_scenario
from suanzhang.errors import PlannerError
from suanzhang.spec.audit import Scenario

ROOT = Path(__file__).resolve().parents[3]
FILES = ("gpu-rush-2023", "audit-2026")
CLAIMS = [
    claim for name in FILES for claim in read_claims(ROOT / "examples" / name / "claims.yaml")[1] if claim.scenario is not None
]
OTHER = {
    "a100-sxm-80": "h100-sxm-80", "h100-sxm-80": "a100-sxm-80", "gpt3-175b": "gpt3-13b", "gpt3-13b": "gpt3-175b",
    "cn-2023-04": "us-2023-04", "us-2023-04": "us-2026-10", "h800-sxm-80": "a800-sxm-80", "a800-sxm-80": "h800-sxm-80",
}  # fmt: skip


def changed(value: Any) -> Iterator[Any]:
    """The value with one figure in it larger by half or twenty times (answers may be whole kinds), or one name exchanged."""
    if isinstance(value, bool):
        return
    if isinstance(value, int):
        yield from (value + max(1, value // 2), value * 20)
    elif isinstance(value, float):
        yield from (value * 1.5, value * 20.0)
    elif isinstance(value, str):
        if value in OTHER:
            yield OTHER[value]
        if re.match(r"^\d+(\.\d+)?", value):
            yield re.sub(r"^\d+(\.\d+)?", lambda found: f"{float(found[0]) * 1.5:g}", value)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from ({**value, key: new} for new in changed(part))
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield from ([*value[:index], new, *value[index + 1 :]] for new in changed(part))


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_the_answer_moves_with_its_inputs(claim, monkeypatch):
    monkeypatch.setattr(scenario_futures, "FUTURES", 1)  # the value is what moves here
    assert claim.scenario is not None
    before, _, _ = value_and_range(run_scenario(claim.scenario, claim.id), claim.result_key, claim.id)
    tried = []
    for inputs in changed(dict(claim.scenario.inputs)):
        try:
            after, _, _ = value_and_range(
                run_scenario(Scenario(claim.scenario.verb, inputs), claim.id), claim.result_key, claim.id
            )
        except PlannerError as refusal:
            tried.append(str(refusal))
            continue
        if after != pytest.approx(before, rel=1e-6):
            return
        tried.append(f"{inputs} -> {after}")
    pytest.fail(f"{before} whatever the inputs: {tried}")
