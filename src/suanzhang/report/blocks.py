"""What a report is made of: facts, tables, charts and notes. Every face renders these and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from suanzhang.spec.memory import memory_words
from suanzhang.spec.result import Interval, Money
from suanzhang.units import format_count, format_duration, format_figure, format_si

Scalar = str | float | int | bool | None
ChartKind = Literal["bars", "stacked", "line"]

_SI_UNITS = {"W", "J", "FLOP", "FLOP/s", "B/s"}
_CURRENCY_LENGTH = 3
_IN_BRACKETS = "in brackets: 5th to 95th percentile of our prediction"
PERCENTILES = (
    "5th / 50th / 95th percentile of our prediction; the figure before them is the estimate itself, and the 50th percentile is "
    "its middle once our errors on published measurements, and what was drawn besides, are counted"
)
"""What the three figures beside a figure are, and why the middle one is not the figure: said once in each report."""


class Ranged(float):
    """A figure of a table with our interval beside it; still the number itself to whatever only wants that."""

    __slots__ = ("interval",)
    interval: Interval

    def __new__(cls, value: float, interval: Interval) -> Ranged:
        """The figure and its interval, both in the unit of the column."""
        self = super().__new__(cls, value)
        self.interval = interval
        return self


def ranged(value: float | None, interval: Interval | None, scale: float = 1.0) -> float | None:
    """A figure for a table times ``scale``, with its interval when there is one."""
    if value is None or interval is None:
        return None if value is None else value * scale if scale != 1.0 else value
    return Ranged(value * scale, interval.scaled(scale) if scale != 1.0 else interval)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Args:
        name: what it holds, in words.
        unit: unit of its numbers; empty only for columns of text.
        digits: significant digits shown to people.
        optional: a narrow terminal may leave it out.
    """

    name: str
    unit: str = ""
    digits: int = 3
    optional: bool = False

    @property
    def header(self) -> str:
        """Name with its unit, such as ``step time [s]``; a count that names its own unit stands alone."""
        return f"{self.name} [{self.unit}]" if self.unit and self.unit != self.name else self.name


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of raw values under columns with units; ``note`` stands below, a terminal shows at most ``limit`` rows."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Scalar, ...], ...]
    note: str = ""
    limit: int = 40

    @property
    def below(self) -> str:
        """The note for people, who see intervals in brackets."""
        spans = any(isinstance(cell, Ranged) for row in self.rows for cell in row)
        return "; ".join(part for part in (self.note, _IN_BRACKETS if spans else "") if part)


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure with its unit and, where we have one, our interval; or one text.

    Args:
        name: what it is, in words.
        value: a number, a text, or None when there is none.
        unit: of the number; empty for texts.
        interval: our uncertainty.
        note: what a reader must know.
    """

    name: str
    value: Scalar
    unit: str = ""
    interval: Interval | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Figures of one subject."""

    title: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """One mark of a chart: where on the x axis, which series, its value and our interval."""

    x: str
    series: str
    y: float
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure as a description: bars by name, stacked bars over months, or a line over months.

    Args:
        title: what it shows.
        kind: form of the marks.
        x: meaning of the x axis.
        y: meaning of the y axis.
        unit: unit of the y axis.
        points: the marks, in order.
        limit: a level that must not be exceeded; None without.
        numbers: the places on the x axis are numbers, drawn to scale.
        log: the y axis is logarithmic.
    """

    title: str
    kind: ChartKind
    x: str
    y: str
    unit: str
    points: tuple[Point, ...]
    limit: float | None = None
    numbers: bool = False
    log: bool = False


@dataclass(frozen=True, slots=True)
class Notes:
    """Sentences for the reader."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Branch:
    """One line of a tree, what stands beside it, and what lies below it (which a page hides when ``folded``).

    The ``interval`` is the one that the words of ``value`` tell already, in the unit of its figure.
    """

    name: str
    value: str = ""
    detail: str = ""
    below: tuple[Branch, ...] = ()
    folded: bool = False
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    """What a figure is made of, level by level; a terminal shows ``depth`` levels."""

    title: str
    lines: tuple[Branch, ...]
    depth: int = 4


Block = Facts | Table | Chart | Notes | Tree


