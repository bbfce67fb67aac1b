"""The verbs: flags in, a call of the Python API out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from suanzhang.cli.faces import Call, choose
from suanzhang.errors import InputError
from suanzhang.units import Dimension, parse_quantity

Model = Annotated[str, typer.Option("--model", help="Catalog id or alias, or the path of a Hugging Face config.json.")]
Stack = Annotated[str, typer.Option("--stack", help="Generation of software; see `suanzhang catalog stacks`.")]
Layout = Annotated[str, typer.Option("--layout", help="Such as tp=8,pp=8; searched when left out.")]
Price = Annotated[str, typer.Option("--price-per-chip-h", help="Price of one chip for one hour.")]
Currency = Annotated[str, typer.Option("--currency", help="Currency of the price.")]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Seed of everything random.")]
QuestionFile = Annotated[Path, typer.Argument(metavar="QUESTION", help="Question file (YAML or JSON).")]


def positive(text: str, dimension: Dimension, flag: str) -> float | None:
    """The SI value of a flag, None when it was not given."""
    if not text:
        return None
    value = parse_quantity(text, dimension, flag)
    if value <= 0.0:
        raise InputError(f"{flag}: {text!r} must be more than zero", fix="leave it out, or give a positive value")
    return value


def plan(
    question: Annotated[Path | None, typer.Argument(metavar="QUESTION", help="Question file (YAML or JSON).")] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Simulate and solve in full instead of analytically.")] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of the question file, every key explained.")
    ] = False,
) -> Call | None:
    """Answer a whole question file."""
    if schema:
        from suanzhang.app.question import question_schema

        sys.stdout.write(question_schema() + "\n")
        return None
    if question is None:
        raise InputError("no question file given", fix="try `suanzhang plan examples/gpu-rush-2023/question.yaml`")
    return Call("plan", (question,), {"deep": deep}, "planning")


def train(
    model: Model,
    tokens: Annotated[str, typer.Option("--tokens", help="Tokens to train on, such as 300B.")],
    chips: Annotated[str, typer.Option("--chips", help="CHIP:N, or several kinds CHIP:N,CHIP:N of which the best is taken.")],
    layout: Layout = "",
    global_batch: Annotated[int, typer.Option("--global-batch", min=0, help="Sequences of one optimizer step.")] = 0,
    seq_len: Annotated[int, typer.Option("--seq-len", min=0, help="Tokens of one sequence.")] = 0,
    precision: Annotated[str, typer.Option("--precision", help="Matrix arithmetic: bf16, fp16, fp8, ...")] = "",
    stack: Stack = "",
    optimizer: Annotated[str, typer.Option("--optimizer", help="adam, adam8bit, adafactor, muon or sgd.")] = "adam",
    deadline: Annotated[str, typer.Option("--deadline", help="Longest duration allowed, such as 60d.")] = "",
    objective: Annotated[
        str, typer.Option("--objective", help="time, cost or energy, to choose between kinds of chips.")
    ] = "time",
    price_per_chip_h: Price = "",
    currency: Currency = "USD",
    start: Annotated[str, typer.Option("--start", help="Month of the start, such as 2023-05.")] = "",
    seed: Seed = 0,
) -> Call:
    """Plan a training: layout, days, memory, cost."""
    named = {
        "layout": layout,
        "global_batch": global_batch or None,
        "seq_len": seq_len or None,
        "precision": precision,
        "stack": stack,
        "optimizer": choose("optimizer", optimizer, ("adam", "adam8bit", "adafactor", "muon", "sgd")),
        "deadline_s": positive(deadline, "time", "--deadline"),
        "objective": choose("objective", objective, ("time", "cost", "energy")),
        "price_per_chip_h": positive(price_per_chip_h, "count", "--price-per-chip-h"),
        "currency": currency,
        "start": start,
        "seed": seed or None,
    }
    return Call("train", (model, tokens, chips), named, "searching layouts")


def buy(question: QuestionFile) -> Call:
    """Schedule purchases and rents over months."""
    return Call("buy", (question,), {}, "scheduling purchases")


def audit(claims: Annotated[Path, typer.Argument(metavar="CLAIMS", help="Claims file (YAML).")], seed: Seed = 0) -> Call:
    """Recompute the claims of a file."""
    return Call("audit", (claims,), {"seed": seed or None}, "recomputing claims")


def validate(
    truth: Annotated[Path | None, typer.Option("--truth", help="File of measurements; those that ship when left out.")] = None,
    phase: Annotated[str, typer.Option("--phase", help="training or serving; both when left out.")] = "",
    rows: Annotated[bool, typer.Option("--rows", help="One entry per row, predicted beside measured.")] = False,
) -> Call:
    """Print our error on published measurements."""
    named = {"truth": truth, "phase": choose("phase", phase, ("training", "serving")) if phase else "", "rows": rows}
    return Call("validate", (), named, "predicting published runs", progress=True)


def calibrate(paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Kernel timings.")]) -> Call:
    """Fit a chip's profile to kernel timings."""
    return Call("calibrate", (tuple(paths),), {}, "fitting kernels")


def rest(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Serve the same verbs over HTTP."""
    import uvicorn

    uvicorn.run("suanzhang.rest.app:create_app", factory=True, host=host, port=port, log_level="warning")
