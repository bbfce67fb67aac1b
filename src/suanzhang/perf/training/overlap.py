"""What overlap leaves of a message."""

from __future__ import annotations

from suanzhang.jit import formula


@formula
def exposed_s(comm_s: float, compute_s: float, overlap: float, hidden: float) -> float:
    """What is left of a message that may hide behind compute [s].

    Model:    the share ``overlap`` runs beside the compute as far as that lasts; what is hidden still slows the
              compute by ``hidden`` of its own time, because it takes cores and bandwidth.

    Args:
        comm_s: the message alone.
        compute_s: the compute it may hide behind.
        overlap: share that may hide, 0 to 1.
        hidden: slow-down per hidden second, 0 to 1.

    Returns:
        Exposed time [s].

    Equation: c - h + hidden h, h = min(overlap c, compute).

    Validity: 0 <= overlap, hidden <= 1.

    Sources:  [zero2020]; [megatron-core].

    Example:
        >>> exposed_s(2.0, 10.0, 1.0, 0.1)
        0.2
    """
    behind = min(overlap * comm_s, compute_s)
    return comm_s - behind + hidden * behind
