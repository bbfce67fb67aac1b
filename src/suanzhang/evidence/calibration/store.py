"""Profiles on disk: one JSON file per chip and stack, written whole or not at all."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from suanzhang.errors import InputError
from suanzhang.spec.profile import FittedSurface, Profile

SHIPPED = Path(__file__).resolve().parent.parent / "data" / "profiles"
"""Folder of the profiles that come with the product."""


def write_profile(profile: Profile, folder: Path) -> Path:
    """Write a profile into a folder under its id; an older one is replaced only when the new one is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{profile.id}.json"
    partial = target.with_suffix(".json.part")
    try:
        partial.write_text(json.dumps(asdict(profile), separators=(",", ":")) + "\n", encoding="utf-8")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def read_profile(path: Path) -> Profile:
    """Read one profile.

    Raises:
        InputError: the file is missing, is no profile, or a part of it is missing.
    """
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        return _profile(body)
    except FileNotFoundError:
        raise InputError(f"{path}: no such profile", fix="check the path, or calibrate first") from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is no calibration profile ({error!r:.80})", fix="calibrate again") from None


def _profile(body: Mapping[str, Any]) -> Profile:
    fields = {name: body[name] for name in ("chip", "stack", "device", "source", "licence", "date", "sms")}
    return Profile(**fields, surfaces=tuple(_surface(item) for item in body["surfaces"]))


def _surface(item: Mapping[str, Any]) -> FittedSurface:
    tables = {name: tuple(values) for name, values in item["tables"].items()}
    axes, second_axes = _axes(item["axes"]), _axes(item["second_axes"])
    for name, values in tables.items():
        size = math.prod(count for _, _, count in (second_axes if name == "second" else axes))
        if len(values) != size:
            raise ValueError(f"table of {item['op']} does not have {size} values")
    coverage = {name: (float(low), float(high)) for name, (low, high) in item["coverage"].items()}
    return FittedSurface(**{**item, "axes": axes, "second_axes": second_axes, "tables": tables, "coverage": coverage})


def _axes(rows: Sequence[Sequence[float]]) -> tuple[tuple[float, float, int], ...]:
    return tuple((float(low), float(step), int(count)) for low, step, count in rows)


@functools.cache
def shipped_profiles() -> Mapping[str, Path]:
    """Files of the shipped profiles by id."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*--*.json"))}


@functools.cache
def shipped_profile(profile_id: str) -> Profile:
    """A shipped profile by id."""
    return read_profile(shipped_profiles()[profile_id])
