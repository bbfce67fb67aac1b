"""Ctrl-C while compiled formulas hand back their results: an exception each time, never a memory fault."""

from __future__ import annotations

import subprocess
import sys

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
