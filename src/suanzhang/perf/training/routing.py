"""Where the tokens of a mixture layer go: what a capacity drops, and how many places a token is sent to."""

from __future__ import annotations

import math
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


@formula
def places_reached(places: float, topk: float, groups: float, topk_groups: float) -> float:
    """Mean number of places that a token is sent to, where copies for one place travel together.

    Model:    experts lie evenly over the places, neighbours together. A token first takes ``topk_groups`` of the groups of
              experts, all alike likely, then each of its experts among theirs, one independent of another. A place that holds
              j of the groups taken is missed by one expert with the chance 1 - j / L, and j is drawn without putting back.

    Args:
        places: nodes, or ranks, that the experts are spread over [1].
        topk: experts that a token visits [1].
        groups: groups of experts [1].
        topk_groups: groups whose experts a token may visit; 0 for all [1].

    Returns:
        Places [1].

    Equation: n (1 - sum over j of H(j; G, g, L) (1 - j c / L)^k), g groups on a place, c the share of a group that lies there,
              H the hypergeometric chance; n (1 - (1 - 1/n)^k) without a limit.

    Validity: groups and places that divide one another; k experts drawn with repetition, which slightly lowers the mean.

    Sources:  [deepseekv3] section 2.1.2 (node-limited routing).

    Example:
        >>> round(places_reached(8.0, 8.0, 1.0, 0.0), 2), round(places_reached(8.0, 8.0, 8.0, 4.0), 2)
        (5.25, 3.6)
    """
    if groups <= 1.0 or topk_groups <= 0.0 or topk_groups >= groups:
        return float(places * (1.0 - (1.0 - 1.0 / places) ** topk))
    here = math.ceil(groups / places)
    share = groups / (places * here)
    missed, total = 0.0, 0.0
    chance = 1.0
    least = max(0.0, topk_groups - (groups - here))
    for i in range(int(least), int(min(here, topk_groups)) + 1):
        j = float(i)
        chance = 1.0
        for a in range(int(topk_groups)):  # chance of one order: taken ones first
            b = float(a)
            chance *= (here - b) / (groups - b) if b < j else (groups - here - (b - j)) / (groups - b)
        orders = 1.0
        for a in range(int(j)):
            orders *= (topk_groups - float(a)) / (float(a) + 1.0)
        chance *= orders
        total += chance
        missed += chance * (1.0 - j * share / topk_groups) ** topk
    return float(places * (1.0 - missed / total))
