"""One replica, on cases small enough to work out by hand."""

import numpy as np
import pytest

from suanzhang.errors import CatalogError, InputError
from suanzhang.sim.arrivals import Traffic, draw
from suanzhang.sim.replica import simulate
from suanzhang.spec.job import LengthSpec
from suanzhang.spec.sim import EngineSettings, IterationTable, RequestBatch

# A decode iteration takes 10 ms + 1 ms per sequence + 1 us per token of context; one with prompts 20 ms + 0.1 ms per token.
B = np.arange(9, dtype=float)
TABLE = IterationTable(
    decode_base_s=0.010 + 0.001 * B,
    decode_context_s=np.full(9, 1e-6),
    mixed_tokens=np.array([1.0, 1001.0]),
    mixed_base_s=np.array([0.0201, 0.1201]),
    mixed_context_s=np.full(9, 2e-6),
    prefill_pair_s=1e-7,
    prefill_seq_s=1e-3,
)
ENGINE = EngineSettings(max_batched_tokens=100, max_seqs=8, kv_blocks=1000, block_tokens=16)


def batch(*rows):
    arrival, inputs, outputs = zip(*rows, strict=True)
    return RequestBatch(np.array(arrival, float), np.array(inputs), np.array(outputs))


def test_a_lone_request():
    """40 prompt tokens: 20 + 4 + 0.082 (820 pairs) + 1 ms; then two decode iterations after 40 and 41 tokens."""
    run = simulate(batch((5.0, 40, 3)), TABLE, ENGINE, records=True)
    first = 0.020 + 0.004 + 820e-7 + 0.001
    assert run.records.first_token_s[0] == pytest.approx(5.0 + first, rel=1e-12)
    assert run.records.finish_s[0] == pytest.approx(5.0 + first + 2 * 0.011 + 81e-6, rel=1e-12)
    assert run.ttft_s.mean == pytest.approx(first, rel=1e-12)
    assert run.tpot_s.mean == pytest.approx(0.011 + 40.5e-6, rel=1e-9)
    assert (run.iterations, run.prefill_tokens, run.input_tokens, run.output_tokens) == (3, 40, 40, 3)
    assert run.kv_blocks_peak == 3
    assert run.simulated_s == pytest.approx(run.e2e_s.mean, rel=1e-12)
    assert run.busy_s == pytest.approx(run.e2e_s.mean, rel=1e-12)


def test_a_long_prompt_is_cut_to_the_budget_beside_a_decoding_sequence():
    """The second prompt comes during the first decode iteration: 99 of its 150 tokens fit beside one decoding sequence."""
    run = simulate(batch((0.0, 40, 50), (0.026, 150, 1)), TABLE, ENGINE, records=True)
    begun = (0.020 + 0.004 + 820e-7 + 0.001) + (0.011 + 40e-6)
    one = 0.020 + 0.1 * 0.1 + 99 * 100 / 2 * 1e-7 + 0.001 + 41 * 2e-6
    two = 0.020 + 0.052 * 0.1 + (51 * 99 + 51 * 52 / 2) * 1e-7 + 0.001 + 42 * 2e-6
    assert run.records.finish_s[1] == pytest.approx(begun + one + two, rel=1e-12)


def test_prompts_first_stops_decoding():
    mixed = simulate(batch((0.0, 40, 50), (0.026, 80, 1)), TABLE, ENGINE, records=True)
    engine = EngineSettings(100, 8, 1000, policy="sglang")
    alone = simulate(batch((0.0, 40, 50), (0.026, 80, 1)), TABLE, engine, records=True)
    assert alone.records.first_token_s[1] < mixed.records.first_token_s[1]
    assert alone.records.finish_s[0] > mixed.records.finish_s[0]
    assert alone.iterations == mixed.iterations + 1


def test_static_batches_wait_for_the_longest():
    engine = EngineSettings(100, 2, 1000, policy="static")
    run = simulate(batch((0.0, 40, 2), (0.0, 40, 40), (0.001, 40, 1)), TABLE, engine, records=True)
    assert run.records.first_token_s[2] > run.records.finish_s[1]


