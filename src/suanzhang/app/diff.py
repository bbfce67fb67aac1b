"""The verb ``diff``: what two answers differ in, inputs first, and what else can have moved them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from suanzhang.app.explain import made_with
from suanzhang.app.header import header
from suanzhang.app.replay import flat, moved_between, reasons_between
from suanzhang.app.replay_inputs import given_back, read_result
from suanzhang.app.replay_units import figure_of
from suanzhang.errors import InputError
from suanzhang.spec.question import Question
from suanzhang.spec.result import Interval
from suanzhang.spec.trust import DiffResult, Moved
from suanzhang.spec.trust_plain import plain

_SUBJECTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("chips", ("chips", "replicas", "fleet", "chips_mean", "replicas_mean", "spare_replicas")),
    ("costs", ("cost", "costs", "cost_per_response", "lines", "cash", "budget", "cost_mean", "cost_p95")),
    ("layouts", ("layout", "engine", "weight_dtype", "kv_dtype", "stack", "precision")),
    ("times", ("days", "step_s", "ttft_s", "tpot_s", "e2e_s", "start", "finish", "full_from", "mfu")),
)
"""Subjects of an answer, and the keys that belong to them, at any depth."""
_PER_SUBJECT = 60
_CURRENCY = len("_cny")


def diff(before: str | Path | Mapping[str, Any], after: str | Path | Mapping[str, Any]) -> DiffResult:
    """What two answers of one verb differ in.

    Args:
        before, after: files that ``--json`` or ``--out`` wrote, or their bodies.

    Returns:
        Inputs that differ, changes of version and data, then the answers that moved by subject.

    Raises:
        InputError: a file is no result, or the two are of different verbs.
    """
    one, two = read_result(before), read_result(after)
    if one["verb"] != two["verb"]:
        raise InputError(f"the first is an answer of {one['verb']}, the second of {two['verb']}", fix="compare two of one verb")
    head = header(int(two["seed"]))
    inputs = tuple(moved_between(_asked(one, before), _asked(two, after)))
    then, now = made_with(one), made_with(two)
    why = reasons_between(then, now) if (then.version, then.catalog_date, then.fingerprints) != (
        now.version, now.catalog_date, now.fingerprints) else ()  # fmt: skip
    first, second = flat(one), flat(two)
    spans = (_spans(first), _spans(second))
    moved = [_spanned(item, *spans) for item in moved_between(first, second)]
    told = {item.key for item in moved} | {_without_currency(item.key) for item in moved}
    moved = [item for item in moved if figure_of(item.key) not in told]
    if then.seed != now.seed:
        inputs = (*inputs, Moved("seed", then.seed, now.seed))
    answers: dict[str, tuple[Moved, ...]] = {}
    rest: list[Moved] = []
    by: dict[str, list[Moved]] = {name: [] for name, _ in _SUBJECTS}
    for item in moved:
        by.get(_subject(item.key), rest).append(item)
    for name, items in by.items():
        if items:
            ordered = sorted(items, key=_rank)
            answers[name] = tuple(ordered[:_PER_SUBJECT])
            rest += ordered[_PER_SUBJECT:]
    return DiffResult(head, str(one["verb"]), why, inputs, answers, tuple(sorted(rest, key=_rank)))


def _spans(body: Mapping[str, Any]) -> dict[str, Interval]:
    """The intervals of a flat result, by the path of the figure that each stands beside."""
    found = {}
    for key, low in body.items():
        if key.endswith(".p05") and (figure := figure_of(key)):
            stem = key.removesuffix("p05")
            middle, high = body.get(f"{stem}p50"), body.get(f"{stem}p95")
            if low is not None and middle is not None and high is not None:
                found[figure] = Interval(float(low), float(middle), float(high))
    return found


def _spanned(item: Moved, before: Mapping[str, Interval], after: Mapping[str, Interval]) -> Moved:
    """A figure that moved with the intervals that the two answers hold beside it."""
    one, two = (spans.get(item.key, spans.get(_without_currency(item.key))) for spans in (before, after))
    return replace(item, before_interval=one, after_interval=two)


def _without_currency(key: str) -> str:
    """A key of an amount of money as its interval is named."""
    return key[:-_CURRENCY] if key[-_CURRENCY : 1 - _CURRENCY] == "_" else key


def _rank(item: Moved) -> tuple[int, float]:
    """Whole answers before their details, then the largest change first."""
    return item.key.count(".") + item.key.count("["), -(abs(item.change) if item.change is not None else math.inf)


def _subject(key: str) -> str:
    steps = {step.partition("[")[0] for step in key.split(".")}
    steps |= {step[:-_CURRENCY] for step in steps}
    for name, keys in _SUBJECTS:
        if steps & set(keys):
            return name
    return ""


def _asked(body: Mapping[str, Any], source: object) -> dict[str, Any]:
    """What a result was asked, flat: question files are read, so that comments and order do not count."""
    where = str(source) if isinstance(source, (str, Path)) else "result"
    found: dict[str, Any] = {}
    with given_back(body.get("inputs") or {}, where) as inputs:
        for name, value in inputs.items():
            if name == "question":
                from suanzhang.app.question import read_question

                value = plain(value if isinstance(value, Question) else read_question(str(value)))
                value.pop("origin", None)
            elif isinstance(value, str) and isinstance(body["inputs"].get(name), Mapping):
                value = body["inputs"][name].get("sha256", value)
            found |= flat({name: plain(value)})
    return found
