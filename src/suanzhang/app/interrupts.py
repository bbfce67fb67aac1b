"""Ctrl-C as an exception, but never where it would be lost or break the process.

Machine code that hands back a NamedTuple runs a few lines of Python for it, and takes for granted that they succeed: an
exception raised there by a signal ends the process with a memory fault. What the compiler calls back while it loads machine
code is Python too, and an exception there is printed and forgotten. Such a Ctrl-C is raised in the caller of both, as soon
as it goes on.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

_FRAGILE = ("namedtuple_", "numba.core.serialize", "llvmlite.")
"""How the names of modules begin whose lines run on behalf of machine code: constructors of NamedTuples, as the standard
library names them, what hands classes to formulas, and what the compiler calls back."""


def _caller_of_machine_code(frame: FrameType | None) -> FrameType | None:
    """The frame that called the machine code on whose behalf a frame runs; None where there is none."""
    caller = None
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith(_FRAGILE):
            caller = frame.f_back
        frame = frame.f_back
    return caller


def _no_trace(frame: FrameType, event: str, argument: Any) -> None:
    del frame, event, argument


def _raise_at(frame: FrameType, event: str, argument: Any) -> None:
    del event, argument
    sys.settrace(None)
    frame.f_trace, frame.f_trace_opcodes = None, False
    raise KeyboardInterrupt


def raise_interrupt(number: int, frame: FrameType | None) -> None:
    """Handler of SIGINT: raise KeyboardInterrupt, in the caller of machine code as soon as that has returned.

    Raises:
        KeyboardInterrupt: always, in the end.
    """
    del number
    caller = _caller_of_machine_code(frame)
    if caller is None:
        raise KeyboardInterrupt
    caller.f_trace, caller.f_trace_opcodes = _raise_at, True
    sys.settrace(_no_trace)
