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
from suanzhang.spec.chip import ChipSpec

GENERATIONS = ("volta", "ampere", "hopper", "blackwell", "tpu", "other")
"""Generations of chips that share how far sustained clocks fall below those of an isolated kernel."""


def generation(chip: ChipSpec) -> str:
    """Generation of a chip by its maker and the formats of its arithmetic."""
    if chip.vendor.lower() == "google":
        return "tpu"
    if chip.vendor.lower() != "nvidia":
        return "other"
    peaks = chip.peak_flop_per_s
    if "fp4" in peaks:
        return "blackwell"
    if "fp8" in peaks:
        return "hopper"
    return "ampere" if "bf16" in peaks else "volta"


@dataclass(frozen=True, slots=True)
class TrainCoefficients:
    """Coefficients of the training step with the record of their fit.

    Args:
        values: the coefficients that all chips share (``gemm`` and ``attention`` are 1 here).
        gemm, attention: those two by generation of chips.
        date: day of the fit, ISO.
        grade: "derived" when fitted, "assumed" before.
        rows: published runs that they were fitted to.
        sources: sources of those runs.
        note: how they were fitted, in words.
        residuals: measured over predicted step time of left-out sources, 5th, 50th and 95th percentile by chip grade.
    """

    values: Coefficients
    gemm: Mapping[str, float]
    attention: Mapping[str, float]
    date: str
    grade: str
    rows: int
    sources: int
    note: str
    residuals: Mapping[str, tuple[float, float, float]]

    def on(self, chip: ChipSpec) -> Coefficients:
        """The coefficients of a chip."""
        kind = generation(chip)
        return self.values._replace(gemm=self.gemm[kind], attention=self.attention[kind])


@cache
def shipped_coefficients() -> TrainCoefficients:
    """The coefficients that the package ships.

    Raises:
        CatalogError: the file lacks a coefficient or its fit record.
    """
    path = files("suanzhang.evidence") / "data" / "coefficients" / "training.yaml"
    raw: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    values: dict[str, Any] = raw.get("values", {})
    missing = [name for name in Coefficients._fields if name not in values]
    missing += [f"{name}.{kind}" for name in ("gemm", "attention") for kind in GENERATIONS if kind not in values.get(name, {})]
    if missing or "fit" not in raw or "residuals" not in raw:
        raise CatalogError(f"coefficients/training.yaml lacks {', '.join(missing) or 'its record'}", fix="fit them again")
    fit = raw["fit"]
    shared = {name: float(values[name]) for name in Coefficients._fields if name not in ("gemm", "attention")}
    return TrainCoefficients(
        Coefficients(gemm=1.0, attention=1.0, **shared),
        {kind: float(values["gemm"][kind]) for kind in GENERATIONS},
        {kind: float(values["attention"][kind]) for kind in GENERATIONS},
        str(fit["date"]),
        str(fit["grade"]),
        int(fit["rows"]),
        int(fit["sources"]),
        str(fit["note"]),
        {grade: (float(low), float(middle), float(high)) for grade, (low, middle, high) in raw["residuals"].items()},
    )
