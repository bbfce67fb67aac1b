"""Over HTTP every interval arrives: each route answers what the function of its verb answers, with all percentiles."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from test_every_interval import intervals
from verb_cases import BENCHMARK, EXAMPLES, SCRIPT, measured

from suanzhang.report.jsonable import to_json
from suanzhang.rest.app import create_app
from suanzhang.rest.bodies import ASKED, FOLLOWED, LAUNCHED, PLAIN, SENT

VERBS = sorted({*PLAIN, *ASKED, *FOLLOWED, *LAUNCHED, *SENT, "audit", "buy", "diff", "plan", "serve", "train"})
NONE_HELD = {
    "backtest": "arithmetic over recorded prices",
    "cite": "references",
    "compare_measured": "the device is none of the catalog, so that nothing is predicted for it",
    "replay": "what came again, and what did not",
}
"""Routes whose answers predict nothing."""

SAME = ("examine", "explain", "goodput", "improve", "post_train", "scaling", "sensitivity", "serve", "serve_share",
        "serve_units", "simulate", "train", "train_mixed", "validate", "variants")  # fmt: skip
"""Verbs that are asked the same in :data:`verb_cases.CASES`."""


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create_app(), raise_server_exceptions=False) as made:
        yield made


def bodies(question: Path, train: Path, folder: Path) -> dict[str, dict[str, Any]]:
    asked = yaml.safe_load(question.read_text())
    result = json.loads(train.read_text())
    small = {"model": "llama3-8b", "tokens": "1T", "chips": "h100-sxm-80:64"}
    served = {"model": "llama3-8b", "chip": "h100-sxm-80", "isl": 512, "osl": 256, "rate": 20.0}
    claims = yaml.safe_load((EXAMPLES / "audit-2026" / "claims.yaml").read_text())
    return {
        "audit": claims, "backtest": {"chips": 8, "horizon": 12}, "buy": asked, "plan": asked, "cite": {"result": result},
        "compare_benchmark": {"file": json.dumps(BENCHMARK), "chip": "h100-sxm-80"},
        "compare_measured": {"path": measured(folder).read_text()},
        "diff": {"before": result, "after": {**result, "days": 2.0 * result["days"]}},
        "examine": {"file": SCRIPT, "name": "job.sh", "chips": "a100-sxm-80"},
        "explain": {"result": result}, "goodput": {**small, "replications": 20},
        "improve": {"question": asked, "chip": "h100-sxm-80"}, "launch_serve": {**served, "target": "vllm"},
        "launch_train": {**small, "target": "megatron"},
        "post_train": {"model": "llama3-8b", "chips": "h100-sxm-80:16", "method": "sft", "examples": "100K"},
        "replay": {"result": result}, "scaling": {"flop": 1e23}, "sensitivity": {"result": result, "seed": 1},
        "serve": {**served, "layout": "tp=1", "simulated_requests": 2000},
        "serve_kinds": {**{key: item for key, item in served.items() if key != "chip"}, "chips": "h100-sxm-80,a100-sxm-80"},
        "serve_share": {"question": asked, "chip": "h100-sxm-80"}, "serve_units": {"question": asked, "chip": "h100-sxm-80"},
        "simulate": {"model": "llama3-8b", "chip": "a100-sxm-80", "isl": 200, "osl": 40, "rate": 2.0},
        "train": {**small, "price_per_chip_h": 2.0},
        "train_mixed": {**small, "chips": "h100-sxm-80:32+a100-sxm-80:32"},
        "validate": {"truth": (EXAMPLES / "own-data" / "training.jsonl").read_text()},
        "variants": {"model": "llama3-8b", "tokens": "1T", "count": 64},
    }  # fmt: skip


def test_every_route_that_answers_is_walked(client: TestClient, question_file: Path, train_file: Path, folder: Path) -> None:
    routes = {
        path.removeprefix("/v1/").replace("-", "_")
        for path, way in client.get("/openapi.json").json()["paths"].items()
        if "post" in way
    }
    assert routes == set(VERBS) == set(bodies(question_file, train_file, folder))


@pytest.mark.parametrize("verb", VERBS)
def test_a_route_gives_every_interval_in_order(
    verb: str, client: TestClient, question_file: Path, train_file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("suanzhang.app.backtest._EVERY_MONTHS", 1000)
    body = bodies(question_file, train_file, folder)[verb]
    answer = client.post(f"/v1/{verb.replace('_', '-')}", json=body)
    assert answer.status_code == 200, answer.text[:300]
    found = [(where, span) for where, span in intervals({key: item for key, item in answer.json().items() if key != "inputs"})]
    assert bool(found) != (verb in NONE_HELD), verb
    for where, span in found:
        ends = [span[end] for end in ("p05", "p50", "p95")]
        assert None in ends or ends == sorted(ends), (where, span)


@pytest.mark.parametrize("verb", SAME)
def test_no_interval_is_lost_on_the_way(
    verb: str, client: TestClient, question_file: Path, train_file: Path, folder: Path, answers: dict[str, Any]
) -> None:
    answer = client.post(f"/v1/{verb.replace('_', '-')}", json=bodies(question_file, train_file, folder)[verb]).json()
    there, here = ({key: item for key, item in body.items() if key != "inputs"} for body in (answer, to_json(answers[verb])))
    assert {where for where, _ in intervals(there)} == {where for where, _ in intervals(here)} != set()
