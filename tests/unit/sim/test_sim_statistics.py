"""Histograms and intervals against plain NumPy."""

import math

import numpy as np
import pytest

from suanzhang.errors import InputError
from suanzhang.sim import histogram
from suanzhang.sim.histogram import BUCKETS, RELATIVE_ERROR, bucket_middles, quantile, summarise
from suanzhang.sim.replica import simulate
from suanzhang.sim.statistics import estimate, settled_after
from suanzhang.spec.sim import EngineSettings, IterationTable, RequestBatch


def test_percentiles_are_within_the_stated_error():
    """The compiled core fills the buckets; the records hold the exact values."""
    rng = np.random.default_rng(3)
    count = 5_000
    requests = RequestBatch(np.cumsum(rng.exponential(0.02, count)), rng.integers(1, 500, count), rng.integers(1, 80, count))
    zeros = np.zeros(65)
    tab = IterationTable(1e-3 + 1e-5 * np.arange(65.0), zeros, np.array([1.0, 1000.0]), np.array([1e-3, 2e-2]), zeros)
    run = simulate(requests, tab, EngineSettings(1000, 64, 10_000), records=True)
    start = requests.arrival_s
    exact = {"ttft_s": run.records.first_token_s - start, "e2e_s": run.records.finish_s - start}
    for name, values in exact.items():
        summary = getattr(run, name)
        assert summary.mean == pytest.approx(values.mean(), rel=1e-9)
        assert summary.max == pytest.approx(values.max(), rel=1e-9)
        for share, got in ((0.5, summary.p50), (0.9, summary.p90), (0.99, summary.p99), (0.999, summary.p999)):
            assert got == pytest.approx(np.sort(values)[math.ceil(share * count) - 1], rel=RELATIVE_ERROR * 1.01)
    assert RELATIVE_ERROR < 0.01


def test_buckets_cover_their_octaves():
    middles = bucket_middles()
    assert len(middles) == BUCKETS
    assert np.all(np.diff(middles) > 0)
    assert middles[0] == pytest.approx(2.0**histogram.LOWEST_EXPONENT, rel=0.01)


def test_an_empty_histogram_has_no_percentile():
    assert math.isnan(quantile(np.zeros(BUCKETS, np.int64), 0.5))
    assert math.isnan(summarise(np.zeros(BUCKETS, np.int64), np.zeros(3)).mean)


def test_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(1)
    hits = sum(estimate(list(rng.normal(5.0, 2.0, 8))).covers(5.0) for _ in range(2_000))
    assert 0.935 < hits / 2_000 < 0.965
    assert math.isinf(estimate([1.0]).half_width)
    with pytest.raises(InputError):
        estimate([])


def test_the_warm_up_is_found():
    rng = np.random.default_rng(2)
    series = rng.normal(1.0, 0.1, 5_000)
    series[:600] += np.linspace(5.0, 0.0, 600)
    assert 450 <= settled_after(series) <= 900
    assert settled_after(rng.normal(1.0, 0.1, 5_000)) < 1_000
