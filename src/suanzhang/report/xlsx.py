"""A report as a workbook: one sheet with the figures, one for each table, numbers as numbers."""

from __future__ import annotations

import io
import math
import re
from typing import Any

import xlsxwriter

from suanzhang.report.blocks import Chart, Facts, Notes, Report, Scalar, Table, with_ends

_WIDEST = 60
_MAX_NAME = 31


def workbook(report: Report) -> bytes:
    """The workbook of a report as the bytes of an .xlsx file.

    The first sheet, "summary", holds all single figures with unit and interval; every table has a sheet of its own,
    its units in the header, and every chart becomes a native chart beside its data.
    """
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    book.set_properties({"title": report.title, "comments": report.footer})
    formats = {"bold": book.add_format({"bold": True}), "head": book.add_format({"bold": True, "bottom": 1, "text_wrap": True})}
    names: set[str] = set()
    _summary(book, _sheet(book, "summary", names), report, formats)
    for section in report.sections:
        for block in section.blocks:
            if isinstance(block, Table) and block.rows:
                _table(_sheet(book, block.title or section.title, names), block, formats)
            elif isinstance(block, Chart) and block.points:
                _chart(book, _sheet(book, block.title, names), block, formats)
    book.close()
    return buffer.getvalue()


def _sheet(book: Any, title: str, names: set[str]) -> Any:
    base = re.sub(r"[\[\]:*?/\\']", " ", title).strip()[:_MAX_NAME].strip() or "sheet"
    name, number = base, 2
    while name.lower() in names or name.lower() == "history":
        suffix = f" {number}"
        name, number = base[: _MAX_NAME - len(suffix)] + suffix, number + 1
    names.add(name.lower())
    return book.add_worksheet(name)


def _write(sheet: Any, row: int, column: int, value: Scalar, style: Any = None) -> None:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        sheet.write_blank(row, column, None, style)
    elif isinstance(value, bool):
        sheet.write_boolean(row, column, value, style)
    elif isinstance(value, (int, float)):
        sheet.write_number(row, column, value, style)
    else:
        sheet.write_string(row, column, value[:32_000], style)


def _summary(book: Any, sheet: Any, report: Report, formats: dict[str, Any]) -> None:
    _write(sheet, 0, 0, report.title, formats["bold"])
    _write(sheet, 1, 0, report.verdict)
    for column, name in enumerate(("quantity", "value", "unit", "p05", "p50", "p95", "note")):
        _write(sheet, 3, column, name, formats["head"])
    row = 4
    for section in report.sections:
        for block in section.blocks:
            if isinstance(block, Facts) and block.facts:
                _write(
                    sheet,
                    row,
                    0,
                    section.title if section.title == block.title else f"{section.title}: {block.title}",
                    formats["bold"],
                )
                row += 1
                for fact in block.facts:
                    interval = fact.interval
                    bounds = (interval.p05, interval.p50, interval.p95) if interval else (None, None, None)
                    for column, value in enumerate((fact.name, fact.value, fact.unit, *bounds, fact.note)):
                        _write(sheet, row, column, value)
                    row += 1
            elif isinstance(block, Notes) and block.lines:
                _write(sheet, row, 0, f"{section.title}: {block.title}".removesuffix(": "), formats["bold"])
                for line in block.lines:
                    row += 1
                    _write(sheet, row, 0, line)
                row += 1
    _write(sheet, row + 1, 0, report.footer)
    sheet.set_column(0, 0, 44)
    sheet.set_column(1, 5, 16)
    sheet.set_column(6, 6, 50)


def _table(sheet: Any, table: Table, formats: dict[str, Any]) -> None:
    table = with_ends(table)
    for column, spec in enumerate(table.columns):
        _write(sheet, 0, column, spec.header, formats["head"])
        longest = max(
            [len(spec.header), *(len(str(row[column])) if isinstance(row[column], str) else 12 for row in table.rows[:200])]
        )
        sheet.set_column(column, column, min(_WIDEST, longest + 2))
    for number, row in enumerate(table.rows, start=1):
        for column, value in enumerate(row):
            _write(sheet, number, column, value)
    sheet.freeze_panes(1, 0)
    if table.rows:
        sheet.autofilter(0, 0, len(table.rows), len(table.columns) - 1)
    if table.note:
        _write(sheet, len(table.rows) + 2, 0, table.note)


def _chart(book: Any, sheet: Any, chart: Chart, formats: dict[str, Any]) -> None:
    places = list(dict.fromkeys(point.x for point in chart.points))
    series = list(dict.fromkeys(point.series for point in chart.points))
    heads = [f"{name or chart.y} [{chart.unit}]" for name in series] + (
        [f"limit [{chart.unit}]"] if chart.limit is not None else []
    )
    for column, name in enumerate([chart.x, *heads]):
        _write(sheet, 0, column, name, formats["head"])
    value = {(point.x, point.series): point.y for point in chart.points}
    spans = {(point.x, point.series): point.interval for point in chart.points if point.interval}
    spanned = [name for name in series if any((place, name) in spans for place in places)]
    ends = [(name, end) for name in spanned for end in ("p05", "p50", "p95")]
    for column, (name, end) in enumerate(ends, start=len(heads) + 1):
        _write(sheet, 0, column, f"{name or chart.y} {end} [{chart.unit}]", formats["head"])
        for row, place in enumerate(places, start=1):
            _write(sheet, row, column, getattr(spans.get((place, name)), end, None))
    for row, place in enumerate(places, start=1):
        _write(sheet, row, 0, place)
        for column, name in enumerate(series, start=1):
            _write(sheet, row, column, value.get((place, name)))
        if chart.limit is not None:
            _write(sheet, row, len(series) + 1, chart.limit)
    kind = {"bars": "bar", "stacked": "column", "line": "line"}[chart.kind]
    options = {"type": kind, **({"subtype": "stacked"} if kind != "line" else {})}
    drawing = book.add_chart(options)
    for column in range(1, len(series) + 1):
        drawing.add_series(
            {
                "name": [sheet.get_name(), 0, column],
                "categories": [sheet.get_name(), 1, 0, len(places), 0],
                "values": [sheet.get_name(), 1, column, len(places), column],
            }
        )
    drawing.set_title({"name": chart.title})
    drawing.set_y_axis({"name": f"{chart.y} [{chart.unit}]"} if kind != "bar" else {"reverse": True})
    sheet.set_column(0, 0, 24)
    sheet.insert_chart(1, len(heads) + len(ends) + 2, drawing)
