"""The shipped profiles against a sample of measured kernel times, and their own record of shapes left out."""

from pathlib import Path

import numpy as np
import pytest

from suanzhang.app.physics import physics
from suanzhang.catalog.chips import chip
from suanzhang.evidence.calibration.readers import Timings, read_timings
from suanzhang.evidence.calibration.store import shipped_profile, shipped_profiles
from suanzhang.perf.args import OperatorArgs
from suanzhang.perf.attention import decode_attention_s, prefill_attention_s
from suanzhang.perf.collectives import allgather_s, allreduce_s, alltoall_s, reducescatter_s
from suanzhang.perf.gemm import gemm_s

DATA = Path(__file__).parent / "data"
CHIPS = ("a100-sxm-80", "h100-sxm-80", "b200-sxm-180", "l40s-48")
COLLECTIVES = (allreduce_s, allgather_s, reducescatter_s, alltoall_s)
LARGEST_MEDIAN_PCT = {"gemm": 10.0, "prefill": 6.0, "decode": 7.0, "link": 4.0}


def _predict(item: Timings, row: np.ndarray, args: OperatorArgs) -> float:
    if item.op == "gemm":
        return gemm_s(*row.tolist(), 1.0, args.gemm)
    if item.op == "prefill":
        batch, length, heads, kv_heads, qk_dim, v_dim, window = row.tolist()
        return prefill_attention_s(batch, length, length, heads, kv_heads, qk_dim, v_dim, 1.0, window, args.attention)
    if item.op == "decode":
        batch, context, heads, kv_heads, dim, elem_bytes = row.tolist()
        return decode_attention_s(batch, batch * context, heads, kv_heads, dim, dim, elem_bytes, args.attention)
    size_bytes, ranks, kind = row.tolist()
    return COLLECTIVES[int(kind)](size_bytes, ranks, 1.0, args.link)


@pytest.mark.parametrize("chip_id", CHIPS)
def test_median_error_on_the_measured_sample(chip_id: str) -> None:
    for item in read_timings(DATA / f"{chip_id}.csv"):
        if item.op == "prefill" and item.dtype != "bf16":
            continue
        dtype = item.dtype if item.op == "gemm" else "bf16"
        found = physics(chip(chip_id), dtype)
        assert found.origin == "measured"
        errors = [abs(_predict(item, row, found.args) / s - 1.0) for row, s in zip(item.shapes, item.seconds, strict=True)]
        assert 100.0 * float(np.median(errors)) < LARGEST_MEDIAN_PCT[item.op], f"{chip_id} {item.op} {item.dtype}"


@pytest.mark.parametrize("op", ["gemm", "prefill", "decode", "link", "direct"])
def test_shapes_left_out_stay_within_the_bar(op: str) -> None:
    """The median surface is within five percent, and three in four (of decode every second one) are."""
    found = [s for name in shipped_profiles() for s in shipped_profile(name).surfaces if s.op == op]
    errors = np.array([surface.left_out_pct for surface in found if np.isfinite(surface.left_out_pct)])
    assert len(errors) >= 8
    assert float(np.median(errors)) <= 5.0
    assert float((errors <= 5.0).mean()) >= (0.5 if op == "decode" else 0.75)


def test_every_profile_states_its_source_and_licence() -> None:
    for name in shipped_profiles():
        profile = shipped_profile(name)
        assert "AIConfigurator" in profile.source and profile.licence == "Apache-2.0" and profile.date
        assert profile.id == name
        chip(profile.chip)
