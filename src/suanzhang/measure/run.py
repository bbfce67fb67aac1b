"""All sweeps within a budget of time, and the files that they leave: timings for ``calibrate``, the rest beside them."""

from __future__ import annotations

import csv
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from suanzhang.errors import InputError
from suanzhang.measure.collectives import collective_rows
from suanzhang.measure.device import Device, find_device
from suanzhang.measure.sweeps import SWEEPS, Row, timed
from suanzhang.measure.transformer import decode_token_s, shape_for, train_step_s

COLUMNS = (
    "op", "dtype", "seconds", "device", "m", "n", "k", "batch", "q_len", "context", "heads", "kv_heads", "qk_dim", "v_dim",
    "window", "kv_elem_bytes",
)  # fmt: skip
"""Columns of the file of timings; a row leaves those of other kinds empty."""
CALIBRATED = ("gemm", "prefill", "decode")
"""Kinds that ``calibrate`` fits; the others go into the report alone."""
_TRANSFORMER_SHARE, _COLLECTIVE_SHARE = 0.2, 0.15


def measure(
    folder: str | Path, *, device: str = "", budget_s: float = 420.0, progress: Callable[[str], None] | None = None
) -> Path:
    """Time a device and write ``timings.csv`` and ``measured.json`` into a folder.

    Args:
        folder: where to write; made when it is not there.
        device: "cuda" or "cpu"; the GPU where there is one when left out.
        budget_s: longest time of all sweeps together [s].
        progress: called with a line for each kind.

    Returns:
        The path of ``measured.json``, which names everything that was timed and what was left out.

    Raises:
        InputError: PyTorch or the device is not there, the budget is not positive, or the folder cannot be written.
    """
    if not budget_s > 0.0:
        raise InputError(f"a budget of {budget_s:g} s measures nothing", fix="give some minutes, such as 5min")
    found = find_device(device)
    target = Path(folder)
    _check_folder(target)
    begin = time.monotonic()
    tell = progress or (lambda _: None)
    rows, left_out = _sweep(found, begin, budget_s * (1.0 - _TRANSFORMER_SHARE - _COLLECTIVE_SHARE), tell)
    tell("time collectives")
    found.give_back()
    more, missed = collective_rows(found, budget_s * _COLLECTIVE_SHARE)
    rows += more
    left_out |= {"collectives": missed} if missed else {}
    shape = shape_for(found)
    body = {
        "device": found.name,
        "kind": found.kind,
        "dtype": found.dtype,
        "software": found.software,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "slow": found.slow,
        "memory_bytes": found.memory_bytes,
        "model": asdict(shape),
        "train_step_s": found.try_or_none(lambda: train_step_s(found, shape)),
        "decode_token_s": found.try_or_none(lambda: decode_token_s(found, shape)),
        "left_out": left_out,
        "measured_s": 0.0,
        "rows": rows,
    }
    body["measured_s"] = time.monotonic() - begin
    _write_csv(target / "timings.csv", rows, found.name)
    path = target / "measured.json"
    _whole(path, json.dumps(body, indent=1) + "\n")
    return path


def _check_folder(target: Path) -> None:
    """Make the folder and write into it once, before minutes are spent on what could not be kept."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target):
            pass
    except OSError as error:
        raise InputError(f"cannot write into {target} ({error.strerror})", fix="name a folder that can be written") from None


def _sweep(device: Device, begin: float, budget_s: float, progress: Callable[[str], None]) -> tuple[list[Row], dict[str, int]]:
    """Rows of all kinds, each with its share of the time, and how many shapes of each kind were left out."""
    rows: list[Row] = []
    left_out: dict[str, int] = {}
    for number, sweep in enumerate(SWEEPS, start=1):
        until = begin + budget_s * number / len(SWEEPS)
        for point in sweep(device):
            kind = str(point[0]["op"])
            if not any(row["op"] == kind for row in rows):
                progress(f"time {kind}")
            row = timed(device, point) if time.monotonic() < until else None
            if row is None:
                left_out[kind] = left_out.get(kind, 0) + 1
            else:
                rows.append(row)
    return rows, left_out


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
