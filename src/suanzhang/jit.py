"""One way to compile a formula: plain Python for reading and `explain`, machine code for the hot loops.

A function decorated with :func:`formula` is an ordinary scalar function. Called from Python it runs as
machine code; ``f.py_func`` is the same function uncompiled. Machine code is kept on disk in a folder named
after a hash of the source and of all that it imports, since Numba itself does not notice a changed callee
in another file.
"""

from __future__ import annotations

import functools
import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

_PACKAGE = Path(__file__).resolve().parent
_IMPORT = re.compile(r"^(?:from|import)[ ]+(suanzhang[\w.]*)(?:[ ]+import[ ]+(?:\(([^)]*)\)|([^\n]*)))?", re.MULTILINE)
_KEPT_CACHES = 6
_F = TypeVar("_F", bound=Callable[..., Any])


@functools.cache
def _text(path: Path) -> str:
    """A source as it stood when this process first looked: an edit beside a running process must not name its machine code."""
    return path.read_text(encoding="utf-8")


@functools.cache
def _imports(path: Path) -> tuple[Path, ...]:
    """Sources of this package that one source imports, by its import lines at the left margin."""
    found: list[Path] = []
    for module, several, one in _IMPORT.findall(_text(path)):
        names = [name.split()[0] for name in (several or one).replace("\n", " ").split(",") if name.split()]
        base = _PACKAGE.joinpath(*module.split(".")[1:])
        inside = [base / f"{name}.py" for name in names] + [base / name / "__init__.py" for name in names]
        found += [target for target in (base.with_suffix(".py"), base / "__init__.py", *inside) if target.is_file()]
    return tuple(found)


@functools.cache
def sources_hash(path: Path) -> str:
    """Hash over the text of a source and of all that it imports, directly or not: 16 hexadecimal digits."""
    reached, open_ends = {path}, [path]
    while open_ends:
        fresh = set(_imports(open_ends.pop())) - reached
        reached |= fresh
        open_ends += fresh
    digest = hashlib.sha256()
    for source in sorted(reached):
        digest.update(source.as_posix().encode())
        digest.update(_text(source).encode())
    digest.update(numba.__version__.encode())
    return digest.hexdigest()[:16]


@functools.cache
def cache_dir(path: Path) -> Path:
    """Folder that holds the compiled formulas of one source as it stands; its oldest siblings are removed."""
    caches = _PACKAGE / "__pycache__" / "formulas" / ".".join(path.relative_to(_PACKAGE).with_suffix("").parts)
    if caches.is_dir():
        oldest_first = sorted((path for path in caches.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
        for stale in oldest_first[:-_KEPT_CACHES]:
            shutil.rmtree(stale, ignore_errors=True)
    return caches / sources_hash(path)


def formula(function: _F) -> _F:
    """Compile a scalar pure function (floats, arrays and NamedTuples in, the same out), cached on disk."""
    return _compiled(function)


def event_loop(function: _F) -> _F:
    """Compile a loop that works on the arrays of its caller and makes none, cached on disk.

    As :func:`formula`, but without reference counts: a loop that takes arrays out of a NamedTuple at each event
    would spend nine tenths of its time on counting them.
    """
    return _compiled(function, _nrt=False)


def event(function: _F) -> _F:
    """A part of an :func:`event_loop`, always inlined: its arguments are too many to hand over in a call."""
    return cast(_F, numba.njit(forceinline=True, error_model="numpy", _nrt=False)(function))  # type: ignore[call-overload]


def _compiled(function: _F, **options: bool) -> _F:
    source = Path(function.__code__.co_filename).resolve()
    options["cache"] = source.is_relative_to(_PACKAGE)
    kept = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    if options["cache"]:
        numba.config.CACHE_DIR = str(cache_dir(source))  # type: ignore[attr-defined]
    try:
        compiled = numba.njit(nogil=True, error_model="numpy", **options)(function)  # type: ignore[call-overload]
    finally:
        numba.config.CACHE_DIR = kept  # type: ignore[attr-defined]
    return cast(_F, compiled)
