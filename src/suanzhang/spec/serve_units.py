"""Unit economics of a service: what a response costs by the hour, what stands idle and why, and what would save."""

from __future__ import annotations

from dataclasses import dataclass

from suanzhang.spec.result import Header, Interval, Money
from suanzhang.spec.serve_improve import Deployment
from suanzhang.spec.trust import Flag


@dataclass(frozen=True, slots=True)
class HourCost:
    """One hour of the day, or one tier of hours.

    Args:
        name: such as "12:00" or "peak".
        hours: that it stands for.
        requests_per_s: mean rate in it.
        utilisation: of what the chips carry within the targets.
        ttft_p99_s, tpot_p99_s: simulated latencies.
        energy_j_per_response: chips only, idle ones included.
        energy_cost_per_response: at the tariff of the site, with its cooling.
        cost_per_response: rent of all chips over the responses of the hour; None where no rent is known.
        cost_per_mtoken: the same over a million output tokens.
        *_interval: our uncertainty; of money, the rent of the chips that would be needed.
    """

    name: str
    hours: float
    requests_per_s: float
    utilisation: float
    ttft_p99_s: float
    tpot_p99_s: float
    energy_j_per_response: float
    energy_cost_per_response: Money | None
    cost_per_response: Money | None
    cost_per_mtoken: Money | None
    utilisation_interval: Interval | None = None
    ttft_p99_s_interval: Interval | None = None
    tpot_p99_s_interval: Interval | None = None
    energy_j_per_response_interval: Interval | None = None
    energy_cost_per_response_interval: Interval | None = None
    cost_per_response_interval: Interval | None = None
    cost_per_mtoken_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class IdlePart:
    """Chips that are held for one reason.

    Args:
        reason: "mean load", "latency targets", "peak of the day" or "spares".
        chips: held for it.
        share: of all chips.
        cost_per_month: rent of them.
        *_interval: our uncertainty, were all sized for the capacity that there truly is.
    """

    reason: str
    chips: int
    share: float
    cost_per_month: Money | None
    chips_interval: Interval | None = None
    share_interval: Interval | None = None
    cost_per_month_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class UnitSaving:
    """One way to pay less for the same responses.

    Args:
        name: "off-peak release", "batch" or a format.
        words: how it was computed.
        saving_fraction: of the rent.
        saving_per_month: the same in money.
        ttft_p99_s: first token with it, over the day where it was simulated; 0 where it was not.
        meets_targets: whether that is still within the targets.
        quality: published cost in quality; empty without.
        *_interval: our uncertainty.
    """

    name: str
    words: str
    saving_fraction: float
    saving_per_month: Money | None
    ttft_p99_s: float = 0.0
    meets_targets: bool = True
    quality: str = ""
    saving_fraction_interval: Interval | None = None
    saving_per_month_interval: Interval | None = None
    ttft_p99_s_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class UnitsResult:
    """The answer of ``serve --by-hour``.

    Args:
        header: version, date, seed.
        service, model, chip: what is served with what.
        deployment: how.
        hours: the 24 hours of the day.
        tiers: peak, middle and night.
        day: the whole day.
        idle: what the chips are held for; the parts sum to all chips.
        savings: what would cost less.
        requests_simulated, wall_s: what the answer took.
        warnings: what a reader must know.
        weak_inputs: figures of grade unverified or assumed that weigh more than 5 % of an answer, the heaviest first.
    """

    header: Header
    service: str
    model: str
    chip: str
    deployment: Deployment
    hours: tuple[HourCost, ...]
    tiers: tuple[HourCost, ...]
    day: HourCost
    idle: tuple[IdlePart, ...]
    savings: tuple[UnitSaving, ...]
    requests_simulated: int
    wall_s: float
    warnings: tuple[str, ...] = ()
    weak_inputs: tuple[Flag, ...] = ()
