"""The other names of chips, models and stacks, and the names that are known and deliberately left out."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from suanzhang.catalog.quoted_yaml import load_yaml
from suanzhang.catalog.spellings import meant, spelled
from suanzhang.errors import CatalogError, unknown_name

Kind = Literal["chip", "model", "train_stack", "serve_stack"]

_PATH = Path(__file__).resolve().parent / "data" / "aliases.yaml"
_BETWEEN_DIGITS = re.compile(r"(?<=\d)[\s_/-]+(?=\d)")
_NOISE = re.compile(r"(?<!\d)[.-]|[.-](?!\d)|[^\w.+-]|_")
_WHAT: Mapping[Kind, str] = {
    "chip": "chip",
    "model": "model",
    "train_stack": "training stack",
    "serve_stack": "serving stack",
}


def folded(name: str) -> str:
    """A name without case, spaces and dashes, but for what parts two numbers: ``folded("A100-80G SXM") == "a100-80gsxm"``."""
    text = _BETWEEN_DIGITS.sub("-", name.casefold())
    return _NOISE.sub("", text)


@functools.cache
def _raw() -> Mapping[str, Any]:
    return load_yaml(_PATH)


@functools.cache
def _tables(kind: Kind) -> tuple[Mapping[str, str], Mapping[str, str], Mapping[str, str]]:
    raw = _raw()
    known: dict[str, str] = {}
    for identity, names in raw[kind].items():
        for name in names:
            if known.setdefault(folded(str(name)), str(identity)) != identity:
                raise CatalogError(f"aliases: {name!r} stands for two {_WHAT[kind]}s", fix="remove one")
    left_out = {str(name): str(reason) for name, reason in raw["not_modelled"].get(kind, {}).items()}
    exact = {folded(name): reason for name, reason in left_out.items() if not name.endswith("*")}
    prefixes = {folded(name): reason for name, reason in left_out.items() if name.endswith("*")}
    return MappingProxyType(known), MappingProxyType(exact), MappingProxyType(prefixes)


def aliases(kind: Kind) -> Mapping[str, str]:
    """Folded other names to catalog ids."""
    return _tables(kind)[0]


def not_modelled(kind: Kind, name: str) -> str:
    """Why a name is known and left out; empty when it is not such a name."""
    exact, prefixes = _tables(kind)[1:]
    key = folded(name)
    return exact.get(key) or next((reason for prefix, reason in prefixes.items() if key.startswith(prefix)), "")


def find(kind: Kind, name: str, known: Mapping[str, str]) -> str | None:
    """The catalog id of a name, or None.

    Args:
        kind: what is looked up.
        name: id, title or other name; case, spaces and dashes do not matter.
        known: catalog ids and the title of each.
    """
    if name in known:
        return name
    key = folded(name)
    by_fold = {folded(title): identity for identity, title in known.items()} | {folded(item): item for item in known}
    return by_fold.get(key) or aliases(kind).get(key)


def resolve(kind: Kind, name: str, known: Mapping[str, str]) -> str:
    """The catalog id of a name.

    Args:
        kind: what is looked up.
        name: id, title or other name; case, spaces and dashes do not matter.
        known: catalog ids and the title of each.

    Raises:
        CatalogError: unknown, with the nearest names; or known and left out, with the reason.
    """
    found = find(kind, name, known)
    if found is not None:
        return found
    reason = not_modelled(kind, name)
    if reason:
        raise CatalogError(f"{_WHAT[kind]} {name!r} is not modelled: {reason}", details={"not_modelled": reason})
    if kind == "chip":
        parts = spelled(name)
        found = find(kind, parts.short, known) or meant(name, known, find(kind, parts.family, known))
        if found is not None:
            return found
    raise unknown_name(_WHAT[kind], name, known)
