"""What is found when somebody's own job or benchmark is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from suanzhang.spec.layout import ServeLayout, TrainLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.result import Header, Interval
from suanzhang.spec.trust import Flag


@dataclass(frozen=True, slots=True)
class ReadJob:
    """A training job as somebody else's file says it.

    Args:
        kind: "megatron" or "torchtitan".
        model: shape of the model.
        layout: the layout; its ``dp`` is 0 while the number of chips is not known.
        seq_len: tokens of a sequence.
        global_batch: sequences of a step; 0 when it follows from the number of chips.
        local_batch: sequences of a step and data rank, when the file says that instead; 0 otherwise.
        steps: optimizer steps; 0 when not said.
        precision: dtype of the products.
        optimizer: as in ``TrainJob``.
        chips: chips in use when the file says so; 0 otherwise.
        assumed: what was filled in, in words.
        unread: names in the file that change nothing here.
        copies: groups of data ranks that each hold a whole copy of what is sharded; 1 for none apart.
        routing: how tokens reach experts, as ``train`` takes it; empty for the usual way.
        misspelt: pairs of a name that is not read and the one that it is close to.
        clashes: what of the file contradicts itself, in words, each with what to change.
    """

    kind: str
    model: ModelSpec
    layout: TrainLayout
    seq_len: int
    global_batch: int
    local_batch: int
    steps: int
    precision: str
    optimizer: str
    chips: int
    assumed: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    copies: int = 1
    routing: str = ""
    misspelt: tuple[tuple[str, str], ...] = ()
    clashes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to know about a job.

    Args:
        severity: "error" (it cannot run), "slow" (it loses time), "note".
        text: in one sentence.
        change: what to change; empty when there is nothing to change.
        step_s: step time with the change; 0 when it was not computed.
        gain: share of the step time that the change saves.
        step_s_interval, gain_interval: our uncertainty about them; None where they were not computed.
    """

    severity: str
    text: str
    change: str = ""
    step_s: float = 0.0
    gain: float = 0.0
    step_s_interval: Interval | None = None
    gain_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class ExamineResult:
    """How long a job of somebody's file should take, and what is wrong with it. Field names are the stable JSON keys.

    Args:
        header: version, catalog date and seed.
        file: name of the file.
        kind: what it is.
        model: shape of the model.
        params: its parameters.
        chip, chips, stack, precision: what it runs on.
        layout: as the file says.
        seq_len, global_batch, steps: as the file says.
        fits: whether the fullest chip holds it.
        step_s, step_s_interval: time of a step; None when the layout cannot be.
        days, days_interval: of the whole run with failures; None without steps.
        mfu: model FLOP utilisation.
        memory_bytes: of the fullest chip.
        bubble: share of the step lost to the pipeline bubble.
        terms: seconds by part of the step.
        findings: what to know, worst first.
        best_layout, best_step_s, best_gain: the best layout on the same chips with the same batch.
        assumed: what was filled in.
        unread: names in the file that change nothing here.
        warnings: what a reader must know.
        mfu_interval, memory_bytes_interval, bubble_interval, terms_interval, best_step_s_interval, best_gain_interval: our
            uncertainty about them; a gain keeps of the errors of two layouts what they do not share.
        weak_inputs: figures of grade unverified or assumed that weigh more than 5 % of an answer.
    """

    header: Header
    file: str
    kind: str
    model: ModelSpec
    params: float
    chip: str
    chips: int
    stack: str
    precision: str
    layout: TrainLayout
    seq_len: int
    global_batch: int
    steps: int
    fits: bool
    step_s: float | None
    step_s_interval: Interval | None
    days: float | None
    days_interval: Interval | None
    mfu: float | None
    memory_bytes: float | None
    bubble: float | None
    terms: Mapping[str, float]
    findings: tuple[Finding, ...]
    best_layout: TrainLayout | None
    best_step_s: float | None
    best_gain: float | None
    assumed: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    mfu_interval: Interval | None = None
    memory_bytes_interval: Interval | None = None
    bubble_interval: Interval | None = None
    terms_interval: Mapping[str, Interval] = field(default_factory=dict)
    best_step_s_interval: Interval | None = None
    best_gain_interval: Interval | None = None
    weak_inputs: tuple[Flag, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of a benchmark in SI units; None where the file does not say.

    Args:
        isl, osl: mean tokens of a prompt and of an answer.
        concurrency: requests in the system; None for an open loop.
        rate: requests per second that were sent; None for a closed loop.
        requests: that were answered.
        values: metric to its measured value.
        model: name that the server was started with.
    """

    isl: float
    osl: float
    concurrency: float | None
    rate: float | None
    requests: int
    values: Mapping[str, float]
    model: str = ""


@dataclass(frozen=True, slots=True)
class ComparedMetric:
    """One figure of one run, measured beside predicted; ``error`` is predicted over measured minus one."""

    run: int
    metric: str
    measured: float
    predicted: float
    predicted_interval: Interval
    error: float
    inside: bool


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """A benchmark of an engine beside our prediction. Field names are the stable JSON keys.

    Args:
        header: version, catalog date and seed.
        file: name of the file.
        kind: "vllm", "guidellm" or "aiperf".
        model, chip, engine, weight_dtype, kv_dtype: what was asked, by catalog id.
        layout: of the replica.
        runs: the runs of the file.
        metrics: every figure beside its prediction.
        median_error: median absolute error over the figures.
        truth: the runs as rows of a file of measurements, ready for ``validate --truth``.
        warnings: what a reader must know.
    """

    header: Header
    file: str
    kind: str
    model: str
    chip: str
    engine: str
    weight_dtype: str
    kv_dtype: str
    layout: ServeLayout
    runs: tuple[Measured, ...]
    metrics: tuple[ComparedMetric, ...]
    median_error: float
    truth: tuple[Mapping[str, object], ...]
    warnings: tuple[str, ...] = ()
