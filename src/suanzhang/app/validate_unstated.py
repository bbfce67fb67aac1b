"""Rows that do not state the precision of the weights: their errors under each of the two that they most likely had."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from suanzhang.app.rows_serving import PRECISION_OPEN
from suanzhang.app.validate_fit import Judges
from suanzhang.app.validate_predict import Outcome, outcome
from suanzhang.evidence.metrics import by_metric
from suanzhang.evidence.rows import ServeRow
from suanzhang.spec.validate import GroupError

NARROW = "fp8"


def unstated_precisions(outcomes: Iterable[Outcome], judges: Judges) -> dict[str, GroupError]:
    """Errors of such rows as they were taken, in 16 bits, and once more in 8.

    Args:
        outcomes: of all rows.
        judges: coefficients for each source.

    Returns:
        A group for each of the two precisions; none when every row states its own.
    """
    groups: dict[str, list[Outcome]] = {}
    for item in outcomes:
        if PRECISION_OPEN not in item.flags or not isinstance(item.row, ServeRow):
            continue
        taken = item.labels.get("precision", "")
        groups.setdefault(f"not stated, as {taken}", []).append(item)
        row = replace(item.row, weight_dtype=NARROW)
        other = outcome(row, partial(judges.training, row.source), partial(judges.serving, row.source))
        groups.setdefault(f"not stated, as {NARROW}", []).append(other)
    return {
        name: GroupError(
            len(members),
            sum(1 for item in members if item.residuals),
            by_metric([residual for item in members for residual in item.residuals], draws=0),
        )
        for name, members in sorted(groups.items())
    }
