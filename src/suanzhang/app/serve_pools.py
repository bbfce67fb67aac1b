"""Pools of replicas of different chips and roles: what each can answer, and requests followed through all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from suanzhang.app.serve_input import parse_serve_layout
from suanzhang.app.serve_size_split import cache_bytes_per_token, link_bytes_per_s
from suanzhang.app.serve_size_way import Prepared, draw_demand, run_at
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.errors import InputError, nearest_names
from suanzhang.sim.operations import Autoscaler, Failures
from suanzhang.sim.pool import AWARE, ROLES, Beginnings, RoleName, RolePool
from suanzhang.sim.pools import Fates, Served, check_roles, follow
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import LengthSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.sim import Floats

__all__ = (
    "AWARE", "Beginnings", "Fates", "PoolAsk", "RoleName", "Rules", "Served", "batch_of", "capacity_per_s", "carry_s",
    "check_roles", "follow", "read_pool", "role_pools",
)  # fmt: skip

QUEUE = 20_000
"""Waiting requests of one replica at which a run stops as overloaded."""


@dataclass(frozen=True, slots=True)
class PoolAsk:
    """A pool as a user names it."""

    chip: ChipSpec
    replicas: int
    layout: ServeLayout
    role: RoleName


def read_pool(text: str) -> PoolAsk:
    """``"4 h100-sxm-80 tp=2 prefill"``: replicas, chip, layout, role; one chip and mixed when left out.

    Raises:
        InputError: it cannot be read.
    """
    words = text.replace(";", " ").split()
    if not words or not words[0].isdigit() or int(words[0]) < 1:
        raise InputError(f"pool {text!r}: no number of replicas", fix='write for example "4 h100-sxm-80 tp=2 prefill"')
    if len(words) < 2:
        raise InputError(f"pool {text!r}: no chip", fix='write for example "4 h100-sxm-80 tp=2 prefill"')
    layout, role = ServeLayout(), "mixed"
    for word in words[2:]:
        if "=" in word:
            layout = parse_serve_layout(word)
        elif word.lower() in ROLES:
            role = word.lower()
        else:
            near = nearest_names(word, ROLES)
            raise InputError(f"pool {text!r}: cannot read {word!r}", fix=f"did you mean {near[0] if near else 'tp=2'}?")
    return PoolAsk(find_chip(words[1]), int(words[0]), layout, cast(RoleName, role))


def capacity_per_s(ready: Prepared, role: RoleName, isl: float, osl: float) -> float:
    """Requests of mean length that one replica answers per second when it is never idle.

    Model:
        A mixed replica by the steady-state formulas. A prefill replica runs prompts one after another in its token budget. A
        decode replica runs as many sequences as its pages and places hold at mid-answer.

    Args:
        ready: the replica.
        role: what it does.
        isl, osl: mean tokens of a prompt and of an answer.

    Returns:
        Requests per second.

    Equation:
        prefill: 1 / (isl / tokens * t_mixed(tokens)); decode: b / (t_decode(b, b (isl + osl/2)) osl)

    Validity:
        Lengths near their means.

    Sources:
        derived
    """
    table, settings = ready.table, ready.settings
    if role == "mixed":
        return ready.estimate.capacity_requests_per_s
    if role == "prefill":
        tokens = float(settings.max_batched_tokens)
        pairs = table.prefill_pair_s * 0.5 * isl * isl
        return 1.0 / (isl / tokens * float(np.interp(tokens, table.mixed_tokens, table.mixed_base_s)) + pairs)
    context = isl + 0.5 * osl
    batch = int(max(min(settings.max_seqs, settings.kv_blocks * settings.block_tokens / context), 1.0))
    step = float(table.decode_base_s[batch] + table.decode_context_s[batch] * batch * context)
    return batch / (step * max(osl, 1.0))


def batch_of(ready: Prepared, role: RoleName, rate: float, lengths: tuple[LengthSpec, LengthSpec]) -> float:
    """Requests that one replica has at a rate of its own, mean.

    Model:
        A mixed replica is simulated. In a prefill replica prompts queue as in a server that is taken up to nine tenths. In a
        decode replica they are those that arrive while one is answered, by Little's law, at the batch that they make.

    Args:
        ready: the replica.
        role: what it does.
        rate: requests/s that it is sent.
        lengths: of prompts and answers.

    Returns:
        Requests, running and waiting.

    Equation:
        prefill: u / (1 - u), u = rate / capacity; decode: b = rate * osl * t_decode(b, b (isl + osl/2))

    Validity:
        Below the capacity; at it the batch of a full replica.

    Sources:
        derived
    """
    isl, osl = (length.mean for length in lengths)
    able = capacity_per_s(ready, role, isl, osl)
    used = min(rate / able, 0.9)
    if role == "mixed":
        return run_at(ready, draw_demand(*lengths), used * able, 1).batch_mean
    if role == "prefill":
        return used / (1.0 - used)
    batch, context = 1.0, isl + 0.5 * osl
    for _ in range(30):
        place = min(max(round(batch), 1), ready.settings.max_seqs)
        step = float(ready.table.decode_base_s[place] + ready.table.decode_context_s[place] * batch * context)
        batch = max(used * able * osl * step, 1.0)
    return batch


@dataclass(frozen=True, slots=True)
class Rules:
    """What happens to requests and replicas on the way.

    Args:
        queue_timeout_s: a request that waits longer for its first iteration is given up; None for never.
        failures: how replicas fail; None for never.
        cold_start_s: until a new replica serves, where open replicas follow the load; None where all are open.
    """

    queue_timeout_s: float | None = None
    failures: Failures | None = None
    cold_start_s: float | None = None


def role_pools(
    readies: Sequence[Prepared], asks: Sequence[PoolAsk], weights: Sequence[float], rules: Rules, peak: float,
    lengths: tuple[LengthSpec, LengthSpec], requests: int,
) -> list[RolePool]:  # fmt: skip
    """The pools as the simulator takes them.

    Args:
        readies, asks: the pools.
        weights: requests/s that all replicas of each can answer.
        rules: what happens on the way.
        peak: requests/s of all pools together at the peak, for how many requests a replica should have.
        lengths: of prompts and answers.
        requests: that will be followed.

    Raises:
        InputError: a time-out is not positive.
    """
    if rules.queue_timeout_s is not None and not rules.queue_timeout_s > 0.0:
        raise InputError(f"queue_timeout_s: {rules.queue_timeout_s:g} is not positive", fix="give seconds, or leave it out")
    whole = {role: sum(w for w, ask in zip(weights, asks, strict=True) if ask.role == role) for role in ROLES}
    apart = min(whole["prefill"], whole["decode"])
    found = []
    for ready, ask, weight in zip(readies, asks, weights, strict=True):
        settings = replace(ready.settings, max_queue=min(QUEUE, requests))
        if rules.queue_timeout_s is not None:
            settings = replace(settings, queue_timeout_s=rules.queue_timeout_s)
        scaler = None
        if rules.cold_start_s is not None:
            side = 1.0 if ask.role == "mixed" else apart / whole[ask.role]
            rate = peak * side * weight / (whole["mixed"] + apart) / ask.replicas
            batch = batch_of(ready, ask.role, rate, lengths)
            scaler = Autoscaler(max(ask.replicas // 4, 1), max(0.5 * batch, 1.0), 60.0, rules.cold_start_s)
        found.append(RolePool(ready.table, settings, ask.replicas, ask.role, weight / ask.replicas, rules.failures, scaler))
    return found


def carry_s(readies: Sequence[Prepared], asks: Sequence[PoolAsk], link: float) -> Floats:
    """Time that the cache of one prompt token takes from each prefill pool to each decode pool [s].

    Args:
        readies, asks: the pools.
        link: bandwidth between their replicas [bytes/s]; 0 for all network ports of the slower side.
    """
    found = np.zeros((len(asks), len(asks)))
    for sender, giving in enumerate(asks):
        for taker, taking in enumerate(asks):
            if (giving.role, taking.role) == ("prefill", "decode"):
                speed = link or link_bytes_per_s(readies[sender].way, readies[taker].way)
                found[sender, taker] = cache_bytes_per_token(readies[sender].way) / speed
    return found
