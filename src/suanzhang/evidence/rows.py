"""Published measurements as rows: reading them from a file, and what a row says about itself.

A file of rows holds one JSON object per line, packed with gzip or not. A row of training states a model shape, a layout
and a measured step; a row of serving states an engine, a workload and measured latencies or rates. Which of the two it is,
its keys tell. A row that lacks an optional key is still a row; a file whose lines are not rows is refused.
"""

from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from suanzhang.errors import InputError
from suanzhang.evidence.row_units import unread_units, unusable_numbers

Phase = Literal["training", "serving"]
PHASES: tuple[Phase, ...] = ("training", "serving")

_DATA = Path(__file__).resolve().parent / "data"
_TRAINING_KEYS = frozenset({"seq_len", "global_batch", "micro_batch", "precision", "recompute"})
_SERVING_KEYS = frozenset({"isl", "osl", "engine", "concurrency_or_batch", "request_rate", "weight_dtype", "kv_dtype"})
_TRAINING_MEASURES = ("iter_s", "tokens_per_s_per_chip", "tflops_per_chip", "mem_", "oom")
_SERVING_MEASURES = ("tpot", "ttft", "e2e", "batch_latency", "output_tok", "total_tok", "req_s", "j_per")
_COMMON_KEYS = ("source", "chip", "model", "measured")
_KIND = re.compile(r"kind=([\w-]+)")
_QUALITY = re.compile(r"quality=([A-D])")
_TIER = re.compile(r"tier ([A-D])")
_LARGEST_FILE_BYTES = 512_000_000


@dataclass(frozen=True, slots=True)
class TrainRow:
    """One published training measurement, as its source states it.

    Args:
        id: unique name of the row.
        source: document or repository that it was read from; whole sources are left out together.
        where: place inside the source.
        url: address of the source.
        year: of the measurement; 0 when not stated.
        verified: the value was read in the source itself.
        chip: chip as the row spells it.
        chips: how many; None when not stated.
        chips_per_node: chips in one server.
        intra_link_gbyte_per_s: bidirectional bandwidth of the scale-up link of one chip [GB/s].
        network_gbit_per_s: network bandwidth of one chip [Gb/s].
        model: shape of the model as key and value.
        seq_len: tokens of one sequence.
        precision: as the row words it.
        layout: parallel sizes and extras as key and value.
        micro_batch, global_batch: sequences.
        recompute: as the row words it.
        measured: what was measured, in the units of the keys.
        notes: kind, quality and remarks.
        problem: why the row cannot be used although it is one; empty when it can.
    """

    id: str
    source: str
    where: str
    url: str
    year: int
    verified: bool
    chip: str
    chips: int | None
    chips_per_node: int | None
    intra_link_gbyte_per_s: float | None
    network_gbit_per_s: float | None
    model: Mapping[str, Any]
    seq_len: int | None
    precision: str
    layout: Mapping[str, Any]
    micro_batch: int | None
    global_batch: int | None
    recompute: str
    measured: Mapping[str, Any]
    notes: str
    problem: str = ""

    @property
    def phase(self) -> Phase:
        """Which half of the evidence it belongs to."""
        return "training"

    @property
    def kind(self) -> str:
        """What sort of run it was, such as "pretrain-bench"; empty when not stated."""
        return _first(_KIND, self.notes)

    @property
    def quality(self) -> str:
        """A (firm) to D (unverified); D when not stated and unverified, else B."""
        return _first(_QUALITY, self.notes) or ("B" if self.verified else "D")

    @property
    def model_name(self) -> str:
        """Name of the model as the row spells it."""
        return str(self.model.get("name") or "")

    @property
    def complete(self) -> bool:
        """Whether a firm row states its whole configuration: shape, chips, sequence, batch, precision and layout."""
        stated = (self.chips, self.seq_len, self.global_batch, self.precision, self.layout)
        return self.quality in {"A", "B"} and all(stated) and all(self.model.get(key) for key in ("layers", "hidden"))

    @property
    def sweep(self) -> tuple[object, ...]:
        """Rows with the same key differ only in their layout or settings."""
        return (self.source, self.model_name, self.chip, self.chips, self.seq_len, self.precision, self.global_batch)


