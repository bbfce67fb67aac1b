"""What a user's own measured runs change: the answer of ``calibrate --runs``."""

from __future__ import annotations

from dataclasses import dataclass

from suanzhang.spec.result import Header, Interval


@dataclass(frozen=True, slots=True)
class Correction:
    """One corrected factor.

    Args:
        name: what it multiplies, such as ``compute`` or ``chip h100-sxm-80``.
        factor: on the time of that part [1].
        prior_pct: half width of what is believed before the runs, one standard deviation [%].
        left_pct: the same after the runs [%].
        factor_interval: what the runs leave open.
    """

    name: str
    factor: float
    prior_pct: float
    left_pct: float
    factor_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class RunFit:
    """One measured run beside the estimates.

    Args:
        line: line of the file.
        model, chip, layout: what ran.
        measured_s: step time measured [s].
        before_s, after_s: step time by the shipped and by the corrected coefficients [s].
        before_pct, after_pct: their errors [%].
        before_s_interval, after_s_interval: where the measured time was expected before, and where after the runs.
    """

    line: int
    model: str
    chip: str
    layout: str
    measured_s: float
    before_s: float
    after_s: float
    before_pct: float
    after_pct: float
    before_s_interval: Interval | None = None
    after_s_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class OwnRunsResult:
    """Corrections of the training model by the user's own runs.

    Args:
        header: version, catalog date and seed.
        runs: how many were measured.
        before_pct, after_pct: median absolute error on them without and with the corrections [%].
        left_out_pct: the same with each run predicted from the others [%].
        file: where the corrections were written; empty when nowhere.
        corrections: the factors.
        fits: each run.
        warnings: what a reader must know.
    """

    header: Header
    runs: int
    before_pct: float
    after_pct: float
    left_out_pct: float
    file: str
    corrections: tuple[Correction, ...]
    fits: tuple[RunFit, ...]
    warnings: tuple[str, ...]
