"""Look-up of the small tables that correct a closed form inside its measured range."""

from __future__ import annotations

import math

import numpy as np

from suanzhang.jit import formula
from suanzhang.perf.args import Residual

_MANTISSA = (1 << 52) - 1
_ONE = 1023 << 52
"""Bits of the mantissa of a double, and those of the exponent of 1.0."""
DECAY_OCTAVES = 2.0
"""Distance outside a table [factors of two] after which its edge value has decayed to 1/e."""


@formula
def octave(size: float) -> float:
    """Place of a size on a logarithmic axis that is linear between powers of two.

    Model:
        The exponent of the number and its mantissa in place of a logarithm: cheap, and exact at powers of two.

    Args:
        size: the size [1], above 0.

    Returns:
        The place [octaves].

    Equation:
        o = e + (m - 1) for size = m 2^e, 1 <= m < 2

    Validity:
        Normal positive doubles; at most 0.09 octaves from the logarithm.

    Sources:
        [aiconfigurator-2026] sizes timed at powers of two and midway.

    Example:
        >>> octave(8.0), octave(12.0)
        (3.0, 3.5)
    """
    bits = np.float64(size).view(np.int64)
    mantissa = np.int64((bits & _MANTISSA) | _ONE).view(np.float64)
    return float((bits >> 52) - 1024.0 + mantissa)


@formula
def correction(x: float, y: float, z: float, table: Residual) -> float:
    """Factor that turns a closed form into what was measured near a shape.

    Model:
        Trilinear interpolation of measured over closed form on a regular grid of octaves; outside the grid what the
        edge adds decays exponentially with the distance, so that far away the closed form stands alone.

    Args:
        x, y, z: octaves of the three sizes [1].
        table: grid of ratios.

    Returns:
        The factor [1]; 1 for an empty table.

    Equation:
        f = 1 + (r(x, y, z) - 1) exp(-d / DECAY_OCTAVES)

    Validity:
        Any shape; informative inside the grid only.

    Sources:
        [aiconfigurator-2026] the timings that the shipped tables were fitted to.

    Example:
        >>> from suanzhang.perf.args import no_residual
        >>> correction(3.0, 4.0, 5.0, no_residual())
        1.0
    """
    values = table.values
    nx, ny, nz = values.shape
    u = (x - table.x0) / table.dx
    v = (y - table.y0) / table.dy
    w = (z - table.z0) / table.dz
    cu = min(max(u, 0.0), nx - 1.0)
    cv = min(max(v, 0.0), ny - 1.0)
    cw = min(max(w, 0.0), nz - 1.0)
    i = np.uint64(min(cu, nx - 2.0))
    j = np.uint64(min(cv, ny - 2.0))
    k = np.uint64(min(cw, nz - 2.0))
    one = np.uint64(1)
    a, b, c = cu - np.float64(i), cv - np.float64(j), cw - np.float64(k)
    low = (1.0 - c) * values[i, j, k] + c * values[i, j, k + one]
    low_next = (1.0 - c) * values[i, j + one, k] + c * values[i, j + one, k + one]
    high = (1.0 - c) * values[i + one, j, k] + c * values[i + one, j, k + one]
    high_next = (1.0 - c) * values[i + one, j + one, k] + c * values[i + one, j + one, k + one]
    ratio = (1.0 - a) * ((1.0 - b) * low + b * low_next) + a * ((1.0 - b) * high + b * high_next)
    outside = abs(u - cu) * table.dx + abs(v - cv) * table.dy + abs(w - cw) * table.dz
    if outside > 0.0:
        ratio = 1.0 + (ratio - 1.0) * math.exp(-outside / DECAY_OCTAVES)
    return float(ratio)
