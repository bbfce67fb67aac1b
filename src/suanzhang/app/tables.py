"""Tables of the user, CSV or XLSX, as spreadsheets of many countries write them: separators, encodings, numbers, dates."""

from __future__ import annotations

import csv
import importlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suanzhang.errors import InputError, nearest_names

_SEPARATORS = ",;\t|"
_ENCODINGS = ("utf-8-sig", "gb18030")
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
_NUMBER = re.compile(r"([+-]?\d[\d.,]*)([A-Za-z%]*)$")
"""A number, and what may follow it: per cent, or a unit."""
_GROUPED = {",": re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d*)?$"), ".": re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+(,\d*)?$")}
_OTHER = {",": ".", ".": ","}
_DATE = re.compile(r"(\d{4})[-/.年](\d{1,2})(?:[-/.月](\d{1,2})?[日号]?)?(?:[T ][\d:.]+)?$")
_DATE_LAST_YEAR = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})$")
_WORDS = {
    "编号": "id", "方式": "kind", "类型": "kind", "芯片": "chip", "型号": "chip", "价格": "price", "单价": "price",
    "币种": "currency", "货币": "currency", "库存": "stock_chips", "起订量": "min_order_chips", "交货期": "lead_months",
    "报价日期": "quoted", "日期": "quoted", "有效期": "valid_until", "备注": "note", "供应商": "vendor", "数量": "chips",
    "月份": "month", "实付": "paid", "站点": "site",
}  # fmt: skip
"""Column names that Chinese spreadsheets use, and ours."""
_SAYS = {
    "购买": "buy", "采购": "buy", "租用": "rent", "租赁": "lease", "预留": "reserve", "竞价": "spot", "自有": "own",
    "人民币": "CNY", "元": "CNY", "rmb": "CNY", "美元": "USD", "欧元": "EUR", "是": "yes", "否": "no",
}  # fmt: skip
"""Words in cells that Chinese spreadsheets use, and ours."""


@dataclass(frozen=True, slots=True)
class Kinds:
    """Which columns a table may have, and which of them hold numbers and months; all others are words."""

    columns: tuple[str, ...]
    numbers: frozenset[str]
    months: frozenset[str] = frozenset()
    days: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: its cells by column, empty ones left out, and where it stands for error lines."""

    cells: Mapping[str, Any]
    where: str


def read_table(path: str | Path, kinds: Kinds) -> tuple[Row, ...]:
    """The rows of a CSV file, or of the first sheet of a workbook (XLSX, with the package openpyxl).

    Model:
        A CSV file may be separated by commas, semicolons, tabs or bars, be in UTF-8 (with or without a mark), UTF-16 or
        GB 18030 (GBK), and write numbers with a decimal point or a decimal comma. Which of the two holds for the whole file
        is read off its numbers; where they leave it open and the file is not separated by commas, it is refused.

    Raises:
        InputError: the file cannot be read, or has a column, a number or a date that is not clear.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{file}: there is no such file", fix="give the path of a CSV or XLSX file")
    workbook = file.suffix.lower() in (".xlsx", ".xlsm")
    lines, separator = (_workbook_lines(file), ",") if workbook else _csv_lines(file)
    head = next((number for number, line in enumerate(lines) if any(cell not in (None, "") for cell in line)), None)
    if head is None:
        raise InputError(f"{file.name}: is empty", fix=f"start with a line of columns: {', '.join(kinds.columns)}")
    names = [_column(file, name, kinds.columns) for name in lines[head]]
    for name in names:
        if name and names.count(name) > 1:
            raise InputError(f"{file.name}: column {name!r} stands twice", fix="leave one of them out")
    rows = []
    for number, line in enumerate(lines[head + 1 :], start=head + 2):
        where = f"{file.name}, row {number}"
        further = [cell for cell in line[len(names) :] if cell not in (None, "")]
        if further:
            fix = 'put numbers with a comma between quotes ("98,000"), or separate by semicolons'
            raise InputError(f"{where}: has more cells than there are columns ({str(further[0])[:40]!r} is too many)", fix=fix)
        cells = {name: value for name, value in zip(names, line, strict=False) if name and value not in (None, "")}
        if cells:
            rows.append(Row({name: _dated(name, value, kinds, where) for name, value in cells.items()}, where))
    if not rows:
        raise InputError(f"{file.name}: has a line of columns and no rows", fix="write one row below it, or leave the file out")
    return tuple(_numbered(rows, kinds, separator))


