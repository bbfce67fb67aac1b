"""Figures of chips that the formulas need and the catalog does not hold: cores, relatives, network constants."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from suanzhang.spec.chip import ChipSpec

_FILE = Path(__file__).resolve().parent / "data" / "physics.yaml"


@dataclass(frozen=True, slots=True)
class Relative:
    """Chips with timings that stand in for one without.

    Args:
        chip: the nearest of them.
        close: whether it shares the architecture; then its tables carry over, else only coefficients do.
        also: further chips whose coefficients are averaged with those of the nearest.
    """

    chip: str
    close: bool
    also: tuple[str, ...] = ()


_WIDTH = 1.0
"""Squared distance of two chips (in octaves of their traits) at which one speaks 1/e as loud for the other: about what
chips left out are predicted best with."""


@functools.cache
def _data() -> dict[str, Any]:
    return cast(dict[str, Any], yaml.safe_load(_FILE.read_text(encoding="utf-8")))


def _word(chip: ChipSpec) -> str:
    return chip.id.split("-")[0]


def cores(chip: ChipSpec) -> float:
    """Cores of a chip that take one tile at a time; a typical count when it is not known."""
    table = _data()["cores"]
    return float(table["chips"].get(_word(chip), table["default"])["value"])


def l2_bytes(chip: ChipSpec) -> float:
    """On-chip cache that all cores of a chip share [B]; a typical size when it is not known."""
    table = _data()["l2"]
    return float(table["chips"].get(_word(chip), table["default"])["value"])


def clock_hz(chip: ChipSpec) -> float:
    """Clock at which the vendor counts the peak of a chip [Hz]; not a number when it is not known."""
    return float(_data()["clock"]["chips"].get(_word(chip), {"value": math.nan})["value"])


def best_products_share(chip: ChipSpec, arithmetic: str) -> float | None:
    """Share of a chip's peak that the best of many shapes of dense products reached in a published search [1].

    Formats without a figure of their own take that in 16 bit, as one chip sustains about the same share in each.

    Args:
        chip: the chip.
        arithmetic: format of the products.

    Returns:
        The share; None where nobody published one.
    """
    found = _data()["best_products"]["chips"].get(_word(chip), {})
    for name in (arithmetic, "bf16"):
        if name in found and name in chip.peak_flop_per_s:
            return float(found[name]) / chip.peak_flop_per_s[name]
    return None


def relative(chip: ChipSpec) -> Relative | None:
    """The chip whose measured efficiencies stand in for those of ``chip``; None when there is none."""
    return _relative(_data()["relatives"].get(_word(chip)))


def relative_when_left_out(chip: ChipSpec) -> Relative | None:
    """Chips that would stand in for a measured one if it had no timings: what a chip left out is judged with."""
    return _relative(_data()["left_out_relatives"].get(_word(chip)))


def likeness(chip: ChipSpec, other: ChipSpec) -> float:
    """How much the measured efficiencies of ``other`` say about ``chip``, 0 to 1, from what both are built of.

    Traits are bandwidth and products per core and the on-chip cache over the bandwidth: they set how many bytes and
    products are in flight, and so what share of its peaks a kernel reaches.
    """
    here, there = _traits(chip), _traits(other)
    apart = sum(weight * (a - b) ** 2 for weight, a, b in zip(_TRAIT_WEIGHTS, here, there, strict=True))
    return math.exp(-apart / _WIDTH)


_TRAIT_WEIGHTS = (1.0, 1.0, 0.5)


def _traits(chip: ChipSpec) -> tuple[float, float, float]:
    peak = chip.peak_flop_per_s.get("bf16") or chip.peak_flop_per_s.get("fp16") or max(chip.peak_flop_per_s.values())
    rate, count = chip.hbm_bytes_per_s, cores(chip)
    return math.log2(rate / count), math.log2(peak / count), math.log2(l2_bytes(chip) / rate)


def _relative(found: dict[str, Any] | None) -> Relative | None:
    return Relative(found["chip"], bool(found["close"]), tuple(found.get("also", ()))) if found else None


def constant(name: str) -> float:
    """A constant that no timing covers, in SI units."""
    return float(_data()["constants"][name]["value"])


def backward_over_forward(chip_id: str) -> float:
    """Efficiency of the backward over the forward pass of fused attention on a measured chip."""
    table = _data()["backward_over_forward"]
    return float(table.get(chip_id, table["default"])["value"])


def pcie_link_chip() -> str:
    """The chip whose measured collectives stand in for chips that talk over PCIe."""
    return str(_data()["pcie_link_chip"])
