import math
from dataclasses import replace

import numpy as np
import pytest

from suanzhang.errors import CatalogError
from suanzhang.evidence.conformal import (
    Multipliers,
    coverage,
    cross_validated,
    fit_intervals,
    table_from_yaml,
    table_to_yaml,
)
from suanzhang.evidence.metrics import Residual, coverage_interval

BASE = Multipliers(0.8, 1.0, 1.25, 100, 5, "calibrated")


def evidence(sources=12, rows=30, spread=0.2, grade="calibrated", seed=0, own=0.0):
    generator = np.random.default_rng(seed)
    found = []
    for source in range(sources):
        shift = generator.normal(0.0, own)
        for row in range(rows):
            ratio = math.exp(shift + generator.normal(0.0, spread))
            found.append(Residual(f"{row}", f"s{source}", "step_s", 1.0, ratio, labels={"grade": grade}))
    return found


def test_the_interval_covers_left_out_sources():
    rows = evidence()
    table = fit_intervals({"training": rows})
    judged = cross_validated("training", rows, table.level)
    assert len(judged) == len(rows)
    assert 0.88 <= coverage(judged) <= 0.94


def test_sources_that_differ_widen_the_interval():
    narrow = fit_intervals({"training": evidence(own=0.0)}).get("training", "step_s", "calibrated")
    wide = fit_intervals({"training": evidence(own=0.4)}).get("training", "step_s", "calibrated")
    assert wide.p95 / wide.p05 > 1.3 * narrow.p95 / narrow.p05


def spread_by(trait="hot", factor=4.0, distance=False):
    """Rows whose scatter is ``factor`` times wider where the trait is set."""
    found = []
    for item in evidence(sources=16, rows=40):
        hot = int(item.row_id) % 2
        wide = math.exp(item.log_ratio * (factor if hot else 1.0))
        place = {"distance": 2.0 * hot} if distance else {"traits": {trait: float(hot)}}
        found.append(replace(item, measured=wide, **place))
    return found


def width(found):
    return math.log(found.p95 / found.p05)


def test_distance_widens_round_the_same_median():
    table = fit_intervals({"training": spread_by(distance=True)})
    near, far = (table.get("training", "step_s", "calibrated", distance) for distance in (0.0, 2.0))
    assert far.p50 == pytest.approx(near.p50)
    assert width(far) > 1.8 * width(near)


def test_a_trait_of_wide_scatter_widens_and_both_kinds_are_covered():
    rows = spread_by()
    table = fit_intervals({"training": rows})
    calm, hot = (table.get("training", "step_s", "calibrated", traits={"hot": value}) for value in (0.0, 1.0))
    unknown = table.get("training", "step_s", "calibrated")
    assert width(hot) > 2.0 * width(calm)
    assert width(calm) < width(unknown) < width(hot)
    judged = cross_validated("training", rows, table.level)
    for value in (0.0, 1.0):
        own = [item for item in judged if item.traits["hot"] == value]
        assert 0.84 <= coverage(own) <= 0.96


def test_errors_near_the_median_do_not_widen_with_distance():
    calmer = [
        replace(item, measured=math.exp(0.2 * item.log_ratio)) if item.distance else item
        for item in spread_by(factor=1.0, distance=True)
    ]
    table = fit_intervals({"training": calmer})
    near, far = (table.get("training", "step_s", "calibrated", distance) for distance in (0.0, 2.0))
    assert width(far) == pytest.approx(width(near))


def test_coverage_over_sources_is_as_wide_as_sources_differ():
    low, high = coverage_interval(cross_validated("training", evidence(own=0.5), {}))
    assert low < high <= 1.0


def test_a_worse_grade_is_never_narrower():
    mixed = evidence(spread=0.3, grade="calibrated") + evidence(spread=0.1, grade="physics-only", seed=1)
    table = fit_intervals({"training": mixed})
    one, two = (table.get("training", "step_s", grade) for grade in ("calibrated", "physics-only"))
    assert two.p95 / two.p05 >= one.p95 / one.p05 - 1e-9


def test_a_noisier_grade_is_wider():
    mixed = evidence(spread=0.1, grade="calibrated") + evidence(spread=0.4, grade="physics-only", seed=1)
    table = fit_intervals({"training": mixed})
    one, two = (table.get("training", "step_s", grade) for grade in ("calibrated", "physics-only"))
    assert math.log(two.p95 / two.p05) > 2.0 * math.log(one.p95 / one.p05)


