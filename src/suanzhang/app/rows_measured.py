"""What a published row measured, in SI units: step time and memory of training, latencies and rates of serving.

A rate in TFLOP/s becomes a time only with the count of operations that its source used: attention counted in full, half or
not at all, and recomputed work counted or not. The printed utilisation itself is never compared.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from suanzhang import units
from suanzhang.evidence.rows import ServeRow, TrainRow
from suanzhang.spec.model import ModelSpec


def _positive(measured: Mapping[str, Any], *keys: str) -> float | None:
    for key in keys:
        value = measured.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf:
            return float(value)
    return None


def flop_per_token(model: ModelSpec, seq_len: int, attention: float, recompute: float) -> float:
    """Training operations per token as a source counts them.

    Model:    six operations per matrix parameter and token and twelve per attended position and channel, times a share
              for causal attention; a forward pass computed again adds a third to the layers (not to the output head).
    Args:
        model: shape.
        seq_len: tokens of one sequence.
        attention: share of the full square that is counted: 1 full, 0.5 causal, 0 none.
        recompute: share of the layers' forward pass that is computed again and counted.

    Returns:
        Operations per token [FLOP].

    Equation: F = (1 + r/3) * (6 (P - P_head) + 12 a L d s) + 6 P_head
    Validity: dense and mixture models with softmax attention.
    Sources:  [narayanan-2021] eq. 3; [chowdhery-2022] appendix B.

    Example:
        >>> shape = ModelSpec("x", "x", 1, 4, 1, 1, 4, 16, False, 8)
        >>> flop_per_token(shape, 2, 0.0, 0.0)
        1440.0
    """
    head = float(model.hidden) * model.vocab
    channels = model.heads * (model.mla.nope_dim + model.mla.rope_dim if model.mla else model.head_dim)
    layers = 6.0 * (model.matmul_params - head) + 12.0 * attention * model.layers * channels * seq_len
    return (1.0 + recompute / 3.0) * layers + 6.0 * head


def _convention(row: TrainRow) -> tuple[float, float] | None:
    """(attention share, recompute share) that the source counts; None when it does not say."""
    text = str(row.measured.get("flops_convention") or "").lower()
    if not text or "not stated" in text or "date-dependent" in text:
        return None
    recompute = 1.0 if re.search(r"includes? (full )?recompute|includes the recompute|hardware flops|hfu", text) else 0.0
    if re.search(r"\(58 vs", text):
        recompute = 1.0 if row.recompute.startswith("full") else 0.0
    if "ignores attention" in text:
        return 0.0, recompute
    if re.search(r"half|halved", text) and "full attention for the older" not in text:
        return 0.5, recompute
    return 1.0, recompute


def train_step_s(row: TrainRow, model: ModelSpec, batch: int) -> float | None:
    """Time of one optimizer step [s] as published; None when the row states none or no way to it."""
    measured = row.measured
    seconds = _positive(measured, "iter_s", "iter_s_from_blocks")
    if seconds is None and row.global_batch:
        seconds = _positive(measured, "derived_iter_s")
    if seconds is not None:
        return seconds if row.global_batch else None
    if row.global_batch is None or not row.seq_len or not row.chips:
        return None
    rate = _positive(measured, "tokens_per_s_per_chip", "derived_tokens_per_s_per_chip")
    total = _positive(measured, "tokens_per_s_total")
    if rate or total:
        return batch * row.seq_len / (rate * row.chips if rate else float(total or 0.0))
    sequences = _positive(measured, "samples_per_s", "seq_per_s_total")
    if sequences:
        return batch / sequences
    tflops, convention = _positive(measured, "tflops_per_chip"), _convention(row)
    if tflops and convention:
        work = flop_per_token(model, row.seq_len, *convention) * batch * row.seq_len
        return work / (tflops * units.TERA * row.chips)
    return None


_STEP_KEYS = (
    "iter_s", "iter_s_from_blocks", "derived_iter_s", "tokens_per_s_per_chip", "derived_tokens_per_s_per_chip",
    "tokens_per_s_total", "samples_per_s", "seq_per_s_total", "tflops_per_chip",
)  # fmt: skip
_MEMORY_KEYS = ("mem_GB", "mem_GiB", "mem_MiB", "mem_GB_total")


def states_metric(row: TrainRow) -> bool:
    """Whether a training row states a step time, a rate that is one, or a memory.

    A rate worked out from the hours of a whole run, restarts included, is no step.
    """
    if row.kind in {"whole-run", "production-run"} and _positive(row.measured, "gpu_hours"):
        return _positive(row.measured, "iter_s", *_MEMORY_KEYS) is not None
    return _positive(row.measured, *_STEP_KEYS, *_MEMORY_KEYS) is not None


_SHOWS_RESERVED = r"torchtitan|when to upgrade gpus"
"""Software and scripts whose figure is what the allocator has reserved (``max_memory_reserved``), said in the row or not."""


def train_memory(row: TrainRow) -> tuple[float | None, str]:
    """Memory of the fullest chip [bytes] as published, and what it counts.

    A figure without a word on its meaning is taken for the peak that the framework's own counter shows (allocated).
    """
    measured = row.measured
    text = str(measured.get("mem_convention") or "").lower()
    scope = "device" if text else "allocated"
    if "reserved" in text or (not text and re.search(_SHOWS_RESERVED, row.source, re.IGNORECASE)):
        scope = "reserved"
    elif "allocated" in text:
        scope = "allocated"
    for key, scale in (("mem_GB", units.GB), ("mem_GiB", units.GIB), ("mem_MiB", units.MIB)):
        value = _positive(measured, key)
        if value:
            if "nvidia-smi" in text:  # prints mebibytes, so that its gigabytes are binary
                scale = max(scale, units.GIB) if key == "mem_GB" else scale
            if key == "mem_GB" and row.chips and re.search(r"summed|total|all gpus", text):
                value /= row.chips
            return value * scale, scope
    total = _positive(measured, "mem_GB_total")
    if total and row.chips:
        return total / row.chips * units.GB, scope
    return None, ""


# ---------------------------------------------------------------- serving

_LATENCIES: Mapping[str, tuple[str, ...]] = {
    "tpot_s": ("tpot_ms_mean", "tpot_ms", "tpot_ms_p50", "itl_ms_mean", "itl_ms_p50", "tpot_ms_implied"),
    "ttft_s": ("ttft_ms_mean", "ttft_ms", "ttft_ms_p50"),
    "e2e_s": ("e2e_ms_mean", "e2e_ms", "e2e_ms_p50", "batch_latency_ms"),
}
"""Metric to the keys that may state it: a mean first, a median last."""


def serve_measured(row: ServeRow) -> dict[str, float]:
    """Metric name to its published value in SI units; only what the row states or what follows without a model."""
    measured = row.measured
    values: dict[str, float] = {}
    for metric, keys in _LATENCIES.items():
        milliseconds = _positive(measured, *keys)
        if milliseconds:
            values[metric] = milliseconds * units.MILLI
    rate = _positive(measured, "output_tok_s")
    per_chip = _positive(measured, "output_tok_s_per_chip")
    if rate is None and per_chip and row.chips:
        rate = per_chip * row.chips
    if rate is None:
        rate = _from_total(row)
    if rate:
        values["output_tokens_per_s"] = rate
    energy = _positive(measured, "j_per_output_token", "j_per_output_token_wall")
    if energy:
        values["j_per_output_token"] = energy
    if row.osl is not None and row.osl <= 1.0:
        if values.get("e2e_s", 0.0) > 1.5 * values.get("ttft_s", math.inf):  # latency of a longer generation than the row's
            values.pop("e2e_s")
        values.pop("tpot_s", None)
        values.pop("output_tokens_per_s", None)
    return values


def _from_total(row: ServeRow) -> float | None:
    """Output rate from requests, or from input and output together, when the lengths are known."""
    requests = _positive(row.measured, "req_s")
    if requests and row.osl:
        return requests * row.osl
    total = _positive(row.measured, "total_tok_s")
    if total is None:
        per_chip = _positive(row.measured, "total_tok_s_per_chip")
        total = per_chip * row.chips if per_chip and row.chips else None
    if total and row.osl and row.isl is not None:
        return total * row.osl / (row.isl + row.osl)
    return None


def energy_scope(row: ServeRow) -> str:
    """What a published energy counts: "chip" (the accelerators alone), "wall" (the whole machine) or ""."""
    if _positive(row.measured, "j_per_output_token"):
        return "wall" if re.search(r"wall|whole (system|node)", row.notes, re.IGNORECASE) else "chip"
    return "wall" if _positive(row.measured, "j_per_output_token_wall") else ""
