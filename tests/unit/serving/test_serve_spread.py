"""How errors of a replica become those of counts, percentiles, sums and differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

from suanzhang.app.serve_futures import COMMON_SHARE, Futures, common_share
from suanzhang.app.serve_improve_judge import Judge
from suanzhang.app.serve_size_way import prepare
from suanzhang.app.serve_spread import (
    around,
    memory_factors,
    percentiles_around,
    replicas_for,
    spread_memory,
    spread_refusal,
    times,
    whole,
)
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import serve_stack
from suanzhang.spec.draws import two_piece_lognormal
from suanzhang.spec.job import LengthSpec, LoadSpec, ServiceSpec, SloSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.result import Interval
from suanzhang.spec.serve import Percentiles, Refusal, ServeMemory
from suanzhang.spec.serve_way import Way

OFF = Interval(0.7, 1.0, 1.4)
FIXED = LengthSpec("fixed", 500.0, 500.0)
SERVICE = ServiceSpec("x", model("llama-3.1-8b"), 60.0, FIXED, FIXED, LoadSpec(), SloSpec(ttft_p99_s=1.0, tpot_p99_s=0.05))


def test_a_product_of_lognormals_is_that_of_draws() -> None:
    one, two = Interval(0.5, 1.0, 2.0), Interval(0.8, 1.0, 1.25)
    random = np.random.default_rng(0)
    drawn = two_piece_lognormal(one, random.standard_normal(400_000)) * two_piece_lognormal(
        two, random.standard_normal(400_000)
    )
    found = times(one, two)
    assert np.quantile(drawn, (0.05, 0.5, 0.95)) == pytest.approx((found.p05, found.p50, found.p95), rel=0.01)


def test_counts_are_whole_and_hold_the_count_itself() -> None:
    found = whole(lambda factor: replicas_for(100.0, 11.0 * factor), OFF, 8)
    assert (found.p05, found.p50, found.p95) == (8.0 * 7, 8.0 * 10, 8.0 * 13)
    slow = whole(lambda factor: replicas_for(100.0, 11.0 * factor), Interval(0.5, 0.6, 0.7))
    assert slow.p05 == 10.0 and slow.p50 == 16.0 and slow.p95 == 19.0


def test_no_interval_leaves_its_value_out() -> None:
    assert around(10.0, Interval(0.5, 0.6, 0.8)).p95 == 10.0
    assert around(0.9, Interval(0.9, 1.0, 1.5), 1.0).p95 == 1.0


def test_simulated_percentiles_widen_with_few_requests_and_most_in_the_tail() -> None:
    values = Percentiles(1.0, 0.8, 1.6, 3.0)
    plain, many, few = (percentiles_around(values, OFF, count, 10.0) for count in (0.0, 1e7, 2_000.0))
    assert plain.p99_interval == OFF.scaled(3.0)
    for one in (plain, many, few):
        assert one.mean_interval and one.p50_interval and one.p90_interval and one.p99_interval

    def width(interval: Interval | None) -> float:
        assert interval is not None
        return math.log(interval.p95 / interval.p05)

    assert width(many.p99_interval) == pytest.approx(width(plain.p99_interval), rel=0.01)
    assert width(few.p99_interval) > width(few.p90_interval) > width(few.mean_interval) > width(plain.mean_interval)


def test_ways_on_one_chip_share_most_of_their_error_and_others_none() -> None:
    judge = Judge(SERVICE, {}, "", "")
    futures = Futures(judge)
    base = Way(SERVICE.model, chip("h100-sxm-80"), serve_stack("vllm-0.12"), ServeLayout(tp=1), "bf16", "bf16")
    narrow = Way(SERVICE.model, chip("h100-sxm-80"), serve_stack("vllm-0.12"), ServeLayout(tp=1), "fp8", "bf16")
    other = Way(SERVICE.model, chip("l40s-48"), serve_stack("vllm-0.12"), ServeLayout(tp=1), "bf16", "bf16")
    rate = 0.3 * prepare(other, FIXED, FIXED).estimate.capacity_requests_per_s
    one, two, three = (np.log(futures.capacity(way, rate)) for way in (base, narrow, other))
    assert np.corrcoef(one, two)[0, 1] == pytest.approx(COMMON_SHARE, abs=0.1)
    assert abs(np.corrcoef(one, three)[0, 1]) < 0.1
    assert np.array_equal(one, np.log(futures.capacity(base, rate)))


def test_the_common_share_is_found_in_drawn_groups() -> None:
    random = np.random.default_rng(1)
    groups = [random.normal(random.normal(0.0, math.sqrt(0.7)), math.sqrt(0.3), 12) for _ in range(800)]
    assert common_share(groups) == pytest.approx(0.7, abs=0.03)
    assert common_share([random.normal(0.0, 1.0, 12) for _ in range(800)]) < 0.05


@pytest.mark.parametrize("name", ["chips", "ttft_p99_s", "tpot_p99_s", "e2e_p99_s"])
@pytest.mark.parametrize("kind", ["h100-sxm-80", "ascend-910a"])
def test_whatever_a_refusal_comes_near_to_has_an_interval(name: str, kind: str) -> None:
    refused = spread_refusal(Refusal("chat", kind, "too many", (name,), {name: 400.0}, 1), chip(kind))
    found = refused.nearest_interval[name]
    assert found.p05 < 400.0 < found.p95


def test_memory_that_is_taken_more_is_missing_in_the_cache() -> None:
    memory = ServeMemory(40.0, 4.0, 6.0, 30.0, 0.5, 0.0, 60.0, True)
    found = spread_memory(memory, Interval(0.9, 1.0, 1.2), "measured somewhere")
    assert found.used_bytes_interval == Interval(45.0, 50.0, 60.0)
    assert found.kv_bytes_interval == Interval(20.0, 30.0, 35.0)
    assert found.kv_tokens_interval == Interval(40.0, 60.0, 70.0)
    assert found.activation_bytes_interval == Interval(2.0, 4.0, 8.0)
    assert found.reserve_bytes_interval == Interval(3.0, 6.0, 12.0)
    full = spread_memory(memory, Interval(0.9, 1.0, 2.0), "measured somewhere")
    assert full.kv_bytes_interval is not None and full.kv_bytes_interval.p05 == 0.0
    nothing = spread_memory(ServeMemory(90.0, 4.0, 6.0, -20.0, 0.5, 0.0, 0.0, False), Interval(0.9, 1.0, 1.2), "x")
    assert nothing.kv_bytes_interval is None


def test_memory_rests_on_measured_trainings_and_says_so() -> None:
    factors, basis = memory_factors("calibrated")
    assert factors.p05 < 1.0 < factors.p95
    assert "trainings of" in basis and "no served model states its memory" in basis


def test_an_answer_counts_the_same_replicas_as_its_sizing() -> None:
    from suanzhang.app.serve import serve

    found = serve("llama-3.1-8b", "h100-sxm-80", isl=500, osl=100, rate=2.0, ttft_p99_s=1.0, tpot_p99_s=0.05,
                  simulated_requests=0)  # fmt: skip
    assert found.sized is not None and found.replicas == found.sized.replicas == 1
    assert found.sized.utilisation_mean < 0.5
    assert found.replicas_interval == found.sized.replicas_interval == Interval(1.0, 1.0, 1.0)
