"""The reports of the further training verbs: every number has a unit, every face shows them."""

from __future__ import annotations

import io

import pytest
from faces_samples import sample

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
