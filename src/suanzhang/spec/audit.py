"""Claims that others made, and what recomputing them gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from suanzhang.spec.result import Header, Interval, SourceUse
from suanzhang.spec.trust import Flag

Relation = Literal["about", "at_least", "at_most", "range"]
Verdict = Literal["consistent", "inconsistent", "not checkable"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What recomputes a claim: the name of a scenario and its inputs."""

    verb: str
    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement with its checkable quantity, or the reason why it has none.

    Args:
        id: unique in its file.
        says: the statement in words.
        quantity: what is computed, in words; empty when nothing can be.
        stated_low, stated_high: the stated figure; equal unless it is a range; None when nothing can be checked.
        unit: of the quantity.
        relation: how the figure is meant.
        tolerance: fraction within which the figure holds, whatever the relation.
        scenario: what recomputes it; None when nothing can be.
        result_key: key of the scenario's answer.
        variants: changes of the inputs that are as plausible; the interval spans all of them.
        not_checkable: why nothing can be computed; empty otherwise.
        note: what a reader must know.
        quote: the statement as it was made, in its own language.
    """

    id: str
    says: str
    quantity: str = ""
    stated_low: float | None = None
    stated_high: float | None = None
    unit: str = ""
    relation: Relation = "about"
    tolerance: float = 0.15
    scenario: Scenario | None = None
    result_key: str = ""
    variants: tuple[Mapping[str, Any], ...] = ()
    not_checkable: str = ""
    note: str = ""
    quote: str = ""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """The verdict on one claim.

    Args:
        id, says, quantity, unit, relation: as in the claim.
        stated: the stated figure, or the middle of its range.
        stated_low, stated_high: its range.
        computed: our value in the main scenario.
        low, high: smallest and largest value over our uncertainty and the variants.
        verdict: whether the statement agrees with the computation.
        explanation: one or two sentences in words.
        inputs: inputs of the main scenario.
        verb: name of the scenario.
        computed_interval: ``low``, ``computed`` and ``high`` as an interval; None without, or for one exact value.
        decides: whether the range is narrow enough to judge; false where it is ``not checkable`` for that.
        exact: arithmetic over the stated figures alone, which has no error of ours; a range is then that of the variants.
        quote: the statement as it was made, in its own language.
    """

    id: str
    says: str
    quantity: str
    unit: str
    relation: Relation
    stated: float | None
    stated_low: float | None
    stated_high: float | None
    computed: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    explanation: str
    verb: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    computed_interval: Interval | None = None
    decides: bool = True
    exact: bool = False
    quote: str = ""


@dataclass(frozen=True, slots=True)
class AuditResult:
    """The answer of ``audit``: the rows, and how many of them have each verdict.

    Args:
        consistent, inconsistent, not_checkable: how many rows have the verdict.
        too_wide: how many of those not checkable were computed, with a range that is too wide to judge them by.
    """

    header: Header
    document: str
    claims: tuple[AuditRow, ...]
    consistent: int
    inconsistent: int
    not_checkable: int
    sources: tuple[SourceUse, ...] = ()
    weak_inputs: tuple[Flag, ...] = ()
    too_wide: int = 0
