"""Sizing: fewest chips, counts by condition, refusals with the nearest reachable figures."""

import pytest
from serving_shapes import H100, LLAMA_70B, VLLM

import suanzhang
from suanzhang.app.serve import size_service
from suanzhang.spec.job import LengthSpec, LoadSpec, Redundancy, ServiceSpec, SloSpec
from suanzhang.spec.serve import Refusal, ServeCoefficients, SizedService

PLAIN = ServeCoefficients()


def _service(rate: float = 100.0, **changes: object) -> ServiceSpec:
    values: dict[str, object] = {
        "slo": SloSpec(ttft_p99_s=2.0, tpot_p99_s=0.1), "load": LoadSpec("diurnal", 2.0), "redundancy": Redundancy(0, 0.1),
    }  # fmt: skip
    return ServiceSpec(
        "chat", LLAMA_70B, rate, LengthSpec("lognormal", 200, 600), LengthSpec("lognormal", 300, 900), **(values | changes)
    )  # type: ignore[arg-type]


def _sized(service: ServiceSpec) -> SizedService:
    found = size_service(service, H100, VLLM, PLAIN)
    assert isinstance(found, SizedService), found
    return found


def test_targets_peak_and_spares_each_cost_chips() -> None:
    found = _sized(_service())
    by_condition = {item.condition: item.chips for item in found.counts}
    assert by_condition["mean load, no latency limit, no spares"] == found.chips_mean_no_slo <= found.chips_mean
    assert by_condition["peak load within the latency targets, with spares"] == found.chips
    assert found.chips_mean < by_condition["peak load within the latency targets, no spares"] < found.chips
    assert found.chips == found.replicas * found.layout.chips


def test_the_estimate_at_peak_is_within_the_targets() -> None:
    found = _sized(_service())
    assert found.peak.ttft_s.p99 <= 2.0
    assert found.peak.tpot_s.p99 <= 0.1
    assert not found.peak.saturated


def test_an_unreachable_target_is_refused_with_the_nearest_reachable_one() -> None:
    found = size_service(_service(slo=SloSpec(tpot_p99_s=0.001)), H100, VLLM, PLAIN)
    assert isinstance(found, Refusal)
    assert found.binding == ("tpot_p99_s",)
    assert found.nearest["tpot_p99_s"] > 0.001
    again = size_service(_service(slo=SloSpec(tpot_p99_s=1.3 * found.nearest["tpot_p99_s"])), H100, VLLM, PLAIN)
    assert isinstance(again, SizedService)


def test_a_model_that_no_layout_holds_is_refused_for_its_memory() -> None:
    from dataclasses import replace

    found = size_service(_service(), replace(H100, id="tiny", hbm_bytes=1e9), VLLM, PLAIN)
    assert isinstance(found, Refusal)
    assert found.binding == ("memory",)


def test_lossy_precision_is_tried_only_when_allowed() -> None:
    assert _sized(_service()).weight_dtype == "bf16"
    assert _sized(_service(lossy_precision=True)).chips < _sized(_service()).chips


@pytest.mark.parametrize("rate", [1.0, 10.0, 1000.0])
def test_replicas_carry_the_peak(rate: float) -> None:
    found = _sized(_service(rate))
    assert (found.replicas - found.spare_replicas) * found.replica_requests_per_s >= 2.0 * rate * 0.999


def test_a_refusal_names_only_targets_that_no_layout_reaches() -> None:
    found = size_service(_service(slo=SloSpec(ttft_p99_s=1e-3, tpot_p99_s=0.1)), H100, VLLM, PLAIN)
    assert isinstance(found, Refusal)
    assert found.binding == ("ttft_p99_s",)
    assert "tpot_p99_s" not in found.reason
    assert found.nearest["tpot_p99_s"] < 0.1 < 1e3 * found.nearest["ttft_p99_s"]


def test_targets_that_only_an_idle_replica_meets_are_refused() -> None:
    floor = size_service(_service(slo=SloSpec(ttft_p99_s=1e-3, tpot_p99_s=0.1)), H100, VLLM, PLAIN)
    assert isinstance(floor, Refusal)
    barely = SloSpec(ttft_p99_s=1.0001 * floor.nearest["ttft_p99_s"], tpot_p99_s=1.0001 * floor.nearest["tpot_p99_s"])
    found = size_service(_service(slo=barely), H100, VLLM, PLAIN)
    assert isinstance(found, Refusal)
    assert "below 15% of its capacity" in found.reason


def test_the_longest_answers_decide_the_end_to_end_target() -> None:
    """The formulas' 99th percentile of whole answers is that of the simulated ones, and a fleet is sized for it."""
    asked = {"isl": 1000.0, "osl": 300.0, "isl_p95": 3000.0, "osl_p95": 900.0, "rate": 5.0, "layout": "tp=4"}
    formulas = suanzhang.serve("llama-3.1-70b", "h100-sxm-80", **asked, simulated_requests=0)
    followed = suanzhang.serve("llama-3.1-70b", "h100-sxm-80", **asked)
    for name in ("mean", "p50", "p90", "p99"):
        assert getattr(formulas.e2e_s, name) == pytest.approx(getattr(followed.e2e_s, name), rel=0.15)
    chips = []
    for limit in (20.0, 60.0, 300.0):
        found = size_service(_service(50.0, slo=SloSpec(e2e_p99_s=limit)), H100, VLLM, PLAIN)
        chips.append(10**9 if isinstance(found, Refusal) else found.chips)
    assert chips[0] > chips[1] > chips[2]
