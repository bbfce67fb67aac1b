"""What a question expects of its market: price paths, trends and spreads by kind of chip, and chances of export rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.currency import rate
from suanzhang.errors import InputError
from suanzhang.money.procurement.places import base_name
from suanzhang.money.procurement.scenarios import Uncertainty
from suanzhang.source import Quoted
from suanzhang.spec.buy import PurchaseProblem
from suanzhang.spec.market import ExportChain, Market, Offer, Outlook
from suanzhang.spec.question import MarketAsk, OutlookAsk, Question

_RENTS = ("rent", "spot", "lease", "reserve")
_WORDS = "given in the question"


def with_outlook(market: Market, ask: MarketAsk, question: Question) -> Market:
    """A market with what the question expects of it; offers of a chip with a path start at its first price.

    Raises:
        InputError: a path or rule is of a chip that the market does not offer, or two are of the same chip.
        CatalogError: a chip is not known; names the nearest.
    """

    def own(value: float | None, known: Quoted | None) -> Quoted | None:
        return known if value is None else Quoted(value, "1", "question", "assumed", question.start, _WORDS)

    for one in ask.outlook:
        market = _moved(market, one, question)
    chains = tuple(replace(chain, chip=find_chip(chain.chip).id) if chain.chip else chain for chain in ask.export)
    for names in ([chain.chip for chain in chains], [one.chip for one in market.outlook]):
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(
                f"market: {twice or 'all chips'} stand twice in its outlook or export rules", fix="keep one of them"
            )
    barred = {
        chain.chip: "barred by the export rules of the question"
        for chain in chains
        if chain.state == "barred" and not chain.barred_to_open_per_year
    }
    barred = {
        offer.id: why for offer in market.offers if offer.kind == "buy" and (why := barred.get(offer.chip) or barred.get(""))
    }
    return replace(
        market,
        price_change_per_year=own(ask.price_change_per_year, market.price_change_per_year),
        price_sigma_per_year=own(ask.price_sigma_per_year, market.price_sigma_per_year),
        export=chains,
        excluded={**market.excluded, **barred},
    )


def _moved(market: Market, ask: OutlookAsk, question: Question) -> Market:
    """A market with the outlook of one kind of chip."""
    chip = find_chip(ask.chip).id
    if all(offer.chip != chip for offer in market.offers):
        raise InputError(f"market.outlook: {chip} is not on offer", fix="add an offer of it, or name a chip of the market")
    offers, change = list(market.offers), ask.price_change_per_year
    for path, kinds, name in ((ask.price, ("buy",), "price"), (ask.rent, _RENTS, "rent")):
        if not path:
            continue
        mine = [index for index, offer in enumerate(offers) if offer.chip == chip and offer.kind in kinds]
        if not mine:
            raise InputError(f"market.outlook: no {name} of {chip} is on offer", fix=f"leave its {name} path out")
        now = {index: _in_currency(offers[index], market, question.currency) for index in mine}
        factor = path[0] / min(now.values())
        for index in mine:
            offer = offers[index]
            unit = f"{question.currency}/{offer.price.unit.partition('/')[2]}"
            price = Quoted(now[index] * factor, unit, "question", "assumed", question.start, _WORDS)
            offers[index] = replace(offer, price=price)
    prices = tuple(one / ask.price[0] for one in ask.price)
    if change is not None:
        prices = tuple((1.0 + change) ** (month / 12.0) for month in range(question.months))
    rents = tuple(one / ask.rent[0] for one in ask.rent)
    return replace(
        market, offers=tuple(offers), outlook=(*market.outlook, Outlook(chip, prices, rents, ask.price_sigma_per_year))
    )


def _in_currency(offer: Offer, market: Market, currency: str) -> float:
    given = offer.price.unit.partition("/")[0]
    return offer.price.value * rate(given, currency, offer.price.date or market.date).value


def with_paths(problem: PurchaseProblem, market: Market) -> PurchaseProblem:
    """A problem whose expected future has the paths of the question, where it gives some."""
    price, rent = paths_of(problem, market)
    return replace(problem, price_paths=price, rent_paths=rent)


def paths_of(problem: PurchaseProblem, market: Market) -> tuple[dict[str, tuple[float, ...]], dict[str, tuple[float, ...]]]:
    """Factors on today's price and rent by offer and month, where the question gives a path."""
    known = {one.chip: one for one in market.outlook}
    price: dict[str, tuple[float, ...]] = {}
    rent: dict[str, tuple[float, ...]] = {}
    for offer in problem.offers:
        one = known.get(base_name(problem, offer.chip))
        if one is not None and offer.kind == "buy" and one.price:
            price[offer.id] = _whole(one.price, problem.months)
        if one is not None and offer.kind in _RENTS and one.rent:
            rent[offer.id] = _whole(one.rent, problem.months)
    return price, rent


def _whole(path: tuple[float, ...], months: int) -> tuple[float, ...]:
    return (path + (path[-1],) * months)[:months]


def with_chances(found: Uncertainty, problem: PurchaseProblem, market: Market) -> Uncertainty:
    """What is uncertain, with the paths, spreads and export rules that a question gives in place of those of the market."""
    if not market.outlook and not market.export:
        return found
    priced = with_paths(problem, market)
    sigmas = {one.chip: one.price_sigma_per_year for one in market.outlook}
    sigma = {offer.id: own for offer in problem.offers if (own := sigmas.get(base_name(problem, offer.chip))) is not None}
    chains = _chains(problem, market)
    bars = {name: bar for name, bar in (found.bar_per_year or {}).items() if name not in chains}
    return replace(
        found,
        path={**priced.price_paths, **priced.rent_paths},
        sigma_by_offer=sigma,
        chains=chains,
        bar_per_year=bars or None,
    )


def _chains(problem: PurchaseProblem, market: Market) -> Mapping[str, ExportChain]:
    """The chain of each offer whose chips have yet to be delivered."""
    by_chip = {chain.chip: chain for chain in market.export}
    found = {}
    for offer in problem.offers:
        chain = by_chip.get(base_name(problem, offer.chip)) or by_chip.get("")
        if offer.kind == "buy" and chain is not None:
            found[offer.id] = chain
    return found
