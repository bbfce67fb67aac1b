"""The verbs about services beside ``serve`` itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from suanzhang.cli.faces import Call
from suanzhang.cli.verbs import Layout, MaybeQuestion, Model, Name, QuestionFile, Seed, Stack, alone, asked, needed, positive
from suanzhang.errors import InputError
from suanzhang.units import DAY_S, parse_quantity


def improve(
    question: QuestionFile,
    name: Name = "",
    chip: Annotated[str, typer.Option("--chip", help="Kind of chip of today; the cheapest one when left out.")] = "",
    prefix_share: Annotated[
        float | None, typer.Option("--prefix-share", help="Share of each prompt that a replica has computed before.")
    ] = None,
    acceptance: Annotated[float | None, typer.Option("--acceptance", help="Chance that a drafted token is accepted.")] = None,
    lossless: Annotated[bool, typer.Option("--lossless", help="Combine only levers that leave answers as they are.")] = False,
    seed: Seed = 0,
) -> Call:
    """Rank the levers of a service by money saved.

    Each lever is simulated alone at equal latency targets, then the best of them together.
    """
    named: dict[str, object] = {
        "chip": chip, "prefix_share": prefix_share, "acceptance": acceptance, "lossless": lossless, "seed": seed or None,
    }  # fmt: skip
    return Call("improve", (asked(question), *([name] if name else [])), named, "simulating levers", progress=True)


def kinds_call(model: str, chips: str, fixed: Mapping[str, object], **flags: Any) -> Call:
    """The call of ``serve`` for several kinds of chip, or for prompts and answers apart."""
    doubled = [flag for flag, value in fixed.items() if value]
    if doubled:
        raise InputError(f"{doubled[0]} together with several kinds of chip", fix="leave it out, or name one chip")
    rate = positive(flags.pop("rate"), "count", "--rate")
    visits = positive(flags.pop("visits_per_day"), "count", "--visits-per-day")
    if (rate is None) == (visits is None):
        raise InputError("serve: expected --rate or --visits-per-day", fix="give one of them")
    if flags["isl"] is None or flags["osl"] is None:
        raise InputError("serve: isl and osl are both needed", fix="give the tokens of a prompt and of an answer")
    peak = flags.pop("peak_to_mean")
    named = {
        **flags,
        "rate": rate if rate is not None else (visits or 0.0) / DAY_S,
        "ttft_p99_s": positive(flags.pop("ttft_p99"), "time", "--ttft-p99"),
        "tpot_p99_s": positive(flags.pop("tpot_p99"), "time", "--tpot-p99"),
        "peak_to_mean": peak if peak != 1.0 else None,
        "seed": flags["seed"] or None,
    }
    named = {name: value for name, value in named.items() if name not in ("ttft_p99", "tpot_p99")}
    return Call("serve_kinds", (model, chips), named, "sizing the service")


def whole_question(question: Path | str, name: str, chip: str, seed: int, deferrable: float | None, *, by_hour: bool) -> Call:
    """The call of ``serve QUESTION --by-hour`` or ``--together``."""
    named: dict[str, object] = {"chip": chip, "seed": seed or None}
    if by_hour:
        named["deferrable"] = deferrable
        return Call("serve_units", (question, *([name] if name else [])), named, "costing the hours", progress=True)
    return Call("serve_share", (question,), named, "sharing the fleet", progress=True)


_OF_TRAFFIC = frozenset(
    ("isl", "osl", "isl_p95", "osl_p95", "rate", "visits_per_day", "peak_to_mean", "stack", "weight_dtype", "kv_dtype",
     "ttft_p99_s", "tpot_p99_s", "pools", "trace")
)  # fmt: skip
"""Arguments that a question file says instead."""


def simulate(
    question: MaybeQuestion = None,
    name: Name = "",
    model: Model = "",
    chip: Annotated[str, typer.Option("--chip", "--chips", help="Catalog id or alias of the chip.")] = "",
    isl: Annotated[float | None, typer.Option("--isl", help="Tokens of a prompt, mean.")] = None,
    osl: Annotated[float | None, typer.Option("--osl", help="Tokens of an answer, mean.")] = None,
    isl_p95: Annotated[float | None, typer.Option("--isl-p95", help="95th percentile of prompts.")] = None,
    osl_p95: Annotated[float | None, typer.Option("--osl-p95", help="95th percentile of answers.")] = None,
    rate: Annotated[str, typer.Option("--rate", help="Requests per second, mean of the day.")] = "",
    visits_per_day: Annotated[str, typer.Option("--visits-per-day", help="Requests of the day, such as 1e9.")] = "",
    peak_to_mean: Annotated[float, typer.Option("--peak-to-mean", min=1.0, help="Peak of the day over its mean.")] = 1.0,
    layout: Layout = "",
    stack: Stack = "",
    weight_dtype: Annotated[str, typer.Option("--weight-dtype", help="Format of the weights.")] = "",
    kv_dtype: Annotated[str, typer.Option("--kv-dtype", help="Format of the cache.")] = "",
    ttft_p99: Annotated[str, typer.Option("--ttft-p99", help="Target of the first token, such as 2s.")] = "",
    tpot_p99: Annotated[str, typer.Option("--tpot-p99", help="Target per further token, such as 50ms.")] = "",
    replicas: Annotated[int, typer.Option("--replicas", min=0, help="Of the fleet; 0 for as many as it needs.")] = 0,
    follow: Annotated[int, typer.Option("--follow", min=0, help="Replicas to follow with their share; 0 for all.")] = 8,
    pool: Annotated[
        list[str] | None, typer.Option("--pool", help="Instead of a chip: '4 h100 tp=2 prefill', '2 h200 decode', '3 l40s'.")
    ] = None,
    link: Annotated[str, typer.Option("--link", help="Bytes per second from prefill to decode replicas, such as 50GB.")] = "",
    trace: Annotated[Path | None, typer.Option("--trace", help="Recorded requests to replay.")] = None,
    router: Annotated[
        str, typer.Option("--router", help="least-loaded, round-robin, power-of-two or prefix-aware.")
    ] = "least-loaded",
    prefix_share: Annotated[float, typer.Option("--prefix-share", help="Share of each prompt found in the cache.")] = 0.0,
    prefixes: Annotated[int, typer.Option("--prefixes", min=0, help="Beginnings that prompts share; 0: all find theirs.")] = 0,
    offloaded: Annotated[float, typer.Option("--offloaded", help="Share of that which lies in host memory.")] = 0.0,
    draft_tokens: Annotated[int, typer.Option("--draft-tokens", min=0, help="Drafted per round of decoding.")] = 0,
    acceptance: Annotated[float, typer.Option("--acceptance", help="Chance that a drafted token is accepted.")] = 0.75,
    draft_model: Annotated[
        str, typer.Option("--draft-model", help="Who drafts: head (EAGLE, MTP), lookup (n-grams), or a small model.")
    ] = "",
    urgent: Annotated[float, typer.Option("--urgent", help="Share of requests that go before the others.")] = 0.0,
    cancelled: Annotated[float, typer.Option("--cancelled", help="Share of answers that readers stop.")] = 0.0,
    timeout: Annotated[str, typer.Option("--timeout", help="A request that waits longer is given up, such as 30s.")] = "",
    mtbf: Annotated[str, typer.Option("--mtbf", help="Mean time between failures of a replica, such as 30d.")] = "",
    repair: Annotated[str, typer.Option("--repair", help="Mean time until it is back, such as 30min.")] = "",
    autoscale: Annotated[bool, typer.Option("--autoscale", help="Open replicas follow the load.")] = False,
    cold_start: Annotated[str, typer.Option("--cold-start", help="Until a new replica serves, such as 3min.")] = "",
    burstiness: Annotated[float, typer.Option("--burstiness", help="Variation of the gaps; 1 is Poisson.")] = 1.0,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Threads; they do not change the answer.")] = 2,
    requests: Annotated[
        Path | None, typer.Option("--requests", help="Write each followed request into this Parquet file.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Check the numbered invariants of the simulator on the way.")] = False,
    replications: Annotated[
        int,
        typer.Option("--replications", min=0, help="Days to follow, for what chance leaves open; 0 for as many as are quick."),
    ] = 0,
    warm_up: Annotated[
        str, typer.Option("--warm-up", help="Beginning left out of the latencies, such as 10min or 0s; found out if left out.")
    ] = "",
    seed: Seed = 0,
) -> Call:
    """Follow a day of a fleet, request by request.

    From flags, or one service of a question file on the pools that it states. With priorities, cancellations, time-outs,
    failures, scaling, prefix cache and drafts as asked.
    """
    if question is None:
        needed({"--model": model} | ({} if pool else {"--chip": chip}), "simulate")
        if trace is None and (isl is None or osl is None):
            raise InputError("simulate: isl and osl are both needed", fix="give the tokens of a prompt and of an answer")
    traffic: dict[str, object] = {
        "--model": model, "--isl": isl, "--osl": osl, "--isl-p95": isl_p95, "--osl-p95": osl_p95, "--rate": rate,
        "--visits-per-day": visits_per_day, "--stack": stack, "--weight-dtype": weight_dtype, "--kv-dtype": kv_dtype,
        "--ttft-p99": ttft_p99, "--tpot-p99": tpot_p99, "--pool": pool or None, "--trace": trace,
        "--peak-to-mean": peak_to_mean if peak_to_mean != 1.0 else None,
    }  # fmt: skip
    named: dict[str, object] = {
        "isl": isl, "osl": osl, "isl_p95": isl_p95, "osl_p95": osl_p95, "rate": positive(rate, "count", "--rate"),
        "visits_per_day": positive(visits_per_day, "count", "--visits-per-day"),
        "peak_to_mean": peak_to_mean if peak_to_mean != 1.0 else None, "layout": layout, "stack": stack,
        "weight_dtype": weight_dtype, "kv_dtype": kv_dtype, "ttft_p99_s": positive(ttft_p99, "time", "--ttft-p99"),
        "tpot_p99_s": positive(tpot_p99, "time", "--tpot-p99"), "replicas": replicas or None,
        "follow": follow if follow != 8 else None, "router": router if router != "least-loaded" else None,
        "prefix_share": prefix_share or None, "offloaded": offloaded or None, "draft_tokens": draft_tokens or None,
        "acceptance": acceptance if draft_tokens else None, "draft_model": draft_model,
        "urgent": urgent or None, "cancelled": cancelled or None,
        "queue_timeout_s": positive(timeout, "time", "--timeout"), "mtbf_s": positive(mtbf, "time", "--mtbf"),
        "repair_s": positive(repair, "time", "--repair"), "autoscale": autoscale,
        "cold_start_s": positive(cold_start, "time", "--cold-start"), "burstiness": burstiness if burstiness != 1.0 else None,
        "workers": workers if workers != 2 else None, "seed": seed or None, "requests_file": requests,
        "pools": pool or None, "link_bytes_per_s": positive(link, "bytes", "--link"), "prefixes": prefixes or None,
        "trace": str(trace) if trace else "", "debug": debug, "replications": replications or None,
        "warmup_s": parse_quantity(warm_up, "time", "--warm-up") if warm_up else None,
    }  # fmt: skip
    if question is not None:
        alone(traffic, "simulate")
        ours = {key: value for key, value in named.items() if key not in _OF_TRAFFIC}
        return Call(
            "simulate_question", (asked(question), *([name] if name else [])), {**ours, "chip": chip}, "following the day",
            progress=True,
        )  # fmt: skip
    return Call("simulate", (model, chip) if chip else (model,), named, "following the day")
