"""What lies behind an answer: its terms as a tree, its references, what a repetition gives, what two answers differ in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from suanzhang.source import Source
from suanzhang.spec.result import Header, Interval
from suanzhang.spec.trust_sensitivity import Worth

Joined = Literal["sum", "product", "ratio", "largest", "formula", "given"]


@dataclass(frozen=True, slots=True)
class Given:
    """A figure that enters a term.

    Args:
        name: what it is, in words.
        value: a number in ``unit``, or a word.
        unit: unit of the number; empty for words.
        source: key of the source that it was read from; "question" when the user gave it.
        grade: how far to trust it.
        note: what else a reader must know.
        weight_fraction: part of what it enters that rests on it, 0 to 1: for what takes time away rather than adds to it.
    """

    name: str
    value: float | str
    unit: str = ""
    source: str = ""
    grade: str = ""
    note: str = ""
    weight_fraction: float = 1.0


@dataclass(frozen=True, slots=True)
class Node:
    """One value with what it is made of.

    Args:
        name: what it is, in words.
        value: its amount; None when it was not computed.
        unit: of the amount.
        joined: how ``parts`` make it: their sum, their product with the numbers of ``inputs``, the first over all others, the
            largest of them, or a formula of them; "given" for none. Sums, products, ratios and largest ones hold to the last
            digits, units of time aside.
        formula: dotted name of the function that computes it.
        inputs: figures that enter it besides the parts.
        parts: the values that it is made of.
        share: part of the answer that rests on it, 0 to 1; None below a formula that is no sum.
        note: what a reader must know.
        source: key of the source of a value that nothing here makes; empty for a value that this answer computed.
        grade: how far to trust such a value: "derived" where this answer computed it.
        value_interval: our uncertainty about the amount, where the explained result holds it.
    """

    name: str
    value: float | None
    unit: str
    joined: Joined = "given"
    formula: str = ""
    inputs: tuple[Given, ...] = ()
    parts: tuple[Node, ...] = ()
    share: float | None = None
    note: str = ""
    source: str = ""
    grade: str = ""
    value_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Flag:
    """A figure of weak origin that weighs on an answer.

    Args:
        figure: the figure.
        grade: "unverified" or "assumed".
        share: part of the answer that rests on it, 0 to 1.
        answer: the answer that it weighs on.
        source: key of its source.
    """

    figure: str
    grade: str
    share: float
    answer: str
    source: str


@dataclass(frozen=True, slots=True)
class AnswerWorth:
    """What measuring one thing more would do to the interval of one answer, the best measurement first."""

    answer: str
    unit: str
    worth: tuple[Worth, ...]


@dataclass(frozen=True, slots=True)
class ExplainResult:
    """The answer of ``explain``.

    Args:
        header: of the package that explains.
        verb: verb of the explained result.
        made_with: header of the explained result.
        trees: one for each explained answer.
        flags: figures of grade unverified or assumed that weigh more than 5 % of an answer, the heaviest first.
        warnings: where what is computed now differs from what the result holds.
        worth: what measuring one thing more would do to the interval of each answer.
        trained: the explained ``TrainResult`` where it is one: its step, operators and memory are drawn; None otherwise.
    """

    header: Header
    verb: str
    made_with: Header
    trees: tuple[Node, ...]
    flags: tuple[Flag, ...]
    warnings: tuple[str, ...] = ()
    worth: tuple[AnswerWorth, ...] = ()
    trained: object = None


@dataclass(frozen=True, slots=True)
class Reference:
    """A source with what it was used for."""

    source: Source
    grades: tuple[str, ...]
    used_for: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CiteResult:
    """The answer of ``cite``.

    Args:
        header: of the package that cites.
        verb: verb of the cited result.
        format: "text", "bibtex" or "csl-json".
        references: what was used, by key.
        flags: as in :class:`ExplainResult`.
        text: the references in the format.
    """

    header: Header
    verb: str
    format: str
    references: tuple[Reference, ...]
    flags: tuple[Flag, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Moved:
    """A key of a result that changed.

    Args:
        key: where, such as ``layout.tp``.
        before, after: the two values; None where there is none.
        change: relative change of numbers; None otherwise.
        unit: of the two numbers; a count is of what it counts. Empty for texts.
        before_interval, after_interval: our uncertainty about the two, where the answers hold it.
    """

    key: str
    before: float | str | bool | None
    after: float | str | bool | None
    change: float | None = None
    unit: str = ""
    before_interval: Interval | None = None
    after_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """The answer of ``replay``.

    Args:
        header: of the repetition.
        made_with: header of the repeated result.
        verb: what was repeated.
        identical: whether every byte but the timings is the same.
        keys: values compared.
        moved: what differs, the largest relative change first.
        reasons: what changed between the two runs that can move numbers.
        left_out: keys of clock readings, which never repeat.
    """

    header: Header
    made_with: Header
    verb: str
    identical: bool
    keys: int
    moved: tuple[Moved, ...]
    reasons: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DiffResult:
    """The answer of ``diff``.

    Args:
        header: of the package that compares.
        verb: verb of both results.
        why: changes of the program and the catalog between the two, in words.
        inputs: what was asked otherwise.
        answers: the main figures that moved, such as chips, costs and layouts, by subject.
        rest: every other key that moved.
    """

    header: Header
    verb: str
    why: tuple[str, ...]
    inputs: tuple[Moved, ...]
    answers: Mapping[str, tuple[Moved, ...]]
    rest: tuple[Moved, ...]
