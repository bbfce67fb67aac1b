"""The fit finds what made the data, and leaving a source out does not look at it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from suanzhang.app.train_fit import FittedRun, fit_prepared, predict_log, prepare
from suanzhang.app.train_model import estimate_train
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import train_stack
from suanzhang.errors import InputError
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout

STACK = train_stack("megatron-lm-2024")
A100, H100 = chip("a100-sxm-80"), chip("h100-sxm-80")
JOB = TrainJob("gpt3", model("gpt3-175b"), 300e9, 2048, 1536, "bf16")


def _runs(source: str, where, factor: float) -> list[FittedRun]:
    runs = []
    for tp, pp in ((8, 8), (8, 16), (4, 16)):
        for micro in (1, 2):
            layout = TrainLayout(tp=tp, pp=pp, dp=1024 // (tp * pp), micro_batch=micro, recompute="full")
            step = estimate_train(JOB, where, layout, STACK).step_s * factor
            runs.append(FittedRun(source, JOB, where, layout, STACK, step))
    return runs


def test_the_fit_follows_slower_runs_and_a_left_out_source_has_no_say():
    prepared = prepare(_runs("one", A100, 1.2) + _runs("two", A100, 1.2) + _runs("odd", A100, 1.2))
    found, used = fit_prepared(prepared)
    assert used == 18
    error = predict_log(prepared, found) - prepared.log_step
    assert float(np.median(np.abs(error))) < 0.05
    other = prepare(_runs("one", A100, 1.2) + _runs("two", A100, 1.2) + _runs("odd", A100, 3.0))
    without, left = fit_prepared(prepared, "odd")
    same, _ = fit_prepared(other, "odd")
    assert left == 12
    assert np.allclose(without, same)


def test_nothing_left_is_refused():
    with pytest.raises(InputError):
        fit_prepared(prepare(_runs("one", A100, 1.0)), "one")


def test_an_impossible_layout_is_counted():
    run = _runs("one", H100, 1.0)[0]
    prepared = prepare([run, replace(run, layout=replace(run.layout, tp=7))])
    assert prepared.sources == ("one",)
    assert sum(prepared.skipped.values()) == 1
