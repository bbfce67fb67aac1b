"""Deployments of a service under drawn errors: what each would truly take, and what one saves against another."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from suanzhang.app.serve_estimate import estimate_serve
from suanzhang.app.serve_spread import Off, around, off_of, percentiles_around
from suanzhang.app.serve_verb_answer import rent_factors
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.draws import Floats, two_piece_lognormal
from suanzhang.spec.result import Interval
from suanzhang.spec.serve import OpenLoop
from suanzhang.spec.serve_improve import Deployment
from suanzhang.spec.serve_way import Way

if TYPE_CHECKING:
    from suanzhang.app.serve_improve_judge import Deployed, Judge

DRAWS = 2000
COMMON_SHARE = 0.7
"""Part of the variance of the logarithm of measured over predicted rates that runs of one model on one chip share, whatever
their settings: 0.69 to 0.74 in the published runs of `validate` (:func:`common_share` of 179 groups of one source, chip and
model, 2,445 runs; a test computes it again)."""


def common_share(groups: Iterable[Sequence[float]], fewest: int = 4) -> float:
    """Part of the variance of logarithms that the values of a group share: that between groups over all of it.

    Args:
        groups: logarithms of measured over predicted rates, by source, chip and model.
        fewest: smaller groups say nothing of the spread within.
    """
    kept = [np.asarray(group, dtype=float) for group in groups if len(group) >= fewest]
    within = float(np.mean([group.var(ddof=1) for group in kept]))
    means = np.array([group.mean() for group in kept])
    between = float(means.var(ddof=1)) - float(np.mean([group.var(ddof=1) / len(group) for group in kept]))
    return max(between, 0.0) / (max(between, 0.0) + within)


def span(value: float, draws: Floats) -> Interval:
    """The interval of drawn values around what is predicted, which it never leaves out."""
    low, middle, high = (float(item) for item in np.quantile(draws, (0.05, 0.5, 0.95)))
    return Interval(min(low, value), middle, max(high, value))


def whole_span(value: float, draws: Floats) -> Interval:
    """As :func:`span`, of whole counts."""
    low, middle, high = (float(item) for item in np.quantile(draws, (0.05, 0.5, 0.95), method="nearest"))
    return Interval(min(low, value), middle, max(high, value))


@dataclass(slots=True)
class Futures:
    """Drawn errors of all ways to serve, the same ones for every deployment that is compared.

    Model:
        The capacity of a way errs by its own conformal factors. Two ways of one model on one chip share
        :data:`COMMON_SHARE` of that error, so that what one saves against the other is known better than either; ways on
        different chips or of different models err by themselves. Rents move over the offers seen, together for a kind.

    Args:
        judge: whose service is deployed.
    """

    judge: Judge
    _off: dict[str, Off] = field(default_factory=dict, init=False)

    def _normal(self, name: str) -> Floats:
        return np.random.default_rng([self.judge.seed, zlib.crc32(name.encode())]).standard_normal(DRAWS)

    def off(self, way: Way, rate: float) -> Off:
        """How far off the figures of a replica may be at a rate."""
        key = repr((way.model.id, way.chip.id, way.stack.id, way.layout, way.weight_dtype, way.kv_dtype, round(rate, 4)))
        if key not in self._off:
            service = self.judge.service
            work = OpenLoop(max(rate, 1e-6), service.input_tokens, service.output_tokens)
            found = estimate_serve(way.model, way.chip, way.layout, way.stack, way.weight_dtype, way.kv_dtype, work)
            self._off[key] = off_of(found, work, way.model, way.chip)
        return self._off[key]

    def capacity(self, way: Way, rate: float) -> Floats:
        """Measured over predicted capacity of a replica, drawn."""
        common = self._normal(f"{way.chip.id} {way.model.id}")
        own = self._normal(repr((way.chip.id, way.model.id, way.layout, way.weight_dtype, way.kv_dtype, way.stack.id,
                                 way.draft, way.prefix, way.max_batched_tokens, way.stack.chunked_prefill)))  # fmt: skip
        z = np.sqrt(COMMON_SHARE) * common + np.sqrt(1.0 - COMMON_SHARE) * own
        return two_piece_lognormal(self.off(way, rate).capacity, z)

    def rent(self, chip: ChipSpec) -> Floats:
        """Rents seen over the one in use, drawn."""
        return two_piece_lognormal(rent_factors(chip), self._normal(f"rent of {chip.id}"))

    def spared(self, carrying: Floats) -> Floats:
        """Replicas with those kept for redundancy."""
        rule = self.judge.service.redundancy
        return np.asarray(carrying + rule.count + np.ceil(rule.fraction * carrying - 1e-9))

    def replicas(self, found: Deployed) -> list[tuple[Way, Floats]]:
        """Replicas that each pool would truly need."""
        return [
            (way, self.spared(np.maximum(np.ceil(found.peak / (rate * self.capacity(way, rate)) - 1e-9), 1.0)))
            for way, rate in found.pools
        ]

    def chips(self, found: Deployed) -> Floats:
        """Chips that a deployment would truly need."""
        return np.asarray(sum(count * way.layout.chips for way, count in self.replicas(found)))

    def cost(self, found: Deployed) -> Floats:
        """Rent of these chips, in the unit of the judge."""
        parts = [
            self.judge.cost({way.chip.id: 1}) * way.layout.chips * count * self.rent(way.chip)
            for way, count in self.replicas(found)
        ]
        return np.asarray(sum(parts))

    def saving(self, found: Deployed, first: Deployed) -> Floats:
        """Share of the cost of the first deployment that another saves."""
        return 1.0 - self.cost(found) / self.cost(first)

    def spread(self, found: Deployed) -> Deployment:
        """A deployment with an interval at each figure."""
        made, way = found.deployment, found.way
        off = self.off(way, made.requests_per_s_per_replica)
        replicas = np.asarray(sum(count for _, count in self.replicas(found)))
        cost = self.cost(found)
        each = 0.0 if made.rent_per_month is None or made.cost_per_response is None else (
            made.cost_per_response.amount / made.rent_per_month.amount
        )  # fmt: skip
        return replace(
            made,
            ttft_s=percentiles_around(made.ttft_s, off.ttft, found.requests, found.batch),
            tpot_s=percentiles_around(made.tpot_s, off.tpot, found.requests, found.batch),
            e2e_s=percentiles_around(made.e2e_s, off.e2e, found.requests, found.batch),
            requests_per_s_per_replica_interval=around(made.requests_per_s_per_replica, off.capacity),
            replicas_interval=whole_span(made.replicas, replicas),
            chips_interval=whole_span(found.chips, self.chips(found)),
            rent_per_month_interval=None if made.rent_per_month is None else span(made.rent_per_month.amount, cost),
            cost_per_response_interval=(
                None if made.cost_per_response is None else span(made.cost_per_response.amount, cost * each)
            ),
        )
