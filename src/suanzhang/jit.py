"""One way to compile a formula: plain Python for reading and `explain`, machine code for the hot loops.

A function decorated with :func:`formula` is an ordinary scalar function. Called from Python it runs as
machine code; ``f.py_func`` is the same function uncompiled. Machine code is kept on disk in a folder named
after a hash of all package sources, since Numba itself does not notice a changed callee in another file.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

_PACKAGE = Path(__file__).resolve().parent
_F = TypeVar("_F", bound=Callable[..., Any])


@functools.cache
def sources_hash() -> str:
    """Hash over the text of every Python file of the package, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(_PACKAGE).as_posix().encode())
        digest.update(path.read_bytes())
    digest.update(numba.__version__.encode())
    return digest.hexdigest()[:16]


def cache_dir() -> Path:
    """Folder that holds the compiled formulas of exactly these sources."""
    return _PACKAGE / "__pycache__" / "formulas" / sources_hash()


def formula(function: _F) -> _F:
    """Compile a scalar pure function (floats, arrays and NamedTuples in, the same out), cached on disk."""
    return _compile(function, fastmath=False)


def _compile(function: _F, **options: Any) -> _F:
    kept = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    numba.config.CACHE_DIR = str(cache_dir())  # type: ignore[attr-defined]
    try:
        compiled = numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function)
    finally:
        numba.config.CACHE_DIR = kept  # type: ignore[attr-defined]
    return cast(_F, compiled)
