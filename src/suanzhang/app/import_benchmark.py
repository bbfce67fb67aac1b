"""Reads what vLLM, GuideLLM and AIPerf print about a run of an engine, and sets it beside our prediction."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from suanzhang.app.header import header
from suanzhang.app.serve_estimate import MANY, estimate_serve
from suanzhang.app.serve_input import parse_serve_layout
from suanzhang.app.spread import estimate_factors
from suanzhang.catalog.chips import chip as chip_of
from suanzhang.catalog.models import model as model_of
from suanzhang.catalog.stacks import serve_stack
from suanzhang.errors import InputError
from suanzhang.perf.serving.precision import compute_dtype
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.imports import BenchmarkResult, ComparedMetric, Measured
from suanzhang.spec.job import LengthSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.paths import from_home
from suanzhang.spec.serve import ClosedLoop, OpenLoop, ServeEstimate, Workload
from suanzhang.units import MILLI

LARGEST_BYTES = 400_000_000
DEFAULT_STACK = "vllm-0.12"
_UNITS = {"ms": MILLI, "s": 1.0, "sec": 1.0, "us": 1e-6, "ns": 1e-9}
METRICS = ("ttft_s", "tpot_s", "e2e_s", "output_tokens_per_s")


def _float(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _kept(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None and value > 0.0}


def _scaled(value: object, factor: float) -> float | None:
    found = _float(value)
    return None if found is None else found * factor


def _vllm(body: Mapping[str, Any]) -> list[Measured]:
    """``vllm bench serve --save-result`` and the SGLang script of the same keys."""
    done = _float(body.get("completed")) or _float(body.get("num_prompts")) or 0.0
    if done < 1.0:
        raise InputError("no request was answered", fix="give a benchmark with answers")
    rate, users = _float(body.get("request_rate")), _float(body.get("max_concurrency"))
    values = {
        "ttft_s": _scaled(body.get("mean_ttft_ms"), MILLI),
        "tpot_s": _scaled(body.get("mean_tpot_ms"), MILLI),
        "e2e_s": _scaled(body.get("mean_e2el_ms", body.get("mean_e2e_latency_ms")), MILLI),
        "output_tokens_per_s": _float(body.get("output_throughput")),
        "requests_per_s": _float(body.get("request_throughput")),
    }
    isl = (_float(body.get("total_input_tokens")) or 0.0) / done
    osl = (_float(body.get("total_output_tokens")) or 0.0) / done
    open_loop = rate is not None and users is None
    users = None if open_loop else users or done
    return [Measured(isl, osl, users, rate if open_loop else None, int(done), _kept(values), str(body.get("model_id") or ""))]


def _guide(body: Mapping[str, Any]) -> list[Measured]:
    """A GuideLLM report: one run per benchmark in it."""
    whole = body.get("config") or {}
    named = _named(body.get("args")) or _named((whole.get("spec") or {}).get("backend"))
    return [_guide_run(one, named) for one in body["benchmarks"]]


def _named(part: Any) -> str:
    """The model that a part of a report names."""
    return str(part.get("model") or "") if isinstance(part, dict) else ""


def _mean(metrics: Mapping[str, Any], name: str) -> float | None:
    part = metrics.get(name)
    return _float(part.get("successful", {}).get("mean")) if isinstance(part, dict) else None


def _guide_run(one: Mapping[str, Any], named: str) -> Measured:
    metrics = one.get("metrics", {})
    strategy = one.get("args", {}).get("strategy") or one.get("config", {}).get("strategy") or {}
    kind = str(strategy.get("type_") or strategy.get("kind") or "")
    users = _float(strategy.get("streams")) or _mean(metrics, "request_concurrency")
    rate = _float(strategy.get("rate")) if kind in ("constant", "poisson") else None
    count = metrics.get("prompt_token_count", {}).get("successful", {}).get("count")
    values = {
        "ttft_s": _scaled(_mean(metrics, "time_to_first_token_ms"), MILLI),
        "tpot_s": _scaled(_mean(metrics, "inter_token_latency_ms"), MILLI),
        "e2e_s": _mean(metrics, "request_latency"),
        "output_tokens_per_s": _mean(metrics, "output_tokens_per_second"),
        "requests_per_s": _mean(metrics, "requests_per_second"),
    }
    isl, osl = _mean(metrics, "prompt_token_count"), _mean(metrics, "output_token_count")
    return Measured(
        isl or 0.0, osl or 0.0, None if rate else users, rate, int(_float(count) or 0), _kept(values),
        str((one.get("worker") or {}).get("backend_model") or "") or _named((one.get("config") or {}).get("backend")) or named,
    )  # fmt: skip


def _stat(body: Mapping[str, Any], name: str) -> float | None:
    part = body.get(name)
    if not isinstance(part, dict):
        return None
    return _scaled(part.get("avg"), _UNITS.get(str(part.get("unit", "")), 1.0))


def _aiperf(body: Mapping[str, Any]) -> list[Measured]:
    """``profile_export_aiperf.json``."""
    config = body.get("input_config") or {}
    loadgen = config.get("loadgen") or {}
    rate, users = _float(loadgen.get("request_rate")), _float(loadgen.get("concurrency"))
    values = {
        "ttft_s": _stat(body, "time_to_first_token"),
        "tpot_s": _stat(body, "inter_token_latency"),
        "e2e_s": _stat(body, "request_latency"),
        "output_tokens_per_s": _stat(body, "output_token_throughput"),
        "requests_per_s": _stat(body, "request_throughput"),
    }
    names = (config.get("endpoint") or {}).get("model_names") or [""]
    open_loop = rate is not None and users is None
    count = int(_stat(body, "request_count") or 0)
    isl, osl = _stat(body, "input_sequence_length") or 0.0, _stat(body, "output_sequence_length") or 0.0
    if users is None and not open_loop:
        users = 1.0
    return [Measured(isl, osl, None if open_loop else users, rate if open_loop else None, count, _kept(values), str(names[0]))]


def read_benchmark(path: str | Path) -> tuple[str, list[Measured]]:
    """Kind and runs of a benchmark's result.

    Raises:
        InputError: no such file, no JSON, or none of the three kinds.
    """
    place = from_home(path)
    if not place.is_file():
        raise InputError(f"{place} is no file", fix="give a result of vllm bench serve, GuideLLM or AIPerf")
    if place.stat().st_size > LARGEST_BYTES:
        raise InputError(f"{place.name} is too large", fix="give the summary, not the requests")
    try:
        body = json.loads(place.read_text(encoding="utf-8"))
    except (ValueError, OSError):
        raise InputError(f"{place.name} is no JSON", fix="give a result of vllm bench serve, GuideLLM or AIPerf") from None
    try:
        kind, runs = _read(body)
    except InputError as error:
        raise InputError(f"{place.name}: {error.message}", fix=error.fix) from None
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{place.name}: cannot be read ({error})", fix="give the file as the tool wrote it") from None
    for run in runs:
        if run.isl < 1.0 or run.osl < 1.0:
            raise InputError(f"{place.name}: does not say how many tokens were sent and got", fix="give the whole result")
        if not run.values:
            raise InputError(f"{place.name}: holds no latency and no rate", fix="give the whole result")
    return kind, runs


def _read(body: Any) -> tuple[str, list[Measured]]:
    if isinstance(body, dict) and isinstance(body.get("benchmarks"), list) and body["benchmarks"]:
        return "guidellm", _guide(body)
    if isinstance(body, dict) and "total_input_tokens" in body and "output_throughput" in body:
        return "vllm", _vllm(body)
    if isinstance(body, dict) and isinstance(body.get("output_token_throughput"), dict):
        return "aiperf", _aiperf(body)
    raise InputError("is no result that we know", fix="give a result of vllm bench serve, GuideLLM or AIPerf")


def workload_of(run: Measured) -> Workload:
    """The load that a measured run stood under."""
    if run.rate is not None:
        return OpenLoop(run.rate, LengthSpec("fixed", run.isl, run.isl), LengthSpec("fixed", run.osl, run.osl))
    users = min(run.concurrency or MANY, MANY)
    return ClosedLoop(users, run.isl, run.osl, float(run.requests), together=users >= run.requests > 0)


def _predicted(estimate: ServeEstimate, metric: str) -> float:
    latencies = {"ttft_s": estimate.ttft_s, "tpot_s": estimate.tpot_s, "e2e_s": estimate.e2e_s}
    return latencies[metric].mean if metric in latencies else estimate.output_tokens_per_s


def _compared(
    number: int, run: Measured, model: ModelSpec, chip: ChipSpec, estimate: ServeEstimate, work: Workload
) -> list[ComparedMetric]:
    found = []
    for metric in METRICS:
        if metric not in run.values:
            continue
        value, ours = run.values[metric], _predicted(estimate, metric)
        span = estimate_factors(estimate, work, model, chip, metric).scaled(ours)
        inside = span.p05 <= value <= span.p95
        found.append(ComparedMetric(number, metric, value, ours, span, ours / value - 1.0, inside))
    return found


def _model_named(model: str, runs: list[Measured]) -> ModelSpec:
    if model:
        return model_of(model)
    name = runs[0].model
    for text in (name, name.rpartition("/")[2]):
        try:
            return model_of(text)
        except InputError:
            continue
    raise InputError(
        f"the model {name!r} of the file is not in the catalog", fix="say which it is: --model CATALOG_ID or a config.json"
    )


def truth_row(
    number: int,
    run: Measured,
    file: str,
    model: ModelSpec,
    chip: ChipSpec,
    layout: ServeLayout,
    engine: str,
    dtypes: tuple[str, str],
) -> dict[str, object]:
    """A run as one row of a file of measurements."""
    keys = {"ttft_s": "ttft_ms_mean", "tpot_s": "tpot_ms_mean", "e2e_s": "e2e_ms_mean"}
    measured: dict[str, float] = {keys[name]: run.values[name] / MILLI for name in keys if name in run.values}
    measured |= {"output_tok_s": run.values["output_tokens_per_s"]} if "output_tokens_per_s" in run.values else {}
    measured |= {"req_s": run.values["requests_per_s"]} if "requests_per_s" in run.values else {}
    return {
        "id": f"{Path(file).stem}-{number}", "source": f"own benchmark {Path(file).stem}", "where": f"run {number}", "url": "",
        "verified": True, "chip": chip.id, "chips": layout.chips, "chips_per_node": chip.node.chips, "model": model.id,
        "weight_dtype": dtypes[0], "kv_dtype": dtypes[1], "engine": engine,
        "layout": {"tp": layout.tp, "pp": layout.pp, "ep": layout.ep, "dp": layout.dp}, "isl": run.isl, "osl": run.osl,
        "concurrency_or_batch": run.concurrency, "request_rate": run.rate if run.rate is not None else "inf",
        "measured": measured, "notes": "tier A. own measurement",
    }  # fmt: skip


def compare_benchmark(
    file: str | Path,
    chip: str,
    *,
    model: str = "",
    layout: str = "tp=1",
    stack: str = "",
    weight_dtype: str = "",
    kv_dtype: str = "",
    truth: str | Path | None = None,
    seed: int = 0,
) -> BenchmarkResult:
    """A benchmark of an engine beside our prediction.

    Args:
        file: result of ``vllm bench serve``, GuideLLM or AIPerf.
        chip: what it ran on.
        model: catalog id or path of a configuration; the name in the file when left out.
        layout: of the engine, such as ``tp=2``.
        stack: generation of the engine.
        weight_dtype, kv_dtype: formats; 16 bit when left out.
        truth: where to write the runs as rows for ``validate --truth``; nowhere when left out.
        seed: printed in the header; nothing here is random.

    Raises:
        InputError: the file cannot be used, or something given is unknown.
    """
    if not chip:
        raise InputError("which chip did it run on?", fix="add --chips CHIP, such as h100-sxm-80")
    kind, runs = read_benchmark(file)
    place, shape, spec = parse_serve_layout(layout), _model_named(model, runs), chip_of(chip.partition(":")[0])
    engine = serve_stack(stack or DEFAULT_STACK)
    half = compute_dtype(spec, "bf16")
    dtypes = (weight_dtype or half, kv_dtype or half)
    metrics: list[ComparedMetric] = []
    notes = [] if stack else [f"engine assumed: {engine.title}"]
    for number, run in enumerate(runs, 1):
        work = workload_of(run)
        estimate = estimate_serve(shape, spec, place, engine, *dtypes, work)
        metrics += _compared(number, run, shape, spec, estimate, work)
        notes += [f"run {number}: {text}" for text in estimate.warnings]
    rows = tuple(truth_row(n, run, str(file), shape, spec, place, engine.id, dtypes) for n, run in enumerate(runs, 1))
    if truth is not None:
        _write(Path(truth), rows)
    return BenchmarkResult(
        header(seed), Path(file).name, kind, shape.id, spec.id, engine.id, *dtypes, place, tuple(runs), tuple(metrics),
        median(abs(one.error) for one in metrics) if metrics else 0.0, rows, tuple(notes),
    )  # fmt: skip


def _write(path: Path, rows: tuple[dict[str, object], ...]) -> None:
    try:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror})", fix="give a path that can be written") from None
