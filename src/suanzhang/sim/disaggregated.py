"""Prompts on one pool of replicas, answers on another, and the cache carried over a link between them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from suanzhang.errors import Infeasible, InputError
from suanzhang.sim.replica import simulate
from suanzhang.sim.statistics import Estimate, estimate
from suanzhang.spec.sim import EngineSettings, IterationTable, RequestBatch, SimResult


@dataclass(frozen=True, slots=True)
class Pool:
    """Equal replicas of one role.

    Args:
        table: time of one iteration of a replica.
        settings: of the engine of each replica.
        replicas: how many.
        router: between them.
    """

    table: IterationTable
    settings: EngineSettings
    replicas: int
    router: str = "least-loaded"


@dataclass(frozen=True, slots=True)
class Disaggregated:
    """What came out of both pools.

    Args:
        prefill, decode: the pools by themselves.
        ttft_s: the first token comes from the prefill pool; its mean and percentiles 50, 90, 99 [s].
        tpot_s: time per further token, the transfer and the wait for the decode pool included; the same.
        e2e_s: the same for whole answers.
        transfer_s: mean time of a cache on its link [s].
        ttft_mean: with the interval over ten batches of requests.
    """

    prefill: SimResult
    decode: SimResult
    ttft_s: tuple[float, float, float, float]
    tpot_s: tuple[float, float, float, float]
    e2e_s: tuple[float, float, float, float]
    transfer_s: float
    ttft_mean: Estimate


def simulate_disaggregated(
    requests: RequestBatch,
    prefill: Pool,
    decode: Pool,
    *,
    kv_bytes_per_token: float,
    link_bytes_per_s: float,
    latency_s: float = 0.0,
) -> Disaggregated:
    """Requests whose prompts and answers run on different replicas.

    The prefill pool makes the first token; the cache of the prompt then crosses a link of the replica's own, and the
    decode pool computes that one token before it goes on. Left out: contention of transfers on one link, overlap of
    the transfer with the prompt, and pages that the prefill pool holds while it sends.

    Args:
        requests: in order of arrival.
        prefill, decode: the two pools.
        kv_bytes_per_token: cache of one token over all layers [bytes].
        link_bytes_per_s: one direction between a prefill and a decode replica.
        latency_s: of one transfer.

    Raises:
        InputError: the link has no bandwidth, or no answer has a second token.
        Infeasible: a pool is overloaded, or a request never fits it.
    """
    if not link_bytes_per_s > 0.0:
        raise InputError("link_bytes_per_s: not positive", fix="give the bandwidth between the pools")
    count = len(requests)
    ones = np.ones(count, np.int64)
    first = simulate(
        RequestBatch(requests.arrival_s, requests.input_tokens, ones, requests.cached_tokens),
        prefill.table,
        prefill.settings,
        replicas=prefill.replicas,
        router=prefill.router,
        records=True,
    )
    if first.records is None or first.finished < count:
        raise InputError(
            f"prefill pool: {count - first.finished} of {count} requests not done", fix="give it more replicas or pages"
        )
    begun = first.records.finish_s
    carried = latency_s + requests.input_tokens * (kv_bytes_per_token / link_bytes_per_s)
    more = np.flatnonzero(requests.output_tokens > 1)
    order = more[np.argsort((begun + carried)[more], kind="stable")]
    if len(order) == 0:
        raise InputError("decode pool: every answer has one token", fix="a prefill pool alone answers them")
    inputs = requests.input_tokens[order] + 1
    second = simulate(
        RequestBatch((begun + carried)[order], inputs, requests.output_tokens[order] - 1, inputs - 1),
        decode.table,
        decode.settings,
        replicas=decode.replicas,
        router=decode.router,
        records=True,
    )
    if second.records is None or second.finished < len(order):
        raise _not_done("decode", len(order), second)
    finish = begun.copy()
    finish[order] = second.records.finish_s
    ttft, e2e = begun - requests.arrival_s, finish - requests.arrival_s
    tpot = (e2e - ttft)[more] / (requests.output_tokens[more] - 1)
    parts = [float(part.mean()) for part in np.array_split(ttft, min(10, count))]
    return Disaggregated(first, second, _four(ttft), _four(tpot), _four(e2e), float(carried.mean()), estimate(parts))


def _not_done(pool: str, count: int, run: SimResult) -> Infeasible:
    why = f"{pool} pool does {run.completed_per_s:g} requests/s" if run.overloaded else f"{run.rejected} requests never fit it"
    return Infeasible(
        f"{pool} pool: {count - run.finished} of {count} requests are not done",
        binding=[why],
        fix="give it more replicas or pages",
    )


def _four(values: np.ndarray) -> tuple[float, float, float, float]:  # type: ignore[type-arg]
    ordered = np.sort(values)
    at = [float(ordered[max(math.ceil(share * len(ordered)) - 1, 0)]) for share in (0.5, 0.9, 0.99)]
    return float(values.mean()), at[0], at[1], at[2]
