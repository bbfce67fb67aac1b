"""The reports of the further training verbs: every number has a unit, every face shows them."""

from __future__ import annotations

import io

import pytest
from faces_samples import sample

import suanzhang
from suanzhang.report.blocks import Chart, Facts, Ranged, Table
from suanzhang.report.csv import report_csv
from suanzhang.report.html import page
from suanzhang.report.jsonable import to_json
from suanzhang.report.text import print_report
from suanzhang.report.views import VIEWS, report_of
from suanzhang.report.xlsx import workbook
from suanzhang.spec.train_mixed import MixedResult
from suanzhang.spec.train_run import RunResult
from suanzhang.spec.train_scaling import ScalingResult
from suanzhang.spec.train_variants import VariantsResult

KINDS = (MixedResult, VariantsResult, ScalingResult, RunResult)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_number_has_a_unit_and_an_interval_is_shown(kind) -> None:
    assert kind.__name__ in VIEWS
    report = report_of(sample(kind))
    blocks = [block for section in report.sections for block in section.blocks]
    for block in blocks:
        if isinstance(block, Table):
            for index, column in enumerate(block.columns):
                numbers = [row[index] for row in block.rows if isinstance(row[index], (int, float))]
                assert column.unit or not numbers, f"{block.title}: {column.name}"
        elif isinstance(block, Facts):
            assert all(fact.unit or not isinstance(fact.value, float) for fact in block.facts)
        elif isinstance(block, Chart):
            assert block.unit
    facts = [fact for block in blocks if isinstance(block, Facts) for fact in block.facts]
    cells = [cell for block in blocks if isinstance(block, Table) for row in block.rows for cell in row]
    assert any(fact.interval for fact in facts) or any(isinstance(cell, Ranged) for cell in cells)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_face_shows_it(kind) -> None:
    value = sample(kind)
    report = report_of(value, command="suanzhang x", call="sz.x()")
    out = io.StringIO()
    print_report(report, file=out, width=80, details=True)
    assert max(len(line) for line in out.getvalue().splitlines()) <= 80
    assert "<b>text</b>" not in page(report, value)
    assert report_csv(report).count("\n") > 1
    assert workbook(report)[:2] == b"PK"
    assert to_json(value)["version"] == "0.1.0"


def test_a_short_run_is_said_in_minutes() -> None:
    short = report_of(suanzhang.train("llama-3.1-8b", "10M", "h100-sxm-80:8")).verdict
    assert " min (" in short or " s (" in short
    assert "0.0 days" not in short
    assert " days (" in report_of(suanzhang.train("llama-3.1-8b", "100B", "h100-sxm-80:8")).verdict


@pytest.mark.parametrize(("chips", "unit"), [(64, "10^21 FLOP"), (8192, "10^24 FLOP")])
def test_compute_is_shown_in_a_power_of_ten_that_it_reaches(chips: int, unit: str) -> None:
    found = report_of(suanzhang.scaling(f"h100-sxm-80:{chips}", deadline="30d"))
    facts = next(block for section in found.sections for block in section.blocks if isinstance(block, Facts))
    compute = next(fact for fact in facts.facts if fact.name == "training compute")
    assert compute.unit == unit and isinstance(compute.value, float) and 0.1 <= compute.value < 1000.0
