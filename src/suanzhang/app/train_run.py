"""The verb ``goodput``: a whole training run with failures, spare nodes, checkpoints, warm-up and pauses, simulated."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from suanzhang.app.train_input import (
    batch_words,
    check_chunks,
    check_recompute,
    default_precision,
    memory_there,
    parse_chips,
    sizes_of,
    tokens_of,
)
from suanzhang.app.train_model import Packed, check_layout, describe, estimate_packed, pack
from suanzhang.app.train_option import search, stack_for
from suanzhang.app.train_pools import read_layout
from suanzhang.app.train_run_answer import REPAIR_S, Chance, Found, Planned, Settings, run_result
from suanzhang.app.train_spread import RATE_SPREAD, interval_factors
from suanzhang.app.train_weak import Given
from suanzhang.catalog.chips import chip as chip_of
from suanzhang.catalog.models import model as model_of
from suanzhang.errors import Infeasible, InputError, nearest_names
from suanzhang.perf.goodput import (
    CHECKPOINT_BYTES_PER_PARAM,
    LLAMA3_FAILURES_PER_CHIP_DAY,
    META_RSC2_FAILURES_PER_CHIP_DAY,
    META_RSC_FAILURES_PER_CHIP_DAY,
    OPT_FAILURES_PER_CHIP_DAY,
    RESTART_S,
    best_interval_s,
    checkpoint_s,
    straggler_fraction,
)
from suanzhang.perf.training.pack import HOST_LINK_BYTES_PER_S
from suanzhang.sim.run import RunArgs, draws
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.memory import memory_words
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.result import Interval
from suanzhang.spec.stack import TrainStack
from suanzhang.spec.train_run import RunResult, WarmUp
from suanzhang.units import DAY_S, format_count, format_duration, parse_quantity

RATES: dict[str, tuple[float, str]] = {
    "llama3": (LLAMA3_FAILURES_PER_CHIP_DAY, "Llama 3 405B: 419 unplanned interruptions in 54 days on 16,384 H100"),
    "meta-rsc-1": (META_RSC_FAILURES_PER_CHIP_DAY, "Meta RSC-1: 6.5 failures per 1,000 node-days, A100"),
    "meta-rsc-2": (META_RSC2_FAILURES_PER_CHIP_DAY, "Meta RSC-2: 2.34 failures per 1,000 node-days, A100"),
    "opt": (OPT_FAILURES_PER_CHIP_DAY, "OPT-175B: about two of 124 nodes of eight A100 a day"),
}
"""Published rates of failures that stop a job, per chip and day."""
HARDWARE = 0.78
"""Share of the failures that take a node out: 78 % of the unplanned interruptions of Llama 3 were hardware ([llama3] 3.3.4)."""
STORE_SHARE = 0.1
"""Largest share of the time that the shared storage writes checkpoints, since others use it too; assumed."""
_FACTORS = (0.25, 0.35, 0.5, 0.71, 1.0, 1.41, 2.0, 2.83, 4.0)
_ENOUGH = 1.001
Floats = NDArray[np.float64]


def goodput(
    model: str | Path | ModelSpec,
    tokens: float | str,
    chips: str,
    *,
    layout: str = "",
    global_batch: int = 0,
    seq_len: int = 0,
    precision: str = "",
    stack: str = "",
    failures: str = "llama3",
    spares: int = -1,
    repair_s: float = REPAIR_S,
    restart_s: float = RESTART_S,
    checkpoint: str = "async",
    interval_s: float = 0.0,
    evaluation_s: float = 0.0,
    evaluation_every_s: float = 0.0,
    batch_warm_up: str = "",
    slow_nodes_fraction: float = 0.0,
    slowdown_fraction: float = 0.1,
    replications: int = 400,
    start: str = "",
    seed: int = 0,
) -> RunResult:
    """Simulate a whole training run and find the checkpoints and spare nodes that serve it best.

    Args:
        model, tokens, global_batch, seq_len, precision, stack, start: as in ``train``.
        chips: ``"CHIP:N"``; the spare nodes come on top.
        layout: such as ``"tp=8,pp=8"``; searched when left out.
        failures: "llama3", "meta-rsc-1", "meta-rsc-2", "opt", or failures per chip and day as a number.
        spares: nodes that stand by; -1 for as many as are worth having.
        repair_s: mean time until a failed node is back.
        restart_s: time from a failure until steps go on.
        checkpoint: "async" (training stops for the copy to host memory) or "sync" (until it is on the shared storage).
        interval_s: work between two checkpoints; the best one by simulation when left out.
        evaluation_s, evaluation_every_s: length of an evaluation pause, and work between two.
        batch_warm_up: share of the batch and share of the tokens, as ``"0.25:2%,0.5:18%"``.
        slow_nodes_fraction: share of the time that a node is slow and not yet replaced.
        slowdown_fraction: how much longer its steps take.
        replications: simulated runs.
        seed: of the random numbers.

    Raises:
        InputError: something given cannot be used, or the run would never end.
        Infeasible: nothing fits.
    """
    if checkpoint not in ("async", "sync"):
        raise InputError(f"unknown checkpoint {checkpoint!r}", fix="use async or sync")
    if not 20 <= replications <= 20_000:
        raise InputError(f"replications: {replications}", fix="give 20 to 20,000")
    _check_times(repair_s, restart_s, interval_s, evaluation_s, evaluation_every_s, slow_nodes_fraction, slowdown_fraction)
    rate, where = _rate(failures)
    pauses = evaluation_s / evaluation_every_s if evaluation_every_s else 0.0
    slow = (slow_nodes_fraction, slowdown_fraction)
    planned = _plan(model, tokens, chips, layout, global_batch, seq_len, precision, stack, start, batch_warm_up, slow, pauses)
    n = float(planned.layout.chips)
    params = planned.job.model.params
    durable = checkpoint_s(params, n)
    stall = durable if checkpoint == "sync" else min(durable, CHECKPOINT_BYTES_PER_PARAM * params / n / HOST_LINK_BYTES_PER_S)
    mtbf = DAY_S / (n * rate)
    young = best_interval_s(stall, mtbf)
    least = max(planned.estimate.step_s, durable / STORE_SHARE)
    nodes = max(1, math.ceil(n / planned.chip.node.chips))
    args = RunArgs(
        planned.work_s,
        interval_s or max(young, least),
        stall,
        durable,
        mtbf,
        restart_s,
        HARDWARE,
        repair_s,
        float(max(spares, 0)),
    )
    expected = 2.0 * RATE_SPREAD * planned.factors.p95 / planned.factors.p50 * planned.work_s / mtbf
    chance = Chance.of(draws(replications, 2.0 * expected, seed), planned.factors, seed)
    stocks = Settings(args, chance).spares(nodes, spares)
    args = args._replace(spares=stocks[0])
    search = Settings(args, chance)
    intervals = search.intervals(max(young, least), least)
    best = max(intervals, key=lambda setting: setting.goodput_fraction).value
    args = args._replace(interval_s=interval_s or best)
    notes = (
        *_floor_note(young, least, durable, planned.estimate.step_s),
        *_notes(planned, global_batch, seq_len, stack, where),
    )
    found = Found(args, (rate, where), young, best, intervals, stocks[1])
    return run_result(planned, found, chance, seed, notes, Given(bool(global_batch), bool(seq_len)))


def _floor_note(young: float, least: float, durable: float, step: float) -> tuple[str, ...]:
    """Why the best interval is longer than that of the formula, which knows only the stall, in words."""
    if young >= least:
        return ()
    shown, floor = format_duration(young), format_duration(least)
    why = f"a checkpoint takes {format_duration(durable)} to be safe and may keep the shared storage busy for {STORE_SHARE:.0%}"
    why = why if durable / STORE_SHARE >= step else f"none starts within a step of {format_duration(step)}"
    return (
        f"Young's formula weighs only the stall against the work lost, and asks for a checkpoint every {shown}; {why}, so that "
        f"they are at least {floor} apart, and the simulation looks at no shorter interval",
    )


def _check_times(
    repair_s: float, restart_s: float, interval_s: float, evaluation_s: float, every_s: float, slow: float, slowdown: float
) -> None:
    times = {"repair": repair_s, "restart": restart_s, "interval": interval_s, "evaluation": evaluation_s, "every": every_s}
    for name, value in times.items():
        if value < 0.0:
            raise InputError(f"{name}: {value} s is below zero", fix="give a positive time")
    if evaluation_s and not every_s:
        raise InputError("evaluation: how often is not given", fix="give the work between two evaluations")
    if not (0.0 <= slow <= 1.0 and 0.0 <= slowdown <= 10.0):
        raise InputError("slow nodes: shares lie between 0 and 1", fix="write for example 0.5%")


def _rate(text: str) -> tuple[float, str]:
    """Failures per chip and day, and where they were published."""
    if text in RATES:
        return RATES[text]
    try:
        value = float(text)
    except ValueError:
        near = nearest_names(text, RATES)
        raise InputError(
            f"unknown failures {text!r}", fix=f"did you mean {near[0]}?" if near else f"use {', '.join(RATES)}"
        ) from None
    if not 0.0 < value < 10.0:
        raise InputError(f"failures: {text} per chip and day", fix="write for example 5e-4")
    return value, "given"


def _plan(
    model: str | Path | ModelSpec, tokens: float | str, chips: str, layout: str, global_batch: int, seq_len: int,
    precision: str, stack: str, start: str, batch_warm_up: str, slow: tuple[float, float], pauses: float,
) -> Planned:  # fmt: skip
    """Layout, step time and phases of the batch."""
    spec = model if isinstance(model, ModelSpec) else model_of(str(model))
    name, count = parse_chips(chips)[0]
    if "," in chips:
        raise InputError("chips: a run has one kind of chips", fix="write CHIP:COUNT")
    kind = chip_of(name)
    seq, batch = sizes_of(spec, seq_len, global_batch, [(kind, count)])
    amount = tokens_of(tokens, seq * batch)
    job = TrainJob(spec.id, spec, amount, seq, batch, precision or default_precision(kind), start=start)
    software = stack_for(job, stack, kind)
    packed = pack(job, kind, software)
    best = _layout(packed, job, kind, software, count, layout)
    estimate = estimate_packed(packed, best, kind)
    factors = interval_factors(kind, job, software, best.chips, estimate)
    phases = tuple(_phase(job, kind, software, best, share, part, factors) for share, part in _warm_up(batch_warm_up))
    nodes = best.chips / max(1, kind.node.chips)
    return Planned(job, kind, software, packed, best, estimate, phases, factors, straggler_fraction(nodes, *slow), pauses)


def _layout(packed: Packed, job: TrainJob, chip: ChipSpec, stack: TrainStack, count: int, text: str) -> TrainLayout:
    if text:
        given = read_layout(text, count, stack)
        check_recompute(given, job.model.layers)
        check_layout(packed, given)
        check_chunks(given, job.model.layers, stack)
        estimate = estimate_packed(packed, given, chip)
        if not estimate.fits:
            raise Infeasible(
                f"layout {describe(given)} does not fit {chip.name}",
                binding=[f"memory: {memory_words(estimate.memory_bytes)} needed, {memory_there(chip)}"],
                fix="recompute more, split the model over more chips, or leave the layout out",
            )
        return given
    searched = search(packed, job, chip, stack, count)
    if not searched.layouts:
        raise Infeasible(
            f"{job.model.name} does not fit {format_count(count)} {chip.name}",
            binding=[f"memory: {memory_there(chip)} per chip"],
            fix="use more chips, or chips with more memory",
        )
    return searched.layouts[0]


def _warm_up(text: str) -> tuple[tuple[float, float], ...]:
    """Phases as share of the batch and share of the tokens; the full batch takes what is left.

    Raises:
        InputError: a phase that cannot be read, or phases that take more than all tokens.
    """
    phases = []
    for part in text.split(",") if text else []:
        share, colon, tokens = part.partition(":")
        if not colon:
            raise InputError(f"batch warm-up: cannot read {part!r}", fix="write 0.25:2%,0.5:18%")
        pair = (parse_quantity(share, "fraction", "batch warm-up"), parse_quantity(tokens, "fraction", "batch warm-up"))
        if not (0.0 < pair[0] <= 1.0 and 0.0 < pair[1] < 1.0):
            raise InputError(f"batch warm-up: {part!r} lies outside of 0 to 1", fix="write 0.25:2%,0.5:18%")
        phases.append(pair)
    rest = 1.0 - sum(tokens for _, tokens in phases)
    if rest <= 0.0:
        raise InputError("batch warm-up: it takes all tokens", fix="leave some for the full batch")
    return (*phases, (1.0, rest))


def _phase(
    job: TrainJob, chip: ChipSpec, stack: TrainStack, layout: TrainLayout, share: float, tokens: float, factors: Interval
) -> WarmUp:
    """One phase: the same layout where the smaller batch divides, else fewer sequences in a micro-batch, else a new layout."""
    batch = max(1, round(share * job.global_batch))
    if batch % layout.dp:
        batch = max(layout.dp, batch // layout.dp * layout.dp)
    own = replace(job, global_batch=batch)
    packed = pack(own, chip, stack)
    step = math.inf
    for size in (s for s in range(layout.micro_batch, 0, -1) if layout.micro_batch % s == 0):
        for plain in (layout, replace(layout, vpp=1, schedule="1f1b")):
            try:
                found = estimate_packed(packed, replace(plain, micro_batch=size), chip)
            except InputError:
                continue
            if found.fits:
                step = min(step, found.step_s)
    if math.isinf(step):
        searched = search(packed, own, chip, stack, layout.chips)
        if not searched.layouts:
            raise InputError(f"batch warm-up: no layout trains {batch} sequences", fix="use a larger share of the batch")
        step = searched.step_s[0]
    amount = tokens * job.tokens
    days = amount / (job.seq_len * batch) * step / DAY_S
    return WarmUp(batch, amount, step, days, factors.scaled(step), factors.scaled(days))


def _notes(planned: Planned, global_batch: int, seq_len: int, stack: str, where: str) -> tuple[str, ...]:
    notes = [] if global_batch else [batch_words(planned.job.model, planned.job.seq_len, planned.job.global_batch)]
    notes += [] if seq_len else [f"sequence length assumed: {planned.job.seq_len} tokens"]
    notes += [] if stack else [f"software assumed: {planned.stack.title}"]
    notes.append(f"failures: {where}; true rates are taken to lie within a factor of {RATE_SPREAD:g}")
    notes.append(f"{HARDWARE:.0%} of the failures take a node out, as in the Llama 3 run")
    notes.append(
        f"checkpoints are at least a step apart, and keep the shared storage busy for {STORE_SHARE:.0%} of the time at most"
    )
    notes += [] if planned.stragglers else ["slow nodes beyond the usual variation of a step: none assumed"]
    return tuple(notes)
