"""Explain the verbs that compare ways to serve: levers, kinds of chips, hours of the day, shared fleets, days, benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from suanzhang.app.explain_serve import Replica, explain_serve, latencies, memory
from suanzhang.app.explain_tree import asked, dotted, held, leaf, less, named, over
from suanzhang.app.explain_ways import (
    Deployed,
    Placed,
    Service,
    catalog_rents,
    placed,
    priced,
    question_of,
    replica_of,
    saved,
    service_of,
    tried,
)
from suanzhang.app.import_benchmark import workload_of
from suanzhang.app.serve_improve_data import lever_facts
from suanzhang.app.serve_input import request_rate
from suanzhang.app.serve_size_way import carried_by
from suanzhang.app.serve_verb_lengths import spec_of_lengths
from suanzhang.catalog.chips import chip as chip_of
from suanzhang.catalog.models import model as model_of
from suanzhang.catalog.models import models
from suanzhang.sim.fleet import simulate_fleet
from suanzhang.spec.imports import Measured
from suanzhang.spec.job import LoadSpec, ServiceSpec, SloSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.serve import ClosedLoop, OpenLoop, Percentiles
from suanzhang.spec.trust import Given, Node
from suanzhang.spec.trust_plain import plain, rebuilt
from suanzhang.units import HOUR_S, MONTH_S

Trees = tuple[list[Node], list[str]]
_KWH_J = 3.6e6
_NIGHT = "training at night"


def explain_launch(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Trees:
    """Trees of the service that a launch starts."""
    return explain_serve(body["plan"], inputs)


# ---------------------------------------------------------------- improve


def explain_improve(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Trees:
    """Trees of the deployment of today, of what each lever saves against it, and of the best combination."""
    service = service_of(question_of(inputs), str(body["service"]))
    today = Deployed(body["baseline"], str(body["model"]), service, " today")
    best = Deployed(body["combined"], _combined_model(body), service, " with the best combination")
    trees = [_steps(body), *tried(best), *tried(today)]
    for lever in body["levers"]:
        if lever["deployment"]:
            trees += _lever(lever, body, service)
    return [tree for tree in trees if tree.value is not None], []


def _steps(body: Mapping[str, Any]) -> Node:
    """The saving of the combination, lever by lever."""
    money = body["saving_per_month"]
    if not money:
        parts = tuple(
            named(f"rent that {step['name']} leaves", float(step["cost_fraction"]), "fraction") for step in body["steps"][-1:]
        )
        taken = (named("rent of today", 1.0, "fraction"), *(less(part) for part in parts))
        return held(Node("saved by the best combination", float(body["saving_fraction"]), "fraction", "sum", "", parts=taken))
    parts = tuple(
        named(f"further saved by {step['name']}", float(step["saving_per_month"]["amount"]), str(money["currency"]),
              note=f"{step['chips']} chips left")
        for step in body["steps"] if step["name"] != "today"
    )  # fmt: skip
    amount = float(money["amount"])
    return held(Node("saved by the best combination", amount, str(money["currency"]), "sum", "", parts=parts, note="a month"))


def _lever(lever: Mapping[str, Any], body: Mapping[str, Any], service: Service) -> list[Node]:
    """What one lever saves: the rent of today less the rent with it."""
    name = str(lever["name"])
    model = _other(lever, str(body["model"])) if name in _OTHER_MODELS else str(body["model"])
    made = Deployed(lever["deployment"], model, service, f" with {name}")
    rent, today = made.rent(), body["baseline"]["rent_per_month"]
    fact = lever_facts().get("disaggregation" if name == "chip-mix" else name)
    if rent is None or not today:
        chips = made.chips()
        before = named("chips today", sum(float(str(text).rpartition(":")[2]) for text in body["baseline"]["chips"]), "chips")
        return [saved(f"chips saved by {name}", before, chips)]
    now = named("rent of a month today", float(today["amount"]), str(today["currency"]))
    tree = replace(saved(f"saved by {name}", now, rent), note=f"{lever['words']}; a month")
    if fact is not None and lever["quality"]:
        quality = Given("cost in quality of the answers", fact.quality, "", fact.source, fact.grade)
        tree = replace(tree, inputs=(quality,))
    return [tree]


_OTHER_MODELS = ("smaller-model", "moe-model")
"""Levers that put another model in the place of the asked one."""


def _combined_model(body: Mapping[str, Any]) -> str:
    """The model that the best combination serves."""
    levers = {str(lever["name"]): lever for lever in body["levers"]}
    others = [levers[name] for name in body["combination"] if name in _OTHER_MODELS and name in levers]
    return _other(others[-1], str(body["model"])) if others else str(body["model"])


def _other(lever: Mapping[str, Any], model: str) -> str:
    """The model that a lever puts in the place of the asked one: its words begin with its name."""
    name = str(lever["words"]).partition(":")[0]
    return next((known for known, shape in models().items() if name in (known, shape.name)), model)


# ---------------------------------------------------------------- kinds of chips


def explain_kinds(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Trees:
    """Trees of each deployment, cheapest first, and of the points between speed for a user and for a chip."""
    lengths = spec_of_lengths(*(inputs.get(name) for name in ("isl", "osl", "isl_p95", "osl_p95")))  # type: ignore[arg-type]
    top = float(inputs.get("peak_to_mean") or body.get("peak_to_mean") or 1.0)
    ask = ServiceSpec("service", model_of(str(body["model"])), float(inputs["rate"]), *lengths,
                      LoadSpec("flat" if top == 1.0 else "diurnal", top), SloSpec())  # fmt: skip
    kinds = tuple(dict.fromkeys(kind for option in body["options"] for kind in option["kinds"]))
    rents = catalog_rents(kinds) if body["by_money"] else {}
    service = Service(ask, rents)
    trees: list[Node] = []
    for number, option in enumerate(body["options"]):
        of = "" if not number else f" of way {number + 1}"
        made = [replace(tree, note="; ".join(part for part in (str(option["deployment"]["words"]), tree.note) if part))
                for tree in tried(Deployed(option["deployment"], str(body["model"]), service, of))]  # fmt: skip
        trees += made if number < 2 else made[:1]
    for point in body["front"]:
        if point["knee"]:
            trees += _point(point, body, lengths[0].mean, lengths[1].mean)
    return trees, []


def _point(point: Mapping[str, Any], body: Mapping[str, Any], isl: float, osl: float) -> list[Node]:
    """Speed for a user and for a chip at the knee of one kind."""
    (pool,) = placed(str(point["words"]))
    users = float(point["concurrency"])
    replica = replica_of(pool, model_of(str(body["model"])), ClosedLoop(users, isl, osl))
    tpot, _ = latencies(replica, replica.stored)
    name = f"tokens a second of a user on {point['chip']} at {users:.0f} users"
    one = held(
        replace(over(name, named("one token", 1.0, "tokens"), tpot, "tokens/s"), value=float(point["tokens_per_s_per_user"]))
    )
    whole = named("tokens a second of a replica", float(replica.stored["output_tokens_per_s"]), "tokens/s")
    chips = named("chips of a replica", float(pool.layout.chips), "chips")
    each = over(name.replace("of a user", "of a chip"), whole, chips, "tokens/s")
    return [one, held(replace(each, value=float(point["tokens_per_s_per_chip"])))]


# ---------------------------------------------------------------- a simulated day


def explain_day(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Trees:
    """Trees of the latencies over a day, of the replicas and of what they answer."""
    mean = request_rate(inputs.get("rate"), inputs.get("visits_per_day")) or float(body["requests_per_s"])
    lengths = spec_of_lengths(
        float(inputs.get("isl") or body["isl"]), float(inputs.get("osl") or body["osl"]),
        inputs.get("isl_p95"), inputs.get("osl_p95"),
    )  # fmt: skip
    most = max(
        (one for one in body.get("pools", ()) if one["role"] != "prefill"), key=lambda one: float(one["share"]), default=body
    )
    layout = rebuilt(ServeLayout, most["layout"], "layout")
    pool = Placed(
        "", 0, chip_of(str(most["chip"])), layout, str(body["weight_dtype"]), str(body["kv_dtype"]), str(body["engine"])
    )
    model = model_of(str(body["model"]))
    replica = replica_of(pool, model, OpenLoop(mean * float(most.get("share", 1.0)) / float(most["replicas"]), *lengths))
    how = f"mean over {body['finished']:,} simulated requests of {body['replicas_followed']} replicas"
    note = f"{how}; iterations in the steady state"
    trees = [replace(tree, formula=dotted(simulate_fleet), note=note) for tree in latencies(replica, body)]
    top = float(inputs.get("peak_to_mean") or body.get("peak_to_mean") or 1.0)
    asks = (
        asked("requests a second, mean of the day", mean, "1/s", given=True),
        asked("peak over mean", top, "times", given="peak_to_mean" in inputs),
    )
    peak = Node("requests a second at the peak", mean * top, "1/s", "product", "", asks)
    tpot = trees[0]
    if inputs.get("replicas") or body.get("pools"):
        replicas = Node("replicas", float(body["replicas"]), "replicas", "formula", "", (
            asked("replicas", float(body["replicas"]), "replicas", given=True),))  # fmt: skip
    else:
        replicas = Node("replicas", float(body["replicas"]), "replicas", "formula", dotted(carried_by), (), (peak, *tpot.parts),
                        note="peak over the highest rate that one carries within the targets, rounded up")  # fmt: skip
    finished = named("requests finished", float(body["finished"]), "requests")
    fate = tuple(named(words, float(body[key]), "requests") for key, words in (
        ("timed_out", "timed out"), ("rejected", "rejected"), ("unfinished", "unfinished")))  # fmt: skip
    requests = held(
        Node("requests", float(body["requests"]), "requests", "sum", dotted(simulate_fleet), parts=(finished, *fate))
    )
    tokens = Node("tokens a second", float(body["output_tokens_per_s"]), "tokens/s", "formula", dotted(simulate_fleet),
                  (asked("tokens of an answer, mean", lengths[1].mean, "tokens", given=True),), (finished,))  # fmt: skip
    return [*trees, replicas, requests, tokens, memory(replica)], []


# ---------------------------------------------------------------- one fleet for several


def explain_share(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Trees:
    """Trees of the chips apart and together, of what each way saves, and of each service alone."""
    question = question_of(inputs)
    alone = [_alone(one, question) for one in body["alone"]]
    night = [way for way in body["ways"] if way["name"] == _NIGHT]
    training = tuple(
        held(saved(f"chips of its own of {', '.join(way['members'])}", named("apart", float(way["chips_apart"]), "chips"),
                   named("shared", float(way["chips_shared"]), "chips")))
        for way in night if way["chips_apart"]
    )  # fmt: skip
    apart = held(
        Node("chips apart", float(body["chips_apart"]), "chips", "sum", "", parts=(*(chips for chips, _ in alone), *training))
    )
    good = tuple(_way(way) for way in body["ways"] if way["saved_chips"] > 0 and way["meets_targets"])
    freed = held(Node("chips saved by sharing", float(body["saved_chips"]), "chips", "sum", "", parts=good))
    freed = freed if good else replace(freed, joined="given", note="no way to share saves chips and meets the targets")
    shared = held(Node("chips together", float(body["chips_shared"]), "chips", "sum", "", parts=(apart, less(freed))))
    trees = [shared, freed, *(rent for _, rent in alone if rent is not None)]
    money = body["saved_per_month"]
    kind = str(body["chip"])
    rent = service_of(question).rents.get(kind)
    if money and rent is not None:
        hours = named("hours of a month", MONTH_S / HOUR_S, "h")
        amount, unit = float(money["amount"]), str(money["currency"])
        trees.append(
            held(Node("saved by sharing", amount, unit, "product", "", (priced(kind, rent),), (freed, hours), note="a month"))
        )
    trees += [_way(way) for way in body["ways"] if way not in good]
    return trees, []


def _alone(one: Mapping[str, Any], question: Any) -> tuple[Node, Node | None]:
    """Chips and rent of a service alone."""
    service = service_of(question, str(one["name"]))
    (pool, *_) = placed(str(one["words"]))
    carrying = max(int(one["replicas"]) - service.asked.redundancy.count, 1)
    stored = {
        "words": one["words"], "chips": [f"{pool.chip.id}:{one['chips']}"], "replicas": one["replicas"],
        "requests_per_s_per_replica": (service.peak.value or 0.0) / carrying, "rent_per_month": one["cost_per_month"],
        "cost_per_response": None,
        "ttft_s": plain(Percentiles.constant(0.0)), "tpot_s": plain(Percentiles.constant(0.0)),
    }  # fmt: skip
    made = Deployed(stored, str(one["model"]), service, f" of {one['name']}")
    return made.chips(), made.rent()


def _way(way: Mapping[str, Any]) -> Node:
    """What one way to share saves."""
    name = f"chips saved: {way['name']}, {', '.join(way['members'])}"
    note = "; ".join(part for part in (str(way["words"]), str(way["note"])) if part)
    before, after = (
        named("chips apart", float(way["chips_apart"]), "chips"),
        named("chips together", float(way["chips_shared"]), "chips"),
    )
    return replace(saved(name, before, after), value=float(way["saved_chips"]), formula=dotted(simulate_fleet), note=note)


# ---------------------------------------------------------------- benchmarks


def explain_benchmark(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Trees:
    """Trees of what is predicted for each run of a benchmark, and of the error against what was measured."""
    pool = Placed("", 0, chip_of(str(body["chip"])), rebuilt(ServeLayout, body["layout"], "layout"), str(body["weight_dtype"]),
                  str(body["kv_dtype"]), str(body["engine"]))  # fmt: skip
    model, trees = model_of(str(body["model"])), []
    for number, stored in enumerate(body["runs"], 1):
        run = rebuilt(Measured, stored, "run")
        replica = replica_of(pool, model, workload_of(run))
        of = f" of run {number}"
        for metric in (one for one in body["metrics"] if int(one["run"]) == number):
            trees += _metric(metric, replica, of)
    return trees, []


def _metric(metric: Mapping[str, Any], replica: Replica, of: str) -> list[Node]:
    """One predicted figure, and its error."""
    tpot, ttft = latencies(replica, replica.stored, of)
    value, words = float(metric["predicted"]), str(metric["metric"])
    known = {"tpot_s": tpot, "ttft_s": ttft}
    name, unit = {"e2e_s": ("time of a request", "s"), "output_tokens_per_s": ("tokens a second", "tokens/s")}.get(
        words, ("", "s")
    )
    tree = known.get(words) or Node(
        f"{name}{of}", value, unit, "formula", tpot.formula, (), (ttft, tpot), note="steady state by formulas"
    )
    ours, theirs = (
        named("predicted", value, tree.unit),
        leaf(asked("measured", float(metric["measured"]), tree.unit, given=True)),
    )
    ratio = over("predicted over measured", ours, theirs, "fraction")
    error = Node(
        f"error of the {tree.name}",
        float(metric["error"]),
        "fraction",
        "sum",
        parts=(ratio, Node("less one", -1.0, "fraction")),
    )
    return [replace(tree, value=value), held(error)]
