"""Serving cases of the simulator benchmarks: a named model on a named chip, with the shipped physics."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from suanzhang.spec.job import LengthSpec
from suanzhang.spec.sim import EngineSettings, IterationTable


@dataclass(frozen=True, slots=True)
class Case:
    table: IterationTable
    settings: EngineSettings
    names: dict[str, Any]


def add_options(options: argparse.ArgumentParser, lengths: tuple[float, float, float, float]) -> None:
    options.add_argument("--model", default="llama-3.1-8b")
    options.add_argument("--chip", default="h100-sxm")
    options.add_argument("--tp", type=int, default=1)
    options.add_argument("--stack", default="vllm-0.10")
    options.add_argument("--weight-dtype", default="bf16")
    options.add_argument("--seed", type=int, default=1)
    for name, value in zip(("input-mean", "input-p95", "output-mean", "output-p95"), lengths, strict=True):
        options.add_argument(f"--{name}", type=float, default=value, help="tokens")


def spec(mean: float, p95: float) -> LengthSpec:
    return LengthSpec("fixed" if p95 == mean else "lognormal", mean, p95)


def serving_case(given: argparse.Namespace) -> Case:
    from suanzhang.app.serve_estimate import estimate_serve
    from suanzhang.app.serve_sim import table_and_settings
    from suanzhang.catalog.chips import chip
    from suanzhang.catalog.models import model
    from suanzhang.catalog.stacks import serve_stack
    from suanzhang.spec.layout import ServeLayout
    from suanzhang.spec.serve import OpenLoop

    shape, device, stack = model(given.model), chip(given.chip), serve_stack(given.stack)
    inputs, outputs = spec(given.input_mean, given.input_p95), spec(given.output_mean, given.output_p95)
    load = OpenLoop(1.0, inputs, outputs)
    estimate = estimate_serve(shape, device, ServeLayout(tp=given.tp), stack, given.weight_dtype, given.weight_dtype, load)
    table, settings = table_and_settings(shape, device, estimate, stack, inputs.mean, outputs.mean)
    names = {
        "model": shape.id,
        "chip": device.id,
        "layout": f"tp={given.tp}",
        "stack": stack.id,
        "weight_dtype": given.weight_dtype,
        "input_tokens": {"dist": inputs.kind, "mean": inputs.mean, "p95": inputs.p95},
        "output_tokens": {"dist": outputs.kind, "mean": outputs.mean, "p95": outputs.p95},
        "engine": {
            "policy": settings.policy,
            "chunked_prefill": settings.chunked_prefill,
            "max_batched_tokens": settings.max_batched_tokens,
            "max_seqs": settings.max_seqs,
            "kv_blocks": settings.kv_blocks,
            "block_tokens": settings.block_tokens,
        },
    }
    return Case(table, settings, names)
