"""Memory of a chip in words: always in binary units, since a chip sold as 80 GB holds about 80 GiB, not 80 x 10^9 bytes."""

from __future__ import annotations

from suanzhang.units import GIB, KIB, MIB, TIB

MEMORY_UNIT = "GiB"
"""Unit of memory in tables and charts."""
_STEPS = ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"))


def in_gib(amount_bytes: float) -> float:
    """Bytes in :data:`MEMORY_UNIT`."""
    return amount_bytes / GIB


def memory_words(amount_bytes: float) -> str:
    """An amount of memory for people, three digits.

    Example:
        >>> memory_words(82.9e9), memory_words(5.0e8), memory_words(12.0)
        ('77.2 GiB', '477 MiB', '12 B')
    """
    for scale, unit in _STEPS:
        if abs(amount_bytes) >= scale * 0.9995:
            value = amount_bytes / scale
            return f"{value:,.{max(0, 2 - len(str(int(abs(value)))) + 1)}f} {unit}"
    return f"{amount_bytes:.0f} B"
