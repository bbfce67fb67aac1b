"""All sweeps within a budget of time, and the files that they leave: timings for ``calibrate``, the rest beside them."""

from __future__ import annotations

import csv
import json
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from suanzhang.errors import InputError
from suanzhang.measure.collectives import collective_rows
from suanzhang.measure.device import NO_TIME, Device, Tried, find_device
from suanzhang.measure.sweeps import SWEEPS, Row, notes, timed
from suanzhang.measure.transformer import decode_token_s, shape_for, step_flop, train_step_s

COLUMNS = (
    "op", "dtype", "seconds", "device", "m", "n", "k", "batch", "q_len", "context", "heads", "kv_heads", "qk_dim", "v_dim",
    "window", "kv_elem_bytes",
)  # fmt: skip
"""Columns of the file of timings; a row leaves those of other kinds empty."""
CALIBRATED = ("gemm", "prefill", "decode")
"""Kinds that ``calibrate`` fits; the others go into the report alone."""
_TRANSFORMER_SHARE, _COLLECTIVE_SHARE = 0.2, 0.15
Missed = dict[str, dict[str, int]]
"""Shapes that were left out, by kind and reason."""


def measure(
    folder: str | Path,
    *,
    device: str = "",
    budget_s: float = 420.0,
    progress: Callable[[str], None] | None = None,
    accept: Callable[[Device], object] | None = None,
) -> Path:
    """Time a device and write ``timings.csv`` and ``measured.json`` into a folder.

    Args:
        folder: where to write; made when it is not there.
        device: "cuda" or "cpu"; the GPU where there is one when left out.
        budget_s: longest time of all sweeps together [s].
        progress: called with a line for each kind.
        accept: called with the device before anything is written or timed; raises when it is the wrong one.

    Returns:
        The path of ``measured.json``, which names everything that was timed, and what was left out and why.

    Raises:
        InputError: PyTorch or the device is not there, the budget is not positive, or the folder cannot be written.
    """
    if not 0.0 < budget_s < math.inf:
        raise InputError(f"a budget of {budget_s:g} s measures nothing", fix="give some minutes, such as 5min")
    found = find_device(device)
    if accept is not None:
        accept(found)
    target = Path(folder)
    _check_folder(target)
    begin = time.monotonic()
    tell = progress or (lambda _: None)
    found.warm_up()
    rows, missed = _sweep(found, begin, budget_s * (1.0 - _TRANSFORMER_SHARE - _COLLECTIVE_SHARE), tell)
    whole = _transformer(found, rows, begin + budget_s * (1.0 - _COLLECTIVE_SHARE), tell)
    tell("time collectives")
    found.give_back()
    more, count, why = collective_rows(found, begin + budget_s - time.monotonic())
    missed |= {"collectives": {why: count}} if count else {}
    body = {
        "device": found.name,
        "kind": found.kind,
        "dtype": found.dtype,
        "software": found.software,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "slow": found.slow,
        "memory_bytes": found.memory_bytes,
        "cache_bytes": found.cache_bytes,
        **whole,
        "left_out": {kind: sum(reasons.values()) for kind, reasons in missed.items()},
        "reasons": missed,
        "notes": notes(found),
        "measured_s": time.monotonic() - begin,
        "rows": rows + more,
    }
    _write_csv(target / "timings.csv", rows, found.name)
    path = target / "measured.json"
    _whole(path, json.dumps(body, indent=1) + "\n")
    return path


def _transformer(device: Device, rows: list[Row], until: float, tell: Callable[[str], None]) -> dict[str, Any]:
    """The model, its training step and its decode loop; None, and why, for what was left out."""
    tell("time a small transformer")
    shape = shape_for(device)
    device.give_back()
    token: Tried[float] = Tried(None, NO_TIME)
    if step_flop(shape) / 3.0 / _fastest(rows) < until - time.monotonic():
        token = device.tried(lambda: decode_token_s(device, shape, until))
    device.give_back()
    step: Tried[float] = Tried(None, NO_TIME)
    if 2.0 * step_flop(shape) / _fastest(rows) < until - time.monotonic():
        step = device.tried(lambda: train_step_s(device, shape, until))
    why = {"train_step_s": step.why, "decode_token_s": token.why}
    return {"model": asdict(shape), "train_step_s": step.value, "decode_token_s": token.value, "whole_why": why}


def _fastest(rows: list[Row]) -> float:
    """Highest arithmetic that a product reached [FLOP/s]; infinite when none was timed, which rules nothing out."""
    rates = [
        2.0 * float(row["m"]) * float(row["n"]) * float(row["k"]) / float(row["seconds"]) for row in rows if row["op"] == "gemm"
    ]
    return max(rates, default=math.inf)


def _check_folder(target: Path) -> None:
    """Make the folder and write into it once, before minutes are spent on what could not be kept."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target):
            pass
    except OSError as error:
        raise InputError(f"cannot write into {target} ({error.strerror})", fix="name a folder that can be written") from None


def _sweep(device: Device, begin: float, budget_s: float, progress: Callable[[str], None]) -> tuple[list[Row], Missed]:
    """Rows of all kinds, each with its share of the time, and the shapes that were left out."""
    rows: list[Row] = []
    missed: Missed = {}
    for number, sweep in enumerate(SWEEPS, start=1):
        until = begin + budget_s * number / len(SWEEPS)
        told = ""
        for point in sweep(device):
            kind = str(point[0]["op"])
            if kind != told:
                progress(f"time {kind}")
                told = kind
            found: Tried[Row] = timed(device, point) if time.monotonic() < until else Tried(None, NO_TIME)
            if found.value is None:
                reasons = missed.setdefault(kind, {})
                reasons[found.why] = reasons.get(found.why, 0) + 1
            else:
                rows.append(found.value)
    return rows, missed


def _write_csv(path: Path, rows: list[Row], device: str) -> None:
    lines = [
        COLUMNS,
        *(tuple({**row, "device": device}.get(c, "") for c in COLUMNS) for row in rows if row["op"] in CALIBRATED),
    ]
    partial = path.with_suffix(".part")
    with partial.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(lines)
    partial.replace(path)


def _whole(path: Path, text: str) -> None:
    partial = path.with_suffix(".part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
