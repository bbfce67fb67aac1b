"""A purchase plan under many scenarios: 8 kinds of chip x 36 months x 200 scenarios, 5 job classes, whole lots.

``python -m benchmarks buy --json [--scenarios 200] [--cvar 0.0]``. ``solve_s`` is the main solve with the building of the
programme; drawing the scenarios and what planning with them is worth are not in it.
"""

from __future__ import annotations

import argparse
import resource
import time
from typing import Any

import numpy as np

from suanzhang.money.procurement.scenarios import Uncertainty, draw_scenarios
from suanzhang.money.procurement.solve import describe, solve_shape
from suanzhang.money.procurement.watch import Watch
from suanzhang.source import Quoted
from suanzhang.spec.buy import ChipCosts, Demand, Need, PurchaseProblem
from suanzhang.spec.market import LeadTime, Offer

KINDS, MONTHS, CLASSES = 8, 36, 5
_HOURS_TO_PAY = (14000.0, 26000.0)


def _offers(speed: np.ndarray, stream: np.random.Generator) -> tuple[Offer, ...]:
    found = []
    for k in range(KINDS):
        chip, price = f"chip{k}", 90000.0 * speed[k] * stream.uniform(0.8, 1.2)
        rent = price / stream.uniform(*_HOURS_TO_PAY)

        def quoted(value: float, unit: str) -> Quoted:
            return Quoted(value, unit, "benchmark", "assumed", "2026-11")

        wait = LeadTime(1.0 + k % 5, 2.0 + 2.0 * (k % 5), "benchmark", "assumed")
        soon, now = LeadTime(1.0, 2.0, "benchmark", "assumed"), LeadTime(0.0, 0.0, "benchmark", "assumed")
        found.append(
            Offer(f"buy{k}", "buy", chip, quoted(price, "CNY/chip"), False, 0, wait, None, 1500.0, 8 * (1 + k % 2 * 7), 8)
        )
        found.append(Offer(f"year{k}", "reserve", chip, quoted(0.65 * rent, "CNY/chip_h"), True, 12, soon, None, 400.0, 8, 8))
        found.append(Offer(f"rent{k}", "rent", chip, quoted(rent, "CNY/chip_h"), True, 0, now, 1500.0, 80.0, 8, 8))
    return tuple(found)


def problem(seed: int = 1) -> PurchaseProblem:
    """The purchase problem of the benchmark: four services and one training run over eight kinds of chip."""
    stream = np.random.default_rng(seed)
    speed = stream.uniform(0.5, 3.0, KINDS)
    offers = _offers(speed, stream)
    costs = {
        f"chip{k}": ChipCosts(
            f"chip{k}", 30000.0, 20000.0, 5000.0, 300.0, 150.0, 200.0, 50.0, 200.0, 550.0, 650.0, 0.65, 1.3,
            tuple(0.85 * 0.76 ** (month / 12.0) for month in range(MONTHS + 1)),
        )
        for k in range(KINDS)
    }  # fmt: skip
    demands = [
        Demand(
            f"service{d}", "serve",
            tuple(Need(f"chip{k}", base / speed[k] * stream.uniform(0.7, 1.4), stream.uniform(0.5, 1.0)) for k in range(KINDS)),
            level=tuple(1.03**month for month in range(MONTHS)), due_month=6, wait_price=base * 25000.0,
            growth_sigma_per_year=0.2,
        )
        for d, base in enumerate(stream.uniform(500.0, 4000.0, CLASSES - 1))
    ]  # fmt: skip
    options = tuple(Need(f"chip{k}", 1024.0, 1.0, 3.0 / speed[k]) for k in range(KINDS))
    demands.append(Demand("run", "train", options, first_month=2, due_month=12, wait_price=1e6))
    return PurchaseProblem(
        tuple(demands), offers, costs, MONTHS, "2026-11", "CNY", power_limit_w=8e6, price_change_per_year=-0.2,
        interest_per_year=0.06, gap=0.01, time_limit_s=60.0,
    )  # fmt: skip


def run(argv: list[str]) -> dict[str, Any]:
    """Solve it once (after a small one that compiles) and measure."""
    parser = argparse.ArgumentParser(prog="benchmarks buy")
    parser.add_argument("--scenarios", type=int, default=200)
    parser.add_argument("--cvar", type=float, default=0.0)
    arguments = parser.parse_args(argv)
    case = problem()
    case = PurchaseProblem(**{name: getattr(case, name) for name in case.__slots__} | {"cvar_weight": arguments.cvar})
    solve_shape(case, draw_scenarios(case, Uncertainty(0.35), 5, 7))
    few = draw_scenarios(case, Uncertainty(0.35), 20, 0)
    small = solve_shape(case, few, Watch(time.perf_counter))
    scenarios = draw_scenarios(case, Uncertainty(0.35), arguments.scenarios, 0)
    begin = time.perf_counter()
    solved = solve_shape(case, scenarios, Watch(time.perf_counter))
    wall = time.perf_counter() - begin
    plan = describe(solved)
    return {
        "chips": KINDS,
        "months": MONTHS,
        "scenarios": arguments.scenarios,
        "job_classes": CLASSES,
        "integers": int(len(solved.shape.orders) + len(solved.shape.starts)),
        "gap": solved.gap,
        "solve_s": wall,
        "solve_20_s": small.seconds,
        "gap_20": small.gap,
        "cost": plan.cost,
        "bound": solved.bound,
        "memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
