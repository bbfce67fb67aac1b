"""Pools of different chips and roles: requests dealt by capacity, caches over a link, prefixes, replays, overload."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import suanzhang as sz
from suanzhang.app.serve_pools import read_pool
from suanzhang.errors import InputError
from suanzhang.report.jsonable import to_json
from suanzhang.sim.pools import deal
from suanzhang.sim.prefix import group_hits
from suanzhang.spec.sim import RequestBatch

ASK = {"isl": 1000, "osl": 100, "isl_p95": 2500, "rate": 4}
MODEL = "llama-3.1-8b"


def test_a_pool_is_read() -> None:
    found = read_pool("4 h100-sxm-80 tp=2 prefill")
    assert (found.replicas, found.chip.id, found.layout.tp, found.role) == (4, "h100-sxm-80", 2, "prefill")
    assert read_pool("1 l4").role == "mixed"


@pytest.mark.parametrize("text", ["", "h100-sxm-80", "0 l4", "2", "2 l4 prefil", "2 l4 tp=x", "2 l400"])
def test_a_pool_that_cannot_be_read_is_one_line(text: str) -> None:
    with pytest.raises(Exception, match=r"pool|layout|chip") as caught:
        read_pool(text)
    assert "\n" not in str(caught.value)


def test_requests_are_dealt_by_weight() -> None:
    turn = deal([3.0, 1.0], 40_000, 5)
    assert np.mean(turn == 0) == pytest.approx(0.75, abs=0.01)
    assert np.array_equal(turn, deal([3.0, 1.0], 40_000, 5))


def test_two_chips_share_by_what_they_can_answer() -> None:
    found = sz.simulate(MODEL, pools=["2 h100-sxm-80", "2 l40s"], **ASK)
    fast, slow = found.pools
    assert fast.requests + slow.requests == found.requests == found.finished
    assert fast.share == pytest.approx(
        fast.capacity_requests_per_s / (fast.capacity_requests_per_s + slow.capacity_requests_per_s), rel=0.02
    )
    assert fast.share > 0.6
    assert found.replicas == 4
    assert not found.overloaded


def test_the_link_slows_the_second_token_and_not_the_first() -> None:
    pools = ["1 h100-sxm-80 prefill", "1 h200-sxm-141 decode"]
    fast, slow = (sz.simulate(MODEL, pools=pools, link_bytes_per_s=speed, **ASK) for speed in (400e9, 1e9))
    assert slow.ttft_s.p50 == pytest.approx(fast.ttft_s.p50, rel=1e-9)
    carried = 1000 * 131072 / 1e9
    assert slow.e2e_s.mean - fast.e2e_s.mean == pytest.approx(carried, rel=0.1)
    assert slow.tpot_s.mean - fast.tpot_s.mean == pytest.approx(carried / 99, rel=0.1)


def test_one_role_alone_is_refused() -> None:
    with pytest.raises(InputError, match="prefill alone"):
        sz.simulate(MODEL, pools=["2 h100-sxm-80 prefill"], **ASK)
    with pytest.raises(InputError, match="pools together with a chip"):
        sz.simulate(MODEL, "h100-sxm-80", pools=["2 h100-sxm-80"], **ASK)
    with pytest.raises(InputError, match="queue_timeout_s"):
        sz.simulate(MODEL, pools=["2 h100-sxm-80"], queue_timeout_s=0.0, **ASK)


def test_an_overloaded_pool_is_named_with_what_it_answers() -> None:
    found = sz.simulate(MODEL, pools=["1 h100-sxm-80", "1 l4"], **{**ASK, "rate": 200})
    assert found.overloaded
    assert 5.0 < found.capacity_requests_per_s < 100.0
    assert found.finished < found.requests
    (said,) = [line for line in found.warnings if line.startswith("overloaded")]
    assert "requests waited" in said


def _lru(requests: RequestBatch, groups: np.ndarray, shared: np.ndarray, capacity: int) -> np.ndarray:
    """One cache in plain Python: beginnings and rests in order of last use, dropped whole."""
    cache: OrderedDict[tuple[str, int], int] = OrderedDict()
    hits = []
    for i, (group, begin, tokens) in enumerate(zip(groups, shared, requests.input_tokens, strict=True)):
        held = cache.pop(("group", int(group)), 0)
        hits.append(min(held, int(begin), int(tokens) - 1))
        cache["group", int(group)] = max(held, int(begin))
        cache["rest", i] = int(tokens - begin)
        while sum(cache.values()) > capacity and cache:
            cache.popitem(last=False)
    return np.array(hits)


@pytest.mark.parametrize("capacity", [500, 3000, 20_000, 10**7])
def test_a_cache_of_beginnings_is_a_plain_one(capacity: int) -> None:
    draws = np.random.default_rng(capacity)
    count = 2000
    tokens = draws.integers(50, 400, count)
    groups, shared = draws.integers(0, 30, count), (tokens * 0.6).astype(np.int64)
    batch = RequestBatch(np.arange(count, dtype=float), tokens, np.ones(count, np.int64))
    _, hits = group_hits(batch, groups, shared, 1, capacity)
    assert np.array_equal(hits, _lru(batch, groups, shared, capacity))


def test_the_router_that_looks_for_prefixes_finds_more() -> None:
    ask = {**ASK, "rate": 8, "layout": "tp=1", "replicas": 4, "prefix_share": 0.6, "prefixes": 500}
    aware, blind = (sz.simulate(MODEL, "h100-sxm-80", router=router, **ask) for router in ("prefix-aware", "round-robin"))
    assert aware.pools[0].found_before > blind.pools[0].found_before + 0.05
    assert aware.ttft_s.mean < blind.ttft_s.mean
    assert aware.pools[0].found_before <= 0.6
    with pytest.raises(InputError, match="begin alike"):
        sz.simulate(MODEL, "h100-sxm-80", router="prefix-aware", **{**ASK, "layout": "tp=1", "replicas": 2})


def _trace(folder: Path, gap_s: float, *, alike: bool = False) -> str:
    rows = [
        f'{{"timestamp": {round(1000 * gap_s * index)}, "input_length": 1024, "output_length": 50, '
        f'"hash_ids": [{0 if alike else 2 * index}, {2 * index + 1}]}}'
        for index in range(600)
    ]
    path = folder / f"{gap_s}{alike}.jsonl"
    path.write_text("\n".join(rows) + "\n")
    return str(path)


def test_a_replay_beyond_capacity_tells_the_capacity_and_the_queue(tmp_path: Path) -> None:
    ask = {"chip": "h100-sxm-80", "layout": "tp=1", "replicas": 1}
    slow, fast = (sz.simulate(MODEL, trace=_trace(tmp_path, gap), **ask) for gap in (1.0, 0.002))
    assert not slow.overloaded
    assert slow.finished == 600
    assert fast.overloaded
    assert fast.capacity_requests_per_s < 500
    assert any("waited when the last one came" in line for line in fast.warnings)


def test_a_replay_finds_the_prefixes_of_its_hashes(tmp_path: Path) -> None:
    ask = {"chip": "h100-sxm-80", "layout": "tp=1", "replicas": 2, "router": "prefix-aware"}
    alike, apart = (sz.simulate(MODEL, trace=_trace(tmp_path, 0.5, alike=same), **ask) for same in (True, False))
    assert alike.pools[0].found_before == pytest.approx(0.5, abs=0.01)
    assert apart.pools[0].found_before == 0.0
    assert alike.ttft_s.mean < apart.ttft_s.mean


def test_the_rows_of_pools_are_their_latencies(tmp_path: Path) -> None:
    path = tmp_path / "pools.parquet"
    pools = ["1 h100-sxm-80 prefill", "1 h200-sxm-141 decode", "1 l40s"]
    found = sz.simulate(MODEL, pools=pools, requests_file=path, **ASK)
    rows = pl.read_parquet(path)
    assert len(rows) == found.requests
    assert sorted(rows["replica"].unique()) == [1, 2]
    late = rows["first_token_s"] - rows["arrival_s"]
    assert found.ttft_s.p99 == pytest.approx(late.quantile(0.99), rel=0.01)
    again = sz.simulate(MODEL, pools=pools, requests_file=tmp_path / "again.parquet", **ASK)
    assert again.e2e_s == found.e2e_s
    assert path.read_bytes() == (tmp_path / "again.parquet").read_bytes()


@pytest.mark.parametrize("replayed", [False, True])
def test_pools_and_replays_are_explained(tmp_path: Path, replayed: bool) -> None:
    pools = ["1 h100-sxm-80 prefill", "1 h200-sxm-141 decode"]
    ask = {"trace": _trace(tmp_path, 1.0)} if replayed else ASK
    path = tmp_path / "pools.json"
    path.write_text(json.dumps(to_json(sz.simulate(MODEL, pools=pools, **ask))))
    names = {tree.name for tree in sz.explain(path).trees}
    assert "replicas" in names
    assert any("token" in name for name in names)
