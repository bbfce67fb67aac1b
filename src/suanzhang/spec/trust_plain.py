"""Frozen values as plain maps, lists and numbers, and back again: how results and questions are kept in JSON."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, get_args, get_origin, get_type_hints

from suanzhang.errors import InputError


def plain(value: Any) -> Any:
    """Any value of a result as JSON knows it; a number that is not finite is None.

    Raises:
        TypeError: JSON has no word for it.
    """
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"a result holds a {type(value).__name__}, which JSON has no word for")


def rebuilt(kind: Any, value: Any, where: str = "value") -> Any:
    """A frozen value of a type from what :func:`plain` made of it.

    Args:
        kind: a dataclass, or the annotation of one of its fields.
        value: plain maps, lists and numbers.
        where: what to call it in error lines.

    Raises:
        InputError: a key is unknown or missing, or a value has another shape.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _dataclass(kind, value, where)
    if origin in (typing.Union, types.UnionType):
        return _one_of(inner, value, where)
    if origin is tuple and isinstance(value, list):
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(rebuilt(inner[0], item, where) for item in value)
        return tuple(rebuilt(part, item, where) for part, item in zip(inner, value, strict=True))
    if isinstance(value, Mapping) and origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: rebuilt(inner[1], item, where) for key, item in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _one_of(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    left = [kind for kind in kinds if kind is not type(None)]
    if isinstance(value, Mapping):
        fitting = [k for k in left if dataclasses.is_dataclass(k) and set(value) <= {f.name for f in dataclasses.fields(k)}]
        left = fitting or left
    return rebuilt(left[0], value, where)


def _dataclass(kind: type, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: expected the fields of a {kind.__name__}", fix="give a file that --json wrote")
    hints = get_type_hints(kind)
    known = {item.name: item for item in dataclasses.fields(kind)}
    unknown = [key for key in value if key not in known]
    missing = [
        name
        for name, item in known.items()
        if name not in value and item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
    ]
    if unknown or missing:
        what = f"unknown key {unknown[0]!r}" if unknown else f"no {missing[0]!r}"
        raise InputError(f"{where}: {kind.__name__} has {what}", fix="give a file that --json wrote with this version")
    return kind(**{key: rebuilt(hints[key], item, f"{where}.{key}") for key, item in value.items()})
