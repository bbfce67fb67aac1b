"""A result as plain maps, lists and numbers: the one JSON body that every face gives."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from suanzhang.spec.result import Header


def to_json(result: Any) -> dict[str, Any]:
    """A result as a plain map; its header's keys (version, catalog date, seed) come first.

    Args:
        result: a frozen result, or a map of values.

    Returns:
        Maps with text keys, lists, texts, finite numbers, truth values and None. A number that is not finite is None.
    """
    body = plain(result)
    if not isinstance(body, dict):
        return {"rows": body}
    header = body.pop("header", None)
    return {**header, **body} if isinstance(header, dict) else body


def plain(value: Any) -> Any:
    """Any value of a result as JSON knows it."""
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


def to_text(result: Any) -> str:
    """The JSON body as indented text."""
    return json.dumps(to_json(result), indent=2, ensure_ascii=False, allow_nan=False)


def header_of(result: Any) -> Header | None:
    """The header of a result, when it has one."""
    header = getattr(result, "header", None)
    return header if isinstance(header, Header) else None
