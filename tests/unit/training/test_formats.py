"""Formats of products by name: which chip runs them, what they cost in time and memory."""

from __future__ import annotations

import pytest

from suanzhang.app.launch_megatron import FP8_RECIPES
from suanzhang.app.train_model import estimate_packed, pack
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.sources import sources
from suanzhang.catalog.stacks import train_stack
from suanzhang.errors import OutOfDomain
from suanzhang.perf.training.layer import quantize_bytes
from suanzhang.perf.training.pack import layout_args
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.precision import NAMES, PRECISIONS, canonical, precision_of

STACK = train_stack("megatron-lm-2025")
LAYOUT = TrainLayout(tp=2, pp=4, dp=32)
NARROW = ("fp8", "fp8-block", "mxfp8", "nvfp4", "nvfp4-mixed")


def _packed(precision: str, kind: str = "b200-sxm-180"):
    return pack(TrainJob("70b", model("llama-3-70b"), 1e12, 8192, 1024, precision), chip(kind), STACK)


def _ask(precision: str, kind: str = "b200-sxm-180"):
    return estimate_packed(_packed(precision, kind), LAYOUT, chip(kind))


def _parts(estimate) -> dict[str, float]:
    return {part.name: part.value for part in estimate.memory[1].parts}


def test_narrow_products_are_faster_and_their_terms_sum() -> None:
    wide = _ask("bf16")
    for name in NARROW:
        found = _ask(name)
        assert found.step_s < wide.step_s
        assert found.model_flop == wide.model_flop
        assert sum(term.value for term in found.terms) == pytest.approx(found.step_s)
    assert _ask("nvfp4").step_s < _ask("mxfp8").step_s


def test_layers_kept_in_16_bit_cost_their_share() -> None:
    narrow, mixed, wide = (_ask(name).step_s for name in ("nvfp4", "nvfp4-mixed", "bf16"))
    assert narrow < mixed < wide
    assert mixed - narrow == pytest.approx(0.15 * (wide - narrow), rel=0.5)


def test_master_weights_and_moments_stay_and_copies_add_their_scales() -> None:
    parts = {name: _parts(_ask(name)) for name in ("bf16", *NARROW)}
    for name in NARROW:
        for part in ("weights", "gradients", "optimizer"):
            assert parts[name][part] == parts["bf16"][part]
    weights = parts["bf16"]["weights"] / 2.0
    for name, copies in (("fp8-block", 2.0 * 4.0 / 128.0), ("mxfp8", 2.0 / 32.0), ("nvfp4", 2.0 * 0.5625)):
        beside = parts[name]["buffers"] - parts["fp8"]["buffers"]
        assert beside == pytest.approx(copies * weights, rel=0.12)


def test_scales_and_a_second_reading_add_traffic() -> None:
    row = layout_args(LAYOUT)

    def moved(name: str) -> float:
        packed = _packed(name)
        return float(quantize_bytes(packed.shape, packed.run, row, packed.shape.ffn))

    assert moved("fp8") < moved("mxfp8") == moved("fp8-block")
    assert moved("mxfp8") / moved("fp8") == pytest.approx((2.0 + 2.0 * 1.03125) / 4.0)
    assert moved("nvfp4") / moved("fp8") == pytest.approx((4.0 + 2.0 * 0.5625) / 4.0)
    assert moved("bf16") == 0.0


@pytest.mark.parametrize(
    ("kind", "name", "why"),
    [
        ("a100-sxm-80", "fp8-block", "has no fp8 arithmetic, which fp8-block needs"),
        ("h100-sxm-80", "mxfp8", "no scale for each block of 32 values"),
        ("h100-sxm-80", "nvfp4", "has no fp4 arithmetic"),
        ("v100-sxm2-32", "bf16", "has no bf16 arithmetic"),
    ],
)
def test_a_chip_without_the_arithmetic_is_refused_with_the_reason(kind: str, name: str, why: str) -> None:
    with pytest.raises(OutOfDomain, match=why):
        _packed(name, kind)
    assert not chip(kind).has(name)


def test_hopper_runs_block_scales_by_its_own_kernels() -> None:
    assert _ask("fp8-block", "h100-sxm-80").step_s != _ask("fp8", "h100-sxm-80").step_s


def test_names_are_known_and_have_sources() -> None:
    assert set(PRECISIONS) <= set(NAMES)
    assert all(form.source in sources() for form in PRECISIONS.values())
    assert canonical("FP8_block") == "fp8-block"
    assert canonical("MX-FP8") == "mxfp8"
    assert precision_of("bf16").value_bytes == 2.0
    assert set(FP8_RECIPES) == {"fp8", "fp8-block", "mxfp8"}
