"""The sources of all catalog values by key."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from suanzhang.catalog.quoted_yaml import load_yaml, read_sources
from suanzhang.errors import unknown_name
from suanzhang.source import Source

_DATA = Path(__file__).resolve().parent / "data"


@functools.cache
def catalog_sources() -> Mapping[str, Source]:
    """The sources of chips, models and stacks."""
    return MappingProxyType(read_sources(load_yaml(_DATA / "sources.yaml"), "sources.yaml"))


@functools.cache
def figure_sources() -> Mapping[str, Source]:
    """The sources that figures of chips may name: those of chips and models, and those of market prices."""
    found: dict[str, Source] = {}
    for path in sorted(_DATA.glob("*/sources.yaml")):
        found |= read_sources(load_yaml(path), path.parent.name)
    return MappingProxyType({**found, **catalog_sources()})


@functools.cache
def sources() -> Mapping[str, Source]:
    """Every source of the catalog by key, those of markets, sites, currencies and stacks included."""
    from suanzhang.catalog.sites import site_sources
    from suanzhang.catalog.stacks import stack_sources

    return MappingProxyType(dict(sorted({**site_sources(), **stack_sources(), **figure_sources()}.items())))


def source(key: str) -> Source:
    """One source by its key.

    Raises:
        CatalogError: the key is unknown; names the nearest ones.
    """
    found = catalog_sources().get(key) or sources().get(key)
    if found is None:
        raise unknown_name("source", key, sources())
    return found


def bibtex(keys: tuple[str, ...] = ()) -> str:
    """BibTeX entries of some sources, or of all.

    Args:
        keys: which sources; all when empty.
    """
    return entries([source(key) for key in keys] if keys else sources().values())


def entries(items: Iterable[Source]) -> str:
    """BibTeX entries of documents, of the catalog or not."""
    return "\n".join(_entry(item) for item in items)


def _entry(item: Source) -> str:
    fields = {"title": "{" + item.title + "}", "year": item.date[:4], "url": item.url, "note": item.date}
    lines = [f"  {name} = {{{_escaped(value)}}}," for name, value in fields.items() if value]
    return "\n".join([f"@misc{{{item.key},", *lines, "}"]) + "\n"


def _escaped(text: str) -> str:
    return "".join({"&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_"}.get(letter, letter) for letter in text)
