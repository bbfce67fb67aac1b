"""Explain a service: latencies from the terms of an iteration, cost and energy of a response from chips and prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from suanzhang.app.explain_tree import asked, dotted, efficiencies, held, named, of_chip, of_stack, over, quoted
from suanzhang.app.physics import Physics, physics
from suanzhang.app.serve_energy import replica_power_w
from suanzhang.app.serve_estimate import estimate_serve, fitted
from suanzhang.app.serve_size import size_service
from suanzhang.app.serve_verb_answer import rent_per_chip_h
from suanzhang.catalog.chips import chip as chip_of
from suanzhang.catalog.models import model as model_of
from suanzhang.catalog.stacks import serve_stack
from suanzhang.perf.attention import decode_attention_s, mla_decode_s, prefill_attention_s
from suanzhang.perf.collectives import allreduce_s, alltoall_s, p2p_s
from suanzhang.perf.elementwise import memory_bound_s
from suanzhang.perf.gemm import gemm_s
from suanzhang.perf.moe import moe_ffn_s
from suanzhang.perf.serving.iteration import iteration_terms
from suanzhang.perf.serving.memory import replica_memory
from suanzhang.perf.serving.precision import compute_dtype
from suanzhang.perf.serving.steady import open_loop
from suanzhang.sim.replica import simulate
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.stack import ServeStack
from suanzhang.spec.trust import Given, Node
from suanzhang.units import HOUR_S

_PRODUCTS = ("peak", "kernels", "hbm", "matmul")
_TERMS: Mapping[str, tuple[str, ...]] = {
    "projections": _PRODUCTS,
    "ffn": _PRODUCTS,
    "experts": _PRODUCTS,
    "head": _PRODUCTS,
    "mixer": _PRODUCTS,
    "prefill_attention": ("peak", "kernels", "attention"),
    "decode_attention": ("kernels", "hbm", "attention"),
    "elementwise": ("hbm", "memory"),
    "tensor_comm": ("link", "collective"),
    "expert_comm": ("link", "nic", "collective"),
    "pipeline_comm": ("link", "nic", "collective"),
    "launch": ("launch", "layer_kernels"),
    "host": ("host", "host_per_seq"),
}
"""Term of an iteration: the figures that it rests on."""
_KERNELS: Mapping[str, str] = {
    **dict.fromkeys(("projections", "ffn", "head", "mixer"), dotted(gemm_s)),
    "experts": dotted(moe_ffn_s),
    "prefill_attention": dotted(prefill_attention_s),
    "decode_attention": dotted(decode_attention_s),
    "elementwise": dotted(memory_bound_s),
    "tensor_comm": dotted(allreduce_s),
    "expert_comm": dotted(alltoall_s),
    "pipeline_comm": dotted(p2p_s),
}
"""Term of an iteration: the formula of its kernels, or of its messages; the others are of the iteration itself."""


@dataclass(frozen=True, slots=True)
class Replica:
    """A stored estimate of a replica with what it rests on."""

    stored: Mapping[str, Any]
    chip: ChipSpec
    stack: ServeStack
    at: Physics
    model: ModelSpec | None = None

    @classmethod
    def of(cls, stored: Mapping[str, Any], chip: str, model: ModelSpec | None = None) -> Replica:
        """The replica that a result holds.

        Args:
            stored: the estimate as JSON.
            chip: catalog id.
            model: what it serves; its terms are shown by layer where it is known.
        """
        kind, stack = chip_of(chip), serve_stack(str(stored["stack"]))
        return cls(stored, kind, stack, physics(kind, compute_dtype(kind, stored["weight_dtype"]), stack.profile), model)

    def givens(self) -> dict[str, Given]:
        """Figures that the terms of an iteration rest on, by short name."""
        chip, stack = self.chip, self.stack
        dtype = compute_dtype(chip, self.stored["weight_dtype"])
        found = {
            "peak": of_chip(chip, f"peak_flop_per_s.{dtype}", f"{dtype} peak"),
            "kernels": efficiencies(self.at, chip),
            "hbm": of_chip(chip, "hbm_bytes_per_s", "memory bandwidth"),
            "link": of_chip(chip, "link_bytes_per_s", "link bandwidth"),
            "nic": of_chip(chip, "node.nic_bytes_per_s", "network bandwidth"),
            "launch": of_stack(stack, "launch_s", "s", "host time of a launch"),
            "layer_kernels": of_stack(stack, "layer_kernels", "kernels", "kernels of a layer"),
            "host": of_stack(stack, "host_s", "s", "host time of an iteration"),
            "host_per_seq": of_stack(stack, "host_per_seq_s", "s", "host time of a sequence"),
        }
        for name in ("matmul", "attention", "memory", "collective"):
            table = getattr(fitted(), name)
            value = table.get(stack.engine, table.get("", 1.0))
            note = f"fitted to published runs of {len(fitted().fitted_on)} sources"
            found[name] = Given(
                f"time of {name} inside an engine over isolated", value, "times", "serving-fit", "derived", note
            )
        return found


def iteration(name: str, replica: Replica, key: str, note: str) -> Node:
    """The stored terms of one iteration as a sum.

    Args:
        name: of the iteration.
        replica: the replica.
        key: "terms" (decoding) or "prefill_terms".
        note: which load it is of.
    """
    givens = replica.givens()
    parts = [
        Node(
            str(term["name"]).replace("_", " "), float(term["value"]), "s", "formula",
            _formula(term, replica.model),
            tuple(givens[figure] for figure in _TERMS.get(str(term["name"]), ())),
            _layer(str(term["name"]), float(term["value"]), replica.model),
        )
        for term in replica.stored[key]
    ]  # fmt: skip
    total = sum(part.value or 0.0 for part in parts)
    shown = tuple(sorted(parts, key=lambda part: -(part.value or 0.0)))
    return Node(name, total, "s", "sum", dotted(iteration_terms), parts=shown, note=note)


def _formula(term: Mapping[str, Any], model: ModelSpec | None) -> str:
    """The formula behind a term; a compressed cache is decoded by its own."""
    name = str(term["name"])
    if name == "decode_attention" and model is not None and model.mla is not None:
        return dotted(mla_decode_s)
    return _KERNELS.get(name) or str(term["formula"]) or dotted(iteration_terms)


def _layer(term: str, value: float, model: ModelSpec | None) -> tuple[Node, ...]:
    """One layer of a term, where its layers are known: the mean over those that have it."""
    kind, count = layers_with(term, model) if model is not None else ("", 0)
    if not count or not value:
        return ()
    note = f"mean over {count} layers of a replica's pipeline"
    return (Node(f"{term.replace('_', ' ')} of one {kind} layer".replace("  ", " "), value / count, "s", "given", note=note),)


def layers_with(term: str, model: ModelSpec) -> tuple[str, int]:
    """Kind and number of the layers that a term of an iteration runs through; 0 for what is outside of them.

    Args:
        term: name of the term.
        model: what is served.
    """
    linear = model.linear.layers if model.linear else 0
    dense = model.layers - model.moe_layers
    counts = {
        "ffn": ("dense", dense),
        "experts": ("mixture", model.layers - dense),
        "expert_comm": ("mixture", model.layers - dense),
        "mixer": ("linear", linear),
        "prefill_attention": ("attention", model.layers - linear),
        "decode_attention": ("attention", model.layers - linear),
        "projections": ("", model.layers),
        "elementwise": ("", model.layers),
        "tensor_comm": ("", model.layers),
        "launch": ("", model.layers),
    }
    return counts.get(term, ("", 0))


def latencies(replica: Replica, stored: Mapping[str, Any], of: str = "") -> list[Node]:
    """Trees of the time to the first token and per further token.

    Args:
        replica: the replica.
        stored: what holds ``ttft_s`` and ``tpot_s``.
        of: what to add to the names.
    """
    simulated = int(replica.stored.get("requests_simulated") or 0)
    formula = dotted(simulate) if simulated else dotted(open_loop)
    how = f"mean over {simulated:,} simulated requests" if simulated else "steady state by formulas"
    batch = float(replica.stored["running_batch"])
    decode = iteration("one decode iteration", replica, "terms", f"{batch:.1f} sequences at once")
    prefill = iteration("prefill of one request", replica, "prefill_terms", "alone in its iteration")
    front = of_stack(replica.stack, "request_s", "s", "time before the engine")
    tpot = Node(
        f"time per further token{of}", float(stored["tpot_s"]["mean"]), "s", "formula", formula, (), (decode,), note=how
    )
    ttft = Node(
        f"time to the first token{of}", float(stored["ttft_s"]["mean"]), "s", "formula", formula, (front,), (prefill, decode),
        note=f"{how}; waits for running iterations, then its own prefill",
    )  # fmt: skip
    return [tpot, ttft]


def memory(replica: Replica, of: str = "") -> Node:
    """Tree of the memory of the fullest chip."""
    stored = replica.stored["memory"]
    taken = (of_stack(replica.stack, "reserve_bytes", "B", "memory of driver and libraries"),
             of_stack(replica.stack, "memory_fraction", "fraction", "share of the memory that the engine takes"))  # fmt: skip
    names = {"weights_bytes": "weights", "activation_bytes": "activations", "reserve_bytes": "reserve", "kv_bytes": "cache"}
    parts = tuple(
        Node(words, float(stored[key]), "B", "formula", dotted(replica_memory), taken if words == "reserve" else ())
        for key, words in names.items()
        if stored[key] is not None
    )
    have = of_chip(replica.chip, "hbm_bytes", "memory")
    total = sum(part.value or 0.0 for part in parts)
    return Node(f"memory of the fullest chip{of}", total, "B", "sum", dotted(replica_memory), (have,), parts)


def explain_serve(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> tuple[list[Node], list[str]]:
    """Trees of latencies, memory, chips, cost and energy of a serving result.

    Args:
        body: the result.
        inputs: what it was asked.
    """
    spec = inputs.get("model", body["model"])
    shape = spec if isinstance(spec, ModelSpec) else model_of(str(spec))
    replica = Replica.of(body["replica"], str(body["chip"]), shape)
    trees = [*latencies(replica, body), memory(replica), _chips(body, inputs)]
    if body.get("cost_per_response"):
        trees.append(_cost(body, replica.chip))
    trees.append(_energy(body, replica))
    return trees, []


def _rate(body: Mapping[str, Any]) -> float:
    return float(body["replica"]["requests_per_s"]) * float(body["replicas"])


def _chips(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Node:
    asks = [
        asked(name.replace("_", " "), inputs[name], unit, given=True)
        for name, unit in (("rate", "1/s"), ("visits_per_day", "1/d"), ("concurrency", "requests"), ("ttft_p99_s", "s"),
                           ("tpot_p99_s", "s"), ("isl", "tokens"), ("osl", "tokens"), ("peak_to_mean", "times"))
        if isinstance(inputs.get(name), (int, float))
    ]  # fmt: skip
    formula = dotted(size_service) if body.get("sized") else dotted(estimate_serve)
    capacity = Node(
        "requests that one replica can answer", float(body["replica"]["capacity_requests_per_s"]), "1/s", "given",
        dotted(estimate_serve), note=f"limited by {body['replica']['batch_limited_by']}",
    )  # fmt: skip
    return Node(
        "chips", float(body["chips"]), "chips", "formula", formula, tuple(asks), (capacity,),
        note=f"{body['replicas']} replicas of {body['replica']['chips']}",
    )  # fmt: skip


def _cost(body: Mapping[str, Any], chip: ChipSpec) -> Node:
    money = body["cost_per_response"]
    unit = str(money["currency"])
    rent = rent_per_chip_h(chip)
    price = quoted(f"rent of {chip.id} for an hour", rent.price if rent else None)
    price = replace(price, unit=f"{unit}/chip/h") if rent else price
    hourly = float(body["chips"]) * (float(price.value) if rent else 0.0)
    rate = hourly / HOUR_S / float(money["amount"])
    chips = named("chips", float(body["chips"]), "chips", dotted(size_service))
    rented = Node("rent of all chips for an hour", hourly, unit, "product", "", (price,), (chips,))
    answered = named("requests answered a second", rate, "1/s", dotted(estimate_serve))
    hour = Node(
        "requests answered in an hour", rate * HOUR_S, "requests", "product", "", (), (answered, named("an hour", HOUR_S, "s"))
    )
    made = over("cost of a response", rented, hour, unit, "suanzhang.app.serve_verb.serve")
    return held(replace(made, value=float(money["amount"])))


def _energy(body: Mapping[str, Any], replica: Replica) -> Node:
    plate = of_chip(replica.chip, "tdp_w", "nameplate power")
    shares = Given(
        "shares of the nameplate by use", "idle 0.18, busy 0.30, arithmetic 0.55, memory 0.30", "", "planner-default", "assumed"
    )
    power = Node(
        "draw of one chip", float(body["replica"]["power_w_per_chip"]), "W", "formula", dotted(replica_power_w), (plate, shares)
    )
    count, rate = float(body["replica"]["chips"]), float(body["replica"]["requests_per_s"])
    drawn = Node("draw of a replica", (power.value or 0.0) * count, "W", "product", "", (), (
        power, named("chips of a replica", count, "chips")))  # fmt: skip
    answered = named("requests a second of a replica", rate, "1/s", dotted(estimate_serve))
    made = over("energy of a response", drawn, answered, "J", dotted(estimate_serve))
    note = "chips only, without host and cooling"
    return held(replace(made, value=float(body["energy_j_per_response"]), note=note))
