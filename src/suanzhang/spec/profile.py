"""A calibration profile: fitted coefficients and residual tables of one chip with one generation of software."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FittedSurface:
    """One kind of kernel timing at one dtype, fitted.

    Args:
        op: kind of timing ("gemm", "prefill", "decode", "mla_prefill", "mla_decode", "moe", "link", "direct").
        dtype: storage format of the operands.
        coefficients: physical coefficients of the closed form by name.
        axes: low, step and count of each axis of the residual tables (log2 sizes).
        second_axes: the same of the second table; empty without one.
        tables: log of measured over closed form [1/1000], in C order, by name: "" and "second", or the collective.
        rows: timings that it was fitted to.
        coverage: smallest and largest measured value of each shape column.
        error_p05, error_p50, error_p95: quantiles of measured over predicted minus one [1].
        median_abs_pct: median absolute error on the rows of the fit [%].
        left_out_pct: median absolute error on whole shape groups that a second fit did not see [%].
        version: software that was timed.
    """

    op: str
    dtype: str
    coefficients: dict[str, float]
    axes: tuple[tuple[float, float, int], ...]
    second_axes: tuple[tuple[float, float, int], ...]
    tables: dict[str, tuple[int, ...]]
    rows: int
    coverage: dict[str, tuple[float, float]]
    error_p05: float
    error_p50: float
    error_p95: float
    median_abs_pct: float
    left_out_pct: float
    version: str


@dataclass(frozen=True, slots=True)
class Profile:
    """All fitted surfaces of one chip and software.

    Args:
        chip: catalog id of the chip.
        stack: engine or library with its version.
        device: name that the timed device gave itself.
        source: where the timings were published.
        licence: under which licence.
        date: when they were read, ISO.
        sms: multiprocessors that the fit assumed.
        surfaces: the fitted kinds.
    """

    chip: str
    stack: str
    device: str
    source: str
    licence: str
    date: str
    sms: float
    surfaces: tuple[FittedSurface, ...]

    @property
    def id(self) -> str:
        """Name of the profile: chip and stack."""
        return f"{self.chip}--{self.stack}"

    def surface(self, op: str, dtype: str) -> FittedSurface | None:
        """The fitted surface of a kind and dtype, None when it was not timed."""
        return next((item for item in self.surfaces if item.op == op and item.dtype == dtype), None)
