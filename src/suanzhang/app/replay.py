"""The verb ``replay``: compute a stored answer again and say which values moved, and what can have moved them."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import suanzhang
from suanzhang.app.explain import made_with
from suanzhang.app.replay_inputs import SHADOWED, given_back, read_result
from suanzhang.app.replay_units import unit_at
from suanzhang.errors import InputError
from suanzhang.spec.result import Header
from suanzhang.spec.trust import Moved, ReplayResult
from suanzhang.spec.trust_plain import plain

TIMINGS = ("search_s", "size_s", "solve_s", "wall_s")
"""Keys of clock readings: no run repeats them, so none is compared."""
ORIGIN = ("version", "catalog_date", "seed", "fingerprints", "verb", "inputs")
"""Keys that say where an answer comes from, not what it is."""


def verbs() -> tuple[str, ...]:
    """Verbs whose answers can be repeated: every function of the package that answers, but this one."""
    return tuple(sorted(set(suanzhang._HOMES) - suanzhang._PLAIN - {"replay"}))


def replay(result: str | Path | Mapping[str, Any], *, progress: Callable[[str], None] | None = None) -> ReplayResult:
    """Compute a stored answer again from what it was asked.

    Args:
        result: a file that ``--json`` or ``--out`` wrote, or its body.
        progress: called with a line for each step.

    Returns:
        Whether every byte but the clock readings is the same, the values that moved, and what changed since.

    Raises:
        InputError: the file is no result, does not hold what it was asked, or a trace that it names is gone.
    """
    where = str(result) if isinstance(result, (str, Path)) else "result"
    body = read_result(result)
    verb = str(body["verb"])
    if verb not in verbs():
        raise InputError(
            f"{where}: results of {verb or 'this kind'} cannot be repeated", fix=f"give one of {', '.join(verbs())}"
        )
    if "inputs" not in body or (not body["inputs"] and _must_be_asked(verb)):
        raise InputError(f"{where}: does not hold what it was asked", fix="write it with this version, with --json or --out")
    with given_back(body["inputs"], where) as inputs:
        function = getattr(suanzhang, verb)
        told = progress is not None and "progress" in inspect.signature(function).parameters and verb != "validate"
        try:
            again = function(**inputs, progress=progress) if told else function(**inputs)
        except TypeError as error:
            raise InputError(
                f"{where}: its inputs are not those of {verb} ({error})", fix="write it with this version"
            ) from None
    now = flat(plain(again))
    then = flat(body)
    made, head = made_with(body), again.header
    current = Header(head.version, head.catalog_date, head.seed, fingerprints=head.fingerprints)
    found = list(moved_between(then, now))
    if made.seed != current.seed:
        found.append(Moved("seed", made.seed, current.seed))
    same = _text(body) == _text(plain(again)) and made.seed == current.seed
    moved = sorted(found, key=lambda item: -(abs(item.change) if item.change is not None else math.inf))
    reasons = changes_between(made, current) if same else reasons_between(made, current)
    left = tuple(sorted({key.rpartition(".")[2] for key in _leaves(body) if key.rpartition(".")[2] in TIMINGS}))
    return ReplayResult(current, made, verb, same, len(then), tuple(moved), reasons, left)


def _must_be_asked(verb: str) -> bool:
    """Whether a verb has a parameter that nothing stands in for: its answer always holds what it was asked."""
    parameters = inspect.signature(getattr(suanzhang, verb)).parameters.values()
    return any(one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters)


def _cleaned(value: Any) -> Any:
    """A body without clock readings and without what only says where it comes from."""
    if isinstance(value, Mapping):
        return {key: _cleaned(item) for key, item in value.items() if key not in TIMINGS and key != "header"}
    return [_cleaned(item) for item in value] if isinstance(value, list) else value


def _answer(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a result says: one with its header inside, or one as JSON, whose header's keys stand among its own."""
    cleaned = _cleaned(body)
    if "header" in body:
        return dict(cleaned)
    own = {f"own_{key}": key for key in SHADOWED}
    return {own.get(key, key): item for key, item in cleaned.items() if key not in ORIGIN}


def _text(body: Mapping[str, Any]) -> str:
    return json.dumps(_answer(body), ensure_ascii=False, sort_keys=True)


