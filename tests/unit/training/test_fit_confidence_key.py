"""A question says in how many cases the layouts of its trainings must fit."""

import pytest

from suanzhang.app.plan_sizing import train_options_within
from suanzhang.app.question import read_question
from suanzhang.app.train_option import stack_for, train_options
from suanzhang.app.verbs_question import train_question
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.errors import InputError
from suanzhang.spec.job import TrainJob
from suanzhang.spec.train import TrainResult

ASKED = """
currency: USD
start: 2024-11
months: 12
market: us-2024-11
train:
  - {name: base, model: llama-2-70b, tokens: 1T, deadline: 400 d, fit_confidence: %s}
"""


@pytest.mark.parametrize(("written", "meant"), [("40%", 0.4), ("0.9", 0.9), ("0", 0.0)])
def test_the_key_is_a_share_of_cases(written: str, meant: float) -> None:
    assert read_question(ASKED % written).train[0].fit_confidence == pytest.approx(meant)


def test_certainty_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="fit_confidence"):
        read_question(ASKED % "100%")


def test_a_bolder_question_gets_the_faster_and_riskier_layout() -> None:
    kind = chip("h800-sxm-80")
    job = TrainJob(
        "base", model("llama-2-70b"), tokens=1e12, seq_len=4096, global_batch=1024, precision="bf16", deadline_s=400 * 86400.0
    )
    stack = stack_for(job, "megatron-lm-2024", kind)
    (sure,) = train_options(job, kind, (64,), stack)
    (bold,) = train_options(job, kind, (64,), stack, confidence=0.0)
    assert bold.days < sure.days and bold.memory_bytes > sure.memory_bytes
    (first, *_) = train_options_within(job, kind, stack, 1, False, 0.0)
    assert first.days <= train_options(job, kind, (first.chips,), stack)[0].days


def test_train_heeds_the_key_of_a_question() -> None:
    chips = "h800-sxm-80:64"
    sure, bold = (train_question(read_question(ASKED % share), chips=chips) for share in ("0.9", "0"))
    assert isinstance(sure, TrainResult) and isinstance(bold, TrainResult)
    assert bold.step_s < sure.step_s and bold.memory_bytes["total"] > sure.memory_bytes["total"]
