"""One way to run a replica, and what the event simulation says that it carries within latency targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.model import ModelSpec
from suanzhang.spec.serve import Percentiles
from suanzhang.spec.stack import ServeStack


@dataclass(frozen=True, slots=True)
class Draft:
    """Speculative decoding of a chain of tokens.

    Args:
        tokens: drafted per round; 0 for none.
        acceptance: chance that a drafted token is accepted after all before it.
        by: who drafts: "head" for a further layer and a head on the model itself (EAGLE, MTP), "lookup" for the words of the
            prompt itself (n-grams), which costs no time, or "model" for a small one beside it.
        model: that small one; None for the others.
    """

    tokens: int = 0
    acceptance: float = 0.0
    by: Literal["head", "lookup", "model"] = "head"
    model: ModelSpec | None = None


@dataclass(frozen=True, slots=True)
class Prefix:
    """Prompt tokens that a replica has computed before.

    Args:
        share: of each prompt, found in the cache.
        offloaded: part of what is found that lies in the memory of the host and is loaded over its link first.
    """

    share: float = 0.0
    offloaded: float = 0.0


@dataclass(frozen=True, slots=True)
class Way:
    """How one replica serves: everything that a lever can change.

    Args:
        model, chip, stack: what runs where, and with which engine.
        layout: of the replica.
        weight_dtype, kv_dtype: storage formats.
        draft: speculative decoding.
        prefix: prefix cache.
        router: between replicas.
        max_batched_tokens: token budget of an iteration; 0 for the engine's own.
    """

    model: ModelSpec
    chip: ChipSpec
    stack: ServeStack
    layout: ServeLayout
    weight_dtype: str
    kv_dtype: str
    draft: Draft = Draft()
    prefix: Prefix = Prefix()
    router: str = "round-robin"
    max_batched_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Carried:
    """What one replica carries within its targets, as simulated.

    Args:
        requests_per_s: highest rate per replica that meets the targets; 0 when none does.
        chips: of one replica.
        ttft_s, tpot_s, e2e_s: latencies over requests at that rate; at the lowest rate tried when none meets the targets.
        running_batch: decoding sequences, mean over busy time.
        requests_simulated: in all runs of the search.
        missed: names of the targets that are missed at any rate.
    """

    requests_per_s: float
    chips: int
    ttft_s: Percentiles
    tpot_s: Percentiles
    e2e_s: Percentiles
    running_batch: float
    requests_simulated: int
    missed: tuple[str, ...] = ()

    @property
    def requests_per_s_per_chip(self) -> float:
        """Highest rate per chip."""
        return self.requests_per_s / self.chips
