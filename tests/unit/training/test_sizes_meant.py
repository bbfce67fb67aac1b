"""Sizes that cannot be meant are refused in one line, with what was probably meant."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import suanzhang
from suanzhang.errors import InputError

CHIPS = "h100-sxm-80:64"
MIXED = "h100-sxm-80:8+a100-sxm-80:8"


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: suanzhang.train("llama3-8b", 300, CHIPS), "300B"),
        (lambda: suanzhang.train("llama3-8b", "300", CHIPS), "300B"),
        (lambda: suanzhang.train("llama3-8b", "1T", CHIPS, global_batch=-1), "global_batch"),
        (lambda: suanzhang.train("llama3-8b", "1T", CHIPS, seq_len=-8), "seq_len"),
        (lambda: suanzhang.train_mixed("llama3-8b", 300, MIXED), "300B"),
        (lambda: suanzhang.goodput("llama3-8b", 300, CHIPS), "300B"),
        (lambda: suanzhang.variants("llama3-8b", 300, 64), "300B"),
        (lambda: suanzhang.launch_train("llama3-8b", 300, CHIPS, "megatron"), "300B"),
        (lambda: suanzhang.scaling(flop=300), "1e24"),
        (lambda: suanzhang.scaling("h100-sxm-80", budget="5M", seq_len=0), "seq_len"),
        (lambda: suanzhang.post_train("llama3-8b", "h100-sxm-80:8", "sft", examples=1), "100K"),
    ],
)
def test_refused_in_one_line(ask: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError) as refused:
        ask()
    line = f"{refused.value.message}; {refused.value.fix}"
    assert words in line and "\n" not in line


def test_few_tokens_of_a_small_batch_are_a_training() -> None:
    assert suanzhang.train("llama3-8b", 4096, "h100-sxm-80:8", global_batch=8, seq_len=512).steps == 1.0
