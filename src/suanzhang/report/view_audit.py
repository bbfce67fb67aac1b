"""The report of ``audit``."""

from __future__ import annotations

from suanzhang.report.blocks import Column, Fact, Facts, Notes, Report, Section, Table, show_number
from suanzhang.report.common import sources_section
from suanzhang.spec.audit import AuditResult, AuditRow
from suanzhang.units import format_figure


def audit(result: AuditResult) -> Report:
    """One row for each claim, and the explanations below."""
    verdict = (
        f"{result.consistent} claims agree with our computation, {result.inconsistent} do not, "
        f"{result.not_checkable} hold no quantity that can be checked."
    )
    checked = tuple(row for row in result.claims if row.verdict != "not checkable")
    rest = tuple(row for row in result.claims if row.verdict == "not checkable")
    sections = (
        Section("Claims", (_table(checked),)),
        Section("Why", (Notes("Why", tuple(f"{row.id}: {row.explanation}" for row in checked)),)),
        Section(
            "Not checkable",
            (Table("Not checkable", (Column("claim"), Column("why")), tuple((row.id, row.explanation) for row in rest)),),
        ),
        Section(
            "What is said",
            (Table("Statements", (Column("claim"), Column("says")), tuple((row.id, row.says) for row in result.claims)),),
            folded=True,
        ),
        Section(
            "Count", (Facts("Count", tuple(Fact(name, number, "claims") for name, number in _counts(result))),), folded=True
        ),
        sources_section(result.sources),
    )
    return Report(f"Claims of {result.document}", verdict, sections, main="Claims")


def _counts(result: AuditResult) -> tuple[tuple[str, int], ...]:
    return (("consistent", result.consistent), ("inconsistent", result.inconsistent), ("not checkable", result.not_checkable))


def _stated(row: AuditRow) -> str:
    if row.stated_low is None or row.stated_high is None:
        return "–"
    if row.stated_low != row.stated_high:
        return f"{show_number(row.stated_low)} to {format_figure(row.stated_high, row.unit)}"
    words = {"about": "about ", "at_least": "at least ", "at_most": "at most "}
    return words.get(row.relation, "") + format_figure(row.stated_low, row.unit)


def _table(rows: tuple[AuditRow, ...]) -> Table:
    columns = (
        Column("claim"),
        Column("verdict"),
        Column("stated"),
        Column("computed", "in its unit"),
        Column("low", "in its unit"),
        Column("high", "in its unit"),
        Column("unit"),
        Column("quantity", optional=True),
    )
    body = tuple((r.id, r.verdict, _stated(r), r.computed, r.low, r.high, r.unit, r.quantity) for r in rows)
    return Table("Claims", columns, body, "low to high: our uncertainty and all plausible variants")
