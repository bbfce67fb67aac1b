"""Ctrl-C as an exception, but never inside a compiled formula.

Machine code that hands back a NamedTuple runs a few lines of Python for it, and takes for granted that they succeed: an
exception raised there by a signal ends the process with a memory fault. Such a Ctrl-C is raised in the caller of the
formula, at its next line.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

_PACKER = "namedtuple_"
"""How the standard library begins the module name of a NamedTuple's constructor."""
_UNPACKER = "numba.core.serialize"


def _caller_of_machine_code(frame: FrameType | None) -> FrameType | None:
    """The frame that called the compiled formula on whose behalf a frame runs; None where there is no such formula."""
    caller = None
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module == _UNPACKER or module.startswith(_PACKER):
            caller = frame.f_back
        frame = frame.f_back
    return caller


def _no_trace(frame: FrameType, event: str, argument: Any) -> None:
    del frame, event, argument


def _raise_at(frame: FrameType, event: str, argument: Any) -> None:
    del event, argument
    sys.settrace(None)
    frame.f_trace = None
    raise KeyboardInterrupt


def raise_interrupt(number: int, frame: FrameType | None) -> None:
    """Handler of SIGINT: raise KeyboardInterrupt, at the next line of the caller where a compiled formula is returning.

    Raises:
        KeyboardInterrupt: always, in the end.
    """
    del number
    caller = _caller_of_machine_code(frame)
    if caller is None:
        raise KeyboardInterrupt
    caller.f_trace = _raise_at
    sys.settrace(_no_trace)
