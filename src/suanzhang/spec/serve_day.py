"""A simulated day of a fleet, with all that happens to requests and replicas."""

from __future__ import annotations

from dataclasses import dataclass

from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.result import Header, Interval
from suanzhang.spec.serve import Percentiles
from suanzhang.spec.trust import Flag


@dataclass(frozen=True, slots=True)
class DayHour:
    """One hour of the day: decoding sequences and waiting requests of one replica, mean over the hour, with our intervals."""

    name: str
    running: float
    waiting: float
    running_interval: Interval | None = None
    waiting_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class DayPool:
    """Equal replicas of one chip and role.

    Args:
        chip, layout, replicas: what it is.
        role: "mixed", "prefill" or "decode".
        requests: that it was sent; ``share`` of all.
        capacity_requests_per_s: by formulas, of requests of mean length; ``found_requests_per_s`` what it answered.
        busy: share of the time in iterations.
        batch: decoding sequences of a replica, mean over busy time.
        found_before: share of the prompt tokens that were in its caches.
        overloaded: its queue grew without end.
        capacity_requests_per_s_interval, found_requests_per_s_interval, busy_interval, batch_interval: our uncertainty.
        failures, moved, timed_out: replicas that went down, requests that went elsewhere in the pool because of it, and
            requests that were given up after waiting.
        on_fraction: share of its replica-hours that were paid for, with our uncertainty.
    """

    chip: str
    layout: ServeLayout
    replicas: int
    role: str
    requests: int
    share: float
    capacity_requests_per_s: float
    found_requests_per_s: float
    busy: float
    batch: float
    found_before: float
    overloaded: bool
    capacity_requests_per_s_interval: Interval | None = None
    found_requests_per_s_interval: Interval | None = None
    busy_interval: Interval | None = None
    batch_interval: Interval | None = None
    failures: int = 0
    moved: int = 0
    timed_out: int = 0
    on_fraction: float = 1.0
    on_fraction_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class DayChance:
    """What chance leaves open in one figure: its mean over independent days, and the 95 % confidence interval of that mean.

    Args:
        name: of the figure.
        days: how many: days with seeds of their own, or the cells or batches of ``over``.
        value: mean over them, in ``unit``.
        value_interval: ends of the confidence interval, by Student's t; our own error is not in it.
        over: "days" with seeds of their own; "cells" of one long day, each with random numbers of its own; or "batches" of
            recorded requests, one after another.
    """

    name: str
    days: int
    value: float
    unit: str
    value_interval: Interval
    over: str = "days"


@dataclass(frozen=True, slots=True)
class DayResult:
    """The answer of ``simulate``.

    Args:
        header: version, date, seed.
        model, chip, engine, layout, weight_dtype, kv_dtype: what runs.
        replicas: of the fleet; ``replicas_followed`` of them were simulated with their share of the requests.
        cells: groups of at most 64 replicas, each behind its own router.
        router: inside a cell.
        requests, finished, timed_out, rejected, unfinished: what became of the requests that were followed.
        ttft_s, tpot_s, e2e_s: latencies over them.
        urgent_ttft_s: first token of the urgent ones; None when there were none.
        output_tokens_per_s: of the replicas followed.
        overloaded: the queue grew without end and the run was stopped.
        capacity_requests_per_s: of the whole fleet when overloaded; else the rate that was answered.
        meets_targets: latencies within the targets that were given.
        failures, moved: replicas that went down, and requests that went elsewhere because of it.
        preemptions: sequences that lost their pages.
        on_fraction: share of replica-hours that were paid for; 1 without automatic scaling.
        hours: batch and queue over the day.
        requests_simulated, simulated_s, wall_s: what the answer took.
        warnings: what a reader must know.
        warmup_s: beginning of the run, with engines still empty, that the latencies leave out.
        requests_counted: answered requests that are in the latencies.
        requests_per_s, isl, osl, peak_to_mean: the traffic: mean rate, mean tokens of prompts and answers, peak over mean.
        pools: where replicas of several chips or roles were named, or recorded requests replayed.
        chance: what further days with other seeds show; empty when one day alone was followed.
        *_interval: our uncertainty; of the replicas, those that would be needed, or those that were given.
        weak_inputs: figures of grade unverified or assumed that weigh more than 5 % of an answer, the heaviest first.
    """

    header: Header
    model: str
    chip: str
    engine: str
    layout: ServeLayout
    weight_dtype: str
    kv_dtype: str
    replicas: int
    replicas_followed: int
    cells: int
    router: str
    requests: int
    finished: int
    timed_out: int
    rejected: int
    unfinished: int
    ttft_s: Percentiles
    tpot_s: Percentiles
    e2e_s: Percentiles
    urgent_ttft_s: Percentiles | None
    output_tokens_per_s: float
    overloaded: bool
    capacity_requests_per_s: float
    meets_targets: bool
    failures: int
    moved: int
    preemptions: int
    on_fraction: float
    hours: tuple[DayHour, ...]
    requests_simulated: int
    simulated_s: float
    wall_s: float
    warnings: tuple[str, ...] = ()
    replicas_interval: Interval | None = None
    output_tokens_per_s_interval: Interval | None = None
    capacity_requests_per_s_interval: Interval | None = None
    on_fraction_interval: Interval | None = None
    weak_inputs: tuple[Flag, ...] = ()
    pools: tuple[DayPool, ...] = ()
    chance: tuple[DayChance, ...] = ()
    requests_per_s: float = 0.0
    isl: float = 0.0
    osl: float = 0.0
    peak_to_mean: float = 1.0
    warmup_s: float = 0.0
    requests_counted: int = 0
