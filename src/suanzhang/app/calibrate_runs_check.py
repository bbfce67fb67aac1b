"""Measured times that cannot be meant, and how sure the estimate of a run is before and after the runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from suanzhang.app.calibrate_runs_fit import OwnFactors, Question, Seen, narrowing
from suanzhang.app.train_model import estimate_train
from suanzhang.app.train_spread import interval_factors
from suanzhang.errors import InputError
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.result import Interval

ABSURD = 30.0
"""Measured over predicted step time beyond which a run is refused: the widest published runs lie within a factor of four."""
_MILLI = (200.0, 5000.0)
"""The same where milliseconds were written for seconds."""


def check_plausible(path: str | Path, lines: Sequence[int], measured_s: Sequence[float], predicted_s: Sequence[float]) -> None:
    """Refuse runs whose times cannot be meant.

    Args:
        path: the file.
        lines: line of each run.
        measured_s: step time that the file says.
        predicted_s: by the shipped coefficients.

    Raises:
        InputError: a time is so far from the prediction that it must be another quantity or unit; names the first line.
    """
    ratios = [mine / ours for mine, ours in zip(measured_s, predicted_s, strict=True)]
    absurd = [index for index, ratio in enumerate(ratios) if not 1.0 / ABSURD < ratio < ABSURD]
    if not absurd:
        return
    first = absurd[0]
    ratio = ratios[first]
    times = f"{ratio:,.0f} times" if ratio > 1.0 else f"1/{1.0 / ratio:,.0f} of"
    more = f", and {len(absurd) - 1} more lines" if len(absurd) > 1 else ""
    low, high = _MILLI
    fix = "give the seconds of one optimizer step on all the chips named"
    if low < ratio < high:
        fix = f"these look like milliseconds: write {measured_s[first]:g} ms, or seconds"
    raise InputError(
        f"{path}, line {lines[first]}: step_s of {measured_s[first]:,.6g} s is {times} the predicted "
        f"{predicted_s[first]:,.3g} s{more}",
        fix=fix,
    )


def sure(question: Question, layout: TrainLayout, own: OwnFactors, seen: Seen) -> tuple[Interval, Interval]:
    """Measured over predicted step time of a run before and after what the runs tell.

    Args:
        question: job, chip and software.
        layout: how it was laid out.
        own: what the runs said.
        seen: the run among them.
    """
    estimate = estimate_train(question.job, question.chip, layout, question.stack)
    before = interval_factors(question.chip, question.job, question.stack, layout.chips, estimate)
    told = narrowing(own, seen)
    return before, Interval(before.p05**told, before.p50**told, before.p95**told)
