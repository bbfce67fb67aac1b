"""Published facts about the levers of a service: since when, at what cost in quality, from whom."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suanzhang.catalog.quoted_yaml import load_yaml, read_quoted
from suanzhang.catalog.sources import figure_sources
from suanzhang.errors import CatalogError
from suanzhang.source import GRADES, Quoted, Source

_FILE = Path(__file__).resolve().parent / "data" / "levers.yaml"


@dataclass(frozen=True, slots=True)
class LeverFact:
    """What is published about one lever.

    Args:
        since: month in which engines first had it.
        quality: its cost in quality; empty where answers stay the same.
        source: key of the source.
        grade: how firm it is.
    """

    since: str
    quality: str
    source: str
    grade: str


@dataclass(frozen=True, slots=True)
class Score:
    """The published score of a model on one test, its month, and the format of its weights where that is not 16 bit."""

    model: str
    quoted: Quoted
    released: str
    weights: str = ""


@functools.cache
def _raw() -> dict[str, Any]:
    return dict(load_yaml(_FILE))


def lever_sources() -> Mapping[str, Source]:
    """The sources that levers may name, by key."""
    return figure_sources()


@functools.cache
def lever_facts() -> dict[str, LeverFact]:
    """The levers by name.

    Raises:
        CatalogError: a lever has no source, month or grade.
    """
    found = {}
    for name, row in _raw()["levers"].items():
        if row.get("source") not in lever_sources() or row.get("grade") not in GRADES or not row.get("since"):
            raise CatalogError(
                f"{_FILE.name}: lever {name!r} lacks since, source or grade", fix="a fact without origin is refused"
            )
        found[str(name)] = LeverFact(str(row["since"]), str(row.get("quality", "")), row["source"], row["grade"])
    return found


def quoted(group: str, name: str) -> Quoted:
    """One figure of the file, such as ``quoted("draft", "acceptance")``."""
    return read_quoted(_raw()[group][name], f"{_FILE.name}: {group}.{name}", lever_sources())


@functools.cache
def scores() -> dict[str, Score]:
    """Published scores of models on one test by model."""
    rows = dict(_raw()["scores"])
    unit = rows.pop("unit")
    found = {}
    for name, row in rows.items():
        plain = {key: value for key, value in row.items() if key not in ("released", "weights")}
        value = read_quoted({"unit": unit, **plain}, f"{_FILE.name}: scores.{name}", lever_sources())
        found[str(name)] = Score(str(name), value, str(row["released"]), str(row.get("weights", "")))
    return found
