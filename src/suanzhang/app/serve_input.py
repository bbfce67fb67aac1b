"""Reads what a user writes about a service: layout, traffic and recorded traces."""

from __future__ import annotations

import csv
import json
from dataclasses import fields
from datetime import datetime
from pathlib import Path

import numpy as np

from suanzhang.errors import InputError, nearest_names
from suanzhang.spec.job import LengthSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.paths import from_home
from suanzhang.spec.sim import RequestBatch
from suanzhang.units import DAY_S, MILLI

LARGEST_TRACE_BYTES = 2_000_000_000
_TIMES = ("timestamp", "arrival_s", "arrived_at", "arrival_time", "time")
_INPUTS = ("contexttokens", "input_tokens", "input_length", "prompt_tokens", "num_prefill_tokens", "request tokens")
_OUTPUTS = ("generatedtokens", "output_tokens", "output_length", "num_decode_tokens", "response tokens")


def parse_serve_layout(text: str) -> ServeLayout:
    """``"tp=8,pp=2"`` as a layout.

    Raises:
        InputError: an unknown key, or a value that is no positive whole number.
    """
    names = [field.name for field in fields(ServeLayout)]
    found: dict[str, int] = {}
    for part in text.split(","):
        key, equals, value = (item.strip() for item in part.partition("="))
        if not equals or key.lower() not in names:
            near = nearest_names(key, names)
            raise InputError(f"layout: cannot read {part.strip()!r}", fix=f"did you mean {' or '.join(near) or 'tp=8'}?")
        if not value.isdigit() or int(value) < 1:
            raise InputError(f"layout {key}: {value!r} is no positive whole number", fix=f"write for example {key}=8")
        found[key.lower()] = int(value)
    return ServeLayout(**found)


def request_rate(rate: float | None, visits_per_day: float | None) -> float | None:
    """Requests per second from whichever of the two was given; None for neither.

    Raises:
        InputError: both were given, or the value is not positive.
    """
    if rate is not None and visits_per_day is not None:
        raise InputError("rate and visits per day are both given", fix="give one of them")
    value = rate if rate is not None else visits_per_day / DAY_S if visits_per_day is not None else None
    if value is not None and not value > 0.0:
        raise InputError(f"the request rate must be positive, got {value:g}", fix="give a rate above zero")
    return value


def _column(names: list[str], known: tuple[str, ...], what: str, path: Path) -> str:
    by_folded = {name.strip().lower(): name for name in names}
    for name in known:
        if name in by_folded:
            return by_folded[name]
    raise InputError(f"{path.name}: no column of {what}", fix=f"name it one of {', '.join(known)}")


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text[:26]).timestamp()


def _from_csv(path: Path) -> tuple[list[float], list[int], list[int]]:
    with path.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        names = list(reader.fieldnames or [])
        at, inp, out = (_column(names, known, what, path) for known, what in
                        ((_TIMES, "arrival times"), (_INPUTS, "prompt tokens"), (_OUTPUTS, "answer tokens")))  # fmt: skip
        rows = [(_seconds(row[at]), int(float(row[inp])), int(float(row[out]))) for row in reader]
    return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]


def _from_jsonl(path: Path) -> tuple[list[float], list[int], list[int]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return (
        [float(row["timestamp"]) * MILLI for row in rows],
        [int(row["input_length"]) for row in rows],
        [int(row["output_length"]) for row in rows],
    )


def read_trace(name: str) -> RequestBatch:
    """Requests of a recorded trace: a CSV in the Azure or BurstGPT columns, or Mooncake JSON lines (times in milliseconds).

    Raises:
        InputError: no such file, a folder, too large, or not such a trace.
    """
    path = from_home(name)
    if not path.is_file():
        raise InputError(f"trace: {name} is no file", fix="give the path of a CSV or JSONL trace")
    if path.stat().st_size > LARGEST_TRACE_BYTES:
        raise InputError(f"trace: {path.name} is too large", fix="cut it into parts")
    try:
        columns = _from_jsonl(path) if path.suffix in {".jsonl", ".json"} else _from_csv(path)
    except (ValueError, KeyError, TypeError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"trace: {path.name} cannot be read ({error})", fix="use Azure, BurstGPT or Mooncake columns"
        ) from error
    times, inputs, outputs = (np.asarray(column, dtype=np.float64) for column in columns)
    if len(times) < 2:
        raise InputError(f"trace: {path.name} has fewer than two requests", fix="give a longer trace")
    order = np.argsort(times, kind="stable")
    whole = np.maximum(np.stack([inputs[order], outputs[order]]), 1.0).astype(np.int64)
    return RequestBatch(times[order] - times[order[0]], whole[0], whole[1])


def trace_lengths(tokens: np.ndarray) -> LengthSpec:
    """The length distribution that stands for recorded lengths in the steady-state formulas."""
    mean, p95 = float(np.mean(tokens)), float(np.percentile(tokens, 95))
    return LengthSpec("lognormal", mean, p95) if p95 > 1.02 * mean else LengthSpec("fixed", mean, mean)
