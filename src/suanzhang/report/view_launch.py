"""The report of launch files."""

from __future__ import annotations

from suanzhang.report.blocks import Column, Fact, Facts, Notes, Report, Section, Table
from suanzhang.report.common import layout_words, weak_line
from suanzhang.spec.launch import LaunchResult
from suanzhang.units import format_count


def launch(result: LaunchResult) -> Report:
    """The files of one target, what starts them, and what they cannot say."""
    plan, names = result.plan, ", ".join(file.name for file in result.files)
    where = f" in {result.folder}" if result.folder else ""
    verdict = (
        f"{names}{where}: {plan.model} on {format_count(plan.chips)} x {plan.chip} with {layout_words(plan.layout)}, "
        f"for {result.target.title} {result.target.version}."
    )
    facts = Facts(
        "Start",
        (
            Fact("start it with", result.start),
            Fact("names checked against", f"{result.target.title} {result.target.version}", note=result.target.url),
        ),
    )
    listed = Table(
        "Files", (Column("file"), Column("lines", "lines")), tuple((f.name, f.text.count("\n")) for f in result.files)
    )
    rests = weak_line(getattr(plan, "weak_inputs", ()))
    sections = (
        Section("Start", (facts, listed)),
        Section("What the plan rests on", (Notes("What the plan rests on", (rests,)),) if rests else ()),
        Section("What the files leave to you", (Notes("What the files leave to you", result.unsaid),) if result.unsaid else ()),
        *(Section(file.name, (Notes(file.name, tuple(file.text.splitlines())),), folded=True) for file in result.files),
    )
    return Report(f"Launch files for {result.target.title}", verdict, sections)
