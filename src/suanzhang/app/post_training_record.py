"""Published runs of reinforcement learning beside our steps: what frameworks lose, and how far the next one may lie from it."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from suanzhang.spec.result import Z95, Interval

FILE = Path(__file__).resolve().parent / "data" / "rl_runs.yaml"
_LEAST_QUESTION = 60.0


@dataclass(frozen=True, slots=True)
class RlRun:
    """One published run.

    Args:
        model, chips, rollout_layout, layout: what ran where.
        response_tokens, response_max, responses: mean and longest answer, answers of a step.
        train_batch: answers of one optimizer step.
        tokens_per_s_per_chip: as published.
        step_s: published time of a step.
        ratio: that over our own, as recorded.
    """

    model: str
    chips: int
    rollout_layout: str
    layout: str
    response_tokens: float
    response_max: float
    responses: int
    train_batch: int
    tokens_per_s_per_chip: float
    step_s: float
    ratio: float

    @property
    def prompt_tokens(self) -> float:
        """Mean question, from the tokens that a step moved."""
        moved = self.tokens_per_s_per_chip * self.step_s * self.chips
        return max(moved / self.responses - self.response_tokens, _LEAST_QUESTION)


@functools.cache
def _body() -> Mapping[str, Any]:
    body: Mapping[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return body


def published_runs() -> tuple[RlRun, ...]:
    """All runs on record."""
    names = {field.name for field in fields(RlRun)}
    return tuple(RlRun(**{name: value for name, value in run.items() if name in names}) for run in _body()["runs"])


def ratio_now(run: RlRun) -> float:
    """Published over predicted step time with the physics of now."""
    from suanzhang.app.post_training import post_train

    body = _body()
    found = post_train(
        run.model, f"{body['chip']}:{run.chips}", prompts=run.responses // body["group"], group=body["group"],
        prompt_tokens=run.prompt_tokens, response_tokens=run.response_tokens, response_max=run.response_max,
        train_batch=run.train_batch, placement="colocated", rollout_layout=run.rollout_layout, layout=run.layout,
        stack=body["stack"],
    )  # fmt: skip
    return run.step_s / found.best.step_s


def record() -> tuple[float, ...]:
    """Write the ratios of now into the record."""
    text, ratios = FILE.read_text(encoding="utf-8"), []
    for run in published_runs():
        ratios.append(round(ratio_now(run), 3))
        text = re.sub(rf"(model: {re.escape(run.model)},.*ratio: )[0-9.]+", rf"\g<1>{ratios[-1]}", text)
    FILE.write_text(text, encoding="utf-8")
    _body.cache_clear()
    framework.cache_clear()
    return tuple(ratios)


@functools.cache
def framework() -> Interval:
    """Step time of the next framework over the predicted one.

    Frameworks lose time to padding, waits of the host, tools and hand-overs between the sides, beside what our physics count.
    It widens the interval and never moves the estimate.
    """
    from suanzhang.evidence.conformal import multipliers

    apart = multipliers("training", "calibrated", 0.0, "step_s")
    return predictive([run.ratio for run in published_runs()], math.log(apart.p95 / apart.p05) / (2.0 * Z95))


def predictive(ratios: Sequence[float], between: float) -> Interval:
    """5th, 50th and 95th percentile of the ratio of a run that nobody has seen.

    Model:
        Logarithms of the ratios are normal with unknown mean and deviation, so that the next one follows Student's t with one
        degree of freedom less than there are runs. All of them are of one framework: how far another lies from it is taken
        from how far sources lie from each other in the time of a training step.

    Args:
        ratios: of the runs seen, two or more.
        between: deviation of the logarithm from one source to another.

    Equation:
        exp(m + t(n - 1, q) sqrt(s^2 (1 + 1/n) + b^2)).
    """
    from scipy.special import stdtrit

    logs = [math.log(ratio) for ratio in ratios]
    count, mean = len(logs), sum(logs) / len(logs)
    variance = sum((value - mean) ** 2 for value in logs) / (count - 1)
    off = float(stdtrit(count - 1, 0.95)) * math.sqrt(variance * (1.0 + 1.0 / count) + between**2)
    return Interval(math.exp(mean - off), math.exp(mean), math.exp(mean + off))
