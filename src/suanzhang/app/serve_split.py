"""Prefill and decode on chips of their own: the steady state of a closed loop through both pools."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from suanzhang.app.serve_args import check_layout, front_factor, iteration_args
from suanzhang.app.serve_estimate import estimate_serve, fitted, serve_memory
from suanzhang.perf.serving.args import IterationArgs
from suanzhang.perf.serving.iteration import iteration_s
from suanzhang.perf.serving.steady import HIGHEST_LOAD
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
        A prefill worker starts an iteration with all prompts that wait, as far as the token budget of its groups allows: the
        more arrive, the larger and more efficient its batches, up to its capacity. A decode worker never computes a prompt.
        Users are either decoding or waiting for their first token, so that the slower of the two pools sets the rate. A
        request passes one front end, its cache travels over the network of the prefill worker's chips once, and it then waits
        for the decode worker's next iteration. Users who start together queue before the prefill pool with their first request.
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
        X = min(C / (TTFT + (osl - 1) TPOT), n_p k_max / T(k_max)),  k = X T(k) / n_p,
        TTFT = max(T(k) (1 + busy / (2 (1 - X / X_max))) + t_front + t_kv + t_decode / 2, C / X - (osl - 1) TPOT)

    Validity:
        Equally long requests; pools that are each balanced.

    Sources:
        [little-1961] users = rate * time.
    """
    split = workload.split
    assert split is not None
    used = coefficients or fitted()
    pool = _prefill(model, chip, stack, weight_dtype, kv_dtype, workload, split, used)
    users = workload.concurrency / split.decode_workers
    most = split.prefill_workers * pool.capacity / split.decode_workers
    factor = front_factor(used, stack)
    fixed = stack.request_s * factor + pool.transfer_s
    deciding, steps, rate, before = users, 0.0, most, pool.seconds(1.0)
    for _ in range(16):
        found = _decode(model, chip, layout, stack, weight_dtype, kv_dtype, deciding, workload, coefficients)
        steps = found.tpot_s.mean * (workload.osl - 1.0)
        front = fixed + stack.request_per_seq_s * factor * deciding + 0.5 * found.decode_iteration_s
        rate = min(users / (before + front + steps), most)
        before = pool.latency(rate * split.decode_workers / split.prefill_workers, workload.concurrency / split.prefill_workers)
        following = min(max(rate * steps, 1.0), users)
        if abs(following - deciding) < 0.01 * deciding:
            break
        deciding = math.sqrt(deciding * following)
    ttft = max(before + front, users / rate - steps)
    if workload.requests > 0.0:
        share = min(workload.concurrency / workload.requests, 1.0)
        burst = 0.5 * workload.concurrency / (split.prefill_workers * pool.capacity)
        ttft = (1.0 - share) * ttft + share * max(burst, ttft)
    return replace(
        found,
        ttft_s=Percentiles(ttft, ttft, 1.5 * ttft, 2.0 * ttft),
        e2e_s=Percentiles.constant(ttft + steps),
        output_tokens_per_s=rate * workload.osl,
        requests_per_s=rate,
        capacity_requests_per_s=min(most, found.capacity_requests_per_s),
    )


@dataclass(frozen=True, slots=True)
class _Pool:
    """A prefill worker: how long an iteration with so many prompts takes.

    Args:
        args: model, engine, layout and operators.
        isl: prompt tokens.
        most: prompts of the largest iteration [1].
        capacity: most prompts per second [1/s].
        transfer_s: time that the cache of one request takes to the decode worker [s].
    """

    args: IterationArgs
    isl: float
    most: float
    capacity: float
    transfer_s: float

    def seconds(self, prompts: float) -> float:
        """Time of an iteration with so many prompts [s]."""
        return float(iteration_s(prompts, prompts * self.isl, 0.0, 0.0, 0.0, self.args))

    def latency(self, rate: float, users: float) -> float:
        """Time of a prompt in the worker: the rest of the iteration that runs, a queue near the capacity, its own [s]."""
        prompts = 1.0
        for _ in range(40):
            prompts = 0.5 * (prompts + min(max(rate * self.seconds(prompts), 1.0), self.most))
        own = self.seconds(prompts)
        full = min(rate / self.capacity, HIGHEST_LOAD) * max(users - 1.0, 0.0) / max(users, 1.0)
        return own * (1.0 + 0.5 * min(rate * own / prompts, 1.0) / (1.0 - full))


def _prefill(
    model: ModelSpec,
    chip: ChipSpec,
    stack: ServeStack,
    weight_dtype: str,
    kv_dtype: str,
    workload: ClosedLoop,
    split: Split,
    coefficients: ServeCoefficients,
) -> _Pool:
    """The prefill worker of a split: every group takes prompts up to the token budget, at least one."""
    layout = split.prefill_layout
    check_layout(model, layout, stack.pads_heads)
    one = ClosedLoop(1.0, workload.isl, 1.0)
    memory = serve_memory(model, chip, layout, stack, weight_dtype, kv_dtype or "bf16", one)
    args, _ = iteration_args(model, chip, layout, stack, weight_dtype, kv_dtype or "bf16", coefficients)
    most = layout.dp * max(float(stack.max_batched_tokens) // workload.isl, 1.0)
    moved = memory.kv_bytes_per_token * workload.isl
    pool = _Pool(args, workload.isl, most, 0.0, moved / max(chip.node.nic_bytes_per_s, 1e9))
    return replace(pool, capacity=most / pool.seconds(most))


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
