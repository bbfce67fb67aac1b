"""Time from the shell to the help text: what every user waits for at each command."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def run(argv: list[str]) -> dict[str, Any]:
    options = argparse.ArgumentParser(prog="python -m benchmarks start")
    options.add_argument("--runs", type=int, default=7, help="how often to start")
    given = options.parse_args(argv)
    command = [str(Path(sys.executable).with_name("suanzhang")), "--help"]
    walls = []
    for _ in range(given.runs):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        walls.append(time.perf_counter() - began)
    return {
        "command": "suanzhang --help",
        "runs": given.runs,
        "first_s": walls[0],
        "median_s": statistics.median(walls),
        "start_s": min(walls),
    }
