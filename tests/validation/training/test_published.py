"""Published runs of Megatron-LM (SC21, table 1 and section 5.1) and of GPT-3 size."""

import pytest

from suanzhang.app.train import train, train_options
from suanzhang.app.train_model import estimate_train
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import train_stack
from suanzhang.errors import Infeasible, InputError
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.model import ModelSpec

# [narayanan2021] table 1: layers, hidden, heads, tp, pp, chips, global batch, achieved TFLOP/s per chip (recompute counted)
TABLE_1 = [
    (24, 2304, 24, 1, 1, 32, 512, 137.0),
    (30, 3072, 32, 2, 1, 64, 512, 138.0),
    (36, 4096, 32, 4, 1, 128, 512, 142.0),
    (40, 6144, 48, 8, 1, 256, 1024, 135.0),
    (48, 8192, 64, 8, 2, 512, 1536, 138.0),
    (60, 10240, 80, 8, 4, 1024, 1792, 140.0),
    (80, 12288, 96, 8, 8, 1536, 2304, 148.0),
    (96, 16384, 128, 8, 16, 1920, 2160, 155.0),
    (105, 20480, 128, 8, 35, 2520, 2520, 163.0),
    (128, 25600, 160, 8, 64, 3072, 3072, 163.0),
]


def _flop_with_recompute(layers: int, hidden: int, batch: int, seq: int = 2048, vocab: int = 51200) -> float:
    """Arithmetic of a step by equation 3 of the paper: full recompute, attention counted in full."""
    inner = 1.0 + seq / (6.0 * hidden) + vocab / (16.0 * layers * hidden)
    return 96.0 * batch * seq * layers * hidden**2 * inner


@pytest.mark.parametrize("row", TABLE_1, ids=[f"{row[1]}x{row[0]}" for row in TABLE_1])
def test_megatron_weak_scaling(row):
    layers, hidden, heads, tp, pp, chips, batch, tflops = row
    shape = ModelSpec(
        "gpt", "GPT", layers, hidden, heads, heads, hidden // heads, 4 * hidden, False, 51200,
        tied_embeddings=True, learned_positions=True,
    )  # fmt: skip
    dp = chips // (tp * pp)
    micro = max(size for size in (1, 2, 4) if batch % (dp * size) == 0 and (size == 1 or pp == 1))
    layout = TrainLayout(tp=tp, pp=pp, dp=dp, sp=False, zero_stage=0, recompute="full", micro_batch=micro)
    job = TrainJob("gpt", shape, 300e9, 2048, batch, "bf16")
    estimate = estimate_train(job, chip("a100-sxm-80"), layout, train_stack("megatron-lm-2021"))
    achieved = _flop_with_recompute(layers, hidden, batch) / estimate.step_s / chips / 1e12
    assert achieved == pytest.approx(tflops, rel=0.25)


def test_gpt3_on_1024_a100_takes_about_five_weeks():
    result = train(
        "gpt3-175b", "300B", "a100-sxm-80:1024", layout="tp=8,pp=8", global_batch=1536, seq_len=2048, stack="megatron-lm-2021"
    )
    assert 26.0 < result.days * result.goodput_fraction < 44.0
    assert result.layout.dp == 16
    assert result.days_interval.p05 < result.days < result.days_interval.p95
    assert sum(term.value for term in result.terms) == pytest.approx(result.step_s)


def test_a_search_is_no_slower_than_a_published_layout():
    given = train("gpt3-175b", "300B", "a100-sxm-80:1024", layout="tp=8,pp=8,recompute=full", global_batch=1536, seq_len=2048)
    found = train("gpt3-175b", "300B", "a100-sxm-80:1024", global_batch=1536, seq_len=2048)
    assert found.step_s <= given.step_s
    assert found.layouts_evaluated > 100
    assert found.fits


def test_what_does_not_fit_is_infeasible_with_the_nearest():
    with pytest.raises(Infeasible) as caught:
        train("gpt3-175b", "300B", "a100-sxm-80:8")
    assert caught.value.binding
    with pytest.raises(Infeasible) as caught:
        train("gpt3-175b", "300B", "a100-sxm-80:1024", layout="tp=1,pp=1,zero=0", global_batch=2048)
    assert "layout" in caught.value.nearest


def test_a_deadline_that_cannot_be_met_names_the_chips_needed():
    with pytest.raises(Infeasible) as caught:
        train("gpt3-175b", "300B", "a100-sxm-80:1024", deadline_s=86400.0)
    assert caught.value.nearest["chips_about"] > 10000


def test_layout_that_does_not_divide_is_an_input_error():
    with pytest.raises(InputError, match="query heads"):
        train("gpt3-175b", "300B", "a100-sxm-80:1020", layout="tp=10,pp=6,sp=off", global_batch=1700)


def test_options_for_a_plan_shrink_in_days_with_chips():
    job = TrainJob("gpt3", model("gpt3-175b"), 300e9, 2048, 1536, "bf16")
    options = train_options(job, chip("a100-sxm-80"), (512, 1024, 2048))
    assert [option.chips for option in options] == [512, 1024, 2048]
    days = [option.days for option in options]
    assert days == sorted(days, reverse=True)
    assert all(option.energy_j > 0.0 and option.memory_bytes < 1.055 * 80e9 for option in options)
