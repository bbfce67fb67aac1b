"""Progress on stderr for anything that takes over a second; nothing where stderr is no terminal."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_AFTER_S = 1.0


class Working:
    """A line that appears after a second, and a bar once the work can say how far it is."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lock = threading.Lock()
        self._bar: Any = None
        self._task: Any = None
        self._state: tuple[float, float | None] = (0.0, None)
        self._over = False
        self._timer = threading.Timer(_AFTER_S, self._show)
        self._timer.daemon = True

    def __call__(self, done: float | str, total: float | None = None) -> None:
        """Say how much is done, or in words what is being done."""
        with self._lock:
            if isinstance(done, str):
                self._text = done
                if self._bar is not None:
                    self._bar.update(self._task, description=done)
                return
            self._state = (float(done), float(total) if total else None)
            if self._bar is not None:
                self._bar.update(self._task, completed=self._state[0], total=self._state[1])

    def start(self) -> None:
        """Begin to wait for the second to pass."""
        if sys.stderr.isatty():
            self._timer.start()

    def stop(self) -> None:
        """Take the line away."""
        with self._lock:
            self._over = True
            self._timer.cancel()
            if self._bar is not None:
                self._bar.stop()

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        with self._lock:
            if self._over:
                return
            self._bar = Progress(*columns, console=Console(file=sys.stderr), transient=True)
            self._task = self._bar.add_task(self._text, completed=self._state[0], total=self._state[1])
            self._bar.start()


@contextmanager
def working(text: str) -> Iterator[Working]:
    """Show progress around a block; the value is called with (done, total)."""
    shown = Working(text)
    shown.start()
    try:
        yield shown
    finally:
        shown.stop()
