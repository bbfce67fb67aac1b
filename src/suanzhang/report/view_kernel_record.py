"""The report of ``calibrate --check``."""

from __future__ import annotations

from collections.abc import Sequence

from suanzhang.report.blocks import Column, Report, Section, Table
from suanzhang.spec.kernel_record import KernelCheck, KernelRecord

_COLUMNS = (
    Column("chip"),
    Column("kernels"),
    Column("dtype"),
    Column("fits", "fits"),
    Column("timings", "timings"),
    Column("shapes left out", "%"),
    Column("worst fit", "%"),
    Column("which is"),
    Column("chip left out", "%", optional=True),
    Column("then predicted from"),
)


def kernel_record(result: KernelCheck) -> Report:
    """Error on shapes left out and on the chip left out, beside what a fit is held to."""
    held = [item for item in result.records if item.kernels != "experts"]
    within = sum(1 for item in held if item.within)
    far = [item for item in result.records if item.chip_left_out_pct is not None and item.kernels != "experts"]
    kin, strange = (tuple(item for item in far if item.same_architecture is same) for same in (True, False))
    verdict = (
        f"{within} of {len(held)} chips and dtypes are within 5 % on shapes left out, {_near(far)} of {len(far)} within 12 % "
        "when the whole chip is left out (dense products, attention, collectives): "
        f"{_near(kin)} of {len(kin)} where another chip of its architecture is timed, {_near(strange)} of {len(strange)} where "
        f"none is. {result.host_bound} fits to timings of host code are not used and not counted."
    )
    misses = tuple(item for item in held if not item.within)
    sections = (
        Section("All fits", (Table("All fits", _COLUMNS, tuple(_row(item) for item in result.records)),)),
        *((Section("Beyond 5 %", (Table("Beyond 5 %", _COLUMNS, tuple(_row(item) for item in misses)),)),) if misses else ()),
    )
    return Report("Kernel fits", verdict, sections, main="All fits")


def _near(items: Sequence[KernelRecord]) -> int:
    return sum(1 for item in items if (item.chip_left_out_pct or 0.0) <= 12.0)


def _row(item: KernelRecord) -> tuple[str | float | int | None, ...]:
    source = "" if item.chip_left_out_pct is None else "its architecture" if item.same_architecture else "others"
    return (
        item.chip,
        item.kernels,
        item.dtype,
        item.surfaces,
        item.rows,
        item.shapes_left_out_pct,
        item.worst_pct,
        item.worst,
        item.chip_left_out_pct,
        source,
    )
