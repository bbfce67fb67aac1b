"""Fleets: cells add up, failures move requests and lose none, and the number of replicas follows the load."""

from dataclasses import replace

import numpy as np
import pytest

from suanzhang.errors import InputError, SolverError
from suanzhang.sim.arrivals import Traffic, draw
from suanzhang.sim.fleet import simulate_fleet
from suanzhang.sim.operations import Autoscaler, Failures
from suanzhang.sim.replica import simulate
from suanzhang.spec.job import LengthSpec, LoadSpec
from suanzhang.spec.sim import EngineSettings, IterationTable

B = np.arange(33, dtype=float)
GRID = np.array([1.0, 2048.0])
TABLE = IterationTable(5e-3 + 3e-5 * B, np.full(33, 5e-9), GRID, 6e-3 + 2.5e-5 * GRID, np.full(33, 5e-9))
ENGINE = EngineSettings(1024, 32, 3000)
LENGTHS = (LengthSpec("lognormal", 200, 600), LengthSpec("lognormal", 80, 240))


def fleet(requests=20_000, rate=60.0, replicas=12, **options):
    load = options.pop("load", LoadSpec())
    return simulate_fleet(Traffic(rate, *LENGTHS, load, max_tokens=4000), requests, TABLE, ENGINE, replicas, seed=3, **options)


def test_cells_add_up():
    run = fleet(cell_size=5, bin_s=10.0)
    assert (run.requests, run.finished, run.replicas, run.overloaded) == (20_000, 20_000, 12, False)
    assert run.e2e_s.count == 20_000
    assert run.completed_per_s == pytest.approx(60.0, rel=0.03)
    assert run.timeline.running.sum() * 10.0 == pytest.approx(run.batch_mean * run.busy_s, rel=0.1)


def test_failures_move_requests_and_lose_none():
    calm, stormy = fleet(), fleet(failures=Failures(mtbf_s=100.0, repair_s=20.0))
    assert stormy.failures > 10
    assert stormy.moved > 0
    assert stormy.finished == 20_000
    assert stormy.unfinished == 0
    assert stormy.e2e_s.mean > calm.e2e_s.mean
    assert stormy.prefill_tokens > calm.prefill_tokens


def test_everything_down_waits_for_the_repair():
    run = fleet(requests=500, rate=5.0, replicas=1, failures=Failures(mtbf_s=10.0, repair_s=5.0))
    assert run.finished == 500
    assert run.failures > 2
    assert run.ttft_s.max > 1.0


@pytest.mark.parametrize("router", ["least-loaded", "round-robin", "power-of-two"])
def test_the_open_replicas_follow_the_load(router):
    day = LoadSpec("diurnal", 1.9)
    scaler = Autoscaler(min_replicas=1, outstanding_per_replica=6.0, interval_s=60.0, cold_start_s=120.0)
    fixed = fleet(3_000_000, 40.0, 12, load=day, router=router)
    scaled = fleet(3_000_000, 40.0, 12, load=day, router=router, scaler=scaler)
    assert scaled.finished == fixed.finished == 3_000_000
    assert scaled.simulated_s < scaled.replica_on_s < 0.5 * 12 * scaled.simulated_s
    assert scaled.e2e_s.mean > fixed.e2e_s.mean


def test_a_longer_cold_start_costs_latency():
    day = LoadSpec("diurnal", 1.9)
    quick, slow = (
        fleet(400_000, 100.0, 12, load=day, start_s=20_000.0, scaler=Autoscaler(1, 6.0, 60.0, cold)) for cold in (1.0, 1800.0)
    )
    assert slow.ttft_s.p99 > quick.ttft_s.p99


def test_same_seed_same_bytes_with_failures_on_any_number_of_workers():
    runs = [fleet(cell_size=4, workers=n, failures=Failures(60.0, 10.0), scaler=Autoscaler(1, 6.0)) for n in (1, 3)]
    assert runs[0].histograms.tobytes() == runs[1].histograms.tobytes()
    assert runs[0].replica_on_s == runs[1].replica_on_s


