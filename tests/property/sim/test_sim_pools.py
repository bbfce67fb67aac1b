"""Pools of unlike replicas with all that goes wrong, against the step-by-step simulator, and their own invariants."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stepwise_events import Cell, follow_cell
from test_sim_stepwise import requests, table

from suanzhang.errors import InputError, SolverError
from suanzhang.sim import pools as pools_module
from suanzhang.sim.operations import Autoscaler, Failures, Operations, down_spans
from suanzhang.sim.pool import Beginnings, RolePool, run_cell
from suanzhang.sim.pools import broken_fates, follow
from suanzhang.spec.sim import EngineSettings, IterationTable, RequestBatch


def slower(tab, factor):
    columns = {name: getattr(tab, name) for name in IterationTable.__slots__}
    return IterationTable(**{name: value * factor if name != "mixed_tokens" else value for name, value in columns.items()})


def draws(seed, place, number=0):
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(entropy=seed, spawn_key=(79, place, number))))


def assert_cell(pool, batch, router, seed, place=0, lost="never", origin=0.0):
    """One cell of the package against the plain one; the sequences of the plain one."""
    fast, _ = run_cell(pool, batch, router, None, (seed, place, 0), origin, debug=True)
    rules = replace(pool.settings, queue_timeout_s=math.inf) if pool.role == "decode" else pool.settings
    drawn = draws(seed, place)
    cell = Cell(pool.table, rules, pool.replicas, failures=pool.failures, scaler=pool.scaler, draws=drawn, lost=lost)
    sequences, rejected = follow_cell(batch, cell, router, origin)
    assert fast.rejected == rejected
    assert fast.timed_out == sum(len(one.timed_out) for one in cell.all)
    assert fast.finished == sum(len(one.finished) for one in cell.all)
    assert (fast.failures, fast.moved) == (cell.failed, cell.moved)
    assert fast.preemptions == sum(one.preemptions for one in cell.all)
    assert fast.iterations == sum(one.iterations for one in cell.all)
    np.testing.assert_allclose(fast.records.first_token_s - origin, [q.first for q in sequences], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(fast.records.finish_s - origin, [q.finish for q in sequences], rtol=1e-9, atol=1e-9)
    return fast, sequences


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    policy=st.sampled_from(["vllm-v1", "sglang", "trtllm", "static"]),
    replicas=st.sampled_from([1, 2, 5]),
    router=st.sampled_from(["round-robin", "least-loaded"]),
    role=st.sampled_from(["mixed", "decode"]),
    rate=st.sampled_from([4.0, 40.0]),
    timeout=st.sampled_from([math.inf, 0.5]),
    urgent=st.sampled_from([0.0, 0.3]),
    failing=st.booleans(),
    scaled=st.booleans(),
    blocks=st.sampled_from([150, 2000]),
)
def test_a_cell_with_failures_and_scaling_is_the_plain_one(
    seed, policy, replicas, router, role, rate, timeout, urgent, failing, scaled, blocks
):
    batch = requests(seed, 120, rate, 60, 30, role == "decode", urgent)
    pool = RolePool(
        table(24), EngineSettings(256, 24, blocks, 16, policy=policy, queue_timeout_s=timeout), replicas, role,
        failures=Failures(3.0, 0.7) if failing else None, scaler=Autoscaler(1, 4.0, 0.4, 0.6) if scaled else None,
    )  # fmt: skip
    assert_cell(pool, batch, router, seed, lost="pages" if role == "decode" else "never")


def test_failures_do_happen_where_they_are_compared():
    pool = RolePool(table(24), EngineSettings(256, 24, 400, queue_timeout_s=0.2), 4, failures=Failures(2.0, 0.7))
    fast, _ = assert_cell(pool, requests(4, 600, 90.0, 60, 60, urgent=0.2), "least-loaded", 11)
    assert fast.failures > 5
    assert fast.moved > 20
    assert fast.timed_out > 5


def stormy(**changes):
    """A mixed pool, and prompts and answers apart, all of them failing, scaled and impatient."""
    rules = EngineSettings(512, 24, 900, 16, queue_timeout_s=changes.pop("timeout", 1.0))
    bad = {"failures": Failures(6.0, 0.8), "scaler": Autoscaler(1, 6.0, 0.5, 0.7)} | changes
    return [
        RolePool(table(24), rules, 3, "mixed", 9.0, **bad),
        RolePool(slower(table(24), 1.7), rules, 2, "prefill", 20.0, **bad),
        RolePool(slower(table(24), 0.6), rules, 3, "decode", 8.0, **bad),
    ]


CARRY = np.full((3, 3), 2e-5)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_all_pools_together_are_the_plain_ones_one_after_another(seed):
    batch = requests(seed, 700, 40.0, 80, 30, urgent=0.2)
    pools = stormy()
    fates, served = follow(batch, pools, carry_s=CARRY, seed=seed, debug=True)
    mixed, prompts, answers = (one.rows for one in served)
    assert sorted([*mixed, *prompts]) == list(range(700))
    assert sum(one.run.failures for one in served) > 5
    origin = float(batch.arrival_s[0])
    first, end = np.full(700, np.nan), np.full(700, np.nan)

    def note(rows, sequences):
        first[rows] = [q.first + origin for q in sequences]
        end[rows] = [q.finish + origin for q in sequences]

    def part(rows, outputs):
        return RequestBatch(batch.arrival_s[rows], batch.input_tokens[rows], outputs, None, batch.urgent[rows])

    note(mixed, assert_cell(pools[0], part(mixed, batch.output_tokens[mixed]), "least-loaded", seed, 0, origin=origin)[1])
    ones = np.ones(len(prompts), np.int64)
    note(prompts, assert_cell(pools[1], part(prompts, ones), "least-loaded", seed, 1, origin=origin)[1])
    further = prompts[np.isfinite(first[prompts]) & (batch.output_tokens[prompts] > 1)]
    there = first + batch.input_tokens * CARRY[1, 2]
    rows = further[np.argsort(there[further], kind="stable")]
    assert np.array_equal(rows, answers)
    grown = batch.input_tokens[rows] + 1
    late = RequestBatch(there[rows], grown, batch.output_tokens[rows] - 1, grown - 1, batch.urgent[rows])
    _, sequences = assert_cell(pools[2], late, "least-loaded", seed, 2, "pages", origin)
    end[rows] = [q.finish + origin for q in sequences]
    np.testing.assert_allclose(fates.first_s, first, rtol=1e-9)
    np.testing.assert_allclose(fates.end_s, end, rtol=1e-9)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    rate=st.sampled_from([10.0, 60.0, 400.0]),
    router=st.sampled_from(["least-loaded", "round-robin", "power-of-two", "prefix-aware"]),
    hashed=st.booleans(),
    timeout=st.sampled_from([math.inf, 0.4]),
)
def test_no_request_is_lost_whatever_happens(seed, rate, router, hashed, timeout):
    batch = requests(seed, 500, rate, 90, 30, urgent=0.2)
    groups = np.random.default_rng(seed).integers(0, 20, 500)
    begins = Beginnings(groups, batch.input_tokens // 2, np.repeat(groups, 2), np.arange(2, 1002, 2), 16 if hashed else 0)
    pools = stormy(timeout=timeout)
    alike = begins if router == "prefix-aware" or hashed else None
    fates, served = follow(batch, pools, router=router, begins=alike, carry_s=CARRY, seed=seed, debug=True)
    assert broken_fates(batch, pools, fates, served) == []
    gone = sum(one.run.timed_out + one.run.rejected for one in served)
    assert int(np.isfinite(fates.end_s).sum()) + gone == 500
    assert all(one.run.unfinished == 0 for one in served)
    assert np.all((fates.replica >= 0) == np.isfinite(fates.end_s))


def test_same_seed_same_bytes_on_any_number_of_workers_and_cells_of_their_own():
    batch = requests(5, 4000, 300.0, 80, 30, urgent=0.1)
    pools = [replace(pool, replicas=pool.replicas * 5) for pool in stormy()]
    runs = [follow(batch, pools, carry_s=CARRY, seed=3, workers=n, cell_size=4, debug=True) for n in (1, 2, 7)]
    for fates, served in runs[1:]:
        assert all(a.tobytes() == b.tobytes() for a, b in zip(fates, runs[0][0], strict=True))
        assert [one.run.failures for one in served] == [one.run.failures for one in runs[0][1]]
    assert runs[0][0].replica.max() == 39
    other, _ = follow(batch, pools, carry_s=CARRY, seed=4, cell_size=4)
    assert other.end_s.tobytes() != runs[0][0].end_s.tobytes()


def test_littles_law_holds_in_a_cell_with_failures():
    """S7: levels over time against times in the system, queue and answers each; the load ends before the last bin does."""
    batch = requests(8, 1500, 30.0, 60, 30)
    pool = RolePool(table(24), EngineSettings(512, 24, 2000), 4, failures=Failures(5.0, 0.5))
    width = 0.25
    bins = int((batch.arrival_s[-1] + 30.0) / width)
    tail = RequestBatch(
        np.append(batch.arrival_s, width * bins), np.append(batch.input_tokens, 1), np.append(batch.output_tokens, 1)
    )
    run, _ = run_cell(pool, tail, "least-loaded", None, (5, 0, 0), bins=bins, debug=True)
    assert run.failures > 20
    levels = float((run.timeline.running + run.timeline.waiting).sum()) * width
    spent = float((run.records.finish_s - run.records.arrival_s)[:-1].sum())
    prompts = spent - levels
    assert 0.0 < prompts < 0.35 * spent
    assert prompts < run.prefill_busy_s * 24


def test_a_router_knows_what_is_down():
    rules = Failures(50.0, 10.0)
    spans = down_spans(rules, 6, draws(9, 0), 0.0, 400.0)
    planned = Operations(rules, None, draws(9, 0))
    from suanzhang.sim.state import engine, new_state, times

    en = engine(EngineSettings(256, 4, 100))
    memory, tab = new_state(en, 6, 10), times(table(4), en)
    planned.begin(memory, 0.0)
    seen = []
    while planned.next_s < 400.0:
        at, _, kind, _ = planned.events[0]
        planned.act(memory, en, tab)
        if kind == 0:
            seen.append(at)
    assert sorted(one for one, _ in spans) == seen
    assert len(seen) > 20


def test_a_pool_that_is_down_gets_no_request():
    batch = requests(8, 3000, 50.0, 40, 10)
    pools = [RolePool(table(24), EngineSettings(256, 24, 900), 1, failures=rule) for rule in (Failures(8.0, 8.0), None)]
    fates, served = follow(batch, pools, seed=2, debug=True)
    spans = down_spans(pools[0].failures, 1, draws(2, 0), float(batch.arrival_s[0]), float(batch.arrival_s[-1]))
    at = batch.arrival_s[served[0].rows]
    assert len(spans) > 2
    assert not any(bool(np.any((at >= low) & (at < high))) for low, high in spans)
    assert np.all(np.isfinite(fates.end_s))


def test_a_failure_empties_a_cache():
    batch = requests(8, 3000, 30.0, 90, 10)
    groups = np.zeros(3000, np.int64)
    begins = Beginnings(groups, batch.input_tokens // 2, groups, groups)
    rules = EngineSettings(512, 24, 2000)
    calm, stormy_ = (
        follow(batch, [RolePool(table(24), rules, 3, failures=rule)], begins=begins, seed=1)[1][0].found_before
        for rule in (None, Failures(2.0, 0.2))
    )
    assert stormy_ < calm


def test_broken_fates_stop_a_debugged_run(monkeypatch):
    monkeypatch.setattr(pools_module, "broken_fates", lambda *_: ["S12 requests: 3 came, 2 were dealt"])
    batch = requests(8, 50, 30.0, 90, 10)
    pool = RolePool(table(24), EngineSettings(512, 24, 2000), 3)
    follow(batch, [pool])
    with pytest.raises(SolverError, match="S12"):
        follow(batch, [pool], debug=True)


@pytest.mark.parametrize(
    ("changes", "options", "said"),
    [({"role": "prefill"}, {}, "alone"), ({}, {"router": "prefix-aware"}, "begin alike"), ({"replicas": 0}, {}, "positive"),
     ({}, {"router": "nearest"}, "router"), ({"failures": Failures(0.0, 1.0)}, {}, "operations")],
)  # fmt: skip
def test_bad_pools_are_one_line(changes, options, said):
    pool = replace(RolePool(table(24), EngineSettings(512, 24, 2000), 3), **changes)
    with pytest.raises(Exception, match=said) as caught:
        follow(requests(8, 50, 30.0, 90, 10), [pool], **options)
    assert isinstance(caught.value, InputError) or "router" in str(caught.value)
