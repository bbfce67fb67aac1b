"""A report on a terminal, or in a pipe: tables and small charts of text."""

from __future__ import annotations

import shutil
import sys
from typing import IO, Any, Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text
from rich.tree import Tree as RichTree

from suanzhang.report.blocks import (
    PERCENTILES,
    Block,
    Branch,
    Chart,
    Column,
    Facts,
    Notes,
    Point,
    Report,
    Section,
    Table,
    Tree,
    contents,
    ranged,
    readable,
    show_fact,
    show_interval,
    show_number,
)
from suanzhang.report.views import report_of

_PIPE_COLUMNS = 110
_STYLES = ("cyan", "magenta", "yellow", "green", "blue", "red", "bright_black")
_FILLS = "█▓▒░▞▤▥▧▨▩#=+xo"
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_BAR_CELLS = 56
_FOLD = 22
_NARROWEST = 8
"""Cells that a column of text keeps when figures need the room."""


def console(file: IO[str] | None = None, width: int | None = None) -> Console:
    """A console that takes the width of the terminal (COLUMNS), and respects NO_COLOR and pipes."""
    file = file or sys.stdout
    if width is None and not file.isatty():
        width = max(40, shutil.get_terminal_size((_PIPE_COLUMNS, 24)).columns)
    return Console(file=file, width=width, highlight=False, soft_wrap=False, emoji=False)


def print_report(report: Report, *, file: IO[str] | None = None, width: int | None = None, details: bool = False) -> None:
    """Print a report.

    Args:
        report: what to print.
        file: where to; standard output if None.
        width: columns; the terminal's if None.
        details: print the folded sections too.
    """
    out = console(file, width)
    out.print(Text(report.title, style="bold"))
    if report.verdict:
        out.print(Padding(escape(report.verdict), (0, 0, 0, 2), expand=False))
    folded = []
    for section in report.sections:
        if section.folded and not details:
            folded.append(section.title)
            continue
        _print_section(section, out)
    out.print()
    if report.has_percentiles(details):
        out.print(Text(f"(a / b / c): {PERCENTILES}.", style="dim"))
    if folded:
        out.print(Text(f"More in --html, --xlsx and --json: {', '.join(folded)}.", style="dim"))
    if report.footer:
        out.print(Text(report.footer, style="dim"))


def print_answer(result: Any, *, width: int | None = None, details: bool = False) -> None:
    """Print the report of any result of a verb."""
    print_report(report_of(result), width=width, details=details)


def _print_section(section: Section, out: Console) -> None:
    shown = [block for block in section.blocks if contents(block)]
    if not shown:
        return
    out.print()
    out.print(Text(section.title, style="bold underline"))
    for number, block in enumerate(shown):
        if number:
            out.print()
        if block.title and block.title != section.title:
            out.print(Padding(Text(_heading(block), style="italic"), (0, 0, 0, 2), expand=False))
        _print_block(block, out)


def _heading(block: Block) -> str:
    return f"{block.title} [{block.unit}]" if isinstance(block, Chart) else block.title


def _print_block(block: Block, out: Console) -> None:
    if isinstance(block, Facts):
        out.print(Padding(_facts(block), (0, 0, 0, 2), expand=False))
    elif isinstance(block, Table):
        out.print(Padding(_table(readable(block), out.width - 2), (0, 0, 0, 2), expand=False))
        hidden = len(block.rows) - block.limit
        notes = [block.below] if block.below else []
        if hidden > 0:
            notes.append(f"{hidden} more rows with --csv or --json")
        for note in notes:
            out.print(Padding(Text(note, style="dim"), (0, 0, 0, 2), expand=False))
    elif isinstance(block, Chart):
        for line in chart_lines(block, max(20, out.width - 4), color=not out.no_color and out.is_terminal):
            out.print(Padding(line, (0, 0, 0, 2), expand=False))
    elif isinstance(block, Tree):
        for branch in block.lines:
            out.print(Padding(_tree(branch, block.depth), (0, 0, 0, 2), expand=False))
    elif isinstance(block, Notes):
        for note in block.lines:
            grid = RichTable.grid(padding=(0, 1))
            grid.add_row("•", escape(note))
            out.print(Padding(grid, (0, 0, 0, 2), expand=False))


