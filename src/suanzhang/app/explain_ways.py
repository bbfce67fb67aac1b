"""Trees of a service deployed in some way: replicas from the load and what one carries, rent from chips, latencies from
iterations.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from suanzhang.app.buy import usable_offers
from suanzhang.app.explain_serve import Replica, latencies
from suanzhang.app.explain_tree import asked, dotted, held, less, named, over, quoted
from suanzhang.app.plan_asks import resolve_world, service_spec
from suanzhang.app.question import read_question
from suanzhang.app.serve_estimate import estimate_serve
from suanzhang.app.serve_input import parse_serve_layout
from suanzhang.app.serve_size_way import carried
from suanzhang.app.serve_verb_answer import rent_per_chip_h
from suanzhang.catalog.chips import chip as chip_of
from suanzhang.catalog.models import model as model_of
from suanzhang.catalog.stacks import serve_stack
from suanzhang.errors import PlannerError
from suanzhang.money.economics import cost_per_response
from suanzhang.source import Quoted
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.job import Redundancy, ServiceSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.question import Question
from suanzhang.spec.serve import OpenLoop, ServeEstimate, Workload
from suanzhang.spec.trust import Given, Node
from suanzhang.spec.trust_plain import plain
from suanzhang.units import HOUR_S, MONTH_S

_WAY = re.compile(r"(?:(prompts|answers) on (\d+) x )?(\S+) ((?:(?:tp|pp|dp)=\d+ ?)+) ?(\S+)/(\S+) (\S+?)(?:,|$)")
_RENTED = ("rent", "reserve")
_BUSY = 0.8
"""Share of its capacity at which a replica is looked at that carries its rate only with drafts or a prefix cache."""


@dataclass(frozen=True, slots=True)
class Placed:
    """One pool of replicas as a deployment words it: role and number where there are several pools."""

    role: str
    replicas: int
    chip: ChipSpec
    layout: ServeLayout
    weight_dtype: str
    kv_dtype: str
    stack: str


@dataclass(frozen=True, slots=True)
class Service:
    """What a deployment serves, and what its chips are let for.

    Args:
        asked: traffic, lengths and redundancy.
        rents: of a chip and hour, by kind.
        currency: of them.
    """

    asked: ServiceSpec
    rents: Mapping[str, Quoted] = field(default_factory=dict)
    currency: str = ""

    @property
    def peak(self) -> Node:
        """Requests a second at the peak of the day."""
        load = self.asked.load
        mean = asked("requests a second, mean of the day", self.asked.requests_per_s, "1/s", given=True)
        top = asked("peak of the day over its mean", load.peak_to_mean, "times", given=True)
        return Node(
            "requests a second at the peak", self.asked.requests_per_s * load.peak_to_mean, "1/s", "product", "", (mean, top)
        )

    @property
    def month(self) -> Node:
        """Responses of a month."""
        mean = asked("requests a second, mean of the day", self.asked.requests_per_s, "1/s", given=True)
        return Node("responses of a month", self.asked.requests_per_s * MONTH_S, "responses", "product", "", (mean,),
                    (named("a month", MONTH_S, "s"),))  # fmt: skip

    def lengths(self) -> tuple[Given, ...]:
        """Tokens of questions and answers."""
        return (asked("tokens of a prompt, mean", self.asked.input_tokens.mean, "tokens", given=True),
                asked("tokens of an answer, mean", self.asked.output_tokens.mean, "tokens", given=True))  # fmt: skip


def placed(words: str) -> tuple[Placed, ...]:
    """The pools of a deployment, from its words.

    Args:
        words: such as ``"h100-sxm-80 tp=1 bf16/bf16 vllm-0.12"``.
    """
    found = []
    for role, count, chip, layout, weight, cache, stack in _WAY.findall(words):
        place = parse_serve_layout(",".join(layout.split()))
        found.append(Placed(role, int(count or 0), chip_of(chip), place, weight, cache, stack))
    return tuple(found)


def service_of(question: Question, name: str = "") -> Service:
    """A service of a question with the cheapest rent of each kind on its market.

    Args:
        question: the question.
        name: which of its services; the first when left out.
    """
    ask = next(item for item in question.serve if not name or item.name == name)
    offers, _ = usable_offers(resolve_world(question).market, question.currency)
    rents: dict[str, Quoted] = {}
    for offer in offers:
        known = rents.get(offer.chip)
        if offer.kind in _RENTED and (known is None or offer.price.value < known.value):
            rents[offer.chip] = offer.price
    return Service(service_spec(ask), rents, question.currency)


def question_of(inputs: Mapping[str, Any]) -> Question:
    """The question that a verb was asked."""
    found = inputs["question"]
    return found if isinstance(found, Question) else read_question(str(found))


def catalog_rents(chips: tuple[str, ...]) -> dict[str, Quoted]:
    """The newest rent of each kind in the catalog."""
    found = {name: rent_per_chip_h(chip_of(name)) for name in chips}
    return {name: price.price for name, price in found.items() if price is not None}


def estimated(pool: Placed, model: ModelSpec, work: Workload) -> ServeEstimate:
    """A replica of a pool at a load; at four fifths of its capacity where the load is beyond it."""

    def at(load: Workload) -> ServeEstimate:
        stack = serve_stack(pool.stack)
        return estimate_serve(model, pool.chip, pool.layout, stack, pool.weight_dtype, pool.kv_dtype, load)

    found = at(work)
    if found.saturated and isinstance(work, OpenLoop):
        found = at(OpenLoop(_BUSY * found.capacity_requests_per_s, work.input, work.output))
    return found


def replica_of(pool: Placed, model: ModelSpec, work: Workload) -> Replica:
    """A replica of a pool at a load with what it rests on."""
    return Replica.of(plain(estimated(pool, model, work)), pool.chip.id, model)


class Deployed:
    """A stored deployment of a service."""

    def __init__(self, stored: Mapping[str, Any], model: str, service: Service, of: str = "") -> None:
        self.stored, self.service, self.of = stored, service, of
        self.pools = placed(str(stored["words"]))
        self.model = model_of(model)
        self.rate = float(stored["requests_per_s_per_replica"])

    def trees(self) -> list[Node]:
        """Cost of a response, rent, chips and latencies."""
        found = [self.cost(), self.rent(), self.chips(), *self.latencies()]
        return [node for node in found if node is not None]

    def cost(self) -> Node | None:
        """Rent of a month over its responses."""
        money, rent = self.stored["cost_per_response"], self.rent()
        if not money or rent is None:
            return None
        made = over(f"cost of a response{self.of}", rent, self.service.month, str(money["currency"]), dotted(cost_per_response))
        return held(replace(made, value=float(money["amount"])))

    def rent(self) -> Node | None:
        """Rent of a month by kind of chip."""
        money = self.stored["rent_per_month"]
        if not money:
            return None
        hours, parts = named("hours of a month", MONTH_S / HOUR_S, "h"), []
        for text in self.stored["chips"]:
            kind, _, count = str(text).rpartition(":")
            rent = self.service.rents.get(kind)
            amount = float(count) * (rent.value if rent else 0.0) * MONTH_S / HOUR_S
            given = (priced(kind, rent),) if rent else ()
            parts.append(Node(f"rent of {kind}", amount, str(money["currency"]), "product", "", given,
                              (named(f"chips of {kind}", float(count), "chips"), hours)))  # fmt: skip
        parts_ = tuple(replace(part, parts=(self.chips(), hours)) for part in parts) if len(parts) == 1 else tuple(parts)
        return held(Node(f"rent of a month{self.of}", float(money["amount"]), str(money["currency"]), "sum", "", parts=parts_))

    def chips(self) -> Node:
        """Chips of all pools: replicas times chips of one."""
        total = sum(float(str(text).rpartition(":")[2]) for text in self.stored["chips"])
        if len(self.pools) == 1:
            each = named("chips of a replica", float(self.pools[0].layout.chips), "chips")
            return held(Node(f"chips{self.of}", total, "chips", "product", "", parts=(self.replicas(), each)))
        parts = tuple(
            Node(f"chips of the {pool.role}", float(pool.replicas * pool.layout.chips), "chips", "product", "", parts=(
                Node(f"replicas of the {pool.role}", float(pool.replicas), "replicas", "formula", dotted(carried), (),
                     (self.service.peak, self.carried(pool))),
                named("chips of a replica", float(pool.layout.chips), "chips")))
            for pool in self.pools
        )  # fmt: skip
        return held(Node(f"chips{self.of}", total, "chips", "sum", "", parts=parts))

    def replicas(self) -> Node:
        """Replicas: those that carry the peak within the targets, and spares."""
        total, peak = float(self.stored["replicas"]), self.service.peak
        carrying = max(math.ceil((peak.value or 0.0) / self.rate - 1e-9), 1)
        load = Node("replicas that carry the peak", float(carrying), "replicas", "formula", dotted(carried), (),
                    (peak, self.carried(self.pools[0])), note="rounded up")  # fmt: skip
        spares = Node("spare replicas", total - carrying, "replicas", "formula", "", (_rule(self.service.asked.redundancy),))
        return Node("replicas", total, "replicas", "sum", "", parts=(load, spares))

    def carried(self, pool: Placed) -> Node:
        """What one replica carries within the targets, simulated, with the iterations that it is made of."""
        tpot, _ = self.latencies(pool)
        name = "requests a second that one replica carries" + (f" of the {pool.role}" if pool.role else "")
        value = self.rate if not pool.role else (self.service.peak.value or 0.0) / max(pool.replicas, 1)
        note = "peak over its replicas" if pool.role else "highest rate whose simulated latencies meet the targets"
        return Node(name, value, "1/s", "formula", dotted(carried), self.service.lengths(), tpot.parts, note=note)

    def latencies(self, pool: Placed | None = None) -> list[Node]:
        """Time to the first token and per further one, from the iterations of the pool that answers."""
        pool = pool or self.pools[-1]
        work = OpenLoop(max(self.rate, 1e-6), self.service.asked.input_tokens, self.service.asked.output_tokens)
        stored = {"ttft_s": self.stored["ttft_s"], "tpot_s": self.stored["tpot_s"]}
        found = latencies(replica_of(pool, self.model, work), stored, self.of)
        found[0] = replace(found[0], parts=tuple(reversed(found[1].parts)))  # an answer waits while prompts are read
        note = "simulated at the highest rate that meets the targets; iterations in the steady state by formulas"
        return [replace(node, formula=dotted(carried), note=note) for node in found]


def priced(kind: str, rent: Quoted) -> Given:
    """The rent of a chip and hour with its origin."""
    given = quoted(f"rent of {kind}", rent)
    return given if "/" in given.unit else replace(given, unit=f"{given.unit}/chip/h")


def _rule(rule: Redundancy) -> Given:
    words = f"n+{rule.count}" if not rule.fraction else f"n+{rule.count} and {rule.fraction:.0%}"
    return asked("redundancy", words, "", given=bool(rule.count or rule.fraction))


def saved(name: str, before: Node, after: Node) -> Node:
    """The difference of two values."""
    value = (before.value or 0.0) - (after.value or 0.0)
    return Node(name, value, before.unit, "sum", "", parts=(before, less(after)))


def tried(made: Deployed) -> list[Node]:
    """The trees of a deployment; none where its way cannot be computed any more."""
    try:
        return made.trees()
    except PlannerError:
        return []
