"""However a name is spelt, it finds the same entry; no text makes a look-up fail in another way."""

from hypothesis import given, settings
from hypothesis import strategies as st

from suanzhang.catalog.aliases import folded
from suanzhang.catalog.chips import chip, chips
from suanzhang.catalog.hf_config import read_config
from suanzhang.catalog.models import model, models
from suanzhang.catalog.stacks import serve_stack_for
from suanzhang.errors import InputError, PlannerError

SEPARATORS = st.sampled_from(["-", " ", "_", "--", " - "])


@given(st.sampled_from(sorted(chips())), SEPARATORS, st.booleans())
def test_spelling_of_a_chip_does_not_matter(name, separator, upper):
    spelt = name.replace("-", separator)
    assert chip(spelt.upper() if upper else spelt).id == name


@given(st.sampled_from(sorted(models())), SEPARATORS, st.booleans())
def test_spelling_of_a_model_does_not_matter(name, separator, upper):
    spelt = name.replace("-", separator)
    assert model(spelt.upper() if upper else spelt).id == name


@given(st.text(max_size=40))
def test_folding_is_stable(text):
    assert folded(folded(text)) == folded(text)


@given(st.text(max_size=40))
def test_any_text_is_an_entry_or_one_clear_line(text):
    for find in (chip, model, serve_stack_for):
        try:
            find(text)
        except PlannerError as error:
            assert error.exit_code == 2
            assert error.message


BASE = {
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "intermediate_size": 11008,
    "vocab_size": 32000,
}
KEYS = [
    *BASE, "model_type", "num_local_experts", "num_experts_per_tok", "kv_lora_rank", "sliding_window", "layer_types",
    "head_dim", "hybrid_override_pattern", "linear_num_value_heads", "text_config", "attn_config", "ffn_config",
    "expansion_ratio",
    "full_attention_interval", "moe_layer_freq", "first_k_dense_replace", "num_key_value_heads", "sliding_window_pattern",
    "_name_or_path", "multi_query", "tie_word_embeddings", "n_shared_experts", "max_position_embeddings",
]  # fmt: skip
KINDS = st.sampled_from(
    ["llama", "mpt", "dbrx", "chatglm", "gemma3", "nemotron_h", "qwen3_next", "deepseek_v3", "falcon", "gpt2"]
)
VALUES = st.one_of(
    st.integers(-5, 10**6), st.floats(), st.text(max_size=8), st.none(), st.booleans(), st.lists(st.integers(0, 3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip


@given(KINDS, st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4))
@settings(max_examples=400)
def test_any_configuration_is_a_shape_or_one_clear_line(kind, raw):
    try:
        found = read_config({**BASE, "model_type": kind, **raw}, "config.json", "x")
    except InputError as error:
        assert error.message.startswith("config.json")
    else:
        assert found.params > 0.0
