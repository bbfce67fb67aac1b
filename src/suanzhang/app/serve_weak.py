"""Figures of weak origin behind what is served, planned and bought, weighed by the terms that rest on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from suanzhang.source import Quoted
from suanzhang.spec.buy import BuyResult
from suanzhang.spec.job import ServiceSpec
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.plan import PlanResult
from suanzhang.spec.question import Question
from suanzhang.spec.serve import OpenLoop, ServeResult
from suanzhang.spec.serve_way import Way
from suanzhang.spec.trust import Flag, Node
from suanzhang.spec.trust_plain import plain

if TYPE_CHECKING:
    from suanzhang.app.serve_improve_today import Today

_SERVED = (
    "model", "chip", "chips", "replicas", "replica", "ttft_s", "tpot_s", "cost_per_response", "energy_j_per_response",
)  # fmt: skip
"""Fields of an answer that its trees of terms are built from."""
_QUIETER = (0.8, 0.5, 0.2)
"""Share of its capacity at which a way is looked at that carries its rate only with drafts or a prefix cache."""


def weak_serving(result: ServeResult, model: ModelSpec) -> tuple[Flag, ...]:
    """Weak figures that weigh more than 5 % of the latencies, memory, chips, cost or energy of a deployment.

    Args:
        result: the deployment.
        model: what it serves.
    """
    from suanzhang.app.explain_serve import explain_serve
    from suanzhang.app.weak import weak_inputs

    body: dict[str, Any] = {name: plain(getattr(result, name)) for name in _SERVED}
    return weak_inputs(explain_serve({**body, "sized": result.sized is not None}, {"model": model})[0])


def weak_ways(ways: Iterable[tuple[Way, float]], service: ServiceSpec, rents: Mapping[str, Quoted | None]) -> tuple[Flag, ...]:
    """Weak figures that weigh more than 5 % of the latencies or the rent of any of several ways to serve, by chip.

    Args:
        ways: each with the rate of one replica.
        service: what is served.
        rents: per chip and hour, by kind.
    """
    from suanzhang.app.explain_tree import quoted
    from suanzhang.app.serve_estimate import estimate_serve
    from suanzhang.app.weak import weak_inputs

    trees: list[Node] = []
    seen: set[tuple[str, str, str]] = set()
    for way, rate in ways:
        key = (way.model.id, way.chip.id, way.weight_dtype)
        if key in seen:
            continue
        seen.add(key)
        work = OpenLoop(max(rate, 1e-6), service.input_tokens, service.output_tokens)
        found = estimate_serve(way.model, way.chip, way.layout, way.stack, way.weight_dtype, way.kv_dtype, work)
        for share in _QUIETER:
            if not found.saturated:
                break
            quieter = OpenLoop(share * found.capacity_requests_per_s, service.input_tokens, service.output_tokens)
            found = estimate_serve(way.model, way.chip, way.layout, way.stack, way.weight_dtype, way.kv_dtype, quieter)
        if not found.saturated:  # no latency exists where the queue grows
            trees += _latencies(plain(found), way.chip.id, way.model, f" on {way.chip.id}")
        rent = rents.get(way.chip.id)
        if rent is not None:
            trees.append(Node(f"rent on {way.chip.id}", rent.value, rent.unit, "given", "", (quoted("rent", rent),)))
    return weak_inputs(trees)


def market_rents(today: Today) -> dict[str, Quoted | None]:
    """The cheapest rent of each kind of chip on the market of a question, with its origin."""
    from suanzhang.app.buy import usable_offers

    offers, _ = usable_offers(today.world.market, today.asked.currency)
    found: dict[str, Quoted | None] = {}
    for offer in offers:
        known = found.get(offer.chip)
        if offer.kind in ("rent", "spot", "reserve") and (known is None or offer.price.value < known.value):
            found[offer.chip] = offer.price
    return found


def _latencies(stored: Mapping[str, Any], chip: str, model: ModelSpec, of: str) -> list[Node]:
    """Trees of the latencies of a stored replica."""
    from suanzhang.app.explain_serve import Replica, latencies

    replica = Replica.of(stored, chip, model)
    return latencies(replica, stored, of)


def _bill(bought: BuyResult, question: Question) -> Node:
    """Tree of the cost of a schedule."""
    from suanzhang.app.explain_cost import cost_tree

    rows = [
        {
            "offer": row.offer, "action": row.action, "chip": row.chip, "chips": row.chips, "lines": row.lines,
        }
        for row in bought.schedule
    ]  # fmt: skip
    return cost_tree({"schedule": rows, "cost": plain(bought.cost), "lines": plain(bought.lines)}, question)


def weak_buying(bought: BuyResult, question: Question) -> tuple[Flag, ...]:
    """Weak figures that weigh more than 5 % of the cost of a schedule.

    Args:
        bought: the schedule.
        question: what was asked.
    """
    from suanzhang.app.weak import weak_inputs

    return weak_inputs([_bill(bought, question)])


def weak_plan(result: PlanResult, question: Question) -> tuple[Flag, ...]:
    """Weak figures that weigh more than 5 % of the cost, of the days of a training or of the latencies of a service.

    Args:
        result: the plan.
        question: what was asked.
    """
    from suanzhang.app.explain_terms import days_tree, run_on
    from suanzhang.app.explain_train import plan_job
    from suanzhang.app.weak import weak_inputs
    from suanzhang.catalog.chips import chip
    from suanzhang.catalog.models import model

    trees = [_bill(result.buy, question)]
    asks = {ask.name: ask for ask in question.train}
    for training in result.train:
        ask, option = asks[training.name], training.option
        job, stack = plan_job(ask, question, option.chip, option.global_batch)
        run = run_on(job, chip(option.chip), stack, option.layout)
        name = f"days of {training.name}"
        trees.append(days_tree(run, batch_given=bool(ask.global_batch), seq_given=bool(ask.seq_len), name=name, layers=False))
    models = {ask.name: ask.model for ask in question.serve}
    for service in result.serve:
        peak = plain(service.sized.peak)
        trees += _latencies(peak, service.sized.chip, model(models[service.name]), f" of {service.name}")
    return weak_inputs(trees)
