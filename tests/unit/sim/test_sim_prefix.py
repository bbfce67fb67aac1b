"""Prefix caches and split pools, on cases small enough to work out by hand."""

import numpy as np
import pytest

from suanzhang.errors import Infeasible, InputError
from suanzhang.sim.disaggregated import Pool, simulate_disaggregated
from suanzhang.sim.prefix import prefix_hits, simulate_prefix
from suanzhang.spec.sim import EngineSettings, IterationTable, RequestBatch

B = np.arange(9, dtype=float)
TABLE = IterationTable(0.010 + 0.001 * B, np.zeros(9), np.array([1.0, 1001.0]), np.array([0.0201, 0.1201]), np.zeros(9))
ENGINE = EngineSettings(max_batched_tokens=1000, max_seqs=8, kv_blocks=1000, block_tokens=16)


def requests(prompts, outputs=None):
    count = len(prompts)
    return RequestBatch(np.arange(count, dtype=float), np.array(prompts), np.array(outputs or [2] * count))


def hits(rows, tokens=10, **options):
    flat = np.array([block for row in rows for block in row], np.int64)
    batch = requests([tokens * len(row) for row in rows])
    return prefix_hits(batch, flat, np.cumsum([len(row) for row in rows]), tokens, **options)


def test_a_prefix_counts_only_from_the_start_and_never_the_last_token():
    _, found = hits([[1, 2, 3], [1, 2, 9], [7, 2, 3], [1, 2, 3]], replicas=1, capacity_tokens=1e6)
    assert found.tolist() == [0, 20, 0, 29]


def test_the_longest_unused_block_is_dropped_first():
    _, found = hits([[1], [2], [1], [3], [1, 5], [2, 5]], replicas=1, capacity_tokens=20)
    assert found.tolist() == [0, 0, 9, 0, 10, 0]


def test_the_aware_router_goes_where_the_prefix_is():
    rows = [[1, 2], [3, 4], [3, 4], [1, 2], [3, 4]]
    chosen, found = hits(rows, replicas=2, capacity_tokens=1e6)
    assert chosen.tolist() == [0, 1, 1, 0, 1]
    assert found.sum() == 3 * 19
    _, blind = hits(rows, replicas=2, capacity_tokens=1e6, aware=False)
    assert blind.sum() < found.sum()


def test_hits_shorten_the_first_token():
    rows = [[1, 2, 3]] * 20
    flat, ends = np.array([b for row in rows for b in row]), np.cumsum([3] * 20)
    batch = requests([300] * 20)
    warm = simulate_prefix(batch, flat, ends, 100, TABLE, ENGINE)
    cold = simulate_prefix(batch, np.arange(60), ends, 100, TABLE, ENGINE)
    assert warm.prefill_tokens == 300 + 19
    assert cold.prefill_tokens == 6000
    assert warm.ttft_s.mean < cold.ttft_s.mean


def test_hashes_that_do_not_match():
    with pytest.raises(InputError, match="do not match"):
        prefix_hits(requests([10, 10]), np.array([1]), np.array([1]), 10, 1, 100.0)


def test_split_pools_add_up_for_a_lone_request():
    """Prompt of 100 tokens: 30 ms; 1 MB per token over 1 GB/s: 100 ms; one token 20.1 ms; two decodes of 11 ms."""
    pool = Pool(TABLE, ENGINE, 1)
    run = simulate_disaggregated(requests([100], [4]), pool, pool, kv_bytes_per_token=1e6, link_bytes_per_s=1e9)
    assert run.ttft_s[0] == pytest.approx(0.030, rel=1e-9)
    assert run.transfer_s == pytest.approx(0.1)
    assert run.e2e_s[0] == pytest.approx(0.030 + 0.1 + 0.0201 + 2 * 0.011, rel=1e-9)
    assert run.tpot_s[0] == pytest.approx((0.1 + 0.0201 + 0.022) / 3, rel=1e-9)


def test_a_prompt_no_longer_stops_answers_when_pools_are_split():
    rng = np.random.default_rng(1)
    batch = RequestBatch(np.cumsum(rng.exponential(0.2, 400)), np.full(400, 900), np.full(400, 60))
    pool = Pool(TABLE, ENGINE, 2)
    slow = simulate_disaggregated(batch, pool, pool, kv_bytes_per_token=1e5, link_bytes_per_s=1e9)
    fast = simulate_disaggregated(batch, pool, pool, kv_bytes_per_token=1e5, link_bytes_per_s=1e11)
    assert slow.ttft_s == fast.ttft_s
    assert fast.tpot_s[0] < slow.tpot_s[0]
    assert fast.ttft_mean.covers(fast.ttft_s[0])


def test_a_pool_that_cannot_is_refused_with_the_reason():
    small = Pool(TABLE, EngineSettings(1000, 8, 4), 1)
    with pytest.raises(Infeasible, match="decode pool") as caught:
        simulate_disaggregated(
            requests([60], [90]), Pool(TABLE, ENGINE, 1), small, kv_bytes_per_token=1.0, link_bytes_per_s=1.0
        )
    assert caught.value.binding == ("1 requests never fit it",)
