"""Layouts that fit as surely as asked: predicted memory may be off, and a layout that just fits fails in half the cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import NormalDist
from typing import NamedTuple

from suanzhang.app.train_deadline import chance_below
from suanzhang.app.train_input import usable_bytes
from suanzhang.app.train_model import Packed, estimate_packed
from suanzhang.app.train_search import Searched
from suanzhang.app.train_spread import memory_factors
from suanzhang.errors import InputError
from suanzhang.perf.training.feasible import OUT_OF_MEMORY, REASONS
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.result import Z95, Interval
from suanzhang.spec.stack import TrainStack

FIT_CONFIDENCE = 0.9
"""Share of the cases of the interval of its memory in which a layout must fit to be taken, unless said."""
NOT_SURE = "memory, in too many of the cases"
"""Reason of a layout whose predicted memory fits, but not surely enough."""
_KEEP = 64
_ROUNDS = 16
_TIGHTER = 1.04
_SLACK = 0.98
Scan = Callable[[float, int], Searched]
"""The layouts that fit a number of bytes, fastest first, so many of them."""


class Riskier(NamedTuple):
    """A faster way that fits less surely: its layout in words, share of the step that it saves, share of cases that it fits."""

    name: str
    gain_fraction: float
    fits_fraction: float


def check_confidence(confidence: float) -> float:
    """A share of the cases in which a layout must fit.

    Raises:
        InputError: it lies outside of 0 to 1.
    """
    if not 0.0 <= confidence < 1.0:
        raise InputError(f"fit_confidence: {confidence:g} is no share of cases", fix="give 0 to 0.99, as 0.9")
    return confidence


def needed_factor(factors: Interval, confidence: float) -> float:
    """By how much a predicted memory must stay below what a chip has to fit in a share of the cases.

    Example:
        >>> round(needed_factor(Interval(0.8, 1.0, 1.2), 0.95), 3), needed_factor(Interval(0.8, 1.0, 1.2), 0.5)
        (1.2, 1.0)
    """
    off = NormalDist().inv_cdf(min(max(confidence, 1e-9), 1.0 - 1e-9)) / Z95
    ratio = factors.p95 / factors.p50 if off > 0.0 else factors.p50 / factors.p05
    return float(factors.p50 * ratio**off)


def sure_words(chance: float, confidence: float, faster: Riskier | None = None) -> tuple[str, ...]:
    """What a reader must know of how surely what was searched fits, and of a faster way that fits less surely.

    Args:
        chance: share of the cases in which it fits.
        confidence: share that was asked for.
        faster: a faster way that fits in fewer of the cases.

    Example:
        >>> sure_words(0.95, 0.9, Riskier("tp=2", 0.04, 0.7))
        ('tp=2 is 4.0 % faster, but fits in only 70 of 100 cases; searched layouts must fit in 90 (fit_confidence)',)
    """
    notes = []
    if chance < confidence:
        notes.append(
            f"no layout fits in {_cases(confidence)}: this one, about as sure as any, fits in {100.0 * chance:.0f}; "
            "recompute, offload or more chips make room"
        )
    if faster is not None:
        notes.append(
            f"{faster.name} is {100.0 * faster.gain_fraction:.1f} % faster, but fits in only {_cases(faster.fits_fraction)}; "
            f"searched layouts must fit in {100.0 * confidence:.0f} (fit_confidence)"
        )
    return tuple(notes)


def _cases(share: float) -> str:
    return f"{100.0 * share:.0f} of 100 cases"


class Surely:
    """Picks the fastest layouts that fit surely enough out of scans at tighter and tighter memory."""

    def __init__(self, scan: Scan, packed: Packed, job: TrainJob, chip: ChipSpec, stack: TrainStack) -> None:
        self._scan, self._packed, self._job, self._chip, self._stack = scan, packed, job, chip, stack
        self._usable = usable_bytes(chip)
        self._spans: dict[TrainLayout, Interval] = {}

    def _factors(self, layout: TrainLayout) -> Interval:
        if layout not in self._spans:
            estimate = estimate_packed(self._packed, layout, self._chip)
            self._spans[layout] = memory_factors(self._chip, self._job, self._stack, layout.chips, estimate)
        return self._spans[layout]

    def chance(self, layout: TrainLayout, memory_bytes: float) -> float:
        """Share of the cases in which a layout fits."""
        return chance_below(self._factors(layout).scaled(memory_bytes), self._usable)

    def find(self, confidence: float, keep: int) -> Searched:
        """The fastest layouts that fit in a share of the cases; where none does, those that fit about as surely as any can."""
        first = self._scan(self._usable, keep)
        if not first.layouts or confidence <= 0.0 or self.chance(first.layouts[0], first.memory_bytes[0]) >= confidence:
            return first
        found = self._tighter(first, confidence, keep)
        if found is None and first.leanest is not None:
            likely = self.chance(first.leanest, first.leanest_bytes)
            found = self._tighter(first, _SLACK * min(likely, confidence), keep)
        if found is None:
            return first
        if found.layouts[0] == first.layouts[0]:
            return first
        risk = self.chance(first.layouts[0], first.memory_bytes[0])
        return replace(found, riskier=first.layouts[0], riskier_fits_fraction=risk)

    def _tighter(self, first: Searched, confidence: float, keep: int) -> Searched | None:
        """Scan at the memory that the least doubtful layout needs, then at less until one that is kept fits surely enough."""
        factor = min(needed_factor(self._factors(layout), confidence) for layout in first.layouts)
        seconds = first.seconds
        for _ in range(_ROUNDS):
            found = self._scan(self._usable / factor, _KEEP)
            seconds += found.seconds
            if not found.layouts:
                return None
            pairs = zip(found.layouts, found.memory_bytes, strict=True)
            sure = [place for place, (one, size) in enumerate(pairs) if self.chance(one, size) >= confidence]
            if sure:
                return _only(first, found, sure[:keep], seconds)
            factor *= _TIGHTER
        return None


def _only(first: Searched, found: Searched, places: list[int], seconds: float) -> Searched:
    """Some layouts of a scan, with the counts of the first one and what the tighter memory left out beside them."""
    memory = REASONS[int(OUT_OF_MEMORY)]
    left_out = found.pruned.get(memory, 0) - first.pruned.get(memory, 0)
    return replace(
        first,
        layouts=tuple(found.layouts[place] for place in places),
        step_s=tuple(found.step_s[place] for place in places),
        memory_bytes=tuple(found.memory_bytes[place] for place in places),
        pruned={**first.pruned, **({NOT_SURE: left_out} if left_out > 0 else {})},
        seconds=seconds,
    )
