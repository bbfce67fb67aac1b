"""What can be had, where, when and for how much: offers, markets, sites, exchange rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from suanzhang.source import Quoted

OfferKind = Literal["buy", "lease", "reserve", "rent", "spot", "api"]


@dataclass(frozen=True, slots=True)
class LeadTime:
    """Months from order to use: a lognormal given by its median and 90th percentile."""

    median_months: float
    p90_months: float
    source: str
    grade: str


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to get one kind of chip (or tokens, for "api").

    Args:
        id: unique inside its market.
        kind: how the chip is had.
        chip: catalog id of the chip; for "api" the model id.
        price: per chip ("buy"), per chip-hour (all rents), or per million output tokens ("api"); unit names it
            (``CNY/chip``, ``USD/chip_h``, ``USD/Mtoken``).
        includes_host: whether the price of a chip that is bought or leased already holds its share of the server; fabric and
            storage are charged beside it all the same. Chips that are reserved or rented by the hour are whole.
        term_months: commitment; 0 for none.
        lead: months from order to use.
        stock_chips: how many can be had at once; None when not limited.
        stock_per_month: further ones each month; None when not limited.
        min_order_chips: smallest order; chips come in multiples of ``lot_chips``.
        lot_chips: multiple in which chips come (a node).
        first_month, last_month: months between which it can be ordered, ISO; empty for no limit.
        interruption_per_month: probability that a spot chip is taken back in a month.
        price_in: per million input tokens ("api"), in the unit of ``price``; None when input is not billed.
        note: what a buyer must know.
    """

    id: str
    kind: OfferKind
    chip: str
    price: Quoted
    includes_host: bool
    term_months: int
    lead: LeadTime
    stock_chips: float | None = None
    stock_per_month: float | None = None
    min_order_chips: int = 1
    lot_chips: int = 1
    first_month: str = ""
    last_month: str = ""
    interruption_per_month: float = 0.0
    note: str = ""
    price_in: Quoted | None = None


ExportState = Literal["open", "announced", "barred"]


@dataclass(frozen=True, slots=True)
class ExportChain:
    """The state of export rules for a kind of chip, and the chances that it changes within a year.

    Deliveries cross the border in the states open and announced. What is stopped comes when the state is open again, or is paid
    back where that is after the plan.

    Args:
        chip: catalog id; empty for every kind that is bought.
        state: today's.
        open_to_announced_per_year, open_to_barred_per_year, announced_to_barred_per_year, announced_to_open_per_year,
            barred_to_open_per_year: chance of each change within a year, were it the only one; without the last, barred holds
            to the end of a plan.
    """

    chip: str = ""
    state: ExportState = "open"
    open_to_announced_per_year: float = 0.0
    open_to_barred_per_year: float = 0.0
    announced_to_barred_per_year: float = 0.0
    announced_to_open_per_year: float = 0.0
    barred_to_open_per_year: float = 0.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is expected of the prices of one kind of chip, in place of what the market expects of all.

    Args:
        chip: catalog id.
        price, rent: factor on today's price by month; empty for that of the market.
        price_sigma_per_year: spread of the logarithm of its prices over a year; None for that of the market.
    """

    chip: str
    price: tuple[float, ...] = ()
    rent: tuple[float, ...] = ()
    price_sigma_per_year: float | None = None


@dataclass(frozen=True, slots=True)
class Market:
    """The offers of one region at one date.

    Args:
        id: such as ``cn-2023-04``.
        region: ISO country code, decides which export events apply.
        date: month of the figures.
        currency: in which its offers are mostly priced.
        offers: all offers, those barred by export rules included (``excluded`` says why).
        excluded: offer or chip id to the reason that it cannot be had.
        price_change_per_year: expected yearly change of purchase prices, fraction.
        price_sigma_per_year: spread of the logarithm of prices over a year.
        bar_per_year: rate at which a new export rule stops what is still to be delivered; None where none threatens.
        return_per_year: rate at which a kind of chip that was stopped is let through again; None for never.
        outlook: what a question expects of kinds of chip.
        export: chances of export rules that a question names, in place of ``bar_per_year``.
    """

    id: str
    title: str
    region: str
    date: str
    currency: str
    offers: tuple[Offer, ...]
    excluded: Mapping[str, str] = field(default_factory=dict)
    price_change_per_year: Quoted | None = None
    price_sigma_per_year: Quoted | None = None
    bar_per_year: Quoted | None = None
    return_per_year: Quoted | None = None
    outlook: tuple[Outlook, ...] = ()
    export: tuple[ExportChain, ...] = ()


@dataclass(frozen=True, slots=True)
class Site:
    """A place with power and room.

    Args:
        id: such as ``cn-east``.
        tariff_per_kwh: price of energy, unit its currency.
        pue: total energy over energy of the machines.
        carbon_kg_per_kwh: carbon of the grid.
        power_limit_w: what the site can draw in all; None when not limited.
        room_per_kw_month: rent of the room per kW of machines and month, unit its currency; None when not priced.
        region: ISO country, decides which export events keep chips from it; empty when not known.
        tariff_by_hour: price of energy in each hour of the day, in the currency of ``tariff_per_kwh``, which is their mean;
            empty where all hours have one price.
    """

    id: str
    title: str
    tariff_per_kwh: Quoted
    pue: Quoted
    carbon_kg_per_kwh: Quoted
    power_limit_w: float | None = None
    room_per_kw_month: Quoted | None = None
    region: str = ""
    tariff_by_hour: tuple[float, ...] = ()
