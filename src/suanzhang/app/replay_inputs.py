"""What a verb was called with, kept in its result so that it can be repeated: files with their content, values by type."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import inspect
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from suanzhang.app.replay_entries import entry_prints
from suanzhang.errors import InputError
from suanzhang.spec.paths import from_home
from suanzhang.spec.trust_plain import plain, rebuilt

_PACKAGE = Path(__file__).resolve().parents[1]
_PARTS: Mapping[str, tuple[str, ...]] = {
    "program": (
        "*.py",
        "spec/*.py",
        "perf/**/*.py",
        "sim/**/*.py",
        "search/**/*.py",
        "money/**/*.py",
        "app/*.py",
        "app/data/*",
    ),
    "catalog": ("catalog/*.py", "catalog/data/**/*", "money/data/*"),
    "evidence": ("evidence/data/coefficients/*", "evidence/data/profiles/*", "evidence/data/*.yaml"),
}
_TYPES: Mapping[str, str] = {
    "Question": "suanzhang.spec.question",
    "TrainLayout": "suanzhang.spec.layout",
    "ServeLayout": "suanzhang.spec.layout",
    "ModelSpec": "suanzhang.spec.model",
    "ChipSpec": "suanzhang.spec.chip",
    "ServeStack": "suanzhang.spec.stack",
}
"""Types that a verb may be given, and where they live."""
_FIX = "give a file that --json or --out wrote"
_LARGEST_CONTENT_BYTES = 4_000_000
_NOT_KEPT = frozenset(("progress", "folder", "focus", "keep", "requests_file"))
"""Arguments that change no answer: who is told, and where copies of it are written."""
_FILES = frozenset(
    (
        "question",
        "path",
        "model",
        "result",
        "before",
        "after",
        "subject",
        "claims",
        "truth",
        "offers",
        "have",
        "actuals",
        "file",
        "runs",
        "calibration",
        "checks",
    )
)
"""Arguments that may name a file by a plain text."""


@functools.cache
def fingerprints() -> dict[str, str]:
    """Short hashes of what moves an answer: the program, the catalog and the evidence that came with it."""
    found = {}
    for part, patterns in _PARTS.items():
        digest = hashlib.sha256()
        for path in sorted({path for pattern in patterns for path in _PACKAGE.glob(pattern) if path.is_file()}):
            if path.suffix != ".pyc":
                digest.update(path.relative_to(_PACKAGE).as_posix().encode())
                digest.update(path.read_bytes())
        found[part] = digest.hexdigest()[:12]
    return found


def recorded(verb: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with what it was called with in the header of its result.

    Args:
        verb: its public name.
        function: gives a result; one without a ``header`` (such as a fitted profile) is left as it is.
    """

    @functools.wraps(function)
    def run(*args: Any, **named: Any) -> Any:
        inputs = inputs_of(function, *args, **named)
        result = function(*args, **named)
        if not hasattr(result, "header"):
            return result
        prints = {**fingerprints(), **entry_prints(result, inputs)}
        header = dataclasses.replace(result.header, verb=verb, inputs=inputs, fingerprints=prints)
        return dataclasses.replace(result, header=header)

    return run


def inputs_of(function: Callable[..., Any], *args: Any, **named: Any) -> dict[str, Any]:
    """Arguments of a call by name, as plain values; those that equal their default are left out."""
    signature = inspect.signature(function)
    try:
        bound = signature.bind(*args, **named)
    except TypeError:
        return {}
    given: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        further = signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        given |= value if further else {name: value}
    kept = {}
    for name, value in given.items():
        parameter = signature.parameters.get(name)
        if name not in _NOT_KEPT and (parameter is None or value != parameter.default):
            kept[name] = _kept(name, value)
    return kept


def _kept(name: str, value: Any) -> Any:
    if type(value).__name__ in _TYPES:
        return {"type": type(value).__name__, "fields": plain(value)}
    if name == "trace":
        return _file(Path(str(value)), content=False)
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, Path) for item in value):
        return [_file(item, content=True) for item in value]
    is_file = isinstance(value, Path) or (name in _FILES and isinstance(value, str) and _is_path(value))
    if is_file:
        return _file(Path(value), content=True)
    return plain(value)


def _is_path(text: str) -> bool:
    if "\n" in text or text.lstrip().startswith("{") or len(text) >= 4096:
        return False
    try:
        return from_home(text).is_file()
    except OSError:  # a name longer than any file has
        return False


