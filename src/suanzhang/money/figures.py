"""The figures that costs rest on, each with unit, range, source and grade."""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from suanzhang.errors import CatalogError, unknown_name
from suanzhang.source import GRADES, Quoted

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


def figure(key: str) -> Figure:
    """One figure.

    Raises:
        CatalogError: there is none of this key.
    """
    if key not in figures():
        raise unknown_name("figure", key, figures())
    return figures()[key]
