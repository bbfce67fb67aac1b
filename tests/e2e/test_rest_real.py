"""Small real questions over HTTP: the same answers as the command line gives, timings apart."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from suanzhang.cli.main import run
from suanzhang.rest.app import create_app

CLOCKS = frozenset(("search_s", "solve_s", "size_s", "wall_s"))
ORIGIN = frozenset(("inputs",))
"""A body and a file are recorded as what they are, so what was asked differs in form."""
QUESTION = """
title: a small service
currency: USD
start: 2023-05
months: 6
market: us-2023-04
chips: {allow: [a100-sxm-80]}
train:
  - {name: base, model: gpt3-6.7b, tokens: 20B, deadline: 60 d}
serve:
  - name: chat
    model: gpt3-6.7b
    visits_per_day: 1e5
    tokens: {input: 200, output: 100}
    slo: {ttft_p99: 5 s, tpot_p99: 200 ms}
"""
CLAIMS = {
    "document": "a document",
    "claims": [
        {
            "id": "C1", "says": "Two fifths is compute.", "quantity": "share of compute", "stated": 0.4, "unit": "fraction",
            "scenario": {"verb": "ratio", "inputs": {"part": 20e6, "whole": 50e6}}, "result_key": "fraction",
        },
        {
            "id": "C2", "says": "Training takes a month.", "quantity": "chips", "stated": 1000, "unit": "chips",
            "scenario": {
                "verb": "train-size",
                "inputs": {"model": "gpt3-6.7b", "tokens": "20B", "chip": "a100-sxm-80", "deadline": "30 d"},
            },
            "result_key": "chips",
        },
    ],
}  # fmt: skip


def compared(value: Any) -> Any:
    """A body without clock readings."""
    if isinstance(value, dict):
        return {key: compared(item) for key, item in value.items() if key not in CLOCKS | ORIGIN}
    return [compared(item) for item in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def client() -> TestClient:
    return TestClient(create_app(), raise_server_exceptions=False)


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    code = run([*words, "--json"])
    out, err = capsys.readouterr()
    assert code == 0, err
    body: dict[str, Any] = json.loads(out)
    return body


def asked_of(client: TestClient, route: str, body: object) -> dict[str, Any]:
    answer = client.post(route, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_train(client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    words = {"model": "gpt3-6.7b", "tokens": "20B", "chips": "a100-sxm-80:64", "layout": "tp=4", "global_batch": 256}
    flags = [text for key, value in words.items() for text in (f"--{key.replace('_', '-')}", str(value))]
    body = asked_of(client, "/v1/train", words)
    assert compared(body) == compared(printed(capsys, "train", *flags)) and body["days"] > 0.0


def test_serve(client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    words = {"model": "gpt3-6.7b", "chip": "a100-sxm-80", "isl": 200, "osl": 100, "rate": 5, "simulated_requests": 500}
    flags = [text for key, value in words.items() for text in (f"--{key.replace('_', '-')}", str(value))]
    body = asked_of(client, "/v1/serve", words)
    assert compared(body) == compared(printed(capsys, "serve", *flags)) and body["requests_simulated"] > 100


@pytest.mark.parametrize("verb", ["plan", "buy"])
def test_questions(verb: str, client: TestClient, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    import yaml

    file = tmp_path / "question.yaml"
    file.write_text(QUESTION, encoding="utf-8")
    body = asked_of(client, f"/v1/{verb}", yaml.safe_load(QUESTION))
    assert compared(body) == compared(printed(capsys, verb, str(file)))


def test_audit(client: TestClient, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "claims.json"
    file.write_text(json.dumps(CLAIMS), encoding="utf-8")
    body = asked_of(client, "/v1/audit", CLAIMS)
    assert compared(body) == compared(printed(capsys, "audit", str(file))) and body["claims"][0]["computed"] > 0.0


def test_catalog(client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("chips",), ("models", "gpt3-175b"), ("sites",)):
        assert client.get("/v1/catalog/" + "/".join(words)).json() == printed(capsys, "catalog", *words)


def test_one_training_and_one_service_of_a_question(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "question.yaml"
    file.write_text(QUESTION, encoding="utf-8")
    body = printed(capsys, "train", str(file))
    assert body["chip"] == "a100-sxm-80" and 0.0 < body["days"] <= 60.0 and body["cost"]["currency"] == "USD"
    same = printed(capsys, "train", str(file), "--name", "base", "--chips", f"a100-sxm-80:{body['chips']}")
    assert same["step_s"] == body["step_s"]
    body = printed(capsys, "serve", str(file), "--simulated-requests", "500")
    assert body["chip"] == "a100-sxm-80" and body["ttft_s"]["p99"] < 5.0 and body["requests_simulated"] > 100
    assert run(["serve", str(file), "--name", "chit"]) == 2
    assert "did you mean chat" in capsys.readouterr().err