def _tree(branch: Branch, depth: int) -> RichTree:
    line = Text.assemble(branch.name, "  ", (branch.value, "bold"), "  " if branch.detail else "", (branch.detail, "dim"))
    tree = RichTree(line, guide_style="dim")
    for below in branch.below if depth > 1 else ():
        tree.children.append(_tree(below, depth - 1))
    return tree


def _facts(block: Facts) -> RichTable:
    grid = RichTable.grid(padding=(0, 2))
    with_interval = any(fact.interval for fact in block.facts)
    with_note = any(fact.note for fact in block.facts)
    grid.add_column(style="dim")
    grid.add_column()
    if with_interval:
        grid.add_column()
    if with_note:
        grid.add_column(style="dim")
    for fact in block.facts:
        interval = f"({show_interval(fact.interval, fact.unit)})" if fact.interval else ""
        cells: list[RenderableType] = [escape(fact.name), Text(show_fact(fact.value, fact.unit), style="bold")]
        cells += [Text(interval)] if with_interval else []
        cells += [Text(fact.note)] if with_note else []
        grid.add_row(*cells)
    return grid


def _table(block: Table, width: int) -> RichTable:
    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    rows = [
        [show_number(cell, column.digits) for cell, column in zip(row, block.columns, strict=True)]
        for row in block.rows[: block.limit]
    ]
    least = [_least_width(column, [row[index] for row in rows]) for index, column in enumerate(block.columns)]
    kept = list(range(len(block.columns)))
    for index in reversed(range(len(block.columns))):
        if sum(least[i] + 3 for i in kept) > width and block.columns[index].optional:
            kept.remove(index)
    widths = _widths(
        [least[i] for i in kept],
        [_natural_width(block.columns[i], [row[i] for row in rows]) for i in kept],
        width,
        [0 if block.columns[i].unit else max(_NARROWEST, *map(len, block.columns[i].header.split())) for i in kept],
    )
    for index, cells in zip(kept, widths, strict=True):
        column = block.columns[index]
        justify: Literal["left", "right"] = "right" if column.unit else "left"
        table.add_column(Text(column.header), justify=justify, overflow="fold", width=cells)
    for row in rows:
        table.add_row(*(Text(row[index]) for index in kept))
    return table


