"""What stays in the on-chip cache when the same kernel runs again on the same operands, as it does when it is timed."""

from __future__ import annotations

from suanzhang.jit import formula

L2_SHARPNESS = 16
"""How abruptly a cache that is read through in order stops to hit when it is outgrown."""


@formula
def memory_share(moved_bytes: float, l2_bytes: float, l2_gain: float) -> float:
    """Time that bytes take when some of them still lie in the on-chip cache, over that from memory.

    Model:
        Operands that fit are read from the cache; read through in order they leave it all at once when they outgrow it.

    Args:
        moved_bytes: bytes that one kernel moves, above 0 [B].
        l2_bytes: how many of them the cache keeps until the same ones come again [B]; 1 for a cold cache.
        l2_gain: rate of the cache over that of memory [1], at least 1.

    Returns:
        The share of the time [1], from 1 / gain to 1.

    Equation:
        r = q + (1 - q) / g, q = 1 / (1 + (C / bytes)^16)

    Validity:
        Repeated kernels; between the layers of a model everything else passes through the cache.

    Sources:
        [aiconfigurator-2026] timings that move bytes faster than the memory can.

    Example:
        >>> memory_share(1e9, 1.0, 4.0), memory_share(1e6, 1e8, 4.0)
        (1.0, 0.25)
    """
    missed = 1.0 / (1.0 + (l2_bytes / moved_bytes) ** L2_SHARPNESS)
    return missed + (1.0 - missed) / l2_gain
