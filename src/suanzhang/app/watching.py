"""Watch a solve from outside: the clock, the first Ctrl-C, and a line of progress."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from suanzhang.money.procurement.watch import Watch


@dataclass(slots=True)
class Stop:
    """Whether the user has asked for the best plan so far."""

    asked: bool = False


@contextmanager
def watched(progress: Callable[[str], None] | None = None) -> Iterator[tuple[Watch, Stop]]:
    """A watch for the solves of a block; the first Ctrl-C asks for the best plan so far, a second one ends the program.

    Signals can be caught in the main thread alone; elsewhere the watch only has a clock and progress.
    """
    stop = Stop()
    tell = progress or (lambda _: None)

    def report(cost: float, bound: float) -> None:
        if math.isfinite(cost) and abs(cost) < 1e25:
            gap = abs(cost - bound) / max(abs(cost), 1e-9) if math.isfinite(bound) else math.inf
            known = f", at most {gap:.2%} above the best there can be" if gap < 1.0 else ""
            tell(f"schedule purchases: plan at {cost:,.0f}{known}")

    def interrupt(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True
        tell("stopping at the best plan so far; press again to end at once")

    watch = Watch(time.perf_counter, lambda: stop.asked, report)
    if threading.current_thread() is not threading.main_thread():
        yield watch, stop
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield watch, stop
    finally:
        signal.signal(signal.SIGINT, before)
