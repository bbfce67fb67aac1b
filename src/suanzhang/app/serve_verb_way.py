"""The verb ``serve`` with drafted tokens, prompts found in the cache, and caches loaded from the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from suanzhang.app.serve_estimate import estimate_serve
from suanzhang.app.serve_sim import draw_requests
from suanzhang.app.serve_size_way import Prepared, latencies, prepare
from suanzhang.app.serve_way_closed import ClosedWay, closed_by
from suanzhang.errors import InputError
from suanzhang.sim.replica import simulate
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.serve import ClosedLoop, OpenLoop, Percentiles, ServeEstimate
from suanzhang.spec.serve_way import Draft, Prefix, Way
from suanzhang.spec.sim import SimResult

if TYPE_CHECKING:
    from suanzhang.app.serve_verb_confirm import Ask

DRAFT_ACCEPTANCE = 0.75
"""Chance that a drafted token is accepted, where none is given [assumed: chat with a trained head]."""
_TURNS = 12
_QUEUE = 100_000
"""Waiting requests at which a run stops as overloaded."""

Estimator = Callable[[ClosedLoop | OpenLoop], ServeEstimate]


def levers_of(
    draft_tokens: int, acceptance: float | None, prefix_share: float, offloaded: float, *, trace: bool
) -> tuple[Draft, Prefix]:
    """What a user asked for beside the plain engine.

    Raises:
        InputError: a share is none, or one stands without what it is a share of.
    """
    if draft_tokens < 0:
        raise InputError(f"draft tokens: {draft_tokens} is no count", fix="give 0 for none, or for example 3")
    if acceptance is not None and not draft_tokens:
        raise InputError("acceptance without draft tokens", fix="give --draft-tokens too, for example 3")
    chance = DRAFT_ACCEPTANCE if acceptance is None else acceptance
    if not 0.0 <= chance <= 1.0:
        raise InputError(f"acceptance: {chance:g} is no chance", fix="give a number from 0 to 1")
    if not 0.0 <= prefix_share < 1.0:
        raise InputError(f"prefix share: {prefix_share:g} is no fraction below 1", fix="give for example 0.3")
    if not 0.0 <= offloaded <= 1.0:
        raise InputError(f"offloaded: {offloaded:g} is no fraction", fix="give a share from 0 to 1")
    if offloaded and not prefix_share:
        raise InputError("offloaded without a prefix share", fix="give --prefix-share too, for example 0.5")
    if trace and (draft_tokens or prefix_share):
        raise InputError(
            "trace together with drafts or a prefix share", fix="give the rate and lengths of the trace instead of the file"
        )
    return Draft(draft_tokens, chance if draft_tokens else 0.0), Prefix(prefix_share, offloaded)


def plain(ask: Ask) -> bool:
    """Whether nothing beside the plain engine is asked for."""
    return not ask.draft.tokens and not ask.prefix.share


def way_of(ask: Ask, layout: ServeLayout, weight_dtype: str = "", kv_dtype: str = "") -> Way:
    """How a replica serves what was asked."""
    weight, kv = weight_dtype or ask.weight_dtype, kv_dtype or ask.kv_dtype
    return Way(ask.model, ask.chip, ask.stack, layout, weight, kv, ask.draft, ask.prefix)


def estimator(ask: Ask, layout: ServeLayout) -> Estimator:
    """Estimates of one replica of a layout, with what was asked beside the plain engine.

    Model:
        The formulas for a way to serve give how much faster it is than the plain engine at the same share of its capacity;
        the estimate of the plain engine, fitted to published runs, is multiplied by that.

    Args:
        ask: what was asked.
        layout: of a replica.

    Returns:
        From a closed or open loop to the estimate.

    Raises:
        InputError, OutOfDomain, Infeasible: as :func:`suanzhang.app.serve_estimate.estimate_serve`.
    """

    def unchanged(work: ClosedLoop | OpenLoop) -> ServeEstimate:
        return estimate_serve(ask.model, ask.chip, layout, ask.stack, ask.weight_dtype, ask.kv_dtype, work)

    if plain(ask):
        return unchanged
    way = way_of(ask, layout)
    ready = prepare(way, ask.input, ask.output)
    usual = prepare(replace(way, draft=Draft(), prefix=Prefix()), ask.input, ask.output)
    more = _at(ready, ask).requests_per_s / _at(usual, ask).requests_per_s

    def changed(work: ClosedLoop | OpenLoop) -> ServeEstimate:
        if isinstance(work, ClosedLoop):
            base = unchanged(work)
            before, after = (_at(each, ask, work.concurrency) for each in (usual, ready))
            gain = after.requests_per_s / before.requests_per_s
        else:
            base = unchanged(replace(work, requests_per_s=work.requests_per_s / more))
            before, after = _at_rate(usual, ask, base.requests_per_s), _at_rate(ready, ask, base.requests_per_s * more)
            gain = more
        found = _turned(base, before, after, gain, more, ask.output.mean)
        if isinstance(work, ClosedLoop) and work.concurrency > base.batch_limit:
            found = _waiting(found, work.concurrency, ask.output.mean)
        return found

    return changed


def _at(ready: Prepared, ask: Ask, users: float = np.inf) -> ClosedWay:
    return closed_by(ready, ask.input, ask.output, users)


def _at_rate(ready: Prepared, ask: Ask, rate: float) -> ClosedWay:
    """The steady state at a rate: the sequences that run are the rate times the time of an answer (Little's law)."""
    found = _at(ready, ask, 1.0)
    users = 1.0
    for _ in range(_TURNS):
        users = 0.5 * (users + max(rate * (found.ttft_s + found.tpot_s * ask.output.mean), 1.0))
        found = _at(ready, ask, users)
    return found


def _turned(
    base: ServeEstimate, before: ClosedWay, after: ClosedWay, gain: float, more: float, osl: float
) -> ServeEstimate:  # fmt: skip
    """The plain estimate, multiplied by what the way changes."""
    ttft = _times(base.ttft_s, after.ttft_s / before.ttft_s)
    tpot = _times(base.tpot_s, after.tpot_s / before.tpot_s)
    shown = f"drafts and cached prompts carry {more:.2f} times the requests of the plain engine at full load, by formulas"
    return replace(
        base,
        ttft_s=ttft,
        tpot_s=tpot,
        e2e_s=_ended(ttft, tpot, osl),
        output_tokens_per_s=base.output_tokens_per_s * gain,
        requests_per_s=base.requests_per_s * gain,
        capacity_requests_per_s=base.capacity_requests_per_s * more,
        utilisation=1.0 if base.saturated else min(base.requests_per_s * gain / (base.capacity_requests_per_s * more), 1.0),
        running_batch=min(base.running_batch * after.running / before.running, base.batch_limit),
        energy_j_per_response=base.energy_j_per_response / gain,
        energy_j_per_output_token=base.energy_j_per_output_token / gain,
        warnings=(*base.warnings, f"{shown}; the parts of an iteration shown are those of the plain engine"),
    )


def _waiting(found: ServeEstimate, users: float, osl: float) -> ServeEstimate:
    """More users than places: the first token waits for what Little's law leaves beside the tokens."""
    whole = users / found.requests_per_s - found.tpot_s.mean * (osl - 1.0)
    ttft = _times(found.ttft_s, max(whole / found.ttft_s.mean, 1e-3)) if whole > 0.0 else found.ttft_s
    return replace(found, ttft_s=ttft, e2e_s=_ended(ttft, found.tpot_s, osl))


def _times(values: Percentiles, factor: float) -> Percentiles:
    return Percentiles(values.mean * factor, values.p50 * factor, values.p90 * factor, values.p99 * factor)


def _ended(ttft: Percentiles, tpot: Percentiles, osl: float) -> Percentiles:
    more = osl - 1.0
    return Percentiles(
        ttft.mean + tpot.mean * more, ttft.p50 + tpot.p50 * more, ttft.p90 + tpot.p90 * more, ttft.p99 + tpot.p99 * more
    )  # fmt: skip


def run_way(
    ask: Ask, layout: ServeLayout, estimate: ServeEstimate, rate: float, *, records: bool = False
) -> tuple[Prepared, SimResult]:
    """One replica at a rate, followed request by request."""
    ready = prepare(way_of(ask, layout, estimate.weight_dtype, estimate.kv_dtype), ask.input, ask.output)
    batch = draw_requests(OpenLoop(rate, ask.input, ask.output), ask.requests, ask.seed)
    if ask.prefix.share:
        found_before = (batch.input_tokens * ask.prefix.share).astype(np.int64)
        batch = replace(batch, cached_tokens=np.minimum(found_before, batch.input_tokens - 1))
    settings = replace(ready.settings, max_queue=_QUEUE)
    return ready, simulate(
        batch, ready.table, settings, warmup_s=0.1 * float(batch.arrival_s[-1]), seed=ask.seed, records=records
    )  # fmt: skip


def simulated_way(ask: Ask, layout: ServeLayout, estimate: ServeEstimate, rate: float) -> ServeEstimate:
    """The same replica with latencies of an event simulation of drafts and cached prompts."""
    ready, found = run_way(ask, layout, estimate, rate)
    ttft, tpot, e2e = latencies(found, ready)
    at_rate = estimator(ask, layout)(OpenLoop(rate, ask.input, ask.output))
    warnings = at_rate.warnings
    if found.overloaded and not at_rate.saturated:
        warnings += ("the simulated queue grows without end",)
    return replace(
        at_rate, ttft_s=ttft, tpot_s=tpot, e2e_s=e2e, saturated=found.overloaded, running_batch=found.batch_mean,
        warnings=warnings, requests_simulated=found.requests, simulated_s=found.simulated_s,
    )  # fmt: skip
