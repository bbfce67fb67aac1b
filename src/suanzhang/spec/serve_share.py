"""Several services and trainings on one fleet: what sharing saves against chips of their own."""

from __future__ import annotations

from dataclasses import dataclass

from suanzhang.spec.result import Header, Interval, Money
from suanzhang.spec.trust import Flag


@dataclass(frozen=True, slots=True)
class AloneService:
    """A service on chips of its own, spares included.

    Args:
        name, model: what is served.
        chips, replicas: that it takes alone.
        words: how it runs.
        cost_per_month: rent of them; None where no rent is known.
        *_interval: our uncertainty; of counts, those that would be needed.
    """

    name: str
    model: str
    chips: int
    replicas: int
    words: str
    cost_per_month: Money | None
    chips_interval: Interval | None = None
    replicas_interval: Interval | None = None
    cost_per_month_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class SharingWay:
    """One way to share, with what it saves.

    Args:
        name: "one base model", "beside a larger model" or "training at night".
        words: what shares what.
        members: names of the services and trainings.
        chips_apart: that they take on chips of their own.
        chips_shared: that they take together.
        saved_chips: the difference; negative when sharing costs.
        saved_per_month: its rent; None where no rent is known.
        meets_targets: every member stays within its targets, as simulated.
        note: what was found, or why it cannot be.
        *_interval: our uncertainty, errors of both sides drawn together.
    """

    name: str
    words: str
    members: tuple[str, ...]
    chips_apart: int
    chips_shared: int
    saved_chips: int
    saved_per_month: Money | None
    meets_targets: bool = True
    note: str = ""
    chips_apart_interval: Interval | None = None
    chips_shared_interval: Interval | None = None
    saved_chips_interval: Interval | None = None
    saved_per_month_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class ShareResult:
    """The answer of ``serve --together``.

    Args:
        header: version, date, seed.
        chip: kind that everything runs on.
        alone: each service by itself.
        ways: of sharing, those that save most first.
        chips_apart: of all services, and of the trainings at the pace that they would have at night.
        chips_shared: with every way that saves and meets the targets.
        saved_chips: the difference.
        saved_per_month: its rent.
        requests_simulated, wall_s: what the answer took.
        warnings: what a reader must know.
        *_interval: our uncertainty about the totals.
        weak_inputs: figures of grade unverified or assumed that weigh more than 5 % of an answer, the heaviest first.
    """

    header: Header
    chip: str
    alone: tuple[AloneService, ...]
    ways: tuple[SharingWay, ...]
    chips_apart: int
    chips_shared: int
    saved_chips: int
    saved_per_month: Money | None
    requests_simulated: int
    wall_s: float
    warnings: tuple[str, ...] = ()
    chips_apart_interval: Interval | None = None
    chips_shared_interval: Interval | None = None
    saved_chips_interval: Interval | None = None
    saved_per_month_interval: Interval | None = None
    weak_inputs: tuple[Flag, ...] = ()
