"""Ways in which the future may turn out: prices, rents, delivery, export state and growth, drawn with one seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from suanzhang.errors import InputError
from suanzhang.money.procurement.calendar import FOREVER, orderable
from suanzhang.money.procurement.shape import HOURLY
from suanzhang.spec.buy import PurchaseProblem, Scenario
from suanzhang.spec.market import ExportChain, Offer

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
        return_per_year: rate at which one that was stopped is let through again; a second stop lasts.
        path: expected factor on today's price or rent by offer id and month, where it is not that of the market.
        sigma_by_offer: spread in place of ``price_sigma_per_year``, by offer id.
        chains: states of export rules and the chances of their changes, by offer id; offers of one chip share their draws.
    """

    price_sigma_per_year: float
    regime_months: float = 12.0
    regime_shift_per_year: float = 0.35
    bar_per_year: Mapping[str, float] | None = None
    return_per_year: float = 0.0
    path: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    sigma_by_offer: Mapping[str, float] = field(default_factory=dict)
    chains: Mapping[str, ExportChain] = field(default_factory=dict)


def draw_scenarios(problem: PurchaseProblem, uncertainty: Uncertainty, count: int, seed: int) -> tuple[Scenario, ...]:
    """Equally likely scenarios, one random stream for each kind of uncertainty.

    Model:
        Logarithms of prices walk with a part that all offers share and a part of their own; the drift switches
        between shortage, normal and glut. Delivery is lognormal by the median and 90th percentile of each offer.
        Export rules stop an offer at a constant rate, and let it through again at another. Demand levels walk with
        the spread of each demand.

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
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(7)]
    trend = (1.0 + problem.price_change_per_year) ** (np.arange(problem.months) / 12.0)
    common = _regimes(problem.months, uncertainty, count, streams[0])
    price: dict[str, np.ndarray] = {}
    for offer in problem.offers:
        own, sigma = uncertainty.sigma_by_offer.get(offer.id), uncertainty.price_sigma_per_year
        size = 1.0 if own is None or sigma <= 0.0 else own / sigma
        step = (sigma if own is None or sigma > 0.0 else own) / math.sqrt(12.0) * math.sqrt(1.0 - _COMMON_SHARE)
        steps = streams[1].normal(0.0, step, (count, problem.months))
        steps[:, 0] = 0.0
        path = np.exp(size * (common + np.cumsum(steps, axis=1)))
        price[offer.id] = path / path.mean(axis=0)
    delay = {offer.id: _delays(offer, count, streams[2]) for offer in problem.offers if offer.kind not in (*HOURLY, "api")}
    bars = {
        offer.id: _bars(offer, problem, rate, count, streams[2])
        for offer in problem.offers
        if (rate := (uncertainty.bar_per_year or {}).get(offer.id, 0.0)) > 0.0
    }
    bars |= _barred(problem, uncertainty.chains, count, streams[4])
    opened = _opened(problem, uncertainty, bars, streams[5])
    again = _again(problem, uncertainty, opened, streams[6])
    expected = {offer.id: np.array(uncertainty.path[offer.id]) for offer in problem.offers if offer.id in uncertainty.path}
    growth = {d.name: _growth(d.growth_sigma_per_year, problem.months, count, streams[3]) for d in problem.demands}
    return tuple(
        Scenario(
            1.0 / count,
            {o.id: tuple(price[o.id][s] * expected.get(o.id, trend)) for o in problem.offers if o.kind == "buy"},
            {o.id: tuple(price[o.id][s] * expected.get(o.id, 1.0)) for o in problem.offers if o.kind != "buy"},
            {name: int(values[s]) for name, values in delay.items()},
            {name: int(values[s]) for name, values in bars.items()},
            {name: tuple(paths[s]) for name, paths in growth.items()},
            {name: int(values[s]) for name, values in opened.items()},
            {name: int(values[s]) for name, values in again.items()},
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


def _opened(
    problem: PurchaseProblem, uncertainty: Uncertainty, bars: Mapping[str, np.ndarray], stream: np.random.Generator
) -> dict[str, np.ndarray]:
    """First month after a stop in which each offer is delivered again; offers of one chip that are stopped together share it.

    Equation:
        until = from + ceil(exponential of mean 12 / rate); with a chance within a year, rate = -ln(1 - chance).

    Sources:
        [derived].
    """
    found: dict[str, np.ndarray] = {}
    chips = {offer.id: offer.chip for offer in problem.offers}
    drawn: dict[str, np.ndarray] = {}
    for name, first in sorted(bars.items()):
        chain = uncertainty.chains.get(name)
        chance = min(chain.barred_to_open_per_year, 1.0 - 1e-9) if chain else 0.0
        rate = -math.log1p(-chance) if chain else uncertainty.return_per_year
        if rate <= 0.0:
            continue
        if chips[name] not in drawn:
            drawn[chips[name]] = stream.exponential(12.0, len(first))
        found[name] = np.where(first < FOREVER, first + np.ceil(drawn[chips[name]] / rate).astype(int), FOREVER)
    return found


def _again(
    problem: PurchaseProblem, uncertainty: Uncertainty, opened: Mapping[str, np.ndarray], stream: np.random.Generator
) -> dict[str, np.ndarray]:
    """First month of a second stop after each offer was let through again, at the rates of the first, the same for one chip.

    Equation:
        again = until + months that an open chain takes to be barred; with a rate, chance within a year = 1 - exp(-rate).

    Sources:
        [derived].
    """
    found: dict[str, np.ndarray] = {}
    chips = {offer.id: offer.chip for offer in problem.offers}
    drawn: dict[str, np.ndarray] = {}
    for name, until in sorted(opened.items()):
        if chips[name] not in drawn:
            drawn[chips[name]] = stream.random((len(until), problem.months))
        luck, chain = drawn[chips[name]], uncertainty.chains.get(name)
        rate = (uncertainty.bar_per_year or {}).get(name, 0.0)
        open_again = replace(chain, state="open") if chain else ExportChain(open_to_barred_per_year=-math.expm1(-rate))
        spell = _first_barred(open_again, problem.months, luck)
        found[name] = np.where((until < FOREVER) & (spell < FOREVER), until + spell, FOREVER)
    return found


def _barred(
    problem: PurchaseProblem, chains: Mapping[str, ExportChain], count: int, stream: np.random.Generator
) -> dict[str, np.ndarray]:
    """First month in which each offer is barred: a chain of states open, announced and barred, the same for one chip.

    Equation:
        chance in a month = 1 - (1 - chance in a year)**(1/12).

    Sources:
        [derived] from months that are alike and independent of each other.
    """
    found: dict[str, np.ndarray] = {}
    drawn: dict[tuple[str, ExportChain], np.ndarray] = {}
    chips = {offer.id: offer.chip for offer in problem.offers}
    for name, chain in sorted(chains.items()):
        key = (chips[name], chain)
        if key not in drawn:
            drawn[key] = _first_barred(chain, problem.months, stream.random((count, problem.months)))
        found[name] = drawn[key]
    return found


def _first_barred(chain: ExportChain, months: int, luck: np.ndarray) -> np.ndarray:
    def monthly(chance: float) -> float:
        return float(1.0 - (1.0 - chance) ** (1.0 / 12.0))

    first = np.full(len(luck), 0 if chain.state == "barred" else FOREVER)
    announced = np.full(len(luck), chain.state == "announced")
    to_bar = (monthly(chain.open_to_barred_per_year), monthly(chain.announced_to_barred_per_year))
    to_other = (monthly(chain.open_to_announced_per_year), monthly(chain.announced_to_open_per_year))
    for month in range(months):
        bar, other = np.where(announced, to_bar[1], to_bar[0]), np.where(announced, to_other[1], to_other[0])
        now = luck[:, month]
        first = np.where((first == FOREVER) & (now < bar), month + 1, first)
        announced = np.where((now >= bar) & (now < bar + other), ~announced, announced)
    return first


def _growth(sigma: float, months: int, count: int, stream: np.random.Generator) -> np.ndarray:
    steps = stream.normal(0.0, sigma / math.sqrt(12.0), (count, months)) if sigma > 0.0 else np.zeros((count, months))
    steps[:, 0] = 0.0
    path = np.exp(np.cumsum(steps, axis=1))
    return np.asarray(path / path.mean(axis=0))
