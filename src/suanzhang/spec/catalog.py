"""What a look-up in the catalog gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from suanzhang.spec.result import Header, SourceUse

CatalogKind = Literal["chips", "models", "offers", "markets", "sites", "sources", "stacks", "figures"]

Cell = str | float | int | bool | None
"""One cell of a catalog table; None where nobody has published the figure."""


@dataclass(frozen=True, slots=True)
class CatalogValue:
    """One value of one entry with its origin.

    Args:
        name: what it is, such as ``hbm_bytes`` or ``price.rent``.
        value: the figure or word.
        unit: SI unit or currency; "" for words.
        date: when it held.
        source: key of its source.
        grade: how far to trust it.
        note: disputing figures, terms and warnings.
    """

    name: str
    value: Cell
    unit: str
    date: str
    source: str
    grade: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class CatalogResult:
    """Entries of one kind, or one entry with every value's origin. Field names are the stable JSON keys.

    Args:
        header: version, catalog date and seed.
        kind: what was looked up.
        id: the entry, empty for the list of all.
        columns: names of the cells of a row, in order.
        rows: the entries, one map per row.
        values: every value of the one entry; empty for a list.
        sources: the sources that rows and values rest on.
        notes: what a reader must know about the one entry.
    """

    header: Header
    kind: CatalogKind
    id: str
    columns: tuple[str, ...]
    rows: tuple[Mapping[str, Cell], ...]
    values: tuple[CatalogValue, ...] = ()
    sources: tuple[SourceUse, ...] = ()
    notes: tuple[str, ...] = ()
