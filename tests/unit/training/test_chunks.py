"""Interleaved chunks that do not divide are refused with a reason, by the verb and by the search."""

from dataclasses import replace

import pytest

from suanzhang.app.train import train
from suanzhang.app.train_model import pack
from suanzhang.app.train_option import search
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import train_stack
from suanzhang.errors import InputError
from suanzhang.search.space import even_chunks
from suanzhang.spec.job import TrainJob

ASK = {"global_batch": 1536, "seq_len": 2048}
UNEVEN = "tp=8,pp=8,vpp=5"


def test_software_that_cuts_equal_chunks_refuses_others_and_names_the_nearest() -> None:
    with pytest.raises(InputError, match="96 layers do not divide by pp x vpp = 40") as refused:
        train("gpt3-175b", "300B", "a100-sxm-80:512", layout=UNEVEN, stack="megatron-lm-2024", **ASK)  # type: ignore[arg-type]
    assert "vpp=" in refused.value.fix
    best = int(refused.value.fix.partition("vpp=")[2])
    assert 96 % (8 * best) == 0


def test_software_that_lists_its_chunks_takes_them_and_says_so() -> None:
    found = train("gpt3-175b", "300B", "a100-sxm-80:512", layout=UNEVEN, stack="megatron-lm-2025", **ASK)  # type: ignore[arg-type]
    assert any("do not divide by 40 chunks" in note for note in found.warnings)


@pytest.mark.parametrize("name", ["megatron-lm-2024", "megatron-lm-2025"])
def test_the_search_takes_equal_chunks_and_counts_the_others(name: str) -> None:
    job = TrainJob("gpt3", model("gpt3-175b"), 3e11, 2048, 1536, "bf16")
    kind, stack = chip("a100-sxm-80"), train_stack(name)
    found = search(pack(job, kind, stack), job, kind, stack, 512)
    assert found.pruned["layers do not divide by pp x vpp"] > 0
    for layout in found.layouts:
        assert layout.vpp == 1 or even_chunks(96, layout.pp * layout.vpp)


def test_an_odd_number_of_layers_is_cut_by_a_list() -> None:
    job = replace(TrainJob("v3", model("deepseek-v3"), 1e12, 4096, 1536, "bf16"))
    kind, stack = chip("h800-sxm-80"), train_stack("megatron-lm-2025")
    found = search(pack(job, kind, stack), job, kind, stack, 256)
    assert "layers do not divide by pp x vpp" not in found.pruned
