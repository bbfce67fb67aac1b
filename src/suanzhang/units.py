"""Units: the only home of the powers of ten and two, of parsing quantities and of writing them.

Inside the package every value is a plain SI float whose name ends in its unit. Text such as ``60 MW``
or ``300B`` is read here, at the edge, and numbers are written back for people here.
"""

from __future__ import annotations

import math
import re
from typing import Literal

from suanzhang.errors import InputError

KILO = 1e3
MEGA = 1e6
GIGA = 1e9
TERA = 1e12
PETA = 1e15
KIB = 2.0**10
MIB = 2.0**20
GIB = 2.0**30
TIB = 2.0**40
GB = GIGA
TFLOP = TERA
BITS_PER_BYTE = 8.0
MICRO = 1e-6
MILLI = 1e-3
MINUTE_S = 60.0
HOUR_S = 3600.0
DAY_S = 86400.0
WEEK_S = 7.0 * DAY_S
YEAR_S = 365.25 * DAY_S
MONTH_S = YEAR_S / 12.0
J_PER_KWH = 3.6e6

Dimension = Literal["count", "time", "power", "energy", "bytes", "fraction", "flop"]

_COUNT = {"": 1.0, "k": KILO, "K": KILO, "m": MEGA, "M": MEGA, "B": GIGA, "b": GIGA, "G": GIGA, "T": TERA, "t": TERA}
_UNITS: dict[Dimension, dict[str, float]] = {
    "count": _COUNT,
    "time": {
        "": 1.0,
        "us": MICRO,
        "ms": MILLI,
        "s": 1.0,
        "sec": 1.0,
        "min": MINUTE_S,
        "h": HOUR_S,
        "d": DAY_S,
        "day": DAY_S,
        "days": DAY_S,
        "w": WEEK_S,
        "week": WEEK_S,
        "weeks": WEEK_S,
        "month": MONTH_S,
        "months": MONTH_S,
        "y": YEAR_S,
        "year": YEAR_S,
        "years": YEAR_S,
    },
    "power": {"": 1.0, "W": 1.0, "kW": KILO, "MW": MEGA, "GW": GIGA},
    "energy": {"": 1.0, "J": 1.0, "kWh": J_PER_KWH, "MWh": J_PER_KWH * KILO, "GWh": J_PER_KWH * MEGA},
    "bytes": {
        "": 1.0,
        "B": 1.0,
        "kB": KILO,
        "MB": MEGA,
        "GB": GIGA,
        "TB": TERA,
        "PB": PETA,
        "KiB": KIB,
        "MiB": MIB,
        "GiB": GIB,
        "TiB": TIB,
    },
    "fraction": {"": 1.0, "%": 0.01},
    "flop": {"": 1.0, "FLOP": 1.0, "TFLOP": TERA, "PFLOP": PETA, "EFLOP": 1e18, "ZFLOP": 1e21, "PFLOP-days": PETA * DAY_S},
}
_PATTERN = re.compile(r"^\s*([+-]?(?:\d[\d_,]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z%-]*)\s*$")


