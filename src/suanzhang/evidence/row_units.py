"""Units in the keys of a row: a known quantity in a unit that is not read is named, never passed over."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

_TIME = "s|sec|secs|seconds?|ms|msec|milliseconds?|us|microseconds?|ns|min|minutes?|h|hours?"
_SIZE = "B|bytes?|kB|KB|KiB|MB|MiB|GB|GiB|TB|TiB|Gb|Gbit"
_RATE = "Bps|kBps|MBps|MBs|GBps|GBs|TBps|bps|Mbps|Gbps|Tbps|GiBps|GB_per_s|Gbit_per_s"
_QUANTITIES: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = (
    (re.compile(rf"(iter|step|iter_time|step_time)_({_TIME})"), ("iter_s",)),
    (re.compile(rf"(ttft)_({_TIME})(_mean|_p50|_p99)?"), ("ttft_ms",)),
    (re.compile(rf"(tpot|itl)_({_TIME})(_mean|_p50|_p99|_implied)?"), ("{0}_ms",)),
    (re.compile(rf"(e2e)_({_TIME})(_mean|_p50|_p99)?"), ("e2e_ms",)),
    (re.compile(rf"(batch_latency)_({_TIME})"), ("batch_latency_ms",)),
    (re.compile(rf"(mem|memory)_({_SIZE})"), ("mem_GB", "mem_GiB", "mem_MiB")),
    (re.compile(rf"(mem|memory)_({_SIZE})_total"), ("mem_GB_total",)),
)
_TOP: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = (
    (re.compile(rf"(intra_link)_({_RATE})"), ("intra_link_GBps",)),
    (re.compile(rf"(network)_({_RATE})_per_chip"), ("network_Gbps_per_chip",)),
)


def unread_units(record: Mapping[str, Any]) -> list[str]:
    """What a row states only in a unit that is not read: a clause for each such quantity that names its key.

    A quantity that stands in a read unit too is read, so that the other key is no problem.

    Args:
        record: one row as read from its line.

    Returns:
        Such as "measured.iter_ms is not read (give iter_s)"; empty when every unit is read.
    """
    measured = record.get("measured")
    inside = measured if isinstance(measured, dict) else {}
    found = _unread(inside, _QUANTITIES, "measured.")
    return found + _unread(record, _TOP, "")


_NUMBERS = re.compile(
    r"(derived_)?(iter_s|iter_s_from_blocks|tokens_per_s_per_chip|tokens_per_s_total)|samples_per_s|seq_per_s_total|tflops_per_chip"
    r"|mem_(GB|GiB|MiB|GB_total)|(tpot|ttft|itl|e2e)_ms(_mean|_p50|_p99|_implied)?|batch_latency_ms|(output|total)_tok_s(_per_chip)?"
    r"|req_s|j_per_output_token(_wall)?"
)
"""Keys of what was measured that hold one number above zero."""


def unusable_numbers(record: Mapping[str, Any]) -> list[str]:
    """What a row states to have measured where none of it is a number above zero: a clause for each such key.

    A row with one value that can be used is judged by it; the others of it are passed over.

    Args:
        record: one row as read from its line.
    """
    measured = record.get("measured")
    said: list[str] = []
    for key, value in (measured if isinstance(measured, dict) else {}).items():
        if value is None or not _NUMBERS.fullmatch(str(key)):
            continue
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0.0 < value < math.inf:
            return []
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            said.append(f"measured.{key} is not a number")
        else:
            said.append(f"measured.{key} is not above zero and finite")
    return said


def _unread(keys: Mapping[str, Any], quantities: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...], prefix: str) -> list[str]:
    said: list[str] = []
    for key, value in keys.items():
        for pattern, accepted in quantities:
            match = pattern.fullmatch(str(key))
            if match is None or value is None:
                continue
            tail = (match[3] or "") if pattern.groups > 2 else ""
            wanted = [name.format(match[1]) + tail for name in accepted]
            if not any(name in keys for name in wanted):
                said.append(f"{prefix}{key} is not read (give {' or '.join(wanted[:2])})")
    return said
