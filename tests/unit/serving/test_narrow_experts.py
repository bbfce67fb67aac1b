"""Experts in 8 bits never take longer than in 16: timings in which they do carry the host or an untuned kernel."""

import pytest

from suanzhang.app.serve_args import op_args
from suanzhang.app.serve_estimate import estimate_serve
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import serve_stack
from suanzhang.perf.moe import moe_ffn_s
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.serve import StaticBatch


@pytest.mark.parametrize("stack", ["vllm-0.12", "sglang-0.5.9", "trtllm-1.2"])
@pytest.mark.parametrize("name", ["h100-sxm-80", "h200-sxm-141", "b200-sxm-180"])
def test_experts_in_8_bits_are_not_slower_than_in_16(stack: str, name: str) -> None:
    def decode_s(dtype: str) -> float:
        ops, _ = op_args(model("deepseek-v3"), chip(name), dtype, serve_stack(stack))
        return float(moe_ffn_s(64.0, 7168.0, 2048.0, 8.0, 256.0, 8.0, 1.0, 1.0, 1.0, ops.moe))

    assert decode_s("fp8") <= decode_s("bf16")
    least_s = 3.0 * 7168.0 * 2048.0 * 256.0 / 8.0 / chip(name).hbm_bytes_per_s
    assert 0.6 * least_s <= decode_s("fp8") <= 4.0 * least_s  # all weights of a rank's experts are read, most of them at least


def test_fine_grained_mixtures_take_block_scaled_products_and_others_do_not() -> None:
    stack, b200 = serve_stack("sglang-0.5.9"), chip("b200-sxm-180")
    block, _ = op_args(model("deepseek-v3"), b200, "fp8", stack)
    whole, _ = op_args(model("mixtral-8x7b"), b200, "fp8", stack)
    assert block.bounded == 1.0 and whole.bounded == 0.0
    assert op_args(model("deepseek-v3"), b200, "fp4", stack)[0].bounded == 0.0
    slower = moe_ffn_s(512.0, 7168.0, 2048.0, 8.0, 256.0, 8.0, 1.0, 1.0, 1.0, block.moe)
    assert slower > moe_ffn_s(512.0, 7168.0, 2048.0, 8.0, 256.0, 8.0, 1.0, 1.0, 1.0, whole.moe)


def test_a_long_prompt_takes_no_longer_in_8_bits_than_in_16() -> None:
    def prefill_s(dtype: str) -> float:
        work = StaticBatch(8, 8192, 1)
        layout = ServeLayout(tp=1, dp=8, ep=8)
        stack = serve_stack("sglang-0.5.9")
        found = estimate_serve(model("deepseek-v3"), chip("b300-sxm-288"), layout, stack, dtype, "fp8", work)
        return sum(term.value for term in found.prefill_terms if term.name == "experts")

    assert prefill_s("fp8") <= prefill_s("bf16")


def test_the_state_of_linear_attention_passes_through_a_prompt_step_by_step() -> None:
    def mixer_s(batch: int, isl: float) -> float:
        found = estimate_serve(
            model("qwen3.5-27b"), chip("b200-sxm-180"), ServeLayout(), serve_stack("sglang-0.5.9"), "bf16", "bf16",
            StaticBatch(batch, isl, 1),
        )  # fmt: skip
        return sum(term.value for term in found.prefill_terms if term.name == "mixer")

    assert mixer_s(1, 8192.0) > mixer_s(8, 1024.0)