def test_no_eviction_promises_the_whole_answer():
    few = EngineSettings(100, 8, 12, policy="trtllm")
    run = simulate(batch((0.0, 40, 100), (0.0, 40, 100)), TABLE, few, records=True)
    assert run.preemptions == 0
    assert run.records.first_token_s[1] > run.records.finish_s[0]
    greedy = simulate(batch((0.0, 40, 100), (0.0, 40, 100)), TABLE, EngineSettings(100, 8, 12), records=True)
    assert greedy.preemptions > 0
    assert greedy.records.first_token_s[1] < greedy.records.finish_s[0]
    assert greedy.prefill_tokens > 80


def test_drafts_shorten_an_answer():
    plain = simulate(batch((0.0, 40, 101)), TABLE, ENGINE)
    sure = simulate(batch((0.0, 40, 101)), TABLE, EngineSettings(100, 8, 1000, draft_tokens=3, acceptance=1.0))
    assert plain.iterations == 101
    assert sure.iterations == 26


def test_cached_tokens_are_not_computed_again():
    requests = RequestBatch(np.array([0.0]), np.array([80]), np.array([1]), np.array([64]))
    run = simulate(requests, TABLE, ENGINE)
    assert run.prefill_tokens == 16
    assert run.ttft_s.mean == pytest.approx(0.020 + 0.0016 + (16 * 64 + 136) * 1e-7 + 0.001, rel=1e-9)


def test_what_can_never_fit_is_rejected_and_late_ones_give_up():
    run = simulate(batch((0.0, 40, 2), (0.0, 40_000, 2)), TABLE, ENGINE)
    assert (run.finished, run.rejected) == (1, 1)
    slow = EngineSettings(100, 1, 1000, queue_timeout_s=0.5)
    run = simulate(batch((0.0, 40, 100), (0.1, 40, 2), (0.9, 40, 2)), TABLE, slow)
    assert (run.finished, run.timed_out) == (2, 1)


def test_overload_stops_at_a_full_queue_and_reports_the_capacity():
    traffic = Traffic(200.0, LengthSpec("fixed", 40, 40), LengthSpec("fixed", 20, 20))
    engine = EngineSettings(100, 8, 1000, max_queue=2_000)
    run = simulate(draw(traffic, 50_000, 1), TABLE, engine)
    assert run.overloaded
    assert run.requests < 5_000
    assert run.unfinished + run.finished == run.requests
    slower = simulate(
        draw(Traffic(0.9 * run.completed_per_s, *[LengthSpec("fixed", n, n) for n in (40, 20)]), 20_000, 1), TABLE, engine
    )
    assert not slower.overloaded
    faster = simulate(
        draw(Traffic(1.1 * run.completed_per_s, *[LengthSpec("fixed", n, n) for n in (40, 20)]), 9_000, 1), TABLE, engine
    )
    assert faster.overloaded
    assert faster.completed_per_s == pytest.approx(run.completed_per_s, rel=0.02)


def test_warm_up_is_not_counted():
    traffic = Traffic(5.0, LengthSpec("fixed", 40, 40), LengthSpec("fixed", 20, 20))
    requests = draw(traffic, 1_000, 1)
    run = simulate(requests, TABLE, ENGINE, warmup_s=100.0)
    assert run.e2e_s.count == int(np.sum(requests.arrival_s - requests.arrival_s[0] >= 100.0))
    assert run.finished == 1_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arrival_s": np.array([1.0, 0.0])}, "not in order"),
        ({"arrival_s": np.array([0.0, np.nan])}, "not finite"),
        ({"input_tokens": np.array([0, 1])}, "below 1 token"),
        ({"output_tokens": np.array([1])}, "unlike length"),
        ({"arrival_s": np.array([])}, "none given"),
    ],
)
def test_bad_requests_are_one_line(change, message):
    good = {"arrival_s": np.array([0.0, 1.0]), "input_tokens": np.array([1, 1]), "output_tokens": np.array([1, 1])}
    with pytest.raises(InputError, match=message):
        simulate(RequestBatch(**(good | change)), TABLE, ENGINE)


def test_bad_settings_are_one_line():
    one = batch((0.0, 1, 1))
    with pytest.raises(InputError, match="covers 8 sequences"):
        simulate(one, TABLE, EngineSettings(100, 9, 1000))
    with pytest.raises(InputError, match="kv_blocks"):
        simulate(one, TABLE, EngineSettings(100, 8, 0))
    with pytest.raises(CatalogError, match="least-loaded"):
        simulate(one, TABLE, ENGINE, router="least-load")
