"""Fits the costs of frameworks of reinforcement learning to published steps."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from suanzhang.app.post_training import apart, colocated, post_train, rl_sides
from suanzhang.app.post_training_input import Asked, checked
from suanzhang.app.post_training_record import RlRun, asked_of
from suanzhang.app.post_training_sides import Rollout, Side, fetched, rollouts
from suanzhang.errors import InputError
from suanzhang.spec.post_training import RlCosts, RolloutSpec

GRID: dict[str, tuple[float, ...]] = {
    "spread_s": (0.0, 0.001, 0.002, 0.003, 0.004, 0.006, 0.008, 0.012),
    "token_s": (0.0, 1e-5, 2e-5, 3e-5, 4e-5, 6e-5, 8e-5, 1.2e-4),
    "dispatch_s": (0.0, 5e-4, 1e-3, 1.5e-3, 2e-3, 2.5e-3, 3e-3, 4e-3, 5e-3),
    "copy_bytes_per_s": (1e9, 1.5e9, 2e9, 3e9, 4e9, 6e9, 1e10, 2.5e10),
    "step_s": (0.0, 1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0),
}
"""Values that are tried: the runs tell no finer."""

FITTED = tuple(GRID)
START = {name: values[len(values) // 2] for name, values in GRID.items()}
"""Where every fit starts, so that no run that is left out has a say in it."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A published run with what no cost moves: its training side, and its rollout by the costs of the engine."""

    run: RlRun
    asked: Asked
    spec: RolloutSpec
    side: Side
    rollout: Callable[[float, float], Rollout]

    def step_s(self, costs: RlCosts) -> float:
        """Our step."""
        asked = replace(self.asked, costs=costs)
        side = replace(self.side, fetch_s=fetched(asked, self.side.estimate))
        rollout = self.rollout(costs.spread_s, costs.token_s)
        if self.run.rollout_chips:
            return apart(asked, self.spec, side, rollout, self.run.rollout_chips).step_s
        return colocated(asked, self.spec, side, rollout).step_s

    def off(self, costs: RlCosts) -> float:
        """Published over predicted."""
        return self.run.step_s / self.step_s(costs)


def prepared(run: RlRun) -> Prepared:
    """A run, looked up once.

    Raises:
        InputError: the run does not fit by our figures.
    """
    usual = {name: item.default for name, item in inspect.signature(post_train).parameters.items()}
    given = {**{name: usual[name] for name in inspect.signature(checked).parameters}, **asked_of(run)}
    asked = checked(**given)
    spec, there = asked.rollout, run.rollout_chips
    sides = rl_sides(asked, run.chips - there, spec) if spec else []
    if spec is None or not sides:
        raise InputError(f"{run.id} does not fit", fix="check its layout")

    @functools.cache
    def rollout(spread_s: float, token_s: float) -> Rollout:
        costs = replace(asked.costs, spread_s=spread_s, token_s=token_s)
        return rollouts(replace(asked, costs=costs), there or run.chips, spec, apart=there > 0)[0]

    return Prepared(run, asked, spec, sides[0], rollout)


def fitted(runs: Sequence[Prepared]) -> RlCosts:
    """Costs at which the logarithms of published over predicted steps are least in sum, one cost after another.

    Args:
        runs: to fit to.
    """
    best = replace(runs[0].asked.costs, **START)

    def loss(costs: RlCosts) -> float:
        return sum(abs(math.log(run.off(costs))) for run in runs)

    least = loss(best)
    while True:
        before = least
        for name, values in GRID.items():
            for value in values:
                tried = replace(best, **{name: value})
                off = loss(tried)
                if off < least - 1e-6:
                    best, least = tried, off
        if least > before - 1e-3:
            return best


def left_out(runs: Sequence[Prepared], kind: str = "model") -> tuple[float, ...]:
    """Published over predicted of each run with costs fitted to the runs of other models, or of other sources or chips."""
    found: dict[str, RlCosts] = {}
    for label in dict.fromkeys(getattr(run.run, kind) for run in runs):
        found[label] = fitted([run for run in runs if getattr(run.run, kind) != label])
    return tuple(run.off(found[getattr(run.run, kind)]) for run in runs)
