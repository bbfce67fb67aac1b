"""Serving: the workloads that can be asked about, and what is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from suanzhang.errors import InputError
from suanzhang.spec.job import LengthSpec, LoadSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.result import Header, Interval, Money, Term
from suanzhang.spec.trust import Flag


@dataclass(frozen=True, slots=True)
class StaticBatch:
    """One batch of equal requests that starts and ends together, as the older benchmark tables were measured.

    Args:
        batch: sequences in the batch.
        isl: prompt tokens of each.
        osl: generated tokens of each.
    """

    batch: int
    isl: float
    osl: float


@dataclass(frozen=True, slots=True)
class Split:
    """Prefill on workers of its own.

    Args:
        prefill_layout: of one prefill worker.
        prefill_workers, decode_workers: how many of each.
    """

    prefill_layout: ServeLayout
    prefill_workers: int
    decode_workers: int


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """A fixed number of users, each sending its next request when the last one is answered.

    Args:
        concurrency: requests in the system at any time; a very large number means that all are queued at once.
        isl: mean prompt tokens.
        osl: mean generated tokens.
        requests: how many are sent in all; 0 for the steady state without ends.
        together: all of the first requests start at the same moment (their prefills queue behind each other).
        split: prompts are computed on workers of their own; the layout asked about is that of a decode worker, and the
            concurrency that of all of them.
        spread: half the width of the evenly distributed answers over their mean; 0 when not known.
    """

    concurrency: float
    isl: float
    osl: float
    requests: float = 0.0
    together: bool = False
    split: Split | None = None
    spread: float = 0.0


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """Requests that arrive by themselves, whether or not the earlier ones are answered.

    Args:
        requests_per_s: mean arrival rate.
        input: prompt lengths.
        output: generated lengths.
        load: how the rate moves over the day.
    """

    requests_per_s: float
    input: LengthSpec
    output: LengthSpec
    load: LoadSpec = field(default_factory=LoadSpec)


Workload = StaticBatch | ClosedLoop | OpenLoop


def check_workload(workload: Workload) -> None:
    """Refuse a workload with a length, batch or rate that no run can have.

    Raises:
        InputError: a count is not positive.
    """
    if isinstance(workload, OpenLoop):
        values = {
            "request rate": workload.requests_per_s,
            "mean input length": workload.input.mean,
            "mean output length": workload.output.mean,
        }
    elif isinstance(workload, ClosedLoop):
        values = {"concurrency": workload.concurrency, "isl": workload.isl, "osl": workload.osl}
    else:
        values = {"batch": workload.batch, "isl": workload.isl, "osl": workload.osl}
    for name, value in values.items():
        if not value > 0.0:
            raise InputError(f"{name} must be positive, got {value:g}", fix=f"give a {name} above zero")


@dataclass(frozen=True, slots=True)
class Percentiles:
    """A latency over requests: mean and percentiles [s]; our uncertainty about each is its :class:`Interval`."""

    mean: float
    p50: float
    p90: float
    p99: float
    mean_interval: Interval | None = None
    p50_interval: Interval | None = None
    p90_interval: Interval | None = None
    p99_interval: Interval | None = None

    @classmethod
    def constant(cls, value: float) -> Percentiles:
        """The same for every request."""
        return cls(value, value, value, value)


@dataclass(frozen=True, slots=True)
class ServeMemory:
    """Where the memory of the fullest chip of a replica goes.

    Args:
        weights_bytes: weights on that chip.
        activation_bytes: largest working set of one iteration.
        reserve_bytes: engine, runtime, graphs and communication buffers, and what the engine leaves unused.
        kv_bytes: what is left for the cache.
        kv_bytes_per_token: cache bytes of one token of a long sequence on that chip.
        state_bytes_per_seq: cache that a sequence needs whatever its length (linear attention, full windows).
        kv_tokens: cache capacity of the whole replica [tokens], whole pages.
        fits: whether weights and one sequence fit at all.
        used_bytes_interval: our uncertainty about what weights, working set and reserve take together.
        activation_bytes_interval, reserve_bytes_interval, kv_bytes_interval, kv_tokens_interval: what that leaves of each; the
            weights and the bytes of a token follow from the architecture and have none.
        basis: what the intervals rest on; empty without them.
    """

    weights_bytes: float
    activation_bytes: float
    reserve_bytes: float
    kv_bytes: float
    kv_bytes_per_token: float
    state_bytes_per_seq: float
    kv_tokens: float
    fits: bool
    used_bytes_interval: Interval | None = None
    activation_bytes_interval: Interval | None = None
    reserve_bytes_interval: Interval | None = None
    kv_bytes_interval: Interval | None = None
    kv_tokens_interval: Interval | None = None
    basis: str = ""


@dataclass(frozen=True, slots=True)
class ServeEstimate:
    """What one replica does with one workload.

    Args:
        chips: chips of the replica.
        layout: its layout.
        stack: id of the engine generation.
        weight_dtype, kv_dtype: precisions in use.
        ttft_s, tpot_s, e2e_s: latencies over requests.
        output_tokens_per_s: of the whole replica.
        requests_per_s: answered by the whole replica.
        capacity_requests_per_s: most that it could answer of this traffic.
        utilisation: share of the capacity in use; 1 when saturated.
        saturated: arrivals exceed the capacity, the queue grows without end.
        running_batch: mean sequences that run at once.
        batch_limit: most that can, and ``batch_limited_by`` names what limits them.
        decode_iteration_s: time of one decode iteration at the running batch.
        terms: parts of the decode iteration; they sum to ``decode_iteration_s``.
        prefill_terms: parts of the prefill of one request (of the batch, when static).
        memory: where the memory goes.
        bound_by: largest kind of term: "memory", "compute", "communication", "host" or "kv-capacity".
        power_w_per_chip: mean draw of one chip.
        energy_j_per_response: chips only, without host and cooling.
        energy_j_per_output_token: the same per generated token.
        origin: where the operator efficiencies come from.
        warnings: what a reader must know.
        requests_simulated, simulated_s, wall_s: filled when an event simulation produced the latencies.
        *_interval: our uncertainty, filled where the estimate is part of an answer.
    """

    chips: int
    layout: ServeLayout
    stack: str
    weight_dtype: str
    kv_dtype: str
    ttft_s: Percentiles
    tpot_s: Percentiles
    e2e_s: Percentiles
    output_tokens_per_s: float
    requests_per_s: float
    capacity_requests_per_s: float
    utilisation: float
    saturated: bool
    running_batch: float
    batch_limit: float
    batch_limited_by: str
    decode_iteration_s: float
    terms: tuple[Term, ...]
    prefill_terms: tuple[Term, ...]
    memory: ServeMemory
    bound_by: str
    power_w_per_chip: float
    energy_j_per_response: float
    energy_j_per_output_token: float
    origin: str = ""
    warnings: tuple[str, ...] = ()
    requests_simulated: int = 0
    simulated_s: float = 0.0
    wall_s: float = 0.0
    output_tokens_per_s_interval: Interval | None = None
    requests_per_s_interval: Interval | None = None
    capacity_requests_per_s_interval: Interval | None = None
    utilisation_interval: Interval | None = None
    running_batch_interval: Interval | None = None
    decode_iteration_s_interval: Interval | None = None
    power_w_per_chip_interval: Interval | None = None
    energy_j_per_response_interval: Interval | None = None
    energy_j_per_output_token_interval: Interval | None = None

    @property
    def output_tokens_per_s_per_chip(self) -> float:
        """Generated tokens per second and chip."""
        return self.output_tokens_per_s / self.chips


@dataclass(frozen=True, slots=True)
class ChipCount:
    """Chips that a service needs under one set of conditions.

    Args:
        chips: in all, spare ones included when the condition says so.
        replicas: independent copies of the model.
        condition: in words, such as "mean load, no latency limit".
        requests_per_s: the load that it was counted for.
        utilisation: of the replicas at that load.
        *_interval: our uncertainty; of counts, the whole count that would be needed.
    """

    chips: int
    replicas: int
    condition: str
    requests_per_s: float
    utilisation: float
    chips_interval: Interval | None = None
    replicas_interval: Interval | None = None
    utilisation_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class SizedService:
    """The fewest chips of one kind that carry a service, and how they are run.

    Args:
        service: name of the service.
        chip: catalog id.
        chips: chips at peak within the latency targets, spares included.
        replicas: at peak, spares included; ``spare_replicas`` of them are spares.
        spare_replicas: copies kept for redundancy.
        chips_mean: chips at the mean load within the latency targets, without spares.
        replicas_mean: replicas of the same.
        chips_mean_no_slo: chips at the mean load without any latency limit and without spares.
        counts: every count that was made on the way, with its condition.
        layout, stack, weight_dtype, kv_dtype: how one replica runs.
        replica_requests_per_s: what one replica carries within the targets.
        replica_requests_per_s_no_slo: what one replica carries without a latency limit.
        peak: estimate of one replica at peak.
        mean: estimate of one replica at the mean load.
        utilisation_mean: mean load over the capacity of all replicas kept, the idle share is one minus it.
        energy_j_per_response: chips only, at the mean load, idle capacity included.
        power_w: mean draw of all chips over the day.
        power_peak_w: draw of all chips at peak.
        layouts_evaluated: how many combinations were tried.
        alternatives: the next-best answers, fewest chips first: (layout, weight dtype, chips).
        size_s: time that the sizing took; filled by the caller that owns a clock.
        *_interval: our uncertainty, filled where the sizing is part of an answer; of counts, the whole count that would be
            needed.
    """

    service: str
    chip: str
    chips: int
    replicas: int
    spare_replicas: int
    chips_mean: int
    replicas_mean: int
    chips_mean_no_slo: int
    counts: tuple[ChipCount, ...]
    layout: ServeLayout
    stack: str
    weight_dtype: str
    kv_dtype: str
    replica_requests_per_s: float
    replica_requests_per_s_no_slo: float
    peak: ServeEstimate
    mean: ServeEstimate
    utilisation_mean: float
    energy_j_per_response: float
    power_w: float
    power_peak_w: float
    layouts_evaluated: int
    alternatives: tuple[tuple[ServeLayout, str, int], ...] = ()
    size_s: float = 0.0
    chips_interval: Interval | None = None
    replicas_interval: Interval | None = None
    chips_mean_interval: Interval | None = None
    replicas_mean_interval: Interval | None = None
    chips_mean_no_slo_interval: Interval | None = None
    replica_requests_per_s_interval: Interval | None = None
    replica_requests_per_s_no_slo_interval: Interval | None = None
    utilisation_mean_interval: Interval | None = None
    energy_j_per_response_interval: Interval | None = None
    power_w_interval: Interval | None = None
    power_peak_w_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a chip cannot carry a service, and the nearest target that it could meet.

    Args:
        service: name of the service.
        chip: catalog id.
        reason: one line.
        binding: the limits that exclude every layout.
        nearest: the nearest reachable figures, such as ``{"tpot_p99_s": 0.12}``.
        layouts_evaluated: how many combinations were tried.
        reasons: how many layouts fell to which reason.
        nearest_interval: our uncertainty about the nearest figures.
    """

    service: str
    chip: str
    reason: str
    binding: tuple[str, ...]
    nearest: Mapping[str, float] = field(default_factory=dict)
    layouts_evaluated: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    nearest_interval: Mapping[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServeCoefficients:
    """What is fitted once over all published runs; each has a physical meaning, none belongs to a source.

    Args:
        matmul: achieved over isolated time of matrix products inside an engine, by engine family.
        experts: the same of the grouped products of experts.
        compute: isolated over achieved arithmetic rate: clocks fall when a chip works for long.
        attention: the same of attention kernels.
        cache16: a further factor of decode attention over caches of 16 bits.
        memory: the same of memory-bound kernels.
        collective: the same of collectives.
        host: measured over tabulated host time, by engine generation.
        front: measured over tabulated time of a request before the engine sees it, by engine generation.
        fitted_on: keys of the sources that were used.
        residual_p90: 90th percentile of the absolute error on them, fraction.
    """

    matmul: Mapping[str, float] = field(default_factory=dict)
    experts: Mapping[str, float] = field(default_factory=dict)
    compute: Mapping[str, float] = field(default_factory=dict)
    attention: Mapping[str, float] = field(default_factory=dict)
    cache16: Mapping[str, float] = field(default_factory=dict)
    memory: Mapping[str, float] = field(default_factory=dict)
    collective: Mapping[str, float] = field(default_factory=dict)
    host: Mapping[str, float] = field(default_factory=dict)
    front: Mapping[str, float] = field(default_factory=dict)
    fitted_on: tuple[str, ...] = ()
    residual_p90: float = 0.0


@dataclass(frozen=True, slots=True)
class ServeResult:
    """The answer of the verb ``serve``: what is deployed for a traffic, what it does and what one response costs."""

    header: Header
    model: str
    chip: str
    chips: int
    replicas: int
    layout: ServeLayout
    engine: str
    weight_dtype: str
    kv_dtype: str
    ttft_s: Percentiles
    tpot_s: Percentiles
    e2e_s: Percentiles
    ttft_s_interval: Interval
    tpot_s_interval: Interval
    e2e_s_interval: Interval
    output_tokens_per_s: float
    output_tokens_per_s_interval: Interval
    output_tokens_per_s_per_chip: float
    output_tokens_per_s_per_chip_interval: Interval
    cost_per_response: Money | None
    cost_per_response_interval: Interval | None
    energy_j_per_response: float
    energy_j_per_response_interval: Interval
    requests_simulated: int
    simulated_s: float
    wall_s: float
    replica: ServeEstimate
    sized: SizedService | None = None
    warnings: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    isl: float = 0.0
    osl: float = 0.0
    decode_iteration_s_interval: Interval | None = None
    capacity_requests_per_s_interval: Interval | None = None
    power_w_per_chip_interval: Interval | None = None
    chips_interval: Interval | None = None
    replicas_interval: Interval | None = None
    weak_inputs: tuple[Flag, ...] = ()
