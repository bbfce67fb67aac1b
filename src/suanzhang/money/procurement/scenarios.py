"""Ways in which the future may turn out: prices, rents, delivery, export state and growth, drawn with one seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from suanzhang.errors import InputError
from suanzhang.money.procurement.calendar import orderable
from suanzhang.money.procurement.shape import HOURLY
from suanzhang.spec.buy import PurchaseProblem, Scenario
from suanzhang.spec.market import Offer

MOST = 200
_P90 = 1.2815515655446004
_COMMON_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """What is uncertain, and how much.

    Args:
        price_sigma_per_year: spread of the logarithm of prices over a year; rents move with prices.
        regime_months: mean length of a regime (shortage, normal, glut).
        regime_shift_per_year: yearly change of the logarithm of prices in a shortage (a glut falls as fast).
        bar_per_year: rate at which an offer that export rules could stop is stopped, by offer id.
    """

    price_sigma_per_year: float
    regime_months: float = 12.0
    regime_shift_per_year: float = 0.35
    bar_per_year: Mapping[str, float] | None = None


def draw_scenarios(problem: PurchaseProblem, uncertainty: Uncertainty, count: int, seed: int) -> tuple[Scenario, ...]:
    """Equally likely scenarios, one random stream for each kind of uncertainty.

    Model:
        Logarithms of prices walk with a part that all offers share and a part of their own; the drift switches
        between shortage, normal and glut. Delivery is lognormal by the median and 90th percentile of each offer.
        Export rules stop an offer at a constant rate. Demand levels walk with the spread of each demand.

    Args:
        problem: offers and demands.
        uncertainty: spreads and rates.
        count: how many, at most 200.
        seed: of the random streams; the same seed gives the same scenarios.

    Returns:
        The scenarios with equal weights; the mean price path is the expected one.

    Raises:
        InputError: the count is not within 1 and 200.

    Equation:
        ln p_t = ln p_0 + mu t + sum(shift) + sigma W_t, divided by its mean over scenarios.

    Validity:
        Two shortages and one glut were seen from 2022 to 2026: the bands are wide on purpose.

    Sources:
        [cloud-gpus], [epoch-cost-method]; regimes assumed.

    Example:
        Used by ``plan_purchases(..., scenarios=20)``.
    """
    if not 1 <= count <= MOST:
        raise InputError(f"scenarios: must be within 1 and {MOST}, got {count}")
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(4)]
    trend = (1.0 + problem.price_change_per_year) ** (np.arange(problem.months) / 12.0)
    common = _regimes(problem.months, uncertainty, count, streams[0])
    price: dict[str, np.ndarray] = {}
    for offer in problem.offers:
        step = uncertainty.price_sigma_per_year / math.sqrt(12.0) * math.sqrt(1.0 - _COMMON_SHARE)
        steps = streams[1].normal(0.0, step, (count, problem.months))
        steps[:, 0] = 0.0
        path = np.exp(common + np.cumsum(steps, axis=1))
        price[offer.id] = path / path.mean(axis=0)
    delay = {offer.id: _delays(offer, count, streams[2]) for offer in problem.offers if offer.kind not in (*HOURLY, "api")}
    bars = {
        offer.id: _bars(offer, problem, rate, count, streams[2])
        for offer in problem.offers
        if (rate := (uncertainty.bar_per_year or {}).get(offer.id, 0.0)) > 0.0
    }
    growth = {d.name: _growth(d.growth_sigma_per_year, problem.months, count, streams[3]) for d in problem.demands}
    return tuple(
        Scenario(
            1.0 / count,
            {o.id: tuple(price[o.id][s] * trend) for o in problem.offers if o.kind == "buy"},
            {o.id: tuple(price[o.id][s]) for o in problem.offers if o.kind != "buy"},
            {name: int(values[s]) for name, values in delay.items()},
            {name: int(values[s]) for name, values in bars.items()},
            {name: tuple(paths[s]) for name, paths in growth.items()},
        )
        for s in range(count)
    )


def _regimes(months: int, uncertainty: Uncertainty, count: int, stream: np.random.Generator) -> np.ndarray:
    state = stream.integers(-1, 2, count)
    shared = uncertainty.price_sigma_per_year / math.sqrt(12.0) * math.sqrt(_COMMON_SHARE)
    path = np.zeros((count, months))
    for month in range(1, months):
        switch = stream.random(count) < 1.0 / uncertainty.regime_months
        state = np.where(switch, stream.integers(-1, 2, count), state)
        drift = state * uncertainty.regime_shift_per_year / 12.0
        path[:, month] = path[:, month - 1] + drift + stream.normal(0.0, shared, count)
    return path


def _delays(offer: Offer, count: int, stream: np.random.Generator) -> np.ndarray:
    median, high = offer.lead.median_months, offer.lead.p90_months
    if median <= 0.0:
        return np.zeros(count, dtype=int)
    sigma = math.log(max(high / median, 1.0)) / _P90
    drawn = median * np.exp(sigma * stream.standard_normal(count))
    return np.ceil(drawn - 0.5).astype(int)


def _bars(offer: Offer, problem: PurchaseProblem, rate: float, count: int, stream: np.random.Generator) -> np.ndarray:
    open_months = orderable(offer, problem.start, problem.months)
    first = open_months.start if len(open_months) else 0
    return first + np.ceil(stream.exponential(12.0 / rate, count)).astype(int)


def _growth(sigma: float, months: int, count: int, stream: np.random.Generator) -> np.ndarray:
    steps = stream.normal(0.0, sigma / math.sqrt(12.0), (count, months)) if sigma > 0.0 else np.zeros((count, months))
    steps[:, 0] = 0.0
    path = np.exp(np.cumsum(steps, axis=1))
    return np.asarray(path / path.mean(axis=0))