def _column(file: Path, given: Any, columns: tuple[str, ...]) -> str:
    """The column that a name of the first line means; empty for a column without a name."""
    text = unicodedata.normalize("NFKC", str(given if given is not None else "")).strip().lower()
    text = re.sub(r"\s+", "_", re.sub(r"\(.*\)$", "", text).strip())
    name = _WORDS.get(text, text)
    if name and name not in columns:
        near = nearest_names(name, columns)
        fix = f"did you mean {near[0]}?" if near else f"it may have {', '.join(columns)}"
        raise InputError(f"{file.name}: unknown column {text!r}", fix=fix)
    return name


def _csv_lines(file: Path) -> tuple[list[list[Any]], str]:
    text = _decoded(file)
    said = re.match(r"sep=(.)\r?\n", text)
    if said:
        text = text[said.end() :]
    first = next((line for line in text.splitlines() if line.strip()), "")
    bare = re.sub(r'"[^"]*"', "", first)
    counts = {mark: bare.count(mark) for mark in _SEPARATORS}
    separator = said.group(1) if said else max(_SEPARATORS, key=lambda mark: counts[mark])
    try:
        lines: list[list[Any]] = [
            [cell.strip() for cell in line] for line in csv.reader(text.splitlines(keepends=True), delimiter=separator)
        ]
    except csv.Error as error:
        raise InputError(f"{file.name}: cannot be read as CSV ({error})", fix="save it again as CSV") from None
    return lines, separator


def _decoded(file: Path) -> str:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file.name}: cannot be read ({error.strerror})", fix="check its permissions") from None
    mark = next((name for start, name in _MARKS.items() if raw.startswith(start)), "")
    for encoding in (mark,) if mark else _ENCODINGS:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    what = "is a workbook or another binary file" if b"\0" in raw else "is neither UTF-8, UTF-16 nor GBK"
    raise InputError(f"{file.name}: {what}, not CSV", fix="save it as CSV in UTF-8, or give an .xlsx file")


def _workbook_lines(file: Path) -> list[list[Any]]:
    try:
        openpyxl = importlib.import_module("openpyxl")
    except ImportError:
        raise InputError(f"{file.name}: reading XLSX needs the package openpyxl", fix="install it, or save as CSV") from None
    try:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        lines = book.worksheets[0].iter_rows(values_only=True)
        return [[cell.strip() if isinstance(cell, str) else cell for cell in line] for line in lines]
    except Exception as error:  # noqa: BLE001 - openpyxl raises many kinds on a broken file
        raise InputError(f"{file.name}: cannot be read as a workbook ({type(error).__name__})", fix="save it again") from None


def _dated(name: str, value: Any, kinds: Kinds, where: str) -> Any:
    """A cell with its words and its dates as ours; a day is cut to its month where a month is asked for."""
    if name not in kinds.months | kinds.days:
        return _SAYS.get(value.lower(), value) if isinstance(value, str) else value
    if hasattr(value, "strftime"):
        year, month, day = value.year, value.month, value.day
    else:
        year, month, day = _date(str(value), f"{where}, {name}")
    whole = f"{year:04d}-{month:02d}"
    return f"{whole}-{day:02d}" if name in kinds.days and day else whole


