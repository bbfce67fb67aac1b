"""The answer of ``improve``: what each lever of a service saves at equal latency targets."""

from __future__ import annotations

from dataclasses import dataclass

from suanzhang.spec.result import Header, Interval, Money
from suanzhang.spec.serve import Percentiles
from suanzhang.spec.trust import Flag


@dataclass(frozen=True, slots=True)
class Deployment:
    """A service deployed in one way.

    Args:
        words: how, in words.
        chips: in all, by kind as ``"h100-sxm-80:64"``, spares included.
        replicas: of all roles, spares included.
        requests_per_s_per_replica: what one replica carries within the targets, as simulated.
        ttft_s, tpot_s, e2e_s: latencies at that rate.
        rent_per_month: of all chips; None where the rent of one is not known.
        cost_per_response: at the mean load.
        *_interval: our uncertainty; of chips (all kinds together) and replicas, those that would be needed.
    """

    words: str
    chips: tuple[str, ...]
    replicas: int
    requests_per_s_per_replica: float
    ttft_s: Percentiles
    tpot_s: Percentiles
    e2e_s: Percentiles
    rent_per_month: Money | None
    cost_per_response: Money | None
    chips_interval: Interval | None = None
    replicas_interval: Interval | None = None
    requests_per_s_per_replica_interval: Interval | None = None
    rent_per_month_interval: Interval | None = None
    cost_per_response_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Lever:
    """One change, simulated alone.

    Args:
        name: such as "fp8".
        words: what is changed, with the setting that was best.
        saving_fraction: share of the rent that it saves (of the chips, where no rent is known); negative when it costs.
        saving_per_month: the same in money.
        deployment: with this change alone; None when it cannot be done.
        quality: published cost in quality of the answers; empty where the answers stay the same.
        quality_source: where that stands.
        grade: how firm it is.
        since: month in which engines first had it.
        available: whether that was before the months asked about end.
        why_not: why it cannot be done, or is left out of the best combination.
        saving_fraction_interval, saving_per_month_interval: our uncertainty, errors of both deployments drawn together.
    """

    name: str
    words: str
    saving_fraction: float
    saving_per_month: Money | None
    deployment: Deployment | None
    quality: str = ""
    quality_source: str = ""
    grade: str = ""
    since: str = ""
    available: bool = True
    why_not: str = ""
    saving_fraction_interval: Interval | None = None
    saving_per_month_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the waterfall from today's deployment to the best combination.

    Args:
        name: of the lever.
        saving_per_month: that it adds to those before it.
        chips: after it.
        cost_fraction: rent after it over the rent at the start.
        *_interval: our uncertainty, errors of all deployments drawn together.
    """

    name: str
    saving_per_month: Money | None
    chips: int
    cost_fraction: float
    saving_per_month_interval: Interval | None = None
    chips_interval: Interval | None = None
    cost_fraction_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class ImproveResult:
    """The answer of the verb ``improve`` for one service.

    Args:
        header: version, date, seed.
        service, model, chip: what is served with what today.
        baseline: the service as it would be sized without any of the levers, confirmed by simulation.
        levers: each alone, the one that saves most first.
        combination: names of the levers that are best together.
        steps: the waterfall of the combination.
        combined: the service with all of them.
        saving_fraction: of the combination.
        saving_per_month: of the combination.
        requests_simulated, wall_s: what the answer took.
        warnings: what a reader must know.
        sources: keys of the sources, with their titles.
        saving_fraction_interval, saving_per_month_interval: our uncertainty about the saving of the combination.
        weak_inputs: figures of grade unverified or assumed that weigh more than 5 % of an answer, the heaviest first.
    """

    header: Header
    service: str
    model: str
    chip: str
    baseline: Deployment
    levers: tuple[Lever, ...]
    combination: tuple[str, ...]
    steps: tuple[Step, ...]
    combined: Deployment
    saving_fraction: float
    saving_per_month: Money | None
    requests_simulated: int
    wall_s: float
    warnings: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    saving_fraction_interval: Interval | None = None
    saving_per_month_interval: Interval | None = None
    weak_inputs: tuple[Flag, ...] = ()
