"""The shipped profiles against a sample of measured kernel times, and their own record of shapes left out."""

from pathlib import Path

import numpy as np
import pytest

from suanzhang.app.calibrate_summary import read_summary
from suanzhang.app.physics import physics
from suanzhang.catalog.chips import chip
from suanzhang.evidence.calibration.readers import Timings, read_timings
from suanzhang.evidence.calibration.store import SHIPPED, shipped_profile, shipped_profiles
from suanzhang.perf.args import OperatorArgs
from suanzhang.perf.attention import decode_attention_s, prefill_attention_s
from suanzhang.perf.collectives import allgather_s, allreduce_s, alltoall_s, reducescatter_s
from suanzhang.perf.gemm import gemm_s

DATA = Path(__file__).parent / "data"
CHIPS = ("a100-sxm-80", "h100-sxm-80", "b200-sxm-180", "l40s-48")
COLLECTIVES = (allreduce_s, allgather_s, reducescatter_s, alltoall_s)
LARGEST_MEDIAN_PCT = {"gemm": 7.0, "prefill": 5.0, "decode": 5.0, "link": 4.0}


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
        found = physics(chip(chip_id), dtype, "vllm", repeated=True)  # the engine of the sample
        assert found.origin == "measured"
        errors = [abs(_predict(item, row, found.args) / s - 1.0) for row, s in zip(item.shapes, item.seconds, strict=True)]
        assert 100.0 * float(np.median(errors)) < LARGEST_MEDIAN_PCT[item.op], f"{chip_id} {item.op} {item.dtype}"


SUMMARY = read_summary(SHIPPED)


def _left_out(op: str, column: str, same_architecture: bool | None = None) -> np.ndarray:
    rows = [r for r in SUMMARY if r.op == op and not r.host_bound and same_architecture in (None, r.same_architecture)]
    return np.array([value for r in rows if (value := getattr(r, column)) is not None])


@pytest.mark.parametrize(
    ("op", "within", "share"),
    [
        ("gemm", 5.0, 0.8),
        ("prefill", 5.0, 0.9),
        ("decode", 5.0, 1.0),
        ("mla_prefill", 5.0, 1.0),
        ("mla_decode", 5.0, 0.8),
        ("link", 5.0, 1.0),
        ("direct", 5.0, 0.95),
        ("moe", 12.0, 1.0),
    ],
)
def test_shapes_left_out_stay_within_the_bar(op: str, within: float, share: float) -> None:
    """The median surface is well within the bar and the stated share is within it; the others are in docs/accuracy.md."""
    errors = _left_out(op, "shapes_left_out_pct")
    assert len(errors) >= 8
    assert float(np.median(errors)) <= (6.5 if op == "moe" else 4.5)
    assert float((errors <= within).mean()) >= share


@pytest.mark.parametrize("op", ["gemm", "prefill", "decode", "mla_prefill", "mla_decode", "moe", "link", "direct"])
def test_a_chip_left_out_whole_is_near_when_its_architecture_was_timed(op: str) -> None:
    errors = _left_out(op, "chip_left_out_pct", True)
    assert float(np.median(errors)) <= 6.0
    assert float((errors <= 12.0).mean()) >= 0.85


@pytest.mark.parametrize(("op", "largest_median"), [("gemm", 18.0), ("prefill", 19.5), ("decode", 16.0), ("moe", 20.0)])
def test_a_chip_left_out_with_its_architecture_gets_no_worse(op: str, largest_median: float) -> None:
    """Missing the bar of 12 %: held where it is, so that it can only improve."""
    assert float(np.median(_left_out(op, "chip_left_out_pct", False))) <= largest_median


def test_the_summary_is_of_the_shipped_profiles() -> None:
    fitted = {
        (s.op, shipped_profile(name).chip, shipped_profile(name).stack, s.dtype): (s.rows, s.median_abs_pct)
        for name in shipped_profiles()
        for s in shipped_profile(name).surfaces
    }
    assert {(r.op, r.chip, r.stack, r.dtype): (r.rows, r.in_sample_pct) for r in SUMMARY} == fitted


def test_every_profile_states_its_source_and_licence() -> None:
    for name in shipped_profiles():
        profile = shipped_profile(name)
        assert "AIConfigurator" in profile.source and profile.licence == "Apache-2.0" and profile.date
        assert profile.id == name
        chip(profile.chip)
