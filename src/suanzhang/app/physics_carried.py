"""What the kernels that were timed on some chips say of another chip: carried over, and taken together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from suanzhang.app.physics_data import (
    Relative,
    best_products_share,
    clock_hz,
    constant,
    likeness,
)
from suanzhang.app.surfaces import ARITHMETIC, GEMM, WARM, peaks_of
from suanzhang.catalog.chips import chip as catalog_chip
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.profile import FittedSurface

Origin = Literal["measured", "relative", "physics"]
_BY_NAME = ("gemm",)
"""Kernels for which the named relatives of a chip speak, not all chips by likeness."""
_BY_WIRES = ("link", "direct")
"""Kernels for which all chips speak that are wired alike: through a switch or mesh of their own, or over PCIe."""
_OF_PRODUCTS = ("prefill", "mla_prefill", "moe")
"""Further kernels that are bound by products where they are long."""
_BEST_SHAPES = np.array([[2.0**m, 2.0**n, 2.0**k] for m in (12, 13, 14) for n in (12, 13, 14) for k in (12, 13)])
"""Rows, columns and depth among which dense products are at their best."""
_IN_CYCLES = ("launch_s", "pair_s")
"""Fixed times of kernels: the same number of clock cycles on every chip, wherever the host is not what they wait for."""
_IN_CYCLES_ELSEWHERE = ("base_s", "hop_s", "direct_base_s", "direct_rank_s")
"""Those of collectives, between architectures; within one they are the same on every board with the same links."""


def host_bound(surface: FittedSurface) -> bool:
    """Whether a kernel was timed without graph replay, so that its fixed time is that of the host's code.

    Engines that replay graphs do not pay it; another engine's or version's timings of the same kernel are nearer.
    """
    return surface.coefficients.get("launch_s", 0.0) > constant("host_bound_s")


def stand_in(chip: ChipSpec, kin: Relative, surfaces: Mapping[str, FittedSurface]) -> FittedSurface | None:
    """What chips with timings say of one without.

    A relative of its own architecture speaks alone, with coefficients and tables. Of other architectures, attention and
    experts take the mean of coefficients and tables of all of them, each as loud as it is like the chip; collectives that of
    all chips that are wired alike. Dense products hang on how a chip feeds its cores, which no trait tells: there the mean of
    the coefficients of the named relatives is nearer, without tables.

    Args:
        chip: the chip without timings.
        kin: its named relatives.
        surfaces: what was timed, by chip.

    Where somebody published the best rate of products of the chip itself, that rate bounds the mean.

    Returns:
        The mean; None when none of the chips that count was timed.
    """
    mean = _mean(chip, kin, surfaces)
    return mean if mean is None or kin.close else reaching(mean, chip, tuple(map(catalog_chip, surfaces)))


def _mean(chip: ChipSpec, kin: Relative, surfaces: Mapping[str, FittedSurface]) -> FittedSurface | None:
    carried = {name: carry(surface, catalog_chip(name), chip, kin.close) for name, surface in surfaces.items()}
    if kin.close:
        return carried.get(kin.chip)
    timed = {name: surface for name, surface in carried.items() if not host_bound(surface)} or carried
    op = next((surface.op for surface in timed.values()), "")
    if op in _BY_NAME:
        named = [timed[name] for name in (kin.chip, *kin.also) if name in timed]
        return replace(mean_surface(named), tables={}) if named else None
    if op in _BY_WIRES:
        alike = [
            surface for name, surface in timed.items() if (catalog_chip(name).scale_up_domain > 1) == (chip.scale_up_domain > 1)
        ]
        return mean_surface(alike) if alike else None
    weights = [likeness(chip, catalog_chip(name)) for name in timed]
    return mean_surface(list(timed.values()), weights) if timed else None


def reaching(surface: FittedSurface, chip: ChipSpec, timed: Sequence[ChipSpec]) -> FittedSurface:
    """A surface whose products reach the best rate that was published for the chip.

    The clock that a chip holds under full products, and what its library makes of its cores, differ more between makers than
    the printed peaks tell. Dense products are made to reach the published rate at their best shape. Attention and experts
    run the same products, never at more than the same share of their rate elsewhere.

    Args:
        surface: what other chips say of the chip.
        chip: the chip.
        timed: those other chips.

    Returns:
        The surface; unchanged where nothing was published or the kernel is none of products.
    """
    arithmetic = ARITHMETIC.get(surface.dtype, surface.dtype).removesuffix("-kv8")
    share = best_products_share(chip, arithmetic)
    if share is None or surface.op not in (*_BY_NAME, *_OF_PRODUCTS):
        return surface
    values = dict(surface.coefficients)
    if surface.op in _BY_NAME:
        values["efficiency"] = _efficiency_reaching(surface, chip, share)
    else:
        others = [there for one in timed if (there := best_products_share(one, arithmetic)) is not None]
        if others:
            values["efficiency"] *= min(1.0, share / math.exp(sum(map(math.log, others)) / len(others)))
    return replace(surface, coefficients=values)


def _efficiency_reaching(surface: FittedSurface, chip: ChipSpec, share: float) -> float:
    """The efficiency with which the closed form of dense products reaches a share of the peak at its best shape."""
    peaks = peaks_of(chip, surface.op, surface.dtype)
    if peaks is None:
        return surface.coefficients["efficiency"]
    flop = 2.0 * _BEST_SHAPES.prod(axis=1)

    def reached(efficiency: float) -> float:
        seconds = GEMM.predict(peaks, surface.dtype, {**surface.coefficients, "efficiency": efficiency}, _BEST_SHAPES)
        return float((flop / seconds).max()) / peaks.flop_per_s

    low, high = 0.01, 1.0
    if reached(high) <= share:
        return high
    return float(brentq(lambda efficiency: reached(efficiency) - share, low, high, xtol=1e-4))


def carry(surface: FittedSurface, timed: ChipSpec, chip: ChipSpec, close: bool) -> FittedSurface:
    """What a surface of one chip says of another whose clock and cores differ.

    Fixed times of kernels are counted in cycles. The on-chip cache feeds a core of the same architecture at the same rate,
    whatever the format of the products: judged on chips left out, products in four bits gain a factor of two by it, while
    between architectures the rate follows the products more than the cores.

    Args:
        surface: what was fitted to the timings.
        timed: the chip that was timed.
        chip: the chip at hand.
        close: whether both share the architecture.
    """
    values = dict(surface.coefficients)
    clocks = clock_hz(timed) / clock_hz(chip)
    if math.isfinite(clocks) and not host_bound(surface):
        fixed = _IN_CYCLES if close else _IN_CYCLES + _IN_CYCLES_ELSEWHERE
        values |= {name: values[name] * clocks for name in fixed if name in values}
    if close and surface.op == "gemm":
        here, there = peaks_of(chip, "gemm", surface.dtype), peaks_of(timed, "gemm", surface.dtype)
        if here is not None and there is not None:
            values["feed_bytes_per_flop"] *= there.flop_per_s / there.sms * here.sms / here.flop_per_s
    return replace(surface, coefficients=values)


def _mean_of(name: str, surfaces: Sequence[FittedSurface], shares: NDArray[np.float64]) -> float:
    """The geometric mean of a coefficient over the surfaces that have it."""
    have = [(share, s.coefficients[name]) for share, s in zip(shares.tolist(), surfaces, strict=True) if name in s.coefficients]
    return math.exp(sum(share * math.log(value) for share, value in have) / sum(share for share, _ in have))


def mean_surface(surfaces: Sequence[FittedSurface], weights: Sequence[float] = ()) -> FittedSurface:
    """The geometric mean of coefficients and tables of several chips; errors are those of the first.

    Args:
        surfaces: surfaces of one kind of kernel, at least one.
        weights: how much each counts, all alike when left out.
    """
    shares = np.array(weights or [1.0] * len(surfaces))
    shares = shares / shares.sum()
    names = [name for name in surfaces[0].coefficients if all(name in s.coefficients for s in surfaces)]
    if surfaces[0].op in _BY_NAME:
        names += [name for name in WARM if name not in names and any(name in s.coefficients for s in surfaces)]
    values = {name: _mean_of(name, surfaces, shares) for name in names}
    tables = {}
    for name, first in surfaces[0].tables.items():
        same = all(name in s.tables and len(s.tables[name]) == len(first) for s in surfaces)
        if same and all((s.axes, s.second_axes) == (surfaces[0].axes, surfaces[0].second_axes) for s in surfaces):
            mean = sum(w * np.array(s.tables[name], dtype=np.float64) for w, s in zip(shares, surfaces, strict=True))
            tables[name] = tuple(int(x) for x in np.round(mean))
    return replace(surfaces[0], coefficients=values, tables=tables)
