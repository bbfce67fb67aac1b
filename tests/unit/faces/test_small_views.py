"""Details of reports: whole steps, no rows about what is not there, no remainders of floating point, words for metrics."""

from __future__ import annotations

import pytest

import suanzhang
from suanzhang.report.blocks import Facts, Table
from suanzhang.report.common import terms_table
from suanzhang.report.view_validate import METRIC_WORDS, validate
from suanzhang.report.views import report_of
from suanzhang.spec.result import Term


@pytest.fixture(scope="module")
def tuned() -> object:
    return suanzhang.post_train("llama-3.1-8b", "h100-sxm-80:8", method="sft", examples=100_000)


def test_tuning_takes_whole_steps_and_says_how_full_the_last_one_is(tuned: object) -> None:
    report = report_of(tuned)
    facts = next(block for section in report.sections for block in section.blocks if isinstance(block, Facts))
    steps = next(fact for fact in facts.facts if fact.name == "steps")
    assert isinstance(steps.value, int)
    assert f" {steps.value} steps " in report.verdict
    assert steps.value - 1 < tuned.steps <= steps.value  # type: ignore[attr-defined]
    assert "of a batch" in steps.note


def test_tuning_without_rollout_has_no_row_or_column_of_it(tuned: object) -> None:
    report = report_of(tuned)
    facts = next(block for section in report.sections for block in section.blocks if isinstance(block, Facts))
    assert all(fact.name != "rollout" for fact in facts.facts)
    table = next(table for table in report.tables if table.title == "Ways to place it")
    assert [column.name for column in table.columns] == ["placement", "training", "step time", "memory", "training layout"]


def test_remainders_of_floating_point_are_no_terms() -> None:
    terms = [
        Term("forward_s", 8.0, "s", "f", ()),
        Term("launch_s", 5.33e-15, "s", "f", ()),
        Term("bubble_s", 0.0, "s", "f", ()),
    ]
    table: Table = terms_table("Terms", terms)
    assert [row[0] for row in table.rows] == ["forward", "bubble"]


def test_the_verdict_of_validate_says_metrics_in_words() -> None:
    result = suanzhang.validate(phase="training")
    verdict = validate(result).verdict
    for name in result.metrics:
        assert name not in verdict
        assert METRIC_WORDS[name] in verdict
    changes = next(table for table in validate(result).tables if table.title == "Against the record")
    assert [column.digits for column in changes.columns if column.unit == "%"] == [4, 4, 4]
