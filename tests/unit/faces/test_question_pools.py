"""Pools as a key of the question file: read, refused in one line, followed by ``simulate``, kept to by ``serve`` and others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import suanzhang as sz
from suanzhang.app.plan_asks import resolve_world
from suanzhang.app.plan_sizing import size_ask
from suanzhang.app.question import read_question
from suanzhang.cli.main import run
from suanzhang.errors import InputError
from suanzhang.report.jsonable import to_json
from suanzhang.spec.question import PoolAsk

TEXT = """title: Pools
currency: USD
start: 2026-10
months: 2
market: us-2026-10
serve:
  - name: chat
    model: llama-3.1-8b
    requests_per_s: 4
    tokens: {input: {dist: uniform, mean: 800, p95: 1300}, output: {dist: lognormal, mean: 100, p95: 250}}
    load: {shape: diurnal, peak_to_mean: 1.6, peak_hour: 18}
    slo: {ttft_p99: 1 s}
    pools:
      - {chip: h100-sxm-80, replicas: 1, role: prefill}
      - {chip: h200, replicas: 2, role: decode}
      - {chip: l40s, replicas: 2, layout: tp=2}
"""


def test_pools_are_read() -> None:
    (ask,) = read_question(TEXT).serve
    assert ask.pools == (
        PoolAsk("h100-sxm-80", 1, "prefill"), PoolAsk("h200", 2, "decode"), PoolAsk("l40s", 2, "mixed", "tp=2")
    )  # fmt: skip
    assert read_question(TEXT.partition("    pools")[0]).serve[0].pools == ()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [("role: decode", "role: decod", "did you mean decode"),
     ("      - {chip: h200, replicas: 2, role: decode}\n", "", "prefill alone"),
     ("chip: h200", "chip: h2000", r"line 15, serve\[0\].pools\[1\].chip: unknown chip"),
     ("tp=2", "tp=x", r"pools\[2\].layout"),
     ("replicas: 1", "replicas: 0", "replicas"), ("chip: l40s", "chp: l40s", "did you mean chip")],
)  # fmt: skip
def test_pools_that_cannot_be_are_one_line(old: str, new: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read_question(TEXT.replace(old, new))
    assert "\n" not in str(caught.value)


def test_a_day_on_the_pools_of_a_question_is_that_of_the_flags() -> None:
    options = {"mtbf_s": 20_000.0, "repair_s": 600.0, "replications": 1}
    found = sz.simulate_question(TEXT, **options)
    assert [(pool.chip, pool.role, pool.replicas) for pool in found.pools] == [
        ("h100-sxm-80", "prefill", 1), ("h200-sxm-141", "decode", 2), ("l40s-48", "mixed", 2)
    ]  # fmt: skip
    assert found.failures > 0
    assert (found.requests, found.peak_to_mean) == (4 * 86400, 1.6)
    busiest = max(range(24), key=lambda hour: found.hours[hour].running)
    assert 16 <= busiest <= 19
    flags = {
        "isl": 800, "osl": 100, "osl_p95": 250, "rate": 4, "peak_to_mean": 1.6, "ttft_p99_s": 1.0, "stack": found.engine,
        "pools": ["1 h100-sxm-80 prefill", "2 h200 decode", "2 l40s tp=2"], **options,
    }  # fmt: skip
    other = sz.simulate("llama-3.1-8b", **flags)
    assert other.pools[0].capacity_requests_per_s == pytest.approx(found.pools[0].capacity_requests_per_s, rel=0.02)
    assert other.output_tokens_per_s == pytest.approx(found.output_tokens_per_s, rel=0.03)


def test_a_day_of_a_question_is_explained_and_repeated(tmp_path: Path) -> None:
    path = tmp_path / "day.json"
    path.write_text(json.dumps(to_json(sz.simulate_question(TEXT, replications=1))))
    assert "replicas" in {tree.name for tree in sz.explain(path).trees}
    assert "simulate" in sz.replay(path).verb


def test_a_chip_takes_the_place_of_the_pools() -> None:
    found = sz.simulate_question(TEXT, chip="h100-sxm-80", layout="tp=1", replicas=2, replications=1)
    assert (found.pools, found.replicas, found.chip) == ((), 2, "h100-sxm-80")
    with pytest.raises(InputError, match="no pools"):
        sz.simulate_question(TEXT.partition("    pools")[0])
    with pytest.raises(InputError, match="layout"):
        sz.simulate_question(TEXT, layout="tp=2")


def test_a_service_is_sized_on_the_kinds_of_its_pools_alone() -> None:
    question = read_question(TEXT)
    sized = size_ask(question.serve[0], question, resolve_world(question), (), lambda _: None)
    tried = {option.chip for option in sized.options} | {refusal.chip for refusal in sized.refused}
    assert tried <= {"h100-sxm-80", "h200-sxm-141", "l40s-48"}
    assert sized.options
    assert sz.serve_question(TEXT, simulated_requests=0).chip in tried
    assert sz.serve_question(TEXT, chip="a100-sxm-80", simulated_requests=0).chip == "a100-sxm-80"
    nowhere = read_question(TEXT.partition("    pools")[0] + "    pools: [{chip: v100-sxm2-32, replicas: 2}]\n")
    with pytest.raises(InputError, match="no chip of its pools is on offer"):
        size_ask(nowhere.serve[0], nowhere, resolve_world(nowhere), (), lambda _: None)


def test_the_command_takes_a_question(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "q.yaml"
    path.write_text(TEXT)
    assert run(["simulate", str(path), "--replications", "1", "--warm-up", "0s", "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["warmup_s"], len(body["pools"]), body["requests_counted"]) == (0.0, 3, body["finished"])
    assert run(["simulate", str(path), "--isl", "5"]) == 2
    assert "--isl together with a question file" in capsys.readouterr().err
