"""Every chip, model and engine name of the published tables has an entry or a reason."""

import json
from pathlib import Path

import pytest

from suanzhang.catalog.aliases import aliases, folded, not_modelled
from suanzhang.catalog.chips import chip, chips
from suanzhang.catalog.models import model, models
from suanzhang.catalog.stacks import serve_stack_for, train_stacks
from suanzhang.errors import CatalogError, PlannerError

NAMES = json.loads((Path(__file__).parent / "published_names.json").read_text(encoding="utf-8"))


def reason_of(find, name):
    try:
        find(name)
    except PlannerError as error:
        return error.details.get("not_modelled", f"unresolved: {error}")
    return ""


@pytest.mark.parametrize(("kind", "find"), [("chip", chip), ("model", model), ("engine", serve_stack_for)])
def test_each_published_name_has_an_entry_or_a_reason(kind, find):
    assert len(NAMES[kind]) > 80
    reasons = {name: reason_of(find, name) for name in NAMES[kind]}
    assert [name for name, reason in reasons.items() if reason.startswith("unresolved")] == []


def test_most_names_have_an_entry():
    assert sum(not reason_of(chip, name) for name in NAMES["chip"]) > 0.95 * len(NAMES["chip"])
    assert sum(not reason_of(model, name) for name in NAMES["model"]) > 0.6 * len(NAMES["model"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("A100-80G-SXM", "a100-sxm-80"),
        ("A100-SXM-80GB", "a100-sxm-80"),
        ("a100_sxm", "a100-sxm-80"),
        ("A100 SXM4 80GB", "a100-sxm-80"),
        ("b200_sxm", "b200-sxm-180"),
        ("B300-270G-SXM", "b300-sxm-288"),
        ("H100-96G-HBM2e", "h100-sxm-96"),
        ("TPU v7x (Ironwood)", "tpu-v7"),
        ("昇腾910C", "ascend-910c"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm-80"),
        ("Tesla V100-SXM2-32GB", "v100-sxm2-32"),
        ("Tesla T4", "t4-16"),
        ("NVIDIA GH200 480GB", "gh200-96"),
        ("NVIDIA H100 SXM5 80 GB", "h100-sxm-80"),
        ("nvidia h100-80gb-hbm3", "h100-sxm-80"),
        ("NVIDIA H100 PCIe", "h100-pcie-80"),
        ("NVIDIA A100 80GB PCIe", "a100-pcie-80"),
        ("NVIDIA A100-SXM4-40GB", "a100-sxm-40"),
        ("H200 141GB", "h200-sxm-141"),
        ("NVIDIA GB200", "gb200-nvl72"),
        ("AMD Instinct MI250X", "mi250x-128"),
        ("AMD Instinct MI300X OAM", "mi300x-192"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtxpro6000-96"),
        ("NVIDIA GeForce RTX 4090", "rtx4090-24"),
        ("Google TPU v5p", "tpu-v5p"),
    ],
)
def test_spellings_of_one_chip(name, expected):
    assert chip(name).id == expected


@pytest.mark.parametrize("name", ["NVIDIA A100 64GB", "NVIDIA V100 PCIe", "NVIDIA", "H100 80GB OAM", "Moonbase X9", "80GB SXM"])
def test_a_spelling_that_may_mean_several_or_none_is_unknown(name):
    with pytest.raises(CatalogError, match="unknown chip"):
        chip(name)


def test_names_point_to_entries_that_exist():
    assert set(aliases("chip").values()) <= set(chips())
    assert set(aliases("model").values()) <= set(models())
    assert set(aliases("train_stack").values()) <= set(train_stacks())


def test_no_name_has_both_an_entry_and_a_reason():
    for kind, known in (("chip", chips()), ("model", models())):
        for name in (*known, *aliases(kind)):
            assert not not_modelled(kind, name), name


def test_the_reason_is_the_message():
    with pytest.raises(CatalogError, match="not modelled: the four variants differ"):
        chip("Ascend-910B")
    assert not_modelled("model", "BLOOM-tuning 999B")
    assert not_modelled("model", "no such thing") == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("A100-80G SXM", "a100-80gsxm"),
        ("GPT2-8.3B", "gpt2-8.3b"),
        ("GPT-28.3B", "gpt28.3b"),
        ("a100_sxm", "a100sxm"),
        ("dots.llm1", "dotsllm1"),
        ("昇腾 910C", "昇腾910c"),
        ("BLOOM-tuning*", "bloomtuning"),
    ],
)
def test_folding_keeps_numbers_apart(name, expected):
    assert folded(name) == expected


def test_unknown_chips_name_the_nearest():
    with pytest.raises(CatalogError, match="did you mean a800-sxm-80"):
        chip("a800-sxm-81")
