"""Searches over counts and kinds of chips under a deadline, a budget, a limit and gangs."""

from __future__ import annotations

import numpy as np
import pytest

from suanzhang.app.train import train, train_options
from suanzhang.app.train_counts import fewest, gang_of, grid, halvings
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import train_stack
from suanzhang.errors import Infeasible, InputError
from suanzhang.report.jsonable import to_text
from suanzhang.spec.job import TrainJob

ASK = {"global_batch": 512, "seq_len": 4096, "stack": "megatron-lm-2024"}
DAY = 86400.0


def test_counts_are_whole_gangs_down_to_one() -> None:
    assert grid(1000, 8)[0] == 1000 and grid(1001, 8)[0] == 1000
    assert grid(1000, 8)[-1] == 8 and all(count % 8 == 0 for count in grid(1000, 8))
    assert halvings(96, 8) == (48, 24, 8)
    assert gang_of("node", chip("a100-sxm-80")) == 8 and gang_of("12", chip("a100-sxm-80")) == 12


@pytest.mark.parametrize("threshold", [1, 7, 40, 333, 999])
def test_halving_finds_the_smallest_that_holds(threshold: int) -> None:
    asked: dict[int, bool] = {}
    fewest(grid(1000, 1), 1, lambda count: count >= threshold, asked)
    assert min(count for count, kept in asked.items() if kept) == threshold


def test_fewest_chips_that_meet_the_deadline_as_by_looking_at_all() -> None:
    result = train(
        "llama-2-7b", "100B", "a100-sxm-80", max_chips=128, gang="NODE", deadline_s=20 * DAY, objective="chips", **ASK
    )
    job = TrainJob("7b", model("llama-2-7b"), 100e9, 4096, 512, "bf16")
    every = train_options(job, chip("a100-sxm-80"), tuple(range(8, 129, 8)), train_stack("megatron-lm-2024"))
    kept = [option.chips for option in every if option.days <= 20.0 and option.chips % 8 == 0]
    assert result.chips == min(kept)
    assert result.days <= 20.0


def test_each_objective_takes_what_it_names() -> None:
    found = {
        objective: train(
            "llama-2-7b", "100B", "a100-sxm-80,h100-sxm-80", max_chips=128, gang="NODE", deadline_s=30 * DAY,
            objective=objective, price_per_chip_h=(1.0, 2.9), **ASK,
        )
        for objective in ("days", "cost", "energy", "chips")
    }  # fmt: skip
    assert found["days"].days == min(result.days for result in found.values())
    assert found["cost"].cost.amount == min(result.cost.amount for result in found.values())
    assert found["energy"].energy_j == min(result.energy_j for result in found.values())
    assert found["chips"].chips == min(result.chips for result in found.values())
    assert all(result.days <= 30.0 for result in found.values())
    assert found["days"].chips > found["chips"].chips


def test_the_front_is_what_nothing_beats() -> None:
    front = train(
        "llama-2-7b", "100B", "a100-sxm-80,h100-sxm-80", max_chips=64, price_per_chip_h=(1.0, 2.9), **ASK
    ).pareto  # fmt: skip
    points = np.array([[o.days, o.chips, o.energy_j, o.cost.amount] for o in front])
    assert len(front) > 4
    for point in points:
        assert not (np.all(points <= point, axis=1) & np.any(points < point, axis=1)).any()
    assert {option.chip for option in front} == {"a100-sxm-80", "h100-sxm-80"}


def test_a_plain_count_takes_all_chips_and_shows_fewer_beside_them() -> None:
    result = train("llama-2-7b", "100B", "a100-sxm-80:64", **ASK)
    assert result.chips == 64
    assert {option.chips for option in result.pareto} >= {64, 32}


def test_a_budget_is_kept_or_named() -> None:
    loose = train("llama-2-7b", "100B", "a100-sxm-80", max_chips=64, budget=1e6, price_per_chip_h=1.5, **ASK)
    assert loose.cost.amount <= 1e6
    with pytest.raises(Infeasible) as refused:
        train("llama-2-7b", "100B", "a100-sxm-80", max_chips=64, budget=1e3, price_per_chip_h=1.5, **ASK)
    assert any("budget" in line for line in refused.value.binding)
    needed = refused.value.nearest["cost"]
    kept = train("llama-2-7b", "100B", "a100-sxm-80", max_chips=64, budget=1.001 * needed, price_per_chip_h=1.5, **ASK)
    assert kept.cost.amount <= 1.001 * needed


def test_offload_fits_what_does_not_fit() -> None:
    with pytest.raises(Infeasible):
        train("gpt3-6.7b", "1B", "a100-sxm-80:1", global_batch=64, seq_len=2048)
    result = train("gpt3-6.7b", "1B", "a100-sxm-80:1", global_batch=64, seq_len=2048, offload=True)
    assert result.layout.offload_optimizer
    assert result.fits


@pytest.mark.parametrize(
    "given",
    [
        {"budget": 1e6},
        {"budget": -1.0, "price_per_chip_h": 1.0},
        {"gang": "rack"},
        {"gang": "0"},
        {"max_chips": -8},
        {"max_chips": 64, "layout": "tp=2"},
        {"price_per_chip_h": (1.0, 2.0)},
        {"objective": "fame"},
    ],
)
def test_bad_questions(given) -> None:
    with pytest.raises(InputError):
        train("llama-2-7b", "100B", "a100-sxm-80:64", **ASK, **given)


def test_less_than_a_gang_is_refused() -> None:
    with pytest.raises(Infeasible, match="gang"):
        train("llama-2-7b", "100B", "a100-sxm-80:4", gang="NODE", **ASK)


def test_an_answer_over_several_prices_is_explained(tmp_path) -> None:
    import suanzhang

    result = suanzhang.train("llama-2-7b", "1B", "a100-sxm-80,h100-sxm-80", max_chips=16, price_per_chip_h=[1.0, 2.9], **ASK)
    path = tmp_path / "answer.json"
    path.write_text(to_text(result), encoding="utf-8")
    explained = suanzhang.explain(path)
    assert any(tree.name == "cost" and tree.value == pytest.approx(result.cost.amount) for tree in explained.trees)


@pytest.mark.parametrize("limit", [1000, 1024, 2048, 16384, 98304])
def test_a_search_looks_at_each_half_of_the_most_chips(limit):
    counts = grid(limit, 1)
    assert {limit // 2**k for k in range(10)} <= set(counts)
    assert len(counts) < 2.2 * limit.bit_length()
