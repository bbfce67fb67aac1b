"""A plan in each of its scenarios: what it costs, what was uncertain, and what it then rents and lets wait."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from suanzhang.money.procurement.outcome import rented_chips
from suanzhang.money.procurement.solve import Solved
from suanzhang.money.procurement.totals import scenario_totals
from suanzhang.spec.buy_worth import Outcome
from suanzhang.spec.result import Money


def scenario_outcomes(solved: Solved) -> tuple[Outcome, ...]:
    """One line for each scenario, in their order."""
    shape, cell, outcome = solved.shape, solved.cell, solved.outcome
    problem = shape.problem
    totals = scenario_totals(shape, cell, outcome)
    ordered = [j for j in range(len(shape.orders)) if outcome.lots[j] > 0.0]
    rented = rented_chips(cell, outcome).sum(axis=(1, 2))
    waits = outcome.cells[:, :, cell.wait : cell.hours]
    wanted = np.maximum((shape.level > 0.0).sum(axis=(1, 2)), 1)
    found = []
    for s, scenario in enumerate(shape.scenarios):
        delays = [int(shape.orders[j].arrival[s]) - shape.orders[j].month for j in ordered]
        delays = [delay for delay in delays if delay <= 120]
        found.append(
            Outcome(
                s + 1,
                float(shape.weights[s]),
                Money(round(float(totals[s]), 2), problem.currency, problem.start),
                _later_half(scenario.price, problem.months),
                _later_half(scenario.rent, problem.months),
                float(np.mean(delays)) if delays else 0.0,
                float(np.mean([np.mean(path) for path in scenario.growth.values()])) if scenario.growth else 1.0,
                float(rented[s]),
                float(waits[s].sum() / wanted[s]),
            )
        )
    return tuple(found)


def _later_half(paths: Mapping[str, tuple[float, ...]], months: int) -> float:
    return float(np.mean([np.mean(path[months // 2 :]) for path in paths.values()])) if paths else 1.0
