"""Read recorded request traces: Azure, Mooncake, BurstGPT, ServeGen, and tables with plain names; CSV or JSON lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from suanzhang.errors import InputError
from suanzhang.spec.paths import from_home
from suanzhang.spec.sim import Floats, Ints, RequestBatch

KNOWN = "Azure (TIMESTAMP, ContextTokens, GeneratedTokens), Mooncake (timestamp, input_length, output_length, hash_ids), "
KNOWN += "BurstGPT (Timestamp, Request tokens, Response tokens), ServeGen (timestamp, input_tokens, output_tokens), "
KNOWN += "plain (arrival_s, input_tokens, output_tokens)"
LARGEST_BYTES = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Trace:
    """A recorded request trace.

    Args:
        kind: "azure", "mooncake", "burstgpt", "servegen" or "plain".
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
_PLAIN = (
    ("arrival_s", "arrived_at", "arrival_time", "timestamp", "time"),
    ("input_tokens", "prompt_tokens", "input_length", "contexttokens", "num_prefill_tokens", "request tokens"),
    ("output_tokens", "completion_tokens", "output_length", "generatedtokens", "num_decode_tokens", "response tokens"),
)
"""Names of other tables, in small letters; times in seconds or as dates."""
_DATE = r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(\.\d+)?(?:Z|([+-])(\d\d):?(\d\d))?$"
_BATCH_JOB = {"request_id", "type", "input_length"}
_RATES = {"rate", "cv"}
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
    place = from_home(path)
    if not place.is_file():
        raise InputError(f"trace {place.name}: no such file", fix="give a .csv or .jsonl file")
    if place.stat().st_size > LARGEST_BYTES:
        raise InputError(f"trace {place.name}: larger than {LARGEST_BYTES / 1e9:g} GB", fix="cut it into parts")
    frame = _frame(place)
    kind, (at, prompt, answer) = _kind(frame.columns, place.name)
    if frame.is_empty():
        raise InputError(f"trace {place.name}: no requests", fix="give a file with rows")
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


def _kind(names: list[str], file: str) -> tuple[str, tuple[str, str, str]]:
    """The format, and the names of its columns of arrival, prompt and answer."""
    for kind, columns in _COLUMNS.items():
        if set(columns) <= set(names):
            return kind, columns
    folded = {name.strip().lower(): name for name in names}
    found = [next((folded[name] for name in known if name in folded), "") for known in _PLAIN]
    if all(found):
        return "plain", (found[0], found[1], found[2])
    if set(names) >= _BATCH_JOB and not found[0]:
        raise InputError(
            f"trace {file}: a batch job, whose requests have no arrival times", fix="use its lengths with a concurrency"
        )
    if set(folded) >= _RATES:
        raise InputError(
            f"trace {file}: rates of clients, no requests", fix="let ServeGen generate requests and save them as CSV"
        )
    raise InputError(f"trace {file}: none of the known formats", fix=f"known are {KNOWN}")


def _frame(place: Path) -> pl.DataFrame:
    try:
        if place.suffix in (".jsonl", ".ndjson", ".json"):
            return pl.read_ndjson(place, infer_schema_length=10_000)
        return pl.read_csv(place, infer_schema_length=10_000)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"trace {place.name}: cannot be read ({first[:120]})", fix="give a CSV or JSON-lines file") from error


def _times(column: pl.Series, kind: str, name: str) -> Floats:
    """Arrival times as plain numbers: seconds, or what the format counts in."""
    if kind in ("azure", "plain") and column.dtype == pl.String:
        values = _dates(column)
        bad = int(values.is_null().sum())
    else:
        values = column.cast(pl.Float64, strict=False)
        bad = int(values.is_null().sum()) + int((~values.is_finite()).fill_null(value=False).sum())
    if bad:
        raise InputError(f"trace {name}: {bad} of {len(column)} arrival times cannot be read", fix="repair or drop those rows")
    return np.asarray(values.to_numpy(), np.float64)


def _dates(column: pl.Series) -> pl.Series:
    """Dates with or without parts of a second and hours from Greenwich, as seconds; null where one cannot be read."""
    text = column.str.strip_chars().str.replace("T", " ")
    parts = pl.DataFrame({"text": text}).select(pl.col("text").str.extract_groups(_DATE)).unnest("text")
    at, share, sign, hours, minutes = (parts.to_series(place) for place in range(5))
    whole = at.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False).dt.timestamp("us").cast(pl.Float64) * 1e-6
    ahead = (hours.cast(pl.Float64) * 3600.0 + minutes.cast(pl.Float64) * 60.0).fill_null(0.0)
    east = (sign != "-").fill_null(value=True).cast(pl.Float64) * 2.0 - 1.0
    return whole + share.fill_null("0").cast(pl.Float64) - east * ahead


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
