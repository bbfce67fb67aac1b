"""The documents that a validation rests on: where its measured rows stand, and the timings behind its predictions."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from suanzhang.catalog.sources import source
from suanzhang.evidence.rows import TruthRow
from suanzhang.spec.result import SourceUse

TIMINGS = "aiconfigurator-2026"
"""The source of the kernel timings that every prediction starts from."""


def sources_of(rows: Iterable[TruthRow]) -> tuple[SourceUse, ...]:
    """Every source of measured rows, with how many of them of which phase, and that of the kernel timings.

    Args:
        rows: what is predicted and compared.
    """
    counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    urls: dict[str, str] = {}
    for row in rows:
        counts[row.source][row.phase] += 1
        urls[row.source] = urls.get(row.source) or row.url
    measured = tuple(
        SourceUse(
            key_of(title),
            title,
            urls[title],
            "measured",
            tuple(f"{count} {'row' if count == 1 else 'rows'} of {phase}" for phase, count in found.items()),
        )
        for title, found in sorted(counts.items())
    )
    return (*measured, timings("predictions"))


def timings(used_for: str) -> SourceUse:
    """The source of the kernel timings."""
    found = source(TIMINGS)
    return SourceUse(found.key, found.title, found.url, "measured", (f"kernel timings behind the {used_for}",))


def key_of(title: str) -> str:
    """A key for a document that is only known by its title.

    Example:
        >>> key_of("Touvron et al. 2023, Llama 2 (arXiv 2307.09288), Table 2")
        'touvron-et-al-2023-llama-2-arxiv-2307-09288-table-2'
    """
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "rows"
