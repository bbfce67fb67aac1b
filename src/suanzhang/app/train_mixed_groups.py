"""Groups of pools side by side: layers are split inside a group, the batch over the groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from suanzhang.app.train_mixed_costs import CostCache, Links, PoolArgs
from suanzhang.app.train_mixed_data import Curve, across_s
from suanzhang.app.train_mixed_pipeline import Means, Pipeline, best_pipeline
from suanzhang.app.train_model import Packed
from suanzhang.spec.layout import TrainLayout

_GRID = 24
"""Shares of the batch of a group are multiples of one part in this many, or finer where the batch is small."""
_ROUNDS = 2
"""Times that the shares are set anew by the speeds that the groups showed at the last ones."""
NO_GAIN = "groups of pools side by side that cannot beat the best way"


@dataclass(frozen=True, slots=True)
class Part:
    """What one group does: a pool alone with its layout, or a pipeline over pools."""

    pools: tuple[PoolArgs, ...]
    batch: int
    step_s: float
    layout: TrainLayout | None = None
    pipeline: Pipeline | None = None


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups side by side.

    Args:
        parts: what each does.
        across_s: time to add up gradients over the groups.
        step_s: time of one step.
    """

    parts: tuple[Part, ...]
    across_s: float
    step_s: float


@dataclass
class GroupSearch:
    """What the groups of one question share.

    Args:
        batch: sequences of a step.
        links: the link between zones.
        means: what the software can do.
        pack: the job with a batch on the chip of a pool, as numbers.
        curve: best step time of a pool by its share.
        pruned: receives the count of what was left out, by reason.
        cache: costs of the parts of pools.
        evaluated: pipelines computed so far.
    """

    batch: int
    links: Links
    means: Means
    pack: Callable[[int, int], Packed]
    curve: Callable[[PoolArgs], Curve]
    pruned: Counter[str]
    cache: CostCache
    evaluated: int = 0

    def at(self, pools: tuple[PoolArgs, ...], share: int) -> Part | None:
        """The best of one group for a share of the batch; None when nothing fits."""
        if len(pools) == 1:
            step, layout = self.curve(pools[0]).at(share)
            return None if layout is None else Part(pools, share, step, layout)
        own = tuple(replace(pool, packed=self.pack(pool.index, share)) for pool in pools)
        found, computed = best_pipeline(own, self.links, self.means, self.pruned, self.cache)
        self.evaluated += computed
        return None if found is None else Part(own, share, found.step_s, pipeline=found)

    def best(self, groups: Sequence[tuple[PoolArgs, ...]], speeds: Sequence[float]) -> Groups | None:
        """Groups with shares of the batch in proportion to their speeds [sequences/s], set anew by what they reach."""
        unit = max(1, self.batch // _GRID)
        while self.batch % unit:
            unit -= 1
        across = across_s(groups, self.links)
        best: Groups | None = None
        seen: set[tuple[int, ...]] = set()
        for _ in range(_ROUNDS):
            shares = proportional(self.batch // unit, speeds)
            if shares is None or shares in seen:
                break
            seen.add(shares)
            parts = [self.at(group, share * unit) for group, share in zip(groups, shares, strict=True)]
            whole = [part for part in parts if part is not None]
            if len(whole) < len(parts):
                break
            step = max(part.step_s for part in whole) + across
            if best is None or step < best.step_s:
                best = Groups(tuple(whole), across, step)
            speeds = [part.batch / part.step_s for part in whole]
        return best


def proportional(units: int, speeds: Sequence[float]) -> tuple[int, ...] | None:
    """Whole units in proportion to speeds, at least one each, the largest remainders first; None with too few units."""
    if units < len(speeds) or min(speeds) <= 0.0:
        return None
    exact = [units * speed / sum(speeds) for speed in speeds]
    shares = [max(1, int(part)) for part in exact]
    order = sorted(range(len(speeds)), key=lambda i: (shares[i] - exact[i], i))
    step = 0
    while sum(shares) < units:
        shares[order[step % len(order)]] += 1
        step += 1
    while sum(shares) > units:
        shares[shares.index(max(shares))] -= 1
    return tuple(shares)


def partitions(pools: tuple[PoolArgs, ...]) -> Iterator[tuple[tuple[PoolArgs, ...], ...]]:
    """All ways to put pools into two groups or more of which one at least has two pools.

    Two pools make such groups only when one of them is halved: a half works alone, the other with the other pool.
    """
    if len(pools) == 2:
        for whole, halved in ((pools[1], pools[0]), (pools[0], pools[1])):
            node = max(1, int(halved.packed.run.domain))
            half = halved.chips // 2 // node * node
            if half:
                rest = replace(halved, chips=halved.chips - half)
                yield (replace(halved, chips=half),), tuple(sorted((rest, whole), key=lambda pool: pool.index))
        return
    for groups in _set_partitions(pools):
        if len(groups) > 1 and max(len(group) for group in groups) > 1:
            yield groups


def _set_partitions(pools: tuple[PoolArgs, ...]) -> Iterator[tuple[tuple[PoolArgs, ...], ...]]:
    if not pools:
        yield ()
        return
    first, rest = pools[0], pools[1:]
    for groups in _set_partitions(rest):
        yield ((first,), *groups)
        for index, group in enumerate(groups):
            yield (*groups[:index], (first, *group), *groups[index + 1 :])
