"""A decided plan in many futures: its orders and starts hold, all that is uncertain is drawn, recourse answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from suanzhang.money.procurement.form import SERVER_LINES, server_worth
from suanzhang.money.procurement.monthcell import Cell, cell_of
from suanzhang.money.procurement.orders import Floats
from suanzhang.money.procurement.outcome import Outcome, really_there, standing
from suanzhang.money.procurement.recourse import Recourse
from suanzhang.money.procurement.scenarios import MOST, Uncertainty, draw_scenarios
from suanzhang.money.procurement.shape import Shape, Start, build, may_wait
from suanzhang.money.procurement.solve import NOT_CASH, Solved
from suanzhang.money.procurement.totals import (
    holding_by_future,
    holding_lines,
    running_totals,
    scenario_totals,
    sold_lines,
)
from suanzhang.spec.buy import PurchaseProblem, Scenario
from suanzhang.spec.draws import two_piece_lognormal
from suanzhang.spec.result import Interval

BATCH = MOST
"""Futures of one batch: drawn with one seed, so that a batch comes out the same wherever and whenever it runs."""
_WHOLE = 1e-6


@dataclass(frozen=True, slots=True)
class Decided:
    """What a plan fixes for all futures: lots by offer and month, sales by chip and month, the starts of runs."""

    lots: Mapping[tuple[str, int], float]
    sales: Floats
    starts: tuple[Start, ...]

    @classmethod
    def of(cls, solved: Solved) -> Decided:
        """The decisions of a solved plan."""
        shape, outcome = solved.shape, solved.outcome
        lots = {
            (order.name, order.month): float(count)
            for order, count in zip(shape.orders, outcome.lots, strict=True)
            if count > 0.0
        }
        starts = tuple(start for start, taken in zip(shape.starts, outcome.starts, strict=True) if taken > 0.5)
        return cls(lots, outcome.sales, starts)


@dataclass(frozen=True, slots=True)
class Draws:
    """One batch: figures by future, lists that JSON can hold."""

    cost: list[float]
    cash: list[float]
    met: dict[str, list[float]]
    short_months: dict[str, list[int]]
    ends: dict[str, list[float]]
    lacking: dict[str, list[bool]]
    drawn: dict[str, list[float]]


def draw_batch(
    problem: PurchaseProblem,
    decided: Decided,
    uncertainty: Uncertainty,
    physics: Mapping[str, Interval],
    seed: int,
    index: int,
    count: int = BATCH,
) -> Draws:
    """One batch of futures for a decided plan, or its first ones.

    Model:
        Prices, rents, deliveries, export state and growth as in :func:`draw_scenarios`; by demand, the chips that a
        service really takes and the time that a run really takes over the predicted ones. Orders, sales and starts hold;
        what is rented by the hour, which tokens are bought and what waits is decided anew in each future and month.

    Args:
        problem: demands, offers and limits.
        decided: what holds.
        uncertainty: spreads of prices, regimes and export rules.
        physics: by demand, true over predicted chips or time.
        seed: of all batches.
        index: of this one.
        count: how many of its futures; the others are drawn, so that these are the same, and left out.

    Returns:
        Cost, cash, what is met, when runs end and what was drawn, by future.

    Raises:
        SolverError: a month has no answer.

    Equation:
        cost = orders + running + recourse, without the price of what is late after its date.

    Validity:
        The growth of a run's time moves its end; the chips that it holds then stand in nobody else's way on paper only
        when they are there, so that what it lacks is counted.

    Sources:
        [derived] with common random numbers: batch ``i`` of a seed is the same for every plan of a question.

    Example:
        Used by ``buy(..., monte_carlo=1000)``.
    """
    mixed = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
    futures = draw_scenarios(problem, uncertainty, BATCH, mixed)
    stream = np.random.default_rng([seed, index, 1])
    taken = {
        name: two_piece_lognormal(spread, stream.standard_normal(BATCH))[:count] for name, spread in sorted(physics.items())
    }
    futures = tuple(replace(future, weight=1.0 / count) for future in futures[:count])
    drawn = {f"true over predicted: {name}": factors.tolist() for name, factors in taken.items()}
    drawn |= _paths(problem, futures, decided)
    futures = tuple(_grown(problem, future, taken, s) for s, future in enumerate(futures))
    shape = build(problem, futures, lateness_priced=True, decided=decided.lots)
    cell = cell_of(shape)
    lots = np.array([decided.lots.get((order.name, order.month), 0.0) for order in shape.orders])
    site, hosted = standing(shape, lots, decided.sales)
    site = really_there(shape, site)
    held, work, ends = _runs(shape, decided, taken)
    answer = Recourse(shape, cell).answer(site, hosted, held, work)
    outcome = Outcome(lots, np.zeros(len(shape.starts)), decided.sales, site, hosted, answer.columns)
    cost, cash = _amounts(shape, cell, outcome, decided)
    late = answer.columns[:, :, cell.wait : cell.hours]
    met, short = _met(shape, late)
    lack = answer.columns[:, :, cell.lacking : cell.taken] > _WHOLE
    lacking = {}
    for start in decided.starts:
        k, name = shape.chips.index(start.need.chip), shape.runs[start.demand].name
        lacks: list[bool] = np.any(lack[:, :, k] & (held[:, k, :] > 0.0), axis=1).tolist()
        lacking[name] = lacks
    return Draws(cost.tolist(), cash.tolist(), met, short, ends, lacking, drawn)


def _grown(problem: PurchaseProblem, future: Scenario, taken: Mapping[str, Floats], s: int) -> Scenario:
    """A future in which each service takes as many more chips as its physics was drawn wrong."""
    growth = dict(future.growth)
    for demand in problem.demands:
        if demand.kind == "serve" and demand.name in taken:
            path = np.array(growth.get(demand.name, np.ones(problem.months))) * float(taken[demand.name][s])
            growth[demand.name] = tuple(path.tolist())
    return replace(future, growth=growth)


def _runs(shape: Shape, decided: Decided, taken: Mapping[str, Floats]) -> tuple[Floats, Floats, dict[str, list[float]]]:
    """Chips that runs hold and work with by future, chip and month, and the month in which each run ends."""
    held = np.zeros((shape.count, len(shape.chips), shape.months))
    work = np.zeros_like(held)
    ends = {}
    months = np.arange(shape.months)[None, :]
    for start in decided.starts:
        name, k = shape.runs[start.demand].name, shape.chips.index(start.need.chip)
        length = start.need.months * np.asarray(taken.get(name, np.ones(shape.count)))
        share = np.clip(start.month + length[:, None] - months, 0.0, 1.0) * (months >= start.month)
        held[:, k, :] += start.need.chips * (share > _WHOLE)
        work[:, k, :] += start.need.chips * start.need.busy * share
        ends[name] = (start.month + length).tolist()
    return held, work, ends


def _amounts(shape: Shape, cell: Cell, outcome: Outcome, decided: Decided) -> tuple[Floats, Floats]:
    """Cost and cash by future; what is late after its date has no price in either."""
    waits = outcome.cells[:, :, cell.wait : cell.hours]
    late = np.einsum("std,sdt->s", waits, shape.wait_cost)
    lacking = shape.lacking_cost * outcome.cells[:, :, cell.lacking : cell.taken].sum(axis=(1, 2))
    mean_held = sum(sum(holding_lines(shape, k).values()) for k in range(len(shape.chips)))
    bare = replace(outcome, sales=np.zeros_like(outcome.sales))
    paid_and_owed = scenario_totals(shape, cell, bare) - late - lacking - mean_held
    owed = np.zeros(shape.count)
    for j, order in enumerate(shape.orders):
        if outcome.lots[j] > 0.0:
            owed += outcome.lots[j] * sum(amounts for name, amounts in order.lines if name in NOT_CASH)
    owed -= (1.0 - shape.keep) * running_totals(shape, cell, bare)
    cash = paid_and_owed - owed
    rate = shape.problem.interest_per_year / 12.0
    for k in range(len(shape.chips)):
        server = server_worth(shape, k)
        worth = shape.resale[:, k, :] + server
        owed += shape.keep * np.sum(list(holding_by_future(shape, k).values()), axis=0)
        for month in np.flatnonzero(outcome.sales[k]):
            sold = outcome.sales[k, month]
            lines = sold_lines(shape, outcome, k, int(month), rate)
            younger = -sum(lines[name] for name in SERVER_LINES) - server[month + 1]
            income = worth[:, month + 1] + younger
            cash -= sold * income
            later = sold * (worth[:, -1] + younger - rate * worth[:, month + 1 : shape.months].sum(axis=1))
            owed += shape.keep * later + (1.0 - shape.keep) * sold * income
    early = np.array([[may_wait(demand, t) for t in range(shape.months)] for demand in shape.services], dtype=bool)
    early = shape.wait_cost * early.reshape(len(shape.services), shape.months)
    waiting = np.einsum("std,sdt->s", waits, early) + sum(start.wait_cost for start in decided.starts)
    return cash + owed + waiting, cash


def _met(shape: Shape, late: Floats) -> tuple[dict[str, list[float]], dict[str, list[int]]]:
    """By service: the share of its demand that is met over the months that it is due; the months in which it is not."""
    met, short = {}, {}
    for d, demand in enumerate(shape.services):
        due = np.array([not may_wait(demand, t) for t in range(shape.months)])
        level, missing = shape.level[:, d, :] * due, late[:, :, d] * due
        whole = np.maximum(level.sum(axis=1), 1e-12)
        met[demand.name] = np.clip(1.0 - missing.sum(axis=1) / whole, 0.0, 1.0).tolist()
        short[demand.name] = (missing > 1e-4 * np.maximum(level, 1e-12)).sum(axis=0).tolist()
    return met, short


def _paths(problem: PurchaseProblem, futures: tuple[Scenario, ...], decided: Decided) -> dict[str, list[float]]:
    """What was drawn for each future in one figure each: prices, rents, deliveries and growth."""
    found: dict[str, list[float]] = {}
    used = {offer for offer, _ in decided.lots}
    if futures and futures[0].price:
        found["purchase prices"] = [float(np.mean([np.mean(path) for path in f.price.values()])) for f in futures]
    if futures and futures[0].rent:
        found["rents"] = [float(np.mean([np.mean(path) for path in f.rent.values()])) for f in futures]
    if any(f.delay_months.get(name) for f in futures for name in used):
        found["delivery"] = [float(np.mean([f.delay_months.get(name, 0) for name in used])) for f in futures]
    if any(f.barred_from for f in futures):
        found["first month of an export stop"] = [float(min(f.barred_from.values(), default=0)) for f in futures]
    for demand in problem.demands:
        if demand.growth_sigma_per_year > 0.0:
            found[f"growth of {demand.name}"] = [float(np.mean(f.growth.get(demand.name, (1.0,)))) for f in futures]
    return found
