"""Benchmark results of other tools: units, loads, and the way back into a file of measurements."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from suanzhang.app.import_benchmark import compare_benchmark, read_benchmark
from suanzhang.app.serve import estimate_serve
from suanzhang.app.validate import validate
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import serve_stack
from suanzhang.errors import InputError
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.serve import ClosedLoop

VLLM = {
    "model_id": "meta-llama/Llama-3.1-8B-Instruct", "request_rate": "inf", "max_concurrency": 64, "completed": 512,
    "total_input_tokens": 524288, "total_output_tokens": 131072, "request_throughput": 12.8, "output_throughput": 3276.8,
    "mean_ttft_ms": 310.0, "mean_tpot_ms": 17.1,
}  # fmt: skip


def _stats(mean: float, count: int = 100) -> dict[str, object]:
    return {"successful": {"mean": mean, "count": count}}


GUIDE = {
    "benchmarks": [
        {
            "args": {"strategy": {"type_": kind, **more}},
            "worker": {"backend_model": "Llama-3.1-8B"},
            "metrics": {
                "prompt_token_count": _stats(512), "output_token_count": _stats(128), "time_to_first_token_ms": _stats(50),
                "inter_token_latency_ms": _stats(9), "request_latency": _stats(1.2), "output_tokens_per_second": _stats(800),
                "requests_per_second": _stats(6.2), "request_concurrency": _stats(7.5),
            },
        }
        for kind, more in (("concurrent", {"streams": 8}), ("poisson", {"rate": 6.0}))
    ]
}  # fmt: skip
AIPERF = {
    "input_config": {"loadgen": {"concurrency": 16}, "endpoint": {"model_names": ["llama-3.1-8b"]}},
    "time_to_first_token": {"unit": "ms", "avg": 80.0}, "inter_token_latency": {"unit": "ms", "avg": 10.0},
    "request_latency": {"unit": "ms", "avg": 1500.0}, "output_token_throughput": {"unit": "tokens/sec", "avg": 1500.0},
    "input_sequence_length": {"unit": "tokens", "avg": 550.0}, "output_sequence_length": {"unit": "tokens", "avg": 150.0},
    "request_count": {"unit": "requests", "avg": 400.0},
}  # fmt: skip


def _file(folder: Path, body: object) -> Path:
    path = folder / "bench.json"
    path.write_text(json.dumps(body), encoding="utf-8")
    return path


def test_vllm_is_read_in_seconds(tmp_path: Path) -> None:
    kind, (run,) = read_benchmark(_file(tmp_path, VLLM))
    assert kind == "vllm"
    assert (run.isl, run.osl, run.concurrency, run.rate, run.requests) == (1024, 256, 64, None, 512)
    assert run.values["ttft_s"] == pytest.approx(0.31)
    assert run.values["tpot_s"] == pytest.approx(0.0171)


def test_a_rate_without_a_limit_is_an_open_loop(tmp_path: Path) -> None:
    _, (run,) = read_benchmark(_file(tmp_path, {**VLLM, "request_rate": 5.0, "max_concurrency": None}))
    assert (run.concurrency, run.rate) == (None, 5.0)


def test_guidellm_gives_a_run_for_each_benchmark(tmp_path: Path) -> None:
    kind, runs = read_benchmark(_file(tmp_path, GUIDE))
    assert kind == "guidellm"
    assert [(run.concurrency, run.rate) for run in runs] == [(8.0, None), (None, 6.0)]
    assert runs[0].values["tpot_s"] == pytest.approx(0.009)
    assert runs[0].values["e2e_s"] == pytest.approx(1.2)


@pytest.mark.parametrize("place", ["worker", "benchmark", "arguments", "specification"])
def test_guidellm_names_its_model_where_its_version_puts_it(tmp_path: Path, place: str) -> None:
    (first, _) = GUIDE["benchmarks"]
    run = {"config": {"strategy": {"kind": "constant", "rate": 6.0}}, "metrics": first["metrics"]}
    body: dict[str, object] = {"benchmarks": [run]}
    named = {"model": "Llama-3.1-8B"}
    if place == "worker":
        run["worker"] = {"backend_model": "Llama-3.1-8B"}
    elif place == "benchmark":
        run["config"] = {**run["config"], "backend": named}  # type: ignore[dict-item]
    elif place == "arguments":
        body["args"] = named
    else:
        body["config"] = {"spec": {"backend": named}}
    _, (found,) = read_benchmark(_file(tmp_path, body))
    assert found.model == "Llama-3.1-8B"
    assert (found.concurrency, found.rate) == (None, 6.0)


def test_aiperf_is_read_by_its_units(tmp_path: Path) -> None:
    kind, (run,) = read_benchmark(_file(tmp_path, AIPERF))
    assert kind == "aiperf"
    assert (run.concurrency, run.isl, run.requests) == (16.0, 550.0, 400)
    assert run.values["e2e_s"] == pytest.approx(1.5)


def test_the_prediction_is_that_of_the_same_question(tmp_path: Path) -> None:
    found = compare_benchmark(_file(tmp_path, VLLM), "h100-sxm-80", stack="vllm-0.12")
    own = estimate_serve(
        model("llama-3.1-8b"), chip("h100-sxm-80"), ServeLayout(), serve_stack("vllm-0.12"), "bf16", "bf16",
        ClosedLoop(64, 1024, 256, 512.0),
    )  # fmt: skip
    by_name = {one.metric: one for one in found.metrics}
    assert by_name["tpot_s"].predicted == own.tpot_s.mean
    assert by_name["tpot_s"].error == pytest.approx(own.tpot_s.mean / 0.0171 - 1.0)
    assert set(by_name) == {"ttft_s", "tpot_s", "output_tokens_per_s"}


def test_its_rows_are_read_by_validate(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    compare_benchmark(_file(tmp_path, VLLM), "h100-sxm-80", truth=rows)
    judged = validate(truth=rows, rows=True)
    (entry,) = judged.entries
    assert set(entry.predicted) == {"ttft_s", "tpot_s", "output_tokens_per_s"}
    assert entry.measured["ttft_s"] == pytest.approx(0.31)


@pytest.mark.parametrize(
    "body", [[], {}, {"benchmarks": []}, {"benchmarks": [3]}, {**VLLM, "completed": 0}, {**VLLM, "total_input_tokens": None}]
)
def test_what_is_no_benchmark_is_refused(tmp_path: Path, body: object) -> None:
    with pytest.raises(InputError) as caught:
        read_benchmark(_file(tmp_path, body))
    assert "\n" not in str(caught.value)


def test_an_unknown_model_is_asked_for(tmp_path: Path) -> None:
    path = _file(tmp_path, {**VLLM, "model_id": "acme/rocket"})
    with pytest.raises(InputError, match="acme/rocket"):
        compare_benchmark(path, "h100-sxm-80")
    assert compare_benchmark(path, "h100-sxm-80", model="llama-3.1-8b").model == "llama-3.1-8b"
