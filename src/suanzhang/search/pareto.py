"""Points that no other point beats in every respect."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def pareto_front(points: Floats) -> NDArray[np.int64]:
    """Indices of the rows that no other row beats, all columns to be small, sorted by the first column.

    A row is beaten when another is no larger in every column and smaller in one. Of equal rows the first stays.

    Args:
        points: shape (n, k), finite.

    Returns:
        Indices, shape (m,).
    """
    order = np.lexsort(points.T[::-1])
    kept: list[int] = []
    for index in order:
        point = points[index]
        if kept and bool(np.any(np.all(points[kept] <= point, axis=1))):
            continue
        kept.append(int(index))
    return np.asarray(kept, dtype=np.int64)
