"""The fitted coefficients of the training step, as shipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from suanzhang.errors import CatalogError
from suanzhang.perf.training.args import Coefficients


@dataclass(frozen=True, slots=True)
class TrainCoefficients:
    """Coefficients of the training step with the record of their fit.

    Args:
        values: the coefficients.
        date: day of the fit, ISO.
        grade: "derived" when fitted, "assumed" before.
        rows: published runs that they were fitted to.
        sources: sources of those runs.
        note: how they were fitted, in words.
        residuals: measured over predicted step time of left-out sources, 5th, 50th and 95th percentile by chip grade.
    """

    values: Coefficients
    date: str
    grade: str
    rows: int
    sources: int
    note: str
    residuals: Mapping[str, tuple[float, float, float]]


@cache
def shipped_coefficients() -> TrainCoefficients:
    """The coefficients that the package ships.

    Raises:
        CatalogError: the file lacks a coefficient or its fit record.
    """
    path = files("suanzhang.evidence") / "data" / "coefficients" / "training.yaml"
    raw: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    missing = [name for name in Coefficients._fields if name not in raw.get("values", {})]
    if missing or "fit" not in raw or "residuals" not in raw:
        raise CatalogError(f"coefficients/training.yaml lacks {', '.join(missing) or 'fit'}", fix="fit the coefficients again")
    fit = raw["fit"]
    return TrainCoefficients(
        Coefficients(**{name: float(raw["values"][name]) for name in Coefficients._fields}),
        str(fit["date"]),
        str(fit["grade"]),
        int(fit["rows"]),
        int(fit["sources"]),
        str(fit["note"]),
        {grade: (float(low), float(middle), float(high)) for grade, (low, middle, high) in raw["residuals"].items()},
    )
