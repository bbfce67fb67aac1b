"""How wrong a sized service may be, and how the errors of the parts add up in a plan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from suanzhang.app.physics import physics
from suanzhang.evidence.conformal import Grade, multipliers
from suanzhang.perf.serving.precision import compute_dtype
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.result import Z95, Interval
from suanzhang.spec.serve import SizedService

_GRADES: dict[str, Grade] = {"measured": "calibrated", "relative": "relative", "physics": "physics-only"}
_DRAWS = 4000


def serving_interval(sized: SizedService, chip: ChipSpec, metric: str = "output_tokens_per_s") -> Interval:
    """Measured over predicted value of a metric, for such a service on such a chip."""
    from suanzhang.app.validate_predict import serve_distance

    origin = physics(chip, compute_dtype(chip, sized.weight_dtype)).origin
    found = multipliers("serving", _GRADES[origin], serve_distance(0.0, sized.layout.chips), metric)
    return Interval(found.p05, found.p50, found.p95)


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
    low, middle, high = np.quantile(total, (0.05, 0.5, 0.95))
    return Interval(float(low), float(middle), float(high))


def two_piece_lognormal(factor: Interval, z: np.ndarray) -> np.ndarray:
    """Values whose 5th, 50th and 95th percentile are those of a positive interval, from standard normal draws."""
    middle = math.log(factor.p50)
    below = (middle - math.log(factor.p05)) / Z95
    above = (math.log(factor.p95) - middle) / Z95
    return np.asarray(np.exp(middle + np.where(z < 0.0, below, above) * z))
