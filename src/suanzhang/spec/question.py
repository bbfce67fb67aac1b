"""The one question that every verb can be asked: what to train, what to serve, where, with what money, from when.

Models, chips, markets and sites are named, not resolved: the catalog is looked up by who answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from suanzhang.spec.job import LengthSpec, LoadSpec, Redundancy, SloSpec
from suanzhang.spec.market import ExportChain, OfferKind
from suanzhang.spec.tariff import HourPrice

HoldingKind = Literal["own", "lease", "reserve", "rent"]


@dataclass(frozen=True, slots=True)
class TrainAsk:
    """A training that is wanted; a zero or an empty text leaves the choice to the planner.

    Args:
        name: what the user calls it.
        model: catalog id, alias, or path of a Hugging Face ``config.json``.
        tokens: tokens to train on.
        deadline_s: longest duration allowed; None without a deadline.
        start: month of the earliest start, ISO; empty for the start of the plan.
        seq_len: tokens of one sequence.
        global_batch: sequences of one optimizer step.
        precision: dtype of the matrix arithmetic.
        optimizer, method, lora_rank: as in :class:`suanzhang.spec.job.TrainJob`.
        stack: id of the training software.
        overlap: share of each communication that may hide behind compute, as ``"dp=0.5,tp=0"``.
        routing: how tokens reach the experts, as ``"capacity=1.25,pad,imbalance=1.3"``.
        offload: whether optimizer states and activations may live in host memory.
        fit_confidence: share of cases in which a layout must fit the memory of its chips; None for the usual one.
        team: who is charged; empty when not said.
    """

    name: str
    model: str
    tokens: float
    deadline_s: float | None = None
    start: str = ""
    seq_len: int = 0
    global_batch: int = 0
    precision: str = ""
    optimizer: str = "adam"
    method: Literal["full", "lora", "qlora"] = "full"
    lora_rank: int = 0
    stack: str = ""
    overlap: str = ""
    routing: str = ""
    offload: bool = False
    fit_confidence: float | None = None
    team: str = ""


@dataclass(frozen=True, slots=True)
class PoolAsk:
    """Equal replicas that a service has.

    Args:
        chip: catalog id or alias.
        replicas: how many.
        role: "mixed", or "prefill" for prompts and "decode" for answers.
        layout: of a replica, such as ``tp=2``; empty for one chip.
    """

    chip: str
    replicas: int
    role: Literal["mixed", "prefill", "decode"] = "mixed"
    layout: str = ""


@dataclass(frozen=True, slots=True)
class ServeAsk:
    """A service that is wanted; an empty text leaves the choice to the planner.

    Args:
        name: what the user calls it.
        model: catalog id, alias, or path of a Hugging Face ``config.json``.
        requests_per_s: mean rate over the day.
        input_tokens, output_tokens: length distributions.
        load, slo, redundancy: as in :class:`suanzhang.spec.job.ServiceSpec`.
        weight_dtype, kv_dtype: precision of weights and cache.
        lossy_precision: whether the planner may choose 8-bit and 4-bit weights by itself.
        start: first month of service, ISO; empty for the start of the plan.
        stack: id of the engine generation.
        team: who is charged; empty when not said.
        waiting_price_per_month: price of a month in which all of it waits for chips, in the currency of the question, priced
            and never paid; None for one just above what chips that can be had would cost.
        pools: replicas that it has, followed by ``simulate``; a planner takes their kinds of chip alone. Empty for any.
    """

    name: str
    model: str
    requests_per_s: float
    input_tokens: LengthSpec
    output_tokens: LengthSpec
    load: LoadSpec = field(default_factory=LoadSpec)
    slo: SloSpec = field(default_factory=SloSpec)
    redundancy: Redundancy = field(default_factory=Redundancy)
    weight_dtype: str = ""
    kv_dtype: str = ""
    lossy_precision: bool = False
    start: str = ""
    stack: str = ""
    team: str = ""
    waiting_price_per_month: float | None = None
    pools: tuple[PoolAsk, ...] = ()


@dataclass(frozen=True, slots=True)
class WorksAsk:
    """Power and room that can be built on a site, in whole units. None is not said.

    Args:
        id: what it is called.
        power_w: power that one unit adds.
        racks: racks that one unit adds.
        cost: of one unit in the currency of the question; None for the published cost of a watt.
        months: from order to use; None for the published time.
        most: units at most.
    """

    id: str
    power_w: float
    racks: float = 0.0
    cost: float | None = None
    months: int | None = None
    most: int = 1


@dataclass(frozen=True, slots=True)
class SiteAsk:
    """The site: a catalog id, figures of the user that replace those of the catalog, or both. None is not said.

    Args:
        id: catalog id; empty for the usual site of the market.
        tariff_per_kwh: price of energy in the currency of the question.
        pue: total energy over energy of the machines.
        carbon_kg_per_kwh: carbon of the grid.
        power_limit_w: what the site can draw in all.
        room_per_kw_month: rent of the room per kW of machines and month, in the currency of the question.
        power_by_month: what the site can draw by month of the plan; the last value lasts.
        racks: racks by month, likewise; empty for no limit.
        works: power and room that can be built.
        exclude: chips that cannot stand there.
        tariff_by_hour: prices of energy by hours of the day; the flat price holds in the hours that none names.
    """

    id: str = ""
    tariff_per_kwh: float | None = None
    pue: float | None = None
    carbon_kg_per_kwh: float | None = None
    power_limit_w: float | None = None
    room_per_kw_month: float | None = None
    power_by_month: tuple[float, ...] = ()
    racks: tuple[float, ...] = ()
    works: tuple[WorksAsk, ...] = ()
    exclude: tuple[str, ...] = ()
    tariff_by_hour: tuple[HourPrice, ...] = ()


@dataclass(frozen=True, slots=True)
class OfferAsk:
    """An offer of the user: an id of the market changes that offer, another id adds one. None is not said.

    Args:
        id: offer id.
        kind, chip: as in :class:`suanzhang.spec.market.Offer`; needed for a new offer.
        price: per chip, chip-hour or million tokens by ``kind``; needed for a new offer.
        currency: of the price; empty for the currency of the question.
        includes_host: whether the price of a chip that is bought or leased holds its share of the server; fabric and storage
            are charged beside it.
        term_months, stock_chips, stock_per_month, min_order_chips, lot_chips: as in the market's offers.
        lead_months, lead_p90_months: months from order to use, median and 90th percentile.
        first_month, last_month: months between which it can be ordered, ISO.
        interruption_per_month: probability that a spot chip is taken back in a month.
        quoted: day or month of the price, ISO, whose rate turns another currency; empty for that of the market.
    """

    id: str
    kind: OfferKind | None = None
    chip: str = ""
    price: float | None = None
    currency: str = ""
    includes_host: bool | None = None
    term_months: int | None = None
    stock_chips: float | None = None
    stock_per_month: float | None = None
    min_order_chips: int | None = None
    lot_chips: int | None = None
    lead_months: float | None = None
    lead_p90_months: float | None = None
    first_month: str = ""
    last_month: str = ""
    interruption_per_month: float | None = None
    quoted: str = ""


@dataclass(frozen=True, slots=True)
class OutlookAsk:
    """What the user expects of the prices of one kind of chip.

    Args:
        chip: catalog id or alias.
        price, rent: price of a chip, and of a chip-hour, in the currency of the question, by month from the first one on; the
            last holds on. Empty for those of the market.
        price_change_per_year: expected yearly change of the purchase price; None for that of the market.
        price_sigma_per_year: spread of the logarithm of its prices over a year; None for that of the market.
    """

    chip: str
    price: tuple[float, ...] = ()
    rent: tuple[float, ...] = ()
    price_change_per_year: float | None = None
    price_sigma_per_year: float | None = None


@dataclass(frozen=True, slots=True)
class MarketAsk:
    """The market: a catalog id, offers of the user over it, and offers that are not to be used.

    Args:
        id: catalog id; empty when all offers are the user's own.
        offers: changed and added offers.
        exclude: ids of offers or chips that cannot be had.
        price_change_per_year, price_sigma_per_year: of all prices; None for those of the market.
        outlook: what is expected of kinds of chip.
        export: chances that rules stop a delivery.
    """

    id: str = ""
    offers: tuple[OfferAsk, ...] = ()
    exclude: tuple[str, ...] = ()
    price_change_per_year: float | None = None
    price_sigma_per_year: float | None = None
    outlook: tuple[OutlookAsk, ...] = ()
    export: tuple[ExportChain, ...] = ()


@dataclass(frozen=True, slots=True)
class Holding:
    """Chips that are there already: a plan starts from today's fleet.

    Args:
        chip: catalog id or alias.
        chips: how many.
        kind: owned, or held under a contract.
        since: month from which they can be used, ISO; empty for the start of the plan.
        until: last month of the contract, ISO; empty for no end.
        price_per_chip_h: running price of a contract in the currency of the question; 0 when owned.
        site: id of the site where owned ones stand; empty for the first.
    """

    chip: str
    chips: int
    kind: HoldingKind = "own"
    since: str = ""
    until: str = ""
    price_per_chip_h: float = 0.0
    site: str = ""


@dataclass(frozen=True, slots=True)
class ChipFilter:
    """Which chips may be planned with; empty tuples set no limit."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """One question file.

    Args:
        title: in words.
        currency: ISO code of the budget and of every price without its own.
        start: first month, ISO.
        months: length of the plan.
        train, serve: what is wanted.
        site: where.
        market: what can be had.
        budget: most that may have been paid out by any month, less what sales brought before; None without a limit.
        have: chips that are there already.
        chips: which chips may be used.
        seed: of every random stream.
        deep: simulate and solve in full instead of analytically.
        origin: name of the file that it was read from; empty when built in memory.
        sites: further sites, with what each can hold; chips of one's own may stand on any.
        move_cost_per_chip: price of moving a chip between sites, in the currency; None for the usual one.
        move_months: months in which a moved chip works nowhere; None for the usual ones, 0 or less for no moves.
        budget_by_month: most that may have been spent by the end of each month; empty without a limit.
        costs: figures that costs rest on, in place of ours, by key.
    """

    title: str
    currency: str
    start: str
    months: int
    train: tuple[TrainAsk, ...] = ()
    serve: tuple[ServeAsk, ...] = ()
    site: SiteAsk = field(default_factory=SiteAsk)
    market: MarketAsk = field(default_factory=MarketAsk)
    budget: float | None = None
    have: tuple[Holding, ...] = ()
    chips: ChipFilter = field(default_factory=ChipFilter)
    seed: int = 0
    deep: bool = False
    origin: str = ""
    sites: tuple[SiteAsk, ...] = ()
    move_cost_per_chip: float | None = None
    move_months: int | None = None
    budget_by_month: tuple[float, ...] = ()
    costs: tuple[tuple[str, float], ...] = ()
