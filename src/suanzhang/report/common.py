"""Blocks that several views share: terms, sources, layouts in words, units of keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from suanzhang.report.blocks import Chart, Column, Fact, Notes, Point, Scalar, Section, Table, ranged
from suanzhang.spec.layout import ServeLayout, TrainLayout
from suanzhang.spec.result import Interval, Money, SourceUse, Term
from suanzhang.spec.trust import Flag
from suanzhang.units import DAY_S, format_duration, in_words, unit_of_key

_FIGURES, _ANSWERS = 3, 3
"""Weak figures, and answers that each weighs on, that one line names."""
REMAINDER = 1e-9
"""Share of a total below which a term is a remainder of floating point and is not shown."""


def unit_of_value(key: str, value: object) -> str:
    """The unit of a value by the name of its key: a whole number counts what it is named after, a fraction says times."""
    unit = unit_of_key(key)
    if unit != "1":
        return unit
    return in_words(key) if isinstance(value, int) else "times"


def days_words(days: float, span: Interval) -> str:
    """Calendar time with its interval: in days, below one in hours or minutes.

    Example:
        >>> days_words(12.34, Interval(10.0, 12.4, 17.0)), days_words(0.05, Interval(0.04, 0.05, 0.07))
        ('12.3 days (10.0 to 17.0)', '72.0 min (57.6 min to 101 min)')
    """
    if days >= 1.0:
        return f"{days:,.1f} days ({span.p05:,.1f} to {span.p95:,.1f})"
    middle, low, high = (format_duration(value * DAY_S) for value in (days, span.p05, span.p95))
    return f"{middle} ({low} to {high})"


def between(span: Interval | None, form: str, scale: float = 1.0) -> str:
    """The ends of an interval behind a figure of a sentence; empty when there is none, or when both are the same.

    Example:
        >>> between(Interval(0.4, 0.45, 0.5), ".1f", 100.0), between(None, ".1f"), between(Interval(1.0, 1.0, 1.0), ".1f")
        (' (40.0 to 50.0)', '', '')
    """
    if span is None or span.p05 == span.p95:
        return ""
    return f" ({scale * span.p05:{form}} to {scale * span.p95:{form}})"


def layout_words(layout: TrainLayout | ServeLayout) -> str:
    """A layout in short: every size that is not its default, ``tp=8 pp=16 dp=8``."""
    sizes = ("tp", "pp", "dp", "cp", "ep")
    parts = []
    for item in dataclasses.fields(layout):
        value = getattr(layout, item.name)
        if item.name in sizes:
            if value != 1 or item.name in ("tp", "pp", "dp"):
                parts.append(f"{item.name}={value}")
        elif value != item.default and not (item.name == "etp" and value == getattr(layout, "tp", 0)):
            parts.append(item.name if value is True else f"no {item.name}" if value is False else f"{item.name}={value}")
    return " ".join(parts)


def term_words(term: Term) -> str:
    """The name of a term as words, its unit left out."""
    return in_words(term.name.removesuffix(f"_{term.unit.lower()}"))


def terms_table(title: str, terms: Iterable[Term], note: str = "") -> Table:
    """Named parts of a total with their share of it; remainders of floating point are left out."""
    terms = tuple(terms)
    total = sum(term.value for term in terms)
    terms = tuple(term for term in terms if term.value == 0.0 or abs(term.value) > REMAINDER * abs(total))
    unit = terms[0].unit if terms else "s"
    rows = tuple(
        (
            term_words(term),
            ranged(term.value, term.value_interval),
            100.0 * term.value / total if total else 0.0,
            term.formula,
            ", ".join(term.sources),
        )
        for term in terms
    )
    columns = (Column("term"), Column("amount", unit), Column("share", "%", 2), Column("formula"), Column("sources"))
    return Table(title, columns, rows, note or f"the terms sum to {total:.6g} {unit}")


def terms_chart(title: str, terms: Iterable[Term], scale: float = 1.0, unit: str = "") -> Chart:
    """Named parts of a total as bars, the largest first."""
    found = [term for term in terms if term.value > 0.0]
    least = REMAINDER * sum(term.value for term in found)
    ordered = sorted((term for term in found if term.value > least), key=lambda term: -term.value)
    return Chart(
        title,
        "bars",
        "term",
        "amount",
        unit or (ordered[0].unit if ordered else "s"),
        tuple(Point(term_words(t), "", t.value * scale, _scaled(t.value_interval, scale)) for t in ordered),
    )


def _scaled(interval: Interval | None, factor: float) -> Interval | None:
    return None if interval is None else interval.scaled(factor)


def sources_section(sources: Iterable[SourceUse | str]) -> Section:
    """What an answer rests on, with how firm each source is."""
    rows = tuple(
        (item, "", "", "", "")
        if isinstance(item, str)
        else (item.key, item.title, item.grade, ", ".join(item.used_for), item.url)
        for item in sources
    )
    columns = (Column("source"), Column("title"), Column("grade"), Column("used for"), Column("address"))
    return Section("Sources", (Table("Sources", columns, rows),), folded=True)


def warnings_section(warnings: Iterable[str], title: str = "What a reader must know", weak: Iterable[Flag] = ()) -> Section:
    """Warnings, when there are any; above them one line of the weak figures that weigh on the answer."""
    rests = weak_line(weak)
    lines = tuple(dict.fromkeys([*([rests] if rests else []), *warnings]))
    return Section(title, (Notes(title, lines),) if lines else ())


def weak_line(weak: Iterable[Flag]) -> str:
    """Figures of grade unverified or assumed that weigh more than 5 % of an answer, the heaviest first; empty for none.

    Each stands once, with the largest of its weights and the answers that it weighs on: the part of an answer in whose terms it
    stands, all of a product of which it is one factor.
    """
    by_figure: dict[str, list[Flag]] = {}
    for flag in weak:
        by_figure.setdefault(flag.figure, []).append(flag)
    if not by_figure:
        return ""
    words = []
    for figure, flags in sorted(by_figure.items(), key=lambda item: -max(flag.share for flag in item[1])):
        most = max(flag.share for flag in flags)
        answers = list(dict.fromkeys(flag.answer for flag in flags))
        named = ", ".join(answers[:_ANSWERS]) + (" and more" if len(answers) > _ANSWERS else "")
        words.append(f"{figure} ({flags[0].grade}), in {100.0 * most:.0f} % of {named}")
    left = len(words) - _FIGURES
    more = f"; and {left} more in --json" if left > 0 else ""
    return f"rests on: {'; '.join(words[:_FIGURES])}{more}"


def key_facts(value: Any, keys: Iterable[str]) -> tuple[Fact, ...]:
    """Facts of the named fields of a value, each with the unit of its name and its ``_interval`` sibling."""
    facts = []
    for key in keys:
        found = getattr(value, key, None)
        interval = getattr(value, f"{key}_interval", None)
        interval = interval if isinstance(interval, Interval) else None
        if isinstance(found, Money):
            facts.append(
                Fact(in_words(key), found.amount, found.currency, interval, f"prices of {found.date}" if found.date else "")
            )
        elif isinstance(found, (int, float)) and not isinstance(found, bool):
            facts.append(Fact(in_words(key), found, unit_of_value(key, found), interval))
        elif isinstance(found, (TrainLayout, ServeLayout)):
            facts.append(Fact(in_words(key), layout_words(found)))
        elif found is None or isinstance(found, (str, bool)):
            facts.append(Fact(in_words(key), found))
    return tuple(facts)


def count_table(title: str, counts: Mapping[str, float], what: str, unit: str) -> Table:
    """A map of name to count, the largest first."""
    rows: tuple[tuple[Scalar, ...], ...] = tuple(
        (name, counts[name]) for name in sorted(counts, key=lambda name: -counts[name])
    )
    return Table(title, (Column(what), Column(unit, unit)), rows)
