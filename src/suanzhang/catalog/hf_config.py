"""Model shapes from Hugging Face ``config.json`` files, in the many spellings that their keys have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from suanzhang.errors import InputError
from suanzhang.spec.model import LinearAttentionSpec, MlaSpec, ModelSpec, MoeSpec, WindowSpec

_Config = Mapping[str, Any]

_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_HIDDEN = ("hidden_size", "n_embd", "d_model", "dim")
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads", "multi_query_group_num", "n_head_kv", "num_attention_groups")
_FFN = ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size", "ffn_hidden_dim", "inner_hidden_size")
_VOCAB = ("vocab_size", "padded_vocab_size")
_SEQ = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length", "n_ctx")
_EXPERTS = ("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts")
_TOPK = ("num_experts_per_tok", "num_experts_per_token", "experts_per_token", "moe_top_k", "moe_k", "top_k_experts")
_EXPERT_FFN = ("moe_intermediate_size", "expert_ffn_hidden_size")

_SHARED_FFN = ("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", "shared_intermediate_size")

_PLAIN_MLP = {
    "gpt2", "gpt_neox", "gptj", "gpt_neo", "opt", "bloom", "falcon", "RefinedWeb", "RefinedWebModel", "mpt", "phi",
    "starcoder2", "gpt_bigcode", "nemotron", "nemotron_h", "stablelm_alpha", "bert", "codegen", "stablelm_epoch_plain",
}  # fmt: skip
"""Architectures whose feed-forward has two matrices; all others have three."""
_BIASED = {"gpt2", "gpt_neox", "gptj", "opt", "bloom", "phi", "starcoder2", "gpt_bigcode", "bert", "codegen"}
_QKV_BIASED = {"qwen", "qwen2", "qwen2_moe", "qwen2_vl", "chatglm", "glm4_moe", "gpt_oss", "glm"}
_POSITION_TABLE = {"gpt2", "opt", "gpt_bigcode", "bert", "gpt_neo"}
_TIED = {"gpt2", "opt", "bloom", "falcon", "RefinedWeb", "RefinedWebModel", "mpt", "gemma", "gemma2", "gemma3", "gemma3_text",
         "cohere", "cohere2", "gpt_bigcode", "bert", "gpt_neo"}  # fmt: skip
"""Architectures whose output head shares the embedding table unless the file says otherwise."""
_PARALLEL = {"gptj", "phi", "cohere", "cohere2", "codegen"}
_REFUSED = {
    "deepseek_v4": "its compressed attention is not modelled",
    "kimi_linear": "its latent experts and linear attention are not modelled",
    "nemotron-nas": "its layers have different widths",
    "mamba": "it has no attention",
    "mamba2": "it has no attention",
}
_SIZE_LIMIT = 5_000_000


def read_config_file(path: Path) -> ModelSpec:
    """The shape that a ``config.json`` describes.

    Args:
        path: the file, or a folder that holds ``config.json``.

    Raises:
        InputError: no such file, not JSON, or a key without which there is no shape.
    """
    file = path / "config.json" if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"{file}: no such file", fix="give the path of a Hugging Face config.json or a catalog id")
    if file.stat().st_size > _SIZE_LIMIT:
        raise InputError(f"{file}: larger than a model configuration", fix="give the path of a Hugging Face config.json")
    try:
        raw = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{file}: not a JSON file", fix="give the path of a Hugging Face config.json") from error
    name = file.stem if file.name != "config.json" else file.resolve().parent.name
    return read_config(raw, str(file), name)


def read_config(raw: object, where: str, name: str) -> ModelSpec:
    """The shape that a parsed configuration describes.

    Args:
        raw: the parsed JSON.
        where: the file, for the error line.
        name: what the model is called; the configuration's own name wins.

    Raises:
        InputError: a key is missing or its value is no shape.
    """
    if not isinstance(raw, Mapping):
        raise InputError(f"{where}: not a model configuration", fix="give the path of a Hugging Face config.json")
    config = _text_part(raw)
    kind = str(config.get("model_type") or raw.get("model_type") or "")
    _refuse(raw, kind, where)
    config, linear = _hybrid(config, where)
    layers, hidden = _need(config, _LAYERS, where), _need(config, _HIDDEN, where)
    heads = _need(config, _HEADS, where)
    moe = _moe(config, kind, where)
    mla = _mla(config, where)
    head_dim = mla.nope_dim + mla.rope_dim if mla else _head_dim(config, hidden, heads)
    biased = kind in _BIASED
    title = str(raw.get("_name_or_path") or "").rstrip("/").rpartition("/")[2] or name or kind or "model"
    return ModelSpec(
        id=title.lower(),
        name=title,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=_kv_heads(config, kind, heads, where),
        head_dim=head_dim,
        ffn=_ffn(config, kind, hidden, where),
        gated_mlp=_gated(config, kind),
        vocab=_need(config, _VOCAB, where),
        tied_embeddings=bool(config.get("tie_word_embeddings", raw.get("tie_word_embeddings", kind in _TIED))),
        max_seq=_first(config, _SEQ, where) or 2048,
        learned_positions=kind in _POSITION_TABLE,
        qkv_bias=_qkv_bias(config, kind, biased),
        mlp_bias=bool(config.get("mlp_bias", config.get("use_bias", biased))) if kind != "mpt" else False,
        parallel_block=kind in _PARALLEL or bool(config.get("use_parallel_residual") or config.get("parallel_attn")),
        moe=moe,
        mla=mla,
        window=_window(config, kind, layers, where),
        linear=linear or _linear(config, layers, hidden, where),
        mtp_layers=_first(config, ("num_nextn_predict_layers", "mtp_num_hidden_layers"), where) or 0,
        encoder_only=kind in ("bert", "roberta"),
        source=where,
    )


def _text_part(raw: _Config) -> _Config:
    for key in ("text_config", "llm_config", "language_config"):
        inner = raw.get(key)
        if isinstance(inner, Mapping) and any(name in inner for name in (*_LAYERS, *_HIDDEN)):
            return inner
    return raw


def _refuse(raw: _Config, kind: str, where: str) -> None:
    reason = "it has an encoder and a decoder" if raw.get("is_encoder_decoder") else _REFUSED.get(kind)
    if reason:
        raise InputError(f"{where}: {kind or 'this architecture'} cannot be planned, {reason}", fix="use another model")


def _hybrid(config: _Config, where: str) -> tuple[_Config, LinearAttentionSpec | None]:
    """A stack of single mixers and feed-forwards (Nemotron-H), written with one row of layers per mixer."""
    pattern = config.get("hybrid_override_pattern")
    if not isinstance(pattern, str) or not pattern:
        return config, None
    mixers, plain, mixtures = pattern.count("M") + pattern.count("*"), pattern.count("-"), pattern.count("E")
    if mixers == 0 or max(plain, mixtures) > mixers or (plain and mixtures):
        raise InputError(f"{where}: the key 'hybrid_override_pattern' mixes layers in a way that is not modelled")
    hidden, d_state = _need(config, _HIDDEN, where), _need(config, ("ssm_state_size",), where)
    heads, size = _need(config, ("mamba_num_heads",), where), _need(config, ("mamba_head_dim",), where)
    groups, kernel = _need(config, ("n_groups",), where), _first(config, ("conv_kernel",), where) or 4
    inner = heads * size
    params = hidden * (2.0 * inner + 2.0 * groups * d_state + heads) + inner * hidden
    params += kernel * (inner + 2.0 * groups * d_state)
    width = 4.0 if config.get("mamba_ssm_cache_dtype") == "float32" else 2.0
    linear = LinearAttentionSpec(layers=pattern.count("M"), state_bytes=width * inner * d_state, params=params)
    ffn = _need(config, _FFN, where)
    changed: dict[str, object] = {"num_hidden_layers": mixers, "intermediate_size": max(1, round(ffn * plain / mixers))}
    if mixtures:
        full, latent = _need(config, _EXPERT_FFN, where), _first(config, ("moe_latent_size",), where) or hidden
        changed |= {"first_k_dense_replace": mixers - mixtures, "moe_intermediate_size": round(full * latent / hidden)}
    return {**config, **changed}, linear


def _whole(value: object, key: str, where: str) -> int:
    if isinstance(value, list) and value and all(item == value[0] for item in value):
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1e9:
        raise InputError(f"{where}: {key} is {str(value)[:40]!r}", fix="a positive whole number is needed")
    if value != int(value):
        raise InputError(f"{where}: {key} is {value!r}", fix="a whole number is needed")
    return int(value)


def _first(config: _Config, keys: tuple[str, ...], where: str) -> int | None:
    for key in keys:
        if config.get(key) not in (None, 0, -1, False, [], ""):
            return _whole(config[key], key, where)
    return None


def _inner(config: _Config, key: str) -> _Config:
    value = config.get(key)
    return value if isinstance(value, Mapping) else {}


def _need(config: _Config, keys: tuple[str, ...], where: str) -> int:
    found = _first(config, keys, where)
    if found is None:
        raise InputError(f"{where}: the key {keys[0]!r} is missing", fix="give a complete Hugging Face config.json")
    return found


def _head_dim(config: _Config, hidden: int, heads: int) -> int:
    given = config.get("head_dim") or config.get("kv_channels") or config.get("attention_head_dim")
    return int(given) if isinstance(given, int) and given > 0 else max(1, hidden // heads)


def _kv_heads(config: _Config, kind: str, heads: int, where: str) -> int:
    if kind == "dbrx" or isinstance(config.get("attn_config"), Mapping):
        inner = _inner(config, "attn_config")
        return _first(inner, ("kv_n_heads",), where) or (1 if inner.get("attn_type") == "multiquery_attention" else heads)
    if config.get("multi_query") and not config.get("new_decoder_architecture"):
        return 1
    if kind == "chatglm" and not config.get("multi_query_attention"):
        return heads
    return _first(config, _KV_HEADS, where) or heads


def _ffn(config: _Config, kind: str, hidden: int, where: str) -> int:
    if kind == "dbrx":
        return _need(_inner(config, "ffn_config"), ("ffn_hidden_size",), where)
    if kind == "mpt":
        return hidden * (_first(config, ("expansion_ratio",), where) or 4)
    if kind == "llama4_text" or "intermediate_size_mlp" in config:
        return _first(config, ("intermediate_size_mlp", *_FFN), where) or 4 * hidden
    found = _first(config, _FFN, where)
    if found is not None:
        return found
    if kind in _PLAIN_MLP:
        return 4 * hidden
    found = _first(config, _EXPERT_FFN, where)
    if found is None:
        raise InputError(f"{where}: the key {_FFN[0]!r} is missing", fix="give a complete Hugging Face config.json")
    return found


def _gated(config: _Config, kind: str) -> bool:
    if kind == "falcon_h1":
        return True
    return kind not in _PLAIN_MLP


def _qkv_bias(config: _Config, kind: str, biased: bool) -> bool:
    for key in ("attention_bias", "qkv_bias", "add_qkv_bias", "bias"):
        if isinstance(config.get(key), bool):
            return bool(config[key])
    return kind in _QKV_BIASED or (biased and kind != "gptj")


def _moe(config: _Config, kind: str, where: str) -> MoeSpec | None:
    if kind == "dbrx":
        config = {**config, **_inner(config, "ffn_config")}
    experts = _first(config, _EXPERTS, where)
    if experts is None or experts == 1:
        return None
    layers = _first(config, _LAYERS, where) or 1
    expert_ffn = _first(config, (*_EXPERT_FFN, *_FFN), where) or 0
    shared = _first(config, ("n_shared_experts", "moe_num_shared_experts", "num_shared_experts"), where) or 0
    shared_ffn = _first(config, _SHARED_FFN, where)
    if kind in ("llama4_text", "llama4"):
        shared, shared_ffn = 1, expert_ffn
    every = _first(config, ("interleave_moe_layer_step", "decoder_sparse_step", "moe_layer_interval"), where) or 1
    dense = _first(config, ("first_k_dense_replace", "moe_layer_start_index"), where) or 0
    sparse = config.get("moe_layer_freq")
    if isinstance(sparse, list):
        dense = sum(not item for item in sparse)
    elif isinstance(sparse, int) and sparse > 1:
        every = sparse
    topk = _first(config, _TOPK, where)
    if topk is None:
        raise InputError(f"{where}: the key {_TOPK[0]!r} is missing", fix="give a complete Hugging Face config.json")
    return MoeSpec(
        experts=experts,
        topk=topk,
        expert_ffn=expert_ffn,
        shared_experts=shared or (1 if shared_ffn else 0),
        shared_ffn=shared_ffn or shared * expert_ffn,
        dense_layers=min(dense, layers),
        every=every,
        **_groups(config, experts, where),
    )


def _groups(config: _Config, experts: int, where: str) -> dict[str, int]:
    """Groups of experts that the router chooses among first, where it leaves some of them out."""
    groups, chosen = _first(config, ("n_group",), where) or 1, _first(config, ("topk_group",), where) or 0
    return {"groups": groups, "topk_groups": chosen} if 0 < chosen < groups and experts % groups == 0 else {}


def _mla(config: _Config, where: str) -> MlaSpec | None:
    if not config.get("kv_lora_rank"):
        return None
    return MlaSpec(
        q_lora=_first(config, ("q_lora_rank",), where) or 0,
        kv_lora=_need(config, ("kv_lora_rank",), where),
        nope_dim=_need(config, ("qk_nope_head_dim",), where),
        rope_dim=_need(config, ("qk_rope_head_dim",), where),
        v_dim=_need(config, ("v_head_dim",), where),
    )


def _window(config: _Config, kind: str, layers: int, where: str) -> WindowSpec | None:
    tokens = _first(config, ("sliding_window", "attention_chunk_size"), where)
    if tokens is None or config.get("use_sliding_window") is False:
        return None
    kinds = config.get("layer_types")
    if isinstance(kinds, list):
        local = sum(str(item).startswith(("sliding", "chunked", "local")) for item in kinds)
    elif kind in ("gemma2", "gpt_oss"):
        local = (layers + 1) // 2
    elif kind in ("gemma3", "gemma3_text"):
        local = layers - layers // (_first(config, ("sliding_window_pattern",), where) or 6)
    elif kind in ("llama4_text", "cohere2"):
        local = layers - layers // 4
    else:
        local = layers
    return WindowSpec(tokens=tokens, layers=min(local, layers)) if local else None


def _linear(config: _Config, layers: int, hidden: int, where: str) -> LinearAttentionSpec | None:
    if "linear_num_value_heads" not in config:
        return None
    kinds = config.get("layer_types")
    every = _first(config, ("full_attention_interval",), where) or 4
    count = sum(item == "linear_attention" for item in kinds) if isinstance(kinds, list) else layers - layers // every
    key_heads, value_heads = _need(config, ("linear_num_key_heads",), where), _need(config, ("linear_num_value_heads",), where)
    key_dim, value_dim = _need(config, ("linear_key_head_dim",), where), _need(config, ("linear_value_head_dim",), where)
    keys, values = key_heads * key_dim, value_heads * value_dim
    kernel = _first(config, ("linear_conv_kernel_dim",), where) or 4
    params = hidden * (2.0 * keys + 2.0 * values + 2.0 * value_heads) + kernel * (2.0 * keys + values) + values * hidden
    state = 4.0 * value_heads * key_dim * value_dim + 2.0 * (kernel - 1) * (2.0 * keys + values)
    return LinearAttentionSpec(layers=count, state_bytes=state, params=params)