def parse_quantity(value: object, dimension: Dimension, where: str) -> float:
    """The SI value of a number or of text such as ``"60 d"``, ``"300B"``, ``"30e9"``, ``"60 MW"``.

    Args:
        value: what the user wrote.
        dimension: what kind of quantity is expected; it decides which unit names are read.
        where: the path of the key, for the error line.

    Returns:
        The value in SI units (seconds, watts, joules, bytes), or as a plain number for counts and fractions.

    Raises:
        InputError: the text is no number, its unit is not one of this dimension, or it is not finite.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise InputError(
            f"{where}: expected a {dimension}, got {_short(value)}", fix=f"write for example {_example(dimension)}"
        )
    if isinstance(value, (int, float)):
        number, unit = float(value), ""
    else:
        match = _PATTERN.match(value)
        if match is None:
            raise InputError(
                f"{where}: cannot read {_short(value)} as a {dimension}", fix=f"write for example {_example(dimension)}"
            )
        number, unit = float(match.group(1).replace("_", "").replace(",", "")), match.group(2)
    table = _UNITS[dimension]
    if unit not in table:
        known = ", ".join(name for name in table if name)
        raise InputError(
            f"{where}: {_short(value)} has the unit {unit!r}, which is no unit of {dimension}", fix=f"use one of {known}"
        )
    result = number * table[unit]
    if not math.isfinite(result):
        raise InputError(f"{where}: {_short(value)} is not a finite number", fix=f"write for example {_example(dimension)}")
    return result


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _example(dimension: Dimension) -> str:
    return {
        "count": "300B or 30e9",
        "time": "60 d or 200 ms",
        "power": "60 MW",
        "energy": "22 GWh",
        "bytes": "80 GB",
        "fraction": "0.1 or 10%",
        "flop": "3.14e23",
    }[dimension]


_PREFIXES = (
    (1e18, "E"),
    (1e15, "P"),
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "µ"),
    (1e-9, "n"),
)


def format_si(value: float, unit: str, digits: int = 3) -> str:
    """A value with an SI prefix and its unit, for people: ``format_si(6.0e7, "W") == "60.0 MW"``."""
    if value == 0.0 or not math.isfinite(value):
        return f"{value:g} {unit}".rstrip()
    scale, prefix = next(((s, p) for s, p in _PREFIXES if abs(value) >= s * 0.9995), _PREFIXES[-1])
    return f"{_significant(value / scale, digits)} {prefix}{unit}".rstrip()


def format_duration(seconds: float) -> str:
    """A duration in the unit that a person would choose: ``format_duration(172800.0) == "2.00 d"``."""
    if not math.isfinite(seconds):
        return f"{seconds:g} s"
    for scale, unit in ((DAY_S, "d"), (HOUR_S, "h"), (MINUTE_S, "min")):
        if abs(seconds) >= 2.0 * scale or (unit == "d" and abs(seconds) >= DAY_S):
            return f"{_significant(seconds / scale, 3)} {unit}"
    return format_si(seconds, "s")


def format_count(value: float) -> str:
    """A count with thousands separators: ``format_count(24000) == "24,000"``."""
    return f"{value:,.0f}"


def format_figure(value: float, unit: str) -> str:
    """A figure with its unit for a sentence: fractions as percent, money and counts with thousands separators.

    Example:
        >>> format_figure(0.4, "fraction"), format_figure(24000.0, "chips"), format_figure(1.5e9, "CNY")
        ('40 %', '24,000 chips', '1.50 billion CNY')
    """
    if unit == "fraction":
        return f"{_significant(100.0 * value, 2)} %"
    if unit == "s":
        return format_duration(value)
    for scale, word in ((GIGA, "billion"), (MEGA, "million")):
        if abs(value) >= scale:
            return f"{_significant(value / scale, 3)} {word} {unit}"
    return f"{_significant(value, 3)} {unit}" if abs(value) < 1000.0 else f"{value:,.0f} {unit}"


def _significant(value: float, digits: int) -> str:
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{decimals}f}"


_KEY_SUFFIXES: tuple[tuple[str, str], ...] = (
    ("_flop_per_s", "FLOP/s"),
    ("_bytes_per_s", "B/s"),
    ("_tokens_per_s_per_chip", "tokens/s/chip"),
    ("tokens_per_s_per_chip", "tokens/s/chip"),
    ("_tokens_per_s", "tokens/s"),
    ("requests_per_s", "requests/s"),
    ("_j_per_response", "J"),
    ("_j_per_output_token", "J"),
    ("_usd_per_chip_h", "USD/chip/h"),
    ("_cny_per_chip_h", "CNY/chip/h"),
    ("_kg_per_kwh", "kg/kWh"),
    ("_w_per_chip", "W"),
    ("_per_s", "1/s"),
    ("_bytes", "B"),
    ("_flop", "FLOP"),
    ("_pct", "%"),
    ("_fraction", "fraction"),
    ("_months", "months"),
    ("_days", "d"),
    ("_cny", "CNY"),
    ("_usd", "USD"),
    ("_kg", "kg"),
    ("_s", "s"),
    ("_w", "W"),
    ("_j", "J"),
)
_WHOLE_KEYS: dict[str, str] = {
    "days": "d",
    "mfu": "fraction",
    "hfu": "fraction",
    "months": "months",
    "gap": "fraction",
    "utilisation": "fraction",
}


def unit_of_key(key: str) -> str:
    """The unit that the name of a value ends in; "1" for a plain number."""
    if key in _WHOLE_KEYS:
        return _WHOLE_KEYS[key]
    return next((unit for suffix, unit in _KEY_SUFFIXES if key.endswith(suffix)), "1")


def in_words(key: str) -> str:
    """A key as words, its unit left out: ``step_s`` becomes ``step``."""
    return key.replace("_", " ").strip()
