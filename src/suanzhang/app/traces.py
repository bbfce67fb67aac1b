"""Read recorded request traces: Azure CSV, Mooncake JSON lines, BurstGPT CSV, ServeGen CSV or JSON lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from suanzhang.errors import InputError
from suanzhang.spec.sim import Floats, Ints, RequestBatch

KNOWN = "Azure (TIMESTAMP, ContextTokens, GeneratedTokens), Mooncake (timestamp, input_length, output_length, hash_ids), "
KNOWN += "BurstGPT (Timestamp, Request tokens, Response tokens), ServeGen (timestamp, input_tokens, output_tokens)"


@dataclass(frozen=True, slots=True)
class Trace:
    """A recorded request trace.

    Args:
        kind: "azure", "mooncake", "burstgpt" or "servegen".
        requests: in order of arrival, the first at 0 s.
        dropped: rows without a prompt or an answer, such as failed requests.
        blocks: hashes of the prompt's blocks, request after request; empty when the trace has none.
        block_ends: where the hashes of each request end in ``blocks``.
        block_tokens: tokens of one hashed block; 0 when the trace has none.
    """

    kind: str
    requests: RequestBatch
    dropped: int
    blocks: Ints = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)
    block_ends: Ints = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)
    block_tokens: int = 0


_COLUMNS: dict[str, tuple[str, str, str]] = {
    "azure": ("TIMESTAMP", "ContextTokens", "GeneratedTokens"),
    "mooncake": ("timestamp", "input_length", "output_length"),
    "burstgpt": ("Timestamp", "Request tokens", "Response tokens"),
    "servegen": ("timestamp", "input_tokens", "output_tokens"),
}
_SECONDS = {"mooncake": 1e-3}
MOONCAKE_BLOCK = 512


def read_trace(path: str | Path) -> Trace:
    """The requests of a recorded trace; the columns tell the format.

    Args:
        path: a ``.csv`` or ``.jsonl`` file.

    Returns:
        The requests in order of arrival, with block hashes when the trace has them.

    Raises:
        InputError: the file cannot be read, is none of the known formats, or a value is no number or out of range.
    """
    place = Path(path)
    if not place.is_file():
        raise InputError(f"trace {place.name}: no such file", fix="give a .csv or .jsonl file")
    frame = _frame(place)
    kind = next((kind for kind, columns in _COLUMNS.items() if set(columns) <= set(frame.columns)), "")
    if not kind:
        raise InputError(f"trace {place.name}: none of the known formats", fix=f"known are {KNOWN}")
    if frame.is_empty():
        raise InputError(f"trace {place.name}: no requests", fix="give a file with rows")
    at, prompt, answer = _COLUMNS[kind]
    arrival = _times(frame[at], kind, place.name) * _SECONDS.get(kind, 1.0)
    inputs, outputs = (_counts(frame[column], place.name) for column in (prompt, answer))
    kept = (inputs >= 1) & (outputs >= 1)
    if not bool(kept.any()):
        raise InputError(f"trace {place.name}: no row has a prompt and an answer", fix="check the columns of lengths")
    order = np.flatnonzero(kept)[np.argsort(arrival[kept], kind="stable")]
    requests = RequestBatch(arrival[order] - arrival[order[0]], inputs[order], outputs[order])
    dropped = len(frame) - len(order)
    if kind != "mooncake" or "hash_ids" not in frame.columns:
        return Trace(kind, requests, dropped)
    blocks, ends = _blocks(frame["hash_ids"], order, place.name)
    return Trace(kind, requests, dropped, blocks, ends, MOONCAKE_BLOCK)


def _frame(place: Path) -> pl.DataFrame:
    try:
        if place.suffix in (".jsonl", ".ndjson"):
            return pl.read_ndjson(place)
        return pl.read_csv(place, infer_schema_length=10_000)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"trace {place.name}: cannot be read ({first[:120]})", fix="give a CSV or JSON-lines file") from error


def _times(column: pl.Series, kind: str, name: str) -> Floats:
    """Arrival times as plain numbers: seconds, or what the format counts in."""
    if kind == "azure" and column.dtype == pl.String:
        stamps = column.str.strip_chars().str.replace("T", " ").str.to_datetime(time_unit="ns", strict=False)
        bad = int(stamps.is_null().sum())
        values = stamps.dt.timestamp("us").cast(pl.Float64) * 1e-6
    else:
        values = column.cast(pl.Float64, strict=False)
        bad = int(values.is_null().sum()) + int((~values.is_finite()).fill_null(value=False).sum())
    if bad:
        raise InputError(f"trace {name}: {bad} of {len(column)} arrival times cannot be read", fix="repair or drop those rows")
    return np.asarray(values.to_numpy(), np.float64)


def _counts(column: pl.Series, name: str) -> Ints:
    values = column.cast(pl.Float64, strict=False)
    numbers = np.asarray(values.fill_null(float("nan")).to_numpy(), np.float64)
    bad = int(np.sum(~np.isfinite(numbers) | (numbers < 0) | (numbers > 2**24) | (numbers != np.rint(numbers))))
    if bad:
        raise InputError(
            f"trace {name}: {bad} of {len(column)} values of {column.name!r} are no token counts",
            fix="token counts are whole numbers from 0 to 16,777,216",
        )
    return numbers.astype(np.int64)


def _blocks(column: pl.Series, order: Ints, name: str) -> tuple[Ints, Ints]:
    if not isinstance(column.dtype, pl.List):
        raise InputError(f"trace {name}: hash_ids is no list", fix="give a list of block hashes in each row")
    ordered = column.gather(order)
    sizes = ordered.list.len().to_numpy().astype(np.int64)
    flat = ordered.filter(ordered.list.len() > 0).explode()
    hashes = flat.cast(pl.Int64, strict=False)
    if hashes.null_count():
        raise InputError(f"trace {name}: a block hash is no whole number", fix="hash_ids are whole numbers")
    return np.asarray(hashes.to_numpy(), np.int64), np.cumsum(sizes)
