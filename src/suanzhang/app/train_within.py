"""What a user keeps of a layout while the rest of it is searched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from suanzhang.app.train_input import parse_layout
from suanzhang.errors import InputError
from suanzhang.perf.training.pack import RECOMPUTE_CODES, SCHEDULE_CODES
from suanzhang.search.space import Axes

_AXES = {"zero_stage": "zero", "cp_kind": "cp_a2a"}
"""Layout keys whose axis has another name."""
_CODES: Mapping[str, Mapping[str, float]] = {
    "recompute": {str(name): code for name, code in RECOMPUTE_CODES.items()},
    "schedule": {str(name): code for name, code in SCHEDULE_CODES.items()},
    "cp_kind": {"ring": 0.0, "a2a": 1.0},
}
_NO_AXIS = {
    "dp": "data ranks take the chips that the other sizes leave",
    "recompute_layers": "it is searched in no layout: give the whole layout",
    "head_layers": "the search balances the last stage by itself",
    "shard_ranks": "it is searched in no layout: give the whole layout",
}


def parse_within(text: str) -> dict[str, tuple[int, ...]]:
    """``"tp=8,schedule=1f1b|zero-bubble"`` as the values that axes of the search may take.

    Raises:
        InputError: an unknown key or value, or a key that the search does not know.
    """
    found: dict[str, tuple[int, ...]] = {}
    for part in text.split(",") if text else ():
        key, equals, values = (item.strip() for item in part.partition("="))
        if not equals or not values:
            raise InputError(f"within: cannot read {part.strip()!r}", fix="write for example tp=8,zero=1|3")
        for value in values.split("|"):
            try:
                ((name, one),) = parse_layout(f"{key}={value.strip()}").items()
            except InputError as error:
                raise InputError(f"within: {error.message.removeprefix('layout: ')}", fix=error.fix) from None
            if name in _NO_AXIS:
                raise InputError(f"within: {name} cannot be kept", fix=_NO_AXIS[name])
            axis = _AXES.get(name, name)
            code = int(_CODES[name][str(one)]) if name in _CODES else int(one)  # type: ignore[call-overload]
            found[axis] = (*found.get(axis, ()), code)
    for axis, codes in found.items():
        if len(set(codes)) < len(codes):
            raise InputError(f"within: {axis} names a value twice", fix="keep one of them")
    return found


def within(axes: Axes, kept: Mapping[str, tuple[int, ...]]) -> Axes:
    """The axes with only the values that are kept; a value that they do not hold joins them."""
    return replace(axes, **kept) if kept else axes  # type: ignore[arg-type]
