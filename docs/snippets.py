"""The snippets of the pages: find them, run them, compare them with what the page says, write them anew.

A ``console`` block holds lines ``$ command`` and what they print. A ``python`` block with ``>>>`` prompts is a session.
In a recorded output

- a line ``...`` stands for any lines, and ``...`` inside a line for any text;
- a number may differ by a twentieth from the one on the page, so that a page holds on another machine;
- runs of blanks and the lengths of bars do not count.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import doctest
import functools
import io
import os
import re
import shlex
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TOLERANCE = 0.05
COLUMNS = "110"
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)
_NUMBER = re.compile(r"(?<![A-Za-z0-9_.-])-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?(?![A-Za-z0-9_]|[.-]\d)")
_BARS = re.compile(r"[▏▎▍▌▋▊▉█▓▒░▞▤▥]+")
_PROMPT = "$ "


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page."""

    page: Path
    number: int
    kind: str
    body: str
    start: int

    @property
    def name(self) -> str:
        """Page and position, for reports."""
        return f"{self.page.relative_to(ROOT)}#{self.number}"


def pages() -> list[Path]:
    """Every page: the two READMEs, CONTRIBUTING and all of docs/."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, kind: str) -> list[Block]:
    """The fenced blocks of one kind on a page."""
    text = page.read_text(encoding="utf-8")
    found = enumerate(_FENCE.finditer(text))
    return [Block(page, number, kind, match.group(2), match.start(2)) for number, match in found if match.group(1) == kind]


def commands(body: str) -> list[tuple[str, list[str]]]:
    """Commands of a console block with the lines they print."""
    pairs: list[tuple[str, list[str]]] = []
    for line in body.splitlines():
        if line.startswith(_PROMPT):
            pairs.append((line.removeprefix(_PROMPT), []))
        elif pairs:
            pairs[-1][1].append(line)
    return pairs


def run_command(command: str) -> tuple[int, list[str]]:
    """Exit code and lines of a command run in the repository root; a plain `suanzhang` command runs in this process."""
    set_terminal()
    words = shlex.split(command)
    if words[0] == "suanzhang" and not set(command) & set("|;&<>$`*"):
        code, text = _in_process(words[1:])
    else:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=ROOT, env={**os.environ, "PATH": path}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=600, check=False,
        )  # fmt: skip
        code, text = done.returncode, done.stdout
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    return code, lines


outcome = functools.cache(run_command)
"""A command's exit code and lines, run once for all who ask."""


def set_terminal() -> None:
    """The terminal that all pages are recorded on."""
    os.environ.update(COLUMNS=COLUMNS, NO_COLOR="1", PYTHONIOENCODING="utf-8")


def _in_process(arguments: list[str]) -> tuple[int, str]:
    from suanzhang.cli.main import run

    out, kept = io.StringIO(), (sys.argv, Path.cwd())
    sys.argv = ["suanzhang", *arguments]
    os.chdir(ROOT)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = run(arguments)
    finally:
        sys.argv = kept[0]
        os.chdir(kept[1])
    return code, out.getvalue()


# ---------------------------------------------------------------------------------------------------- comparison


def same_line(expected: str, actual: str) -> bool:
    """Whether a line prints what the page says, by the rules of this module."""
    expected, actual = _normal(expected), _normal(actual)
    if expected == actual:
        return True
    parts = [re.split(_NUMBER, piece) for piece in expected.split("...")]
    values = [_NUMBER.findall(piece) for piece in expected.split("...")]
    pattern = r".*?".join(r"(-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?)".join(map(re.escape, part)) for part in parts)
    found = re.fullmatch(pattern, actual)
    wanted = [value for piece in values for value in piece]
    return found is not None and all(_close(w, g) for w, g in zip(wanted, found.groups(), strict=True))


def _normal(line: str) -> str:
    return re.sub(r"\s+", " ", _BARS.sub("█", line)).strip()


def _close(wanted: str, given: str) -> bool:
    a, b = (float(text.replace(",", "")) for text in (wanted, given))
    return abs(a - b) <= TOLERANCE * max(abs(a), abs(b))


