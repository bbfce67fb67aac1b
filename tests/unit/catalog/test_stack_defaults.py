"""The software that is assumed where a question names none."""

import pytest

from suanzhang.app.train import train
from suanzhang.catalog.chips import chip
from suanzhang.catalog.stack_defaults import default_train_stack_on


@pytest.mark.parametrize(
    ("name", "start", "expected"),
    [
        ("tpu-v5p", "2024-12", "maxtext-2024"),
        ("tpu-v4", "2023-01", "jax-pax-2022"),
        ("ascend-910b1", "2026-01", "mindspeed-2024"),
        ("gaudi2-96", "2024-01", "habana-2023"),
        ("h100-sxm-80", "2024-02", "megatron-lm-2023"),
        ("h100-sxm-80", "2024", "megatron-lm-2024"),
        ("h800-sxm-80", "2024-12", "megatron-lm-2024"),
        ("h800-sxm-80", "2026-11-22", "megatron-lm-2025"),
        ("mi300x-192", "2025-06-30", "megatron-lm-2025"),
    ],
)
def test_newest_software_of_the_maker_that_was_published_by_the_start(name: str, start: str, expected: str) -> None:
    found = default_train_stack_on(chip(name), start)
    assert found.stack.id == expected
    assert found.stack.released <= (start[:7] if len(start) >= 7 else f"{start}-12")
    assert not found.note


def test_software_of_another_maker_is_said() -> None:
    assert "NVIDIA" in default_train_stack_on(chip("trn2"), "2025-01").note


def test_software_younger_than_the_start_is_said() -> None:
    found = default_train_stack_on(chip("tpu-v4"), "2021-06")
    assert found.stack.id == "jax-pax-2022"
    assert "after the start" in found.note


def test_a_training_on_tpus_is_planned_with_their_software() -> None:
    found = train("palm-540b", "780B", "tpu-v4:6144", global_batch=2048, seq_len=2048, start="2022-07")
    assert found.stack == "jax-pax-2022"
    assert any(note.startswith("software assumed: Pax") for note in found.warnings)
