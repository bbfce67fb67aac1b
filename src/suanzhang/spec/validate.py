"""The answer of `validate`: our error on published measurements, and what could not be modelled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from suanzhang.spec.result import Header, Interval, SourceUse


@dataclass(frozen=True, slots=True)
class MetricError:
    """Error of one metric over some rows. Names are the stable JSON keys.

    Args:
        n: rows.
        median_abs_pct, p90_abs_pct: absolute error [%].
        bias_pct: median of the signed error, positive when too much is predicted [%].
        rank_corr: median rank correlation inside sweeps; None without a sweep of five rows.
        interval90_coverage: fraction of rows inside our 90 % interval; None when there is no interval.
        interval_ratio: median of the upper over the lower end of that interval.
        regret_pct: what the predicted best of a sweep costs beyond the measured best, median [%].
        sources: how many sources.
        median_abs_low_pct, median_abs_high_pct: 90 % bootstrap interval of the median over sources [%].
        coverage_low, coverage_high: 90 % bootstrap interval of the coverage over sources; None when there is no interval.
        calibrated_coverage, calibrated_ratio: coverage and width on chips whose own kernels are timed; None without any.
        regret_p90_pct: regret that nine sweeps of ten stay below [%].
        sweeps: how many sweeps of five rows or more.
    """

    n: int
    median_abs_pct: float
    p90_abs_pct: float
    bias_pct: float
    rank_corr: float | None
    interval90_coverage: float | None
    interval_ratio: float | None
    regret_pct: float | None
    sources: int
    median_abs_low_pct: float
    median_abs_high_pct: float
    coverage_low: float | None = None
    coverage_high: float | None = None
    calibrated_coverage: float | None = None
    calibrated_ratio: float | None = None
    regret_p90_pct: float | None = None
    sweeps: int = 0


@dataclass(frozen=True, slots=True)
class GroupError:
    """Rows of one source, chip or the like.

    Args:
        rows: rows that state a metric.
        modelled: rows with at least one metric predicted.
        metrics: error by metric.
    """

    rows: int
    modelled: int
    metrics: Mapping[str, MetricError]


@dataclass(frozen=True, slots=True)
class RowError:
    """One row of the table: predicted beside measured, in SI units.

    Args:
        id, source, phase, chip, model: which row.
        predicted, measured: metric to value.
        skipped: why it was not modelled; empty when it was.
        assumed: what the row left open and what was taken.
        labels: group name to value.
        predicted_interval: metric to our 90 % interval of it.
    """

    id: str
    source: str
    phase: str
    chip: str
    model: str
    predicted: Mapping[str, float]
    measured: Mapping[str, float]
    skipped: str = ""
    assumed: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    predicted_interval: Mapping[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorstRow:
    """A prediction that is far off, with what is known about it.

    Args:
        id, source, metric: which.
        predicted, measured: in SI units.
        error_pct: signed error [%].
        bound_by: what the planner says limits it.
        assumed: what the row left open.
        explanation: why it is off, when it is understood; empty otherwise.
        predicted_interval: our 90 % interval of it, with its source left out; None where there is none.
    """

    id: str
    source: str
    metric: str
    predicted: float
    measured: float
    error_pct: float
    bound_by: str
    assumed: tuple[str, ...]
    explanation: str = ""
    predicted_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class MemoryVerdicts:
    """Whether the planner says rightly that a run fits the memory.

    Args:
        ran_and_fits: ran, and is said to fit.
        ran_but_refused: ran, but is said not to fit.
        failed_and_refused: ran out of memory, and is said not to fit.
        failed_but_fits: ran out of memory, but is said to fit.
    """

    ran_and_fits: int
    ran_but_refused: int
    failed_and_refused: int
    failed_but_fits: int


@dataclass(frozen=True, slots=True)
class PeerError:
    """Another planner beside ours on the very same rows.

    Args:
        name, commit, commit_date: which program.
        date: of the run that recorded its predictions, ISO.
        metric: what is compared.
        settings: how it was run, in words.
        rows, sources: how many.
        peer_median_abs_pct, peer_p90_abs_pct, peer_bias_pct: its error [%].
        our_median_abs_pct, our_p90_abs_pct, our_bias_pct: ours on the same rows [%].
        constant_median_abs_pct: error of one fitted share of peak on the same rows [%].
    """

    name: str
    commit: str
    commit_date: str
    date: str
    metric: str
    settings: str
    rows: int
    sources: int
    peer_median_abs_pct: float
    peer_p90_abs_pct: float
    peer_bias_pct: float
    our_median_abs_pct: float
    our_p90_abs_pct: float
    our_bias_pct: float
    constant_median_abs_pct: float


@dataclass(frozen=True, slots=True)
class FigureChange:
    """One recorded error beside the one of now.

    Args:
        phase, metric: whose error it is.
        source: the source; empty over all of them.
        recorded_pct, now_pct: median absolute error [%]; None when nothing is predicted any more.
        allowed_pct: largest value that passes [%].
    """

    phase: str
    metric: str
    source: str
    recorded_pct: float
    now_pct: float | None
    allowed_pct: float

    @property
    def worse(self) -> bool:
        """Whether it is worse than allowed."""
        return self.now_pct is None or not self.now_pct <= self.allowed_pct


@dataclass(frozen=True, slots=True)
class ValidateResult:
    """Our error on published measurements. Names are the stable JSON keys.

    Args:
        header: version, catalog date and seed.
        phase: "training", "serving" or "all".
        rows: rows that state at least one metric.
        modelled: rows with at least one metric predicted.
        skipped: reason to number of rows.
        metrics: error by metric over all rows.
        by_source, by_chip, by_precision, by_engine, by_architecture, by_scale, by_quality: the same in groups.
        baseline: error of one constant fitted to the same rows: a share of peak for all.
        memory_verdicts: right and wrong sayings about what fits.
        stability: metric to the largest move of another source's median when one source is left out of the fit [% points].
        worst: the rows farthest off.
        judged: how it was judged: coefficients that never saw the source, or the shipped ones.
        rows_total: rows in the file.
        wall_s: time that it took.
        entries: one per row, when asked for.
        complete_rows, complete_modelled: rows that state their whole configuration, and those of them that are modelled.
        complete_metrics: errors on these rows alone (training: quality A and B; serving: tier A), by metric.
        baseline_by_source: source and metric to the error of that one constant.
        complete_baseline: error of that one constant on the rows that state their whole configuration.
        peers: other planners on the same rows.
        changes: the recorded errors beside those of now, for the rows that ship.
        sources: where the rows and the timings behind the predictions stand.
    """

    header: Header
    phase: str
    rows: int
    modelled: int
    skipped: Mapping[str, int]
    metrics: Mapping[str, MetricError]
    by_source: Mapping[str, GroupError]
    by_chip: Mapping[str, GroupError]
    by_precision: Mapping[str, GroupError]
    by_engine: Mapping[str, GroupError]
    by_architecture: Mapping[str, GroupError]
    by_scale: Mapping[str, GroupError]
    by_quality: Mapping[str, GroupError]
    baseline: Mapping[str, MetricError]
    memory_verdicts: MemoryVerdicts
    stability: Mapping[str, float]
    worst: tuple[WorstRow, ...]
    judged: str
    rows_total: int
    wall_s: float
    entries: tuple[RowError, ...] = ()
    complete_rows: int = 0
    complete_modelled: int = 0
    complete_metrics: Mapping[str, MetricError] = field(default_factory=dict)
    baseline_by_source: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    complete_baseline: Mapping[str, MetricError] = field(default_factory=dict)
    peers: tuple[PeerError, ...] = ()
    changes: tuple[FigureChange, ...] = ()
    sources: tuple[SourceUse, ...] = ()
