"""Rate of the serving simulator on one replica, beside the step-by-step reference and, when it is there, DynoSim."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.cases import Case, add_options, serving_case, spec

from suanzhang.sim.arrivals import Traffic, draw
from suanzhang.sim.replica import simulate

STEPWISE = Path(__file__).resolve().parents[1] / "tests" / "property" / "sim" / "stepwise.py"


def run(argv: list[str]) -> dict[str, Any]:
    options = argparse.ArgumentParser(prog="python -m benchmarks sim")
    add_options(options, (1155.0, 3300.0, 211.0, 500.0))
    options.add_argument("--requests", type=int, default=2_000_000)
    options.add_argument("--load", type=float, default=0.95, help="share of the capacity")
    options.add_argument("--checked", type=int, default=2_000, help="requests that the step-by-step simulator repeats")
    options.add_argument("--dynosim", metavar="PYTHON", help="interpreter of an environment with ai-dynamo")
    options.add_argument("--lengths", metavar="CSV", help="recorded lengths for the run beside DynoSim")
    given = options.parse_args(argv)
    case = serving_case(given)
    case = replace(case, settings=replace(case.settings, max_queue=1_000_000))
    traffic = Traffic(1.0, spec(given.input_mean, given.input_p95), spec(given.output_mean, given.output_p95))
    capacity = capacity_per_s(case, traffic, given.seed)
    traffic = replace(traffic, requests_per_s=given.load * capacity)
    began = time.process_time()
    requests = draw(traffic, given.requests, given.seed)
    drawn = time.process_time() - began
    walls = []
    for _ in range(3):
        began = time.process_time()
        result = simulate(requests, case.table, case.settings)
        walls.append(time.process_time() - began)
    row = {
        **case.names,
        "requests_simulated": result.requests,
        "finished": result.finished,
        "load_of_capacity": given.load,
        "capacity_per_s": capacity,
        "overloaded": result.overloaded,
        "batch_mean": result.batch_mean,
        "iterations": result.iterations,
        "ttft_s": {"mean": result.ttft_s.mean, "p50": result.ttft_s.p50, "p99": result.ttft_s.p99},
        "tpot_s": {"mean": result.tpot_s.mean, "p50": result.tpot_s.p50, "p99": result.tpot_s.p99},
        "core_s": sorted(walls)[1],
        "requests_per_core_s": given.requests / sorted(walls)[1],
        "requests_per_core_s_with_drawing": given.requests / (sorted(walls)[1] + drawn),
        **agreement(case, traffic, given.checked, given.seed),
    }
    if given.dynosim:
        from benchmarks.dynosim import side_by_side

        row |= side_by_side(given.dynosim, given.lengths, given.seed)
    return row


def capacity_per_s(case: Case, traffic: Traffic, seed: int) -> float:
    """Requests per second of a replica that always has a queue."""
    requests = draw(replace(traffic, requests_per_s=1e6), 100_000, seed)
    run = simulate(requests, case.table, case.settings)
    return run.finished / run.simulated_s


def agreement(case: Case, traffic: Traffic, count: int, seed: int) -> dict[str, Any]:
    """Whether the step-by-step simulator takes the same iterations and times on the first requests."""
    loader = importlib.util.spec_from_file_location("stepwise", STEPWISE)
    if loader is None or loader.loader is None:
        return {"reference_agrees": None}
    stepwise = importlib.util.module_from_spec(loader)
    sys.modules["stepwise"] = stepwise
    loader.loader.exec_module(stepwise)
    requests = draw(traffic, count, seed + 1)
    fast = simulate(requests, case.table, case.settings, records=True)
    began = time.process_time()
    cell, sequences, _ = stepwise.run_cell(requests, case.table, case.settings)
    slow_s = time.process_time() - began
    assert fast.records is not None
    ends = np.array([one.finish for one in sequences])
    worst = float(np.max(np.abs(fast.records.finish_s - ends) / ends))
    same = fast.iterations == cell[0].iterations and fast.preemptions == cell[0].preemptions
    return {
        "reference_agrees": bool(same and worst < 1e-9),
        "reference_requests": count,
        "reference_iterations": cell[0].iterations,
        "reference_worst_relative_difference": worst,
        "reference_requests_per_core_s": count / slow_s,
    }
