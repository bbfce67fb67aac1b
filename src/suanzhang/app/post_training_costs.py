"""The costs of frameworks of reinforcement learning, with their grades and sources."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml

from suanzhang.errors import CatalogError
from suanzhang.spec.layout import TrainLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.post_training import RlCosts
from suanzhang.spec.stack import ServeStack, TrainStack
from suanzhang.spec.trust import Given

FILE = Path(__file__).resolve().parent / "data" / "rl_costs.yaml"
WORDS = {
    "spread_s": "time of an iteration to reach all processes of an engine",
    "token_s": "host time of a sampled token with its log-probability",
    "dispatch_s": "wait for the host of a layer with experts and pass",
    "copy_bytes_per_s": "rate of copies to pageable host memory",
    "tensor_s": "host time to hand over one tensor",
    "step_s": "host time of a step between its phases",
    "share": "share of the memory of an engine beside a training that sleeps",
    "share_apart": "share of the memory of an engine on chips of its own",
}


@functools.cache
def _body() -> Mapping[str, Any]:
    body: Mapping[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    for name in (field.name for field in fields(RlCosts)):
        entry = body["values"].get(name) or {}
        if not {"value", "unit", "grade", "source"} <= set(entry):
            raise CatalogError(f"{FILE.name}: {name} has no value, unit, grade or source", fix="fill it in")
    return body


@functools.cache
def rl_costs() -> RlCosts:
    """The costs that ship with the package.

    Raises:
        CatalogError: one of them has no value, unit, grade or source.
    """
    return RlCosts(**{name: float(entry["value"]) for name, entry in _body()["values"].items()})


def forget() -> None:
    """Read the file again when it is next asked."""
    _body.cache_clear()
    rl_costs.cache_clear()


def cost_given(name: str, value: float) -> Given:
    """One of them as a leaf of an explanation."""
    entry = _body()["values"][name]
    kept = abs(value - float(entry["value"])) <= 1e-12 * abs(value)
    source, grade = (str(entry["source"]), str(entry["grade"])) if kept else ("question", "asked")
    return Given(WORDS[name], value, str(entry["unit"]), source, grade, str(entry["note"]))


def untuned(stack: TrainStack) -> TrainStack:
    """A training stack as frameworks of reinforcement learning run it.

    Model:
        Sequences of unlike length are packed, so that neither graphs of whole layers nor buffers of a fixed size can be used:
        no graphs, no communication between tensor ranks or experts beside the products of its neighbours, no sending of a
        token to a node once for all its experts there, no fused loss, as the log-probability of each token is asked.

    Sources:
        [nemo-rl-performance] recipes: all-to-all dispatcher, no graphs, no overlap of tensor communication.
    """
    return replace(stack, graphs=False, overlap_tp=0.0, overlap_ep=0.0, overlap_pp=0.0, dedup_ep=False, fused_loss=False)


def sampling_engine(engine: ServeStack, chips: int, share: float, costs: RlCosts) -> ServeStack:
    """An engine as it samples: with less memory, and with log-probabilities handed out token by token.

    Args:
        engine: generation of the engine.
        chips: of one replica.
        share: of the memory that it may take.
        costs: of the framework.
    """
    spread = costs.spread_s if chips > 1 else 0.0
    return replace(
        engine,
        memory_fraction=min(share, engine.memory_fraction),
        host_s=engine.host_s + spread,
        host_per_seq_s=engine.host_per_seq_s + costs.token_s,
    )


def tensors_of(model: ModelSpec) -> float:
    """Tensors that are handed over one by one: projections and norms of each layer, three of each expert, and the ends.

    Example:
        >>> from suanzhang.catalog.models import model
        >>> tensors_of(model("qwen3-30b-a3b"))
        19155.0
    """
    attention = 4 if model.mla is not None else 2
    count = model.layers * (9 + attention) + 3
    if model.moe is not None:
        count += model.moe_layers * (3 * model.moe.experts + 4)
    return float(count)


def copy_span(layout: TrainLayout) -> int:
    """Chips over which one copy of the weights is spread."""
    return max(layout.tp * layout.cp, layout.ep) * layout.pp


__all__ = ["WORDS", "copy_span", "cost_given", "forget", "rl_costs", "sampling_engine", "tensors_of", "untuned"]
