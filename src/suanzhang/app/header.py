"""The header that every result starts with."""

from __future__ import annotations

import suanzhang
from suanzhang.catalog import CATALOG_DATE
from suanzhang.spec.result import Header


def header(seed: int = 0) -> Header:
    """Version, catalog date and seed of a result made now."""
    return Header(suanzhang.__version__, CATALOG_DATE, seed)
