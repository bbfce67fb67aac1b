"""Latencies of one replica by event simulation instead of queueing formulas."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
from numpy.typing import NDArray

from suanzhang.app.serve_args import front_factor, iteration_args
from suanzhang.app.serve_estimate import estimate_serve, fitted, traffic_of
from suanzhang.errors import InputError
from suanzhang.perf.serving.table import iteration_table
from suanzhang.sim.replica import simulate
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.draws import lognormal_sigma
from suanzhang.spec.job import LengthSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.serve import OpenLoop, Percentiles, ServeCoefficients, ServeEstimate
from suanzhang.spec.sim import EngineSettings, IterationTable, LatencySummary, RequestBatch, SimResult
from suanzhang.spec.stack import ServeStack

LONGEST_TOKENS = 131072
"""Draws of a length are cut here: no catalog model was made for longer contexts as a rule."""


def draw_lengths(length: LengthSpec, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Token counts drawn from a length distribution, at least 1."""
    if length.kind == "fixed":
        values = np.full(count, length.mean)
    elif length.kind == "uniform":
        half = (length.p95 - length.mean) / 0.45
        values = rng.uniform(length.mean - 0.5 * half, length.mean + 0.5 * half, count)
    else:
        sigma = lognormal_sigma(length.p95 / length.mean)
        values = rng.lognormal(log(length.mean) - 0.5 * sigma**2, sigma, count)
    tokens: NDArray[np.int64] = np.clip(np.rint(values), 1, LONGEST_TOKENS).astype(np.int64)
    return tokens


def draw_requests(work: OpenLoop, count: int, seed: int) -> RequestBatch:
    """Poisson arrivals with drawn lengths; the same seed gives the same requests."""
    gaps, inputs, outputs = (np.random.default_rng(part) for part in np.random.SeedSequence(seed).spawn(3))
    arrivals = np.cumsum(gaps.exponential(1.0 / work.requests_per_s, count))
    return RequestBatch(arrivals, draw_lengths(work.input, count, inputs), draw_lengths(work.output, count, outputs))


