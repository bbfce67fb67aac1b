"""Fast fit of the serving coefficients: derivatives of every published run once, then small linear systems.

A run depends on a dozen coefficients: those of its engine family and of its engine generation. Their effect on its rates
and latencies is taken by differences at the fit to all runs; leaving a source out then needs no new derivatives, only new
residuals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from suanzhang.app.serve_args import batch_rules, engine_args, op_args, shape_args, slowed
from suanzhang.app.serve_estimate import serve_memory, traffic_of
from suanzhang.errors import PlannerError
from suanzhang.perf.serving.args import IterationArgs
from suanzhang.perf.serving.rounds import first_token_s, token_s
from suanzhang.perf.serving.steady import closed_loop, open_loop, static_batch
from suanzhang.spec.serve import ClosedLoop, OpenLoop, ServeCoefficients, StaticBatch

Floats = NDArray[np.float64]

FAMILY_GROUPS = ("matmul", "experts", "compute", "attention", "cache16", "memory", "collective")
STACK_GROUPS = ("host", "front")
GROUPS = FAMILY_GROUPS + STACK_GROUPS

_SIGMA = {
    "matmul": 0.25,
    "experts": 0.25,
    "compute": 0.25,
    "attention": 0.25,
    "cache16": 0.25,
    "memory": 0.4,
    "collective": 0.4,
    "host": 0.7,
    "front": 0.7,
}
"""Spread of the logarithm of a coefficient before any run is seen [assumed]: achieved over isolated is near one."""
_LEVELS = {0: 2.5, 1: 0.8, 2: 0.5}
"""Spread of all engines together, of an engine about them, and of a generation about its engine, over that of the group: what
all engines share is told by all sources, so that little need be assumed about it."""
_ALIKE = 0.35
"""Spread of an engine about all engines for times of the host, which belong to a generation more than to an engine."""
_HUBER = 0.15
"""Log error beyond which a run counts linearly and not squared, so that a few odd runs do not bend the fit."""
_NOISE2 = 0.15
"""Weight of the spreads above against the runs: the variance of the logarithm of a figure about a right model (14 %), times
the figures of a source that err together (its sweeps share a host, a build and a clock) [assumed; with less, a source that is
left out is predicted worse, and removing one moves the others]."""
_STEP = 0.06
_GAIN = 1e-5
"""Gain of a round, over the loss, below which the fit has come to rest."""
_LEAST_SHARE = 0.02
_FOLD_ROUNDS = 2
_FULL = 1e7
_SATURATED = 0.8
"""Load of an open loop beyond which its latencies tell the distance to the capacity more than the time of any kernel; its rate
is that of the arrivals."""

Key = tuple[str, str]


def keys_of(group: str, family: str, stack: str) -> tuple[Key, ...]:
    """The levels whose logarithms add up to a coefficient of an engine generation."""
    levels: tuple[Key, ...] = ((group, "*"), (group, family))
    return (*levels, (group, stack)) if group in STACK_GROUPS else levels


@dataclass(frozen=True, slots=True)
class Run:
    """A published run, ready to be predicted with any coefficients.

    Args:
        source: it is left out with.
        family, stack: engine and its generation.
        weight: of the row beside others.
        predict: from coefficients to the logarithms of predicted over measured.
    """

    source: str
    family: str
    stack: str
    weight: float
    predict: Callable[[Mapping[str, float]], Floats]


def prepare(source: str, case: object, weight: float = 1.0) -> Run | None:
    """A run with everything done that does not depend on the coefficients; None when it cannot be predicted."""
    c: "FitCase" = case  # type: ignore[name-defined,assignment]  # noqa: F821, UP037
    w, stack = c.workload, c.stack
    if isinstance(w, ClosedLoop) and w.split is not None:
        return None
    measured = c.measured
    isl, osl = (w.input.mean, w.output.mean) if isinstance(w, OpenLoop) else (w.isl, w.osl)
    try:
        ops, _ = op_args(c.model, c.chip, c.weight_dtype, stack, c.layout.tp * c.layout.dp, c.kv_dtype or "bf16")
        memory = serve_memory(c.model, c.chip, c.layout, stack, c.weight_dtype, c.kv_dtype or "bf16", w)
    except PlannerError:
        return None
    traffic = traffic_of(w) if isinstance(w, OpenLoop) else None
    rules, _ = batch_rules(stack, memory, c.layout, isl, osl, traffic.isl_cv2 if traffic else 0.0)
    shape = shape_args(c.model, c.kv_dtype or "bf16")
    base = engine_args(c.model, c.chip, c.layout, stack, ServeCoefficients(), c.weight_dtype, c.kv_dtype or "bf16")
    wide = shape.kv_bytes >= 2.0
    wanted = [name for name in ("output_tokens_per_s", "tpot_s", "ttft_s", "e2e_s") if measured.get(name, 0.0) > 0.0]
    if isinstance(w, StaticBatch) and "e2e_s" in wanted and "output_tokens_per_s" in wanted:
        wanted.remove("e2e_s")
    if isinstance(w, ClosedLoop) and w.requests <= 0.0 and "ttft_s" in wanted and w.concurrency > rules.limit:
        wanted.remove("ttft_s")
    if traffic is not None:
        full = closed_loop(_FULL, isl, osl, rules, IterationArgs(shape, base, ops)).requests_per_s
        if isinstance(w, OpenLoop) and w.requests_per_s > _SATURATED * full:
            wanted = []
    if not wanted:
        return None
    goal = np.log([measured[name] for name in wanted])

    def predict(v: Mapping[str, float]) -> Floats:
        e = base._replace(
            host_s=base.host_s * v["host"],
            host_per_seq_s=base.host_per_seq_s * v["host"],
            launch_s=base.launch_s * v["host"],
            matmul=v["matmul"],
            experts=v["experts"],
            attention=v["attention"],
            cache_reads=v["cache16"] if wide else 1.0,
            memory=v["memory"],
            collective=v["collective"],
        )
        args = IterationArgs(shape, e, slowed(ops, v["compute"]))
        front = v["front"]
        r = rules._replace(
            front_s=rules.front_s * front, front_per_seq_s=rules.front_per_seq_s * front, call_s=rules.call_s * front
        )
        if isinstance(w, StaticBatch):
            s = static_batch(float(w.batch), isl, osl, args)
            ttft, tpot = s.ttft_s + r.call_s, s.tpot_s
        elif isinstance(w, ClosedLoop):
            s = closed_loop(w.concurrency, isl, osl, r, args)
            sent = w.requests if w.together else 0.0
            ttft = first_token_s(s, w.concurrency, sent, isl, osl, w.spread, r, args)
            tpot = token_s(s, w.concurrency, sent, isl, osl, r, args)
        else:
            assert traffic is not None
            full = closed_loop(_FULL, isl, osl, r, args)
            s = open_loop(w.requests_per_s, full.requests_per_s, traffic, r, args)
            if s.stable == 0.0:
                s = full
            ttft, tpot = s.ttft_s, s.tpot_s
        found = {
            "output_tokens_per_s": s.requests_per_s * osl * c.replicas,
            "tpot_s": tpot,
            "ttft_s": ttft,
            "e2e_s": ttft + tpot * (osl - 1.0),
        }
        return np.log([found[name] for name in wanted]) - goal

    return Run(source, stack.engine, stack.id, weight, predict)


@dataclass(frozen=True, slots=True)
class System:
    """All runs together: which coefficients they depend on, and how much each figure counts."""

    runs: tuple[Run, ...]
    keys: tuple[Key, ...]
    sigma: Floats
    weight: Floats
    owner: NDArray[np.int64]
    sources: NDArray[np.str_]


def _spread(group: str, level: int) -> float:
    alike = level == 1 and group in STACK_GROUPS
    return _SIGMA[group] * (_ALIKE if alike else _LEVELS[level])


def system_of(runs: Sequence[Run]) -> System:
    """Gather runs; each source counts with the square root of its rows, each row once however many figures it has."""
    levels: dict[Key, int] = {}
    for run in runs:
        for group in GROUPS:
            for level, key in enumerate(keys_of(group, run.family, run.stack)):
                levels.setdefault(key, level)
    keys = tuple(sorted(levels))
    sigma = np.array([_spread(group, levels[group, name]) for group, name in keys])
    totals: dict[str, float] = {}
    for run in runs:
        totals[run.source] = totals.get(run.source, 0.0) + 1.0
    zero = dict.fromkeys(GROUPS, 1.0)
    weight, owner = [], []
    for index, run in enumerate(runs):
        n = len(run.predict(zero))
        weight += [run.weight / math.sqrt(totals[run.source]) / n] * n
        owner += [index] * n
    owners = np.array(owner, dtype=np.int64)
    names = np.array([run.source for run in runs])
    return System(tuple(runs), keys, sigma, np.array(weight), owners, names[owners])


def _values(run: Run, place: Mapping[Key, int], theta: Floats) -> dict[str, float]:
    return {
        group: math.exp(sum(theta[place[key]] for key in keys_of(group, run.family, run.stack) if key in place))
        for group in GROUPS
    }


def residuals(system: System, theta: Floats) -> Floats:
    """Logarithm of predicted over measured of every figure."""
    place = {key: i for i, key in enumerate(system.keys)}
    return np.concatenate([run.predict(_values(run, place, theta)) for run in system.runs])


def jacobian(system: System, theta: Floats, base: Floats) -> Floats:
    """How the residuals move with the logarithm of each coefficient."""
    place = {key: i for i, key in enumerate(system.keys)}
    result = np.zeros((len(base), len(system.keys)))
    start = 0
    for run in system.runs:
        now = _values(run, place, theta)
        rows = int(run.predict(now).size)
        for group in GROUPS:
            moved = run.predict({**now, group: now[group] * math.exp(_STEP)})
            slope = (moved - base[start : start + rows]) / _STEP
            for key in keys_of(group, run.family, run.stack):
                result[start : start + rows, place[key]] = slope
        start += rows
    return result


def _loss(r: Floats, weight: Floats, theta: Floats, sigma: Floats) -> float:
    size = np.abs(r)
    each = np.where(size <= _HUBER, 0.5 * size**2, _HUBER * (size - 0.5 * _HUBER))
    return float(np.sum(weight * each) + 0.5 * _NOISE2 * np.sum((theta / sigma) ** 2))


def _solve(system: System, slopes: Floats, r: Floats, theta: Floats, weight: Floats) -> Floats:
    """Minimum of the loss with residuals taken as linear about ``theta``, by reweighted least squares."""
    now: Floats = theta.copy()
    ridge = _NOISE2 / system.sigma**2
    for _ in range(12):
        here = r + slopes @ (now - theta)
        scale = weight * np.minimum(_HUBER / np.maximum(np.abs(here), 1e-9), 1.0)
        matrix = slopes.T @ (scale[:, None] * slopes) + np.diag(ridge)
        right = slopes.T @ (scale * (slopes @ theta - r))
        following: Floats = np.asarray(np.linalg.solve(matrix, right), dtype=np.float64)
        if np.max(np.abs(following - now)) < 1e-4:
            return following
        now = following
    return now


def _clip(theta: Floats) -> Floats:
    return np.clip(theta, -1.4, 1.4)


def solve_all(system: System, rounds: int = 12, start: Floats | None = None) -> tuple[Floats, Floats, Floats]:
    """Coefficients fitted to every run: their logarithms, the residuals and the derivatives there."""
    theta = np.zeros(len(system.keys)) if start is None else start
    r = residuals(system, theta)
    slopes = jacobian(system, theta, r)
    for _ in range(rounds):
        before = _loss(r, system.weight, theta, system.sigma)
        moved, theta, r = _step(system, slopes, theta, r, system.weight)
        if not moved:
            break
        slopes = jacobian(system, theta, r)
        if before - _loss(r, system.weight, theta, system.sigma) < _GAIN * before:
            break
    return theta, r, slopes


def _step(system: System, slopes: Floats, theta: Floats, r: Floats, weight: Floats) -> tuple[bool, Floats, Floats]:
    """One round: towards the minimum of the linear problem, by the largest of some shares that lowers the loss.

    Kinks, where a launch or a limit takes over, cut steps short.
    """
    value = _loss(r, weight, theta, system.sigma)
    target = _clip(_solve(system, slopes, r, theta, weight))
    share = 1.0
    while share > _LEAST_SHARE:
        trial = theta + share * (target - theta)
        trial_r = residuals(system, trial)
        if _loss(trial_r, weight, trial, system.sigma) < value:
            return True, trial, trial_r
        share *= 0.5
    return False, theta, r


def solve_without(system: System, source: str, theta: Floats, r: Floats, slopes: Floats) -> Floats:
    """Coefficients fitted without one source: rounds from the fit to all, the first with its derivatives."""
    weight = np.where(system.sources == source, 0.0, system.weight)
    for turn in range(_FOLD_ROUNDS):
        moved, theta, r = _step(system, slopes, theta, r, weight)
        if not moved:
            break
        if turn + 1 < _FOLD_ROUNDS:
            slopes = jacobian(system, theta, r)
    return theta


def to_coefficients(system: System, theta: Floats, left_out: str = "", r: Floats | None = None) -> ServeCoefficients:
    """Coefficients by name from their logarithms; an engine or generation that no remaining run covers has none."""
    place = {key: i for i, key in enumerate(system.keys)}
    groups: dict[str, dict[str, float]] = {group: {} for group in GROUPS}
    used = [run for run in system.runs if run.source != left_out]
    for run in used:
        for group in GROUPS:
            total = 0.0
            for _, name in keys_of(group, run.family, run.stack):
                total += float(theta[place[group, name]])
                groups[group][name] = math.exp(total)
    p90 = 0.0 if r is None else math.expm1(float(np.quantile(np.abs(r), 0.9)))
    return ServeCoefficients(**groups, fitted_on=tuple(sorted({run.source for run in used})), residual_p90=p90)


def thinned(rows: Iterable[tuple[str, str]], most: int) -> list[int]:
    """Indices of at most so many rows of each source and stack, evenly over its table: rows of one sweep are near copies."""
    groups: dict[tuple[str, str], list[int]] = {}
    for index, key in enumerate(rows):
        groups.setdefault(key, []).append(index)
    kept: list[int] = []
    for members in groups.values():
        count = min(len(members), most)
        kept += [members[int(i * len(members) / count)] for i in range(count)]
    return sorted(kept)
