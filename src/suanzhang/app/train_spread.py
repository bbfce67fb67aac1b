"""How wrong a training estimate may be, and how that error runs through days, energy, cost and comparisons.

Every cause of error has a name and the same draws wherever it is met (common random numbers): what is wrong for both sides of a
comparison cancels, and nothing else does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from suanzhang.app.calibrate_runs_fit import GROUPS, OwnFactors, Question, corrected, local_names, width_of
from suanzhang.app.physics import physics
from suanzhang.app.spread import draw_factors
from suanzhang.app.train_coefficients import coefficients_for, generation, narrowed, shipped_coefficients
from suanzhang.app.train_model import estimate_train
from suanzhang.errors import CatalogError
from suanzhang.evidence.conformal import Grade
from suanzhang.perf.goodput import LLAMA3_FAILURES_PER_CHIP_DAY, RESTART_S, checkpoint_s, goodput_fraction
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.draws import Floats, in_order_of, interval_of, standard_normal, two_piece_lognormal
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.result import Interval, Term
from suanzhang.spec.stack import TrainStack
from suanzhang.spec.train import TrainEstimate

_GRADES: dict[str, Grade] = {"measured": "calibrated", "relative": "relative", "physics": "physics-only"}
RATE_SPREAD = 2.0
"""95th percentile of a rate of failures over the published one: published rates lie within a factor of four of each other."""
RATES = Interval(1.0 / RATE_SPREAD, 1.0, RATE_SPREAD)
STORE_SPREAD = 1.4
"""The same for the rate of the storage that checkpoints go to, which is assumed: the factor of assumed figures."""
OWN = {"layout": 0.10, "size": 0.05, "job": 0.08}
"""Deviation of the logarithm of what nothing named explains of a step, by who shares it: the same layout; the same chips,
sequences and tokens; the same model and arithmetic on the same silicon. With these the intervals of ratios of two published
runs of one source hold about 90 % of them, whatever differs between the two (see the validation of comparisons)."""
_SLOPE_STEP = 0.02
_OF_LAYOUT = "layout "
_NOTHING = 1e-9
"""Share of a step below which a term is a remainder of floating point."""


def interval_factors(
    chip: ChipSpec, job: TrainJob, stack: TrainStack, chips: int, estimate: TrainEstimate | None = None, metric: str = "step_s"
) -> Interval:
    """Measured over predicted step time (or memory): 5th, 50th and 95th percentile for such a question.

    An estimate tells more of what intervals are drawn by: what the step is spent on, and how much of it the user's own runs
    have told.
    """
    from suanzhang.app.validate_predict import train_distance
    from suanzhang.app.validate_traits import train_traits
    from suanzhang.evidence.conformal import multipliers

    grade = _grade(chip, job.precision, stack.profile)
    distance = train_distance(chips, job.seq_len)
    try:
        traits = None
        if estimate is not None:
            mixture, adapters = job.model.moe is not None, job.method != "full"
            traits = train_traits(estimate, estimate.layout, job.precision, mixture=mixture, adapters=adapters)
        found = multipliers("training", grade, distance, metric, traits)
    except CatalogError:
        low, middle, high = shipped_coefficients().residuals[grade]
        spread = 1.0 + 0.25 * distance
        return Interval(middle * (low / middle) ** spread, middle, middle * (high / middle) ** spread)
    told = narrowed(job, chip, stack, estimate.layout) if estimate is not None and metric == "step_s" else 1.0
    return Interval(found.p05**told, found.p50**told, found.p95**told)


_KNOWN: dict[tuple[str, str, str], tuple[ChipSpec, Grade]] = {}
"""How the operators of a chip are known, for the very chip that was asked last."""


def _grade(chip: ChipSpec, precision: str, profile: str) -> Grade:
    """How the operators of a chip are known; looked up once for each chip, since a plan asks for many layouts."""
    key = (chip.id, precision, profile)
    if key not in _KNOWN or _KNOWN[key][0] is not chip:
        found = physics(chip, precision, profile)
        _KNOWN[key] = (chip, "physics-only" if found.grade == "assumed" else _GRADES[found.origin])
    return _KNOWN[key][1]


@cache
def _power() -> Floats:
    """Measured over predicted draw of power."""
    return two_piece_lognormal(draw_factors(), standard_normal("power"))


def memory_factors(chip: ChipSpec, job: TrainJob, stack: TrainStack, chips: int, estimate: TrainEstimate) -> Interval:
    """Measured over predicted memory of the fullest chip; never without the prediction itself."""
    found = interval_factors(chip, job, stack, chips, estimate, "memory_bytes")
    return Interval(min(found.p05, 1.0), found.p50, max(found.p95, 1.0))


def goodput_interval(params: float, chips: float) -> Interval:
    """Useful share of the calendar time while the rate of failures may be another than the published one."""
    saved = checkpoint_s(params, chips)
    low, middle, high = (
        float(goodput_fraction(chips, LLAMA3_FAILURES_PER_CHIP_DAY * rate, saved, RESTART_S))
        for rate in (RATES.p95, RATES.p50, RATES.p05)
    )
    return Interval(low, middle, high)


@dataclass(frozen=True, slots=True)
class Errors:
    """Causes of error of one estimate of a step.

    Args:
        weights: name of a cause to the deviation of the logarithm of the step that it makes.
        terms: the same for each term of the step.
        factors: measured over predicted step time; the causes only say what is shared with other estimates.
    """

    weights: Mapping[str, float]
    terms: Mapping[str, Mapping[str, float]]
    factors: Interval

    def draws(self) -> Floats:
        """Measured over predicted step time, drawn: percentiles are those of ``factors``, the order is that of the causes."""
        return two_piece_lognormal(self.factors, in_order_of(_summed(self.weights)))

    def term_draws(self, name: str) -> Floats:
        """Measured over predicted time of one term, drawn in the order of the causes that move it."""
        causes = self.terms.get(name) or self.weights
        return two_piece_lognormal(self.of_term(name), in_order_of(_summed(causes)))

    def of_term(self, name: str) -> Interval:
        """Measured over predicted time of one term: as uncertain as the whole step, or more by what its own causes add."""
        whole = math.sqrt(sum(weight**2 for weight in self.weights.values()))
        own = math.sqrt(sum(weight**2 for weight in self.terms.get(name, {}).values()))
        return stretched(self.factors, max(1.0, own / whole) if whole else 1.0)


def against(ours: Errors, theirs: Errors, *, layouts: bool = True) -> Errors:
    """Errors of one estimate as they are met in a comparison with another.

    Chips of the same silicon rest on the same timings: that one of them was never timed itself widens its own interval, but
    nothing can make it differ from the other except the parts of the step that differ.

    Args:
        ours: of the estimate.
        theirs: of the other.
        layouts: whether the layout is part of what is compared. It is not where two chips of the same silicon are: each could
            run in the layout of the other, so that what nothing named explains of a layout is no difference of theirs.
    """
    if _of_silicon(ours) != _of_silicon(theirs):
        return ours
    weights = ours.weights
    if not layouts:
        shared = {name: weight for name, weight in theirs.weights.items() if name.startswith(_OF_LAYOUT)}
        weights = {name: weight for name, weight in weights.items() if not name.startswith(_OF_LAYOUT)} | shared
    return replace(ours, weights=weights, factors=theirs.factors)


def own_causes(job: TrainJob, chip: ChipSpec, stack: TrainStack, layout: TrainLayout) -> dict[str, float]:
    """What nothing named explains, by who shares it."""
    batch = f"{layout.chips} {job.global_batch} {job.seq_len}"
    names = {
        "layout": f"{_OF_LAYOUT}{layout}",
        "size": f"size {job.model.id} {batch}",
        "job": f"job {job.model.id} {job.precision} {silicon(chip, job.precision, stack)}",
    }
    return {names[kind]: width for kind, width in OWN.items()}


def _of_silicon(errors: Errors) -> set[str]:
    return {name for name in errors.weights if not name.startswith(_OF_LAYOUT)}


def _summed(weights: Mapping[str, float]) -> Floats:
    total: Floats = np.zeros(len(standard_normal("")))
    for name, weight in weights.items():
        total = total + weight * standard_normal(name)
    return total


def around(value: float, drawn: Floats) -> Interval:
    """The interval of drawn values, with the value that is shown always in it."""
    found = interval_of(drawn)
    return Interval(min(found.p05, value), found.p50, max(found.p95, value))


def stretched(factors: Interval, times: float) -> Interval:
    """Factors whose logarithms lie so many times as far from the median."""
    middle = factors.p50
    return Interval(middle * (factors.p05 / middle) ** times, middle, middle * (factors.p95 / middle) ** times)


def errors_of(job: TrainJob, chip: ChipSpec, stack: TrainStack, layout: TrainLayout, estimate: TrainEstimate) -> Errors:
    """Causes of error of an estimate.

    Model:
        A cause is a factor on a named part of the step (products, attention, kernels between them, traffic, launches) or on
        all that happens with one chip, arithmetic, kind of layers, method, model or software. Its width is how far published
        sources lie from each other in it once the fit is taken out (the widths of ``calibrate --runs``). A part moves a step
        by the share that it has in it. Chips of the same silicon share the factors on the chip and its arithmetic. What
        nothing named explains is shared by the same layout, the same size and the same job on the same silicon.
    """
    question = Question(job, chip, stack)
    base = coefficients_for(job, chip, stack)
    weights: dict[str, float] = {}
    terms: dict[str, dict[str, float]] = {term.name: {} for term in estimate.terms if term.value > 0.0}
    for name in GROUPS:
        moved = estimate_train(
            job, chip, layout, stack, corrected(base, OwnFactors({name: math.exp(_SLOPE_STEP)}, {}), question)
        )
        weights[name] = width_of(name) * math.log(moved.step_s / estimate.step_s) / _SLOPE_STEP
        for before, after in zip(estimate.terms, moved.terms, strict=True):
            if before.value > _NOTHING * estimate.step_s and after.value > 0.0:
                terms[before.name][name] = width_of(name) * math.log(after.value / before.value) / _SLOPE_STEP
    for name in local_names(question):
        cause = name.replace(chip.id, silicon(chip, job.precision, stack)) if chip.id in name else name
        weights[cause] = width_of(name)
        for of_term in terms.values():
            of_term[cause] = width_of(name)
    for name, width in own_causes(job, chip, stack, layout).items():
        weights[name] = width
        for of_term in terms.values():
            of_term[name] = width
    return Errors(weights, terms, interval_factors(chip, job, stack, estimate.chips, estimate))


def silicon(chip: ChipSpec, precision: str, stack: TrainStack) -> str:
    """What chips of the same silicon share: generation, kernels, peak and power; links may have been cut."""
    profile = physics(chip, precision, stack.profile).profile
    return f"{generation(chip)} {profile} {chip.peak_flop_per_s.get(precision, 0.0):.3g} {chip.tdp_w:.0f}"


def spanned_terms(terms: tuple[Term, ...], errors: Errors) -> tuple[Term, ...]:
    """Terms of a step with their intervals."""
    return tuple(
        replace(term, value_interval=errors.of_term(term.name).scaled(term.value)) if term.value else term for term in terms
    )


@dataclass(frozen=True, slots=True)
class RunSpread:
    """How wrong a whole run may be: measured over predicted, drawn together.

    Args:
        time: step time.
        useful: useful share of the calendar time over the predicted one.
        draw: power.
    """

    time: Floats
    useful: Floats
    draw: Floats

    @classmethod
    def of(cls, factors: Interval | Floats, goodput: Interval) -> RunSpread:
        """From the factors of the step (drawn already where they are shared with another run) and the useful share."""
        time = two_piece_lognormal(factors, standard_normal("step time")) if isinstance(factors, Interval) else factors
        useful = two_piece_lognormal(goodput, -standard_normal("failures")) / goodput.p50
        return cls(time, useful, _power())

    @property
    def days(self) -> Floats:
        """Calendar time."""
        return self.time / self.useful

    def interval(self, value: float, *names: str) -> Interval:
        """Interval of a value that is proportional to some of ``time``, ``days`` and ``draw``; ``1/time`` for its inverse."""
        found: Floats = np.ones(len(self.time))
        for name in names:
            found = found / getattr(self, name[2:]) if name.startswith("1/") else found * getattr(self, name)
        return interval_of(value * found)
