"""Deploys a service in any way and says what it costs: the common judge of all levers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from suanzhang.app.serve_futures import Futures
from suanzhang.app.serve_size import size_service
from suanzhang.app.serve_size_split import Role, decode_role, percentiles, prefill_role, together
from suanzhang.app.serve_size_way import CELL, LEAST_REQUESTS, MOST_REQUESTS, RESPONSES, Demand, carried, draw_demand, misses
from suanzhang.errors import Infeasible, InputError, OutOfDomain
from suanzhang.spec.job import ServiceSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.result import Money
from suanzhang.spec.serve import Percentiles, Refusal
from suanzhang.spec.serve_improve import Deployment
from suanzhang.spec.serve_way import Way
from suanzhang.units import HOUR_S, MONTH_S

Latencies = tuple[Percentiles, Percentiles, Percentiles]
CONFIRMED = 1.5
"""A pair of pools may be made larger up to so many times until both together meet the targets."""
LAYOUTS = 4


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deployment with the ways that it came from.

    Args:
        way: of the replicas, or of the decode pool.
        prefill: of the prefill pool; None where one pool does both.
        deployment: the answer.
        cost: rent per month, or chips where no rent is known: what is compared.
        chips: in all.
        peak: requests per second at the peak of the day.
        pools: each pool with the rate that one replica of it carries within the targets.
        requests: of the run that the latencies come from.
        batch: sequences that ran at once in it.
    """

    way: Way
    prefill: Way | None
    deployment: Deployment
    cost: float
    chips: int
    peak: float
    pools: tuple[tuple[Way, float], ...]
    requests: float
    batch: float


