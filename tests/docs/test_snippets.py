"""Every snippet of the README and of docs/ runs, and prints what the page says.

A ``console`` block holds ``$ command`` lines and their output; a line ``...`` stands for any lines, and ``...``
inside a line for any text. A ``python`` block with ``>>>`` prompts is a doctest with the same freedom.
"""

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)


def blocks(kind: str) -> list[tuple[str, str]]:
    """Identifier and body of every block of one kind."""
    found = []
    for page in PAGES:
        for number, match in enumerate(FENCE.finditer(page.read_text(encoding="utf-8"))):
            if match.group(1) == kind:
                found.append((f"{page.relative_to(ROOT)}#{number}", match.group(2)))
    return found


def pattern(expected: str) -> re.Pattern[str]:
    """The regular expression for an expected output with its ``...`` places."""
    lines = [re.escape(line.rstrip()).replace(r"\.\.\.", ".*?") if line.strip() != "..." else r"(?:.*\n)*?.*" for line in expected.splitlines()]
    return re.compile(r"\s*" + r"[ ]*\n".join(lines) + r"\s*\Z")


def commands(body: str) -> list[tuple[str, str]]:
    """Pairs of command and expected output of a console block."""
    pairs: list[tuple[str, list[str]]] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            pairs.append((line[2:], []))
        elif pairs:
            pairs[-1][1].append(line)
    return [(command, "\n".join(output)) for command, output in pairs]


CONSOLE = [(where, command, output) for where, body in blocks("console") for command, output in commands(body)]
PYTHON = blocks("python")


@pytest.mark.parametrize(("where", "command", "expected"), CONSOLE, ids=[f"{w}:{c[:40]}" for w, c, _ in CONSOLE])
def test_console_snippet(where: str, command: str, expected: str) -> None:
    words = shlex.split(command)
    if words[0] == "make":
        pytest.skip("make targets are run by the continuous integration itself")
    env = {**os.environ, "COLUMNS": "110", "NO_COLOR": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    run = subprocess.run(command, shell=True, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode in (0, 2, 3), run.stderr
    assert pattern(expected).match(run.stdout + (run.stderr if run.returncode else "")), f"{where} now prints:\n{run.stdout}{run.stderr}"


@pytest.mark.parametrize(("where", "body"), PYTHON, ids=[w for w, _ in PYTHON])
def test_python_snippet(where: str, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    if ">>>" not in body:
        exec(compile(body, where, "exec"), {})  # noqa: S102
        return
    test = doctest.DocTestParser().get_doctest(body, {}, where, where, 0)
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE).run(test)
    assert result.failed == 0


def test_the_readme_has_a_first_command_with_its_output() -> None:
    assert any(where.startswith("README.md") for where, *_ in CONSOLE) and any(where.startswith("README.md") for where, _ in PYTHON)
