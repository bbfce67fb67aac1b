"""The report of ``measure``."""

from __future__ import annotations

from suanzhang.report.blocks import Column, Fact, Facts, Notes, Report, Section, Table
from suanzhang.spec.trust_measure import MeasuredResult


def measured(result: MeasuredResult) -> Report:
    """Measured against predicted, kind by kind."""
    against = f"against the figures of {result.chip}" if result.chip else "which is no chip of the catalog"
    verdict = f"Timed {result.device} in {result.measured_s:.0f} s, {against}."
    columns = (
        Column("kind"), Column("shapes", "shapes"), Column("measured, median", "s"), Column("predicted, median", "s"),
        Column("median error", "%"), Column("measured / predicted, 5 %", "times"), Column("95 %", "times"),
    )  # fmt: skip
    rows = tuple(
        (k.kind, k.shapes, k.median_measured_s, k.median_predicted_s, k.median_abs_pct, k.ratio_p05, k.ratio_p95)
        for k in result.kinds
    )
    profile = (Fact("profile", result.profile),) if result.profile else ()
    facts = (Fact("device", result.device), Fact("software", result.software), Fact("timings", result.timings), *profile)
    fix = f"suanzhang calibrate {result.timings} --chip {result.chip or 'CHIP'} --stack torch-VERSION --folder profiles"
    use = f"predict with it: --chip {result.chip} --stack STACK,profile={result.profile} of serve, train and the others"
    following = (use,) if result.profile else (f"fit a profile: {fix}",)
    sections = (
        Section("Measured against predicted", (Table("Measured against predicted", columns, rows),)),
        Section("What was measured", (Facts("What was measured", facts),)),
        Section("Warnings", (Notes("Warnings", result.warnings),) if result.warnings else ()),
        Section("Next", (Notes("Next", following),) if following else ()),
    )
    return Report(f"Measurement of {result.device}", verdict, sections)
