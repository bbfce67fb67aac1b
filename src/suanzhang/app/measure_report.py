"""Prediction beside measurement: the timings of a device against the formulas of its chip."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from suanzhang.app.calibrate import calibrate, device_is
from suanzhang.app.header import header
from suanzhang.app.physics import operator_args
from suanzhang.app.serve_estimate import estimate_serve
from suanzhang.app.train_model import estimate_train
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.chips import chips
from suanzhang.catalog.stacks import default_train_stack, serve_stack
from suanzhang.errors import InputError, PlannerError
from suanzhang.perf.args import OperatorArgs
from suanzhang.perf.attention import decode_attention_s, prefill_attention_s
from suanzhang.perf.collectives import allgather_s, allreduce_s, alltoall_s, reducescatter_s
from suanzhang.perf.elementwise import memory_bound_s
from suanzhang.perf.gemm import gemm_s
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import ServeLayout, TrainLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.serve import StaticBatch
from suanzhang.spec.trust_measure import MeasuredKind, MeasuredResult

_COLLECTIVES: Mapping[str, Callable[..., float]] = {
    "all_reduce": allreduce_s,
    "all_gather": allgather_s,
    "reduce_scatter": reducescatter_s,
    "alltoall": alltoall_s,
}
_STACK_YEAR = 2025
_ENGINE = "vllm-0.12"


def compare_measured(
    path: str | Path, *, chip: str = "", profiles: str | Path | None = None, same_device: bool = True
) -> MeasuredResult:
    """What a measurement says beside what is predicted.

    Args:
        path: ``measured.json`` that ``suanzhang measure`` wrote.
        chip: catalog id or alias of the chip; found by the name of the device when left out.
        profiles: folder for the profile that is fitted to the timings beside the measurement; none is fitted when left out.
        same_device: refuse a device that calls itself otherwise, or has other memory, than the chip that is named.

    Raises:
        InputError: the file is no measurement, or is one of another chip; nothing is written.
        CatalogError: the chip is unknown.
    """
    source = Path(path)
    try:
        body = json.loads(source.read_text(encoding="utf-8"))
        rows = [row for row in body["rows"] if float(row["seconds"]) > 0.0]
        device, memory = str(body["device"]), float(body["memory_bytes"])
        kind = measured_chip(chip, device, memory, same_device=same_device) if body["kind"] == "cuda" or chip else None
        kinds = [_kind(op, [row for row in rows if row["op"] == op], kind) for op in dict.fromkeys(row["op"] for row in rows)]
        kinds += [_whole(name, float(body[key]), kind, body) for name, key in _WHOLE.items() if body[key] is not None]
        warnings = _warnings(body, kind)
        software, day = str(body["software"]), str(body.get("date", ""))
        slow, took = bool(body["slow"]), float(body["measured_s"])
    except OSError as error:
        raise InputError(
            f"{source}: cannot be read ({error.strerror})", fix="give measured.json of `suanzhang measure`"
        ) from None
    except PlannerError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{source}: is no measurement ({error!r:.60})", fix="give measured.json of `suanzhang measure`"
        ) from None
    profile, why = _fitted(source, kind, software, Path(profiles), day, same_device) if profiles is not None else ("", ())
    return MeasuredResult(
        header(),
        device,
        kind.id if kind else "",
        software,
        slow,
        took,
        tuple(kinds),
        "timings.csv",
        (*warnings, *why),
        profile,
    )


def _fitted(
    source: Path, kind: ChipSpec | None, software: str, folder: Path, date: str, same_device: bool
) -> tuple[str, tuple[str, ...]]:
    """The profile that the timings give, by the name of its file; or empty, and why there is none."""
    if kind is None:
        return "", ("no profile was written: a profile belongs to a chip of the catalog",)
    stack = software.partition(",")[0].replace(" ", "-")
    try:
        found = calibrate([source.parent / "timings.csv"], kind, stack, folder, date=date, same_device=same_device)
    except InputError as error:
        return "", (f"no profile was written: {error}",)
    return (found.path.name if found.path else ""), tuple(f"not in the profile: {reason}" for reason in found.skipped)


_WHOLE = {"training step": "train_step_s", "decode loop": "decode_token_s"}


def measured_chip(name: str, device: str, memory_bytes: float, *, same_device: bool = True) -> ChipSpec | None:
    """The chip that was measured: the one that is named, else the one that the device calls itself.

    Args:
        name: catalog id or alias; empty to go by the device.
        device: what the device calls itself.
        memory_bytes: memory that it has; 0 when unknown.
        same_device: refuse a device that calls itself otherwise, or has other memory, than the chip that is named.

    Raises:
        InputError: the device is not the chip that is named.
        CatalogError: there is no chip of that name.
    """
    if not name:
        return _known(device, memory_bytes)
    chip = find_chip(name)
    if same_device and not _is(device, memory_bytes, chip):
        memory = f" with {memory_bytes / 1e9:.0f} GB" if memory_bytes else ""
        known = _known(device, memory_bytes)
        fix = f"name {known.id}, or leave --chip out" if known else "name the chip that is measured, or leave --chip out"
        raise InputError(
            f"the device is {device}{memory}, not {chip.name}",
            fix=f"{fix}; to hold it against that chip all the same: --as {chip.id}",
        )
    return chip


_FORMS = ("pcie", "nvl")
_MEMORY = (0.94, 1.10)
"""A card's memory as its driver counts it, over the catalog's: less what error correction takes, or binary gigabytes where
data sheets print round ones. That of a slice or of a sister lies outside."""


def _is(device: str, memory_bytes: float, chip: ChipSpec) -> bool:
    """Whether a device of this name and memory is the chip; a slice of a GPU is none."""
    name = device.lower()
    other_form = any(form in name and form not in chip.id for form in _FORMS)
    known = not memory_bytes or _MEMORY[0] <= memory_bytes / chip.hbm_bytes <= _MEMORY[1]
    return device_is(device, chip) and known and not other_form and re.search(r"\bmig\b", name) is None


def _known(device: str, memory_bytes: float) -> ChipSpec | None:
    """The chip that a device calls itself: of several forms the one that it names, SXM when it names none, then by memory."""

    def far(spec: ChipSpec) -> tuple[int, bool, float]:
        other = sum((form in device.lower()) != (form in spec.id) for form in _FORMS)
        return other, "sxm" not in spec.id, abs(spec.hbm_bytes - memory_bytes)

    fitting = [spec for _, spec in sorted(chips().items()) if not spec.missing and _is(device, memory_bytes, spec)]
    return min(fitting, key=far, default=None)


def predicted_s(row: Mapping[str, Any], args: OperatorArgs) -> float | None:
    """Prediction for one timed shape; None for a kind without a formula.

    Args:
        row: a row of the measurement.
        args: operators of the chip.
    """
    op = row["op"]
    if op == "gemm":
        return float(gemm_s(row["m"], row["n"], row["k"], 1.0, args.gemm))
    if op == "prefill":
        shape = (row["batch"], row["q_len"], row["q_len"], row["heads"], row["kv_heads"], row["qk_dim"], row["v_dim"], 1.0, 0.0)
        return float(prefill_attention_s(*shape, args.attention))
    if op == "decode":
        total = row["batch"] * row["context"]
        dims = (row["heads"], row["kv_heads"], row["qk_dim"], row["qk_dim"], row["kv_elem_bytes"])
        return float(decode_attention_s(row["batch"], total, *dims, args.attention))
    if op in _COLLECTIVES:
        return float(_COLLECTIVES[op](row["bytes"], row["ranks"], 1.0, args.link))
    return float(memory_bound_s(row["moved_bytes"], args.memory)) if op == "memory" else None


def _kind(op: str, rows: Sequence[Mapping[str, Any]], chip: ChipSpec | None) -> MeasuredKind:
    measured = np.array([float(row["seconds"]) for row in rows])
    found = None
    if chip is not None:
        try:
            args = operator_args(chip, str(rows[0]["dtype"]))
        except PlannerError:  # the catalog has no such arithmetic for the chip
            return _beside(op, measured, None)
        values = [predicted_s(row, args) for row in rows]
        found = np.array(values, dtype=np.float64) if None not in values else None
    return _beside(op, measured, found)


def _beside(kind: str, measured: Any, predicted: Any) -> MeasuredKind:
    middle = float(np.median(measured))
    if predicted is None:
        return MeasuredKind(kind, len(measured), middle, None, None, None, None)
    ratio = measured / predicted
    low, high = (float(value) for value in np.quantile(ratio, (0.05, 0.95)))
    error = 100.0 * float(np.median(np.abs(predicted / measured - 1.0)))
    return MeasuredKind(kind, len(measured), middle, float(np.median(predicted)), error, low, high)


def _whole(kind: str, measured: float, chip: ChipSpec | None, body: Mapping[str, Any]) -> MeasuredKind:
    predicted = None
    if chip is not None:
        try:
            predicted = np.array([_end_to_end(kind, chip, body)])
        except PlannerError:
            predicted = None
    return _beside(kind, np.array([measured]), predicted)


def _end_to_end(kind: str, chip: ChipSpec, body: Mapping[str, Any]) -> float:
    m = body["model"]
    dim = m["hidden"] // m["heads"]
    model = ModelSpec(
        "measured", "the measured model", m["layers"], m["hidden"], m["heads"], m["heads"], dim, m["ffn"], False, m["vocab"],
        max_seq=m["seq_len"],
    )  # fmt: skip
    if kind == "training step":
        job = TrainJob("measured", model, 1e9, m["seq_len"], m["batch"], str(body["dtype"]))
        layout = TrainLayout(micro_batch=m["batch"], recompute="none")
        return estimate_train(job, chip, layout, default_train_stack(_STACK_YEAR)).step_s
    dtype = str(body["dtype"])
    work = StaticBatch(m["batch"], m["prompt"], m["answer"])
    return estimate_serve(model, chip, ServeLayout(), serve_stack(_ENGINE), dtype, dtype, work).tpot_s.mean


def _warnings(body: Mapping[str, Any], chip: ChipSpec | None) -> tuple[str, ...]:
    found = []
    if body["slow"]:
        found.append("a CPU was measured, with small shapes: it says nothing about a GPU")
    if chip is None:
        found.append(f"{body['device']} is no chip of the catalog: nothing to predict; hold it against one with --as")
    else:
        found.append("the small model runs plain PyTorch: no engine, no fused kernels, every launch from the host")
    found += [str(note) for note in body.get("notes", ())]
    why = body.get("whole_why", {})
    found += [
        f"the {name} was left out: {why.get(key) or 'no memory left'}" for name, key in _WHOLE.items() if body[key] is None
    ]
    for kind, count in body["left_out"].items():
        reasons = body.get("reasons", {}).get(kind, {})
        told = ", ".join(f"{reason} ({number})" if len(reasons) > 1 else reason for reason, number in reasons.items())
        found.append(f"{count} shapes of {kind} were left out: {told or 'no time or no memory left'}")
    launched = sum(1 for row in body["rows"] if row.get("launched"))
    if launched:
        found.append(f"{launched} short kernels could not be replayed as a graph: their times hold the launch from the host")
    return tuple(found)
