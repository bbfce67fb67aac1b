"""Splits over unlike pools against plain loops over every split."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from suanzhang.app.train_mixed_costs import Links, PoolArgs
from suanzhang.app.train_mixed_data import Curve, across_s, best_batch_split
from suanzhang.app.train_mixed_pipeline import Means, _crossing, _cuts, _finish, _flow, best_pipeline
from suanzhang.app.train_model import pack
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import train_stack
from suanzhang.perf.mixed import unequal_pipeline_s
from suanzhang.search.split import LayerSplit, StageKind
from suanzhang.spec.job import TrainJob

STACK = train_stack("megatron-lm-2025")
JOB = TrainJob("mixed", model("llama-2-7b"), 1e11, 2048, 48, "bf16")
MEANS = Means(True, False)


def _pools(zones: tuple[str, str], chips: tuple[int, int]) -> tuple[PoolArgs, ...]:
    kinds = ("a100-sxm-80", "h800-sxm-80")
    return tuple(
        PoolArgs(index, count, zone, pack(JOB, chip(kind), STACK))
        for index, (kind, zone, count) in enumerate(zip(kinds, zones, chips, strict=True))
    )


def _splits(layers: int, stages: tuple[StageKind, ...]) -> Iterator[tuple[int, ...]]:
    first, rest = stages[0], stages[1:]
    for held in range(first.count, min(layers, first.count * first.most) + 1):
        if not rest:
            if held == layers:
                yield (held,)
        else:
            for others in _splits(layers - held, rest):
                yield (held, *others)


@pytest.mark.parametrize("rate", [12.5e9, 200e9])
def test_the_pipeline_over_two_zones_is_the_best_of_every_cut_and_every_split_of_the_layers(rate: float) -> None:
    pools, links = _pools(("a", "b"), (4, 4)), Links(rate, 1e-3)
    found, computed = best_pipeline(pools, links, MEANS, Counter())
    assert found is not None
    assert computed > 20
    best = math.inf
    for order, layouts in _cuts(pools, MEANS, Counter()):
        cut = _flow(order, layouts, links, {}, Counter())
        if cut is None:
            continue
        busy = [_crossing(order, list(cut.costs), layouts, links, 0)[1]]
        for layers in _splits(int(JOB.model.layers), cut.stages):
            fullest = tuple(math.ceil(held / kind.count) for held, kind in zip(layers, cut.stages, strict=True))
            slowest = max(kind.fixed_s + held * kind.layer_s for kind, held in zip(cut.stages, fullest, strict=True))
            pace = max([slowest, *busy])
            work = sum(k.count * k.fixed_s + held * k.layer_s for k, held in zip(cut.stages, layers, strict=True))
            whole = unequal_pipeline_s(float(cut.micro_batches), pace, work, slowest)
            steady = cut.micro_batches * pace
            if whole >= best:
                continue
            flow = (("slowest_stage_s", steady), ("fill_and_drain_s", whole - steady), *cut.flow[2:])
            one = replace(cut, split=LayerSplit(slowest, layers, fullest), flow=flow)
            best = min(best, _finish(one).step_s)
    assert found.step_s <= best * (1.0 + 1e-3)
    assert found.step_s >= best * (1.0 - 1e-9)


@pytest.mark.parametrize("rate", [12.5e9, 200e9])
def test_the_batch_over_two_zones_is_the_best_of_every_share(rate: float) -> None:
    pools, links = _pools(("a", "b"), (8, 8)), Links(rate, 1e-3)
    curves = tuple(
        Curve(pool, JOB, STACK, lambda job, kind=kind: pack(job, chip(kind), STACK), Counter())  # type: ignore[misc]
        for pool, kind in zip(pools, ("a100-sxm-80", "h800-sxm-80"), strict=True)
    )
    found = best_batch_split(curves, pools, JOB.global_batch, links)
    assert found is not None
    across = across_s([(pool,) for pool in pools], links)
    best = min(
        max(curves[0].at(share)[0], curves[1].at(JOB.global_batch - share)[0]) + across for share in range(1, JOB.global_batch)
    )
    assert found.step_s == pytest.approx(best, rel=1e-9)
