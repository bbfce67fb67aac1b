"""Cost of the fabric by its topology: tiers of switches, and how many of their ports stand behind one chip."""

from __future__ import annotations

from suanzhang.errors import OutOfDomain
from suanzhang.money.figures import figure

MOST_TIERS = 3
_SOURCED_TIERS = 3.0


def ports_per_endpoint(tiers: float, oversubscription: float) -> float:
    """Switch ports that a fat tree takes for one port of a server.

    Model:
        One port faces the server; every link between tiers has a port at each end. Oversubscribed leaves have fewer links
        upward, by the same factor in all tiers above.

    Args:
        tiers: tiers of switches.
        oversubscription: bandwidth down over bandwidth up at the leaves.

    Returns:
        Switch ports.

    Raises:
        OutOfDomain: tiers below 1, or oversubscription below 1.

    Equation:
        n = 1 + 2 (L - 1) / o.

    Validity:
        Folded Clos networks, rail-optimised ones among them, filled to their size.

    Sources:
        [leiserson1985] fat trees.

    Example:
        >>> [ports_per_endpoint(tiers, 1.0) for tiers in (1, 2, 3)]
        [1.0, 3.0, 5.0]
    """
    if tiers < 1.0 or oversubscription < 1.0:
        raise OutOfDomain("tiers and oversubscription must be at least 1", fix="check them")
    return 1.0 + 2.0 * (tiers - 1.0) / oversubscription


def tiers_for(endpoints: float, radix: float, oversubscription: float) -> int:
    """Fewest tiers of switches that join so many ports of servers.

    Model:
        A leaf gives o/(1+o) of its ports to servers where there is a tier above it; upper tiers half of theirs, and the
        topmost all.

    Args:
        endpoints: ports of servers.
        radix: ports of one switch.
        oversubscription: bandwidth down over bandwidth up at the leaves.

    Returns:
        1, 2 or 3; larger networks are built of several of these.

    Raises:
        OutOfDomain: a switch has fewer than two ports.

    Equation:
        one tier: k; two: k k o/(1+o); three: (k/2) of that.

    Validity:
        Switches of one kind.

    Sources:
        [leiserson1985] fat trees.

    Example:
        >>> [tiers_for(n, 64.0, 1.0) for n in (64, 65, 2048, 2049)]
        [1, 2, 2, 3]
    """
    if radix < 2.0 or oversubscription < 1.0:
        raise OutOfDomain("a switch needs two ports or more", fix="check them")
    down = oversubscription / (1.0 + oversubscription)
    for tiers, most in ((1, radix), (2, radix * radix * down)):
        if endpoints <= most:
            return tiers
    return MOST_TIERS


def topology_factor(endpoints: float) -> float:
    """Cost of the fabric per port over that of the sourced figure, with the topology of the figures in use.

    Model:
        The sourced figure is split into what stands at the server (adapter, cable) and switches with their optics, which
        go by the number of switch ports.

    Args:
        endpoints: ports of servers, by which the tiers are chosen where ``network_tiers`` is 0.

    Returns:
        Factor [1]; 1 with the figures as they are.

    Raises:
        OutOfDomain: as :func:`ports_per_endpoint`.

    Equation:
        f = a + (1 - a) n(L, o) / n(3, 1).

    Validity:
        The sourced figure is taken for three tiers without oversubscription.

    Sources:
        [epoch-cost-method] for the figure; its split is assumed.

    Example:
        >>> topology_factor(512.0)
        1.0
    """
    over, tiers = figure("network_oversubscription").value, figure("network_tiers").value
    if tiers < 1.0:
        tiers = float(tiers_for(endpoints, figure("network_radix").value, over))
    at_server = figure("network_adapter_share").value
    return at_server + (1.0 - at_server) * ports_per_endpoint(tiers, over) / ports_per_endpoint(_SOURCED_TIERS, 1.0)
