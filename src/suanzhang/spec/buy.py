"""What is to be procured over months, under which limits, and what the answer is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from suanzhang.source import Quoted
from suanzhang.spec.buy_monte import MonteCarlo
from suanzhang.spec.buy_worth import ActualRow, ChargeBack, Outcome, RentOrBuy, Swing, TwoWay
from suanzhang.spec.market import Offer
from suanzhang.spec.place import Moving, Place, PlaceState, SiteEnergy
from suanzhang.spec.result import Header, Interval, Money, SourceUse
from suanzhang.spec.tariff import EnergyBand, HourTariff
from suanzhang.spec.tax import TaxShield, TaxTerms
from suanzhang.spec.trust import Flag
from suanzhang.spec.unit_costs import UnitCosts

Action = Literal[
    "buy", "lease", "instalment", "reserve", "rent", "spot", "api", "run", "wait", "resell", "retire", "move", "build",
    "interest", "value at start", "value left",
]  # fmt: skip

LINES = (
    "chips",
    "hosts",
    "network",
    "storage",
    "room",
    "power",
    "spares",
    "support",
    "staff",
    "finance",
    "rent",
    "tokens",
    "site",
    "moving",
    "waiting",
    "value at start",
    "value left",
    "tax shield",
)
"""The lines of a total, in the order in which they are printed."""
NOT_CASH = ("finance", "waiting", "value at start", "value left", "tax shield")
"""Lines that are priced and not paid within the plan."""


@dataclass(frozen=True, slots=True)
class Need:
    """What one demand needs when it is met on one kind of chip alone.

    Args:
        chip: catalog id of the chip.
        chips: chips that must be there (peak traffic and redundancy included, for a service).
        busy: share of the time that they work, 0 to 1 (mean over peak, for a service).
        months: how long a run lasts on them; 0 for a service, which lasts as long as its demand.
        label: layout or engine settings in words.
        replica: chips of one replica of a service, which carries nothing on fewer; 0 where any part counts.
        filled: share of ``chips`` that level 1 would take if replicas could be split; the rest is there since they cannot.
    """

    chip: str
    chips: float
    busy: float = 1.0
    months: float = 0.0
    label: str = ""
    replica: float = 0.0
    filled: float = 1.0


@dataclass(frozen=True, slots=True)
class Demand:
    """A training run or a service, by what it needs on each kind of chip.

    A run picks one option and one start; a service may be spread over several kinds of chip. With one future its share on each
    counts in whole replicas, in the mean over many futures in proportion.

    Args:
        name: what the user calls it.
        kind: "train" or "serve".
        options: what it needs on each kind of chip; a run may have several options for one kind.
        first_month: first month in which a run may start, or a service is wanted (0 is the first of the plan).
        last_month: last month of a service; None for the end of the plan.
        level: size of a service by month of the plan relative to its options; empty for 1 throughout.
        due_month: a run must have ended by the end of this month; from this month on the whole of a service must stand
            and before it any part may wait at ``wait_price``. None: by the end of the plan for a run, from
            ``first_month`` on for a service.
        due_months: the same for a run as a duration from its ``first_month``, in months and fractions; None without.
        wait_price: price of a month in which the whole of it waits, in the currency of the problem.
        wait_priced: whether ``wait_price`` is given; if not, it is set just above what would end the waiting.
        wait_follows: whether the price was set so: it is then higher in futures in which that costs more.
        api_model: model id under which token offers can serve it; empty for none.
        api_mtokens: million output tokens a month at level 1.
        api_input_mtokens: million input tokens a month at level 1.
        growth_sigma_per_year: spread of the logarithm of its level over a year, for scenarios.
        work_by_hour: share of its work in each hour of the day; empty for all hours alike.
        interactive: whether people wait for its answers: its mean traffic then stays on chips that nobody takes back, and
            spot chips carry no more than the peak above it.
    """

    name: str
    kind: Literal["train", "serve"]
    options: tuple[Need, ...]
    first_month: int = 0
    last_month: int | None = None
    level: tuple[float, ...] = ()
    due_month: int | None = None
    due_months: float | None = None
    wait_price: float = 0.0
    api_model: str = ""
    api_mtokens: float = 0.0
    api_input_mtokens: float = 0.0
    growth_sigma_per_year: float = 0.0
    interactive: bool = True
    work_by_hour: tuple[float, ...] = ()
    wait_priced: bool = True
    wait_follows: bool = False


@dataclass(frozen=True, slots=True)
class ChipCosts:
    """What one chip of a kind costs beside its price, and what it draws; money in the currency of the problem.

    Args:
        chip: catalog id.
        host, network, storage: share of the server, the fabric and the storage, paid with the chip.
        room, spares, support, staff: per chip that stands on the site and month.
        idle_w, busy_w, peak_w: draw of one chip with its share of the server, before PUE: idle, at work, and what
            the power limit must hold.
        energy_per_kwh: price of energy.
        pue: total energy over energy of the machines.
        resale: what a used chip fetches at the end of each month, in shares of today's purchase price
            (first entry: now).
        infra_life_months: life over which hosts, network and storage lose their worth in a straight line.
        racks: share of a rack that one chip takes.
        tariff: prices of energy by the hour, whose mean is ``energy_per_kwh``, and when the chips work; None for one price.
        work_price: price of energy that work pays over the mean price.
        sources: origin of each figure by name.
    """

    chip: str
    host: float
    network: float
    storage: float
    room: float
    spares: float
    support: float
    staff: float
    idle_w: float
    busy_w: float
    peak_w: float
    energy_per_kwh: float
    pue: float
    resale: tuple[float, ...]
    infra_life_months: float = 60.0
    sources: Mapping[str, Quoted] = field(default_factory=dict)
    racks: float = 0.0
    tariff: HourTariff | None = None
    work_price: float = 1.0


@dataclass(frozen=True, slots=True)
class Holding:
    """Chips that are there already: owned, or under a contract that ends.

    Args:
        chip: catalog id.
        chips: how many.
        until_month: first month in which they are no longer there; None for good.
        owned: whether they are owned (can be resold, stand on the site) rather than rented.
        value_per_chip: price of a new one, on which the curve of used ones stands, where none is on offer; 0 when not known.
        from_month: first month in which they are there: an order that is still on its way.
        site: on which of several sites owned ones stand; empty for the first.
    """

    chip: str
    chips: float
    until_month: int | None = None
    owned: bool = True
    value_per_chip: float = 0.0
    from_month: int = 0
    site: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way in which the future may turn out.

    Args:
        weight: probability.
        price: factor on the purchase price by offer id and month.
        rent: factor on the rent by offer id and month.
        delay_months: months from order to use by offer id.
        barred_from: first month in which an offer can no longer be delivered, by offer id.
        barred_until: first month in which it can be delivered again; never where it is not named.
        growth: factor on the level by demand name and month.
        barred_again: first month of a second stop, which lasts, by offer id; never where it is not named.
    """

    weight: float
    price: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    rent: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    delay_months: Mapping[str, int] = field(default_factory=dict)
    barred_from: Mapping[str, int] = field(default_factory=dict)
    growth: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    barred_until: Mapping[str, int] = field(default_factory=dict)
    barred_again: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PurchaseProblem:
    """Demands, offers and limits over the months of a plan.

    Args:
        demands: what is wanted.
        offers: what can be had, prices in ``currency``; offers that are barred are left out before.
        costs: what chips cost beside their price, by chip id.
        months: length of the plan.
        start: first month, ISO.
        currency: of every amount.
        budget: cash that may have been paid by any month of any future, less what sales brought before; None for no limit.
        budget_by_month: cash that may have been spent by the end of each month (cumulative); empty for none.
        power_limit_w: largest draw of the (first) site, PUE included; None when not limited.
        have: chips that are there already.
        price_change_per_year: expected yearly change of purchase prices.
        interest_per_year: price of the capital that is tied up.
        resale_allowed: whether used chips may be sold during the plan.
        cvar_weight: weight of the mean of the worst tail against the mean of all, 0 to 1.
        cvar_tail: share of scenarios in that tail.
        gap: relative gap at which the solver may stop.
        time_limit_s: longest time of one solve.
        places: the sites; empty for one site of which only ``power_limit_w`` is known. Chips of others work together with
            those of the first site.
        moving: terms of moves between sites; None when chips stay where they are.
        tax: what taxes give back of deductible costs; None when no taxes are counted.
        price_paths, rent_paths: expected factor on the purchase price and on the rent of an offer by month, where these are
            not that of ``price_change_per_year`` and 1.
    """

    demands: tuple[Demand, ...]
    offers: tuple[Offer, ...]
    costs: Mapping[str, ChipCosts]
    months: int
    start: str
    currency: str
    budget: float | None = None
    budget_by_month: tuple[float, ...] = ()
    power_limit_w: float | None = None
    have: tuple[Holding, ...] = ()
    price_change_per_year: float = 0.0
    interest_per_year: float = 0.0
    resale_allowed: bool = True
    cvar_weight: float = 0.0
    cvar_tail: float = 0.05
    gap: float = 1e-4
    time_limit_s: float = 60.0
    places: tuple[Place, ...] = ()
    moving: Moving | None = None
    tax: TaxTerms | None = None
    price_paths: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    rent_paths: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def expected(self) -> Scenario:
        """The one future in which everything is as expected: wherever a single future is looked at, it is this one."""
        return Scenario(1.0, self.price_paths, self.rent_paths)


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """One action of one month; the costs of all rows sum to the cost of the plan.

    Args:
        month: ISO month.
        offer: offer id, or the name of a demand for "wait", or "own" for chips of one's own.
        action: what is done.
        chip: kind of chip; empty for "wait" and tokens.
        chips: how many (mean over scenarios for what is decided later).
        cost: in the currency of the problem; an income is negative.
        lines: the cost by line of :data:`LINES`.
        note: what a reader must know.
        site: where, when there are several sites.
        chips_interval: spread of ``chips`` over the futures; None where it is the same in all, as what is ordered is.
        lines_interval: our uncertainty about each of ``lines`` that is not 0; filled with ``cost_interval``.
    """

    month: str
    offer: str
    action: Action
    chip: str
    chips: float
    cost: Money
    lines: tuple[tuple[str, float], ...] = ()
    note: str = ""
    cost_interval: Interval | None = None
    site: str = ""
    chips_interval: Interval | None = None
    lines_interval: Mapping[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OfferTaken:
    """An offer that a schedule takes, and what its price and its delivery rest on.

    Args:
        offer: its id.
        kind: how the chip is had.
        chip: kind of chip; for "api" the model.
        price: as quoted, turned into the currency of the plan; paths of prices move it from there.
        unit: of the price.
        date: month or day that the price held.
        source, source_title, grade: where the price stands, and how firm it is.
        delivery_months, delivery_p90_months: months from order to use, median and one in ten.
        delivery_source, delivery_grade: where these stand, and how firm they are.
        term_months: commitment; 0 for none.
        includes_host: whether the price holds the share of the server.
        note: what else a reader must know of the price.
    """

    offer: str
    kind: str
    chip: str
    price: float
    unit: str
    date: str
    source: str
    source_title: str
    grade: str
    delivery_months: float
    delivery_p90_months: float
    delivery_source: str
    delivery_grade: str
    term_months: int
    includes_host: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class RunWindow:
    """When and on what a training run goes."""

    demand: str
    chip: str
    chips: float
    label: str
    start: str
    end: str
    months: float
    months_interval: Interval | None = None
    site: str = ""


@dataclass(frozen=True, slots=True)
class ServiceShare:
    """How much of a service stands on one kind of chip in one month ("" for tokens, "waiting" for what waits).

    Args:
        demand: the service.
        month: ISO month.
        chip: kind of chip.
        chips: how many (mean over scenarios).
        share: part of the service in this month; the parts of a month sum to 1.
        site: where, when there are several sites.
        size_factor: the same over the size of the service at level 1: it grows with the demand.
    """

    demand: str
    month: str
    chip: str
    chips: float
    share: float
    site: str = ""
    size_factor: float = 0.0


@dataclass(frozen=True, slots=True)
class Binding:
    """A limit that shapes the plan.

    Args:
        limit: which, in words.
        value: its value.
        unit: unit of the value.
        worth: what one more unit would save, in the currency of the problem: the shadow price of the linear programme in
            which starts of runs and sales stay as they are and lots may be split.
        kind: "budget", "power", "room", "stock" or "due".
        subject: the offer whose stock it is, or the service that is due; empty otherwise.
        one_more: what one more unit is, in words.
        step: a larger change of this limit alone, in words; empty where none was tried.
        step_saves: what the plan that is solved again under that change saves.
    """

    limit: str
    value: float
    unit: str
    worth: float
    kind: str
    worth_interval: Interval | None = None
    one_more: str = ""
    step: str = ""
    step_saves: Money | None = None
    step_saves_interval: Interval | None = None
    subject: str = ""


@dataclass(frozen=True, slots=True)
class MonthState:
    """What stands in one month: chips owned and rented by kind, draw, energy and its cost, carbon, cash."""

    month: str
    owned: Mapping[str, float]
    rented: Mapping[str, float]
    draw_w: float
    peak_w: float
    energy_j: float
    cash: float
    draw_w_interval: Interval | None = None
    peak_w_interval: Interval | None = None
    energy_j_interval: Interval | None = None
    cash_interval: Interval | None = None
    places: tuple[PlaceState, ...] = ()
    energy_cost: float = 0.0
    energy_cost_interval: Interval | None = None
    carbon_kg: float = 0.0
    carbon_kg_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class BuyResult:
    """The schedule, its cost and spread, what binds, and what waiting and knowing would be worth.

    Args:
        header: version, date of the catalog, seed.
        schedule: all rows; their costs sum to ``cost``.
        cost: the one total: equal to the objective, to the sum of the rows and to the sum of the lines.
        cost_mean: over the scenarios; equal to ``cost``.
        cost_p95: 95th percentile of the spread.
        cost_interval: spread over the scenarios, our physics included; with one, of this schedule as prices and all else move.
        cash: what is paid out over the plan: the cost without waiting, interest and value left.
        lines: cost by line.
        gap: relative gap between the cost and the bound that the solver proved.
        bound: that bound.
        vss: value of the stochastic solution; None when not computed.
        evpi: value of perfect information; None when not computed.
        value_of_waiting: what the best plan that orders nothing in the first month would save (negative: cost);
            None when not computed or no such plan exists.
        binding: limits that bind, the dearest first.
        solve_s: time of the main solve.
        runs: windows of the training runs.
        shares: services by month and chip.
        months: state of each month.
        sources: what the offers and costs rest on.
        warnings: what a reader must know.
        assumptions: figures of grade assumed that entered.
        scenarios: how many.
        budget: the limit of ``cash``; None when not limited.
        tail_mean: mean of the dearest futures, which the plan weighs by ``tail_weight``; None without a weight.
        tail_share: share of the futures in it.
        waiting: the price of what waits: part of ``cost``, never paid.
        interest: on the capital that is tied up: part of ``cost``, not of ``cash``.
        value_left: what chips and servers would fetch at the end, an income: part of ``cost``, not of ``cash``.
        value_of_firm_delivery: what dates that hold (delivery at its median) would save; None when not computed.
        rent_or_buy: break-even of each kind of chip that can be bought and rented.
        decision: how most chip-months are had, in words.
        swings: what each fact does to the plan, the largest first; empty when not computed.
        two_way: purchase price and rent changed together; empty when not computed.
        outcomes: the plan in each scenario; empty with one scenario.
        stopped: whether the user stopped the search at the best plan so far, or what is computed beside the plan.
        interrupted: whether the user stopped it before it had a plan: this is then the first one that was found.
        charge_back: cash and cost by training and service.
        actuals: the plan against what really happened; empty when nothing was given.
        monte_carlo: the plan held while all that is uncertain is drawn; None when not asked.
        *_interval: our uncertainty, from prices, the figures of the cost lines and our physics; filled by the verbs.
        weak_inputs: figures of grade unverified or assumed that weigh more than 5 % of an answer, the heaviest first.
        tax: what the tax shield is made of; None when no taxes are counted.
        unit_costs: of every job, and of the whole plan as the last one.
        energy: what is drawn at each price of energy; its costs sum to the line ``power``.
        carbon: energy, its cost and carbon by site; filled by the verbs.
        offers: the offers that the schedule takes, with the price and the date of each.
        title, market, site: what was asked; filled by the verb.
    """

    header: Header
    schedule: tuple[ScheduleRow, ...]
    cost: Money
    cost_mean: Money
    cost_p95: Money
    cost_interval: Interval
    cash: Money
    lines: Mapping[str, Money]
    gap: float
    bound: float
    solve_s: float
    vss: Money | None = None
    evpi: Money | None = None
    value_of_waiting: Money | None = None
    binding: tuple[Binding, ...] = ()
    runs: tuple[RunWindow, ...] = ()
    shares: tuple[ServiceShare, ...] = ()
    months: tuple[MonthState, ...] = ()
    sources: tuple[SourceUse, ...] = ()
    warnings: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    scenarios: int = 1
    budget: Money | None = None
    waiting: Money | None = None
    interest: Money | None = None
    value_left: Money | None = None
    value_of_firm_delivery: Money | None = None
    rent_or_buy: tuple[RentOrBuy, ...] = ()
    decision: str = ""
    swings: tuple[Swing, ...] = ()
    two_way: tuple[TwoWay, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    stopped: bool = False
    interrupted: bool = False
    charge_back: tuple[ChargeBack, ...] = ()
    actuals: tuple[ActualRow, ...] = ()
    monte_carlo: MonteCarlo | None = None
    tail_mean: Money | None = None
    tail_mean_interval: Interval | None = None
    tail_weight: float = 0.0
    tail_share: float = 0.0
    cost_mean_interval: Interval | None = None
    cash_interval: Interval | None = None
    lines_interval: Mapping[str, Interval] = field(default_factory=dict)
    waiting_interval: Interval | None = None
    interest_interval: Interval | None = None
    value_left_interval: Interval | None = None
    vss_interval: Interval | None = None
    evpi_interval: Interval | None = None
    value_of_waiting_interval: Interval | None = None
    value_of_firm_delivery_interval: Interval | None = None
    weak_inputs: tuple[Flag, ...] = ()
    tax: TaxShield | None = None
    unit_costs: tuple[UnitCosts, ...] = ()
    energy: tuple[EnergyBand, ...] = ()
    carbon: tuple[SiteEnergy, ...] = ()
    offers: tuple[OfferTaken, ...] = ()
    title: str = ""
    market: str = ""
    site: str = ""
