"""Kernel timings from files: AIConfigurator Parquet, Vidur profile CSVs, and the planner's own measurements.

The planner's own format is a CSV (or a JSON list of objects) with the columns ``op``, ``dtype``, ``seconds`` and the
shape columns of its ops; an optional ``device`` column names the chip:

========== ===================================================================
op         shape columns
========== ===================================================================
gemm       m, n, k
prefill    batch, q_len, heads, kv_heads, qk_dim, v_dim, window
decode     batch, context, heads, kv_heads, qk_dim, kv_elem_bytes
link       size_bytes, ranks, kind (0 all-reduce, 1 all-gather, 2 reduce-scatter, 3 all-to-all)
========== ===================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from suanzhang.errors import InputError
from suanzhang.units import MILLI

Floats = NDArray[np.float64]

DTYPES: Mapping[str, str] = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "half": "bf16",
    "fp8": "fp8",
    "fp8_block": "fp8_block",
    "int8": "int8",
    "sq": "int8",
    "int8_wo": "int8_wo",
    "int4_wo": "int4_wo",
    "nvfp4": "nvfp4",
    "w4a16_mxfp4": "mxfp4_wo",
    "w4a8_mxfp4_mxfp8": "fp4_mixed",
    "bf16": "bf16",
    "fp16": "fp16",
}
"""Names of storage formats in the files; others are left out and counted."""

SHAPES: Mapping[str, tuple[str, ...]] = {
    "gemm": ("m", "n", "k"),
    "prefill": ("batch", "q_len", "heads", "kv_heads", "qk_dim", "v_dim", "window"),
    "decode": ("batch", "context", "heads", "kv_heads", "qk_dim", "kv_elem_bytes"),
    "mla_prefill": ("batch", "q_len", "heads", "kv_heads", "qk_dim", "v_dim", "window"),
    "mla_decode": ("batch", "context", "heads", "kv_elem_bytes"),
    "moe": ("tokens", "hidden", "expert_ffn", "topk", "experts", "ep", "etp", "even"),
    "link": ("size_bytes", "ranks", "kind"),
    "direct": ("size_bytes", "ranks", "kind"),
}
_KINDS = {"all_reduce": 0.0, "all_gather": 1.0, "reduce_scatter": 2.0, "alltoall": 3.0}
MODELLED_FILES = (
    "gemm",
    "context_attention",
    "generation_attention",
    "context_mla",
    "generation_mla",
    "moe",
    "nccl",
    "oneccl",
    "custom_allreduce",
)
"""Names of the AIConfigurator files that are read, without ``_perf.parquet``."""
_MLA_PREFILL_DIMS = (192.0, 128.0)
_RARE_KERNEL = 0.15
"""Share of the rows below which a kernel serves only shapes that the usual one refuses (widths that it cannot align)."""
_PLAIN_TOPK, _PLAIN_HIDDEN = 22, 2688
"""Shapes of the timed models whose experts have no gate (Nemotron 3); engines run other kernels for them."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Measured times of one kind of kernel at one dtype.

    Args:
        op: kind, a key of ``SHAPES``.
        dtype: storage format.
        device: what the device called itself; empty when the file does not say.
        version: software and version; empty when the file does not say.
        shapes: one row per timing, columns as in ``SHAPES``.
        seconds: measured times [s].
    """

    op: str
    dtype: str
    device: str
    version: str
    shapes: Floats
    seconds: Floats


def read_timings(path: Path) -> tuple[Timings, ...]:
    """All timings of one file, grouped by kind and dtype.

    Args:
        path: a ``.parquet`` of AIConfigurator, a ``.csv`` of Vidur, or the planner's own ``.csv`` / ``.json``.

    Raises:
        InputError: the file is missing, damaged, or lacks a column; the line names it.
    """
    frame = _frame(path)
    if not frame.height:
        raise InputError(f"{path}: has no rows", fix="give a file with timings")
    columns = set(frame.columns)
    try:
        if {"op", "dtype", "seconds"} <= columns:
            return _own(path, frame)
        if any(name.startswith("time_stats.") for name in columns):
            return _vidur(path, frame)
        if "latency" in columns and "op_name" in columns:
            return _aiconfigurator(path, frame)
    except (pl.exceptions.PolarsError, TypeError) as error:  # a column of another kind: numbers for names, lists for numbers
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        raise InputError(
            f"{path}: a column is of another kind ({first})", fix="write names as text, shapes as numbers"
        ) from None
    raise InputError(
        f"{path}: no timings found; columns are {', '.join(frame.columns[:8])}",
        fix="needs op, dtype, seconds; or op_name and latency [ms]; or time_stats.* [ms]",
    )


def _frame(path: Path) -> pl.DataFrame:
    if path.is_dir():
        raise InputError(f"{path}: is a folder", fix="name the files of timings in it")
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        if path.suffix == ".json":
            return pl.read_json(path)
        return pl.read_csv(path, infer_schema_length=10_000)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", fix="check the path") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        kind = path.suffix.lstrip(".") or "CSV"
        first = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        raise InputError(f"{path}: cannot be read as {kind} ({first})", fix="the file is damaged or of another kind") from None


def _need(path: Path, frame: pl.DataFrame, names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise InputError(f"{path}: lacks the column {', '.join(missing)}", fix=f"this kind of timing needs {', '.join(names)}")


def _numbers(path: Path, frame: pl.DataFrame, name: str) -> Floats:
    try:
        values = frame[name].cast(pl.Float64, strict=True).to_numpy()
    except pl.exceptions.PolarsError:
        raise InputError(f"{path}: column {name} holds text that is no number", fix="write plain numbers") from None
    return np.asarray(values, dtype=np.float64)


def _pack(
    path: Path, op: str, dtypes: list[str], shapes: list[Floats], seconds: Floats, device: str, version: str
) -> tuple[Timings, ...]:
    table = np.column_stack(shapes)
    good = (
        np.isfinite(seconds)
        & (seconds > 0.0)
        & np.all(np.isfinite(table), axis=1)
        & np.all(table[:, : 2 if op in ("link", "direct") else 3] > 0.0, axis=1)
    )
    if not good.any():
        raise InputError(f"{path}: no positive finite time in it", fix="times must be above zero")
    names = np.array(dtypes)
    return tuple(
        Timings(op, str(name), device, version, table[good & (names == name)], seconds[good & (names == name)])
        for name in np.unique(names[good])
    )


def _device(path: Path, frame: pl.DataFrame) -> str:
    """What the device calls itself; one file is of one device."""
    if "device" not in frame.columns:
        return ""
    names = sorted(str(name) for name in frame["device"].drop_nulls().unique())
    if len(names) > 1:
        raise InputError(
            f"{path}: holds timings of {len(names)} devices ({', '.join(names)[:120]})", fix="give one file for each"
        )
    return names[0] if names else ""


def _own(path: Path, frame: pl.DataFrame) -> tuple[Timings, ...]:
    found: list[Timings] = []
    device = _device(path, frame)
    for op in frame["op"].unique().sort().to_list():
        if op not in SHAPES:
            raise InputError(f"{path}: unknown op {op!r}", fix=f"use one of {', '.join(SHAPES)}")
        part = frame.filter(pl.col("op") == op)
        _need(path, part, SHAPES[op])
        shapes = [_numbers(path, part, name) for name in SHAPES[op]]
        dtypes = [DTYPES.get(str(name), str(name)) for name in part["dtype"].to_list()]
        found += _pack(path, op, dtypes, shapes, _numbers(path, part, "seconds"), device, "")
    return tuple(found)


def _aiconfigurator(path: Path, frame: pl.DataFrame) -> tuple[Timings, ...]:
    name = str(frame["op_name"][0])
    device = _device(path, frame)
    version = "-".join(str(frame[key][0]) for key in ("framework", "version") if key in frame.columns)
    reader = _READERS.get(name)
    if reader is None:
        raise InputError(f"{path}: kernels named {name!r} are not modelled", fix=f"known are {', '.join(_READERS)}")
    frame, op, dtypes, shapes = reader(path, frame)
    if not frame.height:
        raise InputError(f"{path}: no row of a known dtype", fix=f"known are {', '.join(DTYPES)}")
    return _pack(path, op, dtypes, shapes, _numbers(path, frame, "latency") * MILLI, device, version)


_Read = tuple[pl.DataFrame, str, list[str], list[Floats]]


def _known(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    return frame.filter(pl.col(column).is_in(list(DTYPES)))


def _gemm(path: Path, frame: pl.DataFrame) -> _Read:
    _need(path, frame, ("gemm_dtype", "m", "n", "k", "latency"))
    frame = _known(frame, "gemm_dtype")
    if "kernel_source" in frame.columns and frame.height:
        here = pl.len().over("gemm_dtype", "kernel_source") / pl.len().over("gemm_dtype")
        frame = frame.filter(here >= _RARE_KERNEL)
    return frame, "gemm", [DTYPES[x] for x in frame["gemm_dtype"]], [_numbers(path, frame, c) for c in ("m", "n", "k")]


def _attention_dtype(products: str, cache: str) -> str:
    if products == "fp8":
        return "fp8"
    return "bf16" if cache != "fp8" else "bf16-kv8"


def _window(path: Path, frame: pl.DataFrame) -> Floats:
    return _numbers(path, frame, "window_size") if "window_size" in frame.columns else np.zeros(frame.height)


def _one_kernel(frame: pl.DataFrame) -> pl.DataFrame:
    """For each cache format and width the rows of the commonest kernel: what else was timed there does not run by default."""
    if "kernel_source" not in frame.columns:
        return frame
    keys = ["attn_dtype", "kv_cache_dtype", "head_dim"]
    counted = frame.group_by(*keys, "kernel_source").len().sort("len", "kernel_source")
    kept = counted.group_by(keys, maintain_order=True).last().select(*keys, "kernel_source")
    return frame.join(kept, on=[*keys, "kernel_source"], how="semi", maintain_order="left")


def _context(path: Path, frame: pl.DataFrame) -> _Read:
    needed = ("batch_size", "isl", "num_heads", "num_key_value_heads", "head_dim", "attn_dtype", "kv_cache_dtype", "latency")
    _need(path, frame, needed)
    if "window_size" in frame.columns:
        frame = frame.filter(pl.col("window_size") == 0)
    frame = _one_kernel(frame)
    dtypes = [_attention_dtype(a, c) for a, c in frame.select("attn_dtype", "kv_cache_dtype").rows()]
    columns = [_numbers(path, frame, name) for name in needed[:5]]
    return frame, "prefill", dtypes, [*columns, columns[4], _window(path, frame)]


def _generation(path: Path, frame: pl.DataFrame) -> _Read:
    needed = ("batch_size", "step", "num_heads", "num_key_value_heads", "head_dim", "attn_dtype", "kv_cache_dtype", "latency")
    _need(path, frame, needed)
    if "window_size" in frame.columns:
        frame = frame.filter(pl.col("window_size") == 0)
    frame = _one_kernel(frame)
    dtypes = [_attention_dtype(a, c) for a, c in frame.select("attn_dtype", "kv_cache_dtype").rows()]
    batch, step, heads, kv_heads, dim = (_numbers(path, frame, name) for name in needed[:5])
    elem = np.where(frame["kv_cache_dtype"].to_numpy() == "fp8", 1.0, 2.0)
    return frame, "decode", dtypes, [batch, step + 1.0, heads, kv_heads, dim, elem]


def _mla_context(path: Path, frame: pl.DataFrame) -> _Read:
    needed = ("batch_size", "isl", "num_heads", "mla_dtype", "kv_cache_dtype", "latency")
    _need(path, frame, needed)
    dtypes = [_attention_dtype(a, c) for a, c in frame.select("mla_dtype", "kv_cache_dtype").rows()]
    batch, length, heads = (_numbers(path, frame, name) for name in needed[:3])
    one = np.ones(frame.height)
    qk_dim, v_dim = _MLA_PREFILL_DIMS
    return frame, "mla_prefill", dtypes, [batch, length, heads, heads, qk_dim * one, v_dim * one, 0.0 * one]


def _mla_generation(path: Path, frame: pl.DataFrame) -> _Read:
    needed = ("batch_size", "step", "num_heads", "mla_dtype", "kv_cache_dtype", "latency")
    _need(path, frame, needed)
    dtypes = [_attention_dtype(a, c) for a, c in frame.select("mla_dtype", "kv_cache_dtype").rows()]
    batch, step, heads = (_numbers(path, frame, name) for name in needed[:3])
    elem = np.where(frame["kv_cache_dtype"].to_numpy() == "fp8", 1.0, 2.0)
    return frame, "mla_decode", dtypes, [batch, step + 1.0, heads, elem]


def _moe(path: Path, frame: pl.DataFrame) -> _Read:
    names = ("num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_ep_size", "moe_tp_size")
    _need(path, frame, (*names, "moe_dtype", "distribution", "latency"))
    frame = _known(frame, "moe_dtype")
    plain = (pl.col("topk") == _PLAIN_TOPK) | (pl.col("hidden_size") == _PLAIN_HIDDEN)
    frame = frame.filter(~plain)
    if frame.height:
        frame = frame.filter(pl.col("distribution") == frame["distribution"].min())
    if "kernel_source" in frame.columns and frame.height:
        frame = pl.concat([_main_kernels(part) for part in frame.partition_by("moe_dtype", maintain_order=True)])
    even = (frame["distribution"] == "balanced").cast(pl.Float64).to_numpy()
    columns = [_numbers(path, frame, name) for name in names]
    return frame, "moe", [DTYPES[x] for x in frame["moe_dtype"]], [*columns, even]


def _main_kernels(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of the kernels that an engine runs for most models; of the commonest one when there is none."""
    models = ("hidden_size", "inter_size", "topk", "num_experts")
    family = pl.col("kernel_source").str.extract("(marlin|tritonexperts|trtllm|cutlass|fused_moe_triton|deepgemm)")
    frame = frame.with_columns(family.fill_null("other").alias("family"))
    total = frame.n_unique(models)
    counted = frame.group_by("family").agg(pl.struct(models).n_unique().alias("models"), pl.len().alias("rows")).sort("rows")
    kept = counted.filter(2 * pl.col("models") > total)["family"].to_list() or counted["family"].to_list()[-1:]
    return frame.filter(pl.col("family").is_in(kept)).drop("family")


