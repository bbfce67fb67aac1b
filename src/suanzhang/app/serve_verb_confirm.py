"""What the user asked, and the event simulation that confirms or corrects the formulas."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from suanzhang.app.serve_estimate import estimate_serve
from suanzhang.app.serve_sim import simulate_serve
from suanzhang.app.serve_verb_way import plain, simulated_way
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import LengthSpec, SloSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.serve import OpenLoop, ServeEstimate, SizedService
from suanzhang.spec.serve_way import Draft, Prefix
from suanzhang.spec.stack import ServeStack

if TYPE_CHECKING:
    from suanzhang.app.traces import Trace

CACHED_SHARE = 0.5
"""Share of the cache pages that prefixes of finished requests hold beside the running ones [assumed]."""
PREFIX_SINCE = "2024-01"
"""Engines from this month on keep the prefixes of prompts."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What the user asked, looked up."""

    model: ModelSpec
    chip: ChipSpec
    stack: ServeStack
    weight_dtype: str
    kv_dtype: str
    input: LengthSpec
    output: LengthSpec
    slo: SloSpec
    seed: int
    requests: int
    hashes: Trace | None = None
    draft: Draft = field(default_factory=Draft)
    prefix: Prefix = field(default_factory=Prefix)


def targets_missed(found: ServeEstimate, slo: SloSpec) -> list[str]:
    """Names of the targets that an estimate misses."""
    pairs = {"ttft_p99_s": found.ttft_s.p99, "tpot_p99_s": found.tpot_s.p99}
    limits = {name: getattr(slo, name) for name in pairs}
    return [name for name, value in pairs.items() if limits[name] is not None and value > limits[name]]


def simulated(ask: Ask, layout: ServeLayout, estimate: ServeEstimate, rate: float) -> ServeEstimate:
    """The same replica with latencies of an event simulation, when one is asked for."""
    if ask.requests <= 0:
        return estimate
    if not plain(ask):
        return simulated_way(ask, layout, estimate, rate)
    work = OpenLoop(rate, ask.input, ask.output)
    found, _ = simulate_serve(
        ask.model, ask.chip, layout, ask.stack, estimate.weight_dtype, estimate.kv_dtype, work,
        requests=ask.requests, seed=ask.seed,
    )  # fmt: skip
    return found


def confirmed(ask: Ask, replica: ServeEstimate, peak: float, replicas: int) -> tuple[int, ServeEstimate]:
    """Replicas that meet the targets in the simulation too: the formulas are too hopeful near capacity."""
    count = replicas
    for _ in range(12):
        found = simulated(ask, replica.layout, replica, peak / count)
        if not (found.saturated or targets_missed(found, ask.slo)) or ask.requests <= 0:
            break
        count = max(count + 1, math.ceil(count * 1.08))
    if count > replicas:
        added = "1 replica was" if count - replicas == 1 else f"{count - replicas} replicas were"
        more = f"{added} added to the {replicas} of the formulas to meet the targets in the simulation"
        found = replace(found, warnings=(*found.warnings, more))
    return count, found


def cheapest_confirmed(
    ask: Ask, replica: ServeEstimate, peak: float, replicas: int, sized: SizedService | None
) -> tuple[int, ServeEstimate]:
    """The answer of the formulas as the simulation confirms it, or the next-best one when that then takes fewer chips."""
    started = time.perf_counter()
    count, best = confirmed(ask, replica, peak, replicas)
    for layout, dtype, chips in sized.alternatives if sized and count > replicas else ():
        if chips >= count * best.chips:
            continue
        work = OpenLoop(peak * layout.chips / chips, ask.input, ask.output)
        other = estimate_serve(ask.model, ask.chip, layout, ask.stack, dtype, best.kv_dtype, work)
        other_count, found = confirmed(ask, other, peak, chips // layout.chips)
        if other_count * layout.chips < count * best.chips:
            count, best = other_count, found
    return count, replace(best, wall_s=time.perf_counter() - started if best.requests_simulated else 0.0)


def hashes_of(trace: str, stack: ServeStack) -> Trace | None:
    """The trace with the hashes of its prompt blocks; None where it has none or the engine keeps no prefixes."""
    if not trace.endswith((".jsonl", ".ndjson")) or stack.released < PREFIX_SINCE:
        return None
    from suanzhang.app.traces import read_trace

    found = read_trace(trace)
    return found if len(found.blocks) else None
