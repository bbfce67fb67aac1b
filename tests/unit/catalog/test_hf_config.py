"""Shapes from Hugging Face configurations: many spellings of the keys, one shape; bad files in one line."""

import json

import pytest

from suanzhang.catalog.hf_config import read_config
from suanzhang.catalog.models import model
from suanzhang.errors import InputError

LLAMA = {"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8}
DEEPSEEK = {
    "model_type": "deepseek_v3", "num_hidden_layers": 61, "hidden_size": 7168, "num_attention_heads": 128,
    "num_key_value_heads": 128, "intermediate_size": 18432, "vocab_size": 129280, "q_lora_rank": 1536, "kv_lora_rank": 512,
    "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "n_routed_experts": 256, "num_experts_per_tok": 8,
    "moe_intermediate_size": 2048, "n_shared_experts": 1, "first_k_dense_replace": 3, "moe_layer_freq": 1,
    "num_nextn_predict_layers": 1, "n_group": 8, "topk_group": 4,
}  # fmt: skip
NEXT = {
    "model_type": "qwen3_next", "num_hidden_layers": 48, "hidden_size": 2048, "num_attention_heads": 16, "head_dim": 256,
    "num_key_value_heads": 2, "intermediate_size": 5120, "vocab_size": 151936, "num_experts": 512, "num_experts_per_tok": 10,
    "moe_intermediate_size": 512, "shared_expert_intermediate_size": 512, "decoder_sparse_step": 1,
    "full_attention_interval": 4, "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_key_head_dim": 128,
    "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4,
}  # fmt: skip
NANO = {
    "model_type": "nemotron_h", "num_hidden_layers": 52, "hidden_size": 2688, "num_attention_heads": 32, "head_dim": 128,
    "num_key_value_heads": 2, "intermediate_size": 1856, "vocab_size": 131072, "n_routed_experts": 128,
    "num_experts_per_tok": 6, "moe_intermediate_size": 1856, "n_shared_experts": 1,
    "moe_shared_expert_intermediate_size": 3712, "mamba_num_heads": 64, "mamba_head_dim": 64, "n_groups": 8,
    "ssm_state_size": 128, "conv_kernel": 4, "mamba_ssm_cache_dtype": "float32",
    "hybrid_override_pattern": "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME",
}  # fmt: skip
CONFIGS = {
    "llama-3-8b": {**LLAMA, "model_type": "llama", "intermediate_size": 14336, "vocab_size": 128256},
    "mistral-7b": {**LLAMA, "model_type": "mistral", "intermediate_size": 14336, "vocab_size": 32000, "sliding_window": 4096},
    "mixtral-8x7b": {
        **LLAMA, "model_type": "mixtral", "intermediate_size": 14336, "vocab_size": 32000, "num_local_experts": 8,
        "num_experts_per_tok": 2,
    },
    "gpt2-xl": {"model_type": "gpt2", "n_layer": 48, "n_embd": 1600, "n_head": 25, "vocab_size": 50257, "n_positions": 1024},
    "opt-13b": {
        "model_type": "opt", "num_hidden_layers": 40, "hidden_size": 5120, "num_attention_heads": 40, "ffn_dim": 20480,
        "vocab_size": 50272, "max_position_embeddings": 2048,
    },
    "bloom-176b": {"model_type": "bloom", "n_layer": 70, "hidden_size": 14336, "n_head": 112, "vocab_size": 250880},
    "gpt-j-6b": {
        "model_type": "gptj", "n_layer": 28, "n_embd": 4096, "n_head": 16, "vocab_size": 50400, "n_inner": None,
        "tie_word_embeddings": False,
    },
    "gpt-neox-20b": {
        "model_type": "gpt_neox", "num_hidden_layers": 44, "hidden_size": 6144, "num_attention_heads": 64,
        "intermediate_size": 24576, "vocab_size": 50432, "use_parallel_residual": True, "tie_word_embeddings": False,
    },
    "falcon-40b": {
        "model_type": "falcon", "num_hidden_layers": 60, "hidden_size": 8192, "num_attention_heads": 128, "num_kv_heads": 8,
        "vocab_size": 65024, "new_decoder_architecture": True, "multi_query": True, "parallel_attn": True, "bias": False,
        "tie_word_embeddings": False,
    },
    "mpt-30b": {
        "model_type": "mpt", "n_layers": 48, "d_model": 7168, "n_heads": 64, "expansion_ratio": 4, "vocab_size": 50432,
        "max_seq_len": 8192, "attn_config": {"attn_type": "multihead_attention"},
    },
    "dbrx-132b": {
        "model_type": "dbrx", "n_layers": 40, "d_model": 6144, "n_heads": 48, "vocab_size": 100352,
        "attn_config": {"kv_n_heads": 8}, "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4},
    },
    "chatglm2-6b": {
        "model_type": "chatglm", "num_layers": 28, "hidden_size": 4096, "num_attention_heads": 32, "kv_channels": 128,
        "multi_query_attention": True, "multi_query_group_num": 2, "ffn_hidden_size": 13696, "padded_vocab_size": 65024,
        "add_qkv_bias": True, "seq_length": 32768,
    },
    "qwen2-57b-a14b": {
        "model_type": "qwen2_moe", "num_hidden_layers": 28, "hidden_size": 3584, "num_attention_heads": 28,
        "num_key_value_heads": 4, "intermediate_size": 18944, "vocab_size": 151936, "num_experts": 64,
        "num_experts_per_tok": 8, "moe_intermediate_size": 2560, "shared_expert_intermediate_size": 20480,
    },
    "gpt-oss-120b": {
        "model_type": "gpt_oss", "num_hidden_layers": 36, "hidden_size": 2880, "num_attention_heads": 64, "head_dim": 64,
        "num_key_value_heads": 8, "intermediate_size": 2880, "vocab_size": 201088, "num_local_experts": 128,
        "num_experts_per_tok": 4, "experts_per_token": 4, "sliding_window": 128, "attention_bias": True,
        "layer_types": ["sliding_attention", "full_attention"] * 18,
    },
    "gemma-2-9b": {
        "model_type": "gemma2", "num_hidden_layers": 42, "hidden_size": 3584, "num_attention_heads": 16, "head_dim": 256,
        "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 256000, "sliding_window": 4096,
    },
    "gemma-3-27b": {
        "model_type": "gemma3", "text_config": {
            "model_type": "gemma3_text", "num_hidden_layers": 62, "hidden_size": 5376, "num_attention_heads": 32,
            "head_dim": 128, "num_key_value_heads": 16, "intermediate_size": 21504, "vocab_size": 262208,
            "sliding_window": 1024,
        },
    },
    "llama-4-maverick": {
        "model_type": "llama4", "text_config": {
            "model_type": "llama4_text", "num_hidden_layers": 48, "hidden_size": 5120, "num_attention_heads": 40,
            "head_dim": 128, "num_key_value_heads": 8, "intermediate_size": 8192, "intermediate_size_mlp": 16384,
            "vocab_size": 202048, "num_local_experts": 128, "num_experts_per_tok": 1, "interleave_moe_layer_step": 2,
            "attention_chunk_size": 8192,
        },
    },
    "phi-2": {
        "model_type": "phi", "num_hidden_layers": 32, "hidden_size": 2560, "num_attention_heads": 32,
        "intermediate_size": 10240, "vocab_size": 51200, "tie_word_embeddings": False,
    },
    "starcoder2-3b": {
        "model_type": "starcoder2", "num_hidden_layers": 30, "hidden_size": 3072, "num_attention_heads": 24,
        "num_key_value_heads": 2, "intermediate_size": 12288, "vocab_size": 49152, "use_bias": True, "sliding_window": 4096,
        "tie_word_embeddings": True,
    },
    "starcoder-15b": {
        "model_type": "gpt_bigcode", "n_layer": 40, "n_embd": 6144, "n_head": 48, "n_inner": 24576, "vocab_size": 49152,
        "n_positions": 8192, "multi_query": True,
    },
    "nemotron-4-15b": {
        "model_type": "nemotron", "num_hidden_layers": 32, "hidden_size": 6144, "num_attention_heads": 48,
        "num_key_value_heads": 8, "intermediate_size": 24576, "vocab_size": 256000,
    },
    "glm-4.5-air": {
        "model_type": "glm4_moe", "num_hidden_layers": 46, "hidden_size": 4096, "num_attention_heads": 96, "head_dim": 128,
        "num_key_value_heads": 8, "intermediate_size": 10944, "vocab_size": 151552, "n_routed_experts": 128,
        "num_experts_per_tok": 8, "moe_intermediate_size": 1408, "n_shared_experts": 1, "first_k_dense_replace": 1,
        "attention_bias": True, "num_nextn_predict_layers": 1,
    },
    "ernie-4.5-21b-a3b": {
        "model_type": "ernie4_5_moe", "num_hidden_layers": 28, "hidden_size": 2560, "num_attention_heads": 20,
        "num_key_value_heads": 4, "intermediate_size": 12288, "vocab_size": 103424, "moe_num_experts": 64, "moe_k": 6,
        "moe_intermediate_size": 1536, "moe_num_shared_experts": 2, "moe_layer_start_index": 1, "moe_layer_interval": 1,
        "tie_word_embeddings": True,
    },
    "deepseek-v3": DEEPSEEK,
    "qwen3-next-80b-a3b": NEXT,
    "nemotron-3-nano-30b": NANO,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_a_configuration_gives_the_shape_of_the_catalog(name):
    found, expected = read_config(CONFIGS[name], "config.json", name), model(name)
    for field in ("layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab", "gated_mlp", "tied_embeddings"):
        assert getattr(found, field) == getattr(expected, field), field
    assert (found.moe, found.mla, found.window) == (expected.moe, expected.mla, expected.window)
    assert found.params == pytest.approx(expected.params, rel=1e-3)
    assert found.active_params == pytest.approx(expected.active_params, rel=2e-3)
    assert found.kv_bytes_per_token(2.0) == expected.kv_bytes_per_token(2.0)
    if expected.linear is not None:
        assert found.linear is not None
        assert found.linear.layers == expected.linear.layers
        assert found.linear.state_bytes == pytest.approx(expected.linear.state_bytes, rel=0.02)


def test_a_list_of_sparse_layers_counts_the_dense_ones():
    raw = {**DEEPSEEK, "moe_layer_freq": [0, 0, 0, *[1] * 58], "first_k_dense_replace": 0}
    assert read_config(raw, "x", "x").moe == model("deepseek-v3").moe


def test_files_and_folders_are_read(tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(CONFIGS["llama-3-8b"]), encoding="utf-8")
    assert model(str(file)).params == model("llama-3-8b").params == model(str(tmp_path) + "/").params


@pytest.mark.parametrize(
    "missing", ["num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size", "intermediate_size"]
)
def test_a_missing_key_is_named(tmp_path, missing):
    file = tmp_path / "config.json"
    file.write_text(
        json.dumps({key: value for key, value in CONFIGS["llama-3-8b"].items() if key != missing}), encoding="utf-8"
    )
    with pytest.raises(InputError, match=f"the key '{missing}' is missing") as error:
        model(str(file))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "42",
        '"llama"',
        "{}",
        '{"num_hidden_layers": -3}',
        '{"num_hidden_layers": "many"}',
        "\x00\x01",
        "[" * 5000,
    ],
)
def test_bad_files_give_one_line(tmp_path, text):
    file = tmp_path / "config.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        model(str(file))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [0, -1, 1.5, 1e300, float("nan"), True, "32", [1, 2], {}])
def test_impossible_figures_are_refused(value):
    with pytest.raises(InputError):
        read_config({**CONFIGS["llama-3-8b"], "num_hidden_layers": value}, "x", "x")


def test_files_that_are_not_there():
    with pytest.raises(InputError, match="no such file"):
        model("./no/such/config.json")


def test_architectures_without_a_shape_here_are_refused():
    with pytest.raises(InputError, match="an encoder and a decoder"):
        read_config({**CONFIGS["llama-3-8b"], "is_encoder_decoder": True}, "x", "x")
    with pytest.raises(InputError, match="different widths"):
        read_config({**CONFIGS["llama-3-8b"], "model_type": "nemotron-nas"}, "x", "x")
