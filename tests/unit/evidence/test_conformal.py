import math

import numpy as np
import pytest

from suanzhang.errors import CatalogError
from suanzhang.evidence.conformal import (
    IntervalTable,
    Multipliers,
    coverage,
    cross_validated,
    fit_intervals,
    table_from_yaml,
    table_to_yaml,
    widened,
)
from suanzhang.evidence.metrics import Residual

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
    judged = cross_validated("training", rows, table.level, table.per_distance["training"])
    assert len(judged) == len(rows)
    assert 0.88 <= coverage(judged) <= 0.94


def test_sources_that_differ_widen_the_interval():
    narrow = fit_intervals({"training": evidence(own=0.0)}).get("training", "step_s", "calibrated")
    wide = fit_intervals({"training": evidence(own=0.4)}).get("training", "step_s", "calibrated")
    assert wide.p95 / wide.p05 > 1.3 * narrow.p95 / narrow.p05


def test_distance_widens_round_the_same_median():
    far = widened(BASE, 2.0, 0.5)
    assert far.p50 == BASE.p50
    assert far.p05 < BASE.p05 < BASE.p95 < far.p95
    assert widened(BASE, 0.0, 0.5).p95 == pytest.approx(BASE.p95)


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
    table = IntervalTable({("training", "step_s", "physics-only"): BASE}, {}, {})
    assert table.get("training", "step_s", "no such grade").p95 == pytest.approx(BASE.p95)
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
        table_from_yaml(text.replace("p05: 0.", "p05: 9."))


def test_a_grade_with_few_sources_leans_on_the_others():
    few = evidence(sources=1, rows=40, spread=0.6, grade="relative") + evidence(sources=9, spread=0.2, grade="calibrated")
    table = fit_intervals({"training": few})
    alone, firm = (table.entries["training", "step_s", grade] for grade in ("relative", "calibrated"))
    assert (alone.sources, firm.sources) == (1, 9)
    assert math.log(alone.p95 / alone.p05) < 2.0 * math.log(firm.p95 / firm.p05)
