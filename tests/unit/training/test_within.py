"""A search that keeps a part of a layout finds the best of the rest, as by looking at all of them."""

from __future__ import annotations

import pytest

from suanzhang.app.train import train
from suanzhang.app.train_within import parse_within
from suanzhang.errors import Infeasible, InputError

ASK = {"global_batch": 512, "seq_len": 2048, "stack": "megatron-lm-2024"}


def _found(within: str, chips: str = "a100-sxm-80:256") -> object:
    return train("gpt3-175b", "300B", chips, within=within, **ASK)  # type: ignore[arg-type]


def test_values_are_read_as_layouts_write_them() -> None:
    assert parse_within("tp=4|8,zero=1,mbs=2,schedule=1f1b|zero-bubble,sp=off,cp_kind=a2a") == {
        "tp": (4, 8), "zero": (1,), "micro_batch": (2,), "schedule": (1, 3), "sp": (0,), "cp_a2a": (1,),
    }  # fmt: skip
    assert parse_within("") == {}


def test_what_is_kept_is_kept_and_the_rest_is_the_best() -> None:
    free, kept = _found(""), _found("tp=8,pp=8,recompute=full,mbs=1")
    assert (kept.layout.tp, kept.layout.pp, kept.layout.recompute, kept.layout.micro_batch) == (8, 8, "full", 1)
    assert kept.step_s > free.step_s
    assert 0 < kept.layouts_evaluated < free.layouts_evaluated
    for vpp in (1, 2, 4, 12):
        for zero in (0, 1):
            layout = f"tp=8,pp=8,recompute=full,mbs=1,vpp={vpp},zero={zero}"
            try:
                one = train("gpt3-175b", "300B", "a100-sxm-80:256", layout=layout, **ASK)
            except Infeasible:
                continue
            assert kept.step_s <= one.step_s * (1 + 1e-12)


def test_a_free_search_is_the_best_of_its_parts() -> None:
    free = _found("")
    parts = [_found(f"tp={tp}") for tp in (4, 8)]
    assert min(part.step_s for part in parts) == free.step_s


def test_schedules_that_a_search_leaves_out_can_be_asked_for() -> None:
    one = _found("tp=8,pp=8,vpp=1,schedule=1f1b")
    both = _found("tp=8,pp=8,vpp=1,schedule=1f1b|zero-bubble")
    assert both.layout.schedule == "zero-bubble"
    assert both.step_s < one.step_s


@pytest.mark.parametrize(
    ("within", "says"),
    [
        ("tq=8", "tq=8"), ("tp", "cannot read 'tp'"), ("tp=", "cannot read"), ("tp=x", "no positive whole"),
        ("tp=8|8", "twice"),
        ("dp=4", "dp cannot be kept"), ("shard_ranks=8", "shard_ranks cannot be kept"), ("schedule=fast", "unknown 'fast'"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused(within: str, says: str) -> None:
    with pytest.raises(InputError, match=r".") as caught:
        _found(within)
    assert says in caught.value.message


def test_a_whole_layout_leaves_nothing_to_search() -> None:
    with pytest.raises(InputError, match="beside what the search keeps"):
        train("gpt3-175b", "300B", "a100-sxm-80:256", layout="tp=8", within="pp=8", **ASK)
    with pytest.raises(Infeasible, match="divides"):
        _found("tp=5")


def test_a_search_tries_the_schedules_of_its_software() -> None:
    """HAI-LLM brought DualPipe; a free search is the best of it and 1F1B. Megatron-Core has none but 1F1B and interleaving."""
    ask = {"precision": "fp8-block", "global_batch": 2048, "seq_len": 4096, "stack": "hai-llm-2024"}
    free, plain, dual = (
        train("deepseek-v3", "1B", "h800-sxm-80:512", within=f"ep=64{kept}", **ask)  # type: ignore[arg-type]
        for kept in ("", ",schedule=1f1b", ",schedule=dualpipe")
    )
    assert free.step_s == min(plain.step_s, dual.step_s)
    assert free.layout.schedule == "dualpipe"
    megatron = train("deepseek-v3", "1B", "h800-sxm-80:512", within="ep=64", **{**ask, "stack": "megatron-lm-2024"})  # type: ignore[arg-type]
    assert megatron.layout.schedule in ("1f1b", "interleaved")
