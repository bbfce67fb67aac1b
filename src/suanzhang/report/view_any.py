"""The view of a result that has none of its own: its fields, with the units that their names end in."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from suanzhang.report.blocks import Block, Column, Fact, Facts, Notes, Report, Scalar, Section, Table
from suanzhang.report.common import key_facts, layout_words, unit_of_value
from suanzhang.report.jsonable import to_text
from suanzhang.source import Quoted
from suanzhang.spec.layout import ServeLayout, TrainLayout
from suanzhang.spec.result import Interval, Money
from suanzhang.units import in_words, unit_of_key


def anything(result: Any) -> Report:
    """Single figures first, then one section for each list or map."""
    if not dataclasses.is_dataclass(result):
        return Report("Result", "", (Section("Result", (_of(result, "Result"),)),))
    names = [
        field.name for field in dataclasses.fields(result) if field.name != "header" and not field.name.endswith("_interval")
    ]
    single = [name for name in names if _is_single(getattr(result, name))]
    facts = key_facts(result, single)
    sections = [Section("Result", (Facts("Result", facts),))] if facts else []
    for name in names:
        value = getattr(result, name)
        if name not in single and value:
            sections.append(Section(in_words(name).capitalize(), (_of(value, in_words(name).capitalize()),)))
    title = type(result).__name__.removesuffix("Result") or "Result"
    return Report(title, "", tuple(sections))


def _is_single(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, Money, TrainLayout, ServeLayout))


def _of(value: Any, title: str) -> Block:
    if isinstance(value, Mapping):
        facts = tuple(_fact(str(key), item) for key, item in value.items())
        return Facts(title, facts)
    if isinstance(value, (list, tuple)):
        if value and all(dataclasses.is_dataclass(item) for item in value):
            return rows_table(title, value)
        if value and all(isinstance(item, Mapping) for item in value):
            return mappings_table(title, value)
        return Notes(title, tuple(str(item) for item in value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return Facts(title, tuple(_fact(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)))
    return Notes(title, (str(value),))


def _fact(key: str, value: Any) -> Fact:
    if isinstance(value, Quoted):
        note = ", ".join(part for part in (value.grade, value.source, value.date, value.note) if part)
        return Fact(in_words(key), value.value, value.unit, note=note)
    if isinstance(value, Money):
        return Fact(in_words(key), value.amount, value.currency)
    if isinstance(value, Interval):
        return Fact(in_words(key), value.p50, unit_of_key(key.removesuffix("_interval")), value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Fact(in_words(key), value, unit_of_value(key, value))
    return Fact(in_words(key), cell(value))


def rows_table(title: str, rows: Any) -> Table:
    """A table of frozen values of one type, a column for each field that is not empty throughout."""
    names = [field.name for field in dataclasses.fields(rows[0])]
    return _columns(title, names, [[getattr(row, name, None) for name in names] for row in rows])


def mappings_table(title: str, rows: Any) -> Table:
    """A table of maps, a column for each key."""
    names = list(dict.fromkeys(str(key) for row in rows for key in row))
    return _columns(title, names, [[row.get(name) for name in names] for row in rows])


def _columns(title: str, names: list[str], rows: list[list[Any]]) -> Table:
    columns, kept = [], []
    for index, name in enumerate(names):
        values = [row[index] for row in rows]
        if all(value is None or value in ("", (), [], {}) for value in values):
            continue
        money = next((value for value in values if isinstance(value, Money)), None)
        number = all(
            value is None or (isinstance(value, (int, float, Money)) and not isinstance(value, bool)) for value in values
        )
        first = next((value for value in values if value is not None), None)
        unit = money.currency if money else unit_of_value(name, first) if number else ""
        columns.append(Column(in_words(name), unit))
        kept.append([value.amount if isinstance(value, Money) and money else cell(value) for value in values])
    return Table(title, tuple(columns), tuple(zip(*kept, strict=True)) if kept else ())


def cell(value: Any) -> Scalar:
    """Any value as one cell."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, Quoted):
        return f"{value.value:g} {value.unit} ({value.grade})"
    if isinstance(value, Money):
        return f"{value.amount:,.2f} {value.currency}"
    if isinstance(value, Interval):
        return f"{value.p05:.3g} to {value.p95:.3g}"
    if isinstance(value, (TrainLayout, ServeLayout)):
        return layout_words(value)
    if isinstance(value, (list, tuple, set, frozenset)) and all(isinstance(item, (str, int, float)) for item in value):
        return ", ".join(str(item) for item in value)
    text = to_text(value if dataclasses.is_dataclass(value) or isinstance(value, Mapping) else {"value": str(value)})
    return " ".join(text.split())
