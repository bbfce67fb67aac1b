"""Narrows the training model by a few of the user's own measured runs.

Each correction is a factor on a part of the step that has a name: arithmetic, attention, the kernels between products,
traffic, launches; or on everything that happens on one chip, with one model or with one generation of software. What is
believed before is that published coefficients hold, give or take how far published sources differ from each other; a few runs
move the factors that explain them, and no further.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from suanzhang.app.train_coefficients import GENERATIONS, TrainCoefficients, is_narrow
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import TrainJob
from suanzhang.spec.stack import TrainStack

Floats = NDArray[np.float64]

GROUPS: dict[str, tuple[str, ...]] = {
    "compute": ("gemm",),
    "attention": ("attention",),
    "kernels between products": ("memory", "quantize"),
    "traffic": ("tensor", "data", "expert", "pipeline"),
    "launches": ("launch",),
}
"""Named parts of a step, and the coefficients that each multiplies."""
WIDTHS: dict[str, float] = {
    "compute": 0.10,
    "attention": 0.30,
    "kernels between products": 0.15,
    "traffic": 0.25,
    "launches": 0.30,
    "everything": 0.05,
    "chip": 0.06,
    "arithmetic": 0.04,
    "layers": 0.06,
    "method": 0.06,
    "model": 0.04,
    "software": 0.03,
}
"""Standard deviation of the logarithm of each factor between published sources, once the shipped fit is taken out."""
NOISE = 0.03
"""Relative error of one measured step time that is no fault of the model: repeated steps differ by 1 to 3 %."""
LARGE = 3.0
"""Residuals over this many times the noise count less and less: what nothing named explains moves nothing."""
ALIKE_WIDTH, ALIKE_OCTAVES = 0.05, 1.5
"""What runs of like sequences, batches and models share beyond the factors: its deviation, the octaves over which it fades."""
NARROWING = 0.4
"""How much of what the runs tell shows in the width of an interval; see :func:`narrowing`."""
STRENGTHS, TRUST = (0.0, 0.5, 1.0), 0.04
"""Shares of the corrections that are weighed, and the logarithmic error by which one of them becomes e times likelier."""
_FEWEST_WEIGHED = 3
"""Runs from which on each can be judged by the others."""
_ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Question:
    """One run as the model is asked about it.

    Args:
        job, chip, stack: the question, its layout aside.
    """

    job: TrainJob
    chip: ChipSpec
    stack: TrainStack


@dataclass(frozen=True, slots=True)
class Seen:
    """What a measured run said.

    Args:
        place: where it stands among questions, see :func:`place_of`.
        names: factors on the whole step that apply to it.
        slopes: name of a part or "everything" to how the logarithm of its time moves with that of the factor.
        variance: of its error that nothing named explains, larger where it is believed less.
        pull: how far it pulls what it shares with others, in variances of that.
    """

    place: tuple[float, ...]
    names: tuple[str, ...]
    slopes: dict[str, float]
    variance: float = NOISE**2
    pull: float = 0.0


@dataclass(frozen=True, slots=True)
class OwnFactors:
    """Factors by name, with what they were fitted to.

    Args:
        factors: name to factor.
        left: name to the standard deviation of its logarithm after the runs.
        seen: the measured runs behind them.
        date: when.
        of: fingerprint of the shipped coefficients that they correct.
        strength: share of the full correction that is taken [1].
    """

    factors: dict[str, float]
    left: dict[str, float]
    seen: tuple[Seen, ...] = ()
    date: str = ""
    of: str = ""
    strength: float = 1.0


NOTHING = OwnFactors({}, {})
"""No correction."""


def place_of(question: Question) -> tuple[float, ...]:
    """Where a question stands: octaves of its sequence, of the tokens of a step and of its parameters."""
    job = question.job
    return tuple(math.log2(x) for x in (job.seq_len, job.global_batch * job.seq_len, job.model.params))


def _alike(places: Sequence[tuple[float, ...]], others: Sequence[tuple[float, ...]]) -> Floats:
    away = np.asarray(places)[:, None, :] - np.asarray(others)[None, :, :]
    return np.asarray(np.exp(-0.5 * (away**2).sum(axis=2) / ALIKE_OCTAVES**2), dtype=np.float64)


def local_names(question: Question) -> tuple[str, ...]:
    """Names of the factors on the whole step that apply to a question."""
    job, chip = question.job, question.chip
    width = "8 and 4 bit" if is_narrow(job.precision) else "16 bit and wider"
    return (
        "everything",
        f"chip {chip.id}",
        f"arithmetic {chip.id} {width}",
        f"layers {'mixture' if job.model.moe else 'dense'}",
        f"method {job.method}",
        f"model {job.model.id}",
        f"software {question.stack.id}",
    )


def width_of(name: str) -> float:
    """Prior width of a factor by its name."""
    return WIDTHS[name] if name in WIDTHS else WIDTHS[name.split(" ", 1)[0]]


def corrected(base: TrainCoefficients, own: OwnFactors, question: Question) -> TrainCoefficients:
    """Coefficients for one question with the factors that apply to it.

    Args:
        base: the coefficients to correct.
        own: the factors; those whose names do not apply are left aside.
        question: the question.
    """
    factors = own.factors
    whole = 1.0
    for name in local_names(question):
        whole *= factors.get(name, 1.0)
    if own.seen:
        pulls = np.asarray([run.pull * run.slopes["everything"] for run in own.seen])
        near = _alike([place_of(question)], [run.place for run in own.seen])[0] @ pulls
        whole *= math.exp(-(ALIKE_WIDTH**2) * float(near))
    by_coefficient = {
        coefficient: whole * factors.get(name, 1.0) for name, coefficients in GROUPS.items() for coefficient in coefficients
    }
    shared = {
        name: value * by_coefficient.get(name, 1.0)
        for name, value in base.values._asdict().items()
        if name not in ("gemm", "attention")
    }
    gemm = {name: value * (by_coefficient["gemm"] if name in GENERATIONS else 1.0) for name, value in base.gemm.items()}
    attention = {name: value * by_coefficient["attention"] for name, value in base.attention.items()}
    values = base.values._replace(**shared)
    return replace(base, values=values, gemm=gemm, attention=attention)


def _shared(runs: Sequence[Seen], others: Sequence[Seen], names: Sequence[str]) -> Floats:
    """Covariance of the errors of runs with those of others, by all that they have in common."""
    widths = np.asarray([width_of(name) for name in names])
    mine, theirs = (_design(items, names) * widths for items in (runs, others))
    whole = np.outer([run.slopes["everything"] for run in runs], [run.slopes["everything"] for run in others])
    alike = _alike([run.place for run in runs], [run.place for run in others])
    return np.asarray(mine @ theirs.T + ALIKE_WIDTH**2 * whole * alike, dtype=np.float64)


def _design(runs: Sequence[Seen], names: Sequence[str]) -> Floats:
    """How each factor moves each run."""
    return np.asarray(
        [
            [run.slopes[name] if name in GROUPS else run.slopes["everything"] * (name in run.names) for name in names]
            for run in runs
        ]
    )


def _names(runs: Sequence[Seen]) -> list[str]:
    return list(dict.fromkeys([*GROUPS, *(name for run in runs for name in run.names)]))


def _pulls(shared: Floats, errors: Floats) -> tuple[Floats, Floats]:
    """How far each run pulls, and the variance of what nothing explains of it."""
    pulls: Floats = np.zeros(len(errors))
    variances: Floats = np.full(len(errors), NOISE**2)
    for _ in range(_ROUNDS):
        pulls = np.asarray(np.linalg.solve(shared + np.diag(variances), errors), dtype=np.float64)
        variances = NOISE**2 * (1.0 + ((errors - shared @ pulls) / (LARGE * NOISE)) ** 2)
    return pulls, variances


def _strength(shared: Floats, errors: Floats) -> float:
    """Share of the correction that brings each run nearest when only the others are known."""
    if len(errors) < _FEWEST_WEIGHED:
        return 1.0
    told = np.zeros(len(errors))
    for run in range(len(errors)):
        others = np.arange(len(errors)) != run
        told[run] = shared[run, others] @ _pulls(shared[np.ix_(others, others)], errors[others])[0]
    strengths = np.asarray(STRENGTHS)
    away = np.abs(errors[:, None] - told[:, None] * strengths).sum(axis=0)
    weight = np.exp(-(away - away.min()) / TRUST)
    return float(weight @ strengths / weight.sum())


def _gained(strength: float) -> float:
    """Share of the variance told away that a correction of a strength takes away."""
    return strength * (2.0 - strength)


def fit_factors(runs: Sequence[Seen], errors: Floats) -> OwnFactors:
    """Factors that explain the errors of a few runs, no larger than they must be.

    Model:
        The error of each run is the sum of the logarithms of the factors that apply to it, times the share of the step that
        each moves, of something that runs of like sequences, batches and models share, and of noise. Each is zero before,
        give or take its width. Runs that nothing explains count less. How much of the correction is taken is weighed by how
        near it brings each run when only the others are known: runs that disagree move little.

    Args:
        runs: the runs.
        errors: logarithm of predicted over measured time of each run.

    Returns:
        Factor by name, the standard deviation of its logarithm that is left, and the runs with their pulls.

    Equation:
        theta = -k T^2 X' a, a = (X T^2 X' + K + N)^-1 e, K = w^2 exp(-d^2 / 2 l^2), N the variances of the runs;
        k = sum_s s W_s / sum_s W_s, W_s = exp(-sum_i |e_i - s m_i| / c), m_i the error of run i told by the others.

    Validity:
        Corrections within a factor of about 1.5.

    Sources:
        Gaussian process regression with a linear part; averaging by predictive weights, left one out (textbook).
    """
    names = _names(runs)
    shared = _shared(runs, runs, names)
    pulls, variances = _pulls(shared, errors)
    strength = _strength(shared, errors)
    pulls = strength * pulls
    widths = np.asarray([width_of(name) for name in names])
    design = _design(runs, names)
    theta = -(widths**2) * (design.T @ pulls)
    told = np.einsum("in,ij,jn->n", design, np.linalg.inv(shared + np.diag(variances)), design)
    left = widths * np.sqrt(np.maximum(1.0 - _gained(strength) * widths**2 * told, 0.0))
    seen = tuple(
        replace(run, variance=float(variance), pull=float(pull))
        for run, variance, pull in zip(runs, variances, pulls, strict=True)
    )
    return OwnFactors(
        {name: math.exp(value) for name, value in zip(names, theta.tolist(), strict=True)},
        dict(zip(names, left.tolist(), strict=True)),
        seen,
        strength=strength,
    )


def narrowing(own: OwnFactors, question: Seen) -> float:
    """Width of the interval of a question after the measured runs over that before, in logarithms.

    Model:
        The deviation that the factors leave, over what they had before, to a power: what the factors cannot express does not
        go away with them. The power is the one at which the intervals of published sources, each playing the user with five
        of its runs, hold 90 % of the others.

    Args:
        own: what the runs said.
        question: slopes, names and place of the question.

    Returns:
        The ratio [1], 1 without runs.

    Equation:
        r = ((V + s^2) / (V_0 + s^2))^(p / 2), V = V_0 - q (2 - q) k' (K + N)^-1 k, q the strength of the correction

    Validity:
        Questions like the runs; far from them it goes to 1.

    Sources:
        Gaussian process regression (textbook); the power from sources left out, see the validation of own runs.
    """
    if not own.seen:
        return 1.0
    names = _names((*own.seen, question))
    among = _shared(own.seen, own.seen, names) + np.diag([run.variance for run in own.seen])
    across = _shared([question], own.seen, names)[0]
    before = float(_shared([question], [question], names)[0, 0])
    after = max(before - _gained(own.strength) * float(across @ np.linalg.solve(among, across)), 0.0)
    return float(((after + NOISE**2) / (before + NOISE**2)) ** (0.5 * NARROWING))
