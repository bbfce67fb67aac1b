"""Published runs of reinforcement learning beside our steps: the costs of frameworks fitted to them, and what is left."""

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
        source: key of the page that prints it.
        model, chips, rollout_layout, layout: what ran where.
        rollout_chips: chips that sample alone; 0 where both sides take turns.
        engine_memory: share of the memory that the engine takes.
        in_flight: steps of answers under way at once; 0 where each step waits for its last answer.
        response_tokens: mean answer.
        longest: most tokens of a question with its answer.
        responses: answers of a step.
        group: answers to each question.
        train_batch: answers of one optimizer step.
        tokens_per_s_per_chip: as published.
        step_s: published time of a step.
        ratio: that over our own, as recorded, with the costs of frameworks fitted to all runs.
        left_out: the same, fitted without the runs of this model.
        source_out: the same, fitted without the runs of this page.
        chip, engine, stack: what of each.
    """

    source: str
    model: str
    chips: int
    rollout_chips: int
    rollout_layout: str
    layout: str
    engine_memory: float
    in_flight: int
    response_tokens: float
    longest: float
    responses: int
    group: int
    train_batch: int
    tokens_per_s_per_chip: float
    step_s: float
    ratio: float
    left_out: float
    source_out: float
    chip: str = ""
    engine: str = ""
    stack: str = ""

    @property
    def id(self) -> str:
        """Name of a run in reports."""
        way = f"+{self.rollout_chips}" if self.rollout_chips else ""
        return f"{self.source} {self.model} {self.chips - self.rollout_chips}{way}"

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
    body = _body()
    names = {field.name for field in fields(RlRun)}
    found = []
    for run in body["runs"]:
        source = body["sources"][run["from"]]
        given = {name: value for name, value in run.items() if name in names}
        found.append(RlRun(source=run["from"], chip=source["chip"], engine=source["engine"], stack=body["stack"], **given))
    return tuple(found)


def source_of(run: RlRun) -> Mapping[str, str]:
    """Title, address and date of the page that prints a run."""
    found: Mapping[str, str] = _body()["sources"][run.source]
    return found


def asked_of(run: RlRun) -> dict[str, Any]:
    """What ``post_train`` is asked for a run."""
    return {
        "model": run.model, "chips": f"{run.chip}:{run.chips}", "method": "grpo", "prompts": run.responses // run.group,
        "group": run.group, "prompt_tokens": run.prompt_tokens, "response_tokens": run.response_tokens,
        "response_max": run.longest - run.prompt_tokens, "train_batch": run.train_batch,
        "placement": "apart" if run.rollout_chips else "colocated", "rollout_chips": run.rollout_chips,
        "in_flight": run.in_flight, "rollout_layout": run.rollout_layout, "layout": run.layout, "stack": run.stack,
        "engine": run.engine, "engine_memory": run.engine_memory,
    }  # fmt: skip


def ratio_now(run: RlRun) -> float:
    """Published over predicted step time with the physics of now."""
    from suanzhang.app.post_training import post_train

    return run.step_s / post_train(**asked_of(run)).best.step_s


def record() -> tuple[float, ...]:
    """Fit the costs of frameworks, and write them and the ratios of now into the files."""
    from suanzhang.app.post_training_costs import FILE as COSTS
    from suanzhang.app.post_training_costs import forget
    from suanzhang.app.post_training_fit import FITTED, fitted, left_out, prepared

    runs = [prepared(run) for run in published_runs()]
    found = fitted(runs)
    text = COSTS.read_text(encoding="utf-8")
    for name in FITTED:
        text = re.sub(rf"(  {name}: {{value: )[0-9.e+-]+", rf"\g<1>{getattr(found, name):.3g}", text)
    COSTS.write_text(text, encoding="utf-8")
    forget()
    ratios = [ratio_now(run) for run in published_runs()]
    lines, place, alone, page = [], 0, left_out(runs), left_out(runs, "source")
    for line in FILE.read_text(encoding="utf-8").splitlines():
        new = line
        if line.startswith("  - {from:"):
            values = f"ratio: {ratios[place]:.3f}, left_out: {alone[place]:.3f}, source_out: {page[place]:.3f}}}"
            new = re.sub(r"ratio: .*}$", values, line)
            place += 1
        lines.append(new)
    FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    _body.cache_clear()
    framework.cache_clear()
    return tuple(ratios)


@dataclass(frozen=True, slots=True)
class RlErrors:
    """How far published steps lie from ours.

    Args:
        label: of whom.
        runs: how many.
        median: median of the absolute errors, published over predicted and one.
        bias: median of the ratios, less one.
        median_left_out, bias_left_out: the same where the costs are fitted without the runs of the same model.
        median_source_out, bias_source_out: the same where they are fitted without the runs of the same page.
    """

    label: str
    runs: int
    median: float
    bias: float
    median_left_out: float
    bias_left_out: float
    median_source_out: float
    bias_source_out: float


def errors_by(kind: str = "source") -> tuple[RlErrors, ...]:
    """Errors by "source", "model", "chip" or all together ("")."""
    groups: dict[str, list[RlRun]] = {}
    for run in published_runs():
        groups.setdefault(str(getattr(run, kind)) if kind else "all", []).append(run)
    return tuple(_errors(label, runs) for label, runs in groups.items())


def _errors(label: str, runs: Sequence[RlRun]) -> RlErrors:
    from statistics import median

    def off(ratios: Sequence[float]) -> tuple[float, float]:
        return median(math.exp(abs(math.log(ratio))) - 1.0 for ratio in ratios), median(ratios) - 1.0

    kinds = ([getattr(run, kind) for run in runs] for kind in ("ratio", "left_out", "source_out"))
    return RlErrors(label, len(runs), *(value for ratios in kinds for value in off(ratios)))


@functools.cache
def framework() -> Interval:
    """Step time of the next run over the predicted one, from runs of models that the fit has not seen.

    The costs of frameworks are part of the estimate, so that its middle is the estimate; what they leave is its width.
    """
    from suanzhang.evidence.conformal import multipliers

    apart = multipliers("training", "calibrated", 0.0, "step_s")
    found = predictive([run.left_out for run in published_runs()], math.log(apart.p95 / apart.p05) / (2.0 * Z95))
    return found.scaled(1.0 / found.p50)


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


__all__ = [
    "RlErrors", "RlRun", "asked_of", "errors_by", "framework", "predictive", "published_runs", "ratio_now", "record",
    "source_of",
]  # fmt: skip