@dataclass(frozen=True, slots=True)
class ServeRow:
    """One published serving measurement, as its source states it.

    Args:
        id: unique name of the row.
        source, where, url, year, verified, chip, chips, chips_per_node, notes, problem: as in :class:`TrainRow`.
        model: name of the model.
        weight_dtype, kv_dtype: precision of weights and of the cache; empty when not stated.
        engine: inference engine, with its version when stated.
        layout: parallel sizes as key and value.
        isl, osl: mean prompt and generated tokens; None when not published.
        concurrency: users or batch; None when not stated or in words.
        concurrency_text: what it says in words; empty for a number.
        request_rate: open-loop rate [1/s]; infinite for a closed loop; None when not stated.
        measured: what was measured, in the units of the keys.
    """

    id: str
    source: str
    where: str
    url: str
    year: int
    verified: bool
    chip: str
    chips: int | None
    chips_per_node: int | None
    model: str
    weight_dtype: str
    kv_dtype: str
    engine: str
    layout: Mapping[str, Any]
    isl: float | None
    osl: float | None
    concurrency: float | None
    concurrency_text: str
    request_rate: float | None
    measured: Mapping[str, Any]
    notes: str
    problem: str = ""

    @property
    def phase(self) -> Phase:
        """Which half of the evidence it belongs to."""
        return "serving"

    @property
    def quality(self) -> str:
        """Tier A (well specified), B (one unknown) or C (context only); B when not stated."""
        return _first(_TIER, self.notes) or "B"

    @property
    def complete(self) -> bool:
        """Whether the row is well specified and direct: tier A."""
        return self.quality == "A"

    @property
    def kind(self) -> str:
        """Static batch, closed loop, open loop or offline, in one word."""
        if self.request_rate is not None and math.isfinite(self.request_rate):
            return "open-loop"
        if self.concurrency_text.startswith("max"):
            return "offline"
        return "closed-loop" if self.request_rate is not None else "static"

    @property
    def model_name(self) -> str:
        """Name of the model as the row spells it."""
        return self.model

    @property
    def sweep(self) -> tuple[object, ...]:
        """Rows with the same key differ only in their layout, batch or load."""
        return (self.source, self.model, self.chip, self.isl, self.osl, self.weight_dtype, self.engine)


TruthRow = TrainRow | ServeRow


