"""What an estimate of a training step and of a whole training run is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.result import Header, Interval, Money, Term
from suanzhang.spec.trust import Flag


@dataclass(frozen=True, slots=True)
class StageMemory:
    """Memory of one chip of one pipeline stage.

    Args:
        stage: index of the pipeline stage.
        total_bytes: sum of the parts.
        parts: bytes by part (weights, gradients, optimizer, activations, logits, buffers, reserve).
    """

    stage: int
    total_bytes: float
    parts: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class TrainEstimate:
    """One optimizer step of one layout.

    Args:
        layout: the layout that was estimated.
        chips: chips that it uses.
        step_s: time of one optimizer step; the sum of ``terms``.
        terms: named parts of the step [s].
        memory: memory by stage and part.
        memory_bytes: memory of the fullest chip.
        fits: whether that is within the memory of the chip.
        mfu: model FLOP (causal attention counted half) over dense peak and time.
        hfu: the same counting recomputed work too.
        tokens_per_s_per_chip: throughput.
        model_flop: model FLOP of one step.
        bound_by: what the largest part of the step is spent on.
        utilisation: share of the step in which the chip computes.
        warnings: what a reader must know, such as extrapolation or an uneven split.
    """

    layout: TrainLayout
    chips: int
    step_s: float
    terms: tuple[Term, ...]
    memory: tuple[StageMemory, ...]
    memory_bytes: float
    fits: bool
    mfu: float
    hfu: float
    tokens_per_s_per_chip: float
    model_flop: float
    bound_by: str
    utilisation: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainOption:
    """One way to run a training job, for a plan that prices it.

    Args:
        chip: catalog id.
        chips: how many.
        layout: best layout found.
        step_s: time of one step.
        days: calendar days of the whole run with failures.
        days_interval: our uncertainty about the days.
        goodput_fraction: useful share of the calendar time.
        energy_j: energy of the chips and hosts over the run, before the building's overhead.
        power_w: mean power of the chips and hosts.
        mfu: model FLOP utilisation.
        memory_bytes: memory of the fullest chip.
        cost: chip-hours at a price; None without one.
        step_s_interval, mfu_interval, energy_j_interval, power_w_interval, goodput_fraction_interval, memory_bytes_interval,
            cost_interval: our uncertainty about them.
        global_batch: sequences of one step, which grow with the chips where none are given.
    """

    chip: str
    chips: int
    layout: TrainLayout
    step_s: float
    days: float
    days_interval: Interval
    goodput_fraction: float
    energy_j: float
    power_w: float
    mfu: float
    memory_bytes: float
    cost: Money | None = None
    step_s_interval: Interval | None = None
    mfu_interval: Interval | None = None
    energy_j_interval: Interval | None = None
    power_w_interval: Interval | None = None
    goodput_fraction_interval: Interval | None = None
    memory_bytes_interval: Interval | None = None
    cost_interval: Interval | None = None
    global_batch: int = 0


@dataclass(frozen=True, slots=True)
class TrainResult:
    """The answer of ``train``. Field names are the stable JSON keys.

    Args:
        header: version, catalog date and seed.
        model, chip, stack, precision: what was asked, by catalog id.
        chips: chips in use.
        layout: the given or the best layout.
        step_s, step_s_interval: time of one optimizer step.
        mfu, mfu_interval: model FLOP utilisation against the dense peak of the dtype in use.
        hfu: the same counting recomputed work.
        tokens_per_s_per_chip: throughput while it runs.
        steps: optimizer steps of the run.
        days, days_interval: calendar duration with failures.
        goodput_fraction: useful share of the calendar time.
        memory_bytes: of the fullest chip in all (with its interval), by part, by stage, by part of each stage, and what a chip
            has free (``usable``).
        fits: whether the layout fits the memory.
        energy_j, energy_j_interval: chips and hosts over the whole run, before the building's overhead.
        power_w: mean power of chips and hosts.
        cost, cost_interval: chip-hours at the given price; None without a price.
        terms: named parts of the step [s].
        bound_by: what limits the step.
        layouts_evaluated: layouts whose time and memory were computed.
        search_s: time of the search.
        pruned: layouts left out, by reason.
        pareto: options over kinds and counts of chips that no other beats in days, chips, energy and cost.
        warnings: what a reader must know.
        sources: keys of the sources the answer rests on.
        seq_len, global_batch: tokens of a sequence and sequences of a step.
        hfu_interval, tokens_per_s_per_chip_interval, power_w_interval, goodput_fraction_interval: our uncertainty about them.
        chips_needed, chips_needed_interval: fewest chips of this kind that were found to meet the deadline, and what they may
            turn out to be; 0 without a deadline.
        deadline_met_fraction: share of the cases of our interval in which the deadline is met; None without a deadline.
        fits_fraction: share of the cases of our interval of the memory in which the layout fits.
        weak_inputs: figures of grade unverified or assumed that weigh more than 5 % of an answer, the heaviest first.
        riskier: a faster way that fits in fewer of the cases than asked; None when the fastest fits surely enough.
        riskier_fits_fraction: share of the cases in which that one fits.
        idle_chips: chips of those given that no layout can use; the answer is for the others.
    """

    header: Header
    model: str
    chip: str
    stack: str
    precision: str
    chips: int
    layout: TrainLayout
    step_s: float
    step_s_interval: Interval
    mfu: float
    mfu_interval: Interval
    hfu: float
    tokens_per_s_per_chip: float
    steps: float
    days: float
    days_interval: Interval
    goodput_fraction: float
    memory_bytes: Mapping[str, object]
    fits: bool
    energy_j: float
    energy_j_interval: Interval
    power_w: float
    cost: Money | None
    cost_interval: Interval | None
    terms: tuple[Term, ...]
    bound_by: str
    layouts_evaluated: int
    search_s: float
    pruned: Mapping[str, int]
    pareto: tuple[TrainOption, ...]
    warnings: tuple[str, ...]
    sources: tuple[str, ...] = ()
    seq_len: int = 0
    global_batch: int = 0
    hfu_interval: Interval | None = None
    tokens_per_s_per_chip_interval: Interval | None = None
    power_w_interval: Interval | None = None
    goodput_fraction_interval: Interval | None = None
    weak_inputs: tuple[Flag, ...] = ()
    chips_needed: int = 0
    chips_needed_interval: Interval | None = None
    deadline_met_fraction: float | None = None
    fits_fraction: float = 1.0
    riskier: TrainOption | None = None
    riskier_fits_fraction: float = 0.0
    idle_chips: int = 0
