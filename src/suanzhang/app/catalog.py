"""`catalog`: chips, models, offers, markets, sites, sources, stacks and figures of costs, every value with its source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import cast, get_args

from suanzhang.app.catalog_entries import (
    Entry,
    chip_entries,
    figure_entries,
    market_entries,
    model_entries,
    offer_entries,
    site_entries,
    source_entries,
    stack_entries,
)
from suanzhang.app.header import header
from suanzhang.catalog.sources import sources
from suanzhang.errors import unknown_name
from suanzhang.spec.catalog import CatalogKind, CatalogResult, Cell
from suanzhang.spec.result import SourceUse

_ENTRIES: Mapping[CatalogKind, Callable[[str], tuple[Entry, ...]]] = {
    "chips": chip_entries,
    "models": model_entries,
    "offers": offer_entries,
    "markets": market_entries,
    "sites": site_entries,
    "sources": source_entries,
    "stacks": stack_entries,
    "figures": figure_entries,
}


def show(kind: str, id: str | None = None) -> CatalogResult:
    """Entries of the catalog.

    Args:
        kind: chips, models, offers, markets, sites, sources, stacks or figures (what costs rest on).
        id: one entry, by id or another name (offers: also a market); all of them when None.

    Returns:
        One row per entry; for one entry also each of its values with unit, date, source and grade.

    Raises:
        CatalogError: no such kind or entry, with the nearest names.
    """
    chosen = _kind(kind)
    entries = _ENTRIES[chosen](id or "")
    columns = tuple(dict.fromkeys(key for entry in entries for key in entry.row))
    detailed = id is not None and id != "" and len(entries) == 1
    return CatalogResult(
        header=header(),
        kind=chosen,
        id=str(entries[0].row["id"]) if detailed else (id or ""),
        columns=columns,
        rows=tuple({key: entry.row.get(key) for key in columns} for entry in entries),
        values=entries[0].values if detailed else (),
        sources=_uses(entries),
        notes=entries[0].notes if detailed else (),
    )


catalog = show
"""The same under the name of the command."""


def _kind(text: str) -> CatalogKind:
    known = get_args(CatalogKind)
    word = text.strip().lower()
    for name in (word, word + "s"):
        if name in known:
            return cast("CatalogKind", name)
    raise unknown_name("kind of entry", text, known)


def _uses(entries: Iterable[Entry]) -> tuple[SourceUse, ...]:
    found: dict[str, tuple[str, list[str]]] = {}
    for entry in entries:
        for value in entry.values:
            _, names = found.setdefault(value.source, (value.grade, []))
            if value.name not in names:
                names.append(value.name)
    known = sources()
    return tuple(
        SourceUse(key, known[key].title, known[key].url, grade, tuple(names))
        for key, (grade, names) in sorted(found.items())
        if key in known
    )


def cells(result: CatalogResult) -> tuple[tuple[Cell, ...], ...]:
    """The rows as plain tuples in the order of the columns, for CSV."""
    return tuple(tuple(row[key] for key in result.columns) for row in result.rows)
