"""Walks a result and finds every number that is shown as a prediction without an interval beside it.

A number ``name`` of a frozen result needs a sibling ``name_interval`` with p05 <= p50 <= p95, not all equal, and the number
inside. So do amounts of money, numbers in maps (a map ``name_interval`` of the same keys, or a key ``<key>_interval`` in the
same map), numbers in tuples (a tuple ``name_interval`` of the same length) and in pairs of a name and an amount (a map
``name_interval`` of the names). What is no prediction is listed by the test, as
``Type`` or ``Type.field`` with the reason; an entry that nothing meets is a finding too, so that lists do not rot.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from suanzhang.report.blocks import Chart, Facts, Ranged, Report, Table
from suanzhang.spec.result import Interval, Money

COMMON: Mapping[str, str] = {
    "Header": "version, date and seed",
    "TrainLayout": "a setting",
    "ServeLayout": "a setting",
    "ModelSpec": "the shape of the model",
    "ChipSpec": "figures of the catalog",
    "SourceUse": "a reference",
    "Quoted": "a figure of the catalog with its source",
}
"""Types that hold no prediction in any result."""
_TOLERANCE = 1e-9


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def fault_of(value: float, interval: object) -> str:
    """What is wrong with the interval of a value; empty when nothing is.

    A value of 0 may stand for none and go without; a whole count may be the same at both ends.
    """
    if not isinstance(interval, Interval):
        return "" if value == 0 and interval is None else "has no interval"
    low, middle, high = interval.p05, interval.p50, interval.p95
    if not low <= middle <= high:
        return f"interval out of order: {interval}"
    if low == high and value != 0 and not isinstance(value, int):
        return f"interval is a point: {interval}"
    slack = _TOLERANCE * max(abs(value), abs(low), abs(high))
    return "" if low - slack <= value <= high + slack else f"{value!r} is outside of {interval}"


class Walk:
    """Findings over one result or several.

    Args:
        not_predicted: ``Type`` or ``Type.field`` to why it is no prediction; :data:`COMMON` is always added.
    """

    def __init__(self, not_predicted: Mapping[str, str]) -> None:
        self.listed = {**COMMON, **not_predicted}
        self.own = tuple(not_predicted)
        self.met: set[str] = set()
        self.spanned: set[str] = set()

    def findings(self, result: Any) -> list[str]:
        """Every number of a result without a good interval, once for each field."""
        return list(dict.fromkeys(self._walk(result, type(result).__name__)))

    @property
    def unmet(self) -> list[str]:
        """Entries of the list of what is no prediction that no result had."""
        return [name for name in self.own if name not in self.met]

    def _skips(self, name: str) -> bool:
        if name in self.listed:
            self.met.add(name)
        return name in self.listed

    def _walk(self, value: Any, where: str) -> Iterator[str]:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            kind = type(value).__name__
            if not isinstance(value, Interval) and not self._skips(kind):
                for field in dataclasses.fields(value):
                    name = f"{kind}.{field.name}"
                    if not field.name.endswith("_interval") and not self._skips(name):
                        beside = getattr(value, f"{field.name}_interval", _LACKING)
                        yield from self._check(getattr(value, field.name), beside, name)
        elif isinstance(value, (Mapping, list, tuple)):
            yield from self._check(value, _LACKING, where)

    def _check(self, value: Any, beside: Any, where: str) -> Iterator[str]:
        if isinstance(value, Money):
            value = value.amount
        if is_number(value):
            fault = "has no field for an interval" if beside is _LACKING else fault_of(value, beside)
            if fault:
                yield f"{where}: {fault}"
            else:
                self.spanned.add(where)
        elif isinstance(value, Mapping):
            spans = beside if isinstance(beside, Mapping) else {}
            for key, item in value.items():
                if str(key).endswith("_interval") or self._skips(f"{where}.{key}"):
                    continue
                own = spans.get(key, value.get(f"{key}_interval", None if isinstance(beside, Mapping) else _LACKING))
                yield from self._check(item, own, f"{where}.{key}")
        elif isinstance(value, (list, tuple)) and isinstance(beside, Mapping):  # pairs of name and amount
            for key, item in value:
                if item:
                    yield from self._check(item, beside.get(key), f"{where}.{key}")
        elif isinstance(value, (list, tuple)):
            spans = beside if isinstance(beside, (list, tuple)) and len(beside) == len(value) else ()
            for index, item in enumerate(value):
                if is_number(item) or isinstance(item, Money):
                    yield from self._check(item, spans[index] if spans else _LACKING, where)
                else:
                    yield from self._walk(item, where)
        else:
            yield from self._walk(value, where)


_LACKING = object()


def unspanned(results: Iterable[Any], not_predicted: Mapping[str, str]) -> list[str]:
    """Findings over results, entries of the list that nothing met included; empty when every prediction has its interval."""
    walk = Walk(not_predicted)
    found = [line for result in results for line in walk.findings(result)]
    return list(dict.fromkeys([*found, *(f"{name}: is listed as no prediction, and no result has it" for name in walk.unmet)]))


def bare(report: Report, not_predicted: Mapping[str, str]) -> list[str]:
    """Facts, columns and charts of a report that show numbers without an interval, and entries of the list that it lacks.

    Args:
        report: of any result.
        not_predicted: name of a fact or a column, or title of a chart, to why it is no prediction.
    """
    found: list[str] = []
    met: set[str] = set()

    def check(name: str, shown: bool, spanned: bool, where: str) -> None:
        if name in not_predicted:
            met.add(name)
        elif shown and not spanned:
            found.append(f"{where}: {name} has no interval")

    for section in report.sections:
        for block in section.blocks:
            if isinstance(block, Facts):
                for fact in block.facts:
                    check(fact.name, bool(is_number(fact.value) and fact.value), fact.interval is not None, section.title)
            elif isinstance(block, Table):
                for index, column in enumerate(block.columns):
                    numbers = [row[index] for row in block.rows if is_number(row[index]) and row[index]]
                    check(column.name, bool(numbers), any(isinstance(cell, Ranged) for cell in numbers), block.title)
            elif isinstance(block, Chart):
                points = [point for point in block.points if point.y]
                check(block.title, bool(points), all(point.interval is not None for point in points), section.title)
    return found + [f"{name}: is listed as no prediction, and the report lacks it" for name in not_predicted if name not in met]
