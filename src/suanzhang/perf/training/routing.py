"""What a capacity of experts does to the tokens of a mixture layer."""

from __future__ import annotations

from typing import NamedTuple

from suanzhang.jit import formula


class RoutedShare(NamedTuple):
    """Token copies of one mixture layer.

    Fields: ``load`` rows that the fullest expert rank works through over the mean of all copies; ``dropped`` share of the
    copies that no expert takes; ``padding`` share of the rows that are no token.
    """

    load: float
    dropped: float
    padding: float


@formula
def routed_share(imbalance: float, capacity: float, padded: float) -> RoutedShare:
    """How many rows the fullest expert rank works through, and what share of the copies is dropped or padding.

    Model:    the loads of the ranks spread evenly from 2 - M to M times their mean, M the imbalance; beyond M = 2 they lie on
              the power M u^(M - 1) of an even spread u from 0 to 1, which has the same mean and most. Without a capacity the
              fullest rank takes M times the mean and the others wait for it. With a capacity of c times the mean each takes
              at most c and drops the rest; padded buffers hold c rows whatever came.

    Args:
        imbalance: load of the fullest expert rank over the mean, M >= 1.
        capacity: most rows of an expert over the mean, c; 0 for none (dropless).
        padded: 1 when buffers are filled up to the capacity.

    Returns:
        Load, dropped share and padding share.

    Equation: load = M, min(M, c) or c; dropped = (M - c)^2 / (4 (M - 1)) for 2 - M <= c < M, 1 - c below, 0 above;
              for M > 2 and c < M dropped = 1 - c - v^M + c v, v = (c / M)^(1 / (M - 1));
              padding = 1 - (1 - dropped) / c.

    Validity: M >= 1; the shape of the spread is assumed, its mean and most are not.

    Sources:  [gshard2020] section 2.2 (capacity).

    Example:
        >>> routed_share(1.5, 1.0, 1.0).dropped
        0.125
    """
    if capacity <= 0.0:
        return RoutedShare(imbalance, 0.0, 0.0)
    dropped = 0.0
    if imbalance > 2.0 and capacity < imbalance:
        full = (capacity / imbalance) ** (1.0 / (imbalance - 1.0))
        dropped = 1.0 - capacity - full**imbalance + capacity * full
    elif capacity < 2.0 - imbalance or (imbalance <= 1.0 and capacity < 1.0):
        dropped = 1.0 - capacity
    elif capacity < imbalance:
        dropped = (imbalance - capacity) ** 2.0 / (4.0 * (imbalance - 1.0))
    load = capacity if padded > 0.0 else min(imbalance, capacity)
    padding = max(0.0, 1.0 - (1.0 - dropped) / capacity) if padded > 0.0 else 0.0
    return RoutedShare(load, dropped, padding)
