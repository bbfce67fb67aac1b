"""``calibrate --check``: how well the shipped profiles do on shapes and on chips that a fit did not see."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from suanzhang.app.calibrate_summary import SurfaceSummary, read_summary
from suanzhang.app.header import header
from suanzhang.app.validate_sources import timings
from suanzhang.catalog.chips import chip as catalog_chip
from suanzhang.errors import CatalogError
from suanzhang.evidence.calibration.store import SHIPPED
from suanzhang.spec.kernel_record import KernelCheck, KernelRecord

KINDS: Mapping[str, str] = {
    "gemm": "dense products",
    "prefill": "attention",
    "decode": "attention",
    "mla_prefill": "attention",
    "mla_decode": "attention",
    "link": "collectives",
    "direct": "collectives",
    "moe": "experts",
}
_ORDER = ("dense products", "attention", "collectives", "experts")


def calibrate_check(chip: str = "", folder: Path = SHIPPED) -> KernelCheck:
    """The record of the shipped fits, one line for each chip, kind of kernel and dtype.

    Args:
        chip: catalog id or alias of the one chip to show; all when left out.
        folder: profiles with their summary.

    Raises:
        CatalogError: the chip is unknown or has no timings.
    """
    rows = read_summary(folder)
    if chip:
        wanted = catalog_chip(chip).id
        rows = tuple(row for row in rows if row.chip == wanted)
        if not rows:
            raise CatalogError(f"{wanted} has no timings of its own", fix="leave --chip out to see the chips that have")
    groups: dict[tuple[str, str, str], list[SurfaceSummary]] = defaultdict(list)
    for row in rows:
        groups[row.chip, KINDS[row.op], row.dtype].append(row)
    judged = {key: _counted(found) for key, found in groups.items()}
    records = [record for key, found in judged.items() if (record := _record(key, found)) is not None]
    records.sort(key=lambda item: (item.chip, _ORDER.index(item.kernels), item.dtype))
    unused = len(rows) - sum(len(found) for found in judged.values())
    return KernelCheck(header(), tuple(records), unused, (timings("fits"),))


def _counted(rows: Sequence[SurfaceSummary]) -> list[SurfaceSummary]:
    """The surfaces that predictions take: those timed on host code only where a kernel has no other."""
    timed = {row.op for row in rows if not row.host_bound}
    return [row for row in rows if not row.host_bound or row.op not in timed]


def _record(key: tuple[str, str, str], rows: Sequence[SurfaceSummary]) -> KernelRecord | None:
    shapes = _mean(rows, lambda row: row.shapes_left_out_pct)
    if shapes is None:
        return None
    worst = max(rows, key=lambda row: row.shapes_left_out_pct or 0.0)
    chip, kernels, dtype = key
    return KernelRecord(
        chip=chip,
        kernels=kernels,
        dtype=dtype,
        surfaces=len(rows),
        rows=sum(row.rows for row in rows),
        shapes_left_out_pct=shapes,
        worst_pct=worst.shapes_left_out_pct or 0.0,
        worst=f"{worst.op} {worst.stack}",
        chip_left_out_pct=_mean(rows, lambda row: row.chip_left_out_pct),
        same_architecture=any(row.same_architecture for row in rows),
    )


def _mean(rows: Iterable[SurfaceSummary], value: Callable[[SurfaceSummary], float | None]) -> float | None:
    """Mean over the surfaces that have the value, each weighed by its timings."""
    found = [(number, row.rows) for row in rows if (number := value(row)) is not None]
    return sum(number * weight for number, weight in found) / sum(weight for _, weight in found) if found else None
