"""The figures that costs rest on, each with unit, range, source and grade."""

from __future__ import annotations

import csv
import functools
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from suanzhang.errors import CatalogError, InputError, nearest_names, unknown_name
from suanzhang.source import GRADES, QUESTION, Quoted

DATA = Path(__file__).resolve().parent / "data"


@dataclass(frozen=True, slots=True)
class Figure:
    """A value with its range and its origin."""

    quoted: Quoted
    low: float
    high: float
    title: str
    url: str

    @property
    def value(self) -> float:
        """The value."""
        return self.quoted.value


@functools.cache
def figures() -> Mapping[str, Figure]:
    """All figures by key.

    Raises:
        CatalogError: one has no unit, source, grade or date.
    """
    found: dict[str, Figure] = {}
    with (DATA / "figures.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            missing = [key for key in ("value", "unit", "source", "grade", "date") if not row[key]]
            if missing or row["grade"] not in GRADES:
                raise CatalogError(f"figure {row['key']} has no {', '.join(missing) or 'known grade'}", fix="give its origin")
            quoted = Quoted(
                float(row["value"]),
                row["unit"],
                row["source"],
                row["grade"],  # type: ignore[arg-type]
                row["date"],
                row["note"],
            )
            low, high = float(row["low"] or quoted.value), float(row["high"] or quoted.value)
            found[row["key"]] = Figure(quoted, low, high, row["title"], row["url"])
    return MappingProxyType(found)


RESALE = "resale_per_year"
"""What a used chip keeps of its price in a year, in place of the curve of its family; no figure of ours."""
_SHARE = (0.0, 1.0)
_LIMITS: Mapping[str, tuple[float, float]] = {
    RESALE: (0.0, 2.0), "price_change_per_year": (-0.95, 5.0), "interest_per_year": _SHARE, "spares_per_year": _SHARE,
    "support_per_year": _SHARE, "idle_draw": _SHARE, "busy_draw": _SHARE, "peak_draw": _SHARE, "fleet_draw": _SHARE,
    "used_discount": _SHARE, "tax_shield": (0.0, 0.9), "tax_life_years": (1.0, 100.0),
    "tax_declining_per_year": (0.0, 0.95), "infra_life_months": (1.0, 600.0), "site_life_months": (1.0, 1200.0),
    "server_over_chip_power": (1.0, 10.0), "rack_power_w": (1.0, 1e7), "network_port_bytes_per_s": (1.0, 1e13),
    "network_tiers": (0.0, 5.0), "network_radix": (4.0, 4096.0), "network_oversubscription": (1.0, 100.0),
    "network_adapter_share": _SHARE,
}  # fmt: skip
"""What a figure may be; from 0 where it is not named."""
_GIVEN: ContextVar[Mapping[str, float]] = ContextVar("given", default=MappingProxyType({}))


def figure(key: str) -> Figure:
    """One figure: what the user gave in its place, else ours.

    Raises:
        CatalogError: there is none of this key.
    """
    if key not in figures():
        raise unknown_name("figure", key, figures())
    ours = figures()[key]
    value = _GIVEN.get().get(key)
    if value is None:
        return ours
    quoted = Quoted(value, ours.quoted.unit, QUESTION, "derived", "", "given in the question")
    return Figure(quoted, value, value, "Given in the question", "")


def given(key: str) -> float | None:
    """What the user gave for a key; None when nothing."""
    return _GIVEN.get().get(key)


@contextmanager
def instead(values: Mapping[str, float]) -> Iterator[None]:
    """Use the user's figures inside, in place of ours.

    Args:
        values: figures by key, in the units of ours.

    Raises:
        InputError: a key is unknown, or a value cannot be.
    """
    for key, value in values.items():
        check_given(key, value)
    token = _GIVEN.set(MappingProxyType(dict(values)))
    try:
        yield
    finally:
        _GIVEN.reset(token)


def check_given(key: str, value: float) -> None:
    """Refuse a figure that nobody knows, or a value that cannot be.

    Raises:
        InputError: says which.
    """
    known = (*figures(), RESALE)
    if key not in known:
        near = nearest_names(key, known)
        raise InputError(f"costs: unknown figure {key!r}", fix=f"did you mean {' or '.join(near) or known[0]}?")
    unit = "fraction" if key == RESALE else figures()[key].quoted.unit
    low, high = _LIMITS.get(key, (0.0, math.inf))
    if not low <= value <= high:  # also refuses what is no number
        words = f"from {low:g} to {high:g}" if math.isfinite(high) else f"at least {low:g}"
        raise InputError(
            f"costs.{key}: {value:g} cannot be", fix=f"give a number {words} {'' if unit == '1' else unit}".rstrip()
        )
