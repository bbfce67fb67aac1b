"""Sites by id: tariff, PUE, carbon and price of the room, each with its origin."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from suanzhang.catalog.quoted_yaml import load_yaml, read_quoted, read_sources
from suanzhang.errors import unknown_name
from suanzhang.source import Source
from suanzhang.spec.market import Site

_FILE = Path(__file__).resolve().parent / "data" / "sites" / "sites.yaml"


@functools.cache
def site_sources() -> Mapping[str, Source]:
    """The sources of the site figures."""
    return MappingProxyType(read_sources(load_yaml(_FILE)["sources"], "sites"))


@functools.cache
def sites() -> Mapping[str, Site]:
    """All sites by id.

    Raises:
        CatalogError: a figure has no source.
    """
    found: dict[str, Site] = {}
    for row in load_yaml(_FILE)["sites"]:
        values = {
            key: read_quoted(row[key], f"site {row['id']}: {key}", site_sources())
            for key in ("tariff_per_kwh", "pue", "carbon_kg_per_kwh", "room_per_kw_month")
        }
        found[row["id"]] = Site(
            row["id"],
            row["title"],
            values["tariff_per_kwh"],
            values["pue"],
            values["carbon_kg_per_kwh"],
            row.get("power_limit_w"),
            values["room_per_kw_month"],
            row["region"],
        )
    return MappingProxyType(found)


def site(name: str) -> Site:
    """The site with this id.

    Raises:
        CatalogError: there is none; names the nearest.
    """
    known = sites()
    key = name.strip().lower()
    if key not in known:
        raise unknown_name("site", name, known)
    return known[key]