def segments(expected: list[str]) -> list[list[str]]:
    """The stretches of recorded lines between the ``...`` lines; an empty one where such a line begins or ends it."""
    found: list[list[str]] = [[]]
    for line in expected:
        if line.strip() == "...":
            found.append([])
        else:
            found[-1].append(line)
    return found


def matches(expected: list[str], actual: list[str]) -> bool:
    """Whether an output is what the page says."""
    parts = segments(expected)
    if len(parts) == 1:
        return len(parts[0]) == len(actual) and _at(parts[0], actual, 0)
    if not _at(parts[0], actual, 0) or not _at(parts[-1], actual, len(actual) - len(parts[-1])):
        return False
    here, end = len(parts[0]), len(actual) - len(parts[-1])
    for part in parts[1:-1]:
        spot = next((i for i in range(here, end - len(part) + 1) if _at(part, actual, i)), None)
        if spot is None:
            return False
        here = spot + len(part)
    return here <= end


def _at(part: list[str], actual: list[str], spot: int) -> bool:
    return 0 <= spot <= len(actual) - len(part) and all(same_line(p, actual[spot + i]) for i, p in enumerate(part))


def rewritten(expected: list[str], actual: list[str]) -> list[str]:
    """The output anew, in the shape of the page.

    Without a ``...`` line it is the whole output. With some, every stretch between them keeps its number of lines and
    begins at the line that resembles its first line most (figures aside), after the stretch before it; the first
    stretch begins the output and the last one ends it. A recorded line that still holds stays as it is.
    """
    parts = segments(expected)
    if len(parts) == 1:
        return [_kept(parts[0][i] if i < len(parts[0]) else "", line) for i, line in enumerate(actual)]
    out: list[str] = []
    here = 0
    for number, part in enumerate(parts):
        if number:
            out.append("...")
        spot = 0 if number == 0 else len(actual) - len(part) if number == len(parts) - 1 else _spot(part, actual, here)
        spot = max(here if number else 0, spot)
        out += [_kept(old, new) for old, new in zip(part, actual[spot : spot + len(part)], strict=False)]
        here = spot + len(part)
    return out


def _kept(old: str, new: str) -> str:
    return old if "..." in old and same_line(old, new) else new


def _spot(part: list[str], actual: list[str], here: int) -> int:
    def likeness(line: str) -> float:
        a, b = (_NUMBER.sub("0", _normal(text)) for text in (part[0], line))
        return difflib.SequenceMatcher(None, a, b).ratio()

    return max(range(here, len(actual)), key=lambda i: likeness(actual[i]), default=here) if part else here


# -------------------------------------------------------------------------------------------------------- python


def sessions(body: str) -> list[doctest.Example]:
    """The prompts of a python block, each with what it prints."""
    return doctest.DocTestParser().get_examples(body)


def run_session(body: str) -> list[tuple[doctest.Example, list[str]]]:
    """Every prompt of a session with the lines that it prints now."""
    set_terminal()
    names: dict[str, Any] = {"__name__": "__snippet__"}
    kept = Path.cwd()
    os.chdir(ROOT)
    try:
        return [(example, _printed(example.source, names)) for example in sessions(body)]
    finally:
        os.chdir(kept)


def _printed(source: str, names: dict[str, Any]) -> list[str]:
    out = io.StringIO()
    tree = ast.parse(source)
    mode = "single" if len(tree.body) == 1 else "exec"
    with contextlib.redirect_stdout(out):
        try:
            exec(compile(source, "<snippet>", mode), names)
        except Exception as error:  # noqa: BLE001 - a session may show an error, as an interpreter does
            last = "".join(traceback.format_exception_only(error))
            out.write(f"Traceback (most recent call last):\n    ...\n{last}")
    return [line.rstrip() for line in out.getvalue().rstrip("\n").splitlines()]


def wanted(example: doctest.Example) -> list[str]:
    """The lines that a session's page shows for a prompt."""
    return [line.rstrip() for line in example.want.rstrip("\n").splitlines()]
