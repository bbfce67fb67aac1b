"""The answer of the verb ``serve``: money, intervals and sources around what was found."""

from __future__ import annotations

import math
from dataclasses import replace

from suanzhang.app.header import header
from suanzhang.app.serve_spread import (
    around,
    off_of,
    spread_estimate,
    spread_sized,
    whole,
)
from suanzhang.app.serve_verb_confirm import Ask
from suanzhang.app.serve_weak import weak_serving
from suanzhang.app.spread import inverse, sum_interval
from suanzhang.spec.chip import ChipSpec, DatedPrice
from suanzhang.spec.job import LoadSpec, Redundancy, ServiceSpec
from suanzhang.spec.result import Interval, Money
from suanzhang.spec.serve import OpenLoop, Percentiles, ServeEstimate, ServeResult, SizedService, Workload
from suanzhang.units import HOUR_S


def rent_per_chip_h(chip: ChipSpec) -> DatedPrice | None:
    """The newest on-demand rent of a chip for one hour; None when none is known."""
    rents = [price for price in chip.prices if price.kind == "rent" and "spot" not in price.terms]
    return max(rents, key=lambda price: (price.price.date, price.offers), default=None)


def rent_factors(chip: ChipSpec) -> Interval:
    """Rents seen at the time over the one that is used; a point where one offer only was seen."""
    price = rent_per_chip_h(chip)
    if price is None or price.price.value <= 0.0:
        return Interval(1.0, 1.0, 1.0)
    return Interval(min(price.low / price.price.value, 1.0), 1.0, max(price.high / price.price.value, 1.0))


def cost_of(chip: ChipSpec, chips: int, rate: float, speed: Interval, seed: int) -> tuple[Money | None, Interval | None]:
    """Rent of a response; its interval draws the offers seen and the error of the throughput together."""
    price = rent_per_chip_h(chip)
    if price is None:
        return None, None
    per_response = chips / HOUR_S / rate
    quote = price.price
    currency = quote.unit.partition("/")[0]
    span = sum_interval([(quote.value * per_response, {"rent": rent_factors(chip), "physics": inverse(speed)})], seed)
    return Money(quote.value * per_response, currency, quote.date), span


def answer_of(
    ask: Ask, replica: ServeEstimate, replicas: int, rate: float, sized: SizedService | None, work: Workload | None = None
) -> ServeResult:
    """The answer of the verb from one replica and how many there are."""
    chips = replicas * replica.chips
    tokens = replica.output_tokens_per_s * replicas
    joule = sized.energy_j_per_response if sized else replica.energy_j_per_response
    load = work or OpenLoop(replica.requests_per_s, ask.input, ask.output)
    off = off_of(replica, load, ask.model, ask.chip)
    cost, cost_interval = cost_of(ask.chip, chips, rate, off.capacity, ask.seed)
    sizing = _spread(ask, sized, rate)
    counted = _count_interval(replicas, sizing, off.capacity, asked=work is not None)
    shown = spread_estimate(replica, off)
    warnings = replica.warnings
    if not cost:
        warnings += (f"no rent of {ask.chip.name} is known: no cost per response",)
    per_chip = tokens / chips
    found = ServeResult(
        header=header(ask.seed),
        model=ask.model.id,
        chip=ask.chip.id,
        chips=chips,
        replicas=replicas,
        layout=replica.layout,
        engine=ask.stack.id,
        weight_dtype=replica.weight_dtype,
        kv_dtype=replica.kv_dtype,
        ttft_s=shown.ttft_s,
        tpot_s=shown.tpot_s,
        e2e_s=shown.e2e_s,
        ttft_s_interval=_mean_interval(shown.ttft_s),
        tpot_s_interval=_mean_interval(shown.tpot_s),
        e2e_s_interval=_mean_interval(shown.e2e_s),
        output_tokens_per_s=tokens,
        output_tokens_per_s_interval=around(tokens, off.rate),
        output_tokens_per_s_per_chip=per_chip,
        output_tokens_per_s_per_chip_interval=around(per_chip, off.rate),
        cost_per_response=cost,
        cost_per_response_interval=cost_interval,
        energy_j_per_response=joule,
        energy_j_per_response_interval=around(joule, off.energy),
        requests_simulated=replica.requests_simulated,
        simulated_s=replica.simulated_s,
        wall_s=replica.wall_s,
        replica=shown,
        sized=sizing,
        warnings=warnings,
        sources=_sources(ask),
        isl=ask.input.mean,
        osl=ask.output.mean,
        decode_iteration_s_interval=shown.decode_iteration_s_interval,
        capacity_requests_per_s_interval=shown.capacity_requests_per_s_interval,
        power_w_per_chip_interval=shown.power_w_per_chip_interval,
        chips_interval=counted.scaled(float(replica.chips)),
        replicas_interval=counted,
    )
    return replace(found, weak_inputs=weak_serving(found, ask.model))


def _mean_interval(values: Percentiles) -> Interval:
    assert values.mean_interval is not None
    return values.mean_interval


def _count_interval(replicas: int, sized: SizedService | None, capacity: Interval, *, asked: bool) -> Interval:
    """Replicas that would be needed, were the capacity as far off as it may be; those asked for where they are given.

    A sizing knows how much of the capacity is in use; without one every replica is taken as full.
    """
    if asked:
        return Interval(float(replicas), float(replicas), float(replicas))
    if sized is not None and sized.replicas == replicas and sized.replicas_interval is not None:
        return sized.replicas_interval
    spares = sized.spare_replicas if sized else 0
    carrying = max(replicas - spares, 1)
    return whole(lambda factor: math.ceil(carrying / factor - 1e-9) + spares, capacity)


def _spread(ask: Ask, sized: SizedService | None, rate: float) -> SizedService | None:
    """The sizing with its intervals."""
    if sized is None:
        return None
    peak = max((count.requests_per_s for count in sized.counts), default=rate)
    load = LoadSpec("diurnal" if peak > rate else "flat", peak / rate)
    redundancy = Redundancy(sized.spare_replicas)
    service = ServiceSpec(
        sized.service, ask.model, rate, ask.input, ask.output, load, ask.slo, redundancy=redundancy,
    )  # fmt: skip
    return spread_sized(sized, service, ask.chip)


def _sources(ask: Ask) -> tuple[str, ...]:
    keys = [ask.model.source, ask.stack.source, *ask.chip.sources]
    return tuple(dict.fromkeys(key for key in keys if key))
