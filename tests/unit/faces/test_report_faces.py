"""Views and renderers: every result on every face, every number with its unit."""

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import openpyxl
import pytest
from faces_samples import sample
from rich.console import Console
from rich.text import Text

from suanzhang.errors import InputError
from suanzhang.report.blocks import (
    Chart,
    Column,
    Fact,
    Facts,
    Notes,
    Point,
    Report,
    Section,
    Table,
    money_fact,
    show_fact,
    show_interval,
    show_number,
)
from suanzhang.report.common import layout_words
from suanzhang.report.csv import report_csv, table_csv
from suanzhang.report.figures import description
from suanzhang.report.html import page
from suanzhang.report.jsonable import to_json, to_text
from suanzhang.report.text import chart_lines, print_report
from suanzhang.report.views import VIEWS, report_of
from suanzhang.report.xlsx import workbook
from suanzhang.spec.audit import AuditResult
from suanzhang.spec.buy import BuyResult
from suanzhang.spec.catalog import CatalogResult
from suanzhang.spec.layout import ServeLayout, TrainLayout
from suanzhang.spec.plan import PlanResult
from suanzhang.spec.result import Interval, Money
from suanzhang.spec.serve import ServeResult
from suanzhang.spec.train import TrainResult
from suanzhang.spec.validate import ValidateResult
from suanzhang.units import unit_of_key

RESULTS = {
    kind.__name__: sample(kind)
    for kind in (TrainResult, ServeResult, BuyResult, PlanResult, AuditResult, CatalogResult, ValidateResult)
}
NAMES = sorted(RESULTS)


def test_every_result_has_a_view_of_its_own() -> None:
    assert set(RESULTS) <= set(VIEWS)


def blocks(report: Report):
    return [(section, block) for section in report.sections for block in section.blocks]


@pytest.mark.parametrize("name", NAMES)
def test_every_number_has_a_unit(name: str) -> None:
    report = report_of(RESULTS[name])
    for _, block in blocks(report):
        if isinstance(block, Table):
            for index, column in enumerate(block.columns):
                numbers = [
                    row[index]
                    for row in block.rows
                    if isinstance(row[index], (int, float)) and not isinstance(row[index], bool)
                ]
                assert column.unit or not numbers, f"{name}: {block.title}: {column.name} has numbers and no unit"
            assert all(len(row) == len(block.columns) for row in block.rows)
        elif isinstance(block, Facts):
            for fact in block.facts:
                assert fact.unit or not isinstance(fact.value, float), f"{name}: {fact.name} has a number and no unit"
        elif isinstance(block, Chart):
            assert block.unit


@pytest.mark.parametrize("name", NAMES)
def test_predictions_show_their_interval(name: str) -> None:
    """Wherever a result has an interval, some face shows both of its ends."""
    if name in ("AuditResult", "CatalogResult", "ValidateResult"):
        pytest.skip("has no interval")
    facts = [fact for _, block in blocks(report_of(RESULTS[name])) if isinstance(block, Facts) for fact in block.facts]
    assert any(fact.interval for fact in facts)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [40, 80, 110])
def test_text_fits_the_width_and_has_no_escapes_in_a_pipe(name: str, width: int) -> None:
    out = io.StringIO()
    print_report(report_of(RESULTS[name]), file=out, width=width, details=True)
    text = out.getvalue()
    assert ("\x1b" not in text and "<b>text</b>" in text.replace("\n", "")[:200000]) or width == 40
    assert max(len(line) for line in text.splitlines()) <= width
    assert "[bold" not in text


