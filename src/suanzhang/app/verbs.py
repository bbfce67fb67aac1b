"""Verbs that take names and question files where their rooms take resolved values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from suanzhang.app.plan import schedule, size_question
from suanzhang.app.question import read_question
from suanzhang.spec.buy import BuyResult
from suanzhang.spec.question import Question

if TYPE_CHECKING:
    from suanzhang.app.calibrate import CalibrationResult


def buy(question: Question | str | Path, *, deep: bool = False, progress: Callable[[str], None] | None = None) -> BuyResult:
    """Schedule purchases and rents for everything that a question asks.

    Args:
        question: a question, or a file or text that holds one.
        deep: solve over many futures instead of as expected.
        progress: called with a line for each step.

    Raises:
        InputError: the question cannot be used.
        Infeasible: no schedule meets the demands; names what binds and the nearest feasible limits.
    """
    asked = question if isinstance(question, Question) else read_question(question)
    tell = progress or (lambda _: None)
    sized = size_question(asked, tell)
    tell("schedule purchases")
    return schedule(sized, deep=deep or asked.deep)


def calibrate(
    paths: Sequence[str | Path], chip: str, stack: str, folder: str | Path | None = None, *, source: str = "own measurement"
) -> CalibrationResult:
    """Fit a profile of a chip and its software to files of kernel timings.

    Args:
        paths: files of timings.
        chip: catalog id or alias of the chip that was timed.
        stack: engine or library with its version.
        folder: where to write the profile; None to write nothing.
        source: where the timings come from.

    Raises:
        InputError: a file cannot be used; nothing is written.
    """
    from suanzhang.app.calibrate import calibrate as fit
    from suanzhang.catalog.chips import chip as find_chip

    return fit(paths, find_chip(chip), stack, Path(folder) if folder else None, source=source)