def table_and_settings(
    model: ModelSpec,
    chip: ChipSpec,
    estimate: ServeEstimate,
    stack: ServeStack,
    isl: float,
    osl: float,
    coefficients: ServeCoefficients | None = None,
) -> tuple[IterationTable, EngineSettings]:
    """What the simulator is given for one replica: iteration times, and how its engine forms batches."""
    layout = estimate.layout
    args, _ = iteration_args(model, chip, layout, stack, estimate.weight_dtype, estimate.kv_dtype, coefficients or fitted())
    seqs = int(min(stack.max_seqs * layout.dp, 8192))
    table = iteration_table(args, seqs, isl + 0.5 * osl, min(isl, float(stack.max_batched_tokens)))
    blocks = int(estimate.memory.kv_tokens // stack.block_tokens) if np.isfinite(estimate.memory.kv_tokens) else 10**9
    settings = EngineSettings(
        max_batched_tokens=stack.max_batched_tokens * layout.dp,
        max_seqs=seqs,
        kv_blocks=blocks,
        block_tokens=stack.block_tokens,
        policy=stack.policy,
        chunked_prefill=stack.chunked_prefill,
    )
    return table, settings


Extra = tuple[float, float, float, float]
"""What is added to the mean, the median, the 90th and the 99th percentile of a latency [s]."""
NOTHING: Extra = (0.0, 0.0, 0.0, 0.0)


def pipeline_s(
    stages: int, table: IterationTable, settings: EngineSettings, inputs: LengthSpec, outputs: LengthSpec, cached: float = 0.0
) -> Extra:
    """Further time of a prompt through the stages of a pipeline.

    Model:
        An iteration of the table is what a full pipeline takes between two of them; a prompt passes all stages one after
        another, and each holds it up by what it adds to an iteration of decoding. The time per output token has it already:
        the iterations of decoding are those of a whole round.

    Args:
        stages: of the pipeline.
        table, settings: what the simulator is given.
        inputs, outputs: lengths of the requests.
        cached: share of each prompt that need not be computed.

    Returns:
        The time at the mean, the typical, the 90th and the 99th percentile of the prompts [s].

    Equation:
        t = (pp - 1) (t_mixed(prompt) - t_decode)

    Validity:
        Prompts spread evenly over the stages' micro-batches.

    Sources:
        [pope-2022] a pipeline does not shorten the time of one prompt.
    """
    lengths = traffic_of(OpenLoop(1.0, inputs, outputs))
    tokens = np.array([lengths.isl, lengths.isl, lengths.isl_p90, lengths.isl_p99]) * (1.0 - cached)
    extra = pipeline_of(stages, table, settings, tokens)
    return float(extra[0]), float(extra[1]), float(extra[2]), float(extra[3])


def pipeline_of(
    stages: int, table: IterationTable, settings: EngineSettings, tokens: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The same for each of some prompts of so many tokens to compute [s]."""
    whole = np.minimum(tokens, settings.max_batched_tokens)
    added = np.interp(whole, table.mixed_tokens, table.mixed_base_s) - table.decode_base_s[1]
    return np.asarray((stages - 1.0) * np.maximum(added, 0.0), np.float64)


def later(summary: LatencySummary, before_s: float = 0.0, extra: Extra = NOTHING) -> Percentiles:
    """A simulated latency with what the simulation leaves out: the time before the engine, and that of a pipeline."""
    mean, p50, p90, p99 = (before_s + more for more in extra)
    return Percentiles(summary.mean + mean, summary.p50 + p50, summary.p90 + p90, summary.p99 + p99)


def ahead_s(stack: ServeStack, found: SimResult) -> float:
    """Time for which a request waits for what a busy engine has scheduled; the simulation schedules nothing ahead [s]."""
    busy = max(1.0 - 1.0 / max(found.batch_mean, 1.0), 0.0)
    return stack.ahead_iterations * busy * found.busy_s / max(found.iterations, 1)


def simulate_serve(
    model: ModelSpec,
    chip: ChipSpec,
    layout: ServeLayout,
    stack: ServeStack,
    weight_dtype: str,
    kv_dtype: str,
    workload: OpenLoop,
    *,
    requests: int = 20_000,
    seed: int = 0,
    coefficients: ServeCoefficients | None = None,
    records: bool = False,
) -> tuple[ServeEstimate, SimResult]:
    """What one replica does with an open loop, with the latencies of an event simulation.

    Args:
        model, chip, layout, stack, weight_dtype, kv_dtype, workload: as in :func:`estimate_serve`.
        requests: how many are followed; the first tenth only loads the engine.
        seed: of the arrivals and lengths.
        coefficients: fitted coefficients; None for those that ship with the package.
        records: keep what became of each request.

    Returns:
        The estimate with simulated latencies, and the result of the simulation.

    Raises:
        InputError: fewer than 100 requests; and what :func:`estimate_serve` raises.
    """
    if requests < 100:
        raise InputError(f"a simulation of {requests} requests says nothing about percentiles", fix="simulate at least 100")
    estimate = estimate_serve(model, chip, layout, stack, weight_dtype, kv_dtype, workload, coefficients)
    isl, osl = workload.input.mean, workload.output.mean
    table, settings = table_and_settings(model, chip, estimate, stack, isl, osl, coefficients)
    batch = draw_requests(workload, requests, seed)
    result = simulate(batch, table, settings, warmup_s=0.1 * float(batch.arrival_s[-1]), seed=seed, records=records)
    front = stack.request_s + stack.request_per_seq_s * result.batch_mean
    front = front * front_factor(coefficients or fitted(), stack) + ahead_s(stack, result)
    pipe = pipeline_s(layout.pp, table, settings, workload.input, workload.output)
    warnings = estimate.warnings
    if result.overloaded and not estimate.saturated:
        warnings += ("the simulated queue grows without end",)
    simulated = replace(
        estimate,
        ttft_s=later(result.ttft_s, front, pipe),
        tpot_s=later(result.tpot_s),
        e2e_s=later(result.e2e_s, front, pipe),
        saturated=result.overloaded,
        running_batch=result.batch_mean,
        warnings=warnings,
        requests_simulated=result.requests,
        simulated_s=result.simulated_s,
    )
    return simulated, result
