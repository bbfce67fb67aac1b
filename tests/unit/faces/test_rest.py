"""The verbs over HTTP: the bodies and errors of --json, limits, documentation."""

import json
from pathlib import Path

import pytest
from faces_samples import sample
from fastapi.testclient import TestClient

import suanzhang
from suanzhang.cli.main import run
from suanzhang.errors import Infeasible
from suanzhang.rest.app import create_app
from suanzhang.rest.bodies import ASKED, FOLLOWED, LAUNCHED, MAX_BODY_BYTES, PLAIN, SENT
from suanzhang.spec.audit import AuditResult
from suanzhang.spec.plan import PlanResult
from suanzhang.spec.question import Question
from suanzhang.spec.train import TrainResult

TRAIN = {"model": "gpt3-175b", "tokens": "300B", "chips": "a100-sxm-80:1024", "layout": "tp=8,pp=8"}
QUESTION = {
    "currency": "CNY",
    "start": "2023-05",
    "months": 12,
    "market": "cn-2023-04",
    "train": [{"name": "base", "model": "gpt3-175b", "tokens": "300B"}],
}


@pytest.fixture
def client() -> TestClient:
    return TestClient(create_app(), raise_server_exceptions=False)


def test_a_body_becomes_the_python_call_and_the_json_of_the_command_line(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    monkeypatch.setattr(suanzhang, "train", lambda *a, **n: (seen.append((a, n)), sample(TrainResult))[1], raising=False)
    answer = client.post("/v1/train", json={**TRAIN, "deadline_s": "60 d"})
    assert answer.status_code == 200 and seen[0][1] == {**TRAIN, "deadline_s": 60 * 86400.0}
    assert run(["train", "--model", "m", "--tokens", "1B", "--chips", "c:1", "--json"]) == 0
    assert capsys.readouterr().out.rstrip("\n") == answer.text


@pytest.mark.parametrize("verb", ["plan", "buy"])
def test_a_question_is_read_like_a_file(verb: str, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Question] = []
    monkeypatch.setattr(suanzhang, verb, lambda question: (seen.append(question), sample(PlanResult))[1], raising=False)
    assert client.post(f"/v1/{verb}", json=QUESTION).status_code == 200
    assert seen[0].train[0].tokens == 300e9 and seen[0].market.id == "cn-2023-04"


def test_claims_travel_in_the_body(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        suanzhang, "audit", lambda path: (seen.append(json.loads(path.read_text())), sample(AuditResult))[1], raising=False
    )
    assert client.post("/v1/audit", json={"document": "d", "claims": []}).status_code == 200
    assert seen == [{"document": "d", "claims": []}]


def test_every_verb_that_needs_no_files_has_a_route_that_calls_it(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    documented = client.get("/openapi.json").json()["paths"]
    for verb in (*PLAIN, *ASKED, *FOLLOWED, *LAUNCHED, *SENT, "diff"):
        assert f"/v1/{verb.replace('_', '-')}" in documented
    answer = client.post(
        "/v1/goodput", json={"model": "llama3-8b", "tokens": "1T", "chips": "h100-sxm-80:64", "replications": 20}
    )
    assert answer.status_code == 200
    held = suanzhang.goodput("llama3-8b", "1T", "h100-sxm-80:64", replications=20)
    assert answer.json()["days"] == held.days
    cited = client.post("/v1/cite", json={"result": answer.json(), "format": "bibtex"})
    assert cited.status_code == 200 and "@misc" in cited.json()["text"]
    assert client.post("/v1/explain", json={"result": answer.json()}).json()["trees"]
    seen: list[dict[str, object]] = []
    monkeypatch.setattr(
        suanzhang, "improve", lambda question, **named: seen.append({"title": question.title, **named}) or {}, raising=False
    )
    client.post("/v1/improve", json={"question": QUESTION, "chip": "h100-sxm-80", "lossless": False})
    assert seen == [{"title": "Untitled question", "chip": "h100-sxm-80", "lossless": False}]


def test_a_result_writes_nothing_outside_its_folder(client: TestClient, tmp_path: Path) -> None:
    target = tmp_path / "evil"
    inputs = {f"../../../../../../{target}": {"file": "evil", "content": "x"}}
    client.post(
        "/v1/explain", json={"result": {"version": "0", "catalog_date": "x", "seed": 0, "verb": "plan", "inputs": inputs}}
    )
    assert not target.exists()


def test_files_travel_as_text(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str, dict[str, object]]] = []

    def reads(path: Path, **named: object) -> dict[str, object]:
        seen.append((path.name, path.read_text(), named))
        return {}

    for verb in SENT:
        monkeypatch.setattr(suanzhang, verb, reads)
    large = json.dumps({"latencies": ["1.25"] * 200_000})
    assert client.post("/v1/compare-benchmark", json={"file": large, "chip": "h100-sxm-80"}).status_code == 200
    assert client.post("/v1/examine", json={"file": "[model]\n", "chips": "h100-sxm-80:64"}).status_code == 200
    assert client.post("/v1/examine", json={"file": "a", "name": "job.toml", "seed": 1}).status_code == 200
    assert client.post("/v1/validate", json={"truth": '{"id": 1}\n{"id": 2}', "phase": "serving"}).status_code == 200
    assert seen == [
        ("body.json", large, {"chip": "h100-sxm-80"}),
        ("body.toml", "[model]\n", {"chips": "h100-sxm-80:64"}),
        ("job.toml", "a", {"seed": 1}),
        ("body.jsonl", '{"id": 1}\n{"id": 2}', {"phase": "serving"}),
    ]


def test_own_jobs_launch_files_replays_and_differences_over_http(client: TestClient) -> None:
    script = (Path(__file__).resolve().parents[3] / "examples/own-data/pretrain.sh").read_text()
    judged = client.post("/v1/examine", json={"file": script, "name": "pretrain.sh", "chips": "a100-sxm-80"})
    assert judged.status_code == 200 and judged.json()["findings"] and judged.json()["file"] == "pretrain.sh"
    small = {"model": "llama-3.1-8b", "tokens": "1T", "chips": "h100-sxm-80:64", "layout": "tp=2"}
    launched = client.post("/v1/launch-train", json={**small, "target": "megatron"})
    assert launched.status_code == 200 and "--tensor-model-parallel-size 2" in launched.text
    served = client.post(
        "/v1/launch-serve",
        json={"model": "llama-3.1-8b", "chip": "h100-sxm-80", "isl": 500, "osl": 100, "rate": 2.0, "target": "vllm"},
    )
    assert served.status_code == 200 and "vllm serve" in served.text
    one = client.post("/v1/train", json=small).json()
    two = client.post("/v1/train", json={**small, "chips": "h100-sxm-80:128"}).json()
    again = client.post("/v1/replay", json={"result": one}).json()
    assert again["identical"] is True
    told = client.post("/v1/diff", json={"before": one, "after": two}).json()
    assert told["inputs"][0]["key"] == "chips" and told["answers"]["times"]


def test_validate_over_http_is_that_of_the_command_line(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, object]] = []
    monkeypatch.setattr(suanzhang, "validate", lambda *a, **named: (seen.append(named), {})[1])
    assert client.post("/v1/validate", json={"phase": "training"}).status_code == 200
    assert client.post("/v1/validate", content=b"{}").status_code == 200
    assert seen == [{"phase": "training"}, {}]


