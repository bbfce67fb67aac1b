"""Pages exist, links lead somewhere, every command and key is documented, and the generated pages are those of today."""

import inspect
import re

import generated
import pytest
import snippets
import typer.main

import suanzhang
from suanzhang.app.question_schema import QuestionModel
from suanzhang.cli.main import app

ROOT = snippets.ROOT
PAGES = snippets.pages()
CLI = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
VERBS = typer.main.get_command(app).commands
LINK = re.compile(r"\]\(([^)#]+)(#[^)]*)?\)")


def links(page) -> list[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [found.group(1) for found in LINK.finditer(text) if "://" not in found.group(1)]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_to_a_file(page) -> None:
    for link in links(page):
        assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_every_page_can_be_reached_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    reached = {(index.parent / link).resolve() for link in links(index)}
    missing = set((ROOT / "docs").rglob("*.md")) - reached - {index}
    assert not missing, f"docs/index.md does not link to {sorted(page.name for page in missing)}"


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_command_and_option_is_documented(verb: str) -> None:
    command = VERBS[verb]
    section = re.search(rf"^## {verb}\n(.*?)(?=^## |\Z)", CLI, re.M | re.S)
    assert section, f"docs/reference/cli.md has no section {verb}"
    assert command.help
    for parameter in command.params:
        shown = (parameter.metavar or parameter.name).strip("[].")
        names = [name for name in parameter.opts if name.startswith("--")] or [shown]
        assert names[0] in section.group(1), f"{verb}: {names[0]} is not documented"
        if parameter.name != "help":
            assert getattr(parameter, "help", None), f"{verb}: {names[0]} has no help"


def test_every_verb_of_the_api_is_in_the_guide() -> None:
    guide = (ROOT / "docs" / "guides" / "python-api.md").read_text(encoding="utf-8")
    for name in dir(suanzhang):
        if not name.startswith("_"):
            assert f"sz.{name}(" in guide, f"sz.{name} is not in the guide"


def test_every_route_is_in_the_guide() -> None:
    from suanzhang.rest.app import create_app

    guide = (ROOT / "docs" / "guides" / "rest-api.md").read_text(encoding="utf-8")
    for path in create_app().openapi()["paths"]:
        assert re.sub(r":path|\{name", "", path).split("/{")[0] in guide


def test_every_key_of_a_question_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "question.md").read_text(encoding="utf-8")
    for name, field in QuestionModel.model_fields.items():
        assert f"| `{name}` |" in page and field.description, name


@pytest.mark.parametrize("page", list(generated.written()), ids=lambda page: page.name)
def test_generated_pages_are_those_of_today(page) -> None:
    assert page.read_text(encoding="utf-8") == generated.written()[page], f"`make docs` writes {page.name} anew"


UNITS = ("_s", "_bytes", "_bytes_per_s", "_flop_per_s", "_w", "_j", "_kwh", "_cny", "_usd", "_per_chip_h", "_fraction", "_pct")


@pytest.mark.parametrize(
    "verb",
    [
        "plan",
        "train",
        "train_mixed",
        "variants",
        "scaling",
        "goodput",
        "serve",
        "serve_kinds",
        "serve_units",
        "serve_share",
        "simulate",
        "improve",
        "buy",
        "audit",
        "validate",
        "calibrate",
        "look_up",
    ],
)
def test_parameters_are_words_of_the_glossary_or_end_in_their_unit(verb: str) -> None:
    words = set(re.findall(r"`([^`]+)`", (ROOT / "docs" / "reference" / "glossary.md").read_text(encoding="utf-8")))
    for name in inspect.signature(getattr(suanzhang, verb)).parameters:
        stem = next((name.removesuffix(unit) for unit in UNITS if name.endswith(unit)), None)
        assert name in words or stem is not None, f"{verb}: {name} is neither a word of the glossary nor ends in a unit"


EXAMPLES = {
    "gpu-rush-2023/question.yaml": 0,
    "gpu-rush-2023/question-tight.yaml": 3,
    "gpu-rush-2023/startup.yaml": 0,
    "gpu-rush-2023/portfolio.yaml": 0,
    "2026-10/question.yaml": 0,
    "2026-10/two-sites.yaml": 0,
    "2026-10/own-costs.yaml": 0,
    "shared-fleet/question.yaml": 0,
}


@pytest.mark.parametrize(("name", "code"), EXAMPLES.items())
def test_examples_end_as_their_comments_say(name: str, code: int) -> None:
    ended, lines = snippets.outcome(f"suanzhang plan examples/{name}")
    assert ended == code, "\n".join(lines)


def test_no_question_is_left_out() -> None:
    found = {str(path.relative_to(ROOT / "examples")) for path in (ROOT / "examples").rglob("*.yaml")}
    assert {name for name in found if "claims" not in name and "scenarios" not in name} == set(EXAMPLES)


SCENARIOS = sorted((ROOT / "examples/gpu-rush-2023/scenarios").glob("*.yaml"))


def test_every_scenario_is_named_in_the_readme_of_its_example() -> None:
    words = (ROOT / "examples/gpu-rush-2023/README.md").read_text(encoding="utf-8")
    assert {path.name.partition("-")[0] for path in SCENARIOS} == {
        "S02", "S03", "S08", "S11", "S12", "S17", "S18", "S20", "S22", "S24", "S25",
    }  # fmt: skip
    assert all(f"`{path.name}`" in words for path in SCENARIOS)
    assert all(name.partition("/")[2] in words for name in EXAMPLES if name.startswith("gpu-rush-2023"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_scenario_answers_as_the_audit_of_all_claims_does(path) -> None:
    number = path.name.partition("-")[0]
    alone = {row.id: row for row in suanzhang.audit(path).claims}
    whole = {row.id: row for row in suanzhang.audit(path.parents[1] / "claims.yaml", claim=",".join(alone_of(path))).claims}
    assert whole and all(name.startswith(number) for name in alone)
    assert {name: alone[name] for name in whole} == whole
    assert all(row.computed is not None for row in alone.values())
    ended, lines = snippets.outcome(f"suanzhang audit examples/gpu-rush-2023/scenarios/{path.name}")
    assert ended == 0, "\n".join(lines)


def alone_of(path) -> list[str]:
    """Ids of a scenario file that the file of all claims holds too."""
    all_claims = (path.parents[1] / "claims.yaml").read_text(encoding="utf-8")
    ids = [line.partition("id: ")[2].strip() for line in path.read_text(encoding="utf-8").splitlines() if "- id: " in line]
    return [name for name in ids if f"- id: {name}\n" in all_claims]


def test_a_changed_scenario_gives_another_answer(tmp_path) -> None:
    path = next(path for path in SCENARIOS if path.name.startswith("S22"))
    changed = tmp_path / "dgx.yaml"
    text = path.read_text(encoding="utf-8")
    assert "rent_per_month: 37000" in text
    changed.write_text(text.replace("rent_per_month: 37000", "rent_per_month: 18500"), encoding="utf-8")
    (before,), (after,) = suanzhang.audit(path).claims, suanzhang.audit(changed).claims
    assert after.computed > 1.5 * before.computed  # half the rent: owning pays much later


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("claims.yaml")), ids=lambda path: path.parent.name)
def test_claims_are_judged(path) -> None:
    rows = suanzhang.audit(path).claims
    assert len(rows) >= 10 and any(row.verdict == "consistent" for row in rows)
    assert all(row.explanation for row in rows)
