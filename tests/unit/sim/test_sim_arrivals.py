"""Drawn requests have the moments that were asked for."""

import numpy as np
import pytest

from suanzhang.errors import InputError
from suanzhang.sim.arrivals import Traffic, draw, lengths, lognormal_parameters, stream
from suanzhang.spec.job import LengthSpec, LoadSpec

FIXED = LengthSpec("fixed", 10, 10)


def test_lognormal_takes_the_smaller_deviation():
    mu, sigma = lognormal_parameters(200.0, 600.0)
    assert 0.0 < sigma < 1.6448
    assert np.exp(mu + sigma**2 / 2) == pytest.approx(200.0)
    assert np.exp(mu + 1.6448536 * sigma) == pytest.approx(600.0, rel=1e-6)


@pytest.mark.parametrize("kind", ["lognormal", "uniform"])
def test_lengths_have_mean_and_p95(kind):
    values = lengths(LengthSpec(kind, 300.0, 500.0), 200_000, np.random.default_rng(1))
    assert values.mean() == pytest.approx(300.0, rel=0.01)
    assert np.quantile(values, 0.95) == pytest.approx(500.0, rel=0.01)
    assert values.min() >= 1


@pytest.mark.parametrize(
    "spec",
    [
        LengthSpec("lognormal", 100, 500),
        LengthSpec("lognormal", 100, 90),
        LengthSpec("uniform", 100, 250),
        LengthSpec("fixed", 0, 0),
    ],
)
def test_lengths_that_do_not_exist(spec):
    with pytest.raises(InputError):
        lengths(spec, 10, np.random.default_rng(1))


@pytest.mark.parametrize("burstiness", [0.5, 1.0, 3.0])
def test_gaps_have_the_variation(burstiness):
    gaps = np.diff(draw(Traffic(20.0, FIXED, FIXED, burstiness=burstiness), 200_000, 4).arrival_s)
    assert gaps.mean() == pytest.approx(0.05, rel=0.03)
    assert gaps.std() / gaps.mean() == pytest.approx(burstiness, rel=0.03)


def test_a_day_follows_its_sinusoid():
    arrivals = draw(Traffic(10.0, FIXED, FIXED, LoadSpec("diurnal", 1.8)), 864_000, 2).arrival_s
    assert arrivals[-1] == pytest.approx(86_400, rel=0.01)
    hours = np.histogram(arrivals, bins=24, range=(0.0, 86_400.0))[0] / 3600.0
    middle = (np.arange(24) + 0.5) / 24.0
    expected = 10.0 * (1.0 + 0.8 * np.cos(2 * np.pi * (middle - 0.5)))
    np.testing.assert_allclose(hours, expected, rtol=0.05)
    assert hours.argmax() in (11, 12)


def test_cells_have_streams_of_their_own_and_the_same_seed_the_same_requests():
    traffic = Traffic(10.0, LengthSpec("lognormal", 100, 300), FIXED)
    one, again, other = (next(stream(traffic, 100, 7, cell)) for cell in (0, 0, 1))
    assert np.array_equal(one.arrival_s, again.arrival_s)
    assert not np.array_equal(one.input_tokens, other.input_tokens)


@pytest.mark.parametrize(
    "traffic",
    [
        Traffic(0.0, FIXED, FIXED),
        Traffic(float("nan"), FIXED, FIXED),
        Traffic(1.0, FIXED, FIXED, LoadSpec("diurnal", 2.5)),
        Traffic(1.0, FIXED, FIXED, burstiness=0.0),
    ],
)
def test_traffic_that_cannot_be(traffic):
    with pytest.raises(InputError):
        draw(traffic, 10, 1)
