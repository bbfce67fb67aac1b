"""The fitted coefficients of the training step, as shipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import yaml

from suanzhang.errors import CatalogError
from suanzhang.perf.training.args import Coefficients
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.stack import KernelFamily, TrainStack

GENERATIONS = ("volta", "ampere", "hopper", "blackwell", "tpu", "trillium", "other")
"""Generations of chips that share how far sustained clocks fall below those of an isolated kernel."""


def generation(chip: ChipSpec) -> str:
    """Generation of a chip by its maker and the formats of its arithmetic."""
    if chip.vendor.lower() == "google":
        return "trillium" if "fp8" in chip.peak_flop_per_s or chip.peak_flop_per_s.get("bf16", 0.0) > 6e14 else "tpu"
    if chip.vendor.lower() != "nvidia":
        return "other"
    peaks = chip.peak_flop_per_s
    if "fp4" in peaks:
        return "blackwell"
    if "fp8" in peaks:
        return "hopper"
    return "ampere" if "bf16" in peaks else "volta"


KERNELS: tuple[KernelFamily, ...] = get_args(KernelFamily)
"""Families of kernels; each changes the time of products by a factor that is fitted over all stacks of the family."""
_WATT_PER_FLOP = {"volta": 300.0 / 125e12, "ampere": 337.0 / 312e12, "hopper": 700.0 / 989.4e12, "blackwell": 1000.0 / 2250e12}
"""Power over dense 16-bit peak at which the usual part of a generation runs its products [W s/FLOP]: the nameplate, but for
Ampere less. Its clock is at the ceiling at 400 W, and the 300 W of its PCIe board cost 7 % of the best rate, no more."""
_POWER_RANGE = {"ampere": (1.0, 1.35)}
_USUAL_POWER_RANGE = (0.85, 1.35)
_FIXED_POWER = 0.4
"""Share of the power of a busy chip that does not follow the clock of its arithmetic: leakage, memory, links, regulators.
Derived: of the shares from a third to a half the one that leaves the sources left out nearest, chips of 350 W to 1,400 W."""


def power_factor(chip: ChipSpec) -> float:
    """Time of sustained products over that of the usual part of the generation, by what power allows.

    Model:    under a power limit the clock follows the cube root of the power that is left to arithmetic, as voltage falls
              with the clock; leakage, memory and links take their share first, so that a lower limit costs more than the
              cube root of all the power.

    Args:
        chip: the chip.

    Returns:
        Factor on the time of products, 1 for the usual part.

    Equation: f = ((W / (w P) - s) / (1 - s))^(-1/3), w power per peak of the usual part, P peak and W power of the chip, s
              the share that does not follow the clock; kept in 0.85 to 1.35, on Ampere in 1 to 1.35.

    Validity: variants of one silicon: lower power limits, board and rack versions.

    Sources:  energy of a switch goes with the square of its voltage (textbook); [bekman-matmul] the boards of the A100.
    """
    usual = _WATT_PER_FLOP.get(generation(chip), 0.0)
    peak = chip.peak_flop_per_s.get("bf16") or chip.peak_flop_per_s.get("fp16") or 0.0
    if not (usual and peak and chip.tdp_w):
        return 1.0
    low, high = _POWER_RANGE.get(generation(chip), _USUAL_POWER_RANGE)
    left = (chip.tdp_w / (usual * peak) - _FIXED_POWER) / (1.0 - _FIXED_POWER)
    return min(max(left ** (-1.0 / 3.0), low), high) if left > 0.0 else high


def is_narrow(precision: str) -> bool:
    """Whether the operands of products are floating-point numbers of less than 16 bits."""
    return precision in ("fp8", "fp8-block", "mxfp8", "fp4", "nvfp4", "nvfp4-mixed")


@dataclass(frozen=True, slots=True)
class TrainCoefficients:
    """Coefficients of the training step with the record of their fit.

    Args:
        values: the coefficients that all chips share (``gemm`` and ``attention`` are 1 here).
        gemm, attention: those two by generation of chips; ``gemm`` also by family of kernels (over the mean of all).
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

    def on(self, chip: ChipSpec, precision: str = "", kernels: str = "") -> Coefficients:
        """The coefficients of a chip at the precision of its products, with a family of kernels."""
        kind, power = generation(chip), power_factor(chip)
        gemm = self.gemm.get(kind, self.gemm["other"]) * power * (self.values.narrow if is_narrow(precision) else 1.0)
        gemm *= self.gemm.get(kernels, 1.0)
        return self.values._replace(gemm=gemm, attention=self.attention.get(kind, self.attention["other"]) * power)


COEFFICIENTS_FILE = Path(str(files("suanzhang.evidence"))) / "data" / "coefficients" / "training.yaml"
"""What ships; written by :mod:`suanzhang.app.train_fit`."""


@cache
def shipped_coefficients() -> TrainCoefficients:
    """The coefficients that the package ships.

    Raises:
        CatalogError: the file lacks a coefficient or its fit record.
    """
    raw: dict[str, Any] = yaml.safe_load(COEFFICIENTS_FILE.read_text(encoding="utf-8"))
    values: dict[str, Any] = raw.get("values", {})
    missing = [name for name in Coefficients._fields if name not in values and name != "narrow"]
    missing += [f"{name}.{kind}" for name in ("gemm", "attention") for kind in GENERATIONS if kind not in values.get(name, {})]
    if missing or "fit" not in raw or "residuals" not in raw:
        raise CatalogError(f"coefficients/training.yaml lacks {', '.join(missing) or 'its record'}", fix="fit them again")
    fit = raw["fit"]
    shared = {name: float(values.get(name, 1.0)) for name in Coefficients._fields if name not in ("gemm", "attention")}
    return TrainCoefficients(
        Coefficients(gemm=1.0, attention=1.0, **shared),
        {kind: float(values["gemm"].get(kind, 1.0)) for kind in (*GENERATIONS, *KERNELS)},
        {kind: float(values["attention"][kind]) for kind in GENERATIONS},
        str(fit["date"]),
        str(fit["grade"]),
        int(fit["rows"]),
        int(fit["sources"]),
        str(fit["note"]),
        {grade: (float(low), float(middle), float(high)) for grade, (low, middle, high) in raw["residuals"].items()},
    )


Correct = Callable[[TrainCoefficients, TrainJob, ChipSpec, TrainStack], TrainCoefficients]
"""Coefficients for one question from those that ship."""
Narrow = Callable[[TrainJob, ChipSpec, TrainStack, TrainLayout], float]
"""Width of an interval after own runs over that before, in logarithms."""
_CORRECT: ContextVar[tuple[Correct, Narrow] | None] = ContextVar("correct", default=None)


@contextmanager
def corrected_by(correct: Correct, narrow: Narrow) -> Iterator[None]:
    """Answer all questions inside with coefficients, and widths of intervals, corrected by the user's own runs."""
    token = _CORRECT.set((correct, narrow))
    try:
        yield
    finally:
        _CORRECT.reset(token)


def coefficients_for(job: TrainJob, chip: ChipSpec, stack: TrainStack) -> TrainCoefficients:
    """The shipped coefficients, or what :func:`corrected_by` makes of them for this question."""
    own = _CORRECT.get()
    return shipped_coefficients() if own is None else own[0](shipped_coefficients(), job, chip, stack)


def narrowed(job: TrainJob, chip: ChipSpec, stack: TrainStack, layout: TrainLayout) -> float:
    """Width of an interval by the user's own runs over that without them, in logarithms; 1 outside :func:`corrected_by`."""
    own = _CORRECT.get()
    return 1.0 if own is None else own[1](job, chip, stack, layout)