def _first(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match.group(1) if match else ""


def phase_of(record: Mapping[str, Any]) -> Phase | None:
    """Which half of the evidence a record belongs to by its keys; None when it is no row."""
    measured = record.get("measured")
    names = [str(name) for name in measured] if isinstance(measured, dict) else []
    training = len(_TRAINING_KEYS & record.keys()) + (2 if isinstance(record.get("model"), dict) else 0)
    serving = len(_SERVING_KEYS & record.keys()) + (2 if isinstance(record.get("model"), str) else 0)
    training += 3 if any(name.startswith(_TRAINING_MEASURES) for name in names) else 0
    serving += 3 if any(name.startswith(_SERVING_MEASURES) for name in names) else 0
    if training < 3 and serving < 3:
        return None
    return "training" if training > serving else "serving"


def _number(record: Mapping[str, Any], key: str, problems: list[str]) -> float | None:
    value = record.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        problems.append(f"{key} is not a number")
        return None
    if value < 0:
        problems.append(f"{key} is negative")
        return None
    return float(value)


def _count(record: Mapping[str, Any], key: str, problems: list[str]) -> int | None:
    value = _number(record, key, problems)
    return None if value is None else round(value)


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    return "" if value is None else str(value)


def _mapping(record: Mapping[str, Any], key: str, problems: list[str]) -> Mapping[str, Any]:
    value = record.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        problems.append(f"{key} is not an object")
        return {}
    return value


def _model_name(record: Mapping[str, Any]) -> str:
    model = record["model"]
    return _text(model, "name") if isinstance(model, dict) else _text(record, "model")


def _train_row(record: Mapping[str, Any], name: str) -> TrainRow:
    problems = [*unread_units(record), *unusable_numbers(record)]
    return TrainRow(
        id=_text(record, "id") or name,
        source=_text(record, "source"),
        where=_text(record, "where"),
        url=_text(record, "url"),
        year=_count(record, "year", problems) or 0,
        verified=bool(record.get("verified", True)),
        chip=_text(record, "chip"),
        chips=_count(record, "chips", problems),
        chips_per_node=_count(record, "chips_per_node", problems),
        intra_link_gbyte_per_s=_number(record, "intra_link_GBps", problems),
        network_gbit_per_s=_number(record, "network_Gbps_per_chip", problems),
        model={"name": record["model"]} if isinstance(record["model"], str) else _mapping(record, "model", problems),
        seq_len=_count(record, "seq_len", problems),
        precision=_text(record, "precision"),
        layout=_mapping(record, "layout", problems),
        micro_batch=_count(record, "micro_batch", problems),
        global_batch=_count(record, "global_batch", problems),
        recompute=_text(record, "recompute"),
        measured=_mapping(record, "measured", problems),
        notes=_text(record, "notes"),
        problem="; ".join(problems),
    )


def _serve_row(record: Mapping[str, Any], name: str) -> ServeRow:
    problems = [*unread_units(record), *unusable_numbers(record)]
    concurrency, words = record.get("concurrency_or_batch"), ""
    if isinstance(concurrency, str):
        concurrency, words = (float(concurrency), "") if concurrency.isdigit() else (None, concurrency)
    rate = record.get("request_rate")
    if isinstance(rate, str):
        rate = math.inf if rate.strip().lower() == "inf" else None
    elif rate is not None:
        rate = _number(record, "request_rate", problems)
    return ServeRow(
        id=_text(record, "id") or name,
        source=_text(record, "source"),
        where=_text(record, "where"),
        url=_text(record, "url"),
        year=_count(record, "year", problems) or 0,
        verified=bool(record.get("verified", True)),
        chip=_text(record, "chip"),
        chips=_count(record, "chips", problems),
        chips_per_node=_count(record, "chips_per_node", problems),
        model=_model_name(record),
        weight_dtype=_text(record, "weight_dtype"),
        kv_dtype=_text(record, "kv_dtype"),
        engine=_text(record, "engine"),
        layout=_mapping(record, "layout", problems),
        isl=_number(record, "isl", problems),
        osl=_number(record, "osl", problems),
        concurrency=None if concurrency is None else _number({"concurrency": concurrency}, "concurrency", problems),
        concurrency_text=words,
        request_rate=rate,
        measured=_mapping(record, "measured", problems),
        notes=_text(record, "notes"),
        problem="; ".join(problems),
    )


def parse_rows(lines: Iterable[str], where: str) -> tuple[TruthRow, ...]:
    """Rows from lines of JSON.

    Args:
        lines: one JSON object per line; blank lines are passed over.
        where: name of the file, for the error line.

    Returns:
        The rows in the order of the lines.

    Raises:
        InputError: a line is no JSON object or no row, or there is no row at all; it names the line.
    """
    rows: list[TruthRow] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{where}: line {number}"
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise InputError(f"{place} is not JSON", fix="give a file with one JSON object per line") from error
        if not isinstance(record, dict):
            raise InputError(f"{place} is not a JSON object", fix="give a file with one JSON object per line")
        missing = [key for key in _COMMON_KEYS if key not in record]
        phase = phase_of(record)
        if missing or phase is None or not isinstance(record.get("measured"), dict):
            what = f"lacks {', '.join(missing)}" if missing else "has the keys of neither training nor serving"
            raise InputError(
                f"{place} is no row of measurements: it {what}", fix="see docs/reference/truth-format.md for the keys of a row"
            )
        name = f"{Path(where).stem}-{number}"
        rows.append(_train_row(record, name) if phase == "training" else _serve_row(record, name))
    if not rows:
        raise InputError(f"{where}: holds no rows", fix="give a file with one JSON object per line")
    return tuple(rows)


def read_rows(path: str | Path) -> tuple[TruthRow, ...]:
    """Rows from a file of JSON lines, packed with gzip or not.

    Raises:
        InputError: there is no such file, it is a directory, empty, not text, or not such a file.
    """
    path = Path(path)
    where = str(path)
    if path.is_dir():
        raise InputError(f"{where}: is a directory", fix="give a file with one JSON object per line")
    if not path.exists():
        raise InputError(f"{where}: no such file", fix="give a file with one JSON object per line")
    try:
        raw = path.read_bytes()
        text = (_unpack(raw, where) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: is not text in UTF-8", fix="give a file with one JSON object per line") from error
    except (gzip.BadGzipFile, EOFError) as error:
        raise InputError(f"{where}: is a damaged gzip file", fix="pack it again, or give the plain file") from error
    except OSError as error:
        raise InputError(f"{where}: cannot be read ({error.strerror or error})", fix="check the file's permissions") from error
    return parse_rows(text.split("\n"), where)


def _unpack(raw: bytes, where: str) -> bytes:
    """Unpack gzip, refusing a file that would fill the memory."""
    import zlib

    unpacker = zlib.decompressobj(wbits=31)
    try:
        text = unpacker.decompress(raw, _LARGEST_FILE_BYTES)
    except zlib.error as error:
        raise gzip.BadGzipFile(str(error)) from error
    if unpacker.unconsumed_tail:
        raise InputError(f"{where}: is larger than {_LARGEST_FILE_BYTES} bytes unpacked", fix="split it into smaller files")
    if not unpacker.eof:
        raise EOFError
    return text


@cache
def shipped_rows(phase: Phase) -> tuple[TruthRow, ...]:
    """The published measurements that come with the package."""
    return read_rows(_DATA / f"{phase}.jsonl.gz")
