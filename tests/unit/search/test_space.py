"""The layout space against plain loops, the Pareto front against its definition, the scan against sorting."""

from collections import Counter
from itertools import product

import numpy as np

from suanzhang.search.pareto import pareto_front
from suanzhang.search.scan import scan
from suanzhang.search.space import COLUMNS, INNER, Axes, Sizes, batches

AXES = Axes(
    tp=(1, 2, 4, 8),
    pp=(1, 2, 3, 4),
    cp=(1, 2),
    vpp=(1, 2, 3),
    sp=(0, 1),
    zero=(0, 1, 3),
    micro_batch=(1, 2, 3),
    schedule=(1, 3),
)
SIZES = Sizes(layers=12, heads=8, kv_heads=2, experts=0, seq=1024, global_batch=48)


def _plain(chips: int) -> set[tuple[float, ...]]:
    found = set()
    for tp, pp, cp in product(AXES.tp, AXES.pp, AXES.cp):
        if chips % (tp * pp * cp) or SIZES.heads % tp or (SIZES.kv_heads % tp and tp % SIZES.kv_heads):
            continue
        dp = chips // (tp * pp * cp)
        for values in product(*[getattr(AXES, name) for name in INNER]):
            v = dict(zip(INNER, values, strict=True))
            if SIZES.global_batch % (dp * v["micro_batch"]) or v["vpp"] * pp > SIZES.layers:
                continue
            micro_batches = SIZES.global_batch // (dp * v["micro_batch"])
            if v["vpp"] > 1 and (pp == 1 or v["schedule"] != 1 or micro_batches % pp):
                continue
            if (pp == 1 and v["schedule"] != 1) or (v["sp"] and tp == 1):
                continue
            if (v["zero"] and dp * cp == 1) or (v["zero"] >= 2 and pp > 1):
                continue
            row = {**v, "tp": tp, "pp": pp, "dp": dp, "cp": cp, "etp": tp, "recompute_layers": 0}
            row["schedule"] = 2 if v["vpp"] > 1 else v["schedule"]
            if tp == 1:
                row["overlap_tp"] = v["overlap_tp"]
            found.add(tuple(float(row[name]) for name in COLUMNS))
    return found


def test_space_equals_plain_loops():
    for chips in (8, 16, 24, 96):
        rows = [tuple(row) for batch in batches(chips, SIZES, AXES, Counter()) for row in batch]
        assert len(rows) == len(set(rows))
        assert set(rows) == _plain(chips)


def test_every_layout_left_out_is_counted():
    pruned: Counter[str] = Counter()
    kept = sum(len(batch) for batch in batches(24, SIZES, AXES, pruned))
    assert kept + sum(pruned.values()) == AXES.size


def test_layouts_use_the_chips():
    for batch in batches(96, SIZES, AXES, Counter()):
        assert (batch[:, :4].prod(axis=1) == 96).all()


def test_pareto_front_is_what_nothing_beats():
    points = np.random.default_rng(0).integers(0, 12, size=(200, 3)).astype(float)
    front = points[pareto_front(points)]
    for point in front:
        assert not (np.all(points <= point, axis=1) & np.any(points < point, axis=1)).any()
    for point in points:
        assert np.all(front <= point, axis=1).any()


def test_scan_keeps_the_fastest_and_counts_the_rest():
    rng = np.random.default_rng(1)
    layouts = rng.integers(1, 9, size=(30000, 18)).astype(float)
    layouts[:, 0] = np.arange(30000)

    def evaluate(rows):
        step = np.sin(rows[:, 0]) + 2.0
        reason = np.where(rows[:, 1] > 6, 2.0, np.where(rows[:, 2] > 7, 5.0, 0.0))
        return step, rows[:, 3], reason

    found = scan([layouts[:20000], layouts[20000:]], evaluate, keep=5, memory_reason=5)
    step, _, reason = evaluate(layouts)
    assert np.allclose(found.step_s, np.sort(step[reason == 0.0])[:5])
    assert found.refused == Counter({2: int((reason == 2.0).sum()), 5: int((reason == 5.0).sum())})
    assert found.evaluated == int(((reason == 0.0) | (reason == 5.0)).sum())
