"""Memory of a replica: the parts are counted once, and the cache is what they leave."""

import pytest

from suanzhang.errors import InputError
from suanzhang.perf.serving.memory import (
    kv_bytes_per_token,
    replica_memory,
    sequences_that_fit,
    weight_count,
    weights_bytes_per_chip,
)
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.model import LinearAttentionSpec, MlaSpec, ModelSpec, MoeSpec, WindowSpec
from suanzhang.spec.stack import ServeStack

LLAMA_70B = ModelSpec("llama-70b", "Llama 70B", 80, 8192, 64, 8, 128, 28672, True, 128256)
DEEPSEEK = ModelSpec(
    "deepseek-v3", "DeepSeek V3", 61, 7168, 128, 128, 128, 18432, True, 129280,
    moe=MoeSpec(256, 8, 2048, 1, 2048, 3), mla=MlaSpec(1536, 512, 128, 64, 128),
)  # fmt: skip
STACK = ServeStack(
    "x", "x", "vllm", "1", "2025-01", "continuous", True, 8192, 256, 16, 0.9, True, 1e-3, 1e-5, 5e-6, reserve_bytes=1e9
)  # fmt: skip
ONE = ServeLayout()


def test_weights_of_a_stage_in_16_bit_are_twice_the_parameters() -> None:
    norms = (2 * 80 + 1) * 8192
    assert weights_bytes_per_chip(LLAMA_70B, ONE, "bf16") == pytest.approx(2.0 * (LLAMA_70B.params - norms))
    assert sum(weight_count(DEEPSEEK)) == pytest.approx(DEEPSEEK.params, rel=1e-3)


def test_fp8_halves_the_body_but_not_the_tables() -> None:
    wide, narrow = (weights_bytes_per_chip(LLAMA_70B, ONE, dtype) for dtype in ("bf16", "fp8"))
    tables = 2.0 * 2.0 * 128256 * 8192
    assert narrow == pytest.approx(0.5 * (wide - tables) + tables)


def test_more_tensor_ranks_than_cache_heads_copy_the_key_and_value_projections() -> None:
    eight, sixteen = (weights_bytes_per_chip(LLAMA_70B, ServeLayout(tp=tp), "bf16") for tp in (8, 16))
    assert sixteen > 0.5 * eight
    assert kv_bytes_per_token(LLAMA_70B, ServeLayout(tp=16), "bf16") == kv_bytes_per_token(LLAMA_70B, ServeLayout(tp=8), "bf16")


def test_a_latent_cache_is_copied_on_each_tensor_rank() -> None:
    assert kv_bytes_per_token(DEEPSEEK, ServeLayout(tp=8), "fp8") == 61 * 576


def test_attention_groups_share_experts_and_copy_attention() -> None:
    shared = weights_bytes_per_chip(DEEPSEEK, ServeLayout(tp=8, ep=8), "fp8")
    copied = weights_bytes_per_chip(DEEPSEEK, ServeLayout(dp=8, ep=8), "fp8")
    experts = 58 * 256 * 3 * 7168 * 2048 / 8
    assert shared < copied
    assert copied > experts


def test_parts_of_the_memory_sum_to_the_chip() -> None:
    memory = replica_memory(LLAMA_70B, 85e9, ServeLayout(tp=4), STACK, "bf16", "bf16")
    total = memory.weights_bytes + memory.activation_bytes + memory.reserve_bytes + memory.kv_bytes
    assert total == pytest.approx(85e9)
    assert memory.kv_tokens % STACK.block_tokens == 0


def test_a_window_and_a_linear_layer_need_room_per_sequence_and_not_per_token() -> None:
    plain = ModelSpec("m", "m", 24, 2880, 64, 8, 64, 2880, True, 200000)
    mixed = ModelSpec(
        "m", "m", 24, 2880, 64, 8, 64, 2880, True, 200000, window=WindowSpec(128, 12), linear=LinearAttentionSpec(6, 1e6, 1e7)
    )  # fmt: skip
    assert kv_bytes_per_token(mixed, ONE, "bf16") == pytest.approx(kv_bytes_per_token(plain, ONE, "bf16") * 6 / 24)
    memory = replica_memory(mixed, 40e9, ONE, STACK, "bf16", "bf16")
    assert memory.state_bytes_per_seq > 6e6
    short, long = (sequences_that_fit(memory, ONE, tokens) for tokens in (100, 10000))
    assert short > long > 0


def test_a_model_that_is_too_large_does_not_fit() -> None:
    assert not replica_memory(LLAMA_70B, 85e9, ONE, STACK, "bf16", "bf16").fits


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(InputError, match="fp8"):
        weights_bytes_per_chip(LLAMA_70B, ONE, "fp9")
