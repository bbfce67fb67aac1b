"""The reports of ``explain``, ``cite``, ``replay`` and ``diff``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from suanzhang.report.blocks import (
    Branch,
    Column,
    Fact,
    Facts,
    Notes,
    Report,
    Scalar,
    Section,
    Table,
    Tree,
    ranged,
    show_fact,
    show_interval,
)
from suanzhang.spec.result import Header, Interval
from suanzhang.spec.trust import AnswerWorth, CiteResult, DiffResult, ExplainResult, Flag, Given, Moved, Node, ReplayResult
from suanzhang.units import in_words, unit_of_key

_OPEN_TREES = 2
_WEAK = ("unverified", "assumed")
_MADE = {"sum": "sum", "product": "product", "ratio": "ratio", "largest": "largest", "formula": "", "given": ""}
"""How parts make a value that no named formula joins."""
_JOINED = {
    "sum": "sum of", "product": "product of", "ratio": "ratio of", "largest": "largest of", "formula": "from", "given": "",
}  # fmt: skip


def explain(result: ExplainResult) -> Report:
    """A tree for each answer, the weak figures that weigh, and every term as a row."""
    first = result.trees[0] if result.trees else None
    verdict = f"{first.name}: {_shown(first)}." if first else "Nothing to explain."
    heavy = result.flags[0] if result.flags else None
    if heavy:
        verdict += (
            f" {len(result.flags)} figures of weak origin weigh more than 5 %, most of all {heavy.figure} ({heavy.grade})."
        )
    else:
        verdict += " No figure of grade unverified or assumed weighs more than 5 %."
    notes = (Section("Warnings", (Notes("Warnings", result.warnings),)),) if result.warnings else ()
    trees = tuple(
        Section(f"Where {tree.name} comes from", (Tree("", (_branch(tree, 0),)),), folded=number >= _OPEN_TREES)
        for number, tree in enumerate(result.trees)
    )
    rows = tuple(row for tree in result.trees for row in _rows(tree, tree.name, ""))
    columns = (
        Column("answer"), Column("term"), Column("value", "in its unit"), Column("unit"), Column("share", "fraction"),
        Column("formula"), Column("source"), Column("grade"), Column("note"),
    )  # fmt: skip
    terms = Section("Terms", (Table("Terms", columns, rows),), folded=True)
    title = f"What the answer of {result.verb} is made of"
    made = Section("Made with", (Facts("Made with", _header_facts(result.made_with)),), folded=True)
    return Report(title, verdict, (*notes, _flags(result.flags), *trees, _worth(result.worth), terms, made), main="Terms")


def _worth(answers: tuple[AnswerWorth, ...]) -> Section:
    """The measurements that would narrow each answer most."""
    columns = (
        Column("answer"), Column("measurement"), Column("p95 / p05 now", "times"), Column("then", "times"),
        Column("narrower", "%"),
    )  # fmt: skip
    rows = tuple(
        (answer.answer, item.measurement, item.ratio_now, item.ratio_then, 100.0 * item.narrower_fraction)
        for answer in answers
        for item in answer.worth
    )
    note = "expected width once the spread of what it settles is gone; `suanzhang sensitivity` shows every input"
    return Section(
        "Which measurement would narrow it most", (Table("Worth of a measurement", columns, rows, note),) if rows else ()
    )


def _branch(node: Node, level: int) -> Branch:
    parts = [part for part in node.parts if part.value or part.parts]
    below = tuple(_branch(part, level + 1) for part in parts) + tuple(_given(given) for given in node.inputs)
    percent = f"{100.0 * node.share:.1f} %" if node.share is not None and level else ""
    formula = f"{_JOINED[node.joined]} {node.formula}()".strip() if node.formula else _MADE[node.joined] if node.parts else ""
    detail = " · ".join(text for text in (percent, formula, *_origin(node), node.note) if text)
    return Branch(node.name, _shown(node), detail, below, folded=level > 1, interval=node.value_interval)


def _shown(node: Node) -> str:
    """The value of a term, and its percentiles where the explained result holds them."""
    span = show_interval(node.value_interval, node.unit)
    return f"{show_fact(node.value, node.unit)} ({span})" if span else show_fact(node.value, node.unit)


def _origin(value: Given | Node) -> tuple[str, str]:
    """Source and grade of a figure, the weak ones marked."""
    return f"[{value.source}]" if value.source else "", f"⚠ {value.grade}" if value.grade in _WEAK else value.grade


def _given(given: Given) -> Branch:
    value = given.value if isinstance(given.value, str) else show_fact(given.value, given.unit)
    detail = " · ".join(text for text in (*_origin(given), given.note) if text)
    return Branch(f"← {given.name}", value, detail)


def _rows(node: Node, answer: str, path: str) -> Iterable[tuple[Scalar, ...]]:
    here = f"{path} > {node.name}" if path else node.name
    value = ranged(node.value, node.value_interval)
    yield (answer, here, value, node.unit, node.share, node.formula, node.source, node.grade, node.note)
    for given in node.inputs:
        number = given.value if isinstance(given.value, float) else None
        words = given.note if number is not None else f"{given.value}; {given.note}".rstrip("; ")
        yield (answer, f"{here} < {given.name}", number, given.unit, None, "", given.source, given.grade, words)
    for part in node.parts:
        yield from _rows(part, answer, here)


def _flags(flags: tuple[Flag, ...]) -> Section:
    columns = (Column("figure"), Column("grade"), Column("weight", "fraction"), Column("on"), Column("source"))
    rows = tuple((flag.figure, flag.grade, flag.share, flag.answer, flag.source) for flag in flags)
    note = "the part of the answer whose terms rest on the figure; at most 1"
    return Section("Weak figures that weigh more than 5 %", (Table("", columns, rows, note),) if rows else ())


def _header_facts(header: Header) -> tuple[Fact, ...]:
    facts = [Fact("version", header.version), Fact("catalog", header.catalog_date), Fact("seed", str(header.seed))]
    facts += [Fact(f"fingerprint of the {name}", f"sha256 {value}") for name, value in header.fingerprints.items()]
    return tuple(facts)


def cite(result: CiteResult) -> Report:
    """The references, and the weak figures that weigh."""
    verdict = f"{len(result.references)} sources stand behind this answer of {result.verb}."
    columns = (
        Column("key"),
        Column("title"),
        Column("date"),
        Column("grade"),
        Column("address", optional=True),
        Column("used for"),
    )
    rows = tuple(
        (r.source.key, r.source.title, r.source.date, ", ".join(r.grades), r.source.url, _some(r.used_for))
        for r in result.references
    )
    sections = (
        Section("Sources", (Table("Sources", columns, rows, limit=200),)),
        _flags(result.flags),
        Section("As text", (Notes("As text", tuple(line for line in result.text.splitlines() if line.strip())),), folded=True),
    )
    return Report(f"References of an answer of {result.verb}", verdict, sections, main="Sources")


def _some(names: tuple[str, ...], most: int = 4) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def replay(result: ReplayResult) -> Report:
    """Whether the numbers came again, and what moved them."""
    left = f" Clock readings ({', '.join(result.left_out)}) are not compared." if result.left_out else ""
    if result.identical:
        since = " What is installed has changed since, and moved none of them." if result.reasons else ""
        verdict = f"Byte for byte the same: {result.keys:,} values of {result.verb} came again.{since}{left}"
    else:
        verdict = f"{len(result.moved):,} of {result.keys:,} values of {result.verb} moved.{left}"
    sections = (
        Section("What has changed since", (Notes("What has changed since", result.reasons),) if result.reasons else ()),
        Section("What moved", (_moved("What moved", result.moved),)),
        Section("Then", (Facts("Then", _header_facts(result.made_with)),), folded=True),
        Section("Now", (Facts("Now", _header_facts(result.header)),), folded=True),
    )
    return Report(f"{result.verb} again", verdict, sections, main="What moved")


def diff(result: DiffResult) -> Report:
    """Inputs first, then what they did to the answers."""
    asked = f"{len(result.inputs)} inputs differ" if result.inputs else "both were asked the same"
    count = sum(len(moved) for moved in result.answers.values()) + len(result.rest)
    verdict = (
        f"{asked.capitalize()}; {count:,} values of the answers differ."
        if count or result.inputs
        else "The two answers are the same."
    )
    told: set[str] = set()
    front = _front(result)
    first = [Section("What matters most", (_moved("What matters most", front),))] if front else []
    sections = [*first, Section("What was asked otherwise", (_moved("Inputs", result.inputs, told),) if result.inputs else ())]
    sections += [Section("Why else", (Notes("Why else", result.why),) if result.why else ())]
    sections += [
        Section(name.capitalize(), (_moved(name.capitalize(), moved, told),)) for name, moved in result.answers.items()
    ]
    sections += [Section("Everything else", (_moved("Everything else", result.rest),) if result.rest else (), folded=True)]
    return Report(f"Two answers of {result.verb}", verdict, tuple(sections))


def _front(result: DiffResult) -> tuple[Moved, ...]:
    """The two figures of each subject that stand highest in the answer and moved most; none where little differs."""
    if sum(len(moved) for moved in result.answers.values()) <= _FEW:
        return ()
    numbers = {
        name: [item for item in moved if item.change is not None and _depth(item) < 2] for name, moved in result.answers.items()
    }
    known = {item.key for moved in numbers.values() for item in moved}
    kept = ([item for item in moved if not _beside(item.key, known)][:2] for moved in numbers.values())
    return tuple(item for moved in kept for item in moved)


def _depth(item: Moved) -> int:
    return item.key.count(".") + item.key.count("[")


_FEW = 12
"""Values that a reader sees at one glance."""
_MOST_ROWS = 6
"""Rows of one list that a report shows one by one; of more it shows the largest move."""
_ENTRIES = ("train", "serve", "costs")
"""Lists whose entries are shown one by one."""


def _moved(title: str, moved: tuple[Moved, ...], told_elsewhere: set[str] | None = None) -> Table:
    """What moved: intervals beside their figures left out, long lists as one row with their largest move.

    Rows of a list that only one of the answers has are counted and named, once for all tables, and not taken apart.
    """
    columns = (Column("key"), Column("before"), Column("after"), Column("change", "%"))
    told_elsewhere = set() if told_elsewhere is None else told_elsewhere
    known = {item.key for item in moved}
    shown = [item for item in moved if not _beside(item.key, known)]
    sides = _one_sided(shown)
    groups: dict[str, list[Moved]] = {}
    for item in shown:
        groups.setdefault(_list_of(item.key), []).append(item)
    rows: list[tuple[Scalar, ...]] = []
    told: set[str] = set()
    for item in shown:
        name, path = _list_of(item.key), item.key.partition("[")[0]
        both = [other for other in groups[name] if _top_row(other.key) not in sides]
        if _top_row(item.key) in sides:
            if path not in told_elsewhere:
                told_elsewhere.add(path)
                rows.append(_sides_row(path, sides))
        elif not name or len({_row_of(other.key) for other in both}) <= _MOST_ROWS:
            rows.append(_moved_row(item, in_words(item.key.replace(".", " · "))))
        elif name not in told:
            told.add(name)
            rows.append(_summary_row(name, both))
    notes = [f"{len(moved) - len(rows):,} more values with --json"] if len(rows) < len(moved) else []
    if any(item.before_interval or item.after_interval for item in moved):
        notes.append("in brackets: 5th / 50th / 95th percentile of our prediction")
    return Table(title, columns, tuple(rows), "; ".join(notes), limit=30)


def _top_row(key: str) -> str:
    """The row of the outermost list that a key lies in; empty for none."""
    path, mark, rest = key.partition("[")
    return f"{path}[{rest.partition(']')[0]}]" if mark else ""


def _one_sided(moved: list[Moved]) -> dict[str, bool]:
    """Rows of lists that only one of the answers has: row to whether it is the second one."""
    rows: dict[str, list[Moved]] = {}
    for item in moved:
        if top := _top_row(item.key):
            rows.setdefault(top, []).append(item)
    found: dict[str, bool] = {}
    for top, items in rows.items():
        if all(item.before is None for item in items):
            found[top] = True
        elif all(item.after is None for item in items):
            found[top] = False
    return found


def _sides_row(path: str, sides: Mapping[str, bool]) -> tuple[Scalar, ...]:
    """How many rows of a list only one of the answers has, and which."""
    names: dict[bool, list[str]] = {False: [], True: []}
    for top, second in sides.items():
        if top.partition("[")[0] == path:
            names[second].append(top.partition("[")[2].rstrip("]"))
    before, after = (f"{len(names[side])}: {', '.join(names[side])}" if names[side] else "none" for side in (False, True))
    return f"{in_words(path.replace('.', ' · '))}: rows that only one has", before, after, None


def _moved_row(item: Moved, words: str) -> tuple[Scalar, ...]:
    change = None if item.change is None else 100.0 * item.change
    before, after = _value(item, item.before), _value(item, item.after)
    return words, _with_span(before, item, item.before_interval), _with_span(after, item, item.after_interval), change


def _with_span(value: str, item: Moved, interval: Interval | None) -> str:
    """A side of what moved, and its percentiles where the answer holds them."""
    span = show_interval(interval, item.unit) if interval is not None else ""
    return f"{value} ({span})" if span else value


def _summary_row(name: str, moved: list[Moved]) -> tuple[Scalar, ...]:
    """How many rows of a list moved, came or went, and the largest move among them."""
    rows = {_row_of(item.key) for item in moved}
    most = max(moved, key=lambda item: abs(item.change) if item.change is not None else -1.0)
    what = in_words(most.key.removeprefix(name).replace(".", " · ")).strip("[ ").replace("]", "")
    return _moved_row(most, f"{in_words(name.replace('.', ' · '))}: {len(rows)} rows moved, most of all {what}")


def _list_of(key: str) -> str:
    """The list that a key lies in a row of: what stands before its last row; empty for none, and for short lists of entries."""
    path = key.rpartition("[")[0]
    return "" if path in _ENTRIES else path


def _row_of(key: str) -> str:
    return key.rpartition("]")[0]


def _beside(key: str, known: set[str]) -> bool:
    """Whether a key is an end of the interval of a figure that moved as well."""
    before, mark, after = key.rpartition("_interval")
    figure = before + after.rpartition(".")[0]
    return bool(mark) and any(other == figure or other.startswith(f"{figure}_") for other in known if "_interval" not in other)


def _value(item: Moved, value: Scalar) -> str:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return "none" if value is None else "yes" if value is True else "no" if value is False else value
    return show_fact(value, item.unit or unit_of_key(item.key))
