"""Charts of text and the sheets of charts: legends, figures on both sides of zero, headers."""

import io
from dataclasses import replace

import openpyxl
import pytest

from suanzhang.report.blocks import Chart, Column, Notes, Point, Report, Section, Table, show_number
from suanzhang.report.html import page
from suanzhang.report.text import chart_lines
from suanzhang.report.xlsx import workbook
from suanzhang.spec.result import Interval

BILL = Chart(
    "Cost by line",
    "bars",
    "line",
    "cost",
    "million USD",
    (Point("chips", "", 7.87, Interval(6.4, 8.6, 11.8)), Point("value left", "", -7.45, Interval(-15.0, -8.1, -4.4))),
)


def test_bars_on_both_sides_of_zero_show_their_interval_and_need_no_legend_where_there_is_one_series() -> None:
    lines = [line.plain for line in chart_lines(BILL, 100, color=False)]
    assert len(lines) == 2
    assert lines[0].endswith("+7.87 (6.4–12)") and lines[1].endswith("-7.45 (-15 to -4.4)")


def test_two_series_on_both_sides_of_zero_have_a_legend() -> None:
    points = (Point("rents", "fact lower", -1.0), Point("rents", "fact higher", 2.0))
    lines = [line.plain for line in chart_lines(replace(BILL, points=points), 100, color=False)]
    assert lines[-1].split("  ")[-2:] == ["▓ fact higher", ""] and lines[0].endswith("-1 to +2")


@pytest.mark.parametrize("width", [50, 90])
def test_a_legend_breaks_between_its_entries(width: int) -> None:
    names = [f"a long kind of chip {letter}" for letter in "abcde"]
    chart = replace(BILL, kind="stacked", points=tuple(Point("2023-01", name, 10.0) for name in names))
    lines = [line.plain for line in chart_lines(chart, width, color=False)]
    assert all(len(line.rstrip()) <= width for line in lines)
    assert sum(name in line for line in lines for name in names) == len(names)


def test_the_sheet_of_a_chart_names_its_figures() -> None:
    book = openpyxl.load_workbook(io.BytesIO(workbook(Report("t", "", (Section("s", (BILL,)),)))))
    heads = [cell.value for cell in book["Cost by line"][1]]
    assert heads == ["line", "cost [million USD]", *(f"cost {end} [million USD]" for end in ("p05", "p50", "p95"))]


def test_a_figure_that_rounds_up_to_a_power_of_ten_keeps_its_digits() -> None:
    assert show_number(9.9996) == "10.0" and show_number(0.99996) == "1.00" and show_number(9.994) == "9.99"


def test_a_page_leaves_out_what_shows_nothing() -> None:
    empty, full = (Table(name, (Column("chip"),), rows) for name, rows in (("chips that cannot", ()), ("chips", (("h100",),))))
    text = page(Report("t", "", (Section("one", (empty, full)), Section("two", (empty, Notes("words", ()))))))
    assert "chips that cannot" not in text and ">two<" not in text and ">chips<" in text
