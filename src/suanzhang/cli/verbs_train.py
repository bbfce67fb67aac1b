"""Further verbs of training: flags in, a call of the Python API out."""

from __future__ import annotations

from typing import Annotated

import typer

from suanzhang.cli.faces import Call, choose
from suanzhang.cli.verbs import Currency, Model, Price, Seed, Stack, needed, positive

Tokens = Annotated[str, typer.Option("--tokens", help="Tokens to train on, such as 300B.")]
Batch = Annotated[int | None, typer.Option("--global-batch", min=1, help="Sequences of one optimizer step.")]
Seq = Annotated[int | None, typer.Option("--seq-len", min=1, help="Tokens of one sequence.")]
Precision = Annotated[str, typer.Option("--precision", help="Matrix arithmetic: bf16, fp16, fp8, ...")]
Start = Annotated[str, typer.Option("--start", help="Month of the start, such as 2023-05.")]


def variants(
    model: Model = "",
    tokens: Tokens = "",
    count: Annotated[int, typer.Option("--count", min=1, help="Chips of each kind.")] = 1024,
    chips: Annotated[
        str,
        typer.Option("--chips", help="Chips, the first being the measure: A,B,C; several groups A,B;C,D. Else the usual ones."),
    ] = "",
    global_batch: Batch = None,
    seq_len: Seq = None,
    precision: Precision = "",
    stack: Stack = "",
    price_per_chip_h: Price = "",
    currency: Currency = "USD",
    start: Start = "",
    seed: Seed = 0,
) -> Call:
    """Compare cut variants of a chip on one job.

    What the link cut costs A800 against A100 and H800 against H100, what H20 loses, what V100 can and cannot do, and the
    price per hour at which each comes out even. --price-per-chip-h is the price of the first chip of a group.
    """
    needed({"--model": model, "--tokens": tokens}, "variants")
    named = {
        "chips": chips, "global_batch": global_batch or None, "seq_len": seq_len or None, "precision": precision,
        "stack": stack, "price_per_chip_h": positive(price_per_chip_h, "count", "--price-per-chip-h"), "currency": currency,
        "start": start, "seed": seed or None,
    }  # fmt: skip
    return Call("variants", (model, tokens, count), named, "comparing chips")


def scaling(
    chips: Annotated[
        str, typer.Option("--chips", help="Kinds of chips to choose from: CHIP or CHIP:N, comma between; else the usual ones.")
    ] = "",
    budget: Annotated[str, typer.Option("--budget", help="Money for chip-hours, such as 20M.")] = "",
    deadline: Annotated[str, typer.Option("--deadline", help="A date such as 2027-06-30, or a duration such as 90d.")] = "",
    flop: Annotated[str, typer.Option("--flop", help="Training compute instead of chips, such as 1e24.")] = "",
    price_per_chip_h: Price = "",
    currency: Currency = "USD",
    unique_tokens: Annotated[
        str, typer.Option("--unique-tokens", help="Text that there is, such as 15T; four passes at most.")
    ] = "",
    tokens_per_param: Annotated[
        float, typer.Option("--tokens-per-param", min=0.0, help="Tokens per parameter; those of the lowest loss when left out.")
    ] = 0.0,
    seq_len: Annotated[int, typer.Option("--seq-len", min=1, help="Tokens of one sequence.")] = 4096,
    precision: Precision = "",
    stack: Stack = "",
    start: Annotated[str, typer.Option("--start", help="Date of the start, such as 2026-12-01.")] = "",
    seed: Seed = 0,
) -> Call:
    """Size a model by money, chips and deadline.

    The model of the lowest loss by the published scaling laws, with the speed of its own best layout: what can 20 million
    dollars train by this date? Without a price the latest rent of the catalog is taken.
    """
    named = {
        "flop": flop, "budget": positive(budget, "count", "--budget"), "currency": currency if currency != "USD" else "",
        "price_per_chip_h": positive(price_per_chip_h, "count", "--price-per-chip-h"), "deadline": deadline,
        "unique_tokens": unique_tokens, "tokens_per_param": tokens_per_param or None,
        "seq_len": seq_len if seq_len != 4096 else None, "precision": precision, "stack": stack, "start": start,
        "seed": seed or None,
    }  # fmt: skip
    return Call("scaling", (chips,) if chips else (), named, "sizing the model")


