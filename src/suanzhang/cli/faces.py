"""What all verbs share: one decorator adds --json, --csv and the files, runs the verb, and renders the answer."""

from __future__ import annotations

import functools
import importlib
import inspect
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, get_type_hints

import typer

import suanzhang
from suanzhang.app.interrupts import raise_interrupt
from suanzhang.cli.progress import working
from suanzhang.errors import InputError, nearest_names

_FILES = (".json", ".csv", ".html", ".xlsx", ".txt")


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the Python API: what a verb of the command line comes down to.

    Args:
        verb: function of :mod:`suanzhang`.
        args, named: what it is called with; names without a value are left out.
        doing: what to say while it works.
        progress: whether the function takes a ``progress`` callback.
    """

    verb: str
    args: tuple[Any, ...] = ()
    named: dict[str, Any] = field(default_factory=dict)
    doing: str = "working"
    progress: bool = False

    @property
    def text(self) -> str:
        """The call as Python."""
        inside = [*(repr(str(a) if isinstance(a, Path) else a) for a in self.args)]
        inside += [f"{name}={str(value) if isinstance(value, Path) else value!r}" for name, value in self.given.items()]
        return f"import suanzhang as sz\nsz.{self.verb}({', '.join(inside)})"

    @property
    def given(self) -> dict[str, Any]:
        """The named values that were given; a flag that was turned off counts where it is on by itself."""
        found = {name: value for name, value in self.named.items() if value is not None and value != ""}
        if False in found.values():
            usual = inspect.signature(getattr(suanzhang, self.verb)).parameters
            on = {name for name, parameter in usual.items() if parameter.default is True}
            found = {name: value for name, value in found.items() if value is not False or name in on}
        return found

    def run(self) -> Any:
        """Call it, with progress on stderr."""
        function = getattr(suanzhang, self.verb)
        with working(self.doing) as progress:
            further = {"progress": progress} if self.progress else {}
            return function(*self.args, **self.given, **further)


Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print the rows of the answer as CSV.")]
Out = Annotated[Path | None, typer.Option("--out", help="Write the answer to a file; .json, .csv, .html, .xlsx or .txt.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write the answer as one page.")]
Xlsx = Annotated[Path | None, typer.Option("--xlsx", help="Write the answer as a workbook.")]
Details = Annotated[bool, typer.Option("--details", help="Print what the short report leaves out.")]

_SHARED = {"json": Json, "csv": Csv, "out": Out, "html": Html, "xlsx": Xlsx, "details": Details}


def faced(verb: Callable[..., Any]) -> Callable[..., None]:
    """Give a verb the shared options. It returns a :class:`Call`, or None when it has printed what was asked."""
    hints = get_type_hints(verb, include_extras=True)
    own = [p.replace(annotation=hints[p.name]) for p in inspect.signature(verb).parameters.values()]
    shared = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None if name in ("out", "html", "xlsx") else False, annotation=kind
        )
        for name, kind in _SHARED.items()
    ]

    @functools.wraps(verb)
    def run(**values: Any) -> None:
        options = {name: values.pop(name) for name in _SHARED}
        _check_files(options)
        call = verb(**values)
        if call is not None:
            result = call.run()
            with _once_more():
                _render(call, result, options)
            if getattr(getattr(result, "buy", result), "interrupted", False):
                raise FirstPlanOnly
            if getattr(result, "identical", True) is False:
                raise NumbersMoved

    run.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
    run.__annotations__ = {**{p.name: p.annotation for p in own}, **_SHARED, "return": None}
    return run


class FirstPlanOnly(Exception):
    """An answer was given, but the search was ended before it had a plan by itself."""


class NumbersMoved(Exception):
    """An answer was repeated and its numbers are not those that it held."""


@contextmanager
def _once_more() -> Iterator[None]:
    """Let the first Ctrl-C pass while an answer is written, so that a plan that was found is not lost; the second one ends."""
    asked = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise_interrupt(number, frame)
        asked = True

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _check_files(options: dict[str, Any]) -> None:
    """Refuse a file that cannot be written before the work is done."""
    if options["json"] and options["csv"]:
        raise InputError("--json and --csv together", fix="give one of them")
    out = options["out"]
    if out is not None and out.suffix.lower() not in _FILES:
        raise InputError(f"--out {out}: cannot tell the format", fix=f"end the name in {', '.join(_FILES)}")
    for name in ("out", "html", "xlsx"):
        path: Path | None = options[name]
        if path is not None and (path.is_dir() or not path.resolve().parent.is_dir()):
            what = "is a directory" if path.is_dir() else f"there is no folder {path.parent}"
            raise InputError(f"--{name} {path}: {what}", fix="give the path of a file in a folder that exists")


def _render(call: Call, result: Any, options: dict[str, Any]) -> None:
    command = shlex.join(["suanzhang", *sys.argv[1:]])
    for name in ("out", "html", "xlsx"):
        path = options[name]
        if path is not None:
            suffix = path.suffix.lower() if name == "out" else f".{name}"
            with working(f"writing {path}"):
                content = rendered(suffix, result, command, call.text)
                _write(path, content)
            sys.stderr.write(f"wrote {path}\n")
    if options["json"]:
        from suanzhang.report.jsonable import to_text

        for warning in getattr(result, "warnings", ()):
            sys.stderr.write(f"warning: {' '.join(str(warning).split())}\n")
        sys.stdout.write(to_text(result) + "\n")
    elif options["csv"]:
        sys.stdout.write(str(rendered(".csv", result, command, call.text)))
    else:
        from suanzhang.report.text import print_report
        from suanzhang.report.views import report_of

        print_report(report_of(result, command=command, call=call.text), details=options["details"])


def rendered(suffix: str, result: Any, command: str, call: str) -> str | bytes:
    """An answer in the format that a file name ends in."""
    from suanzhang.report.views import report_of

    if suffix == ".json":
        return str(importlib.import_module("suanzhang.report.jsonable").to_text(result)) + "\n"
    report = report_of(result, command=command, call=call)
    if suffix == ".csv":
        return str(importlib.import_module("suanzhang.report.csv").report_csv(report))
    if suffix == ".html":
        return str(importlib.import_module("suanzhang.report.html").page(report, result))
    if suffix == ".xlsx":
        return bytes(importlib.import_module("suanzhang.report.xlsx").workbook(report))
    import io

    text = io.StringIO()
    importlib.import_module("suanzhang.report.text").print_report(report, file=text, details=True)
    return text.getvalue()


def _write(path: Path, content: str | bytes) -> None:
    try:
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror})", fix="give a path that can be written") from None


def choose(what: str, given: str, known: tuple[str, ...]) -> str:
    """The one of the known words that was meant, or an error naming the nearest."""
    if given in known:
        return given
    near = nearest_names(given, known)
    raise InputError(f"unknown {what} {given!r}", fix=f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}")
