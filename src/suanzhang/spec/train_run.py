"""What the simulation of a whole training run is made of."""

from __future__ import annotations

from dataclasses import dataclass

from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.result import Header, Interval, Term
from suanzhang.spec.trust import Flag


@dataclass(frozen=True, slots=True)
class WarmUp:
    """A phase of the batch-size warm-up.

    Args:
        global_batch: sequences of a step.
        tokens: tokens trained at that size.
        step_s: time of one step.
        days: its share of the run if nothing failed.
        step_s_interval, days_interval: our uncertainty about them.
    """

    global_batch: int
    tokens: float
    step_s: float
    days: float
    step_s_interval: Interval | None = None
    days_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of what can be chosen, and the goodput that it reaches.

    Args:
        value: seconds between checkpoints, or spare nodes.
        goodput_fraction: mean over the simulated runs.
        formula_fraction: the same by the closed formula; 0 where there is none.
        unit: of the value.
        goodput_fraction_interval, formula_fraction_interval: our uncertainty about them.
    """

    value: float
    goodput_fraction: float
    formula_fraction: float
    unit: str = "s"
    goodput_fraction_interval: Interval | None = None
    formula_fraction_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class RunResult:
    """The answer of ``goodput``. Field names are the stable JSON keys.

    Args:
        header: version, catalog date and seed.
        model, chip, stack: what was asked, by catalog id.
        chips, nodes, spares: at work; nodes of them; nodes that stand by.
        layout: best or given layout.
        step_s: time of one step at the full batch.
        warm_up: phases of the batch size, the full one last.
        failures_per_chip_day: rate of failures that stop the job; ``rate_source`` names where it was published.
        mtbf_s: mean time between failures of the whole job.
        failures, failures_interval: how many in the run.
        checkpoint_stall_s, checkpoint_durable_s: time that one checkpoint stops training, and until it can be restored.
        interval_s: work between two checkpoints that was used.
        young_s, simulated_best_s: best interval by the formula of Young and Daly, and by simulation.
        intervals: goodput by interval.
        spare_settings: goodput by spare nodes.
        goodput_fraction, goodput_fraction_interval: useful share of the calendar time.
        formula_fraction: the same by the closed formula.
        days, days_interval: calendar time.
        terms: where the calendar time goes [s], mean over the runs; they sum to it.
        replications: simulated runs.
        warnings: what a reader must know.
        sources: keys of the sources the answer rests on.
        step_s_interval, mtbf_s_interval, checkpoint_stall_s_interval, checkpoint_durable_s_interval, young_s_interval,
            simulated_best_s_interval, formula_fraction_interval: our uncertainty about them.
        weak_inputs: figures of grade unverified or assumed that weigh more than 5 % of the calendar time.
    """

    header: Header
    model: str
    chip: str
    stack: str
    chips: int
    nodes: int
    spares: int
    layout: TrainLayout
    step_s: float
    warm_up: tuple[WarmUp, ...]
    failures_per_chip_day: float
    rate_source: str
    mtbf_s: float
    failures: float
    failures_interval: Interval
    checkpoint_stall_s: float
    checkpoint_durable_s: float
    interval_s: float
    young_s: float
    simulated_best_s: float
    intervals: tuple[Setting, ...]
    spare_settings: tuple[Setting, ...]
    goodput_fraction: float
    goodput_fraction_interval: Interval
    formula_fraction: float
    days: float
    days_interval: Interval
    terms: tuple[Term, ...]
    replications: int
    warnings: tuple[str, ...]
    sources: tuple[str, ...] = ()
    step_s_interval: Interval | None = None
    mtbf_s_interval: Interval | None = None
    checkpoint_stall_s_interval: Interval | None = None
    checkpoint_durable_s_interval: Interval | None = None
    young_s_interval: Interval | None = None
    simulated_best_s_interval: Interval | None = None
    formula_fraction_interval: Interval | None = None
    weak_inputs: tuple[Flag, ...] = ()
