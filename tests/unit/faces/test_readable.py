"""What people read: money in millions, chances in percent, months without chips; programs still get plain amounts."""

import io
from types import SimpleNamespace

import pytest

from suanzhang.report.blocks import Chart, Column, Point, Ranged, Report, Section, Table, readable
from suanzhang.report.csv import table_csv
from suanzhang.report.html import page
from suanzhang.report.text import chart_lines, print_report
from suanzhang.report.view_buy import chips_chart
from suanzhang.report.view_plan import _size
from suanzhang.spec.plan import Risk
from suanzhang.spec.result import Interval

COLUMNS = (Column("month"), Column("cost", "USD"), Column("price", "USD/chip_h"), Column("chips", "chips"))


def table(*amounts: float) -> Table:
    return Table("Costs", COLUMNS, tuple(("2023-05", amount, 2.0e7, 3_000_000) for amount in amounts))


def test_large_amounts_of_money_are_shown_in_millions_or_billions() -> None:
    shown = readable(table(Ranged(6_673_522.0, Interval(5.36e6, 7e6, 10.8e6)), 26_778.0, None))
    assert [column.unit for column in shown.columns] == ["", "million USD", "USD/chip_h", "chips"]
    first, second, third = (row[1] for row in shown.rows)
    assert isinstance(first, Ranged)
    assert (float(first), first.interval.p05) == pytest.approx((6.673522, 5.36))
    assert (second, third) == (0.026778, None)
    assert shown.rows[0][2:] == (2.0e7, 3_000_000)
    assert readable(table(4.0e10)).columns[1].unit == "billion USD"


def test_small_amounts_stay_as_they_are() -> None:
    plain = table(999_999.0)
    assert readable(plain) is plain


def test_programs_get_the_amounts_themselves() -> None:
    one = table(6_673_522.0)
    assert "6673522" in table_csv(one)
    report = Report("t", "v", (Section("Costs", (one,)),), main="Costs")
    out = io.StringIO()
    print_report(report, file=out, width=110)
    assert "[million" in out.getvalue() and "6.67" in out.getvalue()
    assert "cost [million USD]" in page(report) and "6.67" in page(report)


def test_chances_are_percent_and_tiny_ones_a_bound() -> None:
    assert _size(Risk("x", 2.59e-10, "fraction", "why")) == ("below 0.01", "%")
    assert _size(Risk("x", 0.316, "fraction", "why")) == (31.6, "%")
    assert _size(Risk("x", 4.0, "months", "why")) == (4.0, "months")


def test_a_month_without_chips_has_an_empty_bar() -> None:
    months = [
        SimpleNamespace(month=month, owned=owned, rented={})
        for month, owned in (("2023-05", {}), ("2023-06", {"a": 8.0}), ("2023-07", {"a": 0.0}))
    ]
    chart = chips_chart(months)  # type: ignore[arg-type]
    assert [(point.x, point.series, point.y) for point in chart.points] == [
        ("2023-05", "a owned", 0.0), ("2023-06", "a owned", 8.0), ("2023-07", "a owned", 0.0)
    ]  # fmt: skip
    assert len(chart_lines(chart, 80, color=False)) == 3
    assert chips_chart([months[0]]).points == ()  # type: ignore[list-item]


def test_bars_on_both_sides_of_zero_write_their_figures_out() -> None:
    points = (Point("chips", "", 5002.4), Point("value left", "", -6615.3), Point("waiting", "", 0.0299))
    chart = Chart("Cost by line", "bars", "line", "cost", "million CNY", points)
    shown = [line.plain for line in chart_lines(chart, 80, color=False)]
    assert shown[0].endswith("+5,002")
    assert shown[1].endswith("-6,615")
    assert shown[2].endswith("+0.0299")
