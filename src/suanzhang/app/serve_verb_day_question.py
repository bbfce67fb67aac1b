"""``simulate`` asked by a question file: a day of one of its services, on the pools that it has or on a given chip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from suanzhang.app.plan_asks import engines_for, service_spec
from suanzhang.app.question import read_question
from suanzhang.app.serve_input import parse_serve_layout
from suanzhang.app.serve_pools import PoolAsk
from suanzhang.app.serve_verb_day import COLD_START_S, REPAIR_S, draft_of, follow_day, rules_of
from suanzhang.app.serve_verb_pools import PoolsAsk
from suanzhang.app.verbs_question import named_ask
from suanzhang.catalog.chips import chip as find_chip
from suanzhang.errors import InputError
from suanzhang.perf.serving.precision import compute_dtype
from suanzhang.spec.question import Question
from suanzhang.spec.serve_day import DayResult
from suanzhang.spec.serve_way import Prefix, Way

Progress = Callable[[str], None]


def simulate_question(
    question: Question | str | Path,
    name: str = "",
    *,
    chip: str = "",
    layout: str = "",
    replicas: int = 0,
    follow: int = 8,
    router: str = "least-loaded",
    prefix_share: float = 0.0,
    offloaded: float = 0.0,
    prefixes: int = 0,
    draft_tokens: int = 0,
    acceptance: float = 0.75,
    draft_model: str = "",
    urgent: float = 0.0,
    cancelled: float = 0.0,
    queue_timeout_s: float | None = None,
    mtbf_s: float | None = None,
    repair_s: float = REPAIR_S,
    autoscale: bool = False,
    cold_start_s: float = COLD_START_S,
    burstiness: float = 1.0,
    link_bytes_per_s: float | None = None,
    workers: int = 2,
    requests_file: str | Path = "",
    debug: bool = False,
    replications: int = 0,
    warmup_s: float | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> DayResult:
    """A day of one service of a question file, request by request.

    Args:
        question: a question, or a file or text that holds one.
        name: which of its services; may be left out where there is one.
        chip: kind of chip of a fleet of equal replicas; needed where the service states no pools.
        layout, replicas, follow, router, prefix_share, offloaded, prefixes, draft_tokens, acceptance, draft_model, urgent,
            cancelled, queue_timeout_s, mtbf_s, repair_s, autoscale, cold_start_s, burstiness, link_bytes_per_s, workers,
            requests_file, debug, replications, warmup_s: as in :func:`suanzhang.simulate`.
        seed: of everything random; that of the question when 0.
        progress: called with a line for each step.

    Raises:
        InputError: the question cannot be used, has no such service, or neither pools nor a chip are given.
        Infeasible: no layout fits or meets the targets.
    """
    asked = question if isinstance(question, Question) else read_question(question)
    ask = named_ask(asked.serve, name, "service", "serve")
    pools = [
        PoolAsk(find_chip(pool.chip), pool.replicas, parse_serve_layout(pool.layout or "tp=1"), pool.role) for pool in ask.pools
    ]
    if chip:
        pools = []
    if not pools and not chip:
        raise InputError(f"simulate: service {ask.name} states no pools", fix="give --chip, or pools in the question")
    if pools and (layout or replicas):
        raise InputError(
            "simulate: a layout or replicas beside the pools of the question", fix="change the pools, or give --chip"
        )
    kind = pools[0].chip if pools else find_chip(chip)
    half, spec = compute_dtype(kind, "bf16"), service_spec(ask)
    service = replace(spec, weight_dtype=spec.weight_dtype or half, kv_dtype=spec.kv_dtype or half)
    way = Way(
        service.model, kind, engines_for(ask, asked)[0], parse_serve_layout(layout or "tp=1"), service.weight_dtype,
        service.kv_dtype, draft_of(draft_tokens, acceptance, draft_model), Prefix(prefix_share, offloaded), router,
    )  # fmt: skip
    what = PoolsAsk(
        pools, way, replicas, None, prefixes, burstiness, urgent, cancelled,
        rules_of(queue_timeout_s, mtbf_s, repair_s, autoscale, cold_start_s), link_bytes_per_s or 0.0, warmup_s, workers,
        debug, seed or asked.seed, requests_file,
    )  # fmt: skip
    if progress is not None:
        progress(f"follow a day of {ask.name}")
    return follow_day(what, service, layout, follow, replications)
