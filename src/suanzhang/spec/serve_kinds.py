"""The answer of sizing over several kinds of chip: together and apart, with the front of speed against throughput."""

from __future__ import annotations

from dataclasses import dataclass

from suanzhang.spec.result import Header, Interval
from suanzhang.spec.serve import Refusal
from suanzhang.spec.serve_improve import Deployment
from suanzhang.spec.trust import Flag


@dataclass(frozen=True, slots=True)
class KindOption:
    """One way to carry the service within its targets, confirmed by simulation.

    Args:
        kinds: kinds of chip, that of the prompts first when there are two.
        apart: prompts and answers run on replicas of their own.
        chips: in all.
        deployment: how, with latencies and cost.
        max_batched_tokens: token budget of an iteration; 0 for the engine's own.
        chips_interval: chips that would be needed, were the capacity as far off as it may be.
    """

    kinds: tuple[str, ...]
    apart: bool
    chips: int
    deployment: Deployment
    max_batched_tokens: int = 0
    chips_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """One point of the front: no other layout, precision or load gives more of one without less of the other.

    Args:
        chip: kind.
        tokens_per_s_per_user: what one reader sees.
        tokens_per_s_per_chip: what one chip gives.
        concurrency: requests in one replica.
        words: layout and formats.
        knee: where the product of the two is largest among the points of its chip.
        tokens_per_s_per_user_interval, tokens_per_s_per_chip_interval: our uncertainty.
    """

    chip: str
    tokens_per_s_per_user: float
    tokens_per_s_per_chip: float
    concurrency: int
    words: str
    knee: bool = False
    tokens_per_s_per_user_interval: Interval | None = None
    tokens_per_s_per_chip_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class KindsResult:
    """The answer of ``serve`` for several kinds of chip.

    Args:
        header: version, date, seed.
        model, engine: what is served.
        requests_per_s: at the peak.
        options: the cheapest first (the fewest chips first where a rent is not known).
        refused: kinds that cannot meet the targets, with why and the nearest figures.
        front: tokens per second and chip against tokens per second and user, by kind.
        ways_evaluated: layouts, formats and roles looked at by formulas.
        requests_simulated: in all runs that confirmed them.
        wall_s: time of the answer.
        by_money: whether options are ranked by rent.
        warnings: what a reader must know.
        sources: keys of the sources.
        weak_inputs: figures of grade unverified or assumed that weigh more than 5 % of an answer, the heaviest first.
    """

    header: Header
    model: str
    engine: str
    requests_per_s: float
    options: tuple[KindOption, ...]
    refused: tuple[Refusal, ...]
    front: tuple[FrontPoint, ...]
    ways_evaluated: int
    requests_simulated: int
    wall_s: float
    by_money: bool
    warnings: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    weak_inputs: tuple[Flag, ...] = ()