def _date(text: str, where: str) -> tuple[int, int, int]:
    """Year, month and day of a date; the day is 0 where there is none."""
    plain = unicodedata.normalize("NFKC", text).strip()
    found, last = _DATE.match(plain), _DATE_LAST_YEAR.match(plain)
    year, month, day = 0, 0, 0
    if found:
        year, month, day = int(found.group(1)), int(found.group(2)), int(found.group(3) or 0)
    elif last:
        first, second, year = int(last.group(1)), int(last.group(3)), int(last.group(4))
        if last.group(2) == "." or first > 12:
            day, month = first, second
        elif second > 12 or first == second:
            month, day = first, second
        else:
            fix = f"write {year}-{first:02d}-{second:02d} or {year}-{second:02d}-{first:02d}"
            raise InputError(f"{where}: {text!r} may be two dates", fix=fix)
    if not 1 <= month <= 12 or not 0 <= day <= 31:
        raise InputError(f"{where}: {text!r} is no date", fix="write it as 2026-10 or 2026-10-31")
    return year, month, day


def _numbered(rows: list[Row], kinds: Kinds, separator: str) -> Iterable[Row]:
    """The rows with the texts of their numbers as plain ones: no grouping, a decimal point."""
    texts = [
        (row.where, name, found[0])
        for row in rows
        for name in row.cells
        if name in kinds.numbers and (found := _split(row.cells[name])) is not None
    ]
    decimal = _decimal(texts, separator)
    for row in rows:
        cells = dict(row.cells)
        for name in cells:
            found = _split(cells[name]) if name in kinds.numbers else None
            if found is not None:
                cells[name] = found[0].replace(_OTHER[decimal], "").replace(decimal, ".") + found[1]
        yield Row(cells, row.where)


def _split(value: Any) -> tuple[str, str] | None:
    """A number's text without blanks, and what follows it; None for anything that is no number in a text."""
    if not isinstance(value, str):
        return None
    found = _NUMBER.match(re.sub(r"[\s'’_]", "", unicodedata.normalize("NFKC", value)))
    return (found.group(1), found.group(2)) if found else None


def _decimal(texts: list[tuple[str, str, str]], separator: str) -> str:
    """The decimal mark of a table: what its numbers say, else the point where commas separate its cells.

    Raises:
        InputError: its numbers contradict each other, or leave it open where both are usual.
    """
    said: dict[str, tuple[str, str, str]] = {}
    for cell in texts:
        marks = _possible(cell[2])
        if not marks:
            raise InputError(f"{cell[0]}, {cell[1]}: {cell[2]!r} is no number", fix="write for example 98000.5")
        if len(marks) == 1:
            said.setdefault(marks[0], cell)
    if len(said) == 2:
        (a, name_a, text_a), (b, name_b, text_b) = said["."], said[","]
        rows = f"{text_a!r} ({a.rpartition(', ')[2]}, {name_a}) and {text_b!r} ({b.rpartition(', ')[2]}, {name_b})"
        raise InputError(f"{a.rpartition(', ')[0]}: {rows} use two decimal marks", fix="write all numbers with a decimal point")
    if said:
        return next(iter(said))
    open_cell = next((cell for cell in texts if len(_possible(cell[2])) == 2 and not cell[2].isdigit()), None)
    if open_cell is not None and separator != ",":
        whole, part = (re.sub(r"[.,]", mark, open_cell[2]) for mark in ("", "."))
        words = f"{open_cell[0]}, {open_cell[1]}: {open_cell[2]!r} may be {whole} or {part}"
        raise InputError(words, fix="write it without a separator of thousands, or with other decimals")
    return "."


def _possible(text: str) -> tuple[str, ...]:
    """The decimal marks under which a text is a number."""
    found = []
    for mark in (".", ","):
        grouping = _OTHER[mark]
        if text.count(mark) > 1:
            continue
        if grouping not in text or _GROUPED[grouping].match(text):
            found.append(mark)
    return tuple(found)
