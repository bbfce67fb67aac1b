"""The verbs themselves as scenarios: their inputs are the flags, their figures the keys of their JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from suanzhang.app.scenario_inputs import Inputs
from suanzhang.app.scenarios import Answer, scenario
from suanzhang.spec.result import Interval, Money


@scenario("train")
def train_verb(inputs: Inputs) -> Answer:
    """Plan a training: inputs are the flags of ``suanzhang train`` (model, tokens, chips, layout, global_batch, seq_len,
    precision, stack, deadline, price_per_chip_h, currency); answers every number of its JSON, such as days, step_s, mfu."""
    from suanzhang.app.train import train

    price = inputs.optional("price_per_chip_h", "count")
    found = train(
        inputs.text("model"), inputs.number("tokens"), inputs.text("chips"),
        layout=_text_or_none(inputs, "layout"), global_batch=int(inputs.number("global_batch", "count", 0.0)),
        seq_len=int(inputs.number("seq_len", "count", 0.0)), precision=inputs.text("precision", ""),
        stack=inputs.text("stack", ""), deadline_s=inputs.optional("deadline", "time"), price_per_chip_h=price,
        currency=inputs.text("currency", "USD"),
    )  # fmt: skip
    return numbers_of(found)


@scenario("serve")
def serve_verb(inputs: Inputs) -> Answer:
    """Plan a service: inputs are the flags of ``suanzhang serve`` (model, chip, isl, osl, rate or visits_per_day or
    concurrency, layout, stack, weight_dtype, kv_dtype, ttft_p99, tpot_p99, peak_to_mean); answers every number of its JSON,
    such as chips, output_tokens_per_s, ttft_s.p99, cost_per_response."""
    from suanzhang.app.serve import serve

    found = serve(
        inputs.text("model"), inputs.text("chip"), isl=inputs.number("isl"), osl=inputs.number("osl"),
        rate=inputs.optional("rate", "count"), concurrency=inputs.optional("concurrency", "count"),
        visits_per_day=inputs.optional("visits_per_day", "count"), layout=_text_or_none(inputs, "layout"),
        stack=_text_or_none(inputs, "stack"), weight_dtype=inputs.text("weight_dtype", ""),
        kv_dtype=inputs.text("kv_dtype", ""), ttft_p99_s=inputs.optional("ttft_p99", "time"),
        tpot_p99_s=inputs.optional("tpot_p99", "time"), peak_to_mean=inputs.number("peak_to_mean", "count", 1.0),
        seed=int(inputs.number("seed", "count", 0.0, positive=False)),
    )  # fmt: skip
    return numbers_of(found)


@scenario("plan")
def plan_verb(inputs: Inputs) -> Answer:
    """Plan a whole question: inputs are the keys of a question file; answers cost, cost_per_response.NAME, days.NAME,
    chips.NAME, power_peak_w."""
    from suanzhang.app.plan import plan
    from suanzhang.app.question import question_from

    inputs.used.update(inputs.given)
    found = plan(question_from(inputs.given, inputs.where))
    answer: Answer = {"cost": found.cost.amount, "cost_interval": found.cost_interval}
    answer["power_peak_w"] = max((row.peak_w for row in found.power), default=0.0)
    for training in found.train:
        answer[f"days.{training.name}"] = training.option.days
        answer[f"days.{training.name}_interval"] = training.option.days_interval
        answer[f"chips.{training.name}"] = training.option.chips
    for service in found.serve:
        answer[f"chips.{service.name}"] = sum(share.chips for share in service.fleet)
        answer[f"cost_per_response.{service.name}"] = service.cost_per_response.amount
        answer[f"cost_per_response.{service.name}_interval"] = service.cost_per_response_interval
    return answer


def _text_or_none(inputs: Inputs, name: str) -> str | None:
    return inputs.text(name) if inputs.has(name) else None


def numbers_of(result: object, prefix: str = "") -> Answer:
    """Every number of a result under its key (parts after a point), money as its amount, with the intervals beside them."""
    found: Answer = {}
    items = result.items() if isinstance(result, Mapping) else _fields(result)
    for name, value in items:
        key = f"{prefix}{name}"
        if isinstance(value, Interval):
            found[key] = value
        elif isinstance(value, Money):
            found[key] = value.amount
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            found[key] = value
        elif isinstance(value, Mapping) or dataclasses.is_dataclass(value):
            found.update(numbers_of(value, f"{key}."))
    return found


def _fields(result: object) -> list[tuple[str, Any]]:
    if not dataclasses.is_dataclass(result):
        return []
    return [(item.name, getattr(result, item.name)) for item in dataclasses.fields(result)]