def _collective(path: Path, frame: pl.DataFrame) -> _Read:
    dtype = next((name for name in ("nccl_dtype", "allreduce_dtype") if name in frame.columns), "nccl_dtype")
    _need(path, frame, (dtype, "num_gpus", "message_size", "latency"))
    direct = dtype == "allreduce_dtype"
    if direct and frame["kernel_source"].str.contains("graph").any():
        frame = frame.filter(pl.col("kernel_source").str.contains("graph"))
    width = np.where(frame[dtype].to_numpy() == "int8", 1.0, 2.0)
    size = _numbers(path, frame, "message_size") * width
    kind = np.array([_KINDS.get(name, 0.0) for name in frame["op_name"].to_list()])
    op = "direct" if direct else "link"
    return frame, op, ["bf16"] * frame.height, [size, _numbers(path, frame, "num_gpus"), kind]


_READERS: Mapping[str, Callable[[Path, pl.DataFrame], _Read]] = {
    "gemm": _gemm,
    "context_attention": _context,
    "generation_attention": _generation,
    "mla_context": _mla_context,
    "mla_generation": _mla_generation,
    "context_mla": _mla_context,
    "generation_mla": _mla_generation,
    "moe": _moe,
    "all_reduce": _collective,
    "all_gather": _collective,
    "reduce_scatter": _collective,
    "alltoall": _collective,
}

