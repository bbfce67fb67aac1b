"""A layout that says what cannot be is refused with its reason; a search over counts takes whole gangs of all counts."""

from __future__ import annotations

import pytest

from suanzhang.app.train import train, train_options
from suanzhang.app.train_input import parse_layout
from suanzhang.app.train_run import goodput
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import train_stack
from suanzhang.errors import InputError
from suanzhang.spec.job import TrainJob

ASK = {"global_batch": 72, "seq_len": 8192, "stack": "megatron-lm-2024"}
DAY = 86400.0


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        ("zero=3,shard_ranks=7", "24 data ranks do not divide by shard_ranks=7"),
        ("zero=4", "no stage 4"),
        ("etp=2", "etp without experts"),
        ("recompute=none,recompute_layers=4", "recompute_layers=4 with recompute=none"),
        ("pp=2,recompute=full,recompute_layers=17", "a stage holds 16 layers"),
        ("tp=3", "query heads do not divide by tp"),
        ("cp=3", "sequence length does not divide by 2 x cp"),
        ("dp=24,micro_batch=2", "global batch does not divide"),
    ],
)
def test_what_cannot_be_meant_has_a_reason(layout: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        train("llama-3-8b", "10B", "a100-sxm-80:24", layout=layout, **ASK)


def test_a_whole_run_refuses_the_same() -> None:
    with pytest.raises(InputError, match="a stage holds 16 layers"):
        goodput("llama-3-8b", "10B", "a100-sxm-80:24", layout="pp=2,recompute=full,recompute_layers=17", **ASK)


def test_fewer_layers_recomputed_take_less_time_and_more_memory() -> None:
    def at(layers: int) -> tuple[float, object]:
        found = train(
            "llama-3-8b", "10B", "a100-sxm-80:24", layout=f"tp=4,recompute=full,recompute_layers={layers}", **ASK
        )  # fmt: skip
        return found.step_s, found.memory_bytes["total"]

    every, half, few = at(32), at(16), at(1)
    assert every[0] > half[0] > few[0] and every[1] < half[1] < few[1]  # type: ignore[operator]


def test_gangs_that_the_largest_layout_does_not_fill_still_take_the_fastest_whole_gangs() -> None:
    result = train("gpt3-175b", "300B", "a100-sxm-80:1000", gang="48", global_batch=2048, stack="megatron-lm-2024")
    job = TrainJob("gpt3", model("gpt3-175b"), 300e9, 2048, 2048, "bf16")
    counts = tuple(range(48, 1001, 48))
    every = train_options(job, chip("a100-sxm-80"), counts, train_stack("megatron-lm-2024"))
    whole = [option for option in every if option.chips % 48 == 0]
    assert result.chips % 48 == 0
    assert result.days <= min(option.days for option in whole)


@pytest.mark.parametrize("objective", ["cost", "energy"])
def test_the_count_taken_is_hardly_dearer_than_the_best_of_all_counts(objective: str) -> None:
    ask = {"global_batch": 512, "seq_len": 4096, "stack": "megatron-lm-2024"}
    result = train(
        "llama-2-7b", "100B", "a100-sxm-80", max_chips=256, gang="NODE", deadline_s=12 * DAY, objective=objective,
        price_per_chip_h=1.0, **ask,
    )  # fmt: skip
    job = TrainJob("7b", model("llama-2-7b"), 100e9, 4096, 512, "bf16")
    every = train_options(job, chip("a100-sxm-80"), tuple(range(8, 257, 8)), train_stack("megatron-lm-2024"))
    kept = [option for option in every if option.days <= 12.0 and option.chips % 8 == 0]
    best = min(option.days * option.chips if objective == "cost" else option.energy_j for option in kept)
    taken = result.days * result.chips if objective == "cost" else result.energy_j
    assert taken <= 1.005 * best


def test_chips_without_work_are_named() -> None:
    found = train("gpt3-175b", "300B", "a100-sxm-80:1000", global_batch=1536, stack="megatron-lm-2024")
    idle = 1000 - found.chips
    assert idle > 0
    assert any(
        note.startswith("the answer uses") and "of the 1,000 A100" in note and f"; {idle} stay idle" in note
        for note in found.warnings
    )
    whole = train("gpt3-175b", "300B", "a100-sxm-80:1024", global_batch=1536, stack="megatron-lm-2024")
    assert not any("idle" in note for note in whole.warnings)


@pytest.mark.parametrize(
    ("text", "fix"), [("tp=8,sp", "write sp=on"), ("tp", "write tp=8"), ("schedule", "write schedule=1f1b")]
)
def test_a_key_without_a_value_is_told_how_to_be_written(text: str, fix: str) -> None:
    with pytest.raises(InputError, match=fix):
        parse_layout(text)
