"""What became of each simulated request, as a Parquet file: written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from suanzhang.app.serve_sim import ahead_s, pipeline_of
from suanzhang.app.serve_size_way import Prepared
from suanzhang.errors import InputError
from suanzhang.spec.paths import from_home
from suanzhang.spec.sim import Floats, RequestRecord, SimResult

MOST_REQUESTS = 20_000_000
"""Rows that are kept in memory until the file is written, about 150 bytes each."""


def checked_file(place: str | Path, requests: int) -> Path:
    """The path to write to, refused before anything is simulated.

    Raises:
        InputError: no Parquet file, no such folder, a folder, or more requests than are kept.
    """
    path = from_home(place)
    if path.suffix != ".parquet":
        raise InputError(f"requests file: {path.name!r} is no .parquet file", fix="name it for example day.parquet")
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"requests file: cannot write to {path}", fix="give a file in a folder that exists")
    if requests > MOST_REQUESTS:
        raise InputError(
            f"requests file: {requests:,} requests, at most {MOST_REQUESTS:,} are kept",
            fix="follow fewer replicas, or ask for a shorter run",
        )
    return path


def keep(path: Path, ready: Prepared, found: SimResult) -> None:
    """Write the requests of a run with what the simulation leaves out: the time before the engine, and that of a pipeline.

    Args:
        path: as :func:`checked_file` gave it.
        ready: what ran.
        found: the run, with its records.
    """
    assert found.records is not None
    way = ready.way
    front = ready.front_s + ready.front_per_seq_s * found.batch_mean + ahead_s(way.stack, found)
    prompts = np.asarray(found.records.input_tokens * (1.0 - way.prefix.share), np.float64)
    write_requests(path, found.records, front + pipeline_of(way.layout.pp, ready.table, ready.settings, prompts))


def write_requests(path: Path, records: RequestRecord, before: Floats | float = 0.0) -> None:
    """Write one row for each request, in order of arrival; the same requests give the same bytes.

    Args:
        path: a Parquet file; what was there is replaced only by a whole file.
        records: what became of the requests.
        before: time before and after the engine, which the latencies of the report hold too [s].

    Raises:
        InputError: the file cannot be written.
    """
    import polars as pl

    times = [np.asarray(part, np.float64) + before for part in (records.first_token_s, records.finish_s)]
    frame = pl.DataFrame(
        {
            "request": np.arange(len(records), dtype=np.int64),
            "arrival_s": records.arrival_s,
            "first_token_s": times[0],
            "end_s": times[1],
            "prompt_tokens": records.input_tokens,
            "output_tokens": records.output_tokens,
            "replica": records.replica.astype(np.int32),
            "preemptions": records.preemptions.astype(np.int32),
        }
    )
    served = pl.when(pl.col("replica") >= 0).then(pl.col("replica")).alias("replica")
    frame = frame.with_columns(pl.col("first_token_s", "end_s").fill_nan(None), served)
    part: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        part = Path(name)
        frame.write_parquet(part, compression="zstd")
        part.chmod(0o644)
        part.replace(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"requests file: cannot write {path} ({error})", fix="give a file that can be written") from None
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
