"""The verb ``cite``: the references of exactly what an answer used, as text, BibTeX or CSL-JSON."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from suanzhang.app.explain import EXPLAINED, explain, verb_of
from suanzhang.app.explain_tree import find_formula, formulas_of, givens_of
from suanzhang.app.header import header
from suanzhang.app.replay_inputs import read_result
from suanzhang.catalog.sources import entries, source, sources
from suanzhang.errors import InputError
from suanzhang.source import GRADES, Source
from suanzhang.spec.trust import CiteResult, Reference

FORMATS = ("text", "bibtex", "csl-json")
NO_DOCUMENT = frozenset(("question", "planner-default", "claim"))
"""Origins that are no document: what the user gave, and the usual values that stand in when nothing was given."""
_KEY = re.compile(r"\[([A-Za-z][A-Za-z0-9.-]*)\]")


def cite(result: str | Path | Mapping[str, Any], *, format: str = "text") -> CiteResult:
    """The references of exactly what an answer used: figures, prices, shapes, settings, and the papers behind its formulas.

    Args:
        result: a file that ``--json`` or ``--out`` wrote, or its body.
        format: "text", "bibtex" or "csl-json".

    Raises:
        InputError: the format is unknown, or the file is no result that can be explained.
        CatalogError: something was used whose source is not known.
    """
    if format not in FORMATS:
        raise InputError(f"unknown format {format!r}", fix=f"use one of {', '.join(FORMATS)}")
    body = read_result(result)
    traced = verb_of(body) in EXPLAINED
    explained = explain(result) if traced else None
    trees = explained.trees if explained else ()
    uses: dict[str, set[str]] = defaultdict(set)
    grades: dict[str, set[str]] = defaultdict(set)
    for given in givens_of(trees):
        if given.source and given.source not in NO_DOCUMENT:
            uses[given.source].add(given.name)
            grades[given.source].add(given.grade)
    for formula in sorted(set(formulas_of(trees))):
        for key in formula_keys(find_formula(formula)):
            uses[key].add(f"formula {formula.rpartition('.')[2]}")
            grades[key].add("published")
    named: dict[str, Source] = {}
    for use in _stored(body):
        if use["key"] not in NO_DOCUMENT:
            if use["key"] not in sources() and use.get("title"):  # a document of measured rows, which the catalog lacks
                named[use["key"]] = Source(use["key"], use["title"], use.get("url", ""))
            uses[use["key"]].update(use["used_for"])
            grades[use["key"]].add(use["grade"])
    if not uses:
        raise InputError(
            f"results of {body['verb'] or 'this kind'} rest on no source", fix=f"give one of {', '.join(EXPLAINED)}"
        )
    references = tuple(
        Reference(
            named.get(key) or source(key), tuple(grade for grade in GRADES if grade in grades[key]), tuple(sorted(uses[key]))
        )
        for key in sorted(uses)
    )
    text = rendered(tuple(reference.source for reference in references), format)
    return CiteResult(
        header(int(body["seed"])), str(body["verb"]), format, references, explained.flags if explained else (), text
    )


def _stored(body: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """Sources that the result itself names."""
    found = [*body.get("sources", ()), *(body.get("buy") or {}).get("sources", ())]
    for use in found:
        if isinstance(use, str):
            yield {"key": use.partition(":")[0], "used_for": ["model, chip or software"], "grade": "published"}
        elif isinstance(use, Mapping):
            yield {**use, "used_for": list(use["used_for"])}


def formula_keys(function: Callable[..., Any]) -> tuple[str, ...]:
    """Keys in the ``Sources`` section of a formula's docstring, such as ``[zero2020]``."""
    text = getattr(function, "py_func", function).__doc__ or ""
    _, _, after = text.partition("Sources:")
    section = re.split(r"\n\s*(?:Example|Raises|Validity|Equation|Returns|Args):", after)[0]
    return tuple(dict.fromkeys(_KEY.findall(section)))


def rendered(used: tuple[Source, ...], format: str) -> str:
    """Sources in a format.

    Args:
        used: the sources.
        format: "text", "bibtex" or "csl-json".
    """
    if format == "bibtex":
        return entries(used)
    if format == "csl-json":
        return json.dumps([_csl(item) for item in used], indent=2, ensure_ascii=False) + "\n"
    return "".join(f"[{item.key}] {_sentence(item)}\n" for item in used)


def _sentence(item: Source) -> str:
    return " ".join(part for part in (f"{item.title}.", f"{item.date}." if item.date else "", item.url) if part)


def _csl(item: Source) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": item.key, "type": "webpage" if item.url else "document", "title": item.title}
    if item.url:
        entry["URL"] = item.url
    parts = [int(part) for part in re.findall(r"\d+", item.date)[:3]]
    return {**entry, "issued": {"date-parts": [parts]}} if parts else entry
