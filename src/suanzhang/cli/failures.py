"""From an error to an exit code, one line on stderr, and one JSON object on stdout when that is asked for."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from suanzhang.errors import Infeasible, InputError, PlannerError
from suanzhang.units import format_figure

_PACKAGE = Path(__file__).resolve().parents[1]
DEBUG = "SUANZHANG_DEBUG"
EXIT_INTERRUPTED = 130
EXIT_MOVED = 5
"""Of ``replay``: the answer came again, and not with the same numbers."""
_MOST_NAMED = 4
_UNITS = {"_s": "s", "_w": "W", "chips": "chips", "_share": "fraction"}


def one_line(error: PlannerError) -> str:
    """The error as one line: what, what binds, the nearest feasible point, what to do."""
    kind = "infeasible" if isinstance(error, Infeasible) else "error"
    parts = [f"{kind}: {error.message}"]
    if isinstance(error, Infeasible):
        if error.binding:
            more = len(error.binding) - _MOST_NAMED
            rest = (f"and {more} more, all with --json",) if more > 0 else ()
            parts.append("binding: " + ", ".join((*error.binding[:_MOST_NAMED], *rest)))
        if error.nearest:
            parts.append("nearest: " + ", ".join(f"{key} = {_figure(key, value)}" for key, value in error.nearest.items()))
    if error.fix:
        parts.append(error.fix)
    return " ".join("; ".join(parts).split())


def _figure(key: str, value: Any) -> str:
    """A nearest feasible value in words a reader knows; its unit is what its key ends with."""
    if not isinstance(value, float):
        return str(value)
    unit = next((unit for ending, unit in _UNITS.items() if key.endswith(ending)), "")
    return format_figure(value, unit).strip()


def body_text(error: PlannerError) -> str:
    """The one JSON error body that every face prints."""
    return json.dumps(error.body(), indent=2, ensure_ascii=False, default=str)


def report_failure(error: PlannerError, *, as_json: bool) -> int:
    """Say what went wrong and return the exit code."""
    if as_json:
        sys.stdout.write(body_text(error) + "\n")
        sys.stdout.flush()
    sys.stderr.write(one_line(error) + "\n")
    if os.environ.get(DEBUG):
        traceback.print_exception(error, file=sys.stderr)
    return error.exit_code


def unexpected(error: BaseException) -> PlannerError:
    """An error that nobody foresaw, as one of ours; the trace is a setting away."""
    named = getattr(error, "filename", None)
    if isinstance(error, OSError) and isinstance(named, str) and not Path(named).is_relative_to(_PACKAGE):
        return InputError(f"{named}: {error.strerror}", fix="check the path and its permissions")
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and missing.startswith("suanzhang."):
        return PlannerError(f"this version has no {missing.removeprefix('suanzhang.')}", fix="update suanzhang")
    text = " ".join(str(error).split())[:300]
    known = isinstance(error, PlannerError)
    return PlannerError(
        text if known else f"internal error, {type(error).__name__}: {text}",
        fix=f"run it again with {DEBUG}=1 for the trace, and report it",
    )
