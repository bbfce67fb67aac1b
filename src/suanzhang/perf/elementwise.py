"""Kernels that only move bytes: norms, activations, rotary positions, residual sums, optimizer steps."""

from __future__ import annotations

from suanzhang.jit import formula
from suanzhang.perf.args import MemoryArgs


@formula
def memory_bound_s(moved_bytes: float, args: MemoryArgs) -> float:
    """Time of one kernel that reads and writes ``moved_bytes`` and computes next to nothing [s]."""
    return args.launch_s + moved_bytes / (args.hbm_bytes_per_s * args.efficiency)
