"""The report of ``audit``."""

from __future__ import annotations

import math

from suanzhang.report.blocks import Column, Fact, Facts, Notes, Report, Section, Table, show_number
from suanzhang.report.common import sources_section, warnings_section
from suanzhang.spec.audit import AuditResult, AuditRow
from suanzhang.units import MEGA


def audit(result: AuditResult) -> Report:
    """One row for each claim, and the explanations below."""
    verdict = _verdict(result)
    checked = tuple(row for row in result.claims if row.computed is not None)
    rest = tuple(row for row in result.claims if row.computed is None)
    sections = (
        Section("Claims", (_table(checked),)),
        Section("Why", (Notes("Why", tuple(f"{row.id}: {row.explanation}" for row in checked)),)),
        warnings_section((), weak=result.weak_inputs),
        Section(
            "Not checkable",
            (Table("Not checkable", (Column("claim"), Column("why")), tuple((row.id, row.explanation) for row in rest)),),
        ),
        Section(
            "What is said",
            (_statements(result.claims),),
            folded=True,
        ),
        Section(
            "Count",
            (
                Facts(
                    "Count", tuple(Fact(name, number, "claim" if number == 1 else "claims") for name, number in _counts(result))
                ),
            ),
            folded=True,
        ),
        sources_section(result.sources),
    )
    return Report(f"Claims of {result.document}", verdict, sections, main="Claims")


def _statements(rows: tuple[AuditRow, ...]) -> Table:
    """What is said, with its own words where the file quotes them."""
    if any(row.quote for row in rows):
        columns = (Column("claim"), Column("says"), Column("in its own words"))
        return Table("Statements", columns, tuple((row.id, row.says, row.quote) for row in rows))
    return Table("Statements", (Column("claim"), Column("says")), tuple((row.id, row.says) for row in rows))


def _verdict(result: AuditResult) -> str:
    """The counts as one sentence."""
    agree, against, wide = result.consistent, result.inconsistent, result.too_wide
    rest = result.not_checkable - wide
    claims = "claim agrees" if agree == 1 else "claims agree"
    words = f"{agree or 'No'} {claims} with our computation"
    words += f", {against} {'does' if against == 1 else 'do'} not" if against else ""
    words += f", {rest} cannot be checked" if rest else ""
    words += f", for {wide} our range is too wide" if wide else ""
    return f"{words}."


def _counts(result: AuditResult) -> tuple[tuple[str, int], ...]:
    return (
        ("consistent", result.consistent),
        ("inconsistent", result.inconsistent),
        ("not checkable", result.not_checkable),
        ("of these with a range too wide to judge", result.too_wide),
    )


TIMES = ("months", "weeks", "days", "years")
"""Units in which what takes for ever is said never to come."""
_UNITS = {"fraction": "%", "ratio": "times"}


def _scale(row: AuditRow) -> tuple[float, str]:
    """What the figures of a row are multiplied by for the table, and their unit there."""
    amounts = (row.computed, row.high, row.stated_high, 0.0)
    largest = max(abs(value) for value in amounts if value is not None and math.isfinite(value))
    if largest >= 10.0 * MEGA:
        return 1.0 / MEGA, f"million {row.unit}"
    return (100.0 if row.unit == "fraction" else 1.0), _UNITS.get(row.unit, row.unit)


def _shown(value: float | None, row: AuditRow) -> float | str | None:
    if value is not None and not math.isfinite(value):
        return "never" if row.unit in TIMES and value > 0.0 else "no limit"
    return None if value is None else value * _scale(row)[0]


def _stated(row: AuditRow) -> str:
    low, high = _shown(row.stated_low, row), _shown(row.stated_high, row)
    if low is None or high is None:
        return "–"
    if low != high:
        return f"{show_number(low)} to {show_number(high)}"
    words = {"about": "about ", "at_least": "at least ", "at_most": "at most "}
    return words.get(row.relation, "") + show_number(low)


def _table(rows: tuple[AuditRow, ...]) -> Table:
    columns = (
        Column("claim"),
        Column("verdict"),
        Column("stated"),
        Column("computed", "in its unit"),
        Column("low", "in its unit"),
        Column("high", "in its unit"),
        Column("unit"),
        Column("how"),
        Column("quantity", optional=True),
    )
    body = tuple(
        (
            r.id, r.verdict, _stated(r), _shown(r.computed, r), *_ends(r), _scale(r)[1], _how(r), r.quantity,
        )
        for r in rows
    )  # fmt: skip
    return Table("Claims", columns, body, "low to high: our uncertainty and all plausible variants; exact arithmetic has none")


def _ends(row: AuditRow) -> tuple[float | str | None, float | str | None]:
    """The range of a row; none where arithmetic over the stated figures gives one value."""
    if row.exact and row.low == row.high:
        return None, None
    return _shown(row.low, row), _shown(row.high, row)


def _how(row: AuditRow) -> str:
    return "exact arithmetic" if row.exact else "estimated"
