"""A validation cites every document that its rows stand in, and the record of the fits that of their timings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import suanzhang
from suanzhang.app.validate_sources import TIMINGS, key_of, sources_of
from suanzhang.evidence.rows import PHASES, read_rows, shipped_rows
from suanzhang.report.jsonable import to_json

OWN = Path(__file__).resolve().parents[3] / "examples" / "own-data" / "training.jsonl"


@pytest.mark.parametrize("format", ["text", "bibtex", "csl-json"])
def test_every_source_of_the_rows_of_a_file_is_cited(format: str, answers: dict[str, Any]) -> None:
    cited = suanzhang.cite(to_json(answers["validate"]), format=format)
    titles = {row.source for row in read_rows(OWN)}
    keys = {one.source.key for one in cited.references}
    assert titles and keys == {*(key_of(title) for title in titles), TIMINGS}
    assert {one.source.title for one in cited.references} >= titles
    if format == "csl-json":
        assert {entry["id"] for entry in json.loads(cited.text)} == keys
    else:
        assert all(key in cited.text for key in keys)


@pytest.mark.parametrize("phase", PHASES)
def test_every_source_of_the_rows_that_ship_has_a_key_of_its_own(phase: str) -> None:
    rows = shipped_rows(phase)
    found = sources_of(rows)
    assert len({one.key for one in found}) == len(found) == len({row.source for row in rows}) + 1
    counted = sum(int(use.partition(" ")[0]) for one in found[:-1] for use in one.used_for)
    assert counted == len(rows)
    addresses = {row.source for row in rows if row.url}
    assert {one.title for one in found[:-1] if one.url} == addresses


def test_the_record_of_the_fits_cites_the_timings(answers: dict[str, Any]) -> None:
    cited = suanzhang.cite(to_json(answers["calibrate_check"]))
    assert [one.source.key for one in cited.references] == [TIMINGS]


def test_corrections_from_own_runs_cite_what_they_rest_on(answers: dict[str, Any]) -> None:
    keys = {one.source.key for one in suanzhang.cite(to_json(answers["calibrate_runs"])).references}
    assert TIMINGS in keys and len(keys) > 3
