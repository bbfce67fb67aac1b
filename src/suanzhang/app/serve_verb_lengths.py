"""Lengths and rates of requests as users give them."""

from __future__ import annotations

import math

from suanzhang.errors import InputError
from suanzhang.spec.job import LengthSpec
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.sim import RequestBatch

WIDEST = 3.8
"""Largest 95th percentile of a lognormal length over its mean: no lognormal goes beyond exp(1.645^2 / 2) = 3.87."""


def spec_of_lengths(
    isl: float | None, osl: float | None, isl_p95: float | None, osl_p95: float | None
) -> tuple[LengthSpec, LengthSpec]:
    """Lengths of prompts and answers.

    Raises:
        InputError: a mean or percentile is missing or cannot be.
    """
    if isl is None or osl is None:
        raise InputError("serve: isl and osl are both needed", fix="give the tokens of a prompt and of an answer")
    return spec_of_length("isl", isl, isl_p95), spec_of_length("osl", osl, osl_p95)


def spec_of_length(name: str, mean: float, p95: float | None) -> LengthSpec:
    """Equal lengths, or lognormal ones when a 95th percentile is given.

    Raises:
        InputError: no such distribution exists.
    """
    if not 1.0 <= mean < math.inf:
        raise InputError(
            f"{name} must be a finite number of at least 1 token, got {mean:g}", fix=f"give an {name} of 1 or more"
        )
    if p95 is None:
        return LengthSpec("fixed", mean, mean)
    if not mean <= p95 <= WIDEST * mean:
        raise InputError(
            f"{name}_p95 must lie between the mean and {WIDEST:g} times the mean, got {p95:g} for a mean of {mean:g}",
            fix="give the 95th percentile of the length",
        )
    return LengthSpec("lognormal", mean, p95)


def hold_context(model: ModelSpec, inputs: LengthSpec, outputs: LengthSpec) -> None:
    """Refuses requests of which the mean one is longer than the context of the model; without attention there is no limit.

    Raises:
        InputError: prompt and answer together are too long.
    """
    recurrent = model.linear is not None and model.linear.layers == model.layers
    if not recurrent and inputs.mean + outputs.mean > model.max_seq:
        raise InputError(
            f"a prompt of {inputs.mean:,.0f} and an answer of {outputs.mean:,.0f} tokens are longer than the context of"
            f" {model.name}, {model.max_seq:,} tokens",
            fix="shorten them, or give a config.json with a larger max_position_embeddings",
        )


def trace_rate(trace: RequestBatch) -> float:
    """Mean rate of recorded requests.

    Raises:
        InputError: all arrive at once.
    """
    span = float(trace.arrival_s[-1])
    if not span > 0.0:
        raise InputError("trace: all requests arrive at once", fix="give a trace with times, or a concurrency")
    return float(len(trace)) / span
