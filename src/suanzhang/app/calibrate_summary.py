"""How good the profiles of a folder are: a row for each kind of kernel, chip, software and dtype, kept as ``summary.json``."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from suanzhang.app.calibrate_fit import log_error, thinned
from suanzhang.app.physics import stand_ins
from suanzhang.app.physics_carried import host_bound, stand_in
from suanzhang.app.physics_data import relative_when_left_out
from suanzhang.app.surfaces import SURFACES, peaks_of
from suanzhang.evidence.calibration.fit import Floats, median_abs_pct
from suanzhang.evidence.calibration.readers import Timings
from suanzhang.evidence.calibration.store import read_profile
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.profile import FittedSurface, Profile

SUMMARY = "summary.json"
_JUDGED_ROWS = 3000


@dataclass(frozen=True, slots=True)
class SurfaceSummary:
    """The record of one fitted surface.

    Args:
        op, chip, stack, dtype: what was timed.
        rows: timings of the fit.
        in_sample_pct: median absolute error on them [%].
        shapes_left_out_pct: the same on whole shape groups that a fit did not see [%]; None with a single group.
        chip_left_out_pct: the same when the chips that would stand in for this one predict it [%]; None without one.
        stand_in: those chips; empty without one.
        same_architecture: whether they share the architecture.
        host_bound: whether it was timed without graph replay, so that predictions take another engine's surface if any.
    """

    op: str
    chip: str
    stack: str
    dtype: str
    rows: int
    in_sample_pct: float
    shapes_left_out_pct: float | None
    chip_left_out_pct: float | None
    stand_in: tuple[str, ...]
    same_architecture: bool
    host_bound: bool


def read_summary(folder: Path) -> tuple[SurfaceSummary, ...]:
    """The rows of a folder of profiles; none when it has no summary."""
    path = folder / SUMMARY
    if not path.exists():
        return ()
    rows = json.loads(path.read_text(encoding="utf-8"))
    return tuple(SurfaceSummary(**{**row, "stand_in": tuple(row["stand_in"])}) for row in rows)


def update_summary(folder: Path, chip: ChipSpec, timings: Mapping[str, Sequence[Timings]]) -> Path:
    """Judge the profiles of a chip and replace its rows in the summary of their folder.

    Args:
        folder: the profiles of all chips.
        chip: the chip whose rows are replaced.
        timings: its timings by stack.
    """
    rows = [row for row in read_summary(folder) if row.chip != chip.id or row.stack not in timings]
    for stack, items in timings.items():
        profile = read_profile(folder / f"{chip.id}--{stack}.json")
        rows += [_judge(profile, surface, chip, items, folder) for surface in profile.surfaces]
    rows.sort(key=lambda row: (row.op, row.dtype, row.chip, row.stack))
    target = folder / SUMMARY
    partial = target.with_suffix(".json.part")
    body = ",\n".join(json.dumps(asdict(row)) for row in rows)
    partial.write_text(f"[\n{body}\n]\n", encoding="utf-8")
    partial.replace(target)
    return target


def _judge(profile: Profile, surface: FittedSurface, chip: ChipSpec, items: Iterable[Timings], folder: Path) -> SurfaceSummary:
    shapes = surface.left_out_pct if math.isfinite(surface.left_out_pct) else None
    kin = relative_when_left_out(chip)
    close = bool(kin and kin.close)
    names = ((kin.chip,) if close else stand_ins(chip, kin.chip)) if kin else ()
    found = [(name, _surface(folder, name, profile.stack, surface)) for name in names]
    have = {name: one for name, one in found if one is not None}
    guess = None
    if kin is not None:
        guess = stand_in(chip, kin, have)
    item = next((item for item in items if (item.op, item.dtype) == (surface.op, surface.dtype)), None)
    error = None
    if guess is not None and item is not None:
        error = round(_error_pct(guess, chip, item), 2)
    used = tuple(have) if error is not None else ()
    record = (surface.op, chip.id, profile.stack, surface.dtype, surface.rows, surface.median_abs_pct)
    return SurfaceSummary(*record, shapes, error, used, close, host_bound(surface))


def _surface(folder: Path, chip_id: str, stack: str, like: FittedSurface) -> FittedSurface | None:
    """The surface of another chip from the same engine in the nearest version."""
    engine = stack.partition("-")[0]
    have = sorted(folder.glob(f"{chip_id}--{engine}-*.json"), key=lambda path: _distance(path.stem.split("--")[1], stack))
    surfaces = (read_profile(path).surface(like.op, like.dtype) for path in have)
    return next((surface for surface in surfaces if surface is not None), None)


def _distance(have: str, want: str) -> tuple[int, ...]:
    numbers = [[int(part) for part in re.findall(r"\d+", text)[:3]] + [0] * 3 for text in (have, want)]
    return tuple(abs(a - b) for a, b in zip(numbers[0][:3], numbers[1][:3], strict=True))


def _error_pct(surface: FittedSurface, chip: ChipSpec, item: Timings) -> float:
    kind = SURFACES[surface.op]
    peaks = peaks_of(chip, item.op, item.dtype)
    if peaks is None or any(c.name not in surface.coefficients for c in kind.coefficients):
        return float("nan")
    shapes, seconds = thinned(item.shapes, item.seconds, _JUDGED_ROWS)
    tables = {name: _shaped(surface, name) for name in surface.tables}
    return median_abs_pct(log_error(kind, peaks, item.dtype, surface.coefficients, tables, shapes, seconds))


def _shaped(surface: FittedSurface, name: str) -> Floats:
    axes = surface.second_axes if name == "second" else surface.axes
    return np.array(surface.tables[name], dtype=np.float64).reshape([count for _, _, count in axes])
