"""What is known about single rows: why a prediction is far off, and what other planners predict for the same row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from suanzhang.errors import CatalogError

_DATA = Path(__file__).resolve().parent / "data"
_PEER_KEYS = ("name", "commit", "commit_date", "date", "metric", "unit", "grade", "source", "settings", "predictions")


@dataclass(frozen=True, slots=True)
class Peer:
    """Another planner that was run on published rows.

    Args:
        name, commit, commit_date: which program.
        date: of the run, ISO.
        metric: what it predicts, in SI units.
        settings: how it was run, in words.
        predictions: row id to what it predicts.
    """

    name: str
    commit: str
    commit_date: str
    date: str
    metric: str
    settings: str
    predictions: Mapping[str, float]


@cache
def peers() -> tuple[Peer, ...]:
    """The planners that were run on the shipped rows.

    Raises:
        CatalogError: an entry lacks its commit, date, unit, grade or source, or predicts nothing positive.
    """
    found = []
    for item in _read("peers.yaml").get("peers", []):
        missing = [key for key in _PEER_KEYS if not item.get(key)]
        if missing:
            raise CatalogError(f"peers.yaml: {item.get('name', 'a planner')} lacks {', '.join(missing)}")
        if any(not value > 0.0 for value in item["predictions"].values()):
            raise CatalogError(f"peers.yaml: {item['name']} predicts a time that is not positive")
        found.append(
            Peer(
                item["name"],
                str(item["commit"]),
                str(item["commit_date"]),
                str(item["date"]),
                item["metric"],
                item["settings"],
                {str(row): float(value) for row, value in item["predictions"].items()},
            )
        )
    return tuple(found)


@cache
def _explanations() -> Mapping[str, str]:
    return {str(row): str(text) for row, text in (_read("worst.yaml").get("rows") or {}).items()}


def explanation(row_id: str) -> str:
    """Why the prediction of a row is far off; empty when nobody has looked at it.

    An entry may stand for many rows by a ``*`` in its id; the longest entry that matches counts.
    """
    known = _explanations()
    if row_id in known:
        return known[row_id]
    found = [name for name in known if "*" in name and fnmatchcase(row_id, _literal(name))]
    return known[max(found, key=len)] if found else ""


def _literal(name: str) -> str:
    """The pattern with everything but the star taken as it stands."""
    return name.replace("[", "[[]").replace("?", "[?]")


def _read(name: str) -> dict[str, Any]:
    path = _DATA / name
    if not path.exists():
        return {}
    body: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return body
