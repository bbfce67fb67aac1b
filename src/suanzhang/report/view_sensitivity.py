"""The report of ``sensitivity``: a tornado of every answer, the inputs behind it, and what a measurement would be worth."""

from __future__ import annotations

from suanzhang.report.blocks import Chart, Column, Fact, Facts, Notes, Point, Report, Section, Table, show_fact
from suanzhang.spec.trust_sensitivity import Answer, Effect, SensitivityResult, Worth

_BARS = 12
_VERBS = {
    "train": "training", "serve": "serving", "plan": "the plan of", "buy": "the schedule of", "goodput": "the calendar time of",
    "examine": "the imported job,", "variants": "the comparison of",
}  # fmt: skip


def sensitivity(result: SensitivityResult) -> Report:
    """What moves the main answer first, then the others folded."""
    main, *others = result.answers
    sections = [
        *_notes(result),
        Section(f"What moves the {main.name}", (_facts(main, result), tornado(main), _effects(main))),
        Section(f"What would narrow the {main.name}", (worth_table(main),)),
    ]
    for answer in others:
        blocks = (_facts(answer, result), tornado(answer), _effects(answer), worth_table(answer))
        sections.append(Section(f"What moves the {answer.name}", blocks, folded=True))
    sections.append(Section("What is held", (Notes("What is held", result.held),) if result.held else ()))
    title = f"What moves {_VERBS.get(result.verb, result.verb)} {result.subject}"
    return Report(title, _verdict(main, result), tuple(sections), main=f"Inputs of the {main.name}")


def _verdict(answer: Answer, result: SensitivityResult) -> str:
    """The widest swing of all, as it is drawn, then the widest of what is uncertain, and what would narrow the interval."""
    first = answer.effects[0] if answer.effects else None
    top = next((effect for effect in answer.effects if effect.input.uncertain), None)
    words = f"Of {result.inputs_swung} inputs, "
    if first is not None and first is not top:
        words += f"{first.input.name}, a choice of the question, moves the {answer.name} most ({_ends(first, answer)}); "
        words += f"of what is uncertain, {top.input.name} does ({_ends(top, answer)})" if top else "none is uncertain"
    else:
        words += f"{top.input.name} moves the {answer.name} most ({_ends(top, answer)})" if top else "none is uncertain"
    if answer.worth:
        best = answer.worth[0]
        words += f"; {best.measurement} would narrow its interval by {100.0 * best.narrower_fraction:.0f} %"
    share = 100.0 * answer.unexplained_fraction
    return (
        f"{words}. {share:.0f} % of the spread is explained by no input: runs were off by more than all of them."
        if share >= 1.0
        else f"{words}."
    )


def _ends(effect: Effect, answer: Answer) -> str:
    """The ends of a swing, the smaller answer first."""
    known = sorted(end for end in (effect.low, effect.high) if end is not None)
    ends = [show_fact(end, answer.unit) for end in known] + ["no answer"] * (2 - len(known))
    return " to ".join(ends)


def _notes(result: SensitivityResult) -> list[Section]:
    return [Section("Warnings", (Notes("Warnings", result.warnings),))] if result.warnings else []


def _facts(answer: Answer, result: SensitivityResult) -> Facts:
    facts = [
        Fact(answer.name, answer.value, answer.unit, answer.interval),
        Fact("spread that no input explains", answer.unexplained_fraction, "fraction"),
        Fact("formulas computed", result.evaluations, "times"),
    ]
    if answer.trial is not None:
        facts.append(
            Fact(
                answer.trial.measurement,
                answer.trial.narrower_fraction,
                "fraction",
                note="of the interval would go: all but prices would be settled",
            )
        )
    return Facts(answer.name, tuple(facts))


def tornado(answer: Answer) -> Chart:
    """Change of an answer when one input lies at an end of its range, the widest swing first."""
    points = []
    for effect in answer.effects[:_BARS]:
        for series, end in (("input at its low end", effect.low), ("input at its high end", effect.high)):
            if end is not None and answer.value:
                name = effect.input.name if effect.input.uncertain else f"{effect.input.name} (a choice)"
                points.append(Point(name, series, 100.0 * (end / answer.value - 1.0)))
    return Chart(
        f"Change of the {answer.name} when one input moves", "bars", "input", f"change of the {answer.name}", "%", tuple(points)
    )


def _effects(answer: Answer) -> Table:
    columns = (
        Column("input"), Column("value", "in its unit"), Column("unit"), Column("from", "in its unit", optional=True),
        Column("to", "in its unit", optional=True), Column(f"{answer.name} at its low end", answer.unit),
        Column(f"{answer.name} at its high end", answer.unit), Column("share of the spread", "%"),
        Column("Sobol, alone", "fraction"), Column("Sobol, with others", "fraction", optional=True),
        Column("kind", optional=True), Column("grade", optional=True), Column("source", optional=True),
        Column("range", optional=True),
    )  # fmt: skip
    rows = tuple(
        (
            e.input.name, e.input.value, e.input.unit, e.input.value * e.input.low_factor, e.input.value * e.input.high_factor,
            e.low, e.high, 100.0 * e.variance_fraction if e.input.uncertain else None, e.first_order, e.total_order,
            e.input.group, e.input.grade, e.input.source, e.input.basis,
        )
        for e in answer.effects
    )  # fmt: skip
    note = "ranges hold 90 of 100 cases; choices of the question are swung to see their slope and share no spread"
    return Table(f"Inputs of the {answer.name}", columns, rows, note, limit=15)


def worth_table(answer: Answer) -> Table:
    """What a measurement would do to the interval of an answer, the best first."""
    columns = (
        Column("measurement"), Column("p95 / p05 now", "times"), Column("then", "times"), Column("narrower", "%"),
        Column("low then", answer.unit, optional=True), Column("high then", answer.unit, optional=True), Column("settles"),
    )  # fmt: skip
    rows = tuple(_worth_row(item) for item in answer.worth)
    return Table(
        f"Worth of a measurement for the {answer.name}",
        columns,
        rows,
        "expected width once the spread of what it settles is gone",
        limit=8,
    )


def _worth_row(item: Worth) -> tuple[str | float | None, ...]:
    names = ", ".join(item.inputs[:3]) + (f" and {len(item.inputs) - 3} more" if len(item.inputs) > 3 else "")
    then = item.interval_then
    return item.measurement, item.ratio_now, item.ratio_then, 100.0 * item.narrower_fraction, then.p05, then.p95, names
