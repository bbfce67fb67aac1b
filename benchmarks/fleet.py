"""A day of a billion requests on a fleet, every request simulated."""

from __future__ import annotations

import argparse
import math
import resource
import time
from dataclasses import replace
from typing import Any

from benchmarks.cases import add_options, serving_case, spec
from benchmarks.sim import capacity_per_s

from suanzhang.sim.arrivals import Traffic
from suanzhang.sim.fleet import CELL, simulate_fleet
from suanzhang.spec.job import LoadSpec

DAY_S = 86400.0


def run(argv: list[str]) -> dict[str, Any]:
    options = argparse.ArgumentParser(prog="python -m benchmarks fleet")
    add_options(options, (200.0, 600.0, 300.0, 900.0))
    options.add_argument("--requests", type=float, default=1e9, help="requests of the day; fewer shrink the fleet too")
    options.add_argument("--peak-to-mean", type=float, default=1.8)
    options.add_argument("--load", type=float, default=0.85, help="share of the capacity at the peak")
    options.add_argument("--replicas", type=int, default=0, help="0 sizes the fleet to the peak")
    options.add_argument("--router", default="least-loaded")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--dynosim", metavar="PYTHON", help="interpreter of an environment with ai-dynamo")
    options.add_argument("--lengths", metavar="CSV", help="recorded lengths for the run beside DynoSim")
    given = options.parse_args(argv)
    case = serving_case(given)
    case = replace(case, settings=replace(case.settings, max_queue=20_000))
    load = LoadSpec("diurnal", given.peak_to_mean)
    inputs, outputs = spec(given.input_mean, given.input_p95), spec(given.output_mean, given.output_p95)
    traffic = Traffic(given.requests / DAY_S, inputs, outputs, load)
    one = replace(case, settings=replace(case.settings, max_queue=2_000_000))
    capacity = capacity_per_s(one, Traffic(1.0, inputs, outputs), given.seed)
    needed = math.ceil(traffic.requests_per_s * given.peak_to_mean / (given.load * capacity))
    replicas = given.replicas or needed
    simulate_fleet(traffic, 1_000, case.table, case.settings, min(replicas, CELL), router=given.router)
    began, cpu = time.perf_counter(), time.process_time()
    result = simulate_fleet(
        traffic,
        round(given.requests),
        case.table,
        case.settings,
        replicas,
        router=given.router,
        seed=given.seed,
        workers=given.workers,
    )
    wall, core = time.perf_counter() - began, time.process_time() - cpu
    beside: dict[str, Any] = {}
    if given.dynosim:
        from benchmarks.dynosim import side_by_side

        beside = side_by_side(given.dynosim, given.lengths, given.seed)
    return {
        **case.names,
        "requests_simulated": result.requests,
        "finished": result.finished,
        "replicas": replicas,
        "cells": -(-replicas // CELL),
        "router": given.router,
        "load": {"shape": "diurnal", "peak_to_mean": given.peak_to_mean},
        "simulated_s": result.simulated_s,
        "wall_s": wall,
        "core_s": core,
        "requests_per_s": result.requests / wall,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "workers": given.workers,
        "capacity_per_replica_per_s": capacity,
        "utilisation_mean": result.busy_s / (result.simulated_s * replicas),
        "overloaded": result.overloaded,
        "preemptions": result.preemptions,
        "iterations": result.iterations,
        "ttft_s": {"mean": result.ttft_s.mean, "p50": result.ttft_s.p50, "p99": result.ttft_s.p99},
        "tpot_s": {"mean": result.tpot_s.mean, "p50": result.tpot_s.p50, "p99": result.tpot_s.p99},
        "e2e_s": {"mean": result.e2e_s.mean, "p50": result.e2e_s.p50, "p99": result.e2e_s.p99},
        "output_tokens_per_s": result.output_tokens_per_s,
        "seed": given.seed,
        **beside,
    }
