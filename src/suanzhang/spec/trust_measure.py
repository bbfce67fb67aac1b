"""What a device was measured to do, beside what is predicted for its chip."""

from __future__ import annotations

from dataclasses import dataclass

from suanzhang.spec.result import Header


@dataclass(frozen=True, slots=True)
class MeasuredKind:
    """Timings of one kind against their predictions.

    Args:
        kind: "gemm", "prefill", "decode", "memory", "launch", "chain" (kernels launched one by one), "graph" (the same
            replayed as one graph), a collective such as "all_reduce", "training step" or "decode loop".
        shapes: shapes that were timed.
        median_measured_s: median time.
        median_predicted_s: median prediction; None for a device that is no chip of the catalog.
        median_abs_pct: median absolute error of the predictions.
        ratio_p05, ratio_p95: measured over predicted, 5th and 95th percentile.
    """

    kind: str
    shapes: int
    median_measured_s: float
    median_predicted_s: float | None
    median_abs_pct: float | None
    ratio_p05: float | None
    ratio_p95: float | None


@dataclass(frozen=True, slots=True)
class MeasuredResult:
    """The answer of ``measure``.

    Args:
        header: version, catalog date, seed.
        device: what the device calls itself.
        chip: catalog id that it was found to be; empty when none.
        software: what ran on it.
        slow: small sizes, because the device is a CPU.
        measured_s: time that the measurement took.
        kinds: measured against predicted.
        timings: name of the file for ``calibrate``, beside the measurement.
        warnings: what a reader must know.
        profile: name of the fitted profile's file; empty when none was written.
    """

    header: Header
    device: str
    chip: str
    software: str
    slow: bool
    measured_s: float
    kinds: tuple[MeasuredKind, ...]
    timings: str
    warnings: tuple[str, ...] = ()
    profile: str = ""
