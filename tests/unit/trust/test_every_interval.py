"""Percentiles beside every predicted figure: what every verb answers, on every face; what is no prediction stands here.

The lists of other tests hold the reasons field by field for what verbs predict; this one walks all verbs and all faces, so that
a new verb, a new fact, a new column or a new figure in a verdict fails until it has its interval or its reason.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Iterator, Mapping
from typing import Any

import openpyxl
import pytest
from intervals import bare
from verb_cases import CASES

import suanzhang
from suanzhang.report.blocks import Chart, Facts, Ranged, Report, Table, readable, show_interval, show_number
from suanzhang.report.csv import report_csv
from suanzhang.report.html import page
from suanzhang.report.jsonable import to_json
from suanzhang.report.text import print_report
from suanzhang.report.views import VIEWS, report_of
from suanzhang.report.xlsx import workbook
from suanzhang.spec.result import Interval

VERBS = sorted(CASES)
GIVEN, DECIDED, COUNTED = "given", "a choice among what was given", "a count of work done"
CATALOG, QUOTED, WIDTH = "a figure of the catalog", "quoted", "the width or the end of an interval itself"
MEASURED = "measured, or an error of predictions against what was measured"
EVENT = "what happened to the requests of one simulated day"
RECORDED = "arithmetic over recorded prices for chips that were given; nothing in it is predicted"
SHARE = {"share": "of the amounts beside it"}
DELIVERY = {"comes after": QUOTED, "one in ten after": QUOTED}
WEIGHT = {"weight": "share of an answer by the formulas"}
LISTED: dict[str, Mapping[str, str] | str] = {
    "audit": {"computed": "its interval stands in the columns beside it", "low": WIDTH, "high": WIDTH,
              **dict.fromkeys(("consistent", "inconsistent", "not checkable"), "a count of claims")},
    "backtest": RECORDED,
    "buy": {"95th percentile as prices and physics move": WIDTH, "solve": "a clock reading", "chips": DECIDED,
            "Chips over time": DECIDED, "value": "the limit as it was given", "rent": QUOTED, "chip-hours": DECIDED,
            "price": QUOTED, **DELIVERY, "carbon of the grid": CATALOG, "chip-months": DECIDED, "share": DECIDED},
    "calibrate_check": MEASURED,
    "calibrate_runs": MEASURED,
    "cite": WEIGHT,
    "compare_benchmark": {**dict.fromkeys(("measured", "error", "answered"), MEASURED), "run": "its number",
                          **dict.fromkeys(("prompt", "answer", "users"), GIVEN)},
    "compare_measured": {"shapes": COUNTED, "measured, median": MEASURED},
    "diff": {"change": "of the two figures beside it, each with its own interval"},
    "examine": {"parameters": "a count of the shape", "tokens of a step": GIVEN},
    "explain": {**WEIGHT, "p95 / p05 now": WIDTH, "then": WIDTH, "narrower": WIDTH, "share": SHARE["share"]},
    "goodput": {**SHARE, "nodes": "follow from the chips", "spare nodes": "the setting that is looked at",
                "simulated runs": GIVEN, "interval": "the setting that is looked at"},
    "improve": {"requests simulated": COUNTED,
                "What each lever takes off the rent": "what is left has whiskers, what is saved the table beside it"},
    "launch_serve": {"lines": "of the files"},
    "launch_train": {"lines": "of the files"},
    "look_up": CATALOG,
    "plan": {"chips": DECIDED, "Chips over time": DECIDED, "chip-hours": DECIDED, "price": QUOTED, **DELIVERY,
             "more chips": DECIDED, "paid per kWh": QUOTED, "95th percentile as prices and physics move": WIDTH,
             "solve": "a clock reading", "value": "the limit as it was given"},
    "post_train": {**SHARE, "steps": GIVEN, "tokens of a step": GIVEN, "training": DECIDED,
                   "share of the chips' time at work": "sides that take turns keep all chips busy"},
    "scaling": {"training compute": GIVEN},
    "sensitivity": "the answer with one input moved, which is what its interval is made of; the answer itself has its own",
    "serve": {**SHARE, "simulated requests": COUNTED, "chips": "of one replica, by its layout",
              "running sequences, most": "whole sequences that cache and settings allow",
              "Memory by part": "weights follow from the architecture; the other parts have intervals"},
    "serve_kinds": {"in a replica": "the load at which the point lies"},
    "serve_question": {**SHARE, "simulated requests": COUNTED, "chips": "of one replica, by its layout", "load": GIVEN,
                       "running sequences, most": "whole sequences that cache and settings allow",
                       "Memory by part": "weights follow from the architecture; the other parts have intervals"},
    "serve_share": {},
    "serve_units": {"length": GIVEN, "load": GIVEN},
    "simulate": {"offered": EVENT, "answered": EVENT, "time to follow them": "a clock reading", "followed": GIVEN},
    "simulate_question": {**dict.fromkeys(("offered", "answered", "too long for any replica", "not answered when stopped",
                                           "preemptions"), EVENT), "warm-up left out of the latencies": "a setting",
                          "time to follow them": "a clock reading", "replicas": GIVEN, "followed": GIVEN},
    "train": {**SHARE, "optimizer steps": "tokens over the batch, both given", "layouts evaluated": COUNTED,
              "layouts": COUNTED, "chips": DECIDED},
    "train_mixed": {**SHARE, "link between zones": GIVEN, "layouts evaluated": COUNTED, "layouts": COUNTED, "chips": DECIDED,
                    "layers": DECIDED, "batch": DECIDED},
    "train_question": {**SHARE, "optimizer steps": "tokens over the batch, both given", "layouts evaluated": COUNTED,
                       "layouts": COUNTED, "chips": DECIDED, "stage": "its number",
                       "chance to meet the deadline": "what the interval itself says"},
    "validate": MEASURED,
    "variants": {**dict.fromkeys(("peak", "memory", "memory bandwidth", "link", "network"), CATALOG), "chips": GIVEN},
}  # fmt: skip
"""Verb to facts, columns and charts that show no prediction, each with its reason; one reason where nothing is predicted."""
NOT_RUN = {
    "ReplayResult": "shows no figure of its own but how long it took",
}
"""Results that the calls of the verbs do not give."""


@pytest.mark.parametrize("verb", VERBS)
def test_every_figure_of_a_report_has_its_interval_or_a_reason(verb: str, answers: dict[str, Any]) -> None:
    listed = LISTED[verb]
    if not isinstance(listed, str):
        assert bare(report_of(answers[verb]), listed) == []


def test_every_result_that_has_a_view_is_walked(answers: dict[str, Any]) -> None:
    walked = {type(answers[verb]).__name__ for verb in VERBS}
    assert set(VIEWS) - walked - set(NOT_RUN) == set(), "a new result needs a call in verb_cases.py"


SPANNED = re.compile(r"^[^,;:.]{0,16}? ?\((?:[-−]?[\d<]).*?(?: to |–|/).*?\)")
FREE = {
    "train": r"\d+ x|llama-3-8b|h100-sxm-80",
    "goodput": r"\d+ x|Save every [\d.]+ \w+|keep \d+ spare",
    "post_train": r"\d+ x|\d+ steps",
    "train_question": r"\d+ x",
    "train_mixed": r"\d+ x",
    "scaling": r"[\d.e+]+ FLOP",
    "variants": r"with \d+ chips",
    "examine": r"\d+ things? to change",
    "serve_units": r"per 1000 responses",
    "simulate": r"\d+ replicas?|for 99 %",
    "simulate_question": r"\d+ replicas?",
    "serve": r"\d+ x|in \d+ replicas?",
    "serve_question": r"\d+ x|in \d+ replicas?",
    "improve": r"\bint\d|fp\d",
    "plan": r"\d+ x|Later: \d+|\d+% likely|(?:in|from) \d{4}-\d\d|in full from [\d-]+|per 1000 responses|over \d+ months",
    "buy": r"\d+ x|Later: \d+|(?:in|from) \d{4}-\d\d|Of all \s*\d+%|due in [\d-]+",
    "serve_share": r"(?<![\d ]): 0 chips are saved",
}
"""Verb to the words of its verdict that hold numbers which are no predictions."""
NAMES = re.compile(r"\b[a-z]+\d*-[\w.-]+(?::\d+)?|\([a-z]+=\d[^)]*\)|\bgpt3-\w+")


def loose(verdict: str, free: str) -> list[str]:
    """Numbers of a sentence that no interval follows."""
    text = re.sub(free, "", NAMES.sub(lambda name: "" if ":" not in name[0] else name[0].partition(":")[2], verdict))
    inside = [match.span() for match in re.finditer(r"\([^()]*\)", text)]
    found = []
    for number in re.finditer(r"(?<![\w.])\d[\d,]*(?:\.\d+)?", text):
        within = any(low < number.start() < high for low, high in inside)
        if not within and not SPANNED.match(text[number.end() :]):
            found.append(number[0])
    return found


@pytest.mark.parametrize("verb", sorted(FREE))
def test_every_figure_of_a_verdict_has_its_interval(verb: str, answers: dict[str, Any]) -> None:
    verdict = report_of(answers[verb]).verdict
    assert loose(verdict, FREE[verb]) == [], verdict


def test_a_bare_figure_of_a_verdict_is_found() -> None:
    assert loose("it takes 3.2 (3.0 to 3.4) s at 41 % of the peak", "x{9}") == ["41"]


def spans_of(report: Report) -> Iterator[tuple[float, Interval, str, int, str]]:
    """Every figure with an interval of the facts and of whole tables: value, interval, unit, digits, and fact or table."""
    for section in report.sections:
        for block in section.blocks:
            if isinstance(block, Facts):
                for fact in block.facts:
                    if fact.interval is not None and isinstance(fact.value, (int, float)):
                        yield fact.value, fact.interval, fact.unit, 3, "fact"
            elif isinstance(block, Table):
                for row in block.rows[: block.limit]:
                    for column, cell in zip(block.columns, row, strict=True):
                        if isinstance(cell, Ranged) and not column.optional:
                            yield float(cell), cell.interval, column.unit, column.digits, "table"


@pytest.mark.parametrize("verb", VERBS)
def test_percentiles_are_in_order_and_hold_their_median(verb: str, answers: dict[str, Any]) -> None:
    for value, span, *_ in spans_of(report_of(answers[verb])):
        assert span.p05 <= span.p50 <= span.p95, (verb, value, span)


@pytest.mark.parametrize("verb", VERBS)
def test_terminal_and_page_show_the_same_percentiles(verb: str, answers: dict[str, Any]) -> None:
    report = report_of(answers[verb])
    text = io.StringIO()
    print_report(report, file=text, width=2000, details=True)
    faces = {"terminal": text.getvalue(), "page": re.sub(r"</?span[^>]*>", "", page(report, None))}
    for name, shown in faces.items():
        for section in report.sections:
            for block in section.blocks:
                if isinstance(block, Facts):
                    for fact in block.facts:
                        assert fact.interval is None or show_interval(fact.interval, fact.unit) in shown, (name, fact)
                elif isinstance(block, Table):
                    people = readable(block)
                    for row in people.rows[: people.limit]:
                        for column, cell in zip(people.columns, row, strict=True):
                            if isinstance(cell, Ranged):
                                assert show_number(cell, column.digits) in shown, (name, block.title, column.name)


@pytest.mark.parametrize("verb", VERBS)
def test_workbook_and_csv_hold_the_three_percentiles(verb: str, answers: dict[str, Any]) -> None:
    report = report_of(answers[verb])
    book = openpyxl.load_workbook(io.BytesIO(workbook(report)))
    cells = {
        round(float(cell), 9)
        for sheet in book.worksheets
        for row in sheet.iter_rows(values_only=True)
        for cell in row
        if isinstance(cell, (int, float))
    }
    wanted = [span for _, span, *_ in spans_of(report)]
    wanted += [
        point.interval
        for section in report.sections
        for block in section.blocks
        if isinstance(block, Chart)
        for point in block.points
        if point.interval
    ]
    for span in wanted:
        for end in dataclasses.astuple(span):
            assert any(abs(cell - end) <= 1e-6 * abs(end) + 1e-9 for cell in ({round(end, 9)} & cells or cells)), (verb, span)
    table = report.main_table
    if table is not None and any(isinstance(cell, Ranged) for row in table.rows for cell in row):
        head = next(csv.reader(io.StringIO(report_csv(report))))
        for end in ("p05", "p50", "p95"):
            assert any(f" {end}" in name for name in head), (verb, end)


def intervals(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, dict) and set(item) == {"p05", "p50", "p95"}:
                yield f"{path}.{key}", item
            else:
                yield from intervals(item, f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from intervals(item, path)


@pytest.mark.parametrize("verb", VERBS)
def test_every_interval_of_the_json_is_in_order(verb: str, answers: dict[str, Any]) -> None:
    body = {key: item for key, item in to_json(answers[verb]).items() if key != "inputs"}
    for where, span in intervals(body):
        ends = [span[end] for end in ("p05", "p50", "p95")]
        assert None in ends or ends == sorted(ends), (where, span)


def test_the_rows_that_are_farthest_off_show_what_we_had_allowed_for(answers: dict[str, Any]) -> None:
    rows = answers["validate"].worst
    assert rows and all(row.predicted_interval is not None for row in rows)
    table = next(table for table in report_of(answers["validate"]).tables if table.title == "Farthest off")
    assert all(isinstance(row[3], Ranged) for row in table.rows)


def test_rows_one_by_one_show_what_we_had_allowed_for() -> None:
    found = suanzhang.validate(phase="training", rows=True)
    modelled = [entry for entry in found.entries if entry.predicted and entry.measured]
    assert modelled
    for entry in modelled:
        assert set(entry.predicted) & set(entry.measured) <= set(entry.predicted_interval), entry.id
    table = next(table for table in report_of(found).tables if table.title == "Rows one by one")
    assert all(row[6] is None or isinstance(row[6], Ranged) for row in table.rows)
