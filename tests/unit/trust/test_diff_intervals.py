"""Two answers side by side, each figure with the interval that its answer holds."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import suanzhang
from suanzhang.app.replay import flat
from suanzhang.app.replay_inputs import read_result
from suanzhang.app.replay_units import figure_of, unit_at
from suanzhang.report.csv import table_csv
from suanzhang.report.html import page
from suanzhang.report.jsonable import to_json
from suanzhang.report.text import print_report
from suanzhang.report.views import report_of
from suanzhang.spec.result import Interval
from suanzhang.spec.trust import DiffResult

FREE = re.compile(
    r"(.*[. ])?(chips|layout\.\w+|steps|global_batch|simulated_\w+|layouts_\w+|requests_\w+|cost_p95_usd|shares.*|months\[.*"
    r"|flips.*|schedule.*|binding.*|draw_w|weak_inputs.*|options.*|alternatives.*)(\[.*)?"
)
"""Keys of counts that are given or decided, of shares of what has an interval, and of rows that other tests walk."""


def numbers(result: DiffResult) -> list[Any]:
    """What moved from a number to a number, ends of intervals left out."""
    moved = [item for items in result.answers.values() for item in items]
    return [
        item
        for item in moved
        if "_interval" not in item.key
        and not any(isinstance(side, (str, bool, type(None))) for side in (item.before, item.after))
    ]


def test_every_answer_that_moved_has_the_intervals_of_both_sides(answers: dict[str, Any]) -> None:
    found = numbers(answers["diff"])
    bare = [item.key for item in found if not (item.before_interval and item.after_interval)]
    assert [key for key in bare if not FREE.fullmatch(key)] == []
    assert {"days", "step_s", "mfu", "cost_usd"} <= {item.key for item in found} - set(bare)


def test_plans_side_by_side_have_the_intervals_of_both_sides(plan_file: Path, question_file: Path) -> None:
    text = question_file.read_text().replace("visits_per_day: 2e6", "visits_per_day: 8e6")
    result = suanzhang.diff(plan_file, to_json(suanzhang.plan(text)))
    bare = [item.key for item in numbers(result) if not (item.before_interval and item.after_interval)]
    assert [key for key in bare if not FREE.fullmatch(key)] == []
    lines = {item.key: item for item in result.answers["costs"] if item.key.startswith("buy.lines.")}
    assert lines and all(item.after_interval for item in lines.values())
    every = (*result.rest, *(item for items in result.answers.values() for item in items))
    keys = {item.key for item in every} | {item.key.removesuffix("_usd") for item in every}
    assert not keys & {figure_of(key) for key in keys}, "the ends of an interval stand beside its figure alone"


def test_the_intervals_are_those_of_the_two_answers(train_file: Path, answers: dict[str, Any]) -> None:
    days = next(item for item in numbers(answers["diff"]) if item.key == "days")
    assert days.before_interval == Interval(**read_result(train_file)["days_interval"])
    assert days.after_interval.p50 < days.before_interval.p50
    cost = next(item for item in numbers(answers["diff"]) if item.key == "cost_usd")
    assert cost.before_interval == Interval(**read_result(train_file)["cost_interval"])


def test_faces_show_the_percentiles_of_both_sides(answers: dict[str, Any]) -> None:
    report, body = report_of(answers["diff"]), to_json(answers["diff"])
    table = next(table for table in report.tables if table.title == "Times")
    (row,) = (row for row in table.rows if row[0] == "days")
    spanned = re.compile(r"[\d.]+ days \([\d.]+ / [\d.]+ / [\d.]+ days\)")
    assert spanned.fullmatch(str(row[1])) and spanned.fullmatch(str(row[2]))
    text = io.StringIO()
    print_report(report, file=text, width=2000)
    for shown in (text.getvalue(), page(report, None), table_csv(table)):
        assert str(row[1]) in shown and str(row[2]) in shown
    assert "5th / 50th / 95th percentile" in text.getvalue()
    (held,) = (item for item in body["answers"]["times"] if item["key"] == "days")
    assert set(held["before_interval"]) == set(held["after_interval"]) == {"p05", "p50", "p95"}


def test_every_number_that_moved_has_a_unit(answers: dict[str, Any], plan_file: Path, question_file: Path) -> None:
    text = question_file.read_text().replace("visits_per_day: 2e6", "visits_per_day: 8e6")
    for result in (answers["diff"], suanzhang.diff(plan_file, to_json(suanzhang.plan(text)))):
        every = (*result.inputs, *result.rest, *(item for items in result.answers.values() for item in items))
        assert [item.key for item in every if isinstance(item.before, float) and item.unit in ("", "1")] == []


@pytest.mark.parametrize(
    ("key", "unit"),
    [
        ("step_s", "s"),
        ("ttft_s.p99", "s"),
        ("memory_bytes.part_by_stage.weights[0]", "B"),
        ("memory_bytes.part_by_stage_interval.weights[0].p05", "B"),
        ("layout.tp", "ranks"),
        ("serve[chat].sized.chips_mean", "chips"),
        ("months[2026-01].cash", "CNY"),
        ("months[2026-01].rented.h100-sxm-80", "h100-sxm-80"),
        ("metrics[ttft].predicted", "tokens/s"),
        ("metrics[ttft].predicted_interval.p95", "tokens/s"),
        ("cost_interval.p05", "CNY"),
        ("replica_requests_per_s_no_slo", "requests/s"),
        ("mfu", "fraction"),
    ],
)
def test_the_unit_of_a_value_is_what_its_path_says(key: str, unit: str) -> None:
    assert unit_at(key, {"cost_cny": 3.0, "metrics[ttft].unit": "tokens/s"}) == unit


SPAN = {"p05": 1.0, "p50": 2.0, "p95": 3.0}


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"days": 2.0, "days_interval": SPAN}, "days"),
        ({"cost": {"amount": 2.0, "currency": "CNY", "date": "2023"}, "cost_interval": SPAN}, "cost_cny"),
        ({"lines": {"power": 2.0}, "lines_interval": {"power": SPAN}}, "lines.power"),
        ({"lines": [["power", 2.0]], "lines_interval": {"power": SPAN}}, "lines.power"),
        ({"by_stage": [2.0], "by_stage_interval": [SPAN]}, "by_stage[0]"),
        ({"rows": [{"name": "base", "days": 2.0, "days_interval": SPAN}]}, "rows[base].days"),
    ],
)
def test_an_interval_is_found_wherever_it_stands(body: Mapping[str, Any], key: str) -> None:
    from suanzhang.app.diff import _spanned, _spans
    from suanzhang.spec.trust import Moved

    spans = _spans(flat(body))
    found = _spanned(Moved(key, 2.0, 4.0, 1.0), spans, {})
    assert found.before_interval == Interval(**SPAN) and found.after_interval is None
