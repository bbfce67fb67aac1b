"""Every snippet of the pages runs, and prints what the page says (docs/snippets.py says what counts as the same).

When one fails because numbers have moved, `make docs` writes the pages anew; look at the difference before you keep it.
"""

import pytest
import snippets
import yaml

PAGES = snippets.pages()
NOT_RUN = ("make ", "git ", "pip ")
CONSOLE = [block for page in PAGES for block in snippets.blocks(page, "console")]
SESSIONS = [block for page in PAGES for block in snippets.blocks(page, "python")]
COMMANDS = [(block.name, command, out) for block in CONSOLE for command, out in snippets.commands(block.body)]


@pytest.mark.parametrize(("where", "command", "expected"), COMMANDS, ids=[f"{w}:{c[:50]}" for w, c, _ in COMMANDS])
def test_command_prints_what_the_page_says(where: str, command: str, expected: list[str]) -> None:
    if command.startswith(NOT_RUN):
        pytest.skip("run by the continuous integration itself")
    code, actual = snippets.outcome(command)
    assert code in (0, 2, 3), "\n".join(actual)
    assert snippets.matches(expected, actual), f"{where} now prints:\n" + "\n".join(actual)


@pytest.mark.parametrize("block", SESSIONS, ids=[block.name for block in SESSIONS])
def test_session_prints_what_the_page_says(block: snippets.Block) -> None:
    assert ">>>" in block.body, "a python block of a page is a session with >>> prompts"
    for example, actual in snippets.run_session(block.body):
        expected = snippets.wanted(example)
        assert snippets.matches(expected, actual), f"{example.source.strip()} now prints:\n" + "\n".join(actual)


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_yaml_of_the_pages_parses_and_whole_questions_are_read(page) -> None:
    from suanzhang.app.question import read_question

    for block in snippets.blocks(page, "yaml"):
        value = yaml.safe_load(block.body)
        assert isinstance(value, dict)
        if {"currency", "start", "months", "market"} <= value.keys():
            assert read_question(block.body).months == value["months"]


def test_the_readme_has_a_first_command_with_its_output_a_session_and_a_figure() -> None:
    readme = snippets.ROOT / "README.md"
    assert any(out for block in snippets.blocks(readme, "console") for _, out in snippets.commands(block.body))
    assert snippets.blocks(readme, "python")
    assert "docs/figures/plan.svg" in readme.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        (["a 10.0 MW"], ["a   10.3 MW"], True),
        (["a 10.0 MW"], ["a 11.3 MW"], False),
        (["a 10.0 MW"], ["b 10.0 MW"], False),
        (["cost ███ 8"], ["cost █████ 8"], True),
        (["a100 x 5"], ["h100 x 5"], False),
        (["2023-05 buy"], ["2023-06 buy"], False),
        (["first", "...", "last"], ["first", "x", "y", "last"], True),
        (["first", "...", "last"], ["first", "x", "y"], False),
        (["..."], [], True),
        (["error: ..."], ["error: unknown"], True),
        (["a", "b"], ["a"], False),
    ],
)
def test_what_counts_as_the_same(expected: list[str], actual: list[str], same: bool) -> None:
    assert snippets.matches(expected, actual) is same


@pytest.mark.parametrize(
    ("expected", "actual", "new"),
    [
        (["a 1", "...", "cost 5", "..."], ["a 2", "x", "cost 7", "y"], ["a 2", "...", "cost 7", "..."]),
        (["a 1"], ["a 2", "b"], ["a 2", "b"]),
        (["...", "end 1"], ["x", "end 3"], ["...", "end 3"]),
        (["in 3 ... ms", "n 1"], ["in 3 of 9 ms", "n 8"], ["in 3 ... ms", "n 8"]),
    ],
)
def test_outputs_are_written_anew_in_the_shape_of_the_page(expected: list[str], actual: list[str], new: list[str]) -> None:
    assert snippets.rewritten(expected, actual) == new
    assert snippets.matches(new, actual)
