"""Explain a service by the hour: cost and energy of a response, what its chips are held for, and what would save."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from suanzhang.app.explain_serve import Replica
from suanzhang.app.explain_tree import dotted, held, named, over, quoted
from suanzhang.app.explain_ways import Deployed, Service, estimated, question_of, service_of, tried
from suanzhang.app.serve_energy import replica_power_w
from suanzhang.app.serve_units import NIGHT, PEAK
from suanzhang.money.economics import cost_per_response
from suanzhang.sim.fleet import simulate_fleet
from suanzhang.spec.serve import OpenLoop
from suanzhang.spec.trust import Given, Node
from suanzhang.spec.trust_plain import plain
from suanzhang.units import MONTH_S

Trees = tuple[list[Node], list[str]]


def explain_units(body: Mapping[str, Any], inputs: Mapping[str, Any]) -> Trees:
    """Trees of the cost and energy of a response by the hour, of what chips are held for, and of what would save."""
    question = question_of(inputs)
    service = service_of(question, str(body["service"]))
    made = Deployed(body["deployment"], str(body["model"]), service)
    hours = _Hours(body, service, made)
    trees = [*tried(made), hours.idle(), *hours.idle_money(), *hours.savings()]
    for hour in (body["day"], *body["tiers"], *body["hours"]):
        trees += hours.of(hour)
    return trees, []


class _Hours:
    """Hours of a day on the replicas that are kept."""

    def __init__(self, body: Mapping[str, Any], service: Service, made: Deployed) -> None:
        self.body, self.service, self.made = body, service, made
        money = body["deployment"]["rent_per_month"]
        self.rent = None if not money else named("rent of a month", float(money["amount"]), str(money["currency"]))
        self.chips = sum(float(str(text).rpartition(":")[2]) for text in body["deployment"]["chips"])

    def of(self, hour: Mapping[str, Any]) -> list[Node]:
        """Cost and energy of a response in an hour, a tier or the day."""
        at, trees = f" at {hour['name']}" if hour["name"] != "day" else " over the day", []
        rate = self._rate(hour)
        if hour["cost_per_response"] and self.rent is not None:
            money = hour["cost_per_response"]
            month = Node("responses of a month", (rate.value or 0.0) * MONTH_S, "responses", "product", "", (),
                         (rate, named("a month", MONTH_S, "s")))  # fmt: skip
            one = over(f"cost of a response{at}", self.rent, month, str(money["currency"]), dotted(cost_per_response))
            trees.append(held(replace(one, value=float(money["amount"]))))
            words, million = "millions of tokens of an answer", self.service.asked.output_tokens.mean / 1e6
            tokens = Node(words, million, "million tokens", "formula", "", self.service.lengths()[1:])
            response = named("cost of a response", float(money["amount"]), str(money["currency"]))
            mega = over(f"cost of a million tokens{at}", response, tokens, str(money["currency"]))
            trees.append(held(replace(mega, value=float(hour["cost_per_mtoken"]["amount"]))))
        return trees if float(hour["hours"]) == 1.0 else [*trees, self._energy(hour, rate, at)]

    def _rate(self, hour: Mapping[str, Any]) -> Node:
        return named("requests a second", float(hour["requests_per_s"]), "1/s")

    def _energy(self, hour: Mapping[str, Any], rate: Node, at: str) -> Node:
        value = float(hour["energy_j_per_response"])
        if float(hour["hours"]) > 1.0:
            members = [one for one in self.body["hours"] if _within(one, hour, self.body)]
            parts = tuple(self._energy(one, self._rate(one), f" at {one['name']}") for one in members)
            note = "mean over the responses of its hours"
            return Node(f"energy of a response{at}", value, "J", "formula", "", (), parts, note=note)
        share = max((rate.value or 0.0) / float(self.body["deployment"]["replicas"]), 1e-6)
        work = OpenLoop(share, self.service.asked.input_tokens, self.service.asked.output_tokens)
        replica = Replica.of(plain(estimated(self.made.pools[-1], self.made.model, work)), self.made.pools[-1].chip.id)
        draw = _draw(replica)
        power = Node("draw of all chips", (draw.value or 0.0) * self.chips, "W", "product", "", (),
                     (draw, named("chips", self.chips, "chips")))  # fmt: skip
        return held(replace(over(f"energy of a response{at}", power, rate, "J"), value=value))

    def idle(self) -> Node:
        """All chips, by what they are held for."""
        parts = tuple(named(f"held for {one['reason']}", float(one["chips"]), "chips") for one in self.body["idle"])
        return held(Node("chips by what they are held for", self.chips, "chips", "sum", "", parts=parts))

    def idle_money(self) -> list[Node]:
        """Their rent."""
        if self.rent is None:
            return []
        unit = self.rent.unit
        parts = tuple(
            held(Node(f"rent held for {one['reason']}", float(one["cost_per_month"]["amount"]), unit, "product", "", (), (
                self.rent, over("share of the chips", named("chips held", float(one["chips"]), "chips"),
                                named("all chips", self.chips, "chips"), "fraction"))))
            for one in self.body["idle"]
        )  # fmt: skip
        return [held(Node("rent by what chips are held for", self.rent.value, unit, "sum", "", parts=parts))]

    def savings(self) -> list[Node]:
        """What each change would save: a share of the rent."""
        trees = []
        for one in self.body["savings"]:
            share = Node("share of the rent", float(one["saving_fraction"]), "fraction", "formula", dotted(simulate_fleet),
                         self.service.lengths(), self.made.latencies()[0].parts, note=str(one["words"]))  # fmt: skip
            if one["saving_per_month"] and self.rent is not None:
                amount = float(one["saving_per_month"]["amount"])
                trees.append(
                    held(Node(f"saved by {one['name']}", amount, self.rent.unit, "product", "", (), (share, self.rent)))
                )
            else:
                trees.append(replace(share, name=f"share saved by {one['name']}"))
        return trees


def _within(hour: Mapping[str, Any], group: Mapping[str, Any], body: Mapping[str, Any]) -> bool:
    """Whether an hour belongs to a tier, or to the day."""
    top = max(float(one["requests_per_s"]) for one in body["hours"])
    rate = float(hour["requests_per_s"])
    tier = "peak" if rate >= PEAK * top else "middle" if rate >= NIGHT * top else "night"
    return str(group["name"]) in ("day", tier)


def _draw(replica: Replica) -> Node:
    """Mean draw of a chip of a replica."""
    plate = quoted(f"nameplate power of {replica.chip.id}", replica.chip.quotes.get("tdp_w"))
    shares = Given(
        "shares of the nameplate by use", "idle 0.18, busy 0.30, arithmetic 0.55, memory 0.30", "", "planner-default", "assumed"
    )
    return Node(
        "draw of one chip", float(replica.stored["power_w_per_chip"]), "W", "formula", dotted(replica_power_w), (plate, shares)
    )