def test_an_unknown_grade_is_the_worst_and_an_unknown_metric_has_none():
    table = fit_intervals({"training": evidence() + evidence(spread=0.5, grade="physics-only", seed=3)})
    worst = table.get("training", "step_s", "physics-only")
    assert table.get("training", "step_s", "no such grade") == worst
    assert table.get("serving", "step_s", "calibrated") is None


def test_the_inverse_swaps_the_ends():
    inverse = BASE.inverse()
    assert (inverse.p05, inverse.p95) == (pytest.approx(0.8), pytest.approx(1.25))
    assert Multipliers(0.5, 1.0, 4.0).inverse().p05 == pytest.approx(0.25)


def test_of_multiplies_a_prediction():
    found = BASE.of(10.0)
    assert (found.p05, found.p50, found.p95) == (8.0, 10.0, 12.5)


def test_the_table_survives_writing_and_refuses_disorder():
    table = fit_intervals({"training": evidence()})
    text = table_to_yaml(table, "2026-11-22")
    again = table_from_yaml(text)
    assert again.entries.keys() == table.entries.keys()
    assert table_to_yaml(again, "2026-11-22") == text
    with pytest.raises(CatalogError):
        table_from_yaml(text.replace("    calibrated:\n    - -", "    calibrated:\n    - "))


def test_a_grade_with_few_sources_leans_on_the_others():
    few = evidence(sources=1, rows=40, spread=0.6, grade="relative") + evidence(sources=9, spread=0.2, grade="calibrated")
    table = fit_intervals({"training": few})
    alone, firm = (table.get("training", "step_s", grade) for grade in ("relative", "calibrated"))
    assert (alone.sources, firm.sources) == (1, 9)
    assert width(alone) < 2.8 * width(firm)


def test_a_trait_moves_the_median_where_many_sources_agree():
    rows = [
        replace(
            item, traits={"slow": float(int(item.row_id) % 2)}, measured=item.measured * (1.3 if int(item.row_id) % 2 else 1.0)
        )
        for item in evidence(sources=16, rows=40, spread=0.1)
    ]
    table = fit_intervals({"training": rows})
    usual, slow = (table.get("training", "step_s", "calibrated", traits={"slow": value}) for value in (0.0, 1.0))
    assert 1.1 < slow.p50 / usual.p50 < 1.3
    alone = [replace(item, traits={"slow": float(item.source == "s0")}) for item in evidence(sources=16, rows=40, spread=0.1)]
    one = [replace(item, measured=item.measured * (1.3 if item.source == "s0" else 1.0)) for item in alone]
    table = fit_intervals({"training": one})
    far = table.get("training", "step_s", "calibrated", traits={"slow": 1.0})
    assert far.p50 < 1.1


def test_traits_never_move_the_median_beyond_a_factor():
    rows = [replace(item, traits={"slow": float(int(item.row_id) % 2)}) for item in evidence(sources=16, rows=40)]
    rows = [replace(item, measured=item.measured * (2.0 if item.traits["slow"] else 1.0)) for item in rows]
    table = fit_intervals({"training": rows})
    usual = table.get("training", "step_s", "calibrated", traits={"slow": 0.5})
    endless = table.get("training", "step_s", "calibrated", traits={"slow": 50.0})
    assert endless.p50 / usual.p50 < 1.6
    again = table_from_yaml(table_to_yaml(table, "2026-01-01"))
    assert again.get("training", "step_s", "calibrated", traits={"slow": 50.0}).p50 == pytest.approx(endless.p50, rel=1e-3)


def test_traits_together_never_reach_beyond_what_evidence_has_shown():
    rows = []
    for item in evidence(sources=16, rows=60):
        hot = {f"t{k}": float(int(item.row_id) % 8 == k) for k in range(4)}
        wide = 4.0 if any(hot.values()) else 1.0
        rows.append(replace(item, measured=math.exp(item.log_ratio * wide), traits=hot))
    table = fit_intervals({"training": rows})
    everything = table.get("training", "step_s", "calibrated", traits={f"t{k}": 1.0 for k in range(4)})
    seen = np.array([item.log_ratio for item in rows])
    assert seen.min() <= math.log(everything.p05) < everything.p50
    assert math.log(everything.p95) <= seen.max()
    worse = table.get("training", "step_s", "physics-only", traits={f"t{k}": 1.0 for k in range(4)})
    assert width(worse) >= width(everything)


def test_a_few_sources_set_no_limits():
    table = fit_intervals({"training": evidence(sources=4)})
    assert not table.entries["training", "step_s"].limits
