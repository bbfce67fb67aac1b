"""Generations of training and serving software by id, by year, or by the engine string of a published table."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from suanzhang.catalog.aliases import find, resolve
from suanzhang.catalog.quoted_yaml import load_yaml, read_sources
from suanzhang.catalog.stack_formats import with_formats
from suanzhang.errors import CatalogError, InputError, unknown_name
from suanzhang.source import GRADES, Source
from suanzhang.spec.stack import ServeStack, TrainStack

_FOLDER = Path(__file__).resolve().parent / "data" / "stacks"
_EXTRA = {"grade", "date", "note", "host_source", "host_grade"}
_Stack = TypeVar("_Stack", TrainStack, ServeStack)


@functools.cache
def _file(name: str) -> Mapping[str, Any]:
    return load_yaml(_FOLDER / f"{name}.yaml")


@functools.cache
def stack_sources() -> Mapping[str, Source]:
    """The sources of the settings of all stacks."""
    return MappingProxyType(
        {key: item for name in ("training", "serving") for key, item in read_sources(_file(name)["sources"], name).items()}
    )


def _rows(raw: object) -> Iterable[dict[str, Any]]:
    if isinstance(raw, Mapping):
        return [{"id": identity, **row} for identity, row in raw.items()]
    return [dict(row) for row in raw] if isinstance(raw, list) else []


def _read(kind: type[_Stack], row: dict[str, Any], where: str) -> _Stack:
    row |= row.pop("values", {})
    where = f"{where}: stack {row.get('id', '?')!r}"
    if row.get("source") not in stack_sources():
        raise CatalogError(f"{where} has no known source", fix="a value without its origin is not accepted")
    if row.get("grade") not in GRADES:
        raise CatalogError(f"{where} has no known grade", fix=f"use one of {', '.join(GRADES)}")
    fields = {item.name for item in dataclasses.fields(kind)}
    unknown = [key for key in row if key not in fields | _EXTRA]
    if unknown:
        raise CatalogError(f"{where} has an unknown setting {unknown[0]!r}", fix=f"use {', '.join(sorted(fields))}")
    settings: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in row.items() if key in fields
    }
    try:
        return kind(**settings)
    except TypeError as error:
        raise CatalogError(f"{where}: {error}", fix="restore the file of the package") from error


@dataclasses.dataclass(frozen=True, slots=True)
class Origin:
    """Where a setting of a stack comes from: source key, grade, date and note."""

    source: str
    grade: str
    date: str
    note: str


_HOST = {
    "host_s", "host_per_seq_s", "launch_s", "request_s", "request_per_seq_s", "layer_kernels", "encoder_kernels",
    "expert_kernels", "expert_copies", "reserve_bytes", "prompt_kernels", "first_use_s",
}  # fmt: skip
"""Settings of a serving stack that are fitted or assumed rather than documented."""


def stack_origin(stack: TrainStack | ServeStack, setting: str) -> Origin:
    """Where one setting of a stack comes from."""
    name = "training" if isinstance(stack, TrainStack) else "serving"
    row = next(row for row in _rows(_file(name)["stacks"]) if row["id"] == stack.id.partition(",")[0])
    host = setting in _HOST and "host_source" in row
    key, grade = (row["host_source"], row["host_grade"]) if host else (row["source"], row["grade"])
    return Origin(str(key), str(grade), str(row.get("date", stack.released)), str(row.get("note", "")))


@functools.cache
def train_stacks() -> Mapping[str, TrainStack]:
    """Every training stack by id, oldest generation first."""
    found = [_read(TrainStack, row, "training") for row in _rows(_file("training")["stacks"])]
    return MappingProxyType({item.id: item for item in sorted(found, key=lambda item: item.released)})


@functools.cache
def serve_stacks() -> Mapping[str, ServeStack]:
    """Every serving stack by id, oldest generation first."""
    found = [_read(ServeStack, row, "serving") for row in _rows(_file("serving")["stacks"])]
    return MappingProxyType({item.id: item for item in sorted(found, key=lambda item: item.released)})


def _titles(stacks: Mapping[str, TrainStack] | Mapping[str, ServeStack]) -> Mapping[str, str]:
    return {identity: item.title for identity, item in stacks.items()}


def train_stack(name: str) -> TrainStack:
    """The training stack of an id or of one of its other names, also as ``megatron-lm-2025,moments=bf16``.

    With ``profile=FILE.json`` last, kernels are those of a profile that ``calibrate`` or ``measure`` wrote.

    Raises:
        CatalogError: there is none, with the nearest names.
        InputError: formats that cannot be read, or a profile that is no file of profiles.
    """
    name, profile = _split_profile(name)
    name, comma, formats = name.partition(",")
    found = train_stacks()[resolve("train_stack", name, _titles(train_stacks()))]
    return _with_profile(with_formats(found, formats) if comma else found, profile)


_PROFILE = ",profile="


def _split_profile(name: str) -> tuple[str, str]:
    """The name of a stack, and the file of its kernels where one is given."""
    stack, mark, profile = name.partition(_PROFILE)
    if mark and not (profile.endswith(".json") and Path(profile).is_file()):
        fix = "give the .json that calibrate or measure wrote"
        raise InputError(f"stack: {profile[:80]!r} is no file of a profile", fix=fix)
    return stack, profile


def _with_profile(stack: _Stack, profile: str) -> _Stack:
    """The software with kernels as a user timed them; its id tells the file, so that it can be found again."""
    if not profile:
        return stack
    title = f"{stack.title}; kernels of {Path(profile).stem}"
    return dataclasses.replace(stack, id=f"{stack.id}{_PROFILE}{profile}", title=title, profile=profile)


def default_train_stack(year: int) -> TrainStack:
    """The stack that a run of a year would most likely have used; the first or last one outside the listed years."""
    by_year = {int(key): str(value) for key, value in _file("training")["default_by_year"].items()}
    return train_stack(by_year[min(max(year, min(by_year)), max(by_year))])


def serve_stack(name: str) -> ServeStack:
    """The serving stack of an id or of an engine string such as ``vLLM 0.6.3``.

    With ``,profile=FILE.json`` after it, kernels are those of a profile that ``calibrate`` or ``measure`` wrote.

    Raises:
        CatalogError: there is none, with the nearest names; or the engine is known and left out, with the reason.
        InputError: a profile that is no file of profiles.
    """
    name, profile = _split_profile(name)
    if profile:
        return _with_profile(serve_stack(name), profile)
    identity = find("serve_stack", name, _titles(serve_stacks()))
    return serve_stacks()[identity] if identity else serve_stack_for(name)


def serve_stack_for(engine: str) -> ServeStack:
    """The serving stack that stands for an engine string.

    The engine is found by the patterns of the data file; then the newest generation that is not newer than the version,
    or than the date in the string; without both, the newest.

    Args:
        engine: such as ``TensorRT-LLM 0.17``, ``sglang nightly-dev-20260216`` or ``vLLM (2023)``.

    Raises:
        CatalogError: no engine that the catalog knows, or one that is left out, with the reason.
    """
    text, data = engine.strip().lower(), _file("serving")
    for reading in data.get("exceptions", ()):
        if re.search(str(reading["match"]), text):
            return serve_stacks()[str(reading["stack"])]
    for pattern, reason in data.get("not_modelled", {}).items():
        if str(pattern) in text:
            raise CatalogError(f"engine {engine!r} is not modelled: {reason}", details={"not_modelled": reason})
    families: Mapping[str, list[str]] = data["families"]
    matches = ((key, pattern) for key, patterns in families.items() for pattern in patterns if pattern in text)
    family, pattern = next(matches, ("", ""))
    kin = sorted((item for item in serve_stacks().values() if item.engine == family), key=lambda item: _version(item.version))
    if not kin:
        raise unknown_name("engine", engine, [*serve_stacks(), *families])
    return _generation(kin, text.partition(pattern)[2])


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _generation(kin: list[ServeStack], text: str) -> ServeStack:
    dated = re.search(r"\b(20[12]\d)(?:-?(\d\d))?(?:-?\d\d)?\b", text)
    version = re.search(r"(?<![\d.])v?(\d{1,2}(?:\.\d+)+|\d(?=\.x))", text.replace(dated.group(0), " ") if dated else text)
    if version:
        older = [item for item in kin if _version(item.version) <= _version(version.group(1))]
    elif dated:
        month = f"{dated.group(1)}-{dated.group(2) or '12'}"
        older = [item for item in kin if item.released <= month]
    else:
        older = kin
    return older[-1] if older else kin[0]
