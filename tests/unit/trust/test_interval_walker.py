"""The walker finds what lacks an interval, so that the tests that use it can fail."""

from __future__ import annotations

from dataclasses import dataclass

from intervals import unspanned

from suanzhang.spec.result import Interval, Money


@dataclass(frozen=True)
class Row:
    step_s: float
    step_s_interval: Interval | None
    chips: int = 4


@dataclass(frozen=True)
class Answer:
    rows: tuple[Row, ...]
    cost: Money | None = None
    cost_interval: Interval | None = None
    parts: dict[str, float] | None = None
    parts_interval: dict[str, Interval] | None = None


GIVEN = {"Row.chips": "given"}


def test_a_spanned_answer_has_no_findings() -> None:
    row = Row(2.0, Interval(1.0, 2.0, 3.0))
    spans = {"one": Interval(0.5, 1.0, 2.0)}
    answer = Answer((row,), Money(5.0, "USD", ""), Interval(4.0, 5.0, 6.0), {"one": 1.0}, spans)
    assert unspanned([answer], GIVEN) == []


def test_every_kind_of_gap_is_found() -> None:
    span = Interval(1.0, 2.0, 3.0)
    for answer in (
        Answer((Row(2.0, None),)),
        Answer((Row(4.0, span),)),
        Answer((Row(2.0, Interval(2.0, 2.0, 2.0)),)),
        Answer((Row(2.0, Interval(2.0, 1.0, 3.0)),)),
        Answer((Row(2.0, span),), Money(5.0, "USD", "")),
        Answer((Row(2.0, span),), parts={"one": 1.0}),
    ):
        assert len(unspanned([answer], GIVEN)) == 1, answer


def test_a_number_that_is_not_listed_is_found_and_a_listed_one_that_is_not_there_too() -> None:
    answer = Answer((Row(2.0, Interval(1.0, 2.0, 3.0)),))
    assert unspanned([answer], {}) == ["Row.chips: has no field for an interval"]
    assert any("no result has it" in line for line in unspanned([answer], {**GIVEN, "Row.nodes": "given"}))
