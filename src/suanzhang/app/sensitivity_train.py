"""The answer of ``train`` as a function of its inputs: figures of the chip, settings of the software, fits, what was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from suanzhang.app.explain_train import Run, run_of
from suanzhang.app.sensitivity_core import Factors, Subject
from suanzhang.app.sensitivity_inputs import (
    CHOICE,
    SHARES,
    chip_inputs,
    choice,
    coefficient_input,
    figure_of,
    kernel_input,
    of_grade,
    stack_inputs,
)
from suanzhang.app.train_coefficients import TrainCoefficients, generation, shipped_coefficients
from suanzhang.app.train_model import estimate_train, sixteen_bit
from suanzhang.perf.energy import chip_power_w, host_power_w
from suanzhang.perf.goodput import LLAMA3_FAILURES_PER_CHIP_DAY, RESTART_S, checkpoint_s, goodput_fraction
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.precision import precision_of
from suanzhang.spec.result import Interval
from suanzhang.spec.stack import ServeStack, TrainStack
from suanzhang.spec.trust_sensitivity import Ranged
from suanzhang.units import DAY_S

HELD = ("the layout is held",)
_KERNELS: Mapping[str, tuple[str, ...]] = {"product": ("gemm",), "attention": ("attention",), "memory": ("memory",)}


def train_subject(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Subject:
    """A stored training as a function of its inputs.

    Args:
        body: the result.
        inputs: what it was asked, files put back.
    """
    run = run_of(body, inputs)
    price = body.get("cost")
    answers = {
        "days": (float(body["days"]), "d", interval_in(body, "days_interval")),
        "step time": (float(body["step_s"]), "s", interval_in(body, "step_s_interval")),
        "energy": (float(body["energy_j"]), "J", interval_in(body, "energy_j_interval")),
    }
    if price:
        answers["cost"] = (float(price["amount"]), str(price["currency"]), interval_in(body, "cost_interval"))
    found = tuple(run_inputs(run, priced=bool(price)))
    ratios = training_ratios(run)

    def evaluate(factors: Factors) -> dict[str, float]:
        now = ratios(factors)
        return {name: now[name] for name in answers}

    title = f"{body['model']} on {body['chips']} x {body['chip']}"
    return Subject("train", title, answers, found, evaluate, held=HELD)


def training_ratios(run: Run) -> Callable[[Factors], Mapping[str, float]]:
    """Step, days, energy and cost over those of now, as a function of changed inputs."""
    base = _answers(run, {})
    return lambda factors: {name: value / base[name] for name, value in _answers(run, factors).items()}


def interval_in(body: Mapping[str, Any], key: str) -> Interval:
    """An interval of a stored result."""
    found = body[key]
    return Interval(float(found["p05"]), float(found["p50"]), float(found["p95"]))


def run_inputs(run: Run, *, priced: bool = False, asked: bool = True) -> list[Ranged]:
    """Everything that a training rests on.

    Args:
        run: the training.
        priced: whether a price of a chip-hour was given.
        asked: whether to swing what the user chose too.
    """
    low = sixteen_bit(run.chip, run.job.precision)
    found = chip_inputs(run.chip, (precision_of(run.job.precision).arithmetic, low)) + stack_inputs(run.stack)
    found += [kernel_input(kind, run.at, run.chip) for kind in _KERNELS]
    found += _coefficients(run)
    failures, back = LLAMA3_FAILURES_PER_CHIP_DAY, RESTART_S
    found.append(
        of_grade(
            "run.failures",
            "failures per chip and day",
            "run",
            failures,
            "1/d",
            "llama3",
            "derived",
            "the cluster's own log of failures",
        )
    )
    found.append(
        of_grade(
            "run.restart",
            "time to be back after a failure",
            "run",
            back,
            "s",
            "planner-default",
            "assumed",
            "the cluster's own log of failures",
        )
    )
    found.append(
        of_grade(
            "run.draw",
            "draw of chips and hosts over that of the formulas",
            "run",
            1.0,
            "times",
            "planner-default",
            "assumed",
            "a power meter on a node",
        )
    )
    if asked:
        found.append(choice("ask.tokens", "tokens", run.job.tokens, "tokens"))
        found.append(choice("ask.global_batch", "global batch", float(run.job.global_batch), "sequences", 0.5, 2.0))
        found.append(choice("ask.seq_len", "sequence length", float(run.job.seq_len), "tokens", 0.5, 2.0))
        found += [choice("ask.price", "price of a chip-hour", 1.0, "times", 1.0 / CHOICE, CHOICE)] if priced else []
    return found


def _coefficients(run: Run) -> list[Ranged]:
    fit = shipped_coefficients()
    kind = generation(run.chip)
    rows = [("values", name, value) for name, value in fit.values._asdict().items() if name not in ("gemm", "attention")]
    rows += [("gemm", key, fit.gemm[key]) for key in (kind, run.stack.kernels) if key in fit.gemm]
    rows += [("attention", kind, fit.attention[kind])] if kind in fit.attention else []
    words = {
        "values": "{1} in a step over ideal",
        "gemm": "{0} in a step over isolated, {1}",
        "attention": "{0} in a step over isolated, {1}",
    }
    return [
        coefficient_input("training", table, key, float(value), words[table].format(table, key))
        for table, key, value in rows
        if float(value) > 0.0
    ]


def scaled_chip(chip: ChipSpec, factors: Factors) -> ChipSpec:
    """A chip whose figures are changed by factors."""
    peaks = {dtype: value * factors.get(f"chip.peak_flop_per_s.{dtype}", 1.0) for dtype, value in chip.peak_flop_per_s.items()}
    node = {
        name: figure_of(chip, f"node.{name}") * factors[f"chip.node.{name}"]
        for name in ("nic_bytes_per_s", "power_w")
        if f"chip.node.{name}" in factors
    }
    own = {
        name: figure_of(chip, name) * factors[f"chip.{name}"]
        for name in ("hbm_bytes", "hbm_bytes_per_s", "link_bytes_per_s", "tdp_w")
        if f"chip.{name}" in factors
    }
    return replace(chip, peak_flop_per_s=peaks, node=replace(chip.node, **node), **own)  # type: ignore[arg-type]


def scaled_settings(stack: TrainStack | ServeStack, factors: Factors) -> dict[str, float]:
    """Changed settings of a software generation; shares never pass 1."""
    found = {}
    for key, factor in factors.items():
        if key.startswith("stack."):
            name = key.removeprefix("stack.")
            value = float(getattr(stack, name)) * factor
            found[name] = min(value, 0.98 if name == "memory_fraction" else 1.0) if name in SHARES else value
    return found


def _scaled_fit(fit: TrainCoefficients, factors: Factors) -> TrainCoefficients:
    def of(table: str, key: str, value: float) -> float:
        kernel = (
            factors.get(f"kernel.{'product' if table == 'gemm' else table}", 1.0) if table in ("gemm", "attention") else 1.0
        )
        memory = factors.get("kernel.memory", 1.0) if (table, key) == ("values", "memory") else 1.0
        return value * factors.get(f"training.{table}.{key}", 1.0) * kernel * memory

    values = {name: of("values", name, value) for name, value in fit.values._asdict().items()}
    kernels = {key: fit.gemm[key] * factors.get(f"training.gemm.{key}", 1.0) for key in fit.gemm}
    generations = {key: value * factors.get("kernel.product", 1.0) for key, value in kernels.items() if key in fit.attention}
    return replace(
        fit,
        values=fit.values._replace(**values),
        gemm={**kernels, **generations},
        attention={key: of("attention", key, value) for key, value in fit.attention.items()},
    )


def _answers(run: Run, factors: Factors) -> dict[str, float]:
    """Step, days, energy and cost with changed inputs; every formula is that of the verb."""
    chip = scaled_chip(run.chip, factors)
    stack = replace(run.stack, **scaled_settings(run.stack, factors))  # type: ignore[arg-type]
    job = replace(
        run.job,
        tokens=run.job.tokens * factors.get("ask.tokens", 1.0),
        global_batch=round(run.job.global_batch * factors.get("ask.global_batch", 1.0)),
        seq_len=round(run.job.seq_len * factors.get("ask.seq_len", 1.0)),
    )
    found = estimate_train(job, chip, run.estimate.layout, stack, _scaled_fit(shipped_coefficients(), factors))
    chips = float(found.chips)
    saved = checkpoint_s(job.model.params, chips)
    failures = LLAMA3_FAILURES_PER_CHIP_DAY * factors.get("run.failures", 1.0)
    useful = goodput_fraction(chips, failures, saved, RESTART_S * factors.get("run.restart", 1.0))
    days = job.tokens / (job.seq_len * job.global_batch) * found.step_s / useful / DAY_S
    host_w = host_power_w(chip.node.power_w, float(chip.node.chips), chip.tdp_w)
    draw_w = (chip_power_w(chip.tdp_w, min(1.0, found.utilisation)) + host_w) * factors.get("run.draw", 1.0)
    return {
        "step time": found.step_s,
        "days": days,
        "energy": draw_w * days,
        "cost": days * factors.get("ask.price", 1.0),
    }
