"""How much of the beginning of a simulation is left out of its latencies, since it starts with empty engines."""

from __future__ import annotations

import math

import numpy as np

from suanzhang.errors import InputError
from suanzhang.sim.arrivals import SLOT_S, Traffic, rate_table
from suanzhang.sim.fleet import CELL, simulate_fleet
from suanzhang.sim.operations import Autoscaler, Failures
from suanzhang.sim.statistics import settled_after
from suanzhang.spec.sim import EngineSettings, Floats, IterationTable
from suanzhang.units import HOUR_S

LOOKED_AT = 0.2
LONGEST_S = 2.0 * HOUR_S
"""The rule sees the first fifth of a run and at most two hours, of which it leaves out at most the half: load that rises with
the day, or bursts of a recorded trace, must not pass for an engine that has not settled."""
MEAN_OF = 5
"""Requests of one mean that the rule looks at [white-2000]."""
MOST = 200_000
"""Requests of the run that shows when a fleet has settled."""
LEAST = 100


def checked_warmup(warmup_s: float | None, span_s: float) -> None:
    """Refuse a warm-up that leaves nothing.

    Raises:
        InputError: it is negative or as long as the run.
    """
    if warmup_s is not None and not 0.0 <= warmup_s < span_s:
        raise InputError(f"warm-up: {warmup_s:g} s of {span_s:,.0f} s", fix="give less than the run takes, or 0 for none")


def settled_s(arrival_s: Floats, answered_in_s: Floats) -> float:
    """When a run that began with empty engines has settled.

    Model:
        The marginal standard error rule with means of five: what is cut off is what makes the error of the mean of the rest
        the least. It looks at the time from arrival to the last token of the requests that were answered.

    Args:
        arrival_s: of each request, in order [s].
        answered_in_s: until its last token; NaN where it was not answered [s].

    Returns:
        From the first arrival on [s]; 0 where there are fewer than a hundred answers to look at.

    Equation:
        d = argmin_d var(Y_d..Y_n) / (n - d)

    Validity:
        At most half of the first fifth of the run, and at most an hour.

    Sources:
        [white-2000]
    """
    if len(arrival_s) < LEAST:
        return 0.0
    start, span = float(arrival_s[0]), float(arrival_s[-1] - arrival_s[0])
    seen = np.isfinite(answered_in_s) & (arrival_s <= start + min(LOOKED_AT * span, LONGEST_S))
    if int(seen.sum()) < LEAST:
        return 0.0
    cut = settled_after(answered_in_s[seen], MEAN_OF)
    return float(arrival_s[seen][cut]) - start


def fleet_settled_s(
    traffic: Traffic, requests: int, table: IterationTable, settings: EngineSettings, replicas: int, router: str, seed: int,
    failures: Failures | None, scaler: Autoscaler | None,
) -> float:  # fmt: skip
    """When a day of a fleet has settled, from the first hours of its first cell: the same requests as in the day.

    Args:
        traffic, requests, table, settings, replicas, router, seed, failures, scaler: as in
            :func:`suanzhang.sim.fleet.simulate_fleet`.
    """
    cells = -(-replicas // CELL)
    first = replicas // cells + (replicas % cells > 0)
    share = first / replicas
    rates = rate_table(traffic)
    expected = float(rates[: math.ceil(LONGEST_S / SLOT_S)].sum()) * SLOT_S * share
    count = int(min(expected, requests * share * LOOKED_AT, MOST))
    if count < LEAST:
        return 0.0
    part = Traffic(
        traffic.requests_per_s * share, traffic.input_tokens, traffic.output_tokens, traffic.load, traffic.burstiness,
        traffic.max_tokens, traffic.cached, traffic.urgent, traffic.cancelled,
    )  # fmt: skip
    run = simulate_fleet(
        part, count, table, settings, first, router=router, seed=seed, failures=failures, scaler=scaler, records=True
    )
    kept = run.records
    if run.overloaded or kept is None:
        return 0.0
    cut = settled_after((kept.finish_s - kept.arrival_s)[np.isfinite(kept.finish_s)], MEAN_OF)
    return float(kept.arrival_s[np.isfinite(kept.finish_s)][cut]) if cut else 0.0