def _widths(least: list[int], natural: list[int], width: int, folded: list[int]) -> list[int]:
    """Width of each column: its natural one where there is room, the rest by need.

    A lack is taken from texts first, down to what they can be folded to (0 for columns of figures), then from the widest.
    """
    room = width - 3 * (len(least) - 1)
    if sum(natural) <= room:
        return natural
    wanted = [max(0, most - few) for few, most in zip(least, natural, strict=True)]
    spare = room - sum(least)
    if spare >= 0:
        return [few + (spare * want // max(1, sum(wanted))) for few, want in zip(least, wanted, strict=True)]
    widths = list(least)
    while sum(widths) > room and (texts := [i for i, most in enumerate(folded) if most and widths[i] > most]):
        widths[max(texts, key=lambda i: widths[i])] -= 1
    while sum(widths) > room and max(widths) > 4:
        widths[widths.index(max(widths))] -= 1
    return widths


def _natural_width(column: Column, cells: list[str]) -> int:
    """One line for every cell and, where that makes no difference, for the header."""
    longest = max((cell_len(cell) for cell in cells), default=0)
    return max(_least_width(column, cells), longest, min(len(column.header), 14))


def _least_width(column: Column, cells: list[str]) -> int:
    """Numbers and short texts stay on one line; longer texts may be folded, and an interval may go below its number."""
    head = max(len(word) for word in column.header.split())
    if column.unit:
        return max([head, *(cell_len(part) for cell in cells for part in cell.replace(" (", "\n(").split("\n"))])
    longest = max((cell_len(cell) for cell in cells), default=0)
    return max(head, min(longest, _FOLD))


def chart_lines(chart: Chart, width: int, *, color: bool) -> list[Text]:
    """A chart as lines of text: one bar for each place on its x axis, with its value.

    Args:
        chart: what to draw.
        width: columns to use.
        color: whether series differ by colour; without, they differ by the pattern of the bar.
    """
    if any(point.y < 0.0 for point in chart.points):
        return _swing_lines(chart, width, color=color)
    names = list(dict.fromkeys(point.x for point in chart.points))
    series = list(dict.fromkeys(point.series for point in chart.points))
    totals = {name: sum(point.y for point in chart.points if point.x == name) for name in names}
    largest = max([*(abs(value) for value in totals.values()), chart.limit or 0.0, 1e-300])
    label = min(28, max(len(name) for name in names))
    spans = {point.x: point.interval for point in chart.points} if len(series) == 1 and len(names) == len(chart.points) else {}
    figures = {name: show_number(ranged(totals[name], spans.get(name))) for name in names}
    room = min(_BAR_CELLS, max(8, width - label - max(len(text) for text in figures.values()) - 4))
    lines = []
    for name in names:
        line = Text(f"{name[:label]:<{label}} ")
        used, done = 0, 0.0
        for index, part in enumerate(series):
            done += sum(max(0.0, point.y) for point in chart.points if point.x == name and point.series == part)
            cells = round(done / largest * room) - used
            fill, style = _ink(index, color)
            line.append(fill * cells, style=style)
            used += cells
        if used == 0 and totals[name] > 0:
            line.append(_EIGHTHS[1])
        line.append(f" {figures[name]}")
        lines.append(line)
    lines += _legend(series, label, width, color=color)
    if chart.limit is not None:
        lines.append(Text(f"{'':<{label}} limit {show_number(chart.limit)} {chart.unit}"))
    return lines


def _legend(series: list[str], label: int, width: int, *, color: bool) -> list[Text]:
    """Which mark is which of several series, as many on a line as have room; nothing where there is but one."""
    lines: list[Text] = []
    for index, part in enumerate(series if len(series) > 1 else ()):
        fill, style = _ink(index, color)
        entry = Text.assemble((f"{fill} ", style), f"{part}  ")
        if not lines or (lines[-1].cell_len > label + 1 and lines[-1].cell_len + entry.cell_len > width):
            lines.append(Text(" " * (label + 1)))
        lines[-1].append_text(entry)
    return lines


def _ink(index: int, color: bool) -> tuple[str, str]:
    """Fill and style of one series of a chart: another for each as long as there are any; fills alone without color."""
    if not color:
        return _FILLS[index % len(_FILLS)], ""
    return _FILLS[index // len(_STYLES) % len(_FILLS)], _STYLES[index % len(_STYLES)]


def _swing_lines(chart: Chart, width: int, *, color: bool) -> list[Text]:
    """A chart with values on both sides of zero: one line for each place, its bars to the left and to the right."""
    names = list(dict.fromkeys(point.x for point in chart.points))
    series = list(dict.fromkeys(point.series for point in chart.points))
    largest = max(abs(point.y) for point in chart.points)
    label = min(40, max(len(name) for name in names))
    half = min(_BAR_CELLS, max(8, width - label - 24)) // 2
    lines = []
    for name in names:
        own = [point for point in chart.points if point.x == name]
        line = Text(f"{name[:label]:<{label}} ")
        left = min(own, key=lambda point: point.y)
        right = max(own, key=lambda point: point.y)
        for point, sign in ((left, -1.0), (right, 1.0)):
            cells = round(max(0.0, sign * point.y) / largest * half)
            index = series.index(point.series)
            fill, style = _ink(index, color)
            bar = Text(fill * cells, style=style)
            blank = " " * (half - cells)
            line.append_text(Text(blank) + bar + Text("│") if sign < 0.0 else bar + Text(blank))
        ends = (left, right) if left is not right else (left,)
        lines.append(line.append(" " + " to ".join(_signed(point, alone=left is right) for point in ends)))
    return lines + _legend(series, label, width, color=color)


def _signed(point: Point, *, alone: bool) -> str:
    """The figure of a bar with its sign, and with its interval where it is the only bar of its line."""
    return ("+" if point.y > 0.0 else "") + show_number(ranged(point.y, point.interval if alone else None))
