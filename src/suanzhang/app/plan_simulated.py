"""The latencies of chosen services by event simulation, beside those of the formulas that sized them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from suanzhang.app.serve_spread import off_of, spread_estimate
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.catalog.stacks import serve_stack
from suanzhang.spec.plan import ServicePlan, SimulatedLatency
from suanzhang.spec.serve import OpenLoop, SizedService

if TYPE_CHECKING:
    from suanzhang.app.plan_sizing import SizedAsk

REQUESTS = 20_000


def simulated_latencies(
    one: SizedAsk, part: ServicePlan, seed: int, progress: Callable[[str], None], requests: int = REQUESTS
) -> tuple[SimulatedLatency, ...]:
    """One replica at the peak of the day, on each kind of chip that carries the service.

    Args:
        one: the service as it was sized.
        part: what the plan chose for it.
        seed: of arrivals and lengths.
        progress: called with a line for each kind of chip.
        requests: how many are followed on each.
    """
    carried = {share.chip for share in part.fleet} | {part.sized.chip}
    found = []
    for option in one.options:
        if option.chip in carried:
            progress(f"simulate {one.ask.name} on {option.chip}")
            found.append(_simulated(one, option, seed, requests))
    return tuple(found)


def _simulated(one: SizedAsk, option: SizedService, seed: int, requests: int) -> SimulatedLatency:
    from suanzhang.app.serve_sim import simulate_serve

    service = one.service
    carrying = max(option.replicas - option.spare_replicas, 1)
    rate = service.requests_per_s * service.load.peak_to_mean / carrying
    work = OpenLoop(rate, service.input_tokens, service.output_tokens)
    estimate, _ = simulate_serve(
        service.model, find_chip(option.chip), option.layout, serve_stack(option.stack), option.weight_dtype,
        option.kv_dtype, work, requests=requests, seed=seed,
    )  # fmt: skip
    shown = spread_estimate(estimate, off_of(estimate, work, service.model, find_chip(option.chip)))
    return SimulatedLatency(
        option.chip, rate, shown.ttft_s, shown.tpot_s, shown.e2e_s, estimate.requests_simulated, estimate.simulated_s,
        estimate.saturated,
    )  # fmt: skip
