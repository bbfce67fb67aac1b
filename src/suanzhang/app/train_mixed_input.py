"""Reads pools of unlike chips, and finds the arithmetic that they share."""

from __future__ import annotations

from suanzhang.app.train_input import parse_chips
from suanzhang.errors import InputError
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.precision import canonical

MOST_POOLS = 4
_HALF = {"bf16": "fp16"}


def parse_pools(text: str) -> tuple[tuple[str, int, str], ...]:
    """``"CHIP:N[@ZONE]+CHIP:N[@ZONE]"`` as chip, count and zone; a pool without a zone has one of its own.

    Raises:
        InputError: fewer than two pools, too many, or one that cannot be read.
    """
    parts = [part.strip() for part in text.split("+")]
    if not 2 <= len(parts) <= MOST_POOLS:
        raise InputError(
            f"chips: {len(parts)} pools", fix=f"join two to {MOST_POOLS} with +, as a100-sxm-80:256+v100-sxm2-32:256"
        )
    found = []
    for number, part in enumerate(parts):
        kind, at, zone = part.partition("@")
        if "," in kind or (at and not zone.strip()):
            raise InputError(f"chips: cannot read {part!r}", fix="write CHIP:COUNT or CHIP:COUNT@ZONE, joined by +")
        name, count = parse_chips(kind)[0]
        found.append((name, count, zone.strip() or f"zone {number + 1}"))
    return tuple(found)


def common_precision(chips: list[ChipSpec], asked: str) -> tuple[str, tuple[str, ...]]:
    """The arithmetic that all chips have, and what had to give way for it."""
    wanted = canonical(asked) if asked else "bf16"
    lacking = [chip.name for chip in chips if not chip.has(wanted)]
    if not lacking:
        return wanted, ()
    half = _HALF.get(wanted, "fp16")
    still = [chip.name for chip in chips if half not in chip.peak_flop_per_s]
    if wanted != "bf16" or still:
        raise InputError(
            f"{' and '.join(still or lacking)} has no {half if still else wanted} arithmetic",
            fix="choose a precision that all pools have, or leave that pool out",
        )
    return half, (f"{' and '.join(lacking)} has no {wanted} arithmetic: the whole job runs in {half}, with loss scaling",)
