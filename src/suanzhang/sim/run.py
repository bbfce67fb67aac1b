"""A whole training run event by event: failures, lost work, restarts, checkpoints, and nodes in repair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from suanzhang.errors import InputError
from suanzhang.jit import formula

Floats = NDArray[np.float64]
_IN_REPAIR = 512
_MOST_DRAWS = 10_000_000
_ROUNDS = 8
"""How often a run may go through its random numbers before it counts as one that never ends."""


class RunArgs(NamedTuple):
    """One run as numbers.

    Fields: ``work_s`` time of all steps if nothing ever failed; ``interval_s`` work between two checkpoints; ``stall_s`` time
    that training stops for one; ``durable_s`` time after its start until it can be restored; ``mtbf_s`` mean time between
    failures of the whole job; ``restart_s`` from a failure until steps go on; ``hardware`` share of the failures that take a
    node out; ``repair_s`` mean time until such a node is back; ``spares`` nodes that stand by.
    """

    work_s: float
    interval_s: float
    stall_s: float
    durable_s: float
    mtbf_s: float
    restart_s: float
    hardware: float
    repair_s: float
    spares: float


@dataclass(frozen=True, slots=True)
class RunTimes:
    """What runs took, one value for each replication [s] (and failures as a number).

    Args:
        calendar_s: from start to end; the sum of work and all that follows.
        lost_s: work done again.
        checkpoint_s: stopped for checkpoints, those of lost work included.
        restart_s: restarting.
        wait_s: waiting for a node to come back from repair.
        failures: how many failures.
    """

    calendar_s: Floats
    lost_s: Floats
    checkpoint_s: Floats
    restart_s: Floats
    wait_s: Floats
    failures: Floats


@formula
def _one_run(args: RunArgs, gaps: Floats, kinds: Floats, repairs: Floats, out: Floats) -> int:
    """One run; 0 when it ended, 1 when the random numbers did first, over and over; ``out`` in the order of ``RunTimes``."""
    returns = np.empty(_IN_REPAIR)
    away = 0
    ready = args.spares
    now, done = 0.0, 0.0
    lost, saving, restarting, waiting = 0.0, 0.0, 0.0, 0.0
    cycle = args.interval_s + args.stall_s
    start = 0.0  # what is left of a restart when steps are to go on
    for failure in range(_ROUNDS * gaps.shape[0]):
        index = failure % gaps.shape[0]  # a rare run of many failures takes its numbers once more
        left = args.work_s - done
        saves = max(0.0, np.ceil(left / args.interval_s) - 1.0)
        gap = gaps[index] * args.mtbf_s
        if gap >= start + left + saves * args.stall_s:
            now += start + left + saves * args.stall_s
            out[0], out[1], out[2] = now, lost, saving + saves * args.stall_s
            out[3], out[4], out[5] = restarting + start, waiting, float(failure)
            return 0
        now += gap
        restarting += min(gap, start)
        ran = max(0.0, gap - start)
        cycles = np.floor(ran / cycle)
        since = ran - cycles * cycle
        kept = cycles
        if kept > 0.0 and since < args.durable_s - args.stall_s:
            kept -= 1.0  # the last one is not yet safe
        done += kept * args.interval_s
        saving += cycles * args.stall_s + max(0.0, since - args.interval_s)
        lost += (cycles - kept) * args.interval_s + min(since, args.interval_s)
        if kinds[index] < args.hardware:
            back = 0
            while back < away:
                if returns[back] <= now:
                    away -= 1
                    returns[back] = returns[away]
                    ready += 1.0
                else:
                    back += 1
            if away < _IN_REPAIR:
                returns[away] = now + repairs[index] * args.repair_s
                away += 1
            if ready >= 1.0:
                ready -= 1.0
            else:
                first = 0
                for other in range(1, away):
                    if returns[other] < returns[first]:
                        first = other
                waiting += max(0.0, returns[first] - now)
                now = max(now, returns[first])
                away -= 1
                returns[first] = returns[away]
        start = args.restart_s
    return 1


@formula
def _all_runs(args: Floats, gaps: Floats, kinds: Floats, repairs: Floats, out: Floats) -> int:
    for run in range(gaps.shape[0]):
        own = RunArgs(
            args[run, 0], args[run, 1], args[run, 2], args[run, 3], args[run, 4], args[run, 5], args[run, 6], args[run, 7],
            args[run, 8],
        )  # fmt: skip
        if _one_run(own, gaps[run], kinds[run], repairs[run], out[run]) > 0:
            return 1
    return 0


class Draws(NamedTuple):
    """Random numbers of many runs, the same for every setting that is compared: shape (replications, failures)."""

    gaps: Floats
    kinds: Floats
    repairs: Floats


def draws(replications: int, failures: float, seed: int) -> Draws:
    """Random numbers for so many runs with about so many failures.

    Args:
        replications: runs.
        failures: most failures that a run can be expected to have.
        seed: of the random numbers; three streams are spawned from it.

    Raises:
        InputError: they would not fit into memory.
    """
    count = int(1.5 * failures + 8.0 * failures**0.5 + 50.0)
    if replications * count > _MOST_DRAWS:
        raise InputError(
            f"run: about {failures:,.0f} failures in each of {replications} runs",
            fix="use fewer replications, or fewer failures",
        )
    streams = [np.random.Generator(np.random.SFC64(child)) for child in np.random.SeedSequence(seed).spawn(3)]
    shape = (replications, count)
    return Draws(streams[0].standard_exponential(shape), streams[1].random(shape), streams[2].standard_exponential(shape))


def simulate_runs(
    args: RunArgs, random: Draws, work_factors: Floats | None = None, rate_factors: Floats | None = None
) -> RunTimes:
    """Simulate many runs.

    Args:
        args: the run.
        random: random numbers, one row for each run.
        work_factors, rate_factors: of each run, its work over that of ``args``, and its rate of failures over the one there.

    Returns:
        Times of each run.

    Raises:
        InputError: failures come faster than the job can restart, so that it does not end.
    """
    runs = random.gaps.shape[0]
    if args.interval_s <= 0.0 or args.work_s <= 0.0 or args.mtbf_s <= 0.0:
        raise InputError("run: work, interval and time between failures must be positive", fix="give positive values")
    table = np.tile(np.asarray(args, dtype=np.float64), (runs, 1))
    if work_factors is not None:
        table[:, 0] *= work_factors
    if rate_factors is not None:
        table[:, 4] /= rate_factors
    out = np.zeros((runs, 6))
    if _all_runs(table, random.gaps, random.kinds, random.repairs, out):
        raise InputError(
            "run: failures come faster than the job restarts and saves; it does not end",
            fix="use fewer chips or faster restarts",
        )
    return RunTimes(*(out[:, column].copy() for column in range(6)))
