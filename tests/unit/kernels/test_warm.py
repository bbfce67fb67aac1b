"""Operands that the on-chip cache keeps while the same kernel is timed again and again."""

import numpy as np
import pytest

from suanzhang.app.calibrate_fit import fit_surface
from suanzhang.app.physics import physics
from suanzhang.app.physics_carried import carry, mean_surface
from suanzhang.app.surfaces import GEMM, WARM, peaks_of
from suanzhang.catalog.chips import chip
from suanzhang.evidence.calibration.readers import Timings
from suanzhang.evidence.calibration.store import shipped_profile, shipped_profiles
from suanzhang.perf.gemm import gemm_closed_s
from suanzhang.perf.warm import memory_share

SIZES = [2.0**power for power in range(7, 15)]
SHAPES = np.array([[m, n, k] for m in (1.0, 8.0, 64.0, 512.0) for n in SIZES for k in SIZES])
TRUE = {
    "efficiency": 0.8,
    "hbm_efficiency": 0.8,
    "ramp_k": 100.0,
    "launch_s": 2e-6,
    "wave_weight": 0.2,
    "feed_bytes_per_flop": 0.05,
    "exposed": 0.2,
}


def timings(name: str, warm: dict[str, float]) -> Timings:
    peaks = peaks_of(chip(name), "gemm", "bf16")
    assert peaks is not None
    seconds = GEMM.predict(peaks, "bf16", {**TRUE, **warm}, SHAPES)
    return Timings("gemm", "bf16", "", "1", SHAPES, seconds)


def test_the_cache_is_fitted_where_timings_outrun_the_memory_and_only_there() -> None:
    peaks = peaks_of(chip("l40s-48"), "gemm", "bf16")
    assert peaks is not None
    kept = fit_surface(GEMM, timings("l40s-48", {"l2_share": 0.2, "l2_gain": 3.0}), peaks).coefficients
    assert kept["l2_share"] == pytest.approx(0.2, rel=0.2) and kept["l2_gain"] == pytest.approx(3.0, rel=0.2)
    cold = fit_surface(GEMM, timings("l40s-48", {}), peaks).coefficients
    assert not set(WARM) & set(cold)


def test_a_cache_that_is_outgrown_stops_to_hit() -> None:
    shares = [memory_share(size, 16e6, 3.0) for size in (1e6, 8e6, 24e6, 1e9)]
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(1.0 / 3.0) and shares[-1] == pytest.approx(1.0)


def test_in_a_running_model_weights_come_from_memory() -> None:
    """8 MiB of weights stay on the chip while they are timed; between two layers of a model they do not."""
    here = chip("l40s-48")
    model, timed = (physics(here, "bf16", "vllm", repeated=repeated).args.gemm for repeated in (False, True))
    shape = (1.0, 2048.0, 2048.0, 1.0)
    least_s = 2048.0 * 2048.0 * 2.0 / here.hbm_bytes_per_s
    assert gemm_closed_s(*shape, timed) < least_s + timed.launch_s
    assert gemm_closed_s(*shape, model) > least_s + model.launch_s
    big = (1.0, 16384.0, 16384.0, 1.0)
    assert gemm_closed_s(*big, timed) == pytest.approx(gemm_closed_s(*big, model), rel=1e-3)
    pooled = physics(here, "bf16").args.gemm
    assert (pooled.l2_bytes, pooled.l2_gain) == (1.0, 1.0), "the mean of engines is that of running models"


def test_shipped_fits_see_the_cache_on_chips_whose_memory_is_slow_beside_it() -> None:
    seen = {
        profile.split("--")[0]
        for profile in shipped_profiles()
        if (surface := shipped_profile(profile).surface("gemm", "bf16")) and "l2_gain" in surface.coefficients
    }
    assert seen == {"l40s-48", "rtxpro6000-96"}


def test_a_mean_keeps_what_some_of_the_chips_tell_of_the_cache() -> None:
    l40s, h100 = (shipped_profile(f"{name}--vllm-0.24.0").surface("gemm", "bf16") for name in ("l40s-48", "h100-sxm-80"))
    assert l40s is not None and h100 is not None
    both = mean_surface([h100, l40s])
    assert both.coefficients["l2_gain"] == l40s.coefficients["l2_gain"]
    assert "l2_gain" not in mean_surface([h100, h100]).coefficients


def test_fixed_times_of_collectives_follow_the_clock_between_architectures_alone() -> None:
    a100, h100, h200 = (chip(name) for name in ("a100-sxm-80", "h100-sxm-80", "h200-sxm-141"))
    timed = shipped_profile("h100-sxm-80--nccl-2.29.2").surface("link", "bf16")
    assert timed is not None
    there = carry(timed, h100, a100, False).coefficients
    assert there["base_s"] / timed.coefficients["base_s"] == pytest.approx(1.83 / 1.41, rel=1e-3)
    assert carry(timed, h100, h200, True).coefficients == timed.coefficients
