"""The answer of ``plan``: trainings, services, purchases, power, money and what they rest on."""

from __future__ import annotations

from dataclasses import dataclass

from suanzhang.spec.buy import BuyResult
from suanzhang.spec.result import Header, Interval, Money, SourceUse
from suanzhang.spec.serve import Percentiles, Refusal, SizedService
from suanzhang.spec.train import TrainOption
from suanzhang.spec.trust import Flag
from suanzhang.spec.unit_costs import UnitCosts


@dataclass(frozen=True, slots=True)
class ChipRefusal:
    """A kind of chip that cannot carry a job or service, and why."""

    chip: str
    reason: str


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """One training in the plan.

    Args:
        name, model: what is trained.
        option: the chosen chip, count, layout and duration.
        start, finish: first and last month of the run, ISO.
        cost: the share of the plan's cost that its chip-months take.
        cost_interval: our uncertainty about it, in the same currency.
        alternatives: the best option on each other kind of chip.
        refused: kinds of chip that cannot do it.
    """

    name: str
    model: str
    option: TrainOption
    start: str
    finish: str
    cost: Money
    cost_interval: Interval
    alternatives: tuple[TrainOption, ...]
    refused: tuple[ChipRefusal, ...]


@dataclass(frozen=True, slots=True)
class FleetShare:
    """Chips of one kind that carry part of a service in its last month, and the share they carry."""

    chip: str
    chips: int
    share: float


@dataclass(frozen=True, slots=True)
class SimulatedLatency:
    """Latencies of one replica at the peak of the day by event simulation, beside those of the formulas.

    Args:
        chip: kind of chip of the replica.
        requests_per_s: arrivals at that replica.
        ttft_s, tpot_s, e2e_s: over requests.
        requests_simulated: how many were followed.
        simulated_s: time that they span.
        overloaded: the queue grew without end.
    """

    chip: str
    requests_per_s: float
    ttft_s: Percentiles
    tpot_s: Percentiles
    e2e_s: Percentiles
    requests_simulated: int
    simulated_s: float
    overloaded: bool


TOKENS = "tokens"
"""The kind of a part of a fleet that is bought as tokens."""


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """One service in the plan.

    Args:
        name, model: what is served.
        fleet: chips that carry it once it runs in full.
        full_from: first month in which all of the demand is carried; empty when never.
        served: share of the demand carried by month.
        sized: how the main kind of chip runs it (layout, engine settings, latencies, energy).
        options: the sizing on every kind of chip that can carry it.
        refused: kinds of chip that cannot, with the reason.
        cost: the share of the plan's cost that its chip-months take.
        cost_per_response: that cost over the responses given.
        cost_per_response_interval: our uncertainty about it.
        energy_j_per_response: chips, hosts and the building.
        energy_j_per_response_interval: our uncertainty about it.
        idle_fraction: share of the capacity that stands idle at the mean load.
        simulated: latencies of a replica on each kind of chip of the fleet by event simulation; empty unless asked for.
        cost_interval: our uncertainty about the cost.
        ttft_s_interval, tpot_s_interval, e2e_s_interval: our uncertainty about the mean latencies at peak.
        idle_fraction_interval: our uncertainty about the idle share.
    """

    name: str
    model: str
    fleet: tuple[FleetShare, ...]
    full_from: str
    served: tuple[float, ...]
    sized: SizedService
    options: tuple[SizedService, ...]
    refused: tuple[Refusal, ...]
    cost: Money
    cost_per_response: Money
    cost_per_response_interval: Interval
    energy_j_per_response: float
    energy_j_per_response_interval: Interval
    idle_fraction: float
    simulated: tuple[SimulatedLatency, ...] = ()
    cost_interval: Interval | None = None
    ttft_s_interval: Interval | None = None
    tpot_s_interval: Interval | None = None
    e2e_s_interval: Interval | None = None
    idle_fraction_interval: Interval | None = None

    @property
    def tokens_only(self) -> bool:
        """Whether others answer all of it: its sizing then says what chips of one's own would take, and nothing uses it."""
        return bool(self.fleet) and all(share.chip == TOKENS for share in self.fleet)


