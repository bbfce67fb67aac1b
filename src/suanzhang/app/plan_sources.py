"""What a plan rests on: prices and costs, chip figures, model shapes, software settings."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.sources import sources as known_sources
from suanzhang.catalog.stacks import serve_stack
from suanzhang.spec.buy import BuyResult
from suanzhang.spec.result import SourceUse

if TYPE_CHECKING:
    from suanzhang.app.plan import Sized


def plan_sources(sized: Sized, bought: BuyResult) -> tuple[SourceUse, ...]:
    """Every source with its weakest grade and what it was used for."""
    uses: dict[tuple[str, str], set[str]] = defaultdict(set)
    for name in sorted({row.chip for row in bought.schedule if row.chip}):
        for figure, quoted in find_chip(name).quotes.items():
            uses[quoted.source, quoted.grade].add(f"{figure} of {name}")
    for training in sized.trainings:
        uses[training.job.model.source, "published"].add(f"shape of {training.job.model.id}")
    for service in sized.services:
        uses[service.service.model.source, "published"].add(f"shape of {service.service.model.id}")
        for stack in sorted({option.stack for option in service.options}):
            uses[serve_stack(stack).source, "published"].add(f"settings of {stack}")
    known = known_sources()
    rest = [
        SourceUse(
            key, known[key].title if key in known else key, known[key].url if key in known else "", grade, tuple(sorted(what))
        )
        for (key, grade), what in sorted(uses.items())
        if key
    ]
    return (*bought.sources, *rest)
