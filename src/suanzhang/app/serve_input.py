"""Reads what a user writes about a service: layout, traffic and recorded traces."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np

from suanzhang.errors import InputError, nearest_names
from suanzhang.spec.job import LengthSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.sim import RequestBatch
from suanzhang.units import DAY_S

LEAST_REQUESTS_PER_S = 1e-6
"""Below it the times of arrival outgrow the microseconds that a 64-bit number of seconds keeps."""


def parse_serve_layout(text: str) -> ServeLayout:
    """``"tp=8,pp=2"`` as a layout.

    Raises:
        InputError: an unknown key, or a value that is no positive whole number.
    """
    names = [field.name for field in fields(ServeLayout)]
    found: dict[str, int] = {}
    for part in text.split(","):
        key, equals, value = (item.strip() for item in part.partition("="))
        if not equals or key.lower() not in names:
            near = nearest_names(key, names)
            raise InputError(f"layout: cannot read {part.strip()!r}", fix=f"did you mean {' or '.join(near) or 'tp=8'}?")
        if not value.isdigit() or int(value) < 1:
            raise InputError(f"layout {key}: {value!r} is no positive whole number", fix=f"write for example {key}=8")
        found[key.lower()] = int(value)
    return ServeLayout(**found)


def request_rate(rate: float | None, visits_per_day: float | None) -> float | None:
    """Requests per second from whichever of the two was given; None for neither.

    Raises:
        InputError: both were given, or the value is not positive or too small for a clock in seconds.
    """
    if rate is not None and visits_per_day is not None:
        raise InputError("rate and visits per day are both given", fix="give one of them")
    value = rate if rate is not None else visits_per_day / DAY_S if visits_per_day is not None else None
    if value is not None and not value > 0.0:
        raise InputError(f"the request rate must be positive, got {value:g}", fix="give a rate above zero")
    if value is not None and value < LEAST_REQUESTS_PER_S:
        raise InputError(f"{value:g} requests per second are less than one in eleven days", fix="give a larger rate")
    return value


def read_trace(name: str) -> RequestBatch:
    """Requests of a recorded trace, in order of arrival; rows of failed requests are left out.

    Raises:
        InputError: no such file, not such a trace, or fewer than two requests.
    """
    from suanzhang.app.traces import read_trace as read

    found = read(name).requests
    if len(found) < 2:
        raise InputError(f"trace: {Path(name).name} has fewer than two requests", fix="give a longer trace")
    return found


def trace_lengths(tokens: np.ndarray) -> LengthSpec:
    """The length distribution that stands for recorded lengths in the steady-state formulas."""
    mean, p95 = float(np.mean(tokens)), float(np.percentile(tokens, 95))
    return LengthSpec("lognormal", mean, p95) if p95 > 1.02 * mean else LengthSpec("fixed", mean, mean)
