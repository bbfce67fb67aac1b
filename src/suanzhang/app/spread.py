"""How wrong a sized service may be, and how the errors of the parts add up in a plan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from suanzhang.app.physics import physics
from suanzhang.evidence.conformal import Grade, multipliers
from suanzhang.perf.serving.precision import compute_dtype
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.draws import interval_of, two_piece_lognormal
from suanzhang.spec.job import ServiceSpec
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.result import Interval
from suanzhang.spec.serve import ClosedLoop, OpenLoop, ServeEstimate, SizedService, Workload

_GRADES: dict[str, Grade] = {"measured": "calibrated", "relative": "relative", "physics": "physics-only"}
_DRAWS = 4000


def estimate_factors(
    estimate: ServeEstimate, work: Workload, model: ModelSpec, chip: ChipSpec, metric: str = "output_tokens_per_s"
) -> Interval:
    """Measured over predicted value of a metric of one replica: 5th, 50th and 95th percentile.

    Args:
        estimate: our estimate of the replica; what it is bound by tells how far off we may be.
        work: what the replica is given.
        model: what is served.
        chip: on what.
        metric: as in `suanzhang validate`.
    """
    return factors_by_metric(estimate, work, model, chip, (metric,), grade_of(estimate, chip))[metric]


def grade_of(estimate: ServeEstimate, chip: ChipSpec) -> Grade:
    """How firm the timings are that an estimate rests on."""
    from suanzhang.catalog.stacks import serve_stack

    return grade_on(chip, estimate.weight_dtype, serve_stack(estimate.stack).profile)


def grade_on(chip: ChipSpec, dtype: str, profile: str = "") -> Grade:
    """How firm the timings of a chip are that serves weights of a format."""
    return _GRADES[physics(chip, compute_dtype(chip, dtype), profile).origin]


def factors_by_metric(
    estimate: ServeEstimate, work: Workload, model: ModelSpec, chip: ChipSpec, metrics: Sequence[str], grade: Grade
) -> dict[str, Interval]:
    """As :func:`estimate_factors`, for several metrics of one replica, with the grade of its timings at hand."""
    from suanzhang.app.validate_predict import serve_distance
    from suanzhang.app.validate_traits import serve_traits
    from suanzhang.catalog.stacks import serve_stack

    isl = work.input.mean if isinstance(work, OpenLoop) else work.isl
    traits = serve_traits(estimate, work, serve_stack(estimate.stack), mixture=model.moe is not None)
    distance = serve_distance(isl, estimate.chips)
    found = {metric: multipliers("serving", grade, distance, metric, traits) for metric in metrics}
    return {metric: Interval(one.p05, one.p50, one.p95) for metric, one in found.items()}


def capacity_factors(
    estimate: ServeEstimate, input_mean: float, output_mean: float, model: ModelSpec, chip: ChipSpec
) -> Interval:
    """Measured over predicted tokens per second of a replica that is kept busy: what its chips can carry.

    An open loop answers what arrives, so its measured rate says nothing of the chips; a loop with as many requests at once
    as the replica has running does.
    """
    work = ClosedLoop(max(estimate.running_batch, 1.0), input_mean, output_mean)
    return estimate_factors(estimate, work, model, chip)


def serving_interval(sized: SizedService, chip: ChipSpec, service: ServiceSpec | None = None) -> Interval:
    """Measured over predicted capacity of a sized service on a kind of chip.

    Args:
        sized: the service as it was sized.
        chip: kind of chip.
        service: what was sized; its lengths and its model narrow the interval.
    """
    from suanzhang.app.validate_predict import serve_distance

    if service is not None:
        return capacity_factors(sized.peak, service.input_tokens.mean, service.output_tokens.mean, service.model, chip)
    origin = physics(chip, compute_dtype(chip, sized.weight_dtype)).origin
    found = multipliers("serving", _GRADES[origin], serve_distance(0.0, sized.layout.chips), "output_tokens_per_s")
    return Interval(found.p05, found.p50, found.p95)


def draw_factors(grade: Grade = "calibrated") -> Interval:
    """Measured over predicted draw of chips: what energy per token is off by beyond what its time is off by.

    Energy is draw times time; of independent errors the variances of the logarithms add, so the draw has what is left.
    """
    energy, rate = (multipliers("serving", grade, 0.0, name) for name in ("j_per_output_token", "output_tokens_per_s"))
    ends = []
    for one, other in ((energy.p05, rate.p95), (energy.p95, rate.p05)):
        mine = math.log(one / energy.p50)
        slower = math.log(other / rate.p50)
        ends.append(math.copysign(math.sqrt(max(mine**2 - slower**2, 0.0)), mine))
    return Interval(math.exp(ends[0]), 1.0, math.exp(ends[1]))


def inverse(factors: Interval) -> Interval:
    """The interval of one over the value."""
    return Interval(1.0 / factors.p95, 1.0 / factors.p50, 1.0 / factors.p05)


def sum_interval(parts: Sequence[tuple[float, Mapping[str, Interval]]], seed: int) -> Interval:
    """Interval of a sum whose parts are multiplied by uncertain factors.

    Factors of the same name are the same draw in all parts (a price that moves all purchases moves them together);
    factors of different names are independent. Each is a two-piece lognormal through its three percentiles.

    Args:
        parts: amount and its factors by name.
        seed: of the draws.

    Returns:
        5th, 50th and 95th percentile of the sum.
    """
    random = np.random.default_rng(seed)
    draws: dict[str, np.ndarray] = {}
    total = np.zeros(_DRAWS)
    for amount, factors in parts:
        product = np.full(_DRAWS, amount)
        for name, factor in sorted(factors.items()):
            if name not in draws:
                draws[name] = two_piece_lognormal(factor, random.standard_normal(_DRAWS))
            product = product * draws[name]
        total += product
    return interval_of(total)
