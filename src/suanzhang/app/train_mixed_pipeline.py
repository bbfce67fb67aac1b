"""Pipelines whose stages stand in pools of unlike chips: every cut, with layers in proportion to speed and memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations, product

from suanzhang.app.train_mixed_costs import CostCache, Links, PoolArgs, PoolCosts, hidden_share, pool_costs
from suanzhang.perf.mixed import unequal_pipeline_s, zone_message_s
from suanzhang.perf.training.feasible import REASONS, layout_reason
from suanzhang.perf.training.pack import layout_args
from suanzhang.perf.training.step import data_comm_s
from suanzhang.perf.training.traffic import optimizer_s
from suanzhang.search.split import LayerSplit, StageKind, split_layers
from suanzhang.spec.layout import Recompute, TrainLayout

RECOMPUTES: tuple[Recompute, ...] = ("none", "selective", "full")


@dataclass(frozen=True, slots=True)
class Means:
    """What the software of a pipeline over pools can do.

    Args:
        sp: shard norms over the tensor group.
        hides_messages: hide its share of the messages between stages; only where a user asked for a share.
    """

    sp: bool
    hides_messages: bool = False


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One pipeline over pools.

    Args:
        order: pools from the first stage to the last.
        layouts: part of each pool; ``pp`` are its own stages.
        layers: layers of each pool.
        memory_bytes: fullest chip of each pool.
        busy_s: time that the stages of each pool work in one step, mean over the stages [s].
        step_s: time of one step.
        terms: its parts [s].
    """

    order: tuple[PoolArgs, ...]
    layouts: tuple[TrainLayout, ...]
    layers: tuple[int, ...]
    memory_bytes: tuple[float, ...]
    busy_s: tuple[float, ...]
    step_s: float
    terms: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class _Cut:
    """A pipeline before the traffic of its gradients is added: its time so far is a lower bound of its step."""

    bound_s: float
    order: tuple[PoolArgs, ...]
    layouts: tuple[TrainLayout, ...]
    costs: tuple[PoolCosts, ...]
    split: LayerSplit
    owners: tuple[int, ...]
    stages: tuple[StageKind, ...]
    ends_bytes: tuple[float, ...]
    flow: tuple[tuple[str, float], ...]
    micro_batches: int


def best_pipeline(
    pools: tuple[PoolArgs, ...], links: Links, means: Means, pruned: Counter[str], cache: CostCache | None = None
) -> tuple[Pipeline | None, int]:
    """The fastest pipeline over all of the pools, each with its own tensor size; exact over the axes below.

    Axes: data ranks (the same in each pool), micro-batch, tensor size and stages of each pool, order of the pools,
    recompute. Optimizer states are sharded over the data ranks. Each pool works with as many whole stages as it has chips for.

    Args:
        pools: two pools or more.
        links: the link between zones.
        means: what the software can do.
        pruned: receives the count of pipelines left out, by reason.
        cache: costs of parts that are known, filled on; of the same pools and job, whatever its batch.

    Returns:
        The best, None when there is none, and how many were computed.
    """
    cuts: list[_Cut] = []
    cache = {} if cache is None else cache
    for order, layouts in _cuts(pools, means, pruned):
        cut = _flow(order, layouts, links, cache, pruned)
        if cut is not None:
            cuts.append(cut)
    best: Pipeline | None = None
    cuts.sort(key=lambda cut: cut.bound_s)
    for cut in cuts:
        if best is not None and cut.bound_s >= best.step_s:
            break
        whole = _finish(cut)
        if best is None or whole.step_s < best.step_s:
            best = whole
    return best, len(cuts)


