"""One way to compile a formula: plain Python for reading and `explain`, machine code for the hot loops.

A function decorated with :func:`formula` is an ordinary scalar function. Called from Python it runs as
machine code; ``f.py_func`` is the same function uncompiled. Machine code is kept on disk in a folder named
after a hash of every source that a formula can reach, since Numba itself does not notice a changed callee
in another file.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

_PACKAGE = Path(__file__).resolve().parent
_REACHABLE = ("*.py", "spec/**/*.py", "perf/**/*.py", "sim/**/*.py", "search/**/*.py", "money/**/*.py")
"""Formulas call formulas of these rooms and read constants of the ground floor, and nothing else."""
_KEPT_CACHES = 6
_F = TypeVar("_F", bound=Callable[..., Any])


@functools.cache
def sources_hash(package: Path = _PACKAGE) -> str:
    """Hash over the text of every source that a formula can reach, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in _REACHABLE for path in package.glob(pattern)):
        digest.update(path.relative_to(package).as_posix().encode())
        digest.update(path.read_bytes())
    digest.update(numba.__version__.encode())
    return digest.hexdigest()[:16]


@functools.cache
def cache_dir() -> Path:
    """Folder that holds the compiled formulas of exactly these sources; the oldest of other sources are removed."""
    caches = _PACKAGE / "__pycache__" / "formulas"
    if caches.is_dir():
        oldest_first = sorted((path for path in caches.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
        for stale in oldest_first[:-_KEPT_CACHES]:
            shutil.rmtree(stale, ignore_errors=True)
    return caches / sources_hash()


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
    kept = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    numba.config.CACHE_DIR = str(cache_dir())  # type: ignore[attr-defined]
    try:
        compiled = numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function)  # type: ignore[call-overload]
    finally:
        numba.config.CACHE_DIR = kept  # type: ignore[attr-defined]
    return cast(_F, compiled)
