"""From the names in a question to the jobs, services, market and site that they mean."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from suanzhang.app.buy import USUAL_SITE, site_in
from suanzhang.app.outlook import with_outlook
from suanzhang.app.serve_verb_lengths import hold_context
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.currency import rate
from suanzhang.catalog.markets import market as find_market
from suanzhang.catalog.markets import markets
from suanzhang.catalog.models import model as find_model
from suanzhang.catalog.sites import site as find_site
from suanzhang.catalog.stacks import serve_stack, serve_stacks
from suanzhang.errors import InputError
from suanzhang.money.procurement.calendar import month_name, month_number
from suanzhang.money.tariff import prices_by_hour
from suanzhang.source import Quoted
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import ServiceSpec
from suanzhang.spec.market import LeadTime, Market, Offer, Site
from suanzhang.spec.question import MarketAsk, OfferAsk, Question, ServeAsk, SiteAsk
from suanzhang.spec.stack import ServeStack

QUESTION = "question"
"""Key of the source of figures that the user gave."""
_ENGINES = ("vllm", "sglang", "trtllm")
"""Engines that a planner chooses among when none is named."""
_PRICE_UNIT = {"buy": "chip", "lease": "chip_h", "reserve": "chip_h", "rent": "chip_h", "spot": "chip_h", "api": "Mtoken"}


@dataclass(frozen=True, slots=True)
class World:
    """Where and with what a question is planned.

    Args:
        market: offers, those of the user included and those excluded left out.
        site: where the machines stand, money in the currency of the question.
        chips: kinds of chip on offer, by id.
        excluded: offer or chip id to the reason why it is not used.
    """

    market: Market
    site: Site
    chips: dict[str, ChipSpec]
    excluded: dict[str, str]


def month_index(start: str, month: str) -> int:
    """Months from ``start`` to ``month``, both ISO; 0 for an empty month."""
    return month_number(month) - month_number(start) if month else 0


def resolve_world(question: Question) -> World:
    """Market, site and kinds of chip of a question.

    Raises:
        CatalogError: a market, site or chip is not known; names the nearest.
        InputError: an offer lacks what a new offer needs, or nothing is on offer.
    """
    market = _market(question.market, question)
    site = question_site(question.site, market.region, question)
    excluded = dict(market.excluded)
    excluded.update(dict.fromkeys(question.market.exclude, "excluded by the question"))
    allow = {find_chip(name).id for name in question.chips.allow}
    deny = {find_chip(name).id for name in question.chips.deny}
    end = month_name(question.start, question.months - 1)
    offers = []
    for offer in market.offers:
        reason = excluded.get(offer.id) or excluded.get(offer.chip)
        if not reason and allow and offer.kind != "api" and offer.chip not in allow:
            reason = "not among the chips that the question allows"
        if not reason and offer.chip in deny:
            reason = "denied by the question"
        if not reason and (offer.first_month > end or (offer.last_month and offer.last_month < question.start)):
            reason = "not offered in the months of the plan"
        if reason:
            excluded[offer.id] = reason
        else:
            offers.append(offer)
    chips = {offer.chip: find_chip(offer.chip) for offer in offers if offer.kind != "api"}
    chips.update({spec.id: spec for spec in (find_chip(held.chip) for held in question.have)})
    if not chips:
        chips = _beside_tokens(question, market, offers)
    return World(replace(market, offers=tuple(offers)), site, chips, excluded)


def _beside_tokens(question: Question, market: Market, offers: list[Offer]) -> dict[str, ChipSpec]:
    """Kinds of chip to set beside tokens where nothing else is on offer: those let by the hour in the region at the time.

    No plan can use them: they only say what chips of one's own would take.

    Raises:
        InputError: tokens do not answer all that is asked.
    """
    sold = {offer.chip for offer in offers if offer.kind == "api"}
    wanted = {find_model(ask.model).id for ask in question.serve}
    if question.train or not wanted <= sold:
        tokens = "; tokens on offer carry neither trainings nor other models" if sold else ""
        raise InputError(
            f"no chip is on offer and none is owned{tokens}", fix="name another market, add an offer, or list what you have"
        )
    near = [one for one in markets().values() if one.region == market.region] or list(markets().values())
    known = min(near, key=lambda one: (one.date > question.start, abs(month_number(one.date) - month_number(question.start))))
    return {offer.chip: find_chip(offer.chip) for offer in known.offers if offer.kind == "rent"}


def _market(ask: MarketAsk, question: Question) -> Market:
    if ask.id:
        base = find_market(ask.id)
    else:
        region = "CN" if question.currency == "CNY" else "US"
        base = Market("question", "offers of the question", region, question.start, question.currency, ())
    offers = {offer.id: offer for offer in base.offers}
    for change in ask.offers:
        offers[change.id] = _offer(change, offers.get(change.id), question)
    return with_outlook(replace(base, offers=tuple(offers.values())), ask, question)


def _offer(ask: OfferAsk, known: Offer | None, question: Question) -> Offer:
    where = f"market.offers[{ask.id}]"
    if known is None and (ask.kind is None or not ask.chip or ask.price is None):
        raise InputError(
            f"{where}: a new offer needs kind, chip and price", fix="add them, or use the id of an offer of the market"
        )
    kind = ask.kind or (known.kind if known else "buy")
    name = ask.chip or (known.chip if known else "")
    price = known.price if known else Quoted(0.0, "", QUESTION, "assumed")
    if ask.price is not None:
        price = _asked_price(ask, ask.price, _PRICE_UNIT[kind], question)
    lead = known.lead if known else LeadTime(0.0 if kind in ("rent", "spot", "api") else 2.0, 4.0, QUESTION, "assumed")
    if ask.lead_months is not None:
        lead = LeadTime(ask.lead_months, max(ask.lead_p90_months or ask.lead_months, ask.lead_months), QUESTION, "assumed")
    chip_id = name if kind == "api" else find_chip(name).id
    server = 1 if kind == "api" else max(find_chip(chip_id).node.chips, 1)
    base = known or Offer(ask.id, kind, chip_id, price, kind != "buy", 0, lead, lot_chips=server)
    given = {
        key: getattr(ask, key)
        for key in (
            "includes_host", "term_months", "stock_chips", "stock_per_month", "min_order_chips", "lot_chips",
            "interruption_per_month",
        )
        if getattr(ask, key) is not None
    }  # fmt: skip
    given.update({key: getattr(ask, key) for key in ("first_month", "last_month") if getattr(ask, key)})
    return replace(base, kind=kind, chip=chip_id, price=price, lead=lead, **given)


def _asked_price(ask: OfferAsk, amount: float, per: str, question: Question) -> Quoted:
    """The price of a quote; one of a named day in another currency is turned at the rate of that day."""
    given, words = ask.currency or question.currency, "given in the question"
    if not ask.quoted or given == question.currency:
        return Quoted(amount, f"{given}/{per}", QUESTION, "assumed", ask.quoted or question.start, words)
    turned = rate(given, question.currency, ask.quoted)
    words = f"{words}: {amount:g} {given}/{per} at {turned.value:.4f} {turned.unit} of {ask.quoted}"
    return Quoted(amount * turned.value, f"{question.currency}/{per}", QUESTION, "assumed", ask.quoted, words)


def question_site(ask: SiteAsk, region: str, question: Question) -> Site:
    """A site of a question with its figures, money in the currency of the question."""
    base = site_in(find_site(ask.id or USUAL_SITE.get(region, "us-virginia")), question.currency, question.start)

    def own(value: float | None, known: Quoted, unit: str) -> Quoted:
        if value is None:
            return known
        return Quoted(value, unit, QUESTION, "assumed", question.start, "given in the question")

    currency = question.currency
    tariff = own(ask.tariff_per_kwh, base.tariff_per_kwh, f"{currency}/kWh")
    hours = prices_by_hour(ask.tariff_by_hour, tariff.value) if ask.tariff_by_hour else ()
    if hours:
        words = "mean over the hours of the day, given in the question"
        tariff = Quoted(sum(hours) / len(hours), tariff.unit, QUESTION, "assumed", question.start, words)
    return replace(
        base,
        tariff_per_kwh=tariff,
        tariff_by_hour=hours,
        pue=own(ask.pue, base.pue, "1"),
        carbon_kg_per_kwh=own(ask.carbon_kg_per_kwh, base.carbon_kg_per_kwh, "kg/kWh"),
        power_limit_w=base.power_limit_w if ask.power_limit_w is None else ask.power_limit_w,
        room_per_kw_month=None
        if base.room_per_kw_month is None
        else own(ask.room_per_kw_month, base.room_per_kw_month, f"{currency}/kW/month"),
    )


def service_spec(ask: ServeAsk) -> ServiceSpec:
    """The service that an ask means.

    Raises:
        InputError: the model is unknown, or its context is shorter than the mean request.
    """
    model = find_model(ask.model)
    hold_context(model, ask.input_tokens, ask.output_tokens)
    return ServiceSpec(
        ask.name, model, ask.requests_per_s, ask.input_tokens, ask.output_tokens, ask.load, ask.slo,
        ask.redundancy, ask.weight_dtype, ask.kv_dtype, ask.start, ask.lossy_precision,
    )  # fmt: skip


def engines_for(ask: ServeAsk, question: Question) -> tuple[ServeStack, ...]:
    """The engines that a service may run on: the one named, or the newest generations of the middle of the plan."""
    if ask.stack:
        return (serve_stack(ask.stack),)
    return engines_of(month_name(question.start, math.floor(question.months / 2)))


def engines_of(month: str) -> tuple[ServeStack, ...]:
    """The newest generation of each engine with continuous batching released by a month, or the first of all when none was."""
    continuous = [stack for stack in serve_stacks().values() if stack.engine in _ENGINES and stack.batching == "continuous"]
    newest: dict[str, ServeStack] = {}
    for stack in sorted(continuous, key=lambda stack: stack.released):
        if stack.released <= month:
            newest[stack.engine] = stack
    return tuple(newest.values()) or (min(continuous, key=lambda stack: stack.released),)


def runs_on(stack: ServeStack, chip: ChipSpec) -> bool:
    """Whether an engine exists for a chip: TensorRT-LLM only for chips of its maker."""
    return stack.engine != "trtllm" or chip.vendor == "NVIDIA"
