"""Intervals of sums: percentiles come back, common factors move together, others average out."""

import math

import numpy as np
import pytest

from suanzhang.app.plan_risks import chance_above
from suanzhang.app.spread import inverse, sum_interval
from suanzhang.spec.draws import two_piece_lognormal
from suanzhang.spec.result import Interval

SPREAD = Interval(0.5, 1.0, 3.0)


def test_draws_have_the_percentiles_they_were_made_from() -> None:
    z = np.random.default_rng(1).standard_normal(200_000)
    low, middle, high = np.quantile(two_piece_lognormal(SPREAD, z), (0.05, 0.5, 0.95))
    assert (low, middle, high) == pytest.approx((0.5, 1.0, 3.0), rel=0.03)


def test_a_factor_in_common_does_not_average_out() -> None:
    common = sum_interval([(1.0, {"price": SPREAD})] * 16, 1)
    apart = sum_interval([(1.0, {f"price {k}": SPREAD}) for k in range(16)], 1)
    assert common.p95 / common.p05 == pytest.approx(6.0, rel=0.1)
    assert apart.p95 / apart.p05 < 2.5


def test_a_sum_without_spread_is_itself_and_the_seed_decides() -> None:
    assert sum_interval([(2.0, {}), (3.0, {})], 0) == Interval(5.0, 5.0, 5.0)
    parts = [(1.0, {"a": SPREAD}), (2.0, {"b": SPREAD})]
    assert sum_interval(parts, 3) == sum_interval(parts, 3)
    assert sum_interval(parts, 3) != sum_interval(parts, 4)


def test_inverse_turns_an_interval_round() -> None:
    assert inverse(Interval(0.5, 1.0, 4.0)) == Interval(0.25, 1.0, 2.0)


@pytest.mark.parametrize(("limit", "chance"), [(1.0, 0.5), (3.0, 0.05), (0.5, 0.95)])
def test_chance_above_reads_the_percentiles(limit: float, chance: float) -> None:
    assert chance_above(limit, SPREAD) == pytest.approx(chance, abs=1e-6)


def test_a_certain_value_is_above_or_it_is_not() -> None:
    sure = Interval(2.0, 2.0, 2.0)
    assert chance_above(1.0, sure) == 1.0
    assert chance_above(3.0, sure) == 0.0
    assert math.isclose(chance_above(2.0, Interval(1.0, 2.0, 4.0)), 0.5)
