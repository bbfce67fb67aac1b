"""A user's own profile of kernels: read, and held against the chip before anything is predicted with it."""

from __future__ import annotations

import math
from pathlib import Path

from suanzhang.app.surfaces import SURFACES
from suanzhang.errors import InputError
from suanzhang.evidence.calibration.store import read_profile
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.profile import Profile

OWN = ".json"
"""How the name of a profile ends that is a file, not one that ships."""


def own_profile(path: str, chip: ChipSpec) -> Profile:
    """The profile of a file.

    Args:
        path: file that ``calibrate`` or ``measure`` wrote.
        chip: the chip to predict.

    Raises:
        InputError: the file cannot be read, is of another chip, or lacks what a formula takes.
    """
    found = read_profile(Path(path))
    if found.chip != chip.id:
        raise InputError(f"{path}: is a profile of {found.chip}, not of {chip.id}", fix="name the profile of this chip")
    if not found.surfaces:
        raise InputError(f"{path}: is a profile without kernels", fix="calibrate again")
    for surface in found.surfaces:
        wanted = [item.name for item in SURFACES[surface.op].coefficients] if surface.op in SURFACES else None
        if wanted is None:
            raise InputError(f"{path}: kernels named {surface.op!r} are not modelled", fix="calibrate again")
        values = [surface.coefficients.get(name) for name in wanted]
        if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in values):
            raise InputError(f"{path}: a coefficient of {surface.op} {surface.dtype} is missing", fix="calibrate again")
    return found


def check_profile(profile: str, *chips: ChipSpec) -> None:
    """Refuse a profile of one's own that cannot be used for a chip, before a search takes that for a lack of memory.

    Args:
        profile: of a stack: a file, or the id of one that ships, which is always usable.
        chips: all chips that are predicted with it.

    Raises:
        InputError: see :func:`own_profile`.
    """
    if profile.endswith(OWN):
        for chip in chips:
            own_profile(profile, chip)
