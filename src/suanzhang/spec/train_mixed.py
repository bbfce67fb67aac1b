"""What one training over pools of unlike chips is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.result import Header, Interval, Term
from suanzhang.spec.trust import Flag

Way = Literal["pipeline", "data", "groups", "alone"]


@dataclass(frozen=True, slots=True)
class PoolShare:
    """What one pool does in a step.

    Args:
        chip: catalog id.
        chips: chips in use.
        zone: where the pool stands.
        layers: layers of the model that it holds.
        batch: sequences of a step that it works on.
        layout: its own part of the layout.
        busy_fraction: share of the step in which its stages work at their micro-batches.
        memory_bytes: memory of its fullest chip.
        busy_fraction_interval, memory_bytes_interval: our uncertainty about them.
    """

    chip: str
    chips: int
    zone: str
    layers: int
    batch: int
    layout: TrainLayout
    busy_fraction: float
    memory_bytes: float
    busy_fraction_interval: Interval | None = None
    memory_bytes_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class MixedOption:
    """One way to run the job.

    Args:
        way: "pipeline" (layers split over pools), "data" (batch split over pools), "groups" (batch split over groups of
            pools, layers split inside each) or "alone" (one pool).
        pools: what each pool does, in the order of the pipeline.
        chips: chips in use.
        step_s, step_s_interval: time of one optimizer step.
        days, days_interval: calendar time with failures.
        tokens_per_s: throughput while it runs.
        power_w: mean power of the chips and hosts.
        terms: named parts of the step [s].
        tokens_per_s_interval, power_w_interval: our uncertainty about them.
        fits_fraction: share of the cases of the intervals of their memory in which all of its pools fit.
    """

    way: Way
    pools: tuple[PoolShare, ...]
    chips: int
    step_s: float
    step_s_interval: Interval
    days: float
    days_interval: Interval
    tokens_per_s: float
    power_w: float
    terms: tuple[Term, ...]
    tokens_per_s_interval: Interval | None = None
    power_w_interval: Interval | None = None
    fits_fraction: float = 1.0


@dataclass(frozen=True, slots=True)
class MixedResult:
    """The answer of ``train`` for pools joined by ``+``. Field names are the stable JSON keys.

    Args:
        header: version, catalog date and seed.
        model, stack, precision: what was asked; one precision for all pools.
        between_bytes_per_s, between_s: rate and latency of the link between zones.
        best: the fastest way.
        options: the best of each way, and each pool alone, fastest first.
        gain_fraction: throughput of the best way over that of the best single pool, less one.
        apart_tokens_per_s: throughput of all pools together when each trains a model of its own.
        mixing_loss_fraction: share of that which the best mixed way loses; 0 when none mixes.
        layouts_evaluated: layouts whose time and memory were computed.
        search_s: time of the search.
        pruned: layouts left out, by reason.
        warnings: what a reader must know.
        sources: keys of the sources the answer rests on.
        gain_fraction_interval, apart_tokens_per_s_interval, mixing_loss_fraction_interval: our uncertainty about them; what is
            wrong for all pools alike cancels.
        weak_inputs: figures of grade unverified or assumed that weigh more than 5 % of the days of a pool on its own.
        global_batch: sequences of one step, given or assumed.
        riskier: a faster way that fits in fewer of the cases than asked; None when the fastest fits surely enough.
    """

    header: Header
    model: str
    stack: str
    precision: str
    between_bytes_per_s: float
    between_s: float
    best: MixedOption
    options: tuple[MixedOption, ...]
    gain_fraction: float
    apart_tokens_per_s: float
    mixing_loss_fraction: float
    layouts_evaluated: int
    search_s: float
    pruned: Mapping[str, int]
    warnings: tuple[str, ...]
    sources: tuple[str, ...] = ()
    gain_fraction_interval: Interval | None = None
    apart_tokens_per_s_interval: Interval | None = None
    mixing_loss_fraction_interval: Interval | None = None
    weak_inputs: tuple[Flag, ...] = ()
    global_batch: int = 0
    riskier: MixedOption | None = None
