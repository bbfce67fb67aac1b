"""How well the shipped kernel timings are fitted, chip by chip."""

from __future__ import annotations

from dataclasses import dataclass

from suanzhang.spec.result import Header, SourceUse


@dataclass(frozen=True, slots=True)
class KernelRecord:
    """The fits of one chip, dtype and kind of kernel, all software together.

    Args:
        chip: the chip.
        kernels: "dense products", "attention", "collectives" or "experts".
        dtype: storage format of the operands.
        surfaces: fits, one for each kernel and software.
        rows: timings behind them.
        shapes_left_out_pct: median error on shapes that a fit did not see, surfaces weighed by their timings [%].
        worst_pct: the same of the worst of the surfaces [%].
        worst: that surface: kernel and software.
        chip_left_out_pct: median error when other chips speak for this one [%]; None when no other was timed so.
        same_architecture: whether one of those shares the architecture.
    """

    chip: str
    kernels: str
    dtype: str
    surfaces: int
    rows: int
    shapes_left_out_pct: float
    worst_pct: float
    worst: str
    chip_left_out_pct: float | None
    same_architecture: bool

    @property
    def within(self) -> bool:
        """Whether shapes left out are within the 5 % that a fit is held to."""
        return self.shapes_left_out_pct <= 5.0


@dataclass(frozen=True, slots=True)
class KernelCheck:
    """The record of all shipped fits.

    Args:
        header: version, catalog date and seed.
        records: one for each chip, kind of kernel and dtype.
        host_bound: surfaces timed on host code, which predictions do not use where another was timed; not counted.
        sources: where the timings come from.
    """

    header: Header
    records: tuple[KernelRecord, ...]
    host_bound: int
    sources: tuple[SourceUse, ...] = ()
