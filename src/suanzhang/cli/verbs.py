"""The verbs: flags in, a call of the Python API out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from suanzhang.cli.faces import Call, choose
from suanzhang.errors import InputError
from suanzhang.units import BITS_PER_BYTE, Dimension, parse_quantity

Model = Annotated[str, typer.Option("--model", help="Catalog id or alias, or the path of a Hugging Face config.json.")]
Stack = Annotated[
    str,
    typer.Option(
        "--stack", help="Generation of software; see `suanzhang catalog stacks`. With `,profile=FILE.json`: your own kernels."
    ),
]
Layout = Annotated[str, typer.Option("--layout", help="Such as tp=8,pp=8; searched when left out.")]
Price = Annotated[str, typer.Option("--price-per-chip-h", help="Price of one chip for one hour.")]
Currency = Annotated[str, typer.Option("--currency", help="Currency of the price.")]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Seed of everything random.")]
QuestionFile = Annotated[Path, typer.Argument(metavar="QUESTION", help="Question file (YAML or JSON).")]
MaybeQuestion = Annotated[
    Path | None,
    typer.Argument(metavar="QUESTION", help="Question file (YAML or JSON) instead of flags; - reads standard input."),
]
LaunchTrain = Annotated[
    str, typer.Option("--launch", help="Write the files that start it: megatron, nemo, torchtitan, deepspeed or slurm.")
]
LaunchServe = Annotated[
    str, typer.Option("--launch", help="Write the files that start it: vllm, sglang, trtllm, kubernetes or skypilot.")
]
Folder = Annotated[Path | None, typer.Option("--folder", "-o", help="Where --launch writes; nowhere when left out.")]
Name = Annotated[str, typer.Option("--name", help="Which entry of the question file; needed where it has several.")]


def positive(text: str, dimension: Dimension, flag: str) -> float | None:
    """The SI value of a flag, None when it was not given."""
    if not text:
        return None
    value = parse_quantity(text, dimension, flag)
    if value <= 0.0:
        raise InputError(f"{flag}: {text!r} must be more than zero", fix="leave it out, or give a positive value")
    return value


def with_unit(text: str, flag: str) -> str:
    """A duration as given; a bare number is refused, since its unit would be a guess."""
    if text.strip().replace(".", "", 1).isdigit():
        raise InputError(f"{flag}: {text!r} has no unit", fix=f"write {text.strip()}d for days, {text.strip()}h for hours")
    return text


def asked(question: Path) -> Path | str:
    """The question file, or the text of standard input for ``-``."""
    if str(question) != "-":
        return question
    from suanzhang.app.yamlfile import LARGEST_BYTES

    raw = sys.stdin.buffer.read(LARGEST_BYTES + 1)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("standard input: is no UTF-8 text", fix="save the question as UTF-8") from None
    return text if "\n" in text else text + "\n"


def needed(given: dict[str, str], verb: str) -> None:
    """Refuse flags that are missing where no question file was given."""
    missing = [flag for flag, value in given.items() if not value]
    if missing:
        raise InputError(f"missing option {missing[0]}", fix=f"give it, or a question file; see `suanzhang {verb} --help`")


def alone(flags: dict[str, object], verb: str, beside: str = "a question file") -> None:
    """Refuse flags that a question file already says, or that mean nothing beside what was given."""
    doubled = [flag for flag, value in flags.items() if value not in ("", None, 0, False)]
    if doubled:
        fix = "change the question" if beside == "a question file" else f"leave {doubled[0]} out"
        raise InputError(f"{doubled[0]} together with {beside}", fix=f"{fix}; `suanzhang {verb} --help`")


def prices_of(text: str) -> float | list[float] | None:
    """One price, or one for each kind of chip; None when none was given."""
    prices = [positive(part.strip(), "count", "--price-per-chip-h") for part in text.split(",")] if text else []
    found = [price for price in prices if price is not None]
    return (found[0] if len(found) == 1 else found) if found else None


def rate_of(text: str, flag: str) -> float | None:
    """Bytes per second of a link: ``50GB/s`` or ``400Gbps``; None when it was not given."""
    if not text:
        return None
    plain = text.strip().removesuffix("/s").strip()
    bits = plain.lower().endswith(("bps", "bit"))
    number = plain[:-3] + "B" if bits else plain
    value = positive(number, "bytes", flag)
    return value / BITS_PER_BYTE if bits and value is not None else value


def plan(
    question: Annotated[
        Path | None, typer.Argument(metavar="QUESTION", help="Question file (YAML or JSON); - reads standard input.")
    ] = None,
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
    return Call("plan", (asked(question),), {"deep": deep}, "planning", progress=True)


def train(
    question: MaybeQuestion = None,
    name: Name = "",
    model: Model = "",
    tokens: Annotated[str, typer.Option("--tokens", help="Tokens to train on, such as 300B.")] = "",
    chips: Annotated[
        str,
        typer.Option(
            "--chips",
            help="CHIP:N; several kinds CHIP:N,CHIP:N of which the best is taken; or "
            "pools CHIP:N@ZONE+CHIP:N@ZONE that work at one job.",
        ),
    ] = "",
    layout: Layout = "",
    global_batch: Annotated[int | None, typer.Option("--global-batch", min=1, help="Sequences of one optimizer step.")] = None,
    seq_len: Annotated[int | None, typer.Option("--seq-len", min=1, help="Tokens of one sequence.")] = None,
    precision: Annotated[
        str, typer.Option("--precision", help="Matrix arithmetic: bf16, fp16, fp8, fp8-block, mxfp8, nvfp4.")
    ] = "",
    stack: Stack = "",
    optimizer: Annotated[str, typer.Option("--optimizer", help="adam (or adamw), adam8bit, adafactor, muon or sgd.")] = "adam",
    deadline: Annotated[str, typer.Option("--deadline", help="Longest duration allowed, such as 60d.")] = "",
    objective: Annotated[str, typer.Option("--objective", help="time, cost, energy or chips: what to make small.")] = "time",
    price_per_chip_h: Annotated[
        str, typer.Option("--price-per-chip-h", help="Price of one chip for one hour; comma between those of several kinds.")
    ] = "",
    currency: Currency = "USD",
    budget: Annotated[str, typer.Option("--budget", help="Most money for chip-hours, such as 5M.")] = "",
    max_chips: Annotated[
        int,
        typer.Option("--max-chips", min=0, help="Search over counts of chips up to this; --chips CHIP then needs no count."),
    ] = 0,
    gang: Annotated[str, typer.Option("--gang", help="Take chips in whole nodes (NODE), or in multiples of a number.")] = "",
    offload: Annotated[
        bool, typer.Option("--offload", help="Let optimizer states and activations live in host memory where that helps.")
    ] = False,
    start: Annotated[str, typer.Option("--start", help="Month of the start, such as 2023-05.")] = "",
    overlap: Annotated[
        str, typer.Option("--overlap", help="Share of dp, tp, pp, cp, ep traffic that may hide: dp=0.5,tp=off.")
    ] = "",
    routing: Annotated[
        str, typer.Option("--routing", help="Tokens to experts: dropless, or capacity=1.25,pad; with imbalance=1.3.")
    ] = "",
    within: Annotated[
        str, typer.Option("--within", help="What a search keeps of a layout: tp=8,schedule=1f1b|zero-bubble.")
    ] = "",
    fit_confidence: Annotated[
        float | None,
        typer.Option("--fit-confidence", min=0.0, max=0.99, help="Share of cases in which a searched layout must fit; 0.9."),
    ] = None,
    between: Annotated[
        str, typer.Option("--between", help="Link between zones of pools, one direction: 400Gbps, 50GB/s.")
    ] = "",
    between_latency: Annotated[str, typer.Option("--between-latency", help="Time of an empty message on it, as 1ms.")] = "",
    launch: LaunchTrain = "",
    folder: Folder = None,
    calibration: Annotated[
        Path | None, typer.Option("--calibration", help="Corrections that `calibrate --runs` wrote.")
    ] = None,
    seed: Seed = 0,
) -> Call:
    """Plan a training: layout, days, memory, cost.

    From flags, or one training of a question file, on the chips of its market that meet its deadline at the least rent.
    """
    if question is not None:
        alone(
            {
                "--model": model, "--tokens": tokens, "--layout": layout, "--global-batch": global_batch, "--seq-len": seq_len,
                "--precision": precision, "--stack": stack, "--deadline": deadline, "--price-per-chip-h": price_per_chip_h,
                "--budget": budget, "--max-chips": max_chips, "--gang": gang, "--offload": offload,
                "--start": start, "--between": between, "--between-latency": between_latency,
                "--overlap": overlap, "--routing": routing, "--within": within, "--fit-confidence": fit_confidence is not None,
            },
            "train",
        )  # fmt: skip
        alone({"--launch": launch, "--calibration": calibration}, "train", "a question file")
        further = {"chips": chips, "seed": seed or None}
        return Call("train_question", (asked(question), *([name] if name else [])), further, "searching layouts", progress=True)
    needed({"--model": model, "--tokens": tokens, "--chips": chips}, "train")
    if "+" in chips:
        unused: dict[str, object] = {"--layout": layout, "--deadline": deadline, "--budget": budget}
        unused |= {"--price-per-chip-h": price_per_chip_h}
        unused |= {"--max-chips": max_chips, "--gang": gang, "--offload": offload}
        unused |= {
            "--launch": launch,
            "--calibration": calibration,
            "--within": within,
        }
        alone(unused, "train", "mixed pools")
        pooled = {
            "between_bytes_per_s": rate_of(between, "--between"),
            "between_s": positive(between_latency, "time", "--between-latency"),
            "global_batch": global_batch or None, "seq_len": seq_len or None, "precision": precision, "stack": stack,
            "optimizer": choose("optimizer", optimizer, ("adam", "adamw", "adam8bit", "adafactor", "muon", "sgd")),
            "start": start, "overlap": overlap, "routing": routing, "seed": seed or None,
        }  # fmt: skip
        pooled |= {} if fit_confidence is None else {"fit_confidence": fit_confidence}
        return Call("train_mixed", (model, tokens, chips), pooled, "searching layouts over pools")
    alone({"--between": between, "--between-latency": between_latency}, "train", "one kind of chips")
    named = {
        "layout": layout,
        "global_batch": global_batch or None,
        "seq_len": seq_len or None,
        "precision": precision,
        "stack": stack,
        "optimizer": choose("optimizer", optimizer, ("adam", "adamw", "adam8bit", "adafactor", "muon", "sgd")),
        "deadline_s": positive(with_unit(deadline, "--deadline"), "time", "--deadline"),
        "objective": choose("objective", objective, ("time", "days", "cost", "energy", "chips")),
        "price_per_chip_h": prices_of(price_per_chip_h),
        "currency": currency,
        "budget": positive(budget, "count", "--budget"),
        "max_chips": max_chips or None,
        "gang": gang,
        "offload": offload,
        "start": start,
        "seed": seed or None,
    }
    if within:
        named["within"] = within
    if fit_confidence is not None:
        alone({"--layout": layout}, "train", "--fit-confidence")
        named["fit_confidence"] = fit_confidence
    if overlap or routing:
        alone({"--launch": launch if overlap else ""}, "train", "--overlap")
        named |= {"overlap": overlap, "routing": routing}
    if calibration is not None:
        alone({"--launch": launch}, "train", "--calibration")
        named["calibration"] = str(calibration)
    if launch:
        return Call("launch_train", (model, tokens, chips, launch), {**named, "folder": folder}, "searching layouts")
    return Call("train", (model, tokens, chips), named, "searching layouts")


def serve(
    question: MaybeQuestion = None,
    name: Name = "",
    model: Model = "",
    chip: Annotated[
        str,
        typer.Option("--chip", "--chips", help="Catalog id or alias of the chip; several, with commas, to choose among."),
    ] = "",
    isl: Annotated[float | None, typer.Option("--isl", help="Tokens of a prompt.")] = None,
    osl: Annotated[float | None, typer.Option("--osl", help="Tokens of an answer.")] = None,
    isl_p95: Annotated[
        float | None, typer.Option("--isl-p95", help="95th percentile of them; all equal when left out.")
    ] = None,
    osl_p95: Annotated[
        float | None, typer.Option("--osl-p95", help="95th percentile of them; all equal when left out.")
    ] = None,
    rate: Annotated[str, typer.Option("--rate", help="Requests per second.")] = "",
    concurrency: Annotated[str, typer.Option("--concurrency", help="Requests in the system at any time.")] = "",
    visits_per_day: Annotated[str, typer.Option("--visits-per-day", help="Requests of one day, such as 1e9.")] = "",
    trace: Annotated[Path | None, typer.Option("--trace", help="Recorded requests (CSV or JSON lines).")] = None,
    layout: Layout = "",
    stack: Stack = "",
    weight_dtype: Annotated[str, typer.Option("--weight-dtype", help="Format of the weights, such as fp8.")] = "",
    kv_dtype: Annotated[str, typer.Option("--kv-dtype", help="Format of the cache.")] = "",
    ttft_p99: Annotated[
        str, typer.Option("--ttft-p99", help="99th percentile of the time to the first token, such as 2s.")
    ] = "",
    tpot_p99: Annotated[
        str, typer.Option("--tpot-p99", help="99th percentile of the time per further token, such as 100ms.")
    ] = "",
    peak_to_mean: Annotated[float, typer.Option("--peak-to-mean", min=1.0, help="Peak of the day over its mean.")] = 1.0,
    draft_tokens: Annotated[int, typer.Option("--draft-tokens", min=0, help="Drafted per round of decoding.")] = 0,
    acceptance: Annotated[
        float | None, typer.Option("--acceptance", help="Chance that a drafted token is accepted; 0.75 if left out.")
    ] = None,
    prefix_share: Annotated[float, typer.Option("--prefix-share", help="Share of each prompt found in the cache.")] = 0.0,
    offloaded: Annotated[float, typer.Option("--offloaded", help="Share of that which lies in host memory.")] = 0.0,
    requests: Annotated[
        int, typer.Option("--simulated-requests", min=0, help="Requests to simulate; 0 for formulas alone.")
    ] = 20_000,
    apart: Annotated[
        bool, typer.Option("--apart", help="Also prompts and answers on replicas of their own, and the front of speed.")
    ] = False,
    lossy: Annotated[bool, typer.Option("--lossy", help="8-bit and 4-bit formats may be chosen too.")] = False,
    by_hour: Annotated[
        bool, typer.Option("--by-hour", help="Of a question: cost of a response by the hour, idle chips, what would save.")
    ] = False,
    deferrable: Annotated[
        float | None, typer.Option("--deferrable", help="With --by-hour: share of the requests that may wait; 0.3 if left out.")
    ] = None,
    together: Annotated[
        bool, typer.Option("--together", help="Of a question: all services and trainings on one fleet, and what that saves.")
    ] = False,
    kept: Annotated[Path | None, typer.Option("--requests", help="Write each simulated request to this Parquet file.")] = None,
    launch: LaunchServe = "",
    folder: Folder = None,
    seed: Seed = 0,
) -> Call:
    """Plan a service: chips, latencies, cost per answer.

    From flags, or one service of a question file, on the chip of its market that carries it at the least rent.
    """
    levers = {
        "--draft-tokens": draft_tokens, "--acceptance": acceptance, "--prefix-share": prefix_share, "--offloaded": offloaded,
    }  # fmt: skip
    if question is not None:
        alone(
            {
                **levers, "--requests": kept,
                "--model": model, "--isl": isl, "--osl": osl, "--isl-p95": isl_p95, "--osl-p95": osl_p95,
                "--rate": rate, "--concurrency": concurrency,
                "--visits-per-day": visits_per_day, "--trace": trace, "--layout": layout, "--stack": stack,
                "--weight-dtype": weight_dtype, "--kv-dtype": kv_dtype, "--ttft-p99": ttft_p99, "--tpot-p99": tpot_p99,
            },
            "serve",
        )  # fmt: skip
        if by_hour or together:
            from suanzhang.cli.verbs_serve import whole_question

            return whole_question(asked(question), name, chip, seed, deferrable, by_hour=by_hour)
        further = {"chip": chip, "simulated_requests": requests if requests != 20_000 else None, "seed": seed or None}
        return Call(
            "serve_question", (asked(question), *([name] if name else [])), further, "sizing the service", progress=True
        )
    needed({"--model": model, "--chip": chip}, "serve")
    if by_hour or together:
        raise InputError("--by-hour and --together need a question file", fix="give one; see `suanzhang serve --help`")
    if apart or lossy or "," in chip:
        from suanzhang.cli.verbs_serve import kinds_call

        fixed = {"--concurrency": concurrency, "--trace": trace, "--layout": layout, "--requests": kept, **levers}
        return kinds_call(
            model, chip, fixed, isl=isl, osl=osl, isl_p95=isl_p95, osl_p95=osl_p95, rate=rate, visits_per_day=visits_per_day,
            ttft_p99=ttft_p99, tpot_p99=tpot_p99, peak_to_mean=peak_to_mean, weight_dtype=weight_dtype, kv_dtype=kv_dtype,
            lossy=lossy, stack=stack, seed=seed,
        )  # fmt: skip
    named: dict[str, object] = {
        "isl": isl,
        "osl": osl,
        "isl_p95": isl_p95,
        "osl_p95": osl_p95,
        "rate": positive(rate, "count", "--rate"),
        "concurrency": positive(concurrency, "count", "--concurrency"),
        "visits_per_day": positive(visits_per_day, "count", "--visits-per-day"),
        "trace": str(trace) if trace else "",
        "layout": layout,
        "stack": stack,
        "weight_dtype": weight_dtype,
        "kv_dtype": kv_dtype,
        "ttft_p99_s": positive(ttft_p99, "time", "--ttft-p99"),
        "tpot_p99_s": positive(tpot_p99, "time", "--tpot-p99"),
        "peak_to_mean": peak_to_mean if peak_to_mean != 1.0 else None,
        "draft_tokens": draft_tokens or None,
        "acceptance": acceptance,
        "prefix_share": prefix_share or None,
        "offloaded": offloaded or None,
        "simulated_requests": requests if requests != 20_000 else None,
        "seed": seed or None,
        "requests_file": kept,
    }
    if launch:
        return Call("launch_serve", (model, chip, launch), {**named, "folder": folder}, "sizing the service")
    return Call("serve", (model, chip), named, "sizing the service")


def validate(
    truth: Annotated[Path | None, typer.Option("--truth", help="File of measurements; those that ship when left out.")] = None,
    phase: Annotated[str, typer.Option("--phase", help="training or serving; both when left out.")] = "",
    rows: Annotated[bool, typer.Option("--rows", help="One entry per row, predicted beside measured.")] = False,
    leave_out: Annotated[
        str, typer.Option("--leave-out", help="source, or chip: judge training as if the chip of a row had never been seen.")
    ] = "source",
) -> Call:
    """Print our error on published measurements."""
    choose("leave-out", leave_out, ("source", "chip"))
    named = {
        "leave_out": leave_out if leave_out != "source" else None,
        "truth": truth,
        "phase": choose("phase", phase, ("training", "serving")) if phase else "",
        "rows": rows,
    }
    return Call("validate", (), named, "predicting published runs", progress=True)


def calibrate(
    paths: Annotated[list[Path] | None, typer.Argument(metavar="[PATH...]", help="Kernel timings (Parquet or CSV).")] = None,
    chip: Annotated[str, typer.Option("--chip", help="Catalog id or alias of the chip that was timed.")] = "",
    stack: Annotated[str, typer.Option("--stack", help="Engine or library with its version, such as vllm-0.12.0.")] = "",
    runs: Annotated[
        Path | None, typer.Option("--runs", help="Own runs (CSV: model, chips, layout, global_batch, seq_len, step_s).")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", help="With --runs: where to write the corrections, for `train --calibration`.")
    ] = None,
    folder: Annotated[Path | None, typer.Option("--folder", help="Where to write the profile; nowhere when left out.")] = None,
    source: Annotated[str, typer.Option("--source", help="Where the timings come from.")] = "own measurement",
    check: Annotated[bool, typer.Option("--check", help="Only show how well the shipped fits do.")] = False,
) -> Call:
    """Fit a chip's profile to kernel timings, or narrow the model of training by a few of your own runs."""
    if check:
        alone({"PATH": paths, "--stack": stack, "--runs": runs, "--keep": keep, "--folder": folder}, "calibrate", "--check")
        return Call("calibrate_check", (chip,) if chip else (), {}, "reading the record of the fits")
    if runs is not None:
        alone({"PATH": paths, "--chip": chip, "--stack": stack, "--folder": folder}, "calibrate", "--runs")
        return Call("calibrate_runs", (str(runs),), {"keep": str(keep) if keep else None}, "fitting corrections")
    if keep is not None:
        raise InputError("--keep without --runs", fix="a profile of kernels goes to --folder")
    if not paths or not chip or not stack:
        missing = "PATH" if not paths else "--chip" if not chip else "--stack"
        raise InputError(f"missing {missing}", fix="give kernel timings with --chip and --stack, or your runs with --runs")
    return Call(
        "calibrate", ([str(path) for path in paths], chip, stack), {"folder": folder, "source": source}, "fitting kernels"
    )


def catalog(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="chips, models, offers, markets, sites, sources, stacks or figures.")
    ],
    name: Annotated[str, typer.Argument(metavar="[ID]", help="One entry, every value with its source.")] = "",
) -> Call:
    """Show chips, models, prices, with sources."""
    return Call("look_up", (kind, name) if name else (kind,), {}, "reading the catalog")


def rest(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Serve the same verbs over HTTP."""
    import uvicorn

    uvicorn.run("suanzhang.rest.app:create_app", factory=True, host=host, port=port, log_level="warning")
