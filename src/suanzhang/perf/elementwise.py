"""Kernels that only move bytes: norms, activations, rotary positions, residual sums, optimizer steps."""

from __future__ import annotations

from suanzhang.jit import formula
from suanzhang.perf.args import MemoryArgs


@formula
def memory_bound_s(moved_bytes: float, args: MemoryArgs) -> float:
    """Time of one kernel that moves bytes and computes next to nothing.

    Model:
        A fixed start, then memory at the share of its bandwidth that streaming reaches; small kernels that stay in the
        on-chip cache are no faster.

    Args:
        moved_bytes: bytes read and written [B].
        args: chip.

    Returns:
        The time [s].

    Equation:
        T = T_launch + bytes / (B e)

    Validity:
        Norms, activations, rotary positions, sums, optimizer steps of a megabyte or more.

    Sources:
        [babelstream-hpc] the share of the bandwidth.

    Example:
        >>> from suanzhang.perf.args import MemoryArgs
        >>> round(memory_bound_s(8e9, MemoryArgs(1e12, 0.8, 0.0)), 6)
        0.01
    """
    return args.launch_s + moved_bytes / (args.hbm_bytes_per_s * args.efficiency)
