"""The answers that are explained show the intervals that the explained results hold, and no others."""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from conftest import stored
from verb_cases import CASES

import suanzhang
from suanzhang.app.explain import EXPLAINED
from suanzhang.app.explain_spans import held_by, with_spans
from suanzhang.app.replay_inputs import read_result
from suanzhang.report.blocks import show_interval
from suanzhang.report.csv import report_csv
from suanzhang.report.html import page
from suanzhang.report.jsonable import to_json
from suanzhang.report.text import print_report
from suanzhang.report.views import report_of
from suanzhang.report.xlsx import workbook
from suanzhang.spec.result import Interval
from suanzhang.spec.trust import Node

VERBS = sorted(verb for verb in CASES if verb.removesuffix("_question") in EXPLAINED)
TAKEN = "the engine takes what it is told to; the parts of it that are predicted have intervals"
SIMULATED = "what happened on the simulated day"
REASONS: dict[str, dict[str, str]] = {
    "audit": {"B0[12]-.*": "a change between two stated figures: what rounding allows stands in the audit"},
    "backtest": {".*": "arithmetic over recorded prices"},
    "calibrate_runs": {"error left of .*": "against what was measured"},
    "compare_benchmark": {"error of .*": "against what was measured"},
    "sensitivity": {"spread of .*": "the width of the interval itself"},
    **{verb: {"memory of the fullest chip.*": TAKEN} for verb in ("launch_serve", "plan", "serve", "serve_question")},
    **{verb: {"memory of the fullest chip": TAKEN, "requests": SIMULATED} for verb in ("simulate", "simulate_question")},
}


@pytest.fixture(scope="session")
def explained(answers: dict[str, Any], folder: Path) -> Any:
    kept: dict[str, Any] = {}

    def found(verb: str) -> Any:
        if verb not in kept:
            kept[verb] = suanzhang.explain(stored(answers[verb], folder, f"explained_{verb}"))
        return kept[verb]

    return found


@pytest.mark.parametrize("verb", VERBS)
def test_every_explained_answer_has_its_interval_or_a_reason(verb: str, explained: Any) -> None:
    trees, reasons = explained(verb).trees, REASONS.get(verb, {})
    without = [tree.name for tree in trees if tree.value and tree.value_interval is None]
    assert [name for name in without if not any(re.fullmatch(reason, name) for reason in reasons)] == []
    unmet = [reason for reason in reasons if not any(re.fullmatch(reason, name) for name in without)]
    assert unmet == [], "a reason that no answer needs"


@pytest.mark.parametrize("verb", VERBS)
def test_the_intervals_of_an_explanation_are_those_of_the_result(verb: str, answers: dict[str, Any], explained: Any) -> None:
    held = {(one.value, one.interval) for one in held_by(to_json(answers[verb])) if one.interval is not None}
    for tree in explained(verb).trees:
        if tree.value_interval is not None:
            assert any(math.isclose(tree.value, value, rel_tol=1e-9) and tree.value_interval == span for value, span in held)
            assert tree.value_interval.p05 <= tree.value_interval.p50 <= tree.value_interval.p95


def test_days_and_energy_of_a_training_have_the_very_intervals_of_the_result(train_file: Path) -> None:
    body = read_result(train_file)
    trees = {tree.name: tree.value_interval for tree in suanzhang.explain(train_file).trees}
    assert trees["days"] == Interval(**body["days_interval"])
    assert trees["energy"] == Interval(**body["energy_j_interval"])
    assert trees["model FLOP utilisation"] == Interval(**body["mfu_interval"])


def test_every_face_shows_the_interval_of_the_first_answer(explained: Any) -> None:
    result = explained("train")
    first, report = result.trees[0], report_of(result)
    words = show_interval(first.value_interval, first.unit)
    assert words and words in report.verdict
    text = io.StringIO()
    print_report(report, file=text, width=2000)
    assert text.getvalue().count(words) == 2 and "50th percentile" in text.getvalue()
    assert page(report, None).count(words) >= 2
    assert set(to_json(result)["trees"][0]["value_interval"]) == {"p05", "p50", "p95"}
    rows = list(csv.DictReader(io.StringIO(report_csv(report))))
    column = next(name for name in rows[0] if "p05" in name)
    assert float(rows[0][column]) == pytest.approx(first.value_interval.p05, rel=1e-6)
    book = openpyxl.load_workbook(io.BytesIO(workbook(report)))
    cells = [cell for sheet in book.worksheets for row in sheet.iter_rows(values_only=True) for cell in row]
    numbers = [cell for cell in cells if isinstance(cell, (int, float))]
    assert any(math.isclose(cell, first.value_interval.p95, rel_tol=1e-6) for cell in numbers)


SPAN = {"p05": 1.0, "p50": 2.0, "p95": 3.0}
WIDER = {"p05": 0.5, "p50": 2.0, "p95": 4.0}


def test_a_value_that_two_keys_hold_with_other_intervals_takes_that_of_its_name() -> None:
    body = {"mfu": 0.41, "mfu_interval": SPAN, "hfu": 0.41, "hfu_interval": WIDER}
    assert with_spans(Node("model FLOP utilisation", 0.41, "fraction"), held_by(body)).value_interval == Interval(**SPAN)


def test_a_value_that_could_be_either_has_no_interval() -> None:
    body = {"one": 0.41, "one_interval": SPAN, "two": 0.41, "two_interval": WIDER}
    assert with_spans(Node("share", 0.41, "fraction"), held_by(body)).value_interval is None


def test_a_count_that_is_equal_by_chance_has_no_interval() -> None:
    body = {"replicas": 8.0, "replicas_interval": SPAN}
    assert with_spans(Node("chips", 8.0, "chips"), held_by(body)).value_interval is None
    assert with_spans(Node("replicas", 8.0, "replicas"), held_by(body)).value_interval == Interval(**SPAN)


def test_a_value_in_another_unit_has_no_interval() -> None:
    body = {"step_s": 2.5, "step_s_interval": SPAN}
    assert with_spans(Node("step", 2.5, "d"), held_by(body)).value_interval is None


def test_a_quoted_figure_has_no_interval() -> None:
    body = {"step_s": 2.5, "step_s_interval": SPAN}
    assert with_spans(Node("step", 2.5, "s", source="someone-2024"), held_by(body)).value_interval is None


def test_what_was_asked_is_no_answer() -> None:
    assert held_by({"inputs": {"days": 2.5, "days_interval": SPAN}}) == ()