def test_the_guide_names_every_route_literally(client: TestClient) -> None:
    guide = (Path(__file__).resolve().parents[3] / "docs/guides/rest-api.md").read_text()
    for route in client.get("/openapi.json").json()["paths"]:
        assert f"`POST {route}`" in guide or f"`GET {route}`" in guide, route


def test_version_and_catalog(client: TestClient) -> None:
    body = client.get("/v1/version").json()
    assert body["version"] == suanzhang.__version__ and body["catalog_date"]
    chip = client.get("/v1/catalog/chips/a100-sxm-80").json()
    assert chip["id"] == "a100-sxm-80" and all(value["source"] and value["grade"] for value in chip["values"])
    assert len(client.get("/v1/catalog/chips").json()["rows"]) >= 89


BAD = [
    ("/v1/train", b"", 422, "empty"),
    ("/v1/train", b"[1]", 422, "not a map"),
    ("/v1/train", b'{"model": "gpt3-175b"}', 422, "tokens: is missing"),
    ("/v1/train", json.dumps({**TRAIN, "chps": "x"}).encode(), 422, "did you mean chips"),
    ("/v1/train", json.dumps({**TRAIN, "model": "gpt3-175c"}).encode(), 422, "unknown model"),
    ("/v1/train", json.dumps({**TRAIN, "model": "/etc/passwd"}).encode(), 422, "reads no files"),
    ("/v1/train", json.dumps({**TRAIN, "model": "../config.json"}).encode(), 422, "reads no files"),
    ("/v1/train", json.dumps({**TRAIN, "deadline_s": "60 W"}).encode(), 422, "no unit of time"),
    ("/v1/train", json.dumps({**TRAIN, "seq_len": -1}).encode(), 422, "seq_len"),
    ("/v1/train", b"\xff\xfe", 422, "UTF-8"),
    ("/v1/train", b'{"a": "' + b"x" * MAX_BODY_BYTES + b'"}', 413, "larger than"),
    ("/v1/plan", json.dumps({**QUESTION, "budgte": 1}).encode(), 422, "did you mean budget"),
    ("/v1/buy", json.dumps({**QUESTION, "months": 0}).encode(), 422, "months"),
    ("/v1/audit", b"{}", 422, "body"),
    ("/v1/nothing", b"{}", 404, "Not Found"),
    ("/v1/variants", b'{"model": "llama3-8b", "tokens": "1T", "cout": 64}', 422, "did you mean count"),
    ("/v1/goodput", b'{"model": "./x.json", "tokens": "1T", "chips": "h100-sxm-80:64"}', 422, "reads no files"),
    ("/v1/improve", json.dumps({"question": {**QUESTION, "budgte": 1}}).encode(), 422, "did you mean budget"),
    ("/v1/explain", b"{}", 422, "holds no result"),
    ("/v1/explain", b"{", 422, "is no JSON"),
    ("/v1/cite", b'{"result": {}, "fromat": "x"}', 422, "unknown key"),
    (
        "/v1/explain",
        b'{"result": {"verb": "plan", "inputs": {"question": {"file": "/etc/passwd"}}}}',
        422,
        "without its content",
    ),
    ("/v1/explain", b'{"result": {"verb": "train", "inputs": {"model": "/etc/passwd"}}}', 422, "reads no files"),
    ("/v1/replay", b'{"result": {"verb": "buy", "inputs": {"focus": "/tmp/evil.csv"}}}', 422, "neither reads nor writes"),
    ("/v1/replay", b'{"result": {"verb": "plan", "inputs": {"question": "/etc/passwd"}}}', 422, "neither reads nor writes"),
    ("/v1/replay", b'{"result": {"verb": "launch_train", "inputs": {"folder": "x"}}}', 422, "neither reads nor writes"),
    ("/v1/replay", b'{"result": {}, "format": "x"}', 422, "unknown key 'format'"),
    ("/v1/diff", b'{"before": {}}', 422, "holds no result under 'after'"),
    ("/v1/diff", b'{"before": {}, "after": {"inputs": {"have": "fleet.csv"}}}', 422, "neither reads nor writes"),
    ("/v1/examine", b'{"chips": "h100-sxm-80:64"}', 422, "file: is missing"),
    ("/v1/examine", b'{"file": "ls", "name": "../x.sh", "chips": "h100-sxm-80:64"}', 422, "name"),
    ("/v1/examine", b'{"file": "ls", "chips": "h100-sxm-80:64"}', 422, "body.sh"),
    ("/v1/examine", b'{"file": "ls", "model": "/etc/x.json"}', 422, "reads no files"),
    ("/v1/compare-benchmark", b'{"file": "{}", "chip": "h100-sxm-80"}', 422, "body.json"),
    ("/v1/compare-benchmark", b'{"file": "{}", "chip": "h100-sxm-80", "truth": "rows.jsonl"}', 422, "truth"),
    ("/v1/compare-measured", b'{"path": "{}"}', 422, "is no measurement"),
    ("/v1/launch-train", json.dumps({**TRAIN, "target": "megatro"}).encode(), 422, "megatron"),
    ("/v1/launch-train", json.dumps({**TRAIN, "target": "megatron", "folder": "x"}).encode(), 422, "folder"),
    ("/v1/validate", b'{"truth": "no rows"}', 422, "body"),
]


