"""A training layout of a post-training that is searched must fit in a share of the cases of the interval of its memory."""

import pytest

from suanzhang.app.post_training import post_train
from suanzhang.app.train import train
from suanzhang.errors import InputError

TUNED = {"method": "sft", "examples": "100K"}
CHIPS = "h100-sxm-80:8"


def test_a_layout_that_only_just_fits_gives_way_and_is_named() -> None:
    bold = post_train("qwen2.5-7b", CHIPS, fit_confidence=0.0, **TUNED)  # type: ignore[arg-type]
    sure = post_train("qwen2.5-7b", CHIPS, **TUNED)  # type: ignore[arg-type]
    assert bold.best.fits_fraction < 0.9 <= sure.best.fits_fraction
    assert bold.best.step_s < sure.best.step_s
    assert sure.best.riskier_layout == bold.best.layout
    assert sure.best.riskier_gain_fraction == pytest.approx(1.0 - bold.best.step_s / sure.best.step_s)
    assert any("faster, but fits in only" in note and "(fit_confidence)" in note for note in sure.warnings)
    assert not any("fit_confidence" in note for note in bold.warnings)


def test_tuning_takes_the_layout_and_the_interval_that_train_takes() -> None:
    tuned = post_train("llama-3.1-8b", CHIPS, batch=128, seq_len=4096, **TUNED)  # type: ignore[arg-type]
    trained = train("llama-3.1-8b", "1B", CHIPS, global_batch=128, seq_len=4096)
    assert tuned.best.layout == trained.layout
    assert tuned.best.memory_bytes == pytest.approx(trained.memory_bytes["total"])
    assert tuned.best.memory_bytes_interval == trained.memory_bytes["total_interval"]
    assert tuned.best.fits_fraction == pytest.approx(trained.fits_fraction)


def test_a_frozen_reference_rests_on_the_chip_only_where_it_surely_fits() -> None:
    found = post_train("qwen2.5-7b", CHIPS, method="dpo", examples="100K")
    assert found.best.fits_fraction >= 0.9
    for share in (0.0, 0.5, 0.9, 0.99):
        one = post_train("qwen2.5-7b", CHIPS, method="dpo", examples="100K", fit_confidence=share)
        assert one.best.fits_fraction >= share


@pytest.mark.parametrize("placement", ["colocated", "apart"])
def test_reinforcement_learning_keeps_the_share_too(placement: str) -> None:
    asked = {"prompts": 32, "group": 8, "placement": placement}
    bold = post_train("llama-3.1-8b", CHIPS, fit_confidence=0.0, **asked)  # type: ignore[arg-type]
    sure = post_train("llama-3.1-8b", CHIPS, **asked)  # type: ignore[arg-type]
    assert sure.best.fits_fraction >= 0.9
    assert bold.best.step_s <= sure.best.step_s


def test_where_nothing_fits_surely_the_surest_is_taken_and_said() -> None:
    found = post_train("qwen2.5-7b", "h100-sxm-80:2", fit_confidence=0.98, **TUNED)  # type: ignore[arg-type]
    assert found.best.fits_fraction < 0.98
    assert any("no layout fits in 98 of 100 cases" in note for note in found.warnings)


def test_a_share_outside_of_none_to_all_is_refused() -> None:
    with pytest.raises(InputError, match="fit_confidence"):
        post_train("qwen2.5-7b", CHIPS, fit_confidence=1.0, **TUNED)  # type: ignore[arg-type]
