"""Sizing over kinds of chip: confirmed by simulation, ranked, refused with a reason."""

import pytest

import suanzhang
from suanzhang.app.serve_size_kinds import router_for
from suanzhang.app.serve_verb_lengths import spec_of_lengths
from suanzhang.app.serve_weak import weak_ways
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import serve_stack
from suanzhang.errors import Infeasible, InputError
from suanzhang.spec.job import LengthSpec, ServiceSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.serve_kinds import KindsResult
from suanzhang.spec.serve_way import Way

SMALL = {"isl": 800, "osl": 200, "rate": 30.0, "ttft_p99_s": 1.0, "tpot_p99_s": 0.04}


@pytest.fixture(scope="module")
def found() -> KindsResult:
    answer = suanzhang.serve_kinds("llama-3.1-8b", "h100-sxm-80,l40s-48", **SMALL)
    assert isinstance(answer, KindsResult)
    return answer


def test_every_way_meets_the_targets_and_the_cheapest_comes_first(found: KindsResult) -> None:
    assert {item.apart for item in found.options} == {True, False}
    for item in found.options:
        assert item.deployment.ttft_s.p99 <= 1.0
        assert item.deployment.tpot_s.p99 <= 0.04
    assert found.by_money
    costs = [item.deployment.rent_per_month.amount for item in found.options if item.deployment.rent_per_month]
    assert costs == sorted(costs)


def test_a_pair_of_pools_may_mix_kinds() -> None:
    answer = suanzhang.serve_kinds("llama-3.1-70b", "h100-sxm-80,h200-sxm-141", **(SMALL | {"lossy": True}))
    assert any(item.apart for item in answer.options)
    assert all(len(item.deployment.chips) == len(item.kinds) for item in answer.options)


def test_the_front_falls_and_has_one_knee_for_each_kind(found: KindsResult) -> None:
    for kind in {point.chip for point in found.front}:
        own = [point for point in found.front if point.chip == kind]
        speeds = [point.tokens_per_s_per_user for point in own]
        rates = [point.tokens_per_s_per_chip for point in own]
        assert speeds == sorted(speeds, reverse=True)
        assert rates == sorted(rates)
        assert sum(point.knee for point in own) == 1


def test_what_cannot_be_met_is_refused_with_the_nearest_figure() -> None:
    with pytest.raises(Infeasible) as error:
        suanzhang.serve_kinds("llama-3.1-70b", "h100-sxm-80", **(SMALL | {"tpot_p99_s": 0.001}))
    assert "tpot_p99_s" in str(error.value.binding)


def test_one_kind_too_slow_leaves_the_others() -> None:
    answer = suanzhang.serve_kinds("llama-3.1-70b", "h100-sxm-80,l40s-48", **(SMALL | {"ttft_p99_s": 0.5}))
    assert "l40s-48" in {item.chip for item in answer.refused}
    assert all(item.reason for item in answer.refused)


def test_no_chip_and_no_rate_are_refused() -> None:
    with pytest.raises(InputError):
        suanzhang.serve_kinds("llama-3.1-8b", ",", **SMALL)
    with pytest.raises(InputError):
        suanzhang.serve_kinds("llama-3.1-8b", "h100-sxm-80", **(SMALL | {"rate": 0.0}))


def test_a_way_whose_queue_grows_at_four_fifths_of_its_capacity_is_still_judged() -> None:
    way = Way(model("deepseek-v3"), chip("a100-sxm-80"), serve_stack("vllm-0.12"), ServeLayout(tp=4, pp=4), "int8", "bf16")
    tokens = (LengthSpec("fixed", 1000.0, 1000.0), LengthSpec("fixed", 300.0, 300.0))
    found = weak_ways([(way, 13.0)], ServiceSpec("chat", way.model, 13.0, *tokens), {})
    assert any("first token" in flag.answer for flag in found)


@pytest.mark.parametrize("lengths", [{}, {"isl_p95": 1600.0, "osl_p95": 500.0}])
def test_a_day_of_the_answer_keeps_its_targets(lengths: dict[str, float]) -> None:
    asked = {"isl": 1000.0, "osl": 300.0, "rate": 100.0, "ttft_p99_s": 1.0, "tpot_p99_s": 0.05}
    answer = suanzhang.serve_kinds("llama-3.1-70b", "b200-sxm-180", **asked, **lengths, weight_dtype="fp4", kv_dtype="fp8")
    together = next(item.deployment for item in answer.options if not item.apart)
    service = ServiceSpec(
        "chat", model("llama-3.1-70b"), 100.0, *spec_of_lengths(1000.0, 300.0, *map(lengths.get, ("isl_p95", "osl_p95")))
    )
    day = suanzhang.simulate(
        "llama-3.1-70b", "b200-sxm-180", **asked, **lengths, weight_dtype="fp4", kv_dtype="fp8",
        layout=together.words.split()[1], replicas=together.replicas, router=router_for(service), replications=1,
    )  # fmt: skip
    assert day.meets_targets