def _file(path: Path, *, content: bool) -> dict[str, Any]:
    if not from_home(path).is_file():
        return {"file": str(path)}
    try:
        raw = from_home(path).read_bytes()
    except OSError:
        return {"file": str(path)}
    held: dict[str, Any] = {"file": path.name, "sha256": hashlib.sha256(raw).hexdigest()}
    if not content or len(raw) > _LARGEST_CONTENT_BYTES:
        return {**held, "file": str(path)}
    try:
        return {**held, "content": raw.decode("utf-8")}
    except UnicodeDecodeError:
        return {**held, "file": str(path)}


@contextmanager
def given_back(inputs: Mapping[str, Any], where: str) -> Iterator[dict[str, Any]]:
    """The arguments of a call from what was kept of them; files lie in a folder of their own while it lasts.

    Raises:
        InputError: a kept value is of an unknown type, or a file that was not kept is gone or has changed.
    """
    with tempfile.TemporaryDirectory(prefix="suanzhang-") as folder:
        yield {name: _argument(name, value, Path(folder), where) for name, value in inputs.items()}


def _argument(name: str, value: Any, folder: Path, where: str) -> Any:
    if isinstance(value, list):
        return [_argument(f"{name}-{number}", item, folder, where) for number, item in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    if "type" in value and "fields" in value:
        home = _TYPES.get(str(value["type"]))
        if home is None:
            raise InputError(f"{where}: inputs.{name} has the unknown type {value['type']!r}", fix=_FIX)
        return rebuilt(getattr(importlib.import_module(home), value["type"]), value["fields"], f"{where}: inputs.{name}")
    if "content" in value:
        below = re.sub(r"[^A-Za-z0-9_-]", "_", name)  # a result may come from anywhere
        path = folder / below / (Path(str(value.get("file", below))).name.lstrip(".") or below)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(value["content"]), encoding="utf-8")
        return str(path)
    if "file" in value:
        path = from_home(str(value["file"]))
        if not path.is_file():
            raise InputError(f"{where}: the {name} {path} is gone", fix="put the file back; its content was not kept")
        if value.get("sha256") and hashlib.sha256(path.read_bytes()).hexdigest() != value["sha256"]:
            raise InputError(f"{where}: the {name} {path} has changed since", fix="put the file back as it was")
        return str(path)
    return dict(value)


def answering_verb(body: Mapping[str, Any]) -> str:
    """The verb whose answer a result is: that of a question file answers as the verb that it asks."""
    verb = str(body["verb"]).removesuffix("_question")
    return "train_mixed" if verb == "train" and "apart_tokens_per_s" in body else verb


def read_result(source: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """The body of a result: of a file that ``--json`` wrote, or as it is.

    Raises:
        InputError: no such file, no JSON object, or an object that no verb wrote.
    """
    if isinstance(source, Mapping):
        return _checked(dict(source), "result")
    path = Path(source)
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", fix=_FIX) from None
    except (ValueError, RecursionError):
        raise InputError(f"{path}: is no JSON", fix=_FIX) from None
    return _checked(body, str(path))


def _checked(body: Any, where: str) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise InputError(f"{where}: holds no JSON object", fix=_FIX)
    if "error" in body and "version" not in body:
        raise InputError(f"{where}: holds an error, not a result", fix="repeat the command that wrote it")
    missing = [key for key in ("version", "catalog_date", "seed") if key not in body]
    if missing:
        raise InputError(f"{where}: no result of suanzhang (lacks {', '.join(missing)})", fix=_FIX)
    for key in SHADOWED:
        if f"header_{key}" in body:
            body = {**body, key: body[f"header_{key}"], f"own_{key}": body[key]}
            body.pop(f"header_{key}")
    return {**body, "verb": body.get("verb") or _verb(body)}


SHADOWED = ("verb", "inputs")
"""Keys of the header that a result about another result has too; read, its own are called ``own_verb`` and the like."""
_MARKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("train", ("step_s", "terms", "days")),
    ("serve", ("ttft_s", "replica", "engine")),
    ("plan", ("train", "serve", "buy", "costs")),
    ("buy", ("schedule", "lines", "cost")),
    ("audit", ("claims", "document")),
)


def _verb(body: Mapping[str, Any]) -> str:
    return next((verb for verb, keys in _MARKS if all(key in body for key in keys)), "")
