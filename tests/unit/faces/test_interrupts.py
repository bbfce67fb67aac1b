"""Ctrl-C while compiled formulas hand back their results: an exception each time, never a memory fault."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from suanzhang.app.interrupts import raise_interrupt

_PRESSED = """
import signal
from typing import NamedTuple
from suanzhang.app.interrupts import raise_interrupt
from suanzhang.jit import formula

class Inner(NamedTuple):
    a: float
    b: float

class Outer(NamedTuple):
    x: Inner
    y: Inner

@formula
def pack(p: Inner) -> Outer:
    return Outer(p, Inner(p.b, p.a))

given, caught = Inner(1.0, 2.0), 0
pack(given)
for number in (signal.SIGALRM, signal.SIGINT):
    signal.signal(number, raise_interrupt)
while caught < 3000:
    try:
        signal.setitimer(signal.ITIMER_REAL, 2e-4)
        while True:
            assert pack(given).y.a == 2.0
    except KeyboardInterrupt:
        caught += 1
print(caught)
"""


def test_ctrl_c_never_breaks_a_compiled_formula() -> None:
    run = subprocess.run([sys.executable, "-c", _PRESSED], capture_output=True, text=True, timeout=120, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, "3000"), run.stderr[-500:]


@pytest.mark.parametrize("module", ["namedtuple_Args", "numba.core.serialize", "llvmlite.binding.executionengine"])
def test_what_machine_code_calls_is_done_before_the_interrupt(module: str) -> None:
    done: list[str] = []
    room = {"__name__": module, "press": lambda: raise_interrupt(signal.SIGINT, sys._getframe(1)), "done": done}
    exec("def hook():\n    press()\n    done.append('hook')\n", room)
    with pytest.raises(KeyboardInterrupt):
        done.append(str(room["hook"]())) or done.append("caller")  # type: ignore[operator]
    assert done[:1] == ["hook"] and "caller" not in done
    assert sys.gettrace() is None


def test_elsewhere_the_interrupt_comes_at_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        raise_interrupt(signal.SIGINT, sys._getframe())