def _cuts(
    pools: tuple[PoolArgs, ...], means: Means, pruned: Counter[str]
) -> Iterator[tuple[tuple[PoolArgs, ...], tuple[TrainLayout, ...]]]:
    """All cuts that divide."""
    shape, run = pools[0].packed.shape, pools[0].packed.run
    tensor = [_powers(int(min(pool.packed.run.domain, 16.0))) for pool in pools]
    whole = int(run.global_batch)
    for dp in (size for size in range(1, min(whole, min(pool.chips for pool in pools)) + 1) if whole % size == 0):
        for sizes in product(*tensor):
            stages = [pool.chips // (dp * tp) for pool, tp in zip(pools, sizes, strict=True)]
            if min(stages) < 1:
                pruned["a pool is smaller than tp x dp"] += 1
                continue
            if sum(stages) > shape.layers:
                pruned["fewer layers than stages"] += 1
                continue
            for micro_batch in (size for size in _powers(8) if whole % (dp * size) == 0):
                for recompute in RECOMPUTES:
                    layouts = tuple(
                        _part(tp, count, dp, micro_batch, recompute, means, int(shape.experts))
                        for tp, count in zip(sizes, stages, strict=True)
                    )
                    reason = _reason(pools, layouts)
                    if reason:
                        pruned[reason] += 1
                        continue
                    for chosen in permutations(range(len(pools))):
                        yield tuple(pools[i] for i in chosen), tuple(layouts[i] for i in chosen)


def _powers(limit: int) -> tuple[int, ...]:
    return tuple(2**k for k in range(max(limit, 1).bit_length()) if 2**k <= limit)


def _part(tp: int, pp: int, dp: int, micro_batch: int, recompute: Recompute, means: Means, experts: int) -> TrainLayout:
    ep = math.gcd(dp, experts) if experts else 1
    return TrainLayout(
        tp=tp, pp=pp, dp=dp, ep=ep, sp=means.sp and tp > 1, zero_stage=1 if dp > 1 else 0, micro_batch=micro_batch,
        recompute=recompute, schedule="1f1b", overlap_tp=True, overlap_pp=means.hides_messages,
    )  # fmt: skip


def _reason(pools: tuple[PoolArgs, ...], layouts: tuple[TrainLayout, ...]) -> str:
    for pool, layout in zip(pools, layouts, strict=True):
        code = int(layout_reason(pool.packed.shape, pool.packed.run, layout_args(layout)))
        if code:
            return REASONS[code]
    return ""


def _flow(
    order: tuple[PoolArgs, ...],
    layouts: tuple[TrainLayout, ...],
    links: Links,
    cache: CostCache,
    pruned: Counter[str],
) -> _Cut | None:
    """Layers over the stages, and the time of the micro-batches."""
    costs = []
    for pool, layout in zip(order, layouts, strict=True):
        key = (pool.index, layout.tp, layout.dp, layout.micro_batch, layout.recompute)
        if key not in cache:
            cache[key] = pool_costs(pool.packed, layout)
        costs.append(cache[key])
    batch = order[0].packed.run.global_batch
    micro_batches = int(batch // (layouts[0].dp * layouts[0].micro_batch))
    crossing = [_crossing(order, costs, layouts, links, i) for i in range(len(order) - 1)]
    owners, stages, ends = _stages(order, layouts, costs, [exposed for exposed, _ in crossing], micro_batches)
    split = split_layers(int(order[0].packed.shape.layers), stages)
    if split is None:
        pruned["memory"] += 1
        return None
    pace = max([split.pace_s, *[busy for _, busy in crossing]])
    work = sum(k.count * k.fixed_s + held * k.layer_s for k, held in zip(stages, split.layers, strict=True))
    steady = micro_batches * pace
    whole = unequal_pipeline_s(float(micro_batches), pace, work, split.pace_s)
    chips = sum(layout.chips for layout in layouts)
    nodes = chips / min(pool.packed.run.domain for pool in order)
    jitter = max(pool.packed.fit.jitter for pool in order) * (math.log2(nodes) if nodes > 1.0 else 0.0)
    overhead = max(pool.packed.run.step_overhead_s for pool in order)
    bound = (whole + overhead) * (1.0 + jitter)
    flow = (("slowest_stage_s", steady), ("fill_and_drain_s", whole - steady), ("overhead_s", overhead), ("jitter", jitter))
    return _Cut(bound, order, layouts, tuple(costs), split, tuple(owners), tuple(stages), tuple(ends), flow, micro_batches)


def _crossing(
    order: tuple[PoolArgs, ...], costs: list[PoolCosts], layouts: tuple[TrainLayout, ...], links: Links, index: int
) -> tuple[float, float]:
    """Of the boundary after a pool: time that a micro-batch waits for both messages, and time that the link works at it."""
    here, there = order[index], order[index + 1]
    if here.zone == there.zone:
        return max(costs[index].message_s, costs[index + 1].message_s), 0.0
    size = costs[index].message_bytes
    busy = zone_message_s(size * layouts[index].dp, links.bytes_per_s, 0.0)
    shown = 1.0 - hidden_share(here.packed, layouts[index])
    return 2.0 * shown * zone_message_s(size * layouts[index].dp, links.bytes_per_s, links.latency_s), busy


def _stages(
    order: tuple[PoolArgs, ...],
    layouts: tuple[TrainLayout, ...],
    costs: list[PoolCosts],
    crossing: list[float],
    micro_batches: int,
) -> tuple[list[int], list[StageKind], list[float]]:
    """Stages by kind in the order of the pipeline, the pool that each stands in, and memory of embedding and head there."""
    total = sum(layout.pp for layout in layouts)
    owners: list[int] = []
    kinds: list[StageKind] = []
    ends: list[float] = []
    before = 0
    for place, (pool, layout, cost) in enumerate(zip(order, layouts, costs, strict=True)):
        flight = float(min(micro_batches, total - before))
        final = place == len(order) - 1
        single = {0: (cost.first_s, cost.first_bytes)} if place == 0 else {}
        extra, held = single.get(layout.pp - 1, (0.0, 0.0))
        single[layout.pp - 1] = (extra + cost.last_s, held + cost.last_bytes) if final else (extra + crossing[place], held)
        for stage, (fixed, more) in sorted(single.items()):
            message = 0.0 if stage == layout.pp - 1 else cost.message_s
            most = cost.most_layers(flight, more, pool.packed.run.hbm_bytes)
            kinds.append(StageKind(cost.layer_s, fixed + message, 1, most))
            owners.append(place)
            ends.append(more)
        inner = layout.pp - len(single)
        if inner:
            most = cost.most_layers(flight, 0.0, pool.packed.run.hbm_bytes)
            kinds.append(StageKind(cost.layer_s, cost.message_s, inner, most))
            owners.append(place)
            ends.append(0.0)
        before += layout.pp
    return owners, kinds, ends


def _finish(cut: _Cut) -> Pipeline:
    """The whole step: gradients inside each pool, the optimizer, and waiting for the slowest of many nodes."""
    data, optimizer = 0.0, 0.0
    layers, memory, busy = [], [], []
    total = sum(layout.pp for layout in cut.layouts)
    before = 0
    for place, (pool, layout, cost) in enumerate(zip(cut.order, cut.layouts, cut.costs, strict=True)):
        mine = [i for i, owner in enumerate(cut.owners) if owner == place]
        fullest = max(cut.split.fullest[i] for i in mine)
        packed = pool.packed
        row = layout_args(replace(layout, pp=max(total, 1)))
        ends = cost.embedding if place in (0, len(cut.order) - 1) else 0.0
        plain, routed = fullest * cost.plain + ends, fullest * cost.routed
        one = fullest * cost.layer_s
        data = max(
            data,
            data_comm_s(
                packed.shape, packed.run, row, packed.ops.link, packed.fit, plain, routed, float(cut.micro_batches),
                one / 3.0, one * 2.0 / 3.0, cut.flow[1][1],
            ),
        )  # fmt: skip
        ranks = float(layout.dp)
        expert_ranks = max(1.0, ranks * layout.tp / (row.ep * row.etp))
        updated = plain / ranks + routed / expert_ranks
        optimizer = max(optimizer, optimizer_s(updated, plain + routed, packed.run, packed.ops.memory))
        layers.append(sum(cut.split.layers[i] for i in mine))
        flight = float(min(cut.micro_batches, total - before))
        memory.append(max(cost.memory_bytes(cut.split.fullest[i], flight, cut.ends_bytes[i]) for i in mine))
        busy.append(cut.micro_batches * layers[-1] * cost.layer_s / layout.pp)
        before += layout.pp
    steady, fill, overhead, jitter = (value for _, value in cut.flow)
    plain_s = steady + fill + overhead + data + optimizer
    terms = (
        ("slowest_stage_s", steady),
        ("fill_and_drain_s", fill),
        ("data_comm_s", data),
        ("optimizer_s", optimizer),
        ("overhead_s", overhead),
        ("jitter_s", plain_s * jitter),
    )
    step = sum(value for _, value in terms)
    return Pipeline(cut.order, cut.layouts, tuple(layers), tuple(memory), tuple(busy), step, terms)