def contents(block: Block) -> tuple[object, ...]:
    """What a block shows; a face leaves out one that shows nothing."""
    if isinstance(block, Facts):
        return block.facts
    if isinstance(block, Table):
        return block.rows
    return block.points if isinstance(block, Chart) else block.lines


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks of one subject; ``folded`` ones are details that a terminal leaves out and a page folds."""

    title: str
    blocks: tuple[Block, ...]
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report.

    Args:
        title: of the page.
        verdict: the answer in one or two sentences.
        sections: what it is made of.
        footer: version, catalog date and seed in words.
        command, call: the command and the Python call that give the same answer; empty when not known.
        main: title of the table that is the answer as rows; empty for the first.
    """

    title: str
    verdict: str
    sections: tuple[Section, ...]
    footer: str = ""
    command: str = ""
    call: str = ""
    main: str = field(default="")

    def has_percentiles(self, details: bool = True) -> bool:
        """Whether percentiles stand beside a single figure, in the folded sections too with ``details``."""
        shown = (section for section in self.sections if details or not section.folded)
        blocks = (block for section in shown for block in section.blocks if isinstance(block, (Facts, Tree)))
        figures = (figure for block in blocks for figure in (block.facts if isinstance(block, Facts) else block.lines))
        return any(figure.interval is not None for figure in figures)

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables, in order."""
        return tuple(block for section in self.sections for block in section.blocks if isinstance(block, Table))

    @property
    def main_table(self) -> Table | None:
        """The table that is the answer as rows."""
        tables = self.tables
        return next((table for table in tables if table.title == self.main), tables[0] if tables else None)


def money_fact(name: str, money: Money | None, interval: Interval | None = None, note: str = "") -> Fact:
    """A fact that holds an amount of money; the month of its prices goes into the note."""
    if money is None:
        return Fact(name, None, note=note or "no price given")
    dated = f"prices of {money.date}" if money.date else ""
    return Fact(name, money.amount, money.currency, interval, "; ".join(part for part in (dated, note) if part))


def show_number(value: Scalar, digits: int = 3) -> str:
    """A value of a table for people, its unit being in the header."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, Ranged) and value.interval.p05 == value.interval.p95 == value:
        value = float(value)
    if isinstance(value, Ranged):
        return f"{show_number(float(value), digits)} ({_ends(value.interval, digits)})"
    if not math.isfinite(value):
        return f"{value}"
    if value == 0:
        return "0"
    if abs(value) >= 10**digits or (float(value).is_integer() and abs(value) < 1e15):
        return format_count(value)
    if abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    rounded = abs(float(f"{value:.{digits - 1}e}"))
    decimals = max(0, digits - 1 - math.floor(math.log10(rounded)))
    return f"{value:,.{decimals}f}"


def _ends(interval: Interval, digits: int) -> str:
    """The 5th and 95th percentile for people, a digit less than the figure has."""
    few = max(2, digits - 1)
    ends = [float(f"{end:.{digits - 1}e}") for end in (interval.p05, interval.p95)]
    low, high = (show_number(end, digits if abs(end) >= 10**few else few) for end in ends)
    return f"{low} to {high}" if "-" in low + high else f"{low}–{high}"


_LARGE = ((1e10, 1e9, "billion"), (1e6, 1e6, "million"))
"""From which largest amount on a column of money is shown in what."""


def is_currency(unit: str) -> bool:
    """Whether a unit is a currency alone."""
    return len(unit) == _CURRENCY_LENGTH and unit.isalpha() and unit.isupper()


def readable(table: Table) -> Table:
    """A table for people: columns of large amounts of money in millions or billions, as their headers say."""
    scales: dict[int, tuple[float, str]] = {}
    for index, column in enumerate(table.columns):
        cells = (row[index] for row in table.rows) if is_currency(column.unit) else ()
        largest = max((abs(cell) for cell in cells if isinstance(cell, (int, float))), default=0.0)
        for least, scale, word in _LARGE:
            if least <= largest < math.inf:
                scales[index] = (1.0 / scale, f"{word} {column.unit}")
                break
    if not scales:
        return table
    columns = tuple(
        replace(column, unit=scales[index][1]) if index in scales else column for index, column in enumerate(table.columns)
    )
    rows = tuple(
        tuple(_times(cell, scales[index][0]) if index in scales else cell for index, cell in enumerate(row))
        for row in table.rows
    )
    return replace(table, columns=columns, rows=rows)


def _times(cell: Scalar, scale: float) -> Scalar:
    if scale == 1.0:
        return cell
    if isinstance(cell, Ranged):
        return Ranged(float(cell) * scale, cell.interval.scaled(scale))
    return cell * scale if isinstance(cell, (int, float)) and not isinstance(cell, bool) else cell


def with_ends(table: Table) -> Table:
    """A table whose figures with an interval have its percentiles in columns of their own, for programs that read it."""
    wide = {index for row in table.rows for index, cell in enumerate(row) if isinstance(cell, Ranged)}
    if not wide:
        return table
    columns: list[Column] = []
    for index, column in enumerate(table.columns):
        columns.append(column)
        if index in wide:
            columns += [replace(column, name=f"{column.name} {end}") for end in ("p05", "p50", "p95")]
    return replace(table, columns=tuple(columns), rows=tuple(_with_ends(row, wide) for row in table.rows))


def _with_ends(row: tuple[Scalar, ...], wide: set[int]) -> tuple[Scalar, ...]:
    cells: list[Scalar] = []
    for index, cell in enumerate(row):
        if isinstance(cell, Ranged):
            cells += [float(cell), cell.interval.p05, cell.interval.p50, cell.interval.p95]
        else:
            cells += [cell, None, None, None] if index in wide else [cell]
    return tuple(cells)


def show_fact(value: Scalar, unit: str) -> str:
    """A value with its unit for people: SI prefixes, durations, percent, thousands separators."""
    if value is None or isinstance(value, (str, bool)):
        return show_number(value)
    if unit == "s":
        return format_duration(value)
    if unit == "B":
        return memory_words(value)
    if unit in _SI_UNITS:
        return format_si(value, unit)
    if unit == "d":
        return f"{show_number(value)} days"
    if unit == "fraction":
        return f"{show_number(100.0 * value)} %"
    if is_currency(unit) and abs(value) >= 1e3:
        return format_figure(value, unit)
    return f"{show_number(value)} {'' if unit == '1' else unit}".rstrip()


def show_interval(interval: Interval | None, unit: str) -> str:
    """The 5th, 50th and 95th percentile for people, empty when there is no interval."""
    if interval is None:
        return ""
    shown = [show_fact(value, unit) for value in (interval.p05, interval.p50, interval.p95)]
    units = {text.partition(" ")[2] for text in shown}
    if len(units) == 1 and units != {""}:
        shown = [text.partition(" ")[0] for text in shown[:-1]] + shown[-1:]
    return " / ".join(shown)
