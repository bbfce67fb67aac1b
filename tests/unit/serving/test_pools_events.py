"""``simulate`` with pools and replays together with failures, a following fleet, time-outs, priorities and readers who stop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import suanzhang as sz
from suanzhang.errors import InputError
from suanzhang.report.views import report_of
from suanzhang.spec.serve_day import DayResult

MODEL = "llama-3.1-8b"
ASK = {"isl": 1000, "osl": 100, "isl_p95": 2500, "rate": 4, "replications": 1}
POOLS = ["2 h100-sxm-80 prefill", "2 h200-sxm-141 decode", "2 l40s"]
STORM = {"mtbf_s": 6000.0, "repair_s": 300.0, "queue_timeout_s": 2.0, "urgent": 0.2, "autoscale": True, "cold_start_s": 60.0,
         "cancelled": 0.1, "debug": True}  # fmt: skip


def conserved(one: DayResult) -> bool:
    whole = one.requests == one.finished + one.timed_out + one.rejected + one.unfinished
    return whole and one.timed_out == sum(pool.timed_out for pool in one.pools)


def test_everything_together_loses_no_request_and_shows_in_the_report() -> None:
    calm, found = (sz.simulate(MODEL, pools=POOLS, **ASK, **rules) for rules in ({}, STORM))
    assert conserved(found)
    assert found.unfinished == 0
    assert all(pool.failures > 5 for pool in found.pools)
    assert found.failures == sum(pool.failures for pool in found.pools)
    assert found.moved > 0
    assert 0.25 <= found.on_fraction < 1.0 == calm.on_fraction
    assert found.urgent_ttft_s is not None
    assert found.urgent_ttft_s.p99 <= 1.02 * found.ttft_s.p99
    assert found.output_tokens_per_s < 0.97 * calm.output_tokens_per_s
    shown = {block.title: block for section in report_of(found).sections for block in section.blocks}
    for name in ("Pools", "What happened in the pools"):
        assert len(shown[name].columns) == len(shown[name].rows[0])
        assert len(shown[name].rows) == 3
    assert "What happened in the pools" not in {b.title for s in report_of(calm).sections for b in s.blocks}


def test_threads_do_not_change_pools() -> None:
    one, three = (sz.simulate(MODEL, pools=POOLS, workers=n, **ASK, **STORM) for n in (1, 3))
    assert (one.ttft_s, one.e2e_s, one.hours, one.pools) == (three.ttft_s, three.e2e_s, three.hours, three.pools)


def _azure(folder: Path, gap: float = 0.3) -> str:
    draws = np.random.default_rng(3)
    at = np.cumsum(draws.exponential(gap, 6000))
    rows = [f"2023-11-16 18:{int(t // 60) % 60:02d}:{t % 60:09.6f},{int(p)},{int(o)}" for t, p, o in
            zip(at, draws.integers(50, 2000, 6000), draws.integers(5, 300, 6000), strict=True)]  # fmt: skip
    path = folder / "azure.csv"
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "\n".join(rows) + "\n")
    return str(path)


def _others(folder: Path) -> list[str]:
    rows = pl.DataFrame({"at": np.arange(900) * 0.5, "in": np.full(900, 700), "out": np.full(900, 40)})
    burst, mooncake, servegen = folder / "burst.csv", folder / "moon.jsonl", folder / "servegen.csv"
    named = rows.select(
        pl.col("at").alias("Timestamp"), pl.col("in").alias("Request tokens"), pl.col("out").alias("Response tokens")
    )
    named.with_columns(pl.lit("ChatGPT").alias("Model")).write_csv(burst)
    rows.select(
        pl.col("at").alias("timestamp"), pl.col("in").alias("input_tokens"), pl.col("out").alias("output_tokens")
    ).write_csv(servegen)
    mooncake.write_text("".join(
        f'{{"timestamp": {500 * i}, "input_length": 1024, "output_length": 40, "hash_ids": [{i % 7}, {1000 + i}]}}\n'
        for i in range(900)
    ))  # fmt: skip
    return [str(burst), str(mooncake), str(servegen)]


def test_recorded_requests_of_every_format_go_through_the_same(tmp_path: Path) -> None:
    storm = STORM | {"mtbf_s": 120.0, "repair_s": 20.0, "queue_timeout_s": 0.05}
    for path in (_azure(tmp_path), *_others(tmp_path)):
        found = sz.simulate(MODEL, pools=POOLS, trace=path, replications=1, **storm)
        assert conserved(found), path
        assert found.failures > 5
        assert found.moved > 0 or found.requests == 900
        assert found.urgent_ttft_s is not None
        assert found.requests in (900, 6000)


def test_a_replay_on_one_kind_takes_the_rules_too(tmp_path: Path) -> None:
    one = {"chip": "l4", "layout": "tp=2", "replicas": 1, "trace": _azure(tmp_path, 0.25), "replications": 1}
    patient, hasty = (sz.simulate(MODEL, queue_timeout_s=limit, **one) for limit in (None, 1.0))
    assert not patient.overloaded
    assert patient.timed_out == 0 < hasty.timed_out
    assert conserved(hasty)
    assert hasty.ttft_s.p99 < patient.ttft_s.p99
    urgent = sz.simulate(MODEL, urgent=0.1, **one)
    assert urgent.urgent_ttft_s is not None
    assert urgent.urgent_ttft_s.mean < 0.7 * urgent.ttft_s.mean
    stopped = sz.simulate(MODEL, cancelled=0.5, **one)
    assert stopped.e2e_s.mean < patient.e2e_s.mean


def test_a_replay_says_what_chance_leaves_open(tmp_path: Path) -> None:
    one = {"chip": "h100-sxm-80", "layout": "tp=1", "replicas": 2, "trace": _azure(tmp_path)}
    alone, drawn = sz.simulate(MODEL, **one), sz.simulate(MODEL, mtbf_s=300.0, repair_s=20.0, **one)
    assert {(line.days, line.over) for line in alone.chance} == {(10, "batches")}
    assert alone.chance[0].value_interval.p05 < alone.ttft_s.mean < alone.chance[0].value_interval.p95
    assert {(line.days, line.over) for line in drawn.chance} == {(5, "days")}
    notes = [block.note for section in report_of(alone).sections for block in section.blocks if "chance" in block.title]
    assert notes == ["means over 10 batches of the requests, one after another; in brackets their 95 % confidence interval"]


@pytest.mark.parametrize(
    ("wrong", "said"), [({"burstiness": 2.0}, "bursts"), ({"urgent": 1.5}, "urgent"), ({"warmup_s": 1e9}, "warm-up")]
)
def test_what_a_replay_cannot_take_is_one_line(tmp_path: Path, wrong: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        sz.simulate(MODEL, "h100-sxm-80", layout="tp=1", replicas=2, trace=_azure(tmp_path), **wrong)
    assert "\n" not in str(caught.value)
