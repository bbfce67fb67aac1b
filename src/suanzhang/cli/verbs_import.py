"""The verb that reads somebody's own files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from suanzhang.cli.faces import Call
from suanzhang.cli.verbs import Layout, Model, Seed, Stack, alone, asked


def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Megatron-LM script, torchtitan TOML, or benchmark result in JSON; - reads a job from standard input, and a "
            "quoted command line is one itself.",
        ),
    ],
    chips: Annotated[
        str, typer.Option("--chips", help="What it runs on: CHIP:N; CHIP alone where the file says how many.")
    ] = "",
    model: Model = "",
    layout: Layout = "",
    stack: Stack = "",
    weight_dtype: Annotated[str, typer.Option("--weight-dtype", help="Format of the weights of a benchmark.")] = "",
    kv_dtype: Annotated[str, typer.Option("--kv-dtype", help="Format of the cache of a benchmark.")] = "",
    truth: Annotated[
        Path | None, typer.Option("--truth", help="Write a benchmark's runs as rows for `validate --truth`.")
    ] = None,
    seed: Seed = 0,
) -> Call:
    """Judge your own job, or your benchmark.

    A Megatron-LM command line or torchtitan TOML: how long should it take, and what is wrong with it? A result of vllm bench
    serve, GuideLLM or AIPerf: measured beside predicted.
    """
    if file.suffix.lower() == ".json":
        named: dict[str, object] = {
            "model": model, "layout": layout, "stack": stack, "weight_dtype": weight_dtype, "kv_dtype": kv_dtype,
            "truth": truth, "seed": seed or None,
        }  # fmt: skip
        return Call("compare_benchmark", (file, chips), named, "predicting the benchmark")
    flags: dict[str, object] = {"--layout": layout, "--weight-dtype": weight_dtype, "--kv-dtype": kv_dtype, "--truth": truth}
    alone(flags, "import", "a training job")
    job: Path | str = str(file) if re.search(r"--num-layers[ =]", str(file)) else asked(file)
    return Call("examine", (job, chips), {"model": model, "stack": stack, "seed": seed or None}, "reading the job")
