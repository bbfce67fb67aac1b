"""The answers of ``goodput``, of ``variants`` and of an imported job as functions of their inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from suanzhang.app.explain_runs import examined_run, goodput_run, variant_runs
from suanzhang.app.explain_terms import Run
from suanzhang.app.sensitivity_core import Factors, Subject
from suanzhang.app.sensitivity_train import HELD, interval_in, run_inputs, training_ratios
from suanzhang.errors import InputError
from suanzhang.perf.goodput import RESTART_S, goodput_fraction
from suanzhang.spec.trust_sensitivity import Ranged

_SIMULATED = "the useful share follows the closed formula, not new simulations"


def goodput_subject(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Subject:
    """A simulated run as a function of its inputs; failures and pauses move it by the closed formula.

    Args:
        body: the result.
        inputs: what it was asked.
    """
    run = goodput_run(body, inputs)
    answers = {
        "days": (float(body["days"]), "d", interval_in(body, "days_interval")),
        "step time": (float(body["step_s"]), "s", interval_in(body, "step_s_interval")),
        "useful share": (float(body["goodput_fraction"]), "fraction", interval_in(body, "goodput_fraction_interval")),
    }
    ratios, chips, rate = training_ratios(run), float(body["chips"]), float(body["failures_per_chip_day"])
    stall, back = float(body["checkpoint_stall_s"]), float(inputs.get("restart_s") or RESTART_S)

    def useful(factors: Factors) -> float:
        failures = rate * factors.get("run.failures", 1.0)
        return float(goodput_fraction(chips, failures, stall, back * factors.get("run.restart", 1.0)))

    whole = useful({})

    def evaluate(factors: Factors) -> dict[str, float]:
        step, share = ratios(factors)["step time"], useful(factors) / whole
        return {"days": step * _steps(run, factors) / share, "step time": step, "useful share": share}

    own = {"run.failures": rate, "run.restart": back}
    swung = (one for one in run_inputs(run) if one.key != "run.draw")
    found = tuple(replace(one, value=own.get(one.key, one.value)) for one in swung)
    title = f"a run of {body['model']} on {body['chips']} x {body['chip']}"
    return Subject("goodput", title, answers, found, evaluate, held=(*HELD, _SIMULATED))


def _steps(run: Run, factors: Factors) -> float:
    """Optimizer steps over those of now."""
    job = run.job
    batch = round(job.global_batch * factors.get("ask.global_batch", 1.0))
    seq = round(job.seq_len * factors.get("ask.seq_len", 1.0))
    return factors.get("ask.tokens", 1.0) * (job.global_batch * job.seq_len) / (batch * seq)


def examined_subject(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Subject:
    """A job that a file describes as a function of its inputs.

    Args:
        body: the result.
        inputs: what it was asked; the job itself stands in the result.

    Raises:
        InputError: the job does not fit, so that it has no step.
    """
    if body["step_s"] is None:
        raise InputError("the imported job does not fit and has no step time", fix="give it more memory first")
    run = examined_run(body)
    answers = {"step time": (float(body["step_s"]), "s", interval_in(body, "step_s_interval"))}
    if body["days"] is not None:
        answers["days"] = (float(body["days"]), "d", interval_in(body, "days_interval"))
    ratios = training_ratios(run)

    def evaluate(factors: Factors) -> dict[str, float]:
        now = ratios(factors)
        return {name: now[name] for name in answers}

    found = tuple(one for one in run_inputs(run) if one.key != "run.draw")
    model = str(body["model"]["name"])
    return Subject("examine", f"{model} on {body['chips']} x {body['chip']}", answers, found, evaluate, held=HELD)


def variants_subject(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Subject:
    """A comparison of chips on one job as a function of its inputs.

    What two chips share (software, fits of their generation, what was asked, kernels timed on one silicon) moves both; figures
    of one, and kernels of its own, move it alone.

    Args:
        body: the result.
        inputs: what it was asked.

    Raises:
        InputError: no chip can be compared with its base.
    """
    runs = variant_runs(body, inputs)[1]
    pairs = {
        f"time of {row['chip']} over {row['base']}": row
        for row in body["rows"]
        if row["chip"] != row["base"] and {row["chip"], row["base"]} <= set(runs) and row["time_ratio_interval"]
    }
    if not pairs:
        raise InputError("no chip of the comparison has a time beside that of its base", fix="compare chips that hold the job")
    answers = {
        name: (float(row["time_ratio"]), "times", interval_in(row, "time_ratio_interval")) for name, row in pairs.items()
    }
    taken = {str(row[side]) for row in pairs.values() for side in ("chip", "base")}
    timed: dict[str, str] = {}
    for chip, run in runs.items():
        timed.setdefault(run.at.profile, chip)
    owners = {chip: (("chip.", chip), ("kernel.", timed[runs[chip].at.profile])) for chip in runs if chip in taken}
    found: dict[str, Ranged] = {}
    for chip, owned in owners.items():
        for one in run_inputs(runs[chip]):
            if one.key != "run.draw":
                own = _of_chip(one, owned)
                found.setdefault(own.key, own)
    ratios = {chip: training_ratios(runs[chip]) for chip in owners}

    def evaluate(factors: Factors) -> dict[str, float]:
        now = {chip: ratios[chip](_for_chip(factors, owned))["days"] for chip, owned in owners.items()}
        return {name: now[row["chip"]] / now[row["base"]] for name, row in pairs.items()}

    title = f"{body['model']} on {body['chips']} chips of each kind"
    return Subject("variants", title, answers, tuple(found.values()), evaluate, held=HELD)


_Owners = tuple[tuple[str, str], ...]
"""Beginnings of the keys of inputs that not all chips share, each with the chip whose they are."""


def _of_chip(one: Ranged, owners: _Owners) -> Ranged:
    """An input of one run under a key that tells it from that of another chip, where it is a chip's own."""
    chip = next((chip for start, chip in owners if one.key.startswith(start)), "")
    if not chip:
        return one
    return replace(one, key=f"{chip} {one.key}", name=one.name if chip in one.name else f"{one.name}, {chip}")


def _for_chip(factors: Factors, owners: _Owners) -> Factors:
    """The factors that a run on one chip feels, under the keys of a single run."""
    own = {f"{chip} {start}": start for start, chip in owners}
    felt = {key: factor for key, factor in factors.items() if " " not in key}
    for key, factor in factors.items():
        if any(key.startswith(begin) for begin in own):
            felt[key.partition(" ")[2]] = factor
    return felt