def goodput(
    model: Model = "",
    tokens: Tokens = "",
    chips: Annotated[str, typer.Option("--chips", help="CHIP:N; spare nodes come on top.")] = "",
    layout: Annotated[str, typer.Option("--layout", help="Such as tp=8,pp=8; searched when left out.")] = "",
    global_batch: Batch = None,
    seq_len: Seq = None,
    precision: Precision = "",
    stack: Stack = "",
    failures: Annotated[
        str, typer.Option("--failures", help="llama3, meta-rsc-1, meta-rsc-2, opt, or failures per chip and day.")
    ] = "llama3",
    spares: Annotated[int, typer.Option("--spares", min=-1, help="Spare nodes; -1 for as many as are worth having.")] = -1,
    repair: Annotated[str, typer.Option("--repair", help="Mean time until a failed node is back.")] = "",
    restart: Annotated[str, typer.Option("--restart", help="Time from a failure until steps go on.")] = "",
    checkpoint: Annotated[str, typer.Option("--checkpoint", help="async or sync.")] = "async",
    interval: Annotated[str, typer.Option("--interval", help="Work between two checkpoints; the best when left out.")] = "",
    evaluation: Annotated[str, typer.Option("--evaluation", help="Length of an evaluation pause, such as 10min.")] = "",
    evaluation_every: Annotated[str, typer.Option("--evaluation-every", help="Work between two of them, such as 12h.")] = "",
    batch_warm_up: Annotated[
        str, typer.Option("--batch-warm-up", help="Share of the batch : share of the tokens, such as 0.25:2%,0.5:18%.")
    ] = "",
    slow_nodes: Annotated[str, typer.Option("--slow-nodes", help="Share of the time that a node is slow, such as 0.01%.")] = "",
    slowdown: Annotated[str, typer.Option("--slowdown", help="How much longer its steps take, such as 10%.")] = "",
    replications: Annotated[int, typer.Option("--replications", min=20, help="Simulated runs.")] = 400,
    start: Start = "",
    seed: Seed = 0,
) -> Call:
    """Simulate a whole run: failures, checkpoints, spares.

    Failures at a published rate, lost work, restarts, nodes in repair, checkpoints (the best interval by simulation beside
    that of Young and Daly), slow nodes, evaluation pauses and the warm-up of the batch, to calendar days with an interval.
    """
    needed({"--model": model, "--tokens": tokens, "--chips": chips}, "goodput")
    named = {
        "layout": layout, "global_batch": global_batch or None, "seq_len": seq_len or None, "precision": precision,
        "stack": stack, "failures": failures if failures != "llama3" else "", "spares": spares if spares >= 0 else None,
        "repair_s": positive(repair, "time", "--repair"), "restart_s": positive(restart, "time", "--restart"),
        "checkpoint": choose("checkpoint", checkpoint, ("async", "sync")),
        "interval_s": positive(interval, "time", "--interval"), "evaluation_s": positive(evaluation, "time", "--evaluation"),
        "evaluation_every_s": positive(evaluation_every, "time", "--evaluation-every"), "batch_warm_up": batch_warm_up,
        "slow_nodes_fraction": positive(slow_nodes, "fraction", "--slow-nodes"),
        "slowdown_fraction": positive(slowdown, "fraction", "--slowdown"),
        "replications": replications if replications != 400 else None, "start": start, "seed": seed or None,
    }  # fmt: skip
    return Call("goodput", (model, tokens, chips), named, "simulating runs")
