"""Look-up of the small tables that correct a closed form inside its measured range."""

from __future__ import annotations

import math

from suanzhang.jit import formula
from suanzhang.perf.args import Residual

DECAY_OCTAVES = 2.0
"""Distance outside a table [factors of two] after which its edge value has decayed to 1/e."""


@formula
def correction(x: float, y: float, z: float, table: Residual) -> float:
    """Factor that turns a closed form into what was measured near a shape.

    Model:
        Trilinear interpolation of log ratios on a regular grid of log2 sizes; outside the grid the edge value
        decays exponentially with the distance, so that far away the closed form stands alone.

    Args:
        x, y, z: log2 of the three sizes [1].
        table: grid of log ratios.

    Returns:
        The factor [1]; 1 for an empty table.

    Equation:
        f = exp(r(x, y, z) * exp(-d / DECAY_OCTAVES))

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
    i = min(int(cu), nx - 2)
    j = min(int(cv), ny - 2)
    k = min(int(cw), nz - 2)
    a, b, c = cu - i, cv - j, cw - k
    low = (1.0 - b) * ((1.0 - c) * values[i, j, k] + c * values[i, j, k + 1])
    low += b * ((1.0 - c) * values[i, j + 1, k] + c * values[i, j + 1, k + 1])
    high = (1.0 - b) * ((1.0 - c) * values[i + 1, j, k] + c * values[i + 1, j, k + 1])
    high += b * ((1.0 - c) * values[i + 1, j + 1, k] + c * values[i + 1, j + 1, k + 1])
    ratio = (1.0 - a) * low + a * high
    outside = abs(u - cu) * table.dx + abs(v - cv) * table.dy + abs(w - cw) * table.dz
    if outside > 0.0:
        ratio *= math.exp(-outside / DECAY_OCTAVES)
    return math.exp(ratio)