@pytest.mark.parametrize(("route", "body", "status", "says"), BAD, ids=[f"{r} {s} {w}" for r, _, s, w in BAD])
def test_bad_bodies(route: str, body: bytes, status: int, says: str, client: TestClient) -> None:
    answer = client.post(route, content=body)
    error = answer.json()["error"]
    assert answer.status_code == status and says in f"{error['message']}; {error['fix']}", answer.text
    assert "/tmp" not in answer.text


def test_unknown_entries_and_methods(client: TestClient) -> None:
    assert client.get("/v1/catalog/chisp").status_code == 422
    assert client.get("/v1/catalog/chips/h1000").json()["error"]["nearest_names"]
    assert client.get("/v1/catalog/models//etc/passwd").status_code == 422
    assert client.get("/v1/train").status_code == 405


def test_infeasible_and_internal(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def infeasible(**_: object) -> None:
        raise Infeasible("no", binding=["memory"], nearest={"chips": 16})

    def broken(**_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(suanzhang, "train", infeasible, raising=False)
    answer = client.post("/v1/train", json=TRAIN)
    assert answer.status_code == 409 and answer.json()["binding"] == ["memory"] and answer.json()["nearest"] == {"chips": 16}
    monkeypatch.setattr(suanzhang, "train", broken, raising=False)
    answer = client.post("/v1/train", json=TRAIN)
    assert answer.status_code == 500 and answer.json()["error"]["kind"] == "internal" and "secret" not in answer.text


def test_openapi_documents_every_key_and_its_references_resolve(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert {"/v1/plan", "/v1/train", "/v1/serve", "/v1/audit", "/v1/buy", "/v1/version", "/v1/catalog/{kind}"} <= set(
        schema["paths"]
    )
    known = schema["components"]["schemas"]
    text = json.dumps(schema)
    for name in {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}:
        assert name in known
    for kind in ("TrainBody", "ServeBody", "QuestionModel"):
        assert all(value.get("description") for value in known[kind]["properties"].values())