def test_overload_is_answered():
    engine = EngineSettings(1024, 32, 3000, max_queue=500)
    run = simulate_fleet(Traffic(4_000.0, *LENGTHS, max_tokens=4000), 1_000_000, TABLE, engine, 4, cell_size=2)
    assert run.overloaded
    assert run.requests < 20_000
    assert run.finished + run.unfinished == run.requests
    assert 0.0 < run.completed_per_s < 4_000.0


def test_the_capacity_is_seen_when_queues_fill_before_the_first_answer():
    engine = EngineSettings(1024, 32, 3000, max_queue=500)
    flood, crowd = (Traffic(rate, *LENGTHS, max_tokens=4000) for rate in (4e6, 400.0))
    once, long = (simulate_fleet(one, 1_000_000, TABLE, engine, 4, cell_size=2) for one in (flood, crowd))
    assert once.overloaded
    assert long.overloaded
    assert once.completed_per_s == pytest.approx(long.completed_per_s, rel=0.15)
    assert once.finished + once.unfinished == once.requests
    assert once.finished > 0
    alone = simulate(draw(flood, 20_000, 1), TABLE, engine, replicas=4)
    assert alone.completed_per_s == pytest.approx(long.completed_per_s, rel=0.15)


@pytest.mark.parametrize("bad", [{"replicas": 0}, {"requests": 0}, {"workers": 0}, {"failures": Failures(0.0, 1.0)}])
def test_bad_fleets_are_one_line(bad):
    with pytest.raises(InputError):
        fleet(**bad)


def test_invariants_hold_on_a_day_with_failures_and_a_following_fleet():
    bursts = Traffic(60.0, *LENGTHS, LoadSpec(), 2.0, 4000, urgent=0.2, cancelled=0.1)
    options = {"failures": Failures(mtbf_s=100.0, repair_s=20.0), "scaler": Autoscaler(4, 8.0, 10.0, 20.0)}
    checked, plain = (
        simulate_fleet(bursts, 80_000, TABLE, ENGINE, 12, seed=3, debug=debug, **options) for debug in (True, False)
    )
    assert checked.failures > 10
    assert checked.e2e_s == plain.e2e_s


def test_a_broken_invariant_stops_a_fleet(monkeypatch):
    monkeypatch.setattr("suanzhang.sim.replica.broken", lambda *_: ["S2 pages: 3 held"])
    assert fleet(2000).finished == 2000
    with pytest.raises(SolverError, match="S2 pages"):
        fleet(2000, debug=True)


def test_cells_whose_last_hours_differ_add_up():
    """The cells of a day get whole requests, so that one may end just before an hour and another just after."""
    runs = [fleet(requests=count, rate=60.0, replicas=13, cell_size=4, bin_s=10.0) for count in (5999, 6000, 6001)]
    for run in runs:
        levels = float(run.timeline.running.sum()) * 10.0
        assert levels == pytest.approx(run.batch_mean * run.busy_s, rel=0.1)


def test_a_long_repair_is_no_overload_where_readers_give_up():
    """While the only replica is down its queue would fill: those who waited too long are gone by then."""
    engine = EngineSettings(1024, 32, 3000, max_queue=300, queue_timeout_s=5.0)
    traffic = Traffic(20.0, *LENGTHS, max_tokens=4000, urgent=0.2)
    found = simulate_fleet(traffic, 20_000, TABLE, engine, 1, seed=3, failures=Failures(200.0, 60.0), debug=True)
    assert not found.overloaded
    assert (found.requests, found.unfinished) == (20_000, 0)
    assert found.timed_out > 1000
    assert found.finished + found.timed_out == 20_000
    roomy = replace(engine, max_queue=100_000)
    same = simulate_fleet(traffic, 20_000, TABLE, roomy, 1, seed=3, failures=Failures(200.0, 60.0))
    assert (same.finished, same.timed_out, same.e2e_s) == (found.finished, found.timed_out, found.e2e_s)
    late = simulate_fleet(
        traffic, 20_000, TABLE, EngineSettings(1024, 32, 3000, max_queue=300), 1, seed=3, failures=Failures(200.0, 60.0)
    )
    assert late.overloaded
