"""The simulator in the limits where queueing theory knows the answer, inside the interval of replicated runs."""

import math

import numpy as np
import pytest

from suanzhang.sim.replica import simulate
from suanzhang.sim.statistics import replicate
from suanzhang.spec.sim import EngineSettings, IterationTable, RequestBatch

RUNS = 12


def table(batch_s, prompt_s):
    zeros = np.zeros(len(batch_s))
    return IterationTable(np.asarray(batch_s, float), zeros, np.array([1.0, 2.0]), np.asarray(prompt_s, float), zeros)


def settings(max_seqs):
    return EngineSettings(max_batched_tokens=100_000, max_seqs=max_seqs, kv_blocks=10**9, max_queue=10**6)


def measured(draw, tab, engine):
    return replicate(
        draw, lambda batch, warmup, seed: simulate(batch, tab, engine, warmup_s=warmup), replications=RUNS, seed=11
    )


@pytest.mark.parametrize("utilisation", [0.3, 0.7, 0.9])
def test_m_d_1(utilisation):
    """One place, one token: each request is one iteration of 0.1 s. Mean wait = rho D / (2 (1 - rho))."""
    service_s = 0.1

    def draw(seed):
        gaps = np.random.default_rng(seed).exponential(service_s / utilisation, 200_000)
        ones = np.ones(len(gaps), np.int64)
        return RequestBatch(np.cumsum(gaps), ones, ones)

    runs = measured(draw, table([0.0, service_s], [service_s, service_s]), settings(1))
    expected = service_s + utilisation * service_s / (2.0 * (1.0 - utilisation))
    e2e = runs.of(lambda run: run.e2e_s.mean)
    assert e2e.covers(expected)
    assert e2e.half_width < 0.05 * expected
    assert not runs.overloaded


@pytest.mark.parametrize(("servers", "utilisation"), [(1, 0.6), (4, 0.8), (16, 0.9)])
def test_m_m_c(servers, utilisation):
    """Places that do not slow each other, geometric answers of 2,000 iterations: Erlang's C formula."""
    iteration_s, mean = 1e-3, 2000.0
    rate = utilisation * servers / (mean * iteration_s)

    def draw(seed):
        rng = np.random.default_rng(seed)
        count = 100_000
        outputs = rng.geometric(1.0 / mean, count)
        return RequestBatch(np.cumsum(rng.exponential(1.0 / rate, count)), np.ones(count, np.int64), outputs)

    same = np.full(servers + 1, iteration_s)
    runs = measured(draw, table(same, [iteration_s, iteration_s]), settings(servers))
    offered = utilisation * servers
    last = offered**servers / math.factorial(servers) / (1.0 - utilisation)
    waits = last / (sum(offered**n / math.factorial(n) for n in range(servers)) + last)
    service_s = mean * iteration_s
    # A request that comes to an idle place begins at once or with the next iteration, at most one iteration later.
    expected = service_s + waits * service_s / (servers * (1.0 - utilisation))
    e2e = runs.of(lambda run: run.e2e_s.mean)
    assert e2e.low - iteration_s <= expected <= e2e.high
    assert e2e.half_width < 0.1 * expected


@pytest.mark.parametrize("spread", ["exponential", "two lengths"])
def test_processor_sharing(spread):
    """An iteration that costs its batch shares one server: mean time E[S] / (1 - rho) for any lengths."""
    token_s, mean, utilisation, places = 1e-4, 1000.0, 0.7, 200
    rate = utilisation / (mean * token_s)

    def draw(seed):
        rng = np.random.default_rng(seed)
        count = 100_000
        outputs = rng.geometric(1.0 / mean, count) if spread == "exponential" else rng.choice([200, 4200], count, p=[0.8, 0.2])
        return RequestBatch(np.cumsum(rng.exponential(1.0 / rate, count)), np.ones(count, np.int64), outputs)

    runs = measured(draw, table(token_s * np.arange(places + 1), [token_s, 2 * token_s]), settings(places))
    expected = mean * token_s / (1.0 - utilisation)
    e2e = runs.of(lambda run: run.e2e_s.mean)
    step_s = token_s * utilisation / (1.0 - utilisation)
    assert e2e.low - 2.0 * step_s <= expected <= e2e.high + 2.0 * step_s
    assert e2e.half_width < 0.1 * expected
