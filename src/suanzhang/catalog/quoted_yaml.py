"""Reads values with their origin from catalog YAML; a value without source, grade, unit or date is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from suanzhang.errors import CatalogError
from suanzhang.source import GRADES, Quoted, Source

_REQUIRED = ("value", "unit", "source", "grade", "date")
_ALLOWED = (*_REQUIRED, "note")


def load_yaml(path: Path) -> Mapping[str, Any]:
    """One YAML file of the catalog as a mapping.

    Raises:
        CatalogError: it is no mapping.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    raw = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    if not isinstance(raw, Mapping):
        raise CatalogError(f"{path.name} holds no mapping", fix="restore the file of the package")
    return raw


def read_quoted(raw: object, where: str, known_sources: Mapping[str, Source]) -> Quoted:
    """A :class:`Quoted` from its YAML mapping.

    Raises:
        CatalogError: a part is missing, unknown, or its source is not listed.
    """
    if not isinstance(raw, Mapping):
        raise CatalogError(f"{where}: a value needs {', '.join(_REQUIRED)}", fix="write it as a mapping")
    missing = [key for key in _REQUIRED if raw.get(key) in (None, "")]
    if missing:
        raise CatalogError(f"{where}: no {', '.join(missing)}", fix="a value without its origin is not accepted")
    unknown = [key for key in raw if key not in _ALLOWED]
    if unknown:
        raise CatalogError(f"{where}: unknown key {unknown[0]!r}", fix=f"use {', '.join(_ALLOWED)}")
    if raw["grade"] not in GRADES:
        raise CatalogError(f"{where}: unknown grade {raw['grade']!r}", fix=f"use one of {', '.join(GRADES)}")
    if raw["source"] not in known_sources:
        raise CatalogError(f"{where}: unknown source {raw['source']!r}", fix="list it among the sources")
    return Quoted(
        float(raw["value"]), str(raw["unit"]), str(raw["source"]), raw["grade"], str(raw["date"]), str(raw.get("note", ""))
    )


def read_sources(raw: Mapping[str, Any], where: str) -> dict[str, Source]:
    """Sources from a mapping of key to title, url and date.

    Raises:
        CatalogError: a source has no title.
    """
    found: dict[str, Source] = {}
    for key, row in raw.items():
        if not isinstance(row, Mapping) or not row.get("title"):
            raise CatalogError(f"{where}: source {key!r} has no title", fix="give it one")
        found[str(key)] = Source(str(key), str(row["title"]), str(row.get("url", "")), str(row.get("date", "")))
    return found
