"""Watch a solve from outside: the clock, the first Ctrl-C, and a line of progress."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from suanzhang.app.interrupts import raise_interrupt
from suanzhang.errors import Interrupted, SolverError
from suanzhang.money.procurement.watch import Watch

_NO_PLAN = 1e25
_PATIENCE_S = 10.0
"""How long a search without a plan goes on for a first one after Ctrl-C."""


@dataclass(slots=True)
class Stop:
    """Whether the user has asked for the best plan so far, and whether there was one by then."""

    asked: bool = False
    early: bool = False
    planned: bool = False


@contextmanager
def watched(progress: Callable[[str], None] | None = None) -> Iterator[tuple[Watch, Stop]]:
    """A watch for the solves of a block; the first Ctrl-C asks for the best plan so far, a second one ends the program.

    A search that has no plan yet goes on for a few seconds until it has one. Signals can be caught in the main thread alone;
    elsewhere the watch only has a clock and progress.

    Raises:
        Interrupted: the user ended a search that had no plan.
    """
    stop = Stop()
    tell = progress or (lambda _: None)

    def report(cost: float, bound: float) -> None:
        planned, bounded = math.isfinite(cost) and abs(cost) < _NO_PLAN, math.isfinite(bound) and abs(bound) < _NO_PLAN
        stop.planned = stop.planned or planned
        gap = (cost - bound) / max(abs(cost), 1e-9) if planned and bounded else math.inf
        if planned:
            known = f", bound {bound:,.0f}" if bounded else ""
            tell(f"schedule purchases: plan at {cost:,.0f}{known}" + (f", gap {gap:.2%}" if 0.0 <= gap < 1.0 else ""))
        elif bounded:
            tell(f"schedule purchases: no plan yet, none costs less than {bound:,.0f}")

    def interrupt(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            raise_interrupt(number, frame)
            return
        stop.asked, stop.early = True, not stop.planned
        line = "stopping at the first plan that is found" if stop.early else "stopping at the best plan so far"
        line += "; press again to end at once"
        tell(line)
        if not sys.stderr.isatty():
            sys.stderr.write(line + "\n")

    watch = Watch(time.perf_counter, lambda: stop.asked, report, _PATIENCE_S)
    if threading.current_thread() is not threading.main_thread():
        yield watch, stop
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield watch, stop
    except SolverError as error:
        if stop.early and not stop.planned:
            raise Interrupted("interrupted before there was a plan", fix="let it run longer, or ask for less") from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)
