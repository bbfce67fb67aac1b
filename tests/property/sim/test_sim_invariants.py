"""The numbered invariants of docs/background/invariants.md over random engines and loads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suanzhang.errors import SolverError
from suanzhang.sim import replica as replica_module
from suanzhang.sim import state as f
from suanzhang.sim.arrivals import Traffic, draw
from suanzhang.sim.cell import FOREVER, NO_CACHE, ROUTERS, drain, feed, scratch
from suanzhang.sim.fleet import simulate_fleet
from suanzhang.sim.invariants import broken
from suanzhang.sim.replica import simulate
from suanzhang.sim.state import engine, new_state, times
from suanzhang.spec.job import LengthSpec, LoadSpec
from suanzhang.spec.sim import EngineSettings, IterationTable, RequestBatch


def table(max_seqs):
    b = np.arange(max_seqs + 1, dtype=float)
    grid = np.array([1.0, 512.0, 4096.0])
    return IterationTable(5e-3 + 3e-5 * b, np.full(max_seqs + 1, 5e-9), grid, 6e-3 + 2.5e-5 * grid, np.full(max_seqs + 1, 5e-9))


TRAFFIC = Traffic(12.0, LengthSpec("lognormal", 300, 900), LengthSpec("lognormal", 80, 240), max_tokens=4000)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    policy=st.sampled_from(["vllm-v1", "sglang", "trtllm", "static"]),
    blocks=st.sampled_from([560, 900, 5000]),
    rate=st.sampled_from([3.0, 15.0, 60.0]),
    replicas=st.sampled_from([1, 3]),
    router=st.sampled_from(sorted(ROUTERS)),
    drafts=st.sampled_from([0, 2]),
    timeout=st.sampled_from([float("inf"), 2.0]),
    size=st.sampled_from([7, 40]),
)
def test_memory_is_sound_after_every_few_requests(seed, policy, blocks, rate, replicas, router, drafts, timeout, size):
    given_settings = EngineSettings(
        1024, 32, blocks, 16, policy=policy, draft_tokens=drafts, acceptance=0.6, queue_timeout_s=timeout
    )
    en = engine(given_settings)
    tb = times(table(32), en)
    memory = new_state(en, replicas, 4000)
    traffic = Traffic(rate, TRAFFIC.input_tokens, TRAFFIC.output_tokens, max_tokens=4000, urgent=0.3, cancelled=0.2)
    requests = draw(traffic, 280, seed)
    todo, clock = scratch(replicas), memory.rf[:, f.CLOCK].copy()
    for low in range(0, 280, size):
        part = slice(low, low + size)
        columns = (requests.arrival_s[part], requests.input_tokens[part], requests.output_tokens[part])
        feed(memory, en, tb, ROUTERS[router], seed, low, *columns, NO_CACHE, requests.urgent[part], todo, NO_CACHE)
        assert broken(memory, en, min(low + size, 280)) == []
        assert np.all(memory.rf[:, f.CLOCK] >= clock)
        clock = memory.rf[:, f.CLOCK].copy()
    drain(memory, en, tb, FOREVER)
    assert broken(memory, en, 280) == []
    assert memory.ri[:, f.OUTSTANDING].sum() == 0
    assert np.all(memory.ri[:, f.FREE] == en.capacity)


def test_a_broken_sum_is_found(monkeypatch):
    def spoilt(*arguments):
        memory = new_state(*arguments)
        memory.ri[0, f.FREE] -= 1
        return memory

    monkeypatch.setattr(replica_module, "new_state", spoilt)
    with pytest.raises(SolverError, match="S2 pages"):
        simulate(draw(TRAFFIC, 50, 1), table(16), EngineSettings(1024, 16, 1000), debug=True)


def fleet(workers, seed=5, router="least-loaded"):
    traffic = Traffic(90.0, TRAFFIC.input_tokens, TRAFFIC.output_tokens, LoadSpec("diurnal", 1.8), max_tokens=4000)
    engine_settings = EngineSettings(1024, 32, 3000)
    return simulate_fleet(
        traffic,
        20_000,
        table(32),
        engine_settings,
        10,
        router=router,
        seed=seed,
        workers=workers,
        cell_size=3,
        start_s=40_000.0,
    )


@pytest.mark.parametrize("router", sorted(ROUTERS))
def test_same_seed_same_bytes_on_any_number_of_workers(router):
    one, three = fleet(1, router=router), fleet(3, router=router)
    assert one.histograms.tobytes() == three.histograms.tobytes()
    assert one.moments.tobytes() == three.moments.tobytes()
    assert (one.iterations, one.simulated_s, one.requests) == (three.iterations, three.simulated_s, 20_000)
    assert one.histograms.tobytes() != fleet(1, seed=6, router=router).histograms.tobytes()


def test_pieces_of_any_size_give_the_same_bytes():
    requests = draw(TRAFFIC, 3_000, 3)
    whole = simulate(requests, table(32), EngineSettings(1024, 32, 900))
    pieces = simulate(requests, table(32), EngineSettings(1024, 32, 900), debug=True)
    assert whole.histograms.tobytes() == pieces.histograms.tobytes()


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), rate=st.sampled_from([2.0, 10.0]))
def test_littles_law(seed, rate):
    """Levels over time against times in the system: S7. Answers keep running after the last bin, so the load is cut early."""
    requests = draw(Traffic(rate, LengthSpec("fixed", 200, 200), LengthSpec("lognormal", 60, 180), max_tokens=900), 2_000, seed)
    run = simulate(requests, table(32), EngineSettings(1024, 32, 5000), bins=50, records=True)
    width = run.timeline.start_s[1] - run.timeline.start_s[0]
    end = run.timeline.start_s[-1] + width
    begun, done = (np.minimum(times_, end) for times_ in (run.records.first_token_s, run.records.finish_s))
    assert run.timeline.running.sum() * width == pytest.approx((done - begun).sum(), rel=1e-6)
    assert np.all(run.timeline.waiting >= -1e-9)
    assert run.e2e_s.mean * len(requests) == pytest.approx((run.records.finish_s - requests.arrival_s).sum(), rel=1e-9)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), factor=st.sampled_from([0.5, 0.8]))
def test_a_faster_chip_finishes_no_later(seed, factor):
    """Times all scaled together scale the run when the arrivals are scaled too: the simulator knows no unit of its own."""
    requests = draw(TRAFFIC, 400, seed)
    tab = table(16)
    fast = IterationTable(
        tab.decode_base_s * factor,
        tab.decode_context_s * factor,
        tab.mixed_tokens,
        tab.mixed_base_s * factor,
        tab.mixed_context_s * factor,
    )
    scaled = type(requests)(requests.arrival_s * factor, requests.input_tokens, requests.output_tokens)
    slow_run = simulate(requests, tab, EngineSettings(1024, 16, 1500), records=True)
    fast_run = simulate(scaled, fast, EngineSettings(1024, 16, 1500), records=True)
    assert slow_run.iterations == fast_run.iterations
    np.testing.assert_allclose(fast_run.records.finish_s, slow_run.records.finish_s * factor, rtol=1e-9)


def test_urgent_requests_wait_less_and_the_others_are_still_answered():
    crowd = Traffic(60.0, TRAFFIC.input_tokens, TRAFFIC.output_tokens, max_tokens=4000, urgent=0.2)
    requests = draw(crowd, 4000, 3)
    found = simulate(requests, table(32), EngineSettings(1024, 32, 900), records=True)
    assert found.finished == 4000
    first = found.records.first_token_s - requests.arrival_s
    urgent = requests.urgent == 1
    assert first[urgent].mean() < 0.2 * first[~urgent].mean()
    assert found.urgent_ttft_s.count == urgent.sum()
    assert found.urgent_ttft_s.mean == pytest.approx(first[urgent].mean())


def test_a_run_without_urgent_requests_is_the_same_to_the_last_byte():
    requests = draw(TRAFFIC, 2_000, 3)
    none = RequestBatch(requests.arrival_s, requests.input_tokens, requests.output_tokens, None, np.zeros(2_000, np.int64))
    plain, marked = (simulate(batch, table(32), EngineSettings(1024, 32, 900)) for batch in (requests, none))
    assert plain.histograms.tobytes() == marked.histograms.tobytes()
    assert plain.urgent_ttft_s is None


def test_answers_that_readers_stop_are_shorter_and_come_from_streams_of_their_own():
    whole = Traffic(20.0, TRAFFIC.input_tokens, TRAFFIC.output_tokens, max_tokens=4000)
    stopped = Traffic(20.0, TRAFFIC.input_tokens, TRAFFIC.output_tokens, max_tokens=4000, cancelled=0.4, cached=0.5)
    one, two = draw(whole, 5_000, 7), draw(stopped, 5_000, 7)
    assert np.array_equal(one.input_tokens, two.input_tokens)
    assert np.all(two.output_tokens <= one.output_tokens) and np.all(two.output_tokens >= 1)
    assert two.output_tokens.sum() / one.output_tokens.sum() == pytest.approx(0.8, abs=0.03)
    assert np.array_equal(two.cached_tokens, two.input_tokens // 2)