@dataclass(slots=True)
class Judge:
    """One service, its requests and its prices; every way is judged on the same requests.

    Args:
        service: what is served.
        rents: per chip and hour, by kind; None where it is not let.
        currency, date: of the rents.
        seed: of the requests.
    """

    service: ServiceSpec
    rents: Mapping[str, float | None]
    currency: str
    date: str
    seed: int = 0
    demand: Demand = field(init=False)
    simulated: int = field(default=0, init=False)
    _layouts: dict[tuple[str, ...], tuple[ServeLayout, ...]] = field(default_factory=dict, init=False)
    _known: dict[tuple[object, ...], Deployed | str] = field(default_factory=dict, init=False)
    futures: Futures = field(init=False)

    def __post_init__(self) -> None:
        self.futures = Futures(self)
        self.demand = draw_demand(self.service.input_tokens, self.service.output_tokens, self.seed)

    @property
    def peak(self) -> float:
        """Requests per second at the peak of the day."""
        return self.service.requests_per_s * self.service.load.peak_to_mean

    def with_spares(self, replicas: int) -> int:
        """Replicas with those kept for redundancy."""
        rule = self.service.redundancy
        return replicas + rule.count + math.ceil(rule.fraction * replicas - 1e-9)

    def cost(self, chips: Mapping[str, int]) -> float:
        """Rent per month of chips by kind; a kind without a rent counts one per chip."""
        return sum(count * self.hourly(kind) for kind, count in chips.items()) * MONTH_S / HOUR_S

    def hourly(self, kind: str) -> float:
        """Rent of one chip and hour; 1 where none is known."""
        return self.rents.get(kind) or 1.0

    def priced(self, chips: Mapping[str, int]) -> bool:
        """Whether every kind has a rent."""
        return all(self.rents.get(kind) is not None for kind in chips)

    def money(self, amount: float) -> Money:
        """An amount in the currency of the rents."""
        return Money(amount, self.currency, self.date)

    def layouts(self, way: Way) -> tuple[ServeLayout, ...]:
        """The layouts with the fewest chips by formulas, the way's own first."""
        key = (way.model.id, way.chip.id, way.stack.id, way.weight_dtype, way.kv_dtype)
        if key not in self._layouts:
            service = replace(self.service, model=way.model, weight_dtype=way.weight_dtype, kv_dtype=way.kv_dtype)
            found = size_service(service, way.chip, way.stack)
            self._layouts[key] = (
                () if isinstance(found, Refusal) else (found.layout, *(layout for layout, _, _ in found.alternatives))[:LAYOUTS]
            )
        return self._layouts[key]

    def deploy(self, way: Way) -> Deployed | str:
        """The service on replicas of one way; why not, where it cannot be."""
        key = _key(way)
        if key not in self._known:
            self._known[key] = self._deploy(way)
        return self._known[key]

    def _deploy(self, way: Way) -> Deployed | str:
        try:
            found = carried(way, self.demand, self.service.slo)
        except (Infeasible, OutOfDomain, InputError) as error:
            return str(error.message)
        self.simulated += found.requests_simulated
        if found.requests_per_s <= 0.0:
            return f"misses {', '.join(found.missed)} at any load"
        replicas = self.with_spares(max(math.ceil(self.peak / found.requests_per_s - 1e-9), 1))
        chips = {way.chip.id: replicas * way.layout.chips}
        latencies = (found.ttft_s, found.tpot_s, found.e2e_s)
        requests = min(max(RESPONSES * found.running_batch * CELL, LEAST_REQUESTS), MOST_REQUESTS)
        return self._answer(
            way, None, chips, replicas, found.requests_per_s, latencies, chip_words(way), ((way, found.requests_per_s),),
            (requests, found.running_batch),
        )  # fmt: skip

    def deploy_split(self, prefill: Way, decode: Way) -> Deployed | str:
        """The service on a pool for prompts and a pool for answers; why not, where it cannot be."""
        try:
            first, second = (
                prefill_role(prefill, self.demand, self.service.slo),
                decode_role(decode, self.demand, self.service.slo),
            )
        except (Infeasible, OutOfDomain, InputError) as error:
            return str(error.message)
        return self.pair(first, second)

    def pair(self, first: Role, second: Role) -> Deployed | str:
        """Two pools whose parts are known, made larger until a run of both together meets the targets."""
        self.simulated += first.simulated + second.simulated
        if first.requests_per_s <= 0.0 or second.requests_per_s <= 0.0:
            return f"the {'prefill' if first.requests_per_s <= 0.0 else 'decode'} pool misses its target at any load"
        counts = [max(math.ceil(self.peak / role.requests_per_s - 1e-9), 1) for role in (first, second)]
        grown = 1.0
        while grown <= CONFIRMED:
            pair = (math.ceil(counts[0] * grown), math.ceil(counts[1] * grown))
            run = together(first, second, self.demand, pair, self.peak)
            if run is not None:
                front = first.ready.front_s + first.ready.front_per_seq_s * run.decode.batch_mean
                ready = first.ready
                latencies = (
                    percentiles(run.ttft_s, ready, front), percentiles(run.tpot_s), percentiles(run.e2e_s, ready, front),
                )  # fmt: skip
                self.simulated += run.prefill.requests + run.decode.requests
                if not misses(*latencies, self.service.slo):
                    break
            grown *= 1.06
        else:
            return "both pools together miss a target"
        spared = [self.with_spares(count) for count in pair]
        chips: dict[str, int] = {}
        for role, count in zip((first, second), spared, strict=True):
            chips[role.way.chip.id] = chips.get(role.way.chip.id, 0) + count * role.way.layout.chips
        words = f"prompts on {spared[0]} x {chip_words(first.way)}, answers on {spared[1]} x {chip_words(second.way)}"
        pools = tuple((role.way, self.peak / count) for role, count in zip((first, second), pair, strict=True))
        return self._answer(
            second.way, first.way, chips, sum(spared), self.peak / sum(pair), latencies, words, pools,
            (float(run.decode.requests), run.decode.batch_mean),
        )  # fmt: skip

    def _answer(
        self,
        way: Way,
        prefill: Way | None,
        chips: Mapping[str, int],
        replicas: int,
        rate: float,
        latencies: Latencies,
        words: str,
        pools: tuple[tuple[Way, float], ...],
        run: tuple[float, float],
    ) -> Deployed:
        cost = self.cost(chips)
        priced = self.priced(chips)
        per_response = cost / (self.service.requests_per_s * MONTH_S)
        deployment = Deployment(
            words, tuple(f"{kind}:{count}" for kind, count in chips.items()), replicas, rate, latencies[0], latencies[1],
            latencies[2], self.money(cost) if priced else None, self.money(per_response) if priced else None,
        )  # fmt: skip
        return Deployed(way, prefill, deployment, cost, sum(chips.values()), self.peak, pools, *run)


def _key(way: Way) -> tuple[object, ...]:
    """What tells two ways apart."""
    return (
        way.model.id, way.chip.id, way.stack.id, way.stack.chunked_prefill, way.layout, way.weight_dtype, way.kv_dtype,
        way.draft, way.prefix, way.router, way.max_batched_tokens,
    )  # fmt: skip


def chip_words(way: Way) -> str:
    """Chip, layout, formats and engine of a way in short."""
    layout = way.layout
    parts = [f"{name}={size}" for name, size in (("tp", layout.tp), ("pp", layout.pp), ("dp", layout.dp)) if size > 1]
    return f"{way.chip.id} {' '.join(parts) or 'tp=1'} {way.weight_dtype}/{way.kv_dtype} {way.stack.id}"


def cheapest(found: list[Deployed | str]) -> Deployed | str:
    """The deployment with the least cost; the first reason where none can be."""
    able = [item for item in found if isinstance(item, Deployed)]
    reasons = [item for item in found if isinstance(item, str)]
    return min(able, key=lambda item: item.cost) if able else (reasons[0] if reasons else "no layout of the chip can do it")
