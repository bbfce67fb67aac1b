"""The command line."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType


def _quiet(number: int, frame: FrameType | None) -> None:
    """End with one line while the command is still being loaded: there is no work yet that could be told apart."""
    os.write(2, b"interrupted\n")
    os._exit(130)


if Path(sys.argv[0] if sys.argv else "").name.removesuffix(".exe") == "suanzhang":
    signal.signal(signal.SIGINT, _quiet)