def _leaves(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")
    else:
        yield path


def flat(body: Any) -> dict[str, Any]:
    """Every value of a result by its path, clock readings and origins left out; rows go by what names them."""
    found: dict[str, Any] = {}
    _flatten(_answer(body), "", found)
    return found


_NAMES = frozenset(("id", "name", "month", "offer", "action", "chip", "how", "demand", "limit", "change", "key", "condition"))
"""Keys whose texts name a row."""


def _flatten(value: Any, path: str, found: dict[str, Any]) -> None:
    if isinstance(value, Mapping) and set(value) == {"amount", "currency", "date"}:
        found[f"{path}_{str(value['currency']).lower()}"] = value["amount"]
        found[f"{path}.date"] = value["date"]
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _flatten(item, f"{path}.{key}" if path else str(key), found)
    elif isinstance(value, list) and value and all(_is_pair(item) for item in value):
        _flatten(dict(value), path, found)
    elif isinstance(value, list):
        seen: dict[str, int] = {}
        for index, item in enumerate(value):
            name = _row_name(item, index)
            seen[name] = seen.get(name, 0) + 1
            rest = item
            if isinstance(item, Mapping) and name != str(index):
                rest = {key: part for key, part in item.items() if not (key in _NAMES and isinstance(part, str))}
            _flatten(rest, f"{path}[{name}{f' #{seen[name]}' if seen[name] > 1 else ''}]", found)
    else:
        found[path] = value


def _is_pair(item: Any) -> bool:
    """Whether an item is a name with its amount, such as a part of a row of a schedule."""
    return isinstance(item, list) and len(item) == 2 and isinstance(item[0], str) and isinstance(item[1], (int, float))


def _row_name(item: Any, index: int) -> str:
    if isinstance(item, Mapping):
        words = [text for key, text in item.items() if key in _NAMES and isinstance(text, str) and text]
        if words:
            return " ".join(words)
    return str(index)


def moved_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Moved]:
    """What differs between two flat results, in the order of their keys."""
    for key in dict.fromkeys([*before, *after]):
        one, two = before.get(key), after.get(key)
        if one == two and type(one) is type(two):
            continue
        yield Moved(
            key, one, two, _change(one, two), unit_at(key, before if key in before else after) if _numbers(one, two) else ""
        )


def _change(one: Any, two: Any) -> float | None:
    if one is None or two is None or one == 0 or not _numbers(one, two):
        return None
    return float(two) / float(one) - 1.0


def _numbers(*values: Any) -> bool:
    """Whether all of two values that are there are numbers."""
    return all(value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)) for value in values)


def reasons_between(before: Header, after: Header) -> tuple[str, ...]:
    """What changed between two runs that can move numbers, in words; never empty."""
    nothing = "nothing installed has changed: the file was edited, an optimiser ran into its time limit, or a machine differs"
    return changes_between(before, after) or (nothing,)


_PARTS: Mapping[str, str] = {
    "program": "the program (formulas and verbs) has changed",
    "catalog": "data of the catalog (chips, models, prices, cost figures) has changed",
    "evidence": "fitted evidence (kernel profiles, coefficients, intervals) has changed",
}


def changes_between(before: Header, after: Header) -> tuple[str, ...]:
    """What is installed otherwise than it was: version, catalog, and the entries of the catalog that both results name."""
    found = []
    if before.version != after.version:
        found.append(f"version {before.version} became {after.version}: CHANGELOG.md says which numbers moved")
    if before.catalog_date != after.catalog_date:
        found.append(f"the catalog of {before.catalog_date} became that of {after.catalog_date}: prices and figures of chips")
    for part, sentence in _PARTS.items():
        one, two = before.fingerprints.get(part), after.fingerprints.get(part)
        if one and two and one != two:
            found.append(f"{sentence}: {one} became {two}")
        elif one is None or two is None:
            found.append(f"no fingerprint of the {part} is kept: {sentence.replace('has changed', 'may have changed')}")
    both = [name for name in before.fingerprints if name in after.fingerprints and name not in _PARTS]
    changed = [name for name in both if before.fingerprints[name] != after.fingerprints[name]]
    if changed:
        found.append(f"figures of {', '.join(changed)} have changed: `suanzhang catalog` shows those of now")
    elif both and before.fingerprints.get("catalog") != after.fingerprints.get("catalog"):
        found.append(f"none of the {len(both)} catalog entries that both results name has changed")
    return tuple(found)
