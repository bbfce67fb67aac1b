"""Chips without timings whose best rate of products was published."""

from dataclasses import replace

import pytest

from suanzhang.app.physics import physics
from suanzhang.app.physics_carried import reaching
from suanzhang.app.physics_data import best_products_share
from suanzhang.catalog.chips import chip
from suanzhang.evidence.calibration.store import shipped_profile
from suanzhang.perf.gemm import gemm_s

_SIZES = (4096.0, 8192.0, 16384.0)


def best_share(name: str, dtype: str) -> float:
    args = physics(chip(name), dtype).args.gemm
    rates = (2.0 * m * n * k / gemm_s(m, n, k, 1.0, args) for m in _SIZES for n in _SIZES for k in _SIZES)
    return max(rates) / args.peak_flop_per_s


@pytest.mark.parametrize(
    ("name", "published_flop_per_s"),
    [
        ("mi250x-128", 294e12),
        ("mi300x-192", 668.4e12),
        ("mi325x-256", 784.9e12),
        ("mi355x-288", 1565e12),
        ("gaudi3-128", 1243e12),
    ],
)
def test_dense_products_reach_the_published_rate_and_no_more(name: str, published_flop_per_s: float) -> None:
    share = published_flop_per_s / chip(name).peak_flop_per_s["bf16"]
    assert best_share(name, "bf16") == pytest.approx(share, rel=0.03)


@pytest.mark.parametrize(("name", "published_flop_per_s"), [("a100-sxm-80", 271.2e12), ("h100-sxm-80", 794.5e12)])
def test_published_rates_and_timings_of_the_same_chip_agree(name: str, published_flop_per_s: float) -> None:
    """The timings never saw the published search: both must tell the same of a chip that has both."""
    assert best_share(name, "bf16") == pytest.approx(published_flop_per_s / chip(name).peak_flop_per_s["bf16"], rel=0.05)


def test_attention_and_experts_keep_to_the_same_share() -> None:
    slow, fast = (physics(chip(name), "bf16").args for name in ("mi300x-192", "mi325x-256"))
    ratio = 668.4 / 784.9
    assert slow.attention.efficiency / fast.attention.efficiency == pytest.approx(ratio, rel=0.1)
    assert slow.moe.efficiency / fast.moe.efficiency == pytest.approx(ratio, rel=0.1)


def test_a_format_without_a_rate_takes_the_share_in_16_bit() -> None:
    here = chip("mi300x-192")
    assert best_products_share(here, "fp8") == best_products_share(here, "bf16") == pytest.approx(668.4e12 / 1307.4e12)
    assert best_products_share(chip("h100-sxm-80"), "fp8") == pytest.approx(1402.6e12 / 1978.9e12)
    assert best_products_share(chip("v100-sxm2-32"), "fp16") is None


def test_memory_and_links_are_left_as_they_were() -> None:
    timed = shipped_profile("h100-sxm-80--vllm-0.24.0")
    for op in ("decode", "direct"):
        surface = timed.surface(op, "bf16")
        assert surface is not None
        assert reaching(surface, chip("mi300x-192"), (chip("h100-sxm-80"),)) == surface
    prefill = timed.surface("prefill", "bf16")
    assert prefill is not None
    unknown = replace(chip("mi300x-192"), id="unknown-192")
    assert reaching(prefill, unknown, (chip("h100-sxm-80"),)) == prefill
