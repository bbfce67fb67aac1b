"""Fingerprints of the catalog entries that a result names, so that a repetition can say which of them has changed."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from suanzhang.spec.trust_plain import plain

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_JOINS_NAMES = "--"
"""Between the parts of a name that is made of others, such as that of a fitted profile."""
_DIGITS = 8


@functools.cache
def _catalog() -> Mapping[str, tuple[str, Any]]:
    """Every entry of the catalog by id, with the word for its kind."""
    from suanzhang.catalog.chips import chips
    from suanzhang.catalog.markets import markets
    from suanzhang.catalog.models import models
    from suanzhang.catalog.sites import sites
    from suanzhang.catalog.stacks import serve_stacks, train_stacks

    kinds = (
        ("chip", chips()), ("model", models()), ("market", markets()), ("site", sites()),
        ("stack", train_stacks()), ("stack", serve_stacks()),
    )  # fmt: skip
    return {name: (kind, entry) for kind, entries in kinds for name, entry in entries.items()}


def entry_prints(result: Any, inputs: Mapping[str, Any]) -> dict[str, str]:
    """A short hash of each chip, model, market, site and software generation that a result or its inputs name.

    Args:
        result: what a verb gave.
        inputs: what it was asked, as plain values; files with their content.

    Returns:
        "chip h100-sxm-80" and the like to the hash of that entry's figures.
    """
    known = _catalog()
    named = {name for text in _texts((plain(result), inputs)) for name in _names(text) if name in known}
    return {f"{known[name][0]} {name}": _print(name) for name in sorted(named, key=lambda name: (known[name][0], name))}


@functools.cache
def _print(name: str) -> str:
    text = json.dumps(plain(_catalog()[name][1]), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _texts(value: Any) -> Iterator[str]:
    """Every text of a plain value, names of its keys included: a map by chip names chips."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


def _names(text: str) -> Iterator[str]:
    for word in _NAME.findall(text):
        yield word
        yield word.rstrip(".")
        yield from word.split(_JOINS_NAMES)
