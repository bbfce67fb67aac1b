"""From a published serving measurement to the question that the planner would have been asked.

Each source counts in its own way: static batches and continuous batching, cores and chips, lengths in the table and lengths
that were sent. What a row leaves open gets a documented default and a flag; what would change the meaning is a reason to
skip the row.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from suanzhang.app.rows_measured import energy_scope, serve_measured
from suanzhang.app.rows_training import Skip, chip_in_node, unlisted
from suanzhang.app.serve_runs import run_layout, run_settings
from suanzhang.catalog import models as model_catalog
from suanzhang.catalog import stacks as stack_catalog
from suanzhang.errors import PlannerError
from suanzhang.evidence.rows import ServeRow
from suanzhang.spec.chip import DTYPE_BYTES, ChipSpec
from suanzhang.spec.job import LengthSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.serve import ClosedLoop, OpenLoop, Split, StaticBatch, Workload
from suanzhang.spec.stack import ServeStack

PRECISION_OPEN = "weight precision not stated: 16 bits taken"
"""Flag of a row that does not say in which precision its weights were."""
ALL_QUEUED = 1e6
"""Concurrency that stands for every request being queued at once."""


@dataclass(frozen=True, slots=True)
class ServeCase:
    """A serving run as the planner is asked about it, and what was measured.

    Args:
        row: the published row.
        model, chip, layout, stack, weight_dtype, kv_dtype: the question, for one replica.
        workload: what one replica is given.
        replicas: equal copies that shared the load; rates of the row are divided by it.
        measured: metric name to its published value in SI units, of all replicas together.
        energy_scope: "chip" or "wall", what a published energy counts.
        flags: what was assumed, in words.
    """

    row: ServeRow
    model: ModelSpec
    chip: ChipSpec
    layout: ServeLayout
    stack: ServeStack
    weight_dtype: str
    kv_dtype: str
    workload: Workload
    replicas: int
    measured: Mapping[str, float]
    energy_scope: str = ""
    flags: tuple[str, ...] = ()


class _UnusableError(Exception):
    """Leaves the reading of a row with the reason why it is skipped."""


_METRICS = ("tpot_s", "ttft_s", "e2e_s", "output_tokens_per_s", "j_per_output_token")

# ---------------------------------------------------------------- names


@cache
def _model(name: str) -> ModelSpec | None:
    bare = re.sub(r"\s*\(.*\)$", "", name)
    trimmed = re.sub(r"[-_ ](nvfp4|fp8|awq|gptq|int4|w4a16)$", "", bare, flags=re.IGNORECASE)
    for text in dict.fromkeys((name, bare, trimmed)):
        try:
            return model_catalog.model(text)
        except PlannerError:
            continue
    return None


_MEASURED = re.compile(r"measured (20\d\d-\d\d(?:-\d\d)?)")


def _measured_on(row: ServeRow) -> str:
    """The day or month of the run, ISO; empty when the row does not say."""
    stated = _MEASURED.search(row.notes)
    return stated.group(1) if stated else ""


@cache
def _stack(engine: str, year: int, measured: str = "") -> ServeStack | None:
    """The generation of an engine; without a version that of the day of the run, or of its year."""
    when = measured[:7] or (str(year) if year else "")
    text = engine if re.search(r"\d", engine) or not when else f"{engine} ({when})"
    for name in dict.fromkeys((text, engine)):
        try:
            return stack_catalog.serve_stack_for(name)
        except PlannerError:
            continue
    return None


_DTYPES: tuple[tuple[str, str], ...] = (
    (r"nvfp4|mxfp4|fp4", "fp4"),
    (r"int4|awq|gptq|q4|w4", "int4"),
    (r"fp8|f8|e4m3|e5m2", "fp8"),
    (r"int8|w8", "int8"),
    (r"bf16|bfloat16", "bf16"),
    (r"fp16|float16|half", "fp16"),
    (r"fp32|float32", "fp32"),
)


def _dtype(text: str) -> str:
    lowered = text.lower()
    return next((name for pattern, name in _DTYPES if re.search(pattern, lowered)), "")


def _half(chip: ChipSpec) -> str:
    return "bf16" if "bf16" in chip.peak_flop_per_s else "fp16"


def _weights(row: ServeRow, chip: ChipSpec, flags: list[str]) -> str:
    stated = _dtype(row.weight_dtype)
    if stated:
        return stated
    named = _dtype(row.model) if re.search(r"fp8|fp4|awq|gptq|int4|int8", row.model, re.IGNORECASE) else ""
    if not named:
        flags.append(PRECISION_OPEN)
    return named or _half(chip)


def _cache(row: ServeRow, weights: str, chip: ChipSpec, flags: list[str]) -> str:
    stated = _dtype(row.kv_dtype)
    if stated:
        return stated
    flags.append("cache precision not stated")
    if "auto" not in row.kv_dtype and re.search(r"tensorrt|trtllm", row.engine, re.IGNORECASE) and weights in {"fp8", "fp4"}:
        return "fp8"
    return weights if weights in {"fp16", "bf16", "fp32"} else _half(chip)


# ---------------------------------------------------------------- layout

_CORES = re.compile(r"inferentia|trainium|neuron|v7x|ironwood", re.IGNORECASE)


def _size(layout: Mapping[str, Any], key: str) -> int | None:
    value = layout.get(key)
    return round(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 else None


def _layout(row: ServeRow, model: ModelSpec, chip: ChipSpec, weights: str, flags: list[str]) -> tuple[ServeLayout, int]:
    """Layout of one replica and the number of replicas."""
    stated = row.layout
    if any(isinstance(value, str) for value in stated.values()) or re.search(r"disaggregated", row.notes, re.IGNORECASE):
        raise _UnusableError("prefill and decode on separate chips")
    chips = row.chips
    tp, pp, dp, ep = (_size(stated, key) for key in ("tp", "pp", "dp", "ep"))
    if not chips:
        chips = (tp or 0) * (pp or 1) * (dp or 1)
        if not chips:
            raise _UnusableError("number of chips not stated")
    if tp is None:
        tp = _fewest(row, model, chip, weights, chips)
        pp, dp = 1, chips // tp
        flags.append("layout not stated: the fewest chips that hold the model")
    pp, dp, ep = pp or 1, dp or 1, ep or 1
    if tp * pp * dp > chips and _CORES.search(row.chip):
        tp = max(1, chips // (pp * dp))
        flags.append("tensor-parallel size counts cores")
    if tp * pp * dp < chips and chips % (tp * pp * dp) == 0:
        dp *= chips // (tp * pp * dp)
    if tp * pp * dp != chips:
        raise _UnusableError("layout does not match the chips")
    if dp > 1 and model.moe is not None and ep > 1:
        return ServeLayout(tp=tp, pp=pp, dp=dp, ep=ep), 1
    return ServeLayout(tp=tp, pp=pp, dp=1, ep=min(ep, tp) if model.moe else 1), dp


_WIDE = 8
"""Attention groups beyond which experts are never cut by tensor: a row that says so means one expert group of all chips."""
_WORKERS = re.compile(r"(\d+) prefill workers x (\d+) GPUs \+ (\d+) decode workers x (\d+) GPUs")


def _pools(row: ServeRow) -> tuple[Split, ServeLayout] | None:
    """The workers of a run with prefill and decode on chips of their own, and the layout of a decode worker."""
    counts = _WORKERS.search(row.notes)
    if counts is None:
        return None
    prefills, prefill_chips, decodes, decode_chips = (int(text) for text in counts.groups())
    prefill, decode = _half_layout(row.layout, 0, prefill_chips), _half_layout(row.layout, 1, decode_chips)
    if prefill is None or decode is None:
        raise _UnusableError("layout does not match the chips of a worker")
    return Split(prefill, prefills, decodes), decode


def _half_layout(stated: Mapping[str, Any], half: int, chips: int) -> ServeLayout | None:
    sizes = {}
    for key in ("tp", "dp", "ep"):
        both = re.match(r"P(\d+)/D(\d+)$", str(stated.get(key, 1)))
        sizes[key] = int(both.group(half + 1)) if both else int(stated.get(key) or 1)
    if sizes["dp"] > _WIDE and sizes["ep"] == 1:
        sizes["ep"] = sizes["dp"] * sizes["tp"]
    layout = ServeLayout(tp=sizes["tp"], dp=sizes["dp"], ep=sizes["ep"])
    return layout if layout.chips == chips else None


def _split_workload(row: ServeRow, split: Split, flags: list[str]) -> Workload:
    if row.concurrency is None or row.concurrency < 1:
        raise _UnusableError("concurrency not stated")
    isl, osl = _lengths(row, flags)
    users = float(row.concurrency)
    return ClosedLoop(users, isl, osl, _ROUNDS * users, together=True, split=split)


def _fewest(row: ServeRow, model: ModelSpec, chip: ChipSpec, weights: str, chips: int) -> int:
    """Offline and open-loop runs use copies on as few chips as hold the weights; the others use all chips for one."""
    if row.kind not in {"offline", "open-loop"}:
        return chips
    need = 1.2 * model.params * DTYPE_BYTES[weights]
    tp = 1
    while tp * chip.hbm_bytes < need and tp < chips:
        tp *= 2
    return tp if chips % tp == 0 else chips


# ---------------------------------------------------------------- workload

_DATASETS: tuple[tuple[str, float, float], ...] = (
    (r"evalplus|humaneval", 171.0, 98.0),
    (r"sharegpt", 161.0, 338.0),
    (r"openorca\+gsm8k\+mbxp", 490.0, 146.0),
    (r"openorca", 294.0, 294.0),
)
"""Mean input and output tokens of the data sets that rows name without printing lengths: ShareGPT from the vLLM paper,
HumanEval from the DistServe paper, the OpenOrca output from the rules of MLPerf; the OpenOrca inputs are assumed. The mixed
set of MLPerf has a third each of OpenOrca, of sums with five worked examples before them (about 1,000 tokens: the usual
evaluation, and the reason why prompts may reach 2,048 tokens there), and of short programming tasks [assumed]."""

_STATIC = re.compile(
    r"static|fixed batch|batch-1|batch 1\b|one batch|gptsessionbenchmark|benchmark_latency|single batch|first-token latency",
    re.IGNORECASE,
)
_STATIC_ENGINES = re.compile(
    r"fastertransformer|megatron|transformers|neuronx|deepspeed|fastchat|sambaflow|google internal", re.IGNORECASE
)
_SPECULATIVE = re.compile(r"\bmtp (on|\d)|mtp on|speculative decoding|eagle|draft tokens", re.IGNORECASE)
_EQUAL_LENGTHS = re.compile(r"fixed lengths", re.IGNORECASE)
_REQUESTS = re.compile(r"(?<![\d.])(\d[\d,]*) (?:prompts|requests)\b(?! per)")
_ROUNDS = 10.0
"""Requests per user of the usual clients. All users send their first request at once; an engine that mixes prompts with
decoding then spreads them out, while one that runs prompts first keeps equally long requests in step for ever."""
_UNIFORM = re.compile(r"uniform in \[([\d.]+), ?([\d.]+)\]x")
_TOGETHER = re.compile(r"start together|at once|one burst|\bburst\b", re.IGNORECASE)


def _lengths(row: ServeRow, flags: list[str]) -> tuple[float, float]:
    isl, osl = row.isl, row.osl
    if isl is None or osl is None:
        for pattern, mean_in, mean_out in _DATASETS:
            if re.search(pattern, row.notes, re.IGNORECASE):
                flags.append("lengths of the data set taken")
                return isl or mean_in, osl or mean_out
    if isl is None and osl is None and not _short(row):
        raise _UnusableError("lengths not stated")
    if isl is None:
        if not _short(row):
            raise _UnusableError("input length not stated")
        flags.append("short prompt assumed")
        isl = 128.0
    if osl is None:
        flags.append("one decode step at the stated context")
        osl = 2.0 if row.isl else 128.0
    return max(isl, 1.0), max(osl, 1.0)


def _spread(row: ServeRow) -> float:
    """Half the width of evenly distributed lengths over their mean; 0 when the row does not say."""
    stated = _UNIFORM.search(row.notes)
    if not stated:
        return 0.0
    low, high = (float(text) for text in stated.groups())
    return (high - low) / (high + low)


def _short(row: ServeRow) -> bool:
    """Batch-1 decode speeds hardly depend on a short prompt."""
    return row.concurrency == 1 and bool(re.search(r"batch[- ]1|length short", row.notes, re.IGNORECASE))


def _is_static(row: ServeRow) -> bool:
    if row.request_rate is not None:
        return False
    if _STATIC.search(row.notes) or _STATIC_ENGINES.search(row.engine):
        return True
    return "batch_latency_ms" in row.measured or (row.osl is not None and row.osl <= 1.0)


def _workload(row: ServeRow, stack: ServeStack, replicas: int, flags: list[str]) -> Workload:
    isl, osl = _lengths(row, flags)
    if row.request_rate is not None and math.isfinite(row.request_rate):
        if row.concurrency is not None and row.concurrency_text == "" and "max" in row.notes:
            flags.append("concurrency limit of the client left out")
        kind = "fixed" if re.search(r"fixed|random", row.notes, re.IGNORECASE) else "lognormal"
        spread = 1.0 if kind == "fixed" else 2.6
        return OpenLoop(
            requests_per_s=row.request_rate / replicas,
            input=LengthSpec(kind, isl, isl * spread),  # type: ignore[arg-type]
            output=LengthSpec(kind, osl, osl * spread),  # type: ignore[arg-type]
        )
    if row.concurrency_text.startswith("max") or (row.concurrency is None and row.request_rate is not None):
        burst = re.match(r"(\d+) prompts at once", row.concurrency_text)
        if burst:
            count = float(burst.group(1)) / replicas
            return ClosedLoop(concurrency=count, isl=isl, osl=osl, requests=count, together=True)
        stated = _REQUESTS.search(row.notes) or re.search(r"\b(\d+)-request burst", row.notes)
        if stated and not row.concurrency_text:
            count = float(stated.group(1).replace(",", "")) / replicas
            return ClosedLoop(concurrency=count, isl=isl, osl=osl, requests=count, together=True)
        return ClosedLoop(concurrency=ALL_QUEUED, isl=isl, osl=osl)
    if row.concurrency is None or row.concurrency < 1:
        batch = re.search(r"batch (\d+)", row.concurrency_text)
        if not batch:
            raise _UnusableError("concurrency not stated")
        return StaticBatch(batch=int(batch.group(1)), isl=isl, osl=osl)
    share = row.concurrency / replicas
    if _is_static(row):
        return StaticBatch(batch=max(1, round(share)), isl=isl, osl=osl)
    users = max(share, 1.0)
    in_step = bool(_EQUAL_LENGTHS.search(row.notes)) and not stack.mixed_batches
    if _TOGETHER.search(row.notes) or in_step:
        return ClosedLoop(concurrency=users, isl=isl, osl=osl, requests=users, together=True)
    stated = _REQUESTS.search(row.notes)
    requests = float(stated.group(1).replace(",", "")) / replicas if stated else _ROUNDS * users
    spread = _spread(row)
    return ClosedLoop(concurrency=min(users, requests), isl=isl, osl=osl, requests=requests, together=True, spread=spread)


def _with_stated_limits(row: ServeRow, stack: ServeStack) -> ServeStack:
    """The engine with the limits that the row states: most sequences at once, tokens of one iteration."""
    text = row.notes.lower()
    seqs = re.search(r"max[-_ ]num[-_ ]seqs[ =:]+(\d+)", text)
    tokens = re.search(r"max[-_ ]num[-_ ]batched[-_ ]tokens[ =:]+(\d+)", text)
    if seqs:
        stack = replace(stack, max_seqs=int(seqs.group(1)))
    elif row.concurrency and ("batch_mean" in row.measured or "max_num_seqs (concurrency" in text):
        stack = replace(stack, max_seqs=max(stack.max_seqs, round(row.concurrency)))
    return replace(stack, max_batched_tokens=int(tokens.group(1))) if tokens else stack


def _facts(row: ServeRow, stack: ServeStack, layout: ServeLayout) -> tuple[dict[str, str], dict[str, float]]:
    """What the rules on the scripts of benchmarks look at."""
    texts = {"source": row.source, "engine": stack.engine, "model": row.model, "measured": _measured_on(row)}
    numbers = {"isl": row.isl or 0.0, "osl": row.osl or 0.0, "users": float(row.concurrency or 0)}
    return texts, numbers | {"tp": float(layout.tp), "dp": float(layout.dp), "ep": float(layout.ep)}


# ---------------------------------------------------------------- the case


def serve_case(row: ServeRow) -> ServeCase | Skip:
    """The question behind a published serving run, or why there is none."""
    if row.problem:
        return Skip(row.problem)
    try:
        return _case(row)
    except _UnusableError as reason:
        return Skip(str(reason))


def _case(row: ServeRow) -> ServeCase:
    flags: list[str] = []
    measured = {name: value for name, value in serve_measured(row).items() if name in _METRICS}
    try:
        chip = chip_in_node(row.chip, row.chips_per_node or 0, 0.0, 0.0)
    except PlannerError as error:
        raise _UnusableError(unlisted("chip", row.chip)) from error
    model = _model(row.model)
    if model is None:
        raise _UnusableError(unlisted("model", row.model))
    stack = _stack(row.engine, row.year, _measured_on(row))
    if stack is None:
        raise _UnusableError(f"engine {row.engine!r} not in the catalog")
    if _SPECULATIVE.search(row.notes) and not re.search(r"non-MTP|no MTP", row.notes):
        raise _UnusableError("speculative decoding whose acceptance is not stated")
    if re.search(r"cnn/dailymail", row.notes, re.IGNORECASE) and row.osl is None:
        raise _UnusableError("beam search of four, lengths not stated")
    if re.search(r"prefix cache on|cached .{0,20}history", row.notes, re.IGNORECASE):
        raise _UnusableError("prompt partly in the cache")
    weights = _weights(row, chip, flags)
    pools = _pools(row)
    layout, replicas = (pools[1], pools[0].decode_workers) if pools else _layout(row, model, chip, weights, flags)
    stack = _with_stated_limits(row, stack)
    scripted = run_layout(layout, *_facts(row, stack, layout), weights, pools is not None)
    if scripted != layout:
        layout = scripted
        flags.append("layout of the benchmark's script")
    set_by_script = run_settings(*_facts(row, stack, layout), weights, pools is not None)
    cache_dtype = set_by_script.pop("kv_dtype", "") or _cache(row, weights, chip, flags)
    if set_by_script:
        stack = replace(stack, **set_by_script)
        flags.append("engine settings of the benchmark's scripts")
    workload = _workload(row, stack, replicas, flags)
    if pools:
        workload = _split_workload(row, pools[0], flags)
    if "short prompt assumed" in flags:
        measured.pop("ttft_s", None)
    if re.search(r"maxq|power-capped|power cap", f"{row.chip} {row.notes} {row.where}", re.IGNORECASE):
        flags.append("power-capped chips")
    return ServeCase(
        row=row,
        model=model,
        chip=chip,
        layout=layout,
        stack=stack,
        weight_dtype=weights,
        kv_dtype=cache_dtype,
        workload=workload,
        replicas=replicas,
        measured=measured,
        energy_scope=energy_scope(row),
        flags=tuple(flags),
    )
