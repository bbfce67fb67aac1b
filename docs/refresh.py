"""Write the recorded outputs and the generated pages anew: ``python docs/refresh.py [PAGE...]``, or ``make docs``.

Every command and every session of the pages is run again (see :mod:`snippets` for what counts as the same). What still
holds stays as it is, letter by letter; what moved is written anew in the shape of the page. Figures and generated pages
(see :mod:`generated`) come first. With pages named, only their snippets are run.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import generated
import snippets


def console_block(body: str) -> str:
    """A console block with the outputs of today."""
    out: list[str] = []
    for command, expected in snippets.commands(body):
        out.append(f"$ {command}")
        if command.startswith(("make ", "git ", "pip ")):
            out += expected
            continue
        _, actual = snippets.run_command(command)
        out += expected if snippets.matches(expected, actual) else snippets.rewritten(expected, actual)
    return "".join(f"{line}\n" for line in out)


def python_block(body: str) -> str:
    """A session with the outputs of today."""
    out, done = "", 0
    lines = body.splitlines(keepends=True)
    for example, actual in snippets.run_session(body):
        expected = snippets.wanted(example)
        shown = expected if snippets.matches(expected, actual) else snippets.rewritten(expected, actual)
        height = example.source.count("\n")
        out += "".join(lines[done : example.lineno + height]) + "".join(f"{line}\n" for line in shown)
        done = example.lineno + height + len(expected)
    return out + "".join(lines[done:])


def refresh(page: Path) -> bool:
    """Write a page's outputs anew; whether anything changed."""
    text = page.read_text(encoding="utf-8")
    changed = text
    for kind, write in (("console", console_block), ("python", python_block)):
        for block in reversed(snippets.blocks(page, kind)):
            if kind == "python" and ">>>" not in block.body:
                continue
            sys.stderr.write(f"{block.name}\n")
            changed = changed[: block.start] + write(block.body) + changed[block.start + len(block.body) :]
        page.write_text(changed, encoding="utf-8")
    return changed != text


def main() -> None:
    """Generated pages, then all snippets."""
    named = [Path(name).resolve() for name in sys.argv[1:]]
    if not named:
        generated.write_all()
    for page in named or snippets.pages():
        if refresh(page):
            sys.stderr.write(f"changed {page.relative_to(snippets.ROOT)}\n")


if __name__ == "__main__":
    main()
