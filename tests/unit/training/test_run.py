"""Goodput and power of a run."""

import math

import pytest

from suanzhang.perf.energy import chip_power_w, host_power_w
from suanzhang.perf.goodput import LLAMA3_FAILURES_PER_CHIP_DAY, best_interval_s, checkpoint_s, goodput_fraction


def test_best_interval_beats_its_neighbours():
    checkpoint, mtbf = 40.0, 20000.0

    def waste(interval: float) -> float:
        return checkpoint / interval + interval / (2.0 * mtbf)

    best = best_interval_s(checkpoint, mtbf)
    assert waste(best) < min(waste(0.8 * best), waste(1.25 * best))


def test_goodput_falls_with_chips_and_failures():
    values = [goodput_fraction(float(n), LLAMA3_FAILURES_PER_CHIP_DAY, 20.0, 900.0) for n in (8, 1024, 16384, 131072)]
    assert values == sorted(values, reverse=True)
    assert goodput_fraction(1024.0, 0.0, 20.0, 900.0) == 1.0
    assert 0.85 < values[2] < 0.95


def test_checkpoint_is_limited_by_the_store():
    assert checkpoint_s(1e12, 1e5) == pytest.approx(35.0)


@pytest.mark.parametrize(("share", "low", "high"), [(0.9, 6900.0, 7600.0), (0.75, 6400.0, 7000.0), (0.3, 4800.0, 5700.0)])
def test_node_of_eight_h100_as_metered(share, low, high):
    node = 8.0 * (chip_power_w(700.0, share) + host_power_w(10200.0, 8.0, 700.0))
    assert low < node < high


def test_power_stays_below_the_plate():
    assert chip_power_w(700.0, 1.0) <= 700.0
    assert host_power_w(0.0, 8.0, 700.0) == 350.0
    assert math.isclose(host_power_w(10200.0, 8.0, 700.0), 258.75)
