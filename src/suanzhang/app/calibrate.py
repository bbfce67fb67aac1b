"""Calibrate: timings of kernels on a chip become a profile that every prediction on that chip can use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from suanzhang.app.physics_data import cores
from suanzhang.app.surfaces import COLLECTIVE_KINDS, SURFACES, Peaks, Surface, peaks_of
from suanzhang.errors import InputError
from suanzhang.evidence.calibration.fit import Floats, fit_closed, fit_table, held_out, look_up, median_abs_pct
from suanzhang.evidence.calibration.readers import MODELLED_FILES, Timings, read_timings
from suanzhang.evidence.calibration.store import write_profile
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.profile import FittedSurface, Profile

_CLOSED_ROWS = 4000
_TABLE_ROWS = 24_000
_FEWEST_ROWS = 12
_PER_MILLE = 1000.0


@dataclass(frozen=True, slots=True)
class CalibrationResult:
    """What a calibration found.

    Args:
        profile: the fitted profile.
        path: the file that it was written to; None when none was asked for.
        files: how many files were read.
        rows: how many timings were used.
        skipped: what could not be used, with the reason.
    """

    profile: Profile
    path: Path | None
    files: int
    rows: int
    skipped: tuple[str, ...]


def calibrate(
    paths: Sequence[Path | str],
    chip: ChipSpec,
    stack: str,
    folder: Path | None = None,
    *,
    source: str = "own measurement",
    licence: str = "",
    date: str = "",
    same_device: bool = True,
) -> CalibrationResult:
    """Fit a profile to files of kernel timings and, when a folder is given, write it there.

    Args:
        paths: files of timings (see :mod:`suanzhang.evidence.calibration.readers`).
        chip: the chip that was timed.
        stack: engine or library with its version, part of the profile's id.
        folder: where to write ``<chip>--<stack>.json``; None to write nothing.
        source: where the timings come from.
        licence: their licence.
        date: day they were read, ISO.
        same_device: refuse files whose device is not the chip.

    Returns:
        The profile with its residuals, and what was skipped.

    Raises:
        InputError: a file cannot be used (missing, damaged, lacks a column, other chip, other unit); nothing is written.
    """
    if not paths:
        raise InputError("no timings given", fix="name at least one file")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", stack):
        raise InputError(f"stack {stack!r} cannot name a file", fix="use letters, digits, dots and dashes, as vllm-0.24.0")
    timings = [item for path in paths for item in read_timings(Path(path))]
    for item in timings:
        if same_device and item.device and not device_is(item.device, chip):
            raise InputError(f"the timings are of {item.device}, not of {chip.name}", fix="name the chip that was timed")
    skipped: list[str] = []
    surfaces: dict[tuple[str, str], FittedSurface] = {}
    used = 0
    for item in _merged(timings):
        peaks = peaks_of(chip, item.op, item.dtype)
        if peaks is None:
            skipped.append(f"{item.op} {item.dtype}: {chip.name} has no such arithmetic in the catalog")
        elif len(item.seconds) < _FEWEST_ROWS:
            skipped.append(f"{item.op} {item.dtype}: {len(item.seconds)} timings are too few to fit")
        else:
            _check_unit(item, peaks)
            surfaces[item.op, item.dtype] = fit_surface(SURFACES[item.op], item, peaks)
            used += len(item.seconds)
    if not surfaces:
        raise InputError(f"nothing to fit: {'; '.join(skipped)}", fix="give timings of dtypes that the chip has")
    device = ", ".join(sorted({item.device for item in timings if item.device}))
    profile = Profile(chip.id, stack, device, source, licence, date, cores(chip), tuple(surfaces.values()))
    path = write_profile(profile, folder) if folder else None
    return CalibrationResult(profile, path, len(paths), used, tuple(skipped))


def calibrate_tree(
    root: Path | str,
    chip: ChipSpec,
    folder: Path | None = None,
    *,
    source: str,
    licence: str,
    date: str,
    same_device: bool = True,
) -> tuple[CalibrationResult, ...]:
    """Profiles of all software under one chip's folder of the AIConfigurator layout (``<op>/<engine>/<version>/*.parquet``).

    The newest version of each engine's products names its profile, with the newest timings of its other kernels; older
    versions get a profile of their products alone. Kernels that are not modelled are listed as skipped.
    """
    files = sorted(Path(root).glob("*/*/*/*.parquet"))
    if not files:
        raise InputError(f"{root}: holds no <op>/<engine>/<version>/*.parquet", fix="name the folder of one chip")
    results = []
    for stack, members in _stacks(files).items():
        modelled, skipped = _modelled(members)
        if modelled:
            found = calibrate(modelled, chip, stack, folder, source=source, licence=licence, date=date, same_device=same_device)
            results.append(replace(found, skipped=(*found.skipped, *skipped)))
    return tuple(results)


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _stacks(files: Sequence[Path]) -> dict[str, list[Path]]:
    """Files of each profile by its stack name."""
    stacks: dict[str, list[Path]] = {}
    for engine in sorted({path.parts[-3] for path in files}):
        own = [path for path in files if path.parts[-3] == engine]
        newest: dict[str, str] = {}
        for path in own:
            newest[path.parts[-4]] = max(newest.get(path.parts[-4], "0"), path.parts[-2], key=_release)
        main = newest.get("gemm", max(newest.values(), key=_release))
        for path in own:
            current = path.parts[-2] == newest[path.parts[-4]]
            stacks.setdefault(f"{engine}-{main if current else path.parts[-2]}", []).append(path)
    return stacks


def _modelled(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    known = [path for path in paths if path.stem.removesuffix("_perf") in MODELLED_FILES]
    return known, [f"{path.name}: not modelled" for path in paths if path not in known]


def device_is(device: str, chip: ChipSpec) -> bool:
    """Whether the name that a device gives itself is that of a chip (``NVIDIA H100 80GB HBM3`` is an H100)."""
    words = {chip.id.split("-")[0], *re.findall(r"(?<![A-Za-z0-9])[A-Z]{1,3}\d+[A-Z]*(?![A-Za-z0-9])", chip.name)}
    return any(
        re.search(rf"(?<![a-z0-9]){r'[ ._-]*'.join(map(re.escape, word.lower()))}(?![a-z0-9])", device.lower())
        for word in words
        if any(mark.isdigit() for mark in word) and not re.fullmatch(r"SXM\d+|HBM\d+|NVL\d+", word)
    )


def _merged(timings: Sequence[Timings]) -> list[Timings]:
    """One entry for each kind and dtype, all files together."""
    keys = sorted({(item.op, item.dtype) for item in timings})
    merged = []
    for op, dtype in keys:
        parts = [item for item in timings if (item.op, item.dtype) == (op, dtype)]
        shapes = np.concatenate([part.shapes for part in parts])
        seconds = np.concatenate([part.seconds for part in parts])
        versions = ", ".join(sorted({part.version for part in parts if part.version}))
        merged.append(Timings(op, dtype, parts[0].device, versions, shapes, seconds))
    return merged


def _check_unit(item: Timings, peaks: Peaks) -> None:
    """Refuse times that no chip of these peaks can reach, or that are thousands of times too long."""
    surface = SURFACES[item.op]
    shapes, seconds = _thinned(item.shapes, item.seconds, 500)
    start = {c.name: c.start for c in surface.coefficients}
    ratio = float(np.median(seconds / surface.predict(peaks, item.dtype, start, shapes)))
    if not 0.03 < ratio < 150.0:
        raise InputError(
            f"the {item.op} {item.dtype} times are {ratio:.3g} times what the chip's peaks suggest",
            fix="check their unit (AIConfigurator and Vidur files are in ms, own files in s) and the chip",
        )


def _thinned(shapes: Floats, seconds: Floats, rows: int) -> tuple[Floats, Floats]:
    if len(seconds) <= rows:
        return shapes, seconds
    pick = np.random.default_rng(0).permutation(len(seconds))[:rows]
    return shapes[pick], seconds[pick]


def _fit_once(
    surface: Surface, item: Timings, peaks: Peaks, rows: NDArray[np.bool_]
) -> tuple[dict[str, float], dict[str, Floats]]:
    shapes, seconds = _thinned(item.shapes[rows], item.seconds[rows], _CLOSED_ROWS)
    names = [c.name for c in surface.coefficients]
    found = fit_closed(
        lambda v: surface.predict(peaks, item.dtype, dict(zip(names, v.tolist(), strict=True)), shapes),
        surface.coefficients,
        seconds,
    )
    values = dict(zip(names, found.tolist(), strict=True))
    shapes, seconds = _thinned(item.shapes[rows], item.seconds[rows], _TABLE_ROWS)
    ratio = np.log(seconds / surface.predict(peaks, item.dtype, values, shapes))
    tables = {}
    for name, pick in _table_rows(surface.op, shapes).items():
        if pick.any():
            table = fit_table(surface.points(shapes[pick]), ratio[pick], surface.axes)
            tables[name] = np.round(table * _PER_MILLE)
            if surface.second_points is not None:
                left = ratio - look_up(surface.points(shapes), surface.axes, table)
                tables["second"] = np.round(fit_table(surface.second_points(shapes), left, surface.second_axes) * _PER_MILLE)
    return values, tables


def _table_rows(op: str, shapes: Floats) -> dict[str, NDArray[np.bool_]]:
    if op != "link":
        return {"": np.ones(len(shapes), dtype=bool)}
    return {name: shapes[:, 2] == kind for name, kind in COLLECTIVE_KINDS.items()}


def log_error(
    surface: Surface,
    peaks: Peaks,
    dtype: str,
    values: dict[str, float],
    tables: dict[str, Floats],
    shapes: Floats,
    seconds: Floats,
) -> Floats:
    """Log of measured over predicted, closed form and table together, one per timing."""
    error = np.log(seconds / surface.predict(peaks, dtype, values, shapes))
    for name, pick in _table_rows(surface.op, shapes).items():
        if name in tables and pick.any():
            error[pick] -= look_up(surface.points(shapes[pick]), surface.axes, tables[name] / _PER_MILLE)
    if "second" in tables and surface.second_points is not None:
        error -= look_up(surface.second_points(shapes), surface.second_axes, tables["second"] / _PER_MILLE)
    return error


def fit_surface(surface: Surface, item: Timings, peaks: Peaks) -> FittedSurface:
    """Fit one kind of timing twice: without some whole shape groups, to judge it, and with all rows, to keep it."""
    out = held_out(item.shapes[:, list(surface.groups)])
    left_out = float("nan")
    if out.any() and not out.all():
        values, tables = _fit_once(surface, item, peaks, ~out)
        left_out = median_abs_pct(log_error(surface, peaks, item.dtype, values, tables, item.shapes[out], item.seconds[out]))
    values, tables = _fit_once(surface, item, peaks, np.ones(len(item.seconds), dtype=bool))
    error = log_error(surface, peaks, item.dtype, values, tables, item.shapes, item.seconds)
    p05, p50, p95 = (float(x) for x in np.expm1(np.quantile(error, (0.05, 0.5, 0.95))))
    coverage = {
        name: (float(item.shapes[:, i].min()), float(item.shapes[:, i].max())) for i, name in enumerate(surface.columns)
    }
    return FittedSurface(
        op=surface.op,
        dtype=item.dtype,
        coefficients={name: float(f"{value:.5g}") for name, value in values.items()},
        axes=tuple((axis.low, axis.step, axis.count) for axis in surface.axes),
        second_axes=tuple((axis.low, axis.step, axis.count) for axis in surface.second_axes),
        tables={name: tuple(int(x) for x in table.ravel()) for name, table in tables.items()},
        rows=len(item.seconds),
        coverage=coverage,
        error_p05=round(p05, 4),
        error_p50=round(p50, 4),
        error_p95=round(p95, 4),
        median_abs_pct=round(median_abs_pct(error), 2),
        left_out_pct=round(left_out, 2),
        version=item.version,
    )
