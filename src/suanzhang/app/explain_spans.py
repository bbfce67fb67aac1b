"""The intervals of explained values: those that the result itself holds beside the same value, never new ones."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from suanzhang.spec.result import Interval
from suanzhang.spec.trust import Node
from suanzhang.units import unit_of_key

_ENDS = {"p05", "p50", "p95"}
_MONEY = {"amount", "currency", "date"}
_SAME = 1e-9
_ROUND = 1e6
"""Whole numbers below it may be equal by chance, such as a count of chips and one of replicas."""
_WORDS = {
    "tpot": "time per further token", "ttft": "time first token", "mfu": "model utilisation", "kv": "cache",
    "mtbf": "between failures", "young": "best interval formula", "baseline": "today", "combined": "best combination",
    "regret": "mean regret",
}  # fmt: skip
"""Words of keys to those of the trees."""


@dataclass(frozen=True, slots=True)
class Held:
    """A value of a result that stands beside an interval: where, in which unit where its key says one, and in what words."""

    path: tuple[str, ...]
    value: float
    unit: str
    interval: Interval | None
    words: frozenset[str]


def with_spans(tree: Node, held: tuple[Held, ...]) -> Node:
    """A tree with the interval of each value that the result holds with one.

    Args:
        tree: of an answer.
        held: what the result holds, by :func:`held_by`.
    """
    span = None if tree.source or not tree.value else _span(tree, held)
    return replace(tree, value_interval=span, parts=tuple(with_spans(part, held) for part in tree.parts))


def held_by(body: Mapping[str, Any]) -> tuple[Held, ...]:
    """Every number of a result that stands where results hold answers, what was asked left out."""
    return tuple(_walk({key: item for key, item in body.items() if key != "inputs"}, None, (), frozenset()))


def _span(node: Node, held: tuple[Held, ...]) -> Interval | None:
    """The interval of the value of the result that is this one; none where several could be and their intervals differ."""
    value, words = node.value or 0.0, _stems(node.name)
    round_number = value.is_integer() and abs(value) < _ROUND
    same = [
        one
        for one in held
        if math.isclose(one.value, value, rel_tol=_SAME)
        and (not one.unit or one.unit.startswith(node.unit))
        and (not round_number or words & _stems(one.path[-1]))
    ]
    if not same:
        return None
    best = min(_rank(one, words) for one in same)
    spans = {one.interval for one in same if _rank(one, words) == best}
    return spans.pop() if len(spans) == 1 else None


def _rank(held: Held, words: frozenset[str]) -> tuple[bool, int, int, int]:
    """The likeliest first: with an interval, most words in common, least deep, fewest words besides."""
    return held.interval is None, -len(held.words & words), len(held.path), len(held.words - words)


def _walk(value: Any, beside: Any, path: tuple[str, ...], words: frozenset[str]) -> Iterator[Held]:
    if isinstance(value, dict) and set(value) == _MONEY:
        yield Held(path, float(value["amount"]), str(value["currency"]), _interval(beside), words)
    elif isinstance(value, dict):
        named = words.union(*(_stems(item) for item in value.values() if isinstance(item, str) and len(item) < 60))
        spans = beside if isinstance(beside, dict) else {}
        for key, item in value.items():
            if not key.endswith("_interval"):
                own = value.get(f"{key}_interval", spans.get(key))
                yield from _walk(item, own, (*path, key), named | _stems(key))
    elif isinstance(value, list):
        each = beside if isinstance(beside, list) and len(beside) == len(value) else [None] * len(value)
        for number, (item, own) in enumerate(zip(value, each, strict=True), start=1):
            yield from _walk(item, own, path, words | {str(number)})
        counts = [str(item).rpartition(":")[2] for item in value]
        if isinstance(beside, dict) and all(count.isdigit() for count in counts):  # such as 8 of one kind and 4 of another
            yield Held(path, float(sum(map(int, counts))), "", _interval(beside), words)
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and path:
        unit = unit_of_key(path[-1])
        yield Held(path, float(value), "" if unit == "1" else unit, _interval(beside), words)


def _interval(value: Any) -> Interval | None:
    if not (isinstance(value, dict) and set(value) == _ENDS) or None in value.values():
        return None
    return Interval(float(value["p05"]), float(value["p50"]), float(value["p95"]))


def _stems(text: str) -> frozenset[str]:
    """The words of a name or a key, each by its beginning, so that ``activations`` is ``activation``."""
    words = re.split(r"[^a-z0-9]+", text.lower())
    return frozenset(part[:5] for word in words for part in _WORDS.get(word, word).split() if len(part) > 1 or part.isdigit())


__all__ = ["Held", "held_by", "with_spans"]
