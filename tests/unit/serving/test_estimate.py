"""What one replica does with a workload: terms, limits, refusals."""

import math
from dataclasses import replace

import pytest
from serving_shapes import DEEPSEEK, H100, LLAMA_8B, LLAMA_70B, TRTLLM, VLLM

from suanzhang.app.serve import estimate_serve
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import serve_stack
from suanzhang.errors import Infeasible, InputError, OutOfDomain
from suanzhang.spec.job import LengthSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.serve import ClosedLoop, OpenLoop, ServeCoefficients, StaticBatch

PLAIN = ServeCoefficients()
FIXED = (LengthSpec("fixed", 1000, 1000), LengthSpec("fixed", 300, 300))


def test_terms_sum_to_the_iteration() -> None:
    found = estimate_serve(LLAMA_70B, H100, ServeLayout(tp=4, pp=2), VLLM, "bf16", "bf16", ClosedLoop(32, 1000, 200), PLAIN)
    assert sum(term.value for term in found.terms) == pytest.approx(found.decode_iteration_s)
    assert {"projections", "ffn", "tensor_comm", "pipeline_comm"} <= {term.name for term in found.terms}


def test_a_small_batch_cannot_be_faster_than_reading_the_weights() -> None:
    found = estimate_serve(LLAMA_8B, H100, ServeLayout(), VLLM, "bf16", "bf16", StaticBatch(1, 128, 128), PLAIN)
    assert found.tpot_s.mean > 2.0 * (LLAMA_8B.params - LLAMA_8B.embedding_params) / H100.hbm_bytes_per_s


def test_a_static_batch_is_prefill_and_steps() -> None:
    found = estimate_serve(LLAMA_8B, H100, ServeLayout(), VLLM, "bf16", "bf16", StaticBatch(8, 128, 65), PLAIN)
    assert found.e2e_s.mean == pytest.approx(found.ttft_s.mean + 64 * found.tpot_s.mean)
    assert found.output_tokens_per_s == pytest.approx(8 * 65 / found.e2e_s.mean)


def test_a_closed_loop_obeys_littles_law() -> None:
    found = estimate_serve(LLAMA_8B, H100, ServeLayout(), VLLM, "bf16", "bf16", ClosedLoop(64, 1000, 300), PLAIN)
    assert found.requests_per_s * found.e2e_s.mean == pytest.approx(64, rel=0.05)


def test_an_overloaded_open_loop_reports_its_capacity_and_an_endless_queue() -> None:
    found = estimate_serve(LLAMA_8B, H100, ServeLayout(), VLLM, "bf16", "bf16", OpenLoop(1e4, *FIXED), PLAIN)
    assert found.saturated
    assert math.isinf(found.ttft_s.mean)
    assert found.requests_per_s == pytest.approx(found.capacity_requests_per_s)
    assert found.warnings


def test_percentiles_of_an_open_loop_are_ordered() -> None:
    lengths = (LengthSpec("lognormal", 1000, 3000), LengthSpec("lognormal", 300, 900))
    found = estimate_serve(LLAMA_8B, H100, ServeLayout(), VLLM, "bf16", "bf16", OpenLoop(5.0, *lengths), PLAIN)
    for latency in (found.ttft_s, found.tpot_s, found.e2e_s):
        assert latency.p50 <= latency.p90 <= latency.p99


def test_what_does_not_fit_is_infeasible_and_says_what_binds() -> None:
    with pytest.raises(Infeasible) as caught:
        estimate_serve(LLAMA_70B, H100, ServeLayout(), VLLM, "bf16", "bf16", ClosedLoop(1, 100, 100), PLAIN)
    assert "GiB" in caught.value.binding[0]


@pytest.mark.parametrize(
    ("layout", "word"),
    [(ServeLayout(tp=3), "heads"), (ServeLayout(pp=200), "layers"), (ServeLayout(ep=2), "experts"), (ServeLayout(tp=0), "tp")],
)
def test_impossible_layouts_are_refused_in_one_line(layout: ServeLayout, word: str) -> None:
    with pytest.raises(InputError, match=word):
        estimate_serve(LLAMA_8B, H100, layout, VLLM, "bf16", "bf16", ClosedLoop(1, 100, 100), PLAIN)


def test_a_workload_without_requests_is_refused() -> None:
    with pytest.raises(InputError, match="concurrency"):
        estimate_serve(LLAMA_8B, H100, ServeLayout(), VLLM, "bf16", "bf16", ClosedLoop(0, 100, 100), PLAIN)


def test_weights_in_fewer_bits_than_the_chip_computes_run_widened() -> None:
    wide = estimate_serve(LLAMA_8B, H100, ServeLayout(), VLLM, "bf16", "bf16", ClosedLoop(1, 128, 128), PLAIN)
    narrow = estimate_serve(LLAMA_8B, H100, ServeLayout(), VLLM, "awq", "bf16", ClosedLoop(1, 128, 128), PLAIN)
    assert narrow.memory.weights_bytes < 0.45 * wide.memory.weights_bytes
    assert narrow.tpot_s.mean < wide.tpot_s.mean


def test_a_chip_without_any_16_bit_arithmetic_is_out_of_domain() -> None:
    from dataclasses import replace

    with pytest.raises(OutOfDomain):
        estimate_serve(
            LLAMA_8B, replace(H100, id="none", peak_flop_per_s={"fp64": 1e12}), ServeLayout(), VLLM, "bf16", "bf16",
            ClosedLoop(1, 128, 128), PLAIN,
        )  # fmt: skip


def test_attention_groups_exchange_tokens_with_the_experts() -> None:
    found = estimate_serve(DEEPSEEK, H100, ServeLayout(dp=16, ep=16), VLLM, "fp8", "fp8", ClosedLoop(64, 1000, 300), PLAIN)
    assert "expert_comm" in {term.name for term in found.terms}


def test_reserving_whole_answers_admits_fewer_sequences() -> None:
    from dataclasses import replace

    full = estimate_serve(LLAMA_70B, H100, ServeLayout(tp=2), TRTLLM, "fp8", "fp8", ClosedLoop(1e6, 1000, 1000), PLAIN)
    grow = estimate_serve(
        LLAMA_70B, H100, ServeLayout(tp=2), replace(TRTLLM, kv_reserve="grow"), "fp8", "fp8", ClosedLoop(1e6, 1000, 1000), PLAIN
    )
    assert full.batch_limit < grow.batch_limit
    assert full.batch_limited_by == "kv-capacity"


def test_an_engine_with_a_program_for_encoders_launches_fewer_kernels_and_fuses_their_attention() -> None:
    bert, layout = model("bert-base"), ServeLayout()
    stack = serve_stack("fastertransformer-5")
    plain = replace(stack, encoder_kernels=0.0)
    own = estimate_serve(bert, H100, layout, stack, "fp16", "fp16", StaticBatch(32, 384, 1), PLAIN)
    other = estimate_serve(bert, H100, layout, plain, "fp16", "fp16", StaticBatch(32, 384, 1), PLAIN)
    terms, wider = ({term.name: term.value for term in found.prefill_terms} for found in (own, other))
    assert terms["prefill_attention"] < wider["prefill_attention"]
    assert terms["elementwise"] < wider["elementwise"]
    decoder = estimate_serve(LLAMA_70B, H100, ServeLayout(tp=8), stack, "fp16", "fp16", StaticBatch(1, 128, 8), PLAIN)
    same = estimate_serve(LLAMA_70B, H100, ServeLayout(tp=8), plain, "fp16", "fp16", StaticBatch(1, 128, 8), PLAIN)
    assert decoder.ttft_s.mean == same.ttft_s.mean