class Page(HTMLParser):
    """Which tags are open, and what is loaded from elsewhere."""

    VOID = frozenset({"meta", "br", "img", "input", "link", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs) -> None:
        self.seen.add(tag)
        self.outside += [v for k, v in attrs if k in ("src", "href") and v and v.startswith(("http", "//"))]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", ["PlanResult", "TrainResult"])
def test_the_page_stands_alone_and_escapes(name: str) -> None:
    text = page(report_of(RESULTS[name], command="suanzhang x", call="sz.x()"), RESULTS[name])
    parser = Page()
    parser.feed(text)
    assert not parser.open and not parser.outside
    assert "svg" in parser.seen and "details" in parser.seen and "script" not in parser.seen
    assert "<b>text</b>" not in text and "&lt;b&gt;text" in text and "算账" in text
    assert "prefers-color-scheme: dark" in text and "sz.x()" in text
    start = text.index('<pre id="json">') + len('<pre id="json">')
    assert json.loads(
        text[start : text.index("</pre>", start)]
        .replace("&#34;", '"')
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_workbook_has_numbers_as_numbers(name: str) -> None:
    report = report_of(RESULTS[name])
    book = openpyxl.load_workbook(io.BytesIO(workbook(report)))
    assert book.sheetnames[0] == "summary" and len(set(book.sheetnames)) == len(book.sheetnames)
    tables = [table for table in report.tables if table.rows]
    assert len(book.sheetnames) >= 1 + len(tables)
    for table in tables[:3]:
        sheet = next(
            s for s in book.worksheets if s.cell(1, 1).value == table.columns[0].header and s.max_column >= len(table.columns)
        )
        for index, value in enumerate(table.rows[0], start=1):
            if isinstance(value, float):
                assert isinstance(sheet.cell(2, index).value, (int, float))


def test_plan_sheets_that_people_look_for() -> None:
    book = openpyxl.load_workbook(io.BytesIO(workbook(report_of(replace(RESULTS["PlanResult"], currency="CNY")))))
    assert {"Schedule", "Costs", "Chips over time", "Power", "Sources"} <= set(book.sheetnames)
    assert book["Costs"].cell(1, 2).value == "cost [million CNY]" and book["Costs"].cell(2, 2).value == 1.234567


def test_csv_has_units_and_raw_numbers() -> None:
    rows = list(csv.reader(io.StringIO(report_csv(report_of(RESULTS["BuyResult"])))))
    money = ["cost [CNY]", "cost p05 [CNY]", "cost p50 [CNY]", "cost p95 [CNY]"]
    chips = ["chips", "chips p05 [chips]", "chips p50 [chips]", "chips p95 [chips]"]
    assert rows[0] == ["month", "action", "offer", "chip", *chips, *money, "note", "site"]
    assert float(rows[1][8]) == 1234567.0
    with pytest.raises(InputError):
        report_csv(Report("t", "", (Section("s", (Notes("n", ("x",)),)),)))


def test_json_puts_the_header_first_and_has_no_nan() -> None:
    body = to_json(RESULTS["TrainResult"])
    assert list(body)[:3] == ["version", "catalog_date", "seed"]
    assert body["step_s_interval"] == {"p05": 1.0, "p50": 2.0, "p95": 4.0}
    assert body["cost"] == {"amount": 1234567.0, "currency": "CNY", "date": "2023-05"}
    assert json.loads(to_text({"x": float("nan"), "y": float("inf")})) == {"x": None, "y": None}
    for key in (
        "layout",
        "mfu",
        "hfu",
        "tokens_per_s_per_chip",
        "days",
        "goodput_fraction",
        "memory_bytes",
        "energy_j",
        "terms",
    ):
        assert key in body
    with pytest.raises(TypeError):
        to_json({"x": object()})


@pytest.mark.parametrize("name", NAMES)
def test_json_text_is_read_back_the_same(name: str) -> None:
    assert json.loads(to_text(RESULTS[name])) == to_json(RESULTS[name])


def test_a_type_without_a_view_is_shown_by_its_keys() -> None:
    kind = sample(PlanResult).train[0].option
    report = report_of(kind)
    facts = {fact.name: fact.unit for _, block in blocks(report) if isinstance(block, Facts) for fact in block.facts}
    assert facts["energy j"] == "J" and facts["step s"] == "s" and facts["days"] == "d"


@pytest.mark.parametrize(
    ("value", "unit", "want"),
    [
        (0.414, "fraction", "41.4 %"),
        (90.0, "s", "90.0 s"),
        (3.0 * 86400, "s", "3.00 d"),
        (6.0e7, "W", "60.0 MW"),
        (1.5e9, "CNY", "1.50 billion CNY"),
        (0.0123, "USD", "0.0123 USD"),
        (24000, "chips", "24,000 chips"),
        (12.0, "1", "12"),
        (None, "s", "–"),
        ("text", "", "text"),
    ],
)
def test_figures_for_people(value: object, unit: str, want: str) -> None:
    assert show_fact(value, unit) == want


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (0.0, "0"),
        (1e-7, "1.00e-07"),
        (1234.5, "1,234" if round(1234.5) == 1234 else "1,235"),
        (3.14159, "3.14"),
        (True, "yes"),
        (0.00123, "0.00123"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_for_people(value: float, want: str) -> None:
    assert show_number(value) == want


def test_intervals_money_and_headers() -> None:
    assert show_interval(Interval(1e6, 2e6, 3e6), "W") == "1.00 / 2.00 / 3.00 MW"
    assert show_interval(Interval(9e8, 1e9, 3e9), "CNY") == "900 million CNY / 1.00 billion CNY / 3.00 billion CNY"
    fact = money_fact("cost", Money(5.0, "USD", "2023-05"))
    assert (fact.value, fact.unit, fact.note) == (5.0, "USD", "prices of 2023-05")
    assert Column("chips", "chips").header == "chips" and Column("cost", "CNY").header == "cost [CNY]"
    assert table_csv(Table("t", (Column("a"),), ((None,), ("x,y",)))) == 'a\n""\n"x,y"\n'
    assert Fact("x", 1.0, "s").interval is None


def test_layout_in_words() -> None:
    assert layout_words(TrainLayout(tp=8, pp=8, dp=16)) == "tp=8 pp=8 dp=16"
    assert "no sp" in layout_words(TrainLayout(sp=False)) and "ep=8" in layout_words(ServeLayout(ep=8))


@pytest.mark.parametrize(
    ("key", "unit"),
    [("step_s", "s"), ("energy_j", "J"), ("tokens_per_s_per_chip", "tokens/s/chip"), ("mfu", "fraction"), ("chips", "1")],
)
def test_units_of_keys(key: str, unit: str) -> None:
    assert unit_of_key(key) == unit


CHART = Chart(
    "Chips over time",
    "stacked",
    "month",
    "chips",
    "chips",
    tuple(Point(f"2023-{m:02d}", s, float(m * k)) for m in range(1, 4) for s, k in (("a100 owned", 10), ("h800 rented", 20))),
    limit=100.0,
)


def test_chart_of_text_is_proportional() -> None:
    lines = [line.plain for line in chart_lines(CHART, 60, color=False)]
    cells = [sum(line.count(fill) for fill in "█▓") for line in lines[:3]]
    assert cells == sorted(cells) and cells[2] == pytest.approx(3 * cells[0], abs=2)
    assert lines[2].rstrip().endswith("90") and "limit 100 chips" in lines[-1]
    assert all(len(line) <= 60 for line in lines)


@pytest.mark.parametrize("color", [False, True])
def test_no_two_series_of_a_chart_of_text_look_alike(color: bool) -> None:
    points = tuple(Point("2023-01", f"kind {letter}", 10.0) for letter in "abcdefghi")
    lines = chart_lines(replace(CHART, points=points, limit=None), 200, color=color)
    assert len(inks(lines[0].copy(), 10)) == len(points)


def inks(line: Text, skip: int) -> set[tuple[str, str]]:
    """Fills with their styles in the bar of a line, whose first cells name it."""
    marks = {(line.plain[place], str(line.get_style_at_offset(Console(), place))) for place in range(skip, len(line.plain))}
    return {mark for mark in marks if not mark[0].isalnum() and mark[0] not in " ."}


def test_chart_descriptions_carry_unit_limit_and_whiskers() -> None:
    text = json.dumps(description(CHART))
    assert '"title": "chips"' in text and '"limit"' in text and "http" not in re.sub(r'"\$schema": "[^"]*"', "", text)
    bars = Chart("c", "bars", "line", "cost", "CNY", (Point("power", "", 1.0, Interval(0.5, 1.0, 2.0)),))
    assert "datum.low" in json.dumps(description(bars))
