"""The offers that a schedule takes: what each asked, on which date, who published it, and how fast it comes."""

from __future__ import annotations

from collections.abc import Iterable

from suanzhang.catalog.sources import sources as all_sources
from suanzhang.money.procurement.places import base_name
from suanzhang.spec.buy import OfferTaken, PurchaseProblem, ScheduleRow


def offers_taken(problem: PurchaseProblem, rows: Iterable[ScheduleRow]) -> tuple[OfferTaken, ...]:
    """Each offer of which a schedule takes chips or tokens, in the order of the market."""
    taken = {row.offer for row in rows}
    titles = {key: one.title for key, one in all_sources().items()}
    found: dict[str, OfferTaken] = {}
    for offer in problem.offers:
        name = base_name(problem, offer.id)
        if name in taken and name not in found:
            price, lead = offer.price, offer.lead
            found[name] = OfferTaken(
                name, offer.kind, base_name(problem, offer.chip), price.value, price.unit, price.date, price.source,
                titles.get(price.source, price.source), price.grade, lead.median_months, lead.p90_months, lead.source,
                lead.grade, offer.term_months, offer.includes_host, price.note,
            )  # fmt: skip
    return tuple(found.values())
