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


def token_shares(bought: BuyResult, mtokens: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Share of each month's bought tokens by demand; ``mtokens`` says how many million each takes a month at level 1."""
    weight: dict[str, dict[str, float]] = defaultdict(dict)
    for share in bought.shares:
        if not share.chip and mtokens.get(share.demand, 0.0) > 0.0:
            weight[share.month][share.demand] = share.share * mtokens[share.demand]
    return {month: {name: part / sum(parts.values()) for name, part in parts.items()} for month, parts in weight.items()}


def cost_by_demand(bought: BuyResult, mtokens: Mapping[str, float]) -> dict[str, float]:
    """The total cost divided over demands; the parts sum to the total.

    What a kind of chip costs is divided by chip-months on it; waiting belongs to who waits, tokens to the services
    that they answer; the rest (chips that nobody uses) by the cost so far.

    Args:
        bought: the schedule.
        mtokens: every demand with the million output tokens that it takes a month at level 1, for offers of tokens.
    """
    used, tokens = chip_months(bought), token_shares(bought, mtokens)
    by_chip: dict[str, float] = defaultdict(float)
    parts = dict.fromkeys(mtokens, 0.0)
    rest = 0.0
    for row in bought.schedule:
        if row.offer in parts and row.action == "wait":
            parts[row.offer] += row.cost.amount
        elif row.action == "api" and row.month in tokens:
            for name, share in tokens[row.month].items():
                parts[name] += share * row.cost.amount
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
