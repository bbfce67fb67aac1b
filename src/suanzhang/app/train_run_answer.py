"""The answer of ``goodput``: goodput by setting, the run at what is known best, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from suanzhang.app.header import header
from suanzhang.app.train_model import Packed
from suanzhang.app.train_spread import RATES, STORE_SPREAD, around
from suanzhang.app.train_weak import Given, weak_run
from suanzhang.perf.goodput import RESTART_S
from suanzhang.sim.run import Draws, RunArgs, simulate_runs
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.draws import interval_of, stratified_normal, two_piece_lognormal
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.result import Interval, Term
from suanzhang.spec.stack import TrainStack
from suanzhang.spec.train import TrainEstimate
from suanzhang.spec.train_run import RunResult, Setting, WarmUp
from suanzhang.units import DAY_S

REPAIR_S = DAY_S
"""Mean time until a node is back, when none is given."""
_FACTORS = (0.25, 0.35, 0.5, 0.71, 1.0, 1.41, 2.0, 2.83, 4.0)
_ENOUGH = 1.001
_STORE = Interval(1.0 / STORE_SPREAD, 1.0, STORE_SPREAD)
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Planned:
    """The steps of the run: what is trained, how, and how long that takes if nothing fails."""

    job: TrainJob
    chip: ChipSpec
    stack: TrainStack
    packed: Packed
    layout: TrainLayout
    estimate: TrainEstimate
    phases: tuple[WarmUp, ...]
    factors: Interval
    stragglers: float
    pauses: float

    @property
    def work_s(self) -> float:
        """Time of all steps and pauses."""
        return sum(phase.days for phase in self.phases) * DAY_S * (1.0 + self.stragglers) * (1.0 + self.pauses)


@dataclass(frozen=True, slots=True)
class Chance:
    """What is drawn once for all settings: chance in a run, step time and rate of failures over the predicted ones."""

    random: Draws
    time: Floats
    rates: Floats
    store: Floats

    @classmethod
    def of(cls, random: Draws, factors: Interval, seed: int) -> Chance:
        """The draws of a seed: quantiles in a random order, so that few runs have the percentiles of each factor too."""
        stream = np.random.Generator(np.random.SFC64(np.random.SeedSequence(entropy=seed, spawn_key=(7,))))
        count = random.gaps.shape[0]
        time, rates, store = (np.clip(stratified_normal(stream, count), -2.5, 2.5) for _ in range(3))
        return cls(
            random,
            two_piece_lognormal(factors, time),
            two_piece_lognormal(RATES, rates),
            two_piece_lognormal(_STORE, store),
        )


class Found(NamedTuple):
    """What the search over settings found.

    Args:
        args: the run at what was chosen.
        rate: failures per chip and day, and where they were published.
        young: best interval by the formula.
        best: best interval by simulation.
        intervals, spares: goodput by setting.
    """

    args: RunArgs
    rate: tuple[float, str]
    young: float
    best: float
    intervals: tuple[Setting, ...]
    spares: tuple[Setting, ...]


class Settings:
    """Goodput by what can be chosen, on the same random numbers."""

    def __init__(self, args: RunArgs, chance: Chance) -> None:
        self._args, self._chance = args, chance

    def _useful(self, args: RunArgs) -> tuple[float, Interval]:
        """Useful share, and its interval over step time, rate of failures and chance."""
        chance = self._chance
        mean = float(args.work_s / simulate_runs(args, chance.random).calendar_s.mean())
        spread = simulate_runs(args, chance.random, chance.time, chance.rates)
        return mean, around(mean, chance.time * args.work_s / spread.calendar_s)

    def intervals(self, middle: float, least: float) -> tuple[Setting, ...]:
        """Intervals between checkpoints round that of the formula, none shorter than the storage allows."""
        found = []
        for value in dict.fromkeys(max(least, factor * middle) for factor in _FACTORS):
            args = self._args._replace(interval_s=value)
            useful, span = self._useful(args)
            formula = closed(args)
            found.append(Setting(value, useful, formula, "s", span, around(formula, closed(args, self._chance.rates))))
        return tuple(found)

    def spares(self, nodes: int, given: int) -> tuple[float, tuple[Setting, ...]]:
        """Spare nodes: the fewest that lose no more than a thousandth against the most, and what each number gives."""
        away = self._args.hardware * self._args.repair_s / self._args.mtbf_s
        most = max(4, math.ceil(away + 4.0 * math.sqrt(away) + 2.0))
        numbers = sorted({0, 1, 2, *[math.ceil(most * share) for share in (0.25, 0.4, 0.55, 0.7, 0.85, 1.0)]})
        if given >= 0:
            numbers = sorted({*numbers, given})
        shares = [self._useful(self._args._replace(spares=float(number))) for number in numbers]
        found = tuple(
            Setting(float(number), useful, 0.0, "nodes", span) for number, (useful, span) in zip(numbers, shares, strict=True)
        )
        best = max(setting.goodput_fraction for setting in found)
        enough = min(setting.value for setting in found if setting.goodput_fraction * _ENOUGH >= best)
        return (float(given) if given >= 0 else enough), found


@overload
def closed(args: RunArgs) -> float: ...
@overload
def closed(args: RunArgs, rates: Floats) -> Floats: ...
def closed(args: RunArgs, rates: Floats | None = None) -> float | Floats:
    """Goodput at an interval by the closed formula, tau / (tau + C) x M / (M + R + tau / 2), at other rates too."""
    kept = args.interval_s / (args.interval_s + args.stall_s)
    mtbf = args.mtbf_s if rates is None else args.mtbf_s / rates
    return kept * mtbf / (mtbf + args.restart_s + 0.5 * args.interval_s)


def _usual(args: RunArgs) -> frozenset[str]:
    """Parts of the calendar time that rest on a usual value rather than a given one."""
    usual = {"restarts": args.restart_s == RESTART_S, "waiting for repairs": args.repair_s == REPAIR_S, "checkpoints": True}
    return frozenset(name for name, taken in usual.items() if taken)


def run_result(planned: Planned, found: Found, chance: Chance, seed: int, notes: tuple[str, ...], given: Given) -> RunResult:
    """The run at what is known best, and its interval over step time, rate of failures and chance."""
    args, step = found.args, planned.estimate.step_s
    middle = simulate_runs(args, chance.random)
    spread = simulate_runs(args, chance.random, chance.time, chance.rates)
    calendar = float(middle.calendar_s.mean())
    useful = sum(phase.days for phase in planned.phases) * DAY_S
    slow = useful * planned.stragglers
    pauses = (useful + slow) * planned.pauses
    parts: dict[str, tuple[float, Floats]] = {
        "steps": (useful, chance.time * useful),
        "slow nodes": (slow, chance.time * slow),
        "evaluation": (pauses, chance.time * pauses),
        "work done again": (float(middle.lost_s.mean()), spread.lost_s),
        "checkpoints": (float(middle.checkpoint_s.mean()), spread.checkpoint_s * chance.store),
        "restarts": (float(middle.restart_s.mean()), spread.restart_s),
        "waiting for repairs": (float(middle.wait_s.mean()), spread.wait_s),
    }
    terms = tuple(
        Term(name, value, "s", "suanzhang.sim.run.simulate_runs", value_interval=around(value, drawn))
        for name, (value, drawn) in parts.items()
        if value > 0.0
    )
    best = np.sqrt(chance.store / chance.rates)
    formula = useful / args.work_s * closed(args)
    return RunResult(
        header=header(seed), model=planned.job.model.id, chip=planned.chip.id, stack=planned.stack.id,
        chips=planned.layout.chips, spares=int(args.spares),
        nodes=math.ceil(planned.layout.chips / max(1, planned.chip.node.chips)),
        layout=planned.layout, step_s=step, warm_up=planned.phases, failures_per_chip_day=found.rate[0],
        rate_source=found.rate[1], mtbf_s=args.mtbf_s, failures=float(middle.failures.mean()),
        failures_interval=interval_of(spread.failures), checkpoint_stall_s=args.stall_s, checkpoint_durable_s=args.durable_s,
        interval_s=args.interval_s, young_s=found.young, simulated_best_s=found.best, intervals=found.intervals,
        spare_settings=found.spares,
        goodput_fraction=useful / calendar, goodput_fraction_interval=interval_of(chance.time * useful / spread.calendar_s),
        formula_fraction=formula, days=calendar / DAY_S,
        days_interval=interval_of(spread.calendar_s / DAY_S),
        terms=terms, replications=chance.random.gaps.shape[0], warnings=notes,
        sources=(planned.stack.source, planned.job.model.source),
        step_s_interval=planned.factors.scaled(step), mtbf_s_interval=around(args.mtbf_s, args.mtbf_s / chance.rates),
        checkpoint_stall_s_interval=_STORE.scaled(args.stall_s), checkpoint_durable_s_interval=_STORE.scaled(args.durable_s),
        young_s_interval=around(found.young, found.young * best),
        simulated_best_s_interval=around(found.best, found.best * best),
        formula_fraction_interval=around(formula, useful / args.work_s * closed(args, chance.rates)),
        weak_inputs=weak_run(planned.job, planned.chip, planned.stack, planned.estimate, terms, given, _usual(args)),
    )  # fmt: skip
