"""Whose cost is it: the plan's total divided over its trainings and services by the chip-months that they use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from suanzhang.spec.buy import BuyResult


def chip_months(bought: BuyResult) -> dict[str, dict[str, float]]:
    """Chip-months by demand and kind of chip."""
    used: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for run in bought.runs:
        used[run.demand][run.chip] += run.chips * run.months
    for share in bought.shares:
        if share.chip and share.chip != "waiting":
            used[share.demand][share.chip] += share.chips
    return {demand: dict(kinds) for demand, kinds in used.items()}


def cost_by_demand(bought: BuyResult, demands: tuple[str, ...]) -> dict[str, float]:
    """The total cost divided over demands; the parts sum to the total.

    What a kind of chip costs is divided by chip-months on it; waiting belongs to who waits; the rest (chips that
    nobody uses, tokens) by the cost so far.
    """
    used = chip_months(bought)
    by_chip: dict[str, float] = defaultdict(float)
    parts = dict.fromkeys(demands, 0.0)
    rest = 0.0
    for row in bought.schedule:
        if row.offer in parts and row.action == "wait":
            parts[row.offer] += row.cost.amount
        elif row.chip:
            by_chip[row.chip] += row.cost.amount
        else:
            rest += row.cost.amount
    for chip, cost in by_chip.items():
        total = sum(kinds.get(chip, 0.0) for kinds in used.values())
        if total <= 0.0:
            rest += cost
            continue
        for demand, kinds in used.items():
            parts[demand] += cost * kinds.get(chip, 0.0) / total
    return _with_rest(parts, rest)


def _with_rest(parts: Mapping[str, float], rest: float) -> dict[str, float]:
    weight = sum(abs(part) for part in parts.values())
    if weight <= 0.0:
        return {demand: rest / len(parts) for demand in parts}
    return {demand: part + rest * abs(part) / weight for demand, part in parts.items()}
