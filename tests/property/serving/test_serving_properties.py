"""What must hold for any load: faster parts never slow an iteration, cache is conserved, time grows with work."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_shapes import DEEPSEEK, H100, LLAMA_8B, LLAMA_70B, VLLM

from suanzhang.app.serve import estimate_serve
from suanzhang.app.serve_args import iteration_args
from suanzhang.perf.serving.iteration import iteration_s, iteration_terms
from suanzhang.perf.serving.memory import replica_memory, sequences_that_fit
from suanzhang.perf.serving.table import iteration_table
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.serve import ClosedLoop, ServeCoefficients

PLAIN = ServeCoefficients()
ARGS, _ = iteration_args(LLAMA_70B, H100, ServeLayout(tp=4), VLLM, "bf16", "bf16", PLAIN)
MOE_ARGS, _ = iteration_args(DEEPSEEK, H100, ServeLayout(tp=8, ep=8), VLLM, "fp8", "fp8", PLAIN)
batches = st.floats(1, 512)
contexts = st.floats(16, 32768)


@settings(max_examples=40, deadline=None)
@given(batch=batches, context=contexts, prompt=st.floats(0, 8192), factor=st.floats(1.0, 4.0))
def test_more_bandwidth_is_never_slower(batch: float, context: float, prompt: float, factor: float) -> None:
    ops = ARGS.ops
    faster = ops._replace(
        gemm_attention=ops.gemm_attention._replace(hbm_bytes_per_s=factor * ops.gemm_attention.hbm_bytes_per_s),
        gemm_ffn=ops.gemm_ffn._replace(hbm_bytes_per_s=factor * ops.gemm_ffn.hbm_bytes_per_s),
        attention=ops.attention._replace(hbm_bytes_per_s=factor * ops.attention.hbm_bytes_per_s),
        memory=ops.memory._replace(hbm_bytes_per_s=factor * ops.memory.hbm_bytes_per_s),
    )
    seqs = 1.0 if prompt >= 1.0 else 0.0
    load = (seqs, prompt if seqs else 0.0, 0.0, batch, batch * context)
    assert iteration_s(*load, ARGS._replace(ops=faster)) <= iteration_s(*load, ARGS) * (1 + 1e-9)


@settings(max_examples=40, deadline=None)
@given(batch=batches, context=contexts, prompt=st.floats(1, 8192))
def test_terms_sum_to_the_iteration_and_none_is_negative(batch: float, context: float, prompt: float) -> None:
    for args in (ARGS, MOE_ARGS):
        terms = iteration_terms(1.0, prompt, 0.0, batch, batch * context, args)
        assert min(terms) >= 0.0
        assert sum(terms) == pytest.approx(iteration_s(1.0, prompt, 0.0, batch, batch * context, args))


@settings(max_examples=30, deadline=None)
@given(tokens=st.floats(1, 1e5), dp=st.sampled_from([1, 2, 8]))
def test_cache_is_conserved(tokens: float, dp: int) -> None:
    layout = ServeLayout(dp=dp, ep=dp)
    memory = replica_memory(DEEPSEEK, 1e12, layout, VLLM, "fp8", "fp8")
    fits = sequences_that_fit(memory, layout, tokens)
    assert fits * tokens * memory.kv_bytes_per_token == pytest.approx(dp * memory.kv_bytes)
    assert memory.kv_tokens * memory.kv_bytes_per_token <= dp * memory.kv_bytes


@settings(max_examples=15, deadline=None)
@given(users=st.integers(1, 200), factor=st.floats(1.1, 4.0))
def test_more_users_never_lower_the_throughput_by_much_nor_the_time_per_token(users: int, factor: float) -> None:
    layout = ServeLayout(tp=2)
    few, many = (
        estimate_serve(LLAMA_8B, H100, layout, VLLM, "bf16", "bf16", ClosedLoop(n, 500, 200), PLAIN)
        for n in (users, users * factor)
    )
    assert many.output_tokens_per_s >= few.output_tokens_per_s * 0.97
    assert many.tpot_s.mean >= few.tpot_s.mean * 0.97


def test_a_larger_memory_never_carries_less() -> None:
    small, large = (
        estimate_serve(
            LLAMA_70B, replace(H100, id=f"h{size:g}", hbm_bytes=size), ServeLayout(tp=2), VLLM, "fp8", "fp8",
            ClosedLoop(1e6, 4000, 1000), PLAIN,
        )
        for size in (80e9, 141e9)
    )  # fmt: skip
    assert large.output_tokens_per_s > small.output_tokens_per_s


@settings(max_examples=25, deadline=None)
@given(batch=st.integers(1, 256), context=st.floats(300, 2000), prompt=st.integers(64, 4096))
def test_the_table_of_the_simulator_agrees_with_the_formulas(batch: int, context: float, prompt: int) -> None:
    table = iteration_table(ARGS, 256, 1000.0, 1000.0)
    total = batch * context
    looked_up = table.decode_base_s[batch] + table.decode_context_s[batch] * total
    assert looked_up == pytest.approx(iteration_s(0.0, 0.0, 0.0, batch, total, ARGS), rel=0.12)
    import numpy as np

    pairs = 0.5 * prompt * (prompt + 1.0)
    mixed = np.interp(prompt + batch, table.mixed_tokens, table.mixed_base_s) + table.mixed_context_s[batch] * total
    mixed += table.mixed_seq_s * batch + table.prefill_pair_s * pairs + table.prefill_seq_s
    assert mixed == pytest.approx(iteration_s(1.0, prompt, 0.0, batch, total, ARGS), rel=0.2)
