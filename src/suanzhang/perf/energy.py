"""Electrical power of chips and hosts while they train, as metered rather than as printed on the plate."""

from __future__ import annotations

from suanzhang.jit import formula

IDLE_SHARE = 0.16
"""Power of an idle chip over its nameplate (62 of 400 W on idle A100)."""
COMPUTE_SHARE = 0.80
"""Further power over nameplate while the chip computes."""
TRAFFIC_SHARE = 0.20
"""Further power over nameplate while it waits for messages or for other stages."""
HOST_SHARE = 0.45
"""Mean draw of host, fans and network ports over what the node's plate leaves beside its chips."""
HOST_PER_CHIP_SHARE = 0.5
"""Host draw over chip nameplate where the node's plate is not known."""


@formula
def chip_power_w(tdp_w: float, compute_share: float) -> float:
    """Mean power of one chip during training [W].

    Model:    idle draw, and a further draw that is high while the chip computes and low while it waits for messages;
              the plate is not exceeded.

    Args:
        tdp_w: nameplate power of the chip [W].
        compute_share: share of the step in which it computes, 0 to 1.

    Returns:
        Power [W].

    Equation: P = TDP min(1, idle + c compute + (1 - c) traffic).

    Validity: dense and mixture training on one generation of data-centre chips; power fell from 7.2 to 5.1 kW per
              node of eight as communication grew in the metered runs.

    Sources:  [acme2024] idle and busy A100; [mlperf-power] nodes of eight H100: 7.2, 6.85, 5.8 and 5.1 kW.

    Example:
        >>> round(chip_power_w(700.0, 0.8), 1)
        588.0
    """
    share = IDLE_SHARE + compute_share * COMPUTE_SHARE + (1.0 - compute_share) * TRAFFIC_SHARE
    return tdp_w * min(1.0, share)


@formula
def host_power_w(node_power_w: float, chips: float, tdp_w: float) -> float:
    """Mean power of the host, fans and network ports per chip [W].

    Model:    a share of what the plate of the node leaves beside its chips.

    Args:
        node_power_w: nameplate power of the node, 0 when unknown [W].
        chips: chips in the node.
        tdp_w: nameplate power of one chip [W].

    Returns:
        Power per chip [W].

    Equation: P = 0.45 (P_node - n TDP) / n.

    Validity: air-cooled nodes of four to eight chips.

    Sources:  [acme2024] servers of eight A100, 90th percentile 4.85 kW; [mlperf-power].

    Example:
        >>> round(host_power_w(10200.0, 8.0, 700.0), 2)
        258.75
    """
    spare = node_power_w - chips * tdp_w
    if spare <= 0.0 or chips <= 0.0:
        return HOST_PER_CHIP_SHARE * tdp_w
    return HOST_SHARE * spare / chips
