"""Swing inputs one by one and together, share out the spread of an answer, and say what a measurement is worth."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from suanzhang.errors import PlannerError
from suanzhang.spec.result import Z95, Interval
from suanzhang.spec.trust_sensitivity import Answer, Effect, Ranged, Worth

TOP = 8
"""Inputs that are sampled together."""
BASE = 128
"""Base samples of the Sobol sequence; the formulas are computed this often times the inputs plus two."""
WORST_LOG = math.log(100.0)
"""Logarithm of the ratio that stands in for an answer without end, such as the wait in a queue that overflows."""
Factors = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Subject:
    """An answer that can be computed again with changed inputs.

    Args:
        verb: whose answer.
        title: what it is about.
        answers: name to value, unit and interval; the main one first.
        inputs: everything that can be swung.
        evaluate: factors by input key to the answers over their values now; an answer that has no end is infinite.
        whole: whether one run of it settles everything but prices.
        held: what is held, in words.
    """

    verb: str
    title: str
    answers: Mapping[str, tuple[float, str, Interval]]
    inputs: tuple[Ranged, ...]
    evaluate: Callable[[Factors], Mapping[str, float]]
    whole: bool = True
    held: tuple[str, ...] = ()


@dataclass
class _Counter:
    """The formulas of a subject, counted."""

    subject: Subject
    calls: int = 0

    def ratios(self, factors: Factors) -> Mapping[str, float]:
        """Answers over their values now; empty where the inputs do not go together."""
        self.calls += 1
        try:
            return self.subject.evaluate(factors)
        except PlannerError:
            return {}


def studied(subject: Subject, *, sobol: bool = True, seed: int = 0) -> tuple[tuple[Answer, ...], int, tuple[str, ...]]:
    """The sensitivity of every answer of a subject, how often the formulas were computed, and warnings.

    Args:
        subject: what can be computed again.
        sobol: whether to sample the top inputs together too.
        seed: of the samples.
    """
    counter = _Counter(subject)
    swung = {
        one.key: (counter.ratios({one.key: one.low_factor}), counter.ratios({one.key: one.high_factor}))
        for one in subject.inputs
    }
    alone = {name: {one.key: _variance(name, *swung[one.key]) for one in subject.inputs} for name in subject.answers}
    indices: dict[str, dict[str, tuple[float, float, float]]] = {}
    warnings: tuple[str, ...] = ()
    if sobol:
        indices, warnings = _together(counter, alone, seed)
    answers = tuple(_answer(subject, name, swung, alone[name], indices.get(name, {})) for name in subject.answers)
    return answers, counter.calls, warnings


def _variance(name: str, low: Mapping[str, float], high: Mapping[str, float]) -> float:
    """Variance of the logarithm of an answer while one input moves: each end of its range lies 1.645 deviations out."""
    ends = [min(abs(math.log(side[name])), WORST_LOG) for side in (low, high) if side.get(name, 0.0) > 0.0]
    return sum((end / Z95) ** 2 for end in ends) / len(ends) if ends else 0.0


def factor_at(one: Ranged, z: float) -> float:
    """Factor of an input at a standard normal deviate: a two-piece lognormal through its range."""
    end = math.log(one.low_factor) if z < 0.0 else math.log(one.high_factor)
    return math.exp(abs(z) / Z95 * end)


def _together(
    counter: _Counter, alone: Mapping[str, Mapping[str, float]], seed: int
) -> tuple[dict[str, dict[str, tuple[float, float, float]]], tuple[str, ...]]:
    """Sobol indices of the inputs that weigh most on any answer: first order, total, error of the first order."""
    try:
        from SALib.analyze import sobol as analyse
        from SALib.sample import sobol as sample
    except ModuleNotFoundError:
        return {}, ("no Sobol indices: install them with pip install 'suanzhang[sensitivity]'",)
    top = _top(counter.subject, alone)
    if len(top) < 2:
        return {}, ()
    problem = {
        "num_vars": len(top),
        "names": [one.key for one in top],
        "bounds": [[0.0, 1.0]] * len(top),
        "dists": ["norm"] * len(top),
    }
    points = sample.sample(problem, BASE, calc_second_order=False, seed=seed)
    logs: dict[str, list[float]] = {name: [] for name in alone}
    for point in points:
        found = counter.ratios({one.key: factor_at(one, float(z)) for one, z in zip(top, point, strict=True)})
        for name, values in logs.items():
            ratio = found.get(name, 0.0)
            values.append(min(max(math.log(ratio), -WORST_LOG), WORST_LOG) if ratio > 0.0 else 0.0)
    result: dict[str, dict[str, tuple[float, float, float]]] = {}
    for name, values in logs.items():
        array = np.array(values)
        if float(array.std()) < 1e-9:
            continue
        # SALib takes a seed of 0 for none
        found = analyse.analyze(problem, array, calc_second_order=False, num_resamples=100, seed=seed + 1)
        result[name] = {
            one.key: (float(found["S1"][i]), float(found["ST"][i]), float(found["S1_conf"][i])) for i, one in enumerate(top)
        }
    return result, ()


def _top(subject: Subject, alone: Mapping[str, Mapping[str, float]]) -> list[Ranged]:
    """Uncertain inputs by the largest share that they have of any answer."""
    weight: dict[str, float] = {}
    for shares in alone.values():
        total = sum(shares[one.key] for one in subject.inputs if one.uncertain) or 1.0
        for one in subject.inputs:
            if one.uncertain:
                weight[one.key] = max(weight.get(one.key, 0.0), shares[one.key] / total)
    ranked = sorted((one for one in subject.inputs if weight.get(one.key, 0.0) > 1e-6), key=lambda one: -weight[one.key])
    return ranked[:TOP]


def _answer(
    subject: Subject,
    name: str,
    swung: Mapping[str, tuple[Mapping[str, float], Mapping[str, float]]],
    alone: Mapping[str, float],
    indices: Mapping[str, tuple[float, float, float]],
) -> Answer:
    value, unit, interval = subject.answers[name]
    uncertain = [one for one in subject.inputs if one.uncertain]
    sampled = sum(alone[one.key] for one in uncertain if one.key in indices)
    own = {one.key: max(indices[one.key][0], 0.0) * sampled if one.key in indices else alone[one.key] for one in uncertain}
    seen = (math.log(interval.p95 / interval.p05) / (2.0 * Z95)) ** 2 if interval.p05 > 0.0 else 0.0
    known = sum(own.values())
    if known > seen > 0.0:  # what the inputs claim together is more than the interval: it was seen, they are ranges
        own = {key: value * seen / known for key, value in own.items()}
        known = seen
    spread = max(seen, known, 1e-12)
    effects = []
    for one in subject.inputs:
        low, high = (side.get(name) for side in swung[one.key])
        first, total, error = indices.get(one.key, (None, None, None))
        effects.append(
            Effect(one, _times(value, low), _times(value, high), own.get(one.key, 0.0) / spread, first, total, error)
        )
    effects.sort(key=lambda effect: -_swing(effect, value))
    prices = sum(own[one.key] for one in uncertain if one.group == "price") / spread
    what = "a short run of one replica under this load" if subject.verb == "serve" else "a short run of the very job"
    trial = _worth(what, (), 1.0 - prices, interval) if subject.whole else None
    rest = (spread - known) / spread
    return Answer(name, value, unit, interval, tuple(effects), rest, _worths(uncertain, own, spread, interval), trial)


def _times(value: float, ratio: float | None) -> float | None:
    return value * ratio if ratio is not None and math.isfinite(ratio) else None


def _swing(effect: Effect, value: float) -> float:
    return max((abs(end - value) for end in (effect.low, effect.high) if end is not None), default=0.0)


def _scaled(interval: Interval, share: float) -> Interval:
    """An interval whose ends lie at a share of their logarithmic distance from the middle."""
    if interval.p05 <= 0.0:
        return interval
    low, high = (math.log(end / interval.p50) * share for end in (interval.p05, interval.p95))
    return Interval(interval.p50 * math.exp(low), interval.p50, interval.p50 * math.exp(high))


def _worth(words: str, inputs: Sequence[str], share: float, interval: Interval) -> Worth:
    left = math.sqrt(max(1.0 - share, 0.0))
    then = _scaled(interval, left)
    now = interval.p95 / interval.p05 if interval.p05 > 0.0 else 1.0
    return Worth(words, tuple(inputs), now, then.p95 / then.p05 if then.p05 > 0.0 else 1.0, 1.0 - left, then)


def _worths(uncertain: Sequence[Ranged], own: Mapping[str, float], spread: float, interval: Interval) -> tuple[Worth, ...]:
    """Measurements by what they narrow: the expected width once the spread of what they settle is gone."""
    settled: dict[str, list[Ranged]] = defaultdict(list)
    for one in uncertain:
        if one.measured_by:
            settled[one.measured_by].append(one)
    found = [
        _worth(
            words,
            [one.name for one in sorted(ones, key=lambda one: -own[one.key])],
            sum(own[o.key] for o in ones) / spread,
            interval,
        )
        for words, ones in settled.items()
    ]
    return tuple(sorted((item for item in found if item.narrower_fraction > 1e-6), key=lambda item: -item.narrower_fraction))
