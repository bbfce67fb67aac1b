"""Compile every formula once, so that no user waits for a compiler: ``python -m suanzhang.app.warm``."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

_QUESTION = """
title: warm-up
currency: USD
start: 2023-05
months: 6
market: us-2023-04
chips: {allow: [a100-sxm-80]}
train:
  - {name: small, model: gpt3-6.7b, tokens: 1B}
serve:
  - name: small chat
    model: gpt3-6.7b
    visits_per_day: 1e5
    tokens: {input: 200, output: 100}
    slo: {ttft_p99: 5 s, tpot_p99: 200 ms}
"""


def main() -> None:
    """Run the verbs once on small questions; the compiled formulas stay on disk."""
    from suanzhang.app.plan import plan
    from suanzhang.app.serve import serve
    from suanzhang.app.train import train

    console = Console(stderr=True)
    started = time.perf_counter()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("compile the formulas (once, about two minutes)")
        train("gpt3-6.7b", "1B", "a100-sxm-80:8", layout="tp=2")
        train("mixtral-8x7b", "1B", "h100-sxm-80:64", precision="fp8")
        progress.update(task, description="compile the formulas of serving")
        serve("gpt3-6.7b", "a100-sxm-80", isl=200, osl=100, rate=1.0)
        progress.update(task, description="compile what plans use")
        plan(_QUESTION)
    sys.stderr.write(f"formulas compiled in {time.perf_counter() - started:.0f} s\n")


if __name__ == "__main__":
    main()
