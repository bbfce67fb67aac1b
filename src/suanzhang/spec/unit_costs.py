"""What a unit of each job costs: all of them its part of one total over what it used and gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from suanzhang.spec.result import Interval, Money


@dataclass(frozen=True, slots=True)
class UnitCosts:
    """What one training or service costs by its units; ``cost`` of all jobs sums to the cost of the plan.

    Args:
        job: what the user calls it; "all" for the whole plan.
        kind: what it is; empty for the whole plan.
        team: who is charged; empty when not said.
        cost: its part of the plan's cost.
        chip_hours: chips that stand for it, times hours.
        per_chip_h: of one of them; None where it uses none.
        useful_flop: model FLOP of the training (what the model needs, nothing computed again); 0 for a service.
        per_useful_eflop: of 1e18 of them; None for a service.
        tokens: trained, or written in answers.
        per_mtoken: of a million of them.
        responses: answers given within the plan; 0 for a training.
        per_response: of one of them; None for a training.
        *_interval: our uncertainty, that of the part of the cost.
    """

    job: str
    kind: Literal["train", "serve", ""]
    team: str
    cost: Money
    chip_hours: float
    per_chip_h: Money | None = None
    useful_flop: float = 0.0
    per_useful_eflop: Money | None = None
    tokens: float = 0.0
    per_mtoken: Money | None = None
    responses: float = 0.0
    per_response: Money | None = None
    cost_interval: Interval | None = None
    per_chip_h_interval: Interval | None = None
    per_useful_eflop_interval: Interval | None = None
    per_mtoken_interval: Interval | None = None
    per_response_interval: Interval | None = None
