"""Prefill and decode on chips of their own: the steady state of a closed loop through both pools."""

from __future__ import annotations

import math
from dataclasses import replace

from suanzhang.app.serve_args import front_factor
from suanzhang.app.serve_estimate import estimate_serve, fitted
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.serve import ClosedLoop, Percentiles, ServeCoefficients, ServeEstimate, Split
from suanzhang.spec.stack import ServeStack


def estimate_split(
    model: ModelSpec,
    chip: ChipSpec,
    layout: ServeLayout,
    stack: ServeStack,
    weight_dtype: str,
    kv_dtype: str,
    workload: ClosedLoop,
    coefficients: ServeCoefficients | None = None,
) -> ServeEstimate:
    """What one decode worker does when prompts are computed on workers of their own.

    Model:
        A prefill worker is a replica that answers with one token; it admits requests as fast as it prefills them. A decode
        worker never computes a prompt. Users are either decoding or waiting for their first token, so that the slower of
        the two pools sets the rate; the cache travels over the network of the prefill worker's chips once. Users who start
        together queue before the prefill pool with their first request.
        Left out: transfers that overlap with the prefill layer by layer, and uneven routing.

    Args:
        model, chip, layout, stack, weight_dtype, kv_dtype: of a decode worker.
        workload: a closed loop with a split; its concurrency is that of all decode workers together.
        coefficients: fitted coefficients; None for those that ship with the package.

    Returns:
        The estimate of one decode worker, with the time to first token through the prefill pool.

    Raises:
        InputError: a layout cannot be.
        Infeasible: a worker cannot hold the model and one request.

    Equation:
        X = min(C / (TTFT + (osl - 1) TPOT), n_p / s_p),  TTFT = max(s_p + t_kv + W, C / X - (osl - 1) TPOT)

    Validity:
        Equally long requests; pools that are each balanced.

    Sources:
        [little-1961] users = rate * time.
    """
    split = workload.split
    assert split is not None
    first = _prefill(model, chip, stack, weight_dtype, kv_dtype, workload, split, coefficients)
    moved = first.memory.kv_bytes_per_token * workload.isl
    transfer = moved / max(chip.node.nic_bytes_per_s, 1e9)
    alone = first.ttft_s.mean + transfer
    users = workload.concurrency / split.decode_workers
    most = split.prefill_workers * first.capacity_requests_per_s / split.decode_workers
    deciding = users
    for _ in range(12):
        found = _decode(model, chip, layout, stack, weight_dtype, kv_dtype, deciding, workload, coefficients)
        steps = found.tpot_s.mean * (workload.osl - 1.0)
        rate = min(users / (alone + steps), most)
        following = min(max(rate * steps, 1.0), users)
        if abs(following - deciding) < 0.01 * deciding:
            break
        deciding = math.sqrt(deciding * following)
    busy = min(rate / most, 0.95)
    slot = 1.0 / first.capacity_requests_per_s
    queued = 0.5 * busy / (1.0 - busy) * slot / split.prefill_workers
    front = stack.request_per_seq_s * front_factor(coefficients or fitted(), stack) * deciding
    ttft = max(alone + queued + front, users / rate - steps)
    if workload.requests > 0.0:
        share = min(workload.concurrency / workload.requests, 1.0)
        burst = 0.5 * workload.concurrency * slot / split.prefill_workers
        ttft = (1.0 - share) * ttft + share * max(burst, ttft)
    return replace(
        found,
        ttft_s=Percentiles(ttft, ttft, 1.5 * ttft, 2.0 * ttft),
        e2e_s=Percentiles.constant(ttft + steps),
        output_tokens_per_s=rate * workload.osl,
        requests_per_s=rate,
        capacity_requests_per_s=min(most, found.capacity_requests_per_s),
    )


def _prefill(
    model: ModelSpec,
    chip: ChipSpec,
    stack: ServeStack,
    weight_dtype: str,
    kv_dtype: str,
    workload: ClosedLoop,
    split: Split,
    coefficients: ServeCoefficients | None,
) -> ServeEstimate:
    """A prefill worker: requests of one answer token, one in flight for each group."""
    one = ClosedLoop(float(split.prefill_layout.dp), workload.isl, 1.0)
    return estimate_serve(model, chip, split.prefill_layout, stack, weight_dtype, kv_dtype, one, coefficients)


def _decode(
    model: ModelSpec,
    chip: ChipSpec,
    layout: ServeLayout,
    stack: ServeStack,
    weight_dtype: str,
    kv_dtype: str,
    users: float,
    workload: ClosedLoop,
    coefficients: ServeCoefficients | None,
) -> ServeEstimate:
    """A decode worker: contexts of the whole request, whose prompts cost it nothing."""
    work = ClosedLoop(max(users, 1.0), workload.isl, workload.osl)
    found = estimate_serve(model, chip, layout, stack, weight_dtype, kv_dtype, work, coefficients)
    step = found.decode_iteration_s
    return replace(found, tpot_s=Percentiles.constant(step))
