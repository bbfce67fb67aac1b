from __future__ import annotations

import csv
import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import suanzhang
from suanzhang.app import physics_data
from suanzhang.app.cite import NO_DOCUMENT, formula_keys
from suanzhang.app.explain import TREES
from suanzhang.app.explain_tree import find_formula, formulas_of, givens_of
from suanzhang.catalog.chips import chips
from suanzhang.catalog.markets import markets
from suanzhang.catalog.models import models
from suanzhang.catalog.sites import sites
from suanzhang.catalog.sources import bibtex, sources
from suanzhang.catalog.stacks import serve_stacks, train_stacks
from suanzhang.errors import InputError
from suanzhang.money import figures as money_figures
from suanzhang.report.jsonable import to_text
from suanzhang.source import Quoted


def quotes(value: Any) -> Iterator[Quoted]:
    if isinstance(value, Quoted):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from quotes(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from quotes(item)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from quotes(getattr(value, name))
    elif hasattr(value, "items"):
        yield from quotes(dict(value.items()))


def formulas() -> Iterator[tuple[str, Any]]:
    for room in ("perf", "money", "sim", "search"):
        package = importlib.import_module(f"suanzhang.{room}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(found.name)
            for name, value in vars(module).items():
                function = getattr(value, "py_func", value)
                if inspect.isfunction(function) and function.__module__ == found.name:
                    yield f"{found.name}.{name}", function


def yaml_sources(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("source"), str):
            yield value["source"]
        for item in value.values():
            yield from yaml_sources(item)


def bibtex_entries(text: str) -> dict[str, dict[str, str]]:
    """Entries of a BibTeX file by key, read by its grammar: fields in balanced braces, nothing between entries."""
    found: dict[str, dict[str, str]] = {}
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        head = re.compile(r"@(\w+)\{([\w.:+-]+),").match(text, at)
        assert head, f"no entry at {text[at : at + 40]!r}"
        at, fields = head.end(), found.setdefault(head[2], {})
        assert not fields, f"{head[2]} stands twice"
        while not (end := re.compile(r"\s*\}").match(text, at)):
            name = re.compile(r"\s*(\w+)\s*=\s*\{").match(text, at)
            assert name, f"{head[2]}: no field at {text[at : at + 40]!r}"
            depth, start = 1, name.end()
            at = start
            while depth:
                depth += {"{": 1, "}": -1}.get(text[at], 0) if text[at - 1] != "\\" else 0
                at += 1
            assert name[1] not in fields, f"{head[2]}: {name[1]} twice"
            fields[name[1]] = text[start : at - 1]
            at += (comma := text[at : at + 1] == ",")
            assert comma or re.compile(r"\s*\}").match(text, at), f"{head[2]}: no comma after {name[1]}"
        at = end.end()
    return found


@pytest.mark.parametrize(
    "text", ["@misc{a,\n  title = {x\n}\n", "@misc{a,\n title {x}\n}\n", "words", "@misc{a,}@misc{a,t = {x}"]
)
def test_broken_bibtex_is_not_read(text: str) -> None:
    with pytest.raises((AssertionError, IndexError)):
        bibtex_entries(text)


def test_every_value_of_the_catalog_resolves_to_a_source() -> None:
    everything = [dict(chips()), dict(models()), dict(markets()), dict(sites())]
    used = [quote.source for quote in quotes(everything)]
    for kind, (entries, least) in {
        "chips": (chips(), 100),
        "models": (models(), 230),
        "markets": (markets(), 5),
        "sites": (sites(), 7),
    }.items():
        assert len(entries) >= least, kind
        quoted = [quote.source for quote in quotes(dict(entries))]
        assert len(quoted) >= len(entries) - 1, kind
    used += [item.source for item in (*train_stacks().values(), *serve_stacks().values(), *models().values())]
    used += [figure.quoted.source for figure in money_figures.figures().values()]
    used += list(yaml_sources(physics_data._data()))
    with (money_figures.DATA / "resale.csv").open(encoding="utf-8", newline="") as file:
        used += [row["source"] for row in csv.DictReader(file)]
    assert sorted(set(used) - set(sources())) == []


def test_every_reference_of_every_formula_resolves_to_a_source() -> None:
    found = [(name, key) for name, function in formulas() for key in formula_keys(function)]
    assert len(found) > 60
    assert [(name, key) for name, key in found if key not in sources()] == []


def test_every_compiled_formula_of_physics_and_money_names_a_source() -> None:
    rooms = ("suanzhang.perf.", "suanzhang.money.")
    named = [
        (name, function)
        for name, function in formulas()
        if name.startswith(rooms)
        and not function.__name__.startswith("_")
        and hasattr(getattr(importlib.import_module(function.__module__), function.__name__), "py_func")
    ]
    assert len(named) > 100
    assert [name for name, function in named if not formula_keys(function)] == []


FIGURES = re.compile(r"^(float|Floats|NDArray\[.*\]|dict\[str, float\]|tuple\[(float|Floats)(, (float|Floats|\.\.\.))*\])$")
"""What a function returns that computes figures rather than plans, rows or columns of a programme."""


def section(function: Any, name: str) -> str:
    """The text of a section of a docstring; empty when there is none."""
    text = getattr(function, "py_func", function).__doc__ or ""
    found = re.search(rf"^ *{name}:(.*?)(?=^ *[A-Z][a-z]+:|\Z)", text, flags=re.M | re.S)
    return found[1].strip() if found else ""


def test_every_figure_of_money_names_where_its_formula_comes_from() -> None:
    named = [
        (name, function)
        for name, function in formulas()
        if name.startswith("suanzhang.money.")
        and not function.__name__.startswith("_")
        and FIGURES.match(str(function.__annotations__.get("return")))
    ]
    assert len(named) >= 40
    assert [name for name, function in named if not formula_keys(function)] == []
    bare = [name for name, function in named if "derived" in formula_keys(function) and not section(function, "Equation")]
    assert bare == [], "derived from what?"


def test_a_formula_that_has_a_section_of_sources_or_an_equation_names_a_key() -> None:
    told = [(name, f) for name, f in formulas() if section(f, "Sources") or section(f, "Equation")]
    assert len(told) > 150
    assert [name for name, function in told if not set(formula_keys(function)) & set(sources())] == []


def test_sections_are_read_apart() -> None:
    def one() -> None:
        """One.

        Equation:
            a = b
            + c.

        Sources:
            [first2020].
        """

    assert section(one, "Equation").split() == ["a", "=", "b", "+", "c."]
    assert section(one, "Sources") == "[first2020]."
    assert section(one, "Validity") == ""


def test_every_source_gives_a_bibtex_entry_of_its_own() -> None:
    text = bibtex()
    keys = re.findall(r"^@misc\{([^,]+),$", text, flags=re.M)
    assert sorted(keys) == sorted(sources())
    entries = bibtex_entries(text)
    assert sorted(entries) == sorted(sources())
    assert all(fields["title"] for fields in entries.values())


def test_keys_are_read_from_the_sources_section_alone() -> None:
    def one() -> None:
        """One.

        Args:
            x: in [metres].

        Sources:  [first2020] eq. 1;
            [second-2021].

        Example:
            >>> [third2022]
        """

    assert formula_keys(one) == ("first2020", "second-2021")


def test_a_training_cites_its_papers_figures_and_software(train_file: Path) -> None:
    result = suanzhang.cite(train_file)
    keys = {reference.source.key for reference in result.references}
    assert {"epoch-ml-hardware", "llama-3", "daly2006", "training-fit"} <= keys
    assert "question" not in keys
    assert all(reference.used_for and reference.grades for reference in result.references)
    assert result.text.count("\n") == len(keys)


def test_a_plan_cites_its_prices(plan_file: Path) -> None:
    references = suanzhang.cite(plan_file).references
    assert any(name.startswith("price of") for reference in references for name in reference.used_for)
    assert any(name == "shape of gpt3-13b" for reference in references for name in reference.used_for)


def test_formats(train_file: Path) -> None:
    text = suanzhang.cite(train_file, format="bibtex").text
    entries = json.loads(suanzhang.cite(train_file, format="csl-json").text)
    assert sorted(re.findall(r"@misc\{([^,]+),", text)) == sorted(entry["id"] for entry in entries)
    assert all(entry["title"] for entry in entries)
    with pytest.raises(InputError, match="format"):
        suanzhang.cite(train_file, format="ris")


@pytest.mark.parametrize("verb", sorted(TREES))
def test_a_verb_cites_exactly_what_it_used_in_every_format(verb: str, answers: dict[str, Any]) -> None:
    body = json.loads(to_text(answers[verb]))
    trees = suanzhang.explain(body).trees
    used = {given.source for given in givens_of(trees)}
    used |= {key for name in formulas_of(trees) for key in formula_keys(find_formula(name))}
    used |= {(one if isinstance(one, str) else one["key"]).partition(":")[0] for one in body.get("sources", ())}
    result = suanzhang.cite(body, format="bibtex")
    keys = {reference.source.key for reference in result.references}
    assert keys == {key for key in used if key and key not in NO_DOCUMENT}
    assert set(bibtex_entries(result.text)) == keys
    assert {entry["id"] for entry in json.loads(suanzhang.cite(body, format="csl-json").text)} == keys