@dataclass(frozen=True, slots=True)
class ChipsRow:
    """Chips of one kind that can be used in one month, and how they are had."""

    month: str
    chip: str
    how: str
    chips: int


@dataclass(frozen=True, slots=True)
class PowerRow:
    """Draw of the site in one month, the building's overhead included [W], its energy, carbon and cost, each with its interval.

    ``tariff_per_kwh`` is the mean price that was paid: by the hours in which chips worked, where hours have prices.
    """

    month: str
    mean_w: float
    mean_w_interval: Interval
    peak_w: float
    limit_w: float | None
    energy_j: float
    carbon_kg: float
    peak_w_interval: Interval | None = None
    energy_j_interval: Interval | None = None
    carbon_kg_interval: Interval | None = None
    energy_cost: Money | None = None
    energy_cost_interval: Interval | None = None
    tariff_per_kwh: float | None = None


@dataclass(frozen=True, slots=True)
class CostLine:
    """One line of the bill over the whole plan."""

    name: str
    cost: Money
    cost_interval: Interval
    grade: str


@dataclass(frozen=True, slots=True)
class Flip:
    """What one change of the question does to the answer.

    Args:
        change: the change in words.
        cost: the cost of the plan after it; None when no plan exists then.
        cost_change_fraction: relative to the plan.
        chips_change: chips at the end, relative to the plan.
        effect: in words, such as a chip that is no longer chosen.
        cash: what is paid out after it; None when no plan exists then.
        cost_interval, cost_change_fraction_interval, cash_interval: our uncertainty; of the change, with the same futures
            for both plans.
    """

    change: str
    cost: Money | None
    cost_change_fraction: float | None
    chips_change: int | None
    effect: str
    cash: Money | None = None
    cost_interval: Interval | None = None
    cost_change_fraction_interval: Interval | None = None
    cash_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Risk:
    """One thing that can go wrong, with its size.

    Args:
        name: what.
        value: its size in ``unit``.
        unit: of the size.
        explanation: one sentence.
        value_interval: our uncertainty; None for a chance, a quoted delay and a count that the plan has decided.
    """

    name: str
    value: float
    unit: str
    explanation: str
    value_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class PlanResult:
    """The answer of ``plan``. Field names are the stable JSON keys.

    Args:
        header: version, catalog date, seed.
        title, market, site, currency, start, months: what was asked.
        cost, cost_interval: of the whole plan.
        budget: the limit; None without one.
        train, serve: the jobs and services.
        buy: the purchases over the months.
        chips: chips over the months.
        power: draw over the months.
        costs: the bill by line; it sums to ``cost``.
        binding: what decides the answer.
        flips: what would change it.
        risks: what can go wrong.
        warnings: what a reader must know.
        sources: what the plan rests on.
        cash, cash_interval: what is paid out over the plan; a budget limits this.
        value_left, value_left_interval: what the chips that are still there would fetch at the end.
        waiting, waiting_interval: the price that is put on demand not carried; nothing is paid.
        weak_inputs: figures of grade unverified or assumed that weigh more than 5 % of an answer, the heaviest first.
        unit_costs: of every job, and of the whole plan as the last one.
    """

    header: Header
    title: str
    market: str
    site: str
    currency: str
    start: str
    months: int
    cost: Money
    cost_interval: Interval
    budget: Money | None
    train: tuple[TrainingPlan, ...]
    serve: tuple[ServicePlan, ...]
    buy: BuyResult
    chips: tuple[ChipsRow, ...]
    power: tuple[PowerRow, ...]
    costs: tuple[CostLine, ...]
    binding: tuple[str, ...]
    flips: tuple[Flip, ...]
    risks: tuple[Risk, ...]
    warnings: tuple[str, ...]
    sources: tuple[SourceUse, ...]
    cash: Money | None = None
    cash_interval: Interval | None = None
    value_left: Money | None = None
    value_left_interval: Interval | None = None
    waiting: Money | None = None
    waiting_interval: Interval | None = None
    weak_inputs: tuple[Flag, ...] = ()
    unit_costs: tuple[UnitCosts, ...] = ()
