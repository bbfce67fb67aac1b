"""Data-parallel groups in pools of unlike chips: each pool holds the whole model and takes a share of the batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from suanzhang.app.train_mixed_costs import Links, PoolArgs
from suanzhang.app.train_model import Packed
from suanzhang.app.train_search import chip_counts, default_axes, search_layouts
from suanzhang.perf.mixed import pools_allreduce_s
from suanzhang.search.split import split_batch
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.stack import TrainStack

_GRID = 96
"""Shares of the batch that are looked at are multiples of one part in this many, or finer where the batch is small."""
_WINDOW = 0.3
"""How far from the share in proportion to speed shares are looked at, over the batch."""


@dataclass(frozen=True, slots=True)
class BatchSplit:
    """A batch split over pools.

    Args:
        shares: sequences of each pool.
        layouts: best layout of each pool for its share.
        own_s: step time of each pool by itself.
        across_s: time to add up gradients over the pools.
        step_s: time of one step.
    """

    shares: tuple[int, ...]
    layouts: tuple[TrainLayout, ...]
    own_s: tuple[float, ...]
    across_s: float
    step_s: float


class Curve:
    """Best step time of one pool by its share of the batch; each share is searched once.

    Args:
        pool: the pool.
        job: the job with its whole batch.
        stack: the software.
        repack: the job on the pool's chip as numbers.
        pruned: receives the count of layouts left out, by reason.
    """

    def __init__(
        self, pool: PoolArgs, job: TrainJob, stack: TrainStack, repack: Callable[[TrainJob], Packed], pruned: Counter[str]
    ) -> None:
        self._pool, self._job, self._stack, self._repack, self._pruned = pool, job, stack, repack, pruned
        self._found: dict[int, tuple[float, TrainLayout | None]] = {}
        self.evaluated = 0

    def at(self, share: int) -> tuple[float, TrainLayout | None]:
        """Step time [s] and layout for a share of the batch; infinite when none fits."""
        if share not in self._found:
            job = replace(self._job, global_batch=share)
            packed = self._repack(job)
            axes = default_axes(job, self._stack, self._pool.chips, int(packed.run.domain))
            searched = search_layouts(packed, job, axes, chip_counts(job, self._pool.chips, axes)[:1], 1)
            self.evaluated += searched.evaluated
            self._pruned.update(searched.pruned)
            found = (searched.step_s[0], searched.layouts[0]) if searched.layouts else (float("inf"), None)
            self._found[share] = found
        return self._found[share]


def best_batch_split(curves: tuple[Curve, ...], pools: tuple[PoolArgs, ...], batch: int, links: Links) -> BatchSplit | None:
    """The split of the batch whose slowest pool is fastest, over a grid of shares round those in proportion to speed.

    Args:
        curves: of each pool.
        pools: the pools.
        batch: sequences of a step.
        links: the link between zones.

    Returns:
        The split; None when a pool holds no share of the model.
    """
    even = max(1, batch // len(pools))
    speeds = [_speed(curve, even) for curve in curves]
    if min(speeds) <= 0.0:
        return None
    unit = max(1, batch // _GRID)
    while batch % unit:
        unit -= 1
    tables = []
    for curve, speed in zip(curves, speeds, strict=True):
        middle = batch * speed / sum(speeds)
        low, high = middle - _WINDOW * min(middle, batch - middle) - unit, middle + _WINDOW * min(middle, batch - middle) + unit
        shares = range(unit * max(1, int(low // unit)), min(batch, int(high) + 1), unit)
        tables.append({share: step for share in shares if (step := curve.at(share)[0]) < float("inf")})
    chosen = split_batch(batch, tables)
    if chosen is None:
        return None
    found = [curve.at(share) for curve, share in zip(curves, chosen, strict=True)]
    layouts = tuple(layout for _, layout in found if layout is not None)
    across = across_s([(pool,) for pool in pools], links)
    own = tuple(step for step, _ in found)
    return BatchSplit(chosen, layouts, own, across, max(own) + across)


def _speed(curve: Curve, share: int) -> float:
    """Sequences a second at about an even share of the batch."""
    for near in (share, *[share // 2**k * 2**k for k in range(1, 10)]):
        if near > 0 and curve.at(near)[1] is not None:
            return float(near / curve.at(near)[0])
    return 0.0


def across_s(groups: Sequence[tuple[PoolArgs, ...]], links: Links) -> float:
    """Time to add up the gradients of the whole model over groups of pools, each of which holds it once."""

    def ports(pool: PoolArgs) -> float:
        return pool.chips * pool.packed.ops.link.nic_bytes_per_s * pool.packed.ops.link.nic_efficiency

    pools = [pool for group in groups for pool in group]
    params = max(_params(pool.packed) for pool in pools)
    inside = min(sum(ports(pool) for pool in group) for group in groups)
    same = len({pool.zone for pool in pools}) == 1
    rate = inside if same else min(inside, links.bytes_per_s)
    wire = max(pool.packed.run.reduce_bytes for pool in pools)
    latency = pools[0].packed.ops.link.nic_base_s if same else links.latency_s
    return float(pools_allreduce_s(params * wire, len(groups), rate, latency))


def _params(packed: Packed) -> float:
    from suanzhang.perf.training.args import LayoutArgs
    from suanzhang.perf.training.params import (
        dense_layer_params,
        embedding_params,
        head_params,
        moe_layer_params,
        moe_layers,
        routed_params,
    )

    one = LayoutArgs(*[1.0] * 19)
    shape = packed.shape
    mixtures = moe_layers(shape)
    total = (shape.layers - mixtures) * dense_layer_params(shape, one) + embedding_params(shape, one) + head_params(shape, one)
    return float(total + (mixtures * (moe_layer_params(shape, one) + routed_params(shape, one)) if mixtures else 0.0))