_VIDUR_GEMMS: Mapping[str, Callable[[Mapping[str, float]], tuple[float, float]]] = {
    "attn_pre_proj": lambda r: (
        (r["n_head"] + 2.0 * r["n_kv_head"]) / r["num_tensor_parallel_workers"] * r["n_embd"] / r["n_head"],
        r["n_embd"],
    ),
    "attn_post_proj": lambda r: (r["n_embd"], r["n_embd"] / r["num_tensor_parallel_workers"]),
    "mlp_up_proj": lambda r: (
        (2.0 if r["use_gated_mlp"] else 1.0) * r["n_expanded_embd"] / r["num_tensor_parallel_workers"],
        r["n_embd"],
    ),
    "mlp_down_proj": lambda r: (r["n_embd"], r["n_expanded_embd"] / r["num_tensor_parallel_workers"]),
}


def _vidur(path: Path, frame: pl.DataFrame) -> tuple[Timings, ...]:
    """Vidur's profile of the dense layers (``mlp.csv``): median milliseconds of each projection."""
    needed = ("n_head", "n_kv_head", "n_embd", "n_expanded_embd", "use_gated_mlp", "num_tokens", "num_tensor_parallel_workers")
    _need(path, frame, needed)
    for name in ("n_head", "num_tensor_parallel_workers"):
        if not (_numbers(path, frame.drop_nulls(needed), name) > 0.0).all():
            raise InputError(
                f"{path}: column {name} holds a value that is not above zero", fix="every model has heads and workers"
            )
    shapes, seconds = [], []
    for op, width in _VIDUR_GEMMS.items():
        column = f"time_stats.{op}.median"
        if column not in frame.columns:
            continue
        for row in frame.select(*needed, column).drop_nulls().iter_rows(named=True):
            n, k = width(row)
            shapes.append((float(row["num_tokens"]), n, k))
            seconds.append(row[column] * MILLI)
    if not shapes:
        raise InputError(f"{path}: no time_stats.<projection>.median column", fix=f"needs one of {', '.join(_VIDUR_GEMMS)}")
    return _pack(path, "gemm", ["fp16"] * len(shapes), list(np.array(shapes).T), np.array(seconds), "", "vidur")
