"""Every figure that a training verb predicts has its interval; what is no prediction stands here with the reason."""

from __future__ import annotations

import pytest
from intervals import unspanned

import suanzhang
from suanzhang.spec.result import Interval

TRAIN = {
    "TrainResult.chips": "a choice among what was given",
    "TrainResult.steps": "tokens over the batch, both given",
    "TrainResult.layouts_evaluated": "a count of work done",
    "TrainResult.search_s": "a clock reading",
    "TrainResult.pruned": "counts of work done",
    "TrainResult.seq_len": "given",
    "TrainResult.global_batch": "given",
    "TrainResult.memory_bytes.usable": "a figure of the chip",
    "TrainOption.chips": "a choice among what was given",
    "Flag": "weights of figures, exact by the formulas",
}

GOODPUT = {
    "RunResult.chips": "given",
    "RunResult.nodes": "follows from the chips",
    "RunResult.spares": "a choice",
    "RunResult.failures_per_chip_day": "published or given; its spread is in all that follows from it",
    "RunResult.interval_s": "a choice",
    "RunResult.replications": "given",
    "WarmUp.global_batch": "given",
    "WarmUp.tokens": "given",
    "Setting.value": "the setting that is looked at",
    "Flag": "weights of figures, exact by the formulas",
}


def test_train() -> None:
    one = suanzhang.train("llama3-8b", "1T", "h100-sxm-80:64", price_per_chip_h=2.0)
    two = suanzhang.train(
        "mixtral-8x7b", "200B", "a100-sxm-80:64,h100-sxm-80:64", objective="cost", price_per_chip_h=(1.0, 2.5)
    )
    laid = suanzhang.train("llama3-8b", "1T", "a800-sxm-80:64", layout="tp=4,pp=2", global_batch=512, seq_len=4096)
    assert unspanned([one, two, laid], TRAIN) == []


def test_launch_shows_the_figures_of_its_plan() -> None:
    launched = suanzhang.launch_train("llama3-8b", "1T", "h100-sxm-80:64", "megatron", price_per_chip_h=2.0)
    assert unspanned([launched], TRAIN) == []


def test_days_energy_and_cost_move_together() -> None:
    result = suanzhang.train("llama3-8b", "1T", "h100-sxm-80:64", price_per_chip_h=2.0)
    assert result.cost is not None and result.cost_interval is not None
    factor = result.cost.amount / result.days
    for ours, theirs in (
        (result.cost_interval.p05, result.days_interval.p05),
        (result.cost_interval.p95, result.days_interval.p95),
    ):
        assert ours == pytest.approx(theirs * factor, rel=1e-9), "a price that was given adds no error"
    width = lambda span: span.p95 / span.p05  # noqa: E731
    assert width(result.days_interval) >= width(result.step_s_interval) * 0.999, "failures add to what the step is off by"
    assert width(result.energy_j_interval) > width(result.days_interval), "the draw adds to what the days are off by"


def test_terms_are_no_better_known_than_their_sum() -> None:
    result = suanzhang.train("llama3-8b", "1T", "h100-sxm-80:64")
    whole = result.step_s_interval.p95 / result.step_s_interval.p05
    for term in result.terms:
        if term.value:
            assert isinstance(term.value_interval, Interval)
            assert term.value_interval.p95 / term.value_interval.p05 >= whole * (1.0 - 1e-9), term.name


def test_goodput() -> None:
    plain = suanzhang.goodput("llama3-8b", "1T", "h100-sxm-80:256", replications=40)
    full = suanzhang.goodput(
        "llama3-8b", "1T", "a100-sxm-80:256", checkpoint="sync", batch_warm_up="0.25:2%,0.5:18%", evaluation_s=600.0,
        evaluation_every_s=86400.0, slow_nodes_fraction=0.01, failures="meta-rsc-1", replications=40,
    )  # fmt: skip
    assert unspanned([plain, full], GOODPUT) == []
    assert any(flag.figure.startswith("time to be back") for flag in full.weak_inputs) == any(
        term.name == "restarts" and term.value > 0.05 * sum(part.value for part in full.terms) for term in full.terms
    )
