"""What is asked of the chips: training jobs and services."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from suanzhang.spec.model import ModelSpec


@dataclass(frozen=True, slots=True)
class TrainJob:
    """A training run.

    Args:
        name: what the user calls it.
        model: shape of the model.
        tokens: tokens to train on.
        seq_len: tokens of one sequence.
        global_batch: sequences of one optimizer step.
        precision: dtype of the matrix arithmetic ("bf16", "fp16", "fp8", "fp32", "tf32", ...).
        optimizer: "adam", "adam8bit", "adafactor", "muon" or "sgd".
        method: all parameters, or only low-rank adapters on frozen weights ("lora", "qlora").
        lora_rank: rank of the adapters; 0 for full training.
        trained_ends: embedding and output head are trained besides the adapters.
        capacity_factor: most tokens of an expert over the mean, those beyond are dropped; 0 for dropless routing.
        pad_to_capacity: the buffers of the experts are filled up to the capacity.
        imbalance: tokens of the fullest expert rank over the mean.
        deadline_s: longest duration allowed; None without a deadline.
        start: month of the earliest start, ISO; empty for the start of the plan.
    """

    name: str
    model: ModelSpec
    tokens: float
    seq_len: int
    global_batch: int
    precision: str = "bf16"
    optimizer: str = "adam"
    method: Literal["full", "lora", "qlora"] = "full"
    lora_rank: int = 0
    deadline_s: float | None = None
    start: str = ""
    trained_ends: bool = False
    capacity_factor: float = 0.0
    pad_to_capacity: bool = False
    imbalance: float = 1.0


@dataclass(frozen=True, slots=True)
class LengthSpec:
    """Distribution of token counts of requests.

    Args:
        kind: "fixed", "lognormal" or "uniform".
        mean: mean [tokens].
        p95: 95th percentile [tokens]; equal to the mean when fixed.
    """

    kind: Literal["fixed", "lognormal", "uniform"]
    mean: float
    p95: float


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """How the request rate moves over the day and the months.

    Args:
        shape: "flat" or "diurnal" (a sinusoid over the day).
        peak_to_mean: peak rate over mean rate.
        growth_per_month: fraction by which the mean rate grows each month.
        peak_hour: hour of the day at which a diurnal load peaks.
        growth_sigma_per_year: spread of the logarithm of the mean rate after a year, round its growth, over futures.
    """

    shape: Literal["flat", "diurnal"] = "flat"
    peak_to_mean: float = 1.0
    growth_per_month: float = 0.0
    peak_hour: float = 12.0
    growth_sigma_per_year: float = 0.0


@dataclass(frozen=True, slots=True)
class SloSpec:
    """Latency targets; None where there is none. Keys carry the percentile."""

    ttft_p50_s: float | None = None
    ttft_p99_s: float | None = None
    tpot_p50_s: float | None = None
    tpot_p99_s: float | None = None
    e2e_p99_s: float | None = None

    @property
    def any(self) -> bool:
        """Whether there is any target."""
        return any(
            value is not None for value in (self.ttft_p50_s, self.ttft_p99_s, self.tpot_p50_s, self.tpot_p99_s, self.e2e_p99_s)
        )


@dataclass(frozen=True, slots=True)
class Redundancy:
    """Spare replicas: ``n + count + ceil(fraction * n)``."""

    count: int = 0
    fraction: float = 0.0


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A service that answers requests with a model.

    Args:
        name: what the user calls it.
        model: shape of the model.
        requests_per_s: mean rate over the day.
        input_tokens, output_tokens: length distributions.
        load: how the rate moves.
        slo: latency targets.
        redundancy: spare replicas.
        weight_dtype, kv_dtype: precision of weights and cache; empty lets the planner choose without loss (bf16 or fp16).
        start: first month of service, ISO; empty for the start of the plan.
        lossy_precision: whether the planner may choose 8-bit and 4-bit weights by itself.
    """

    name: str
    model: ModelSpec
    requests_per_s: float
    input_tokens: LengthSpec
    output_tokens: LengthSpec
    load: LoadSpec = field(default_factory=LoadSpec)
    slo: SloSpec = field(default_factory=SloSpec)
    redundancy: Redundancy = field(default_factory=Redundancy)
    weight_dtype: str = ""
    kv_dtype: str = ""
    start: str = ""
    lossy_precision: bool = False
