"""`audit`: recompute the claims of a file and give each a verdict."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from suanzhang.app.claims import read_claims
from suanzhang.app.header import header
from suanzhang.app.scenarios import run_scenario, significant
from suanzhang.errors import InputError, PlannerError, nearest_names, unknown_name
from suanzhang.spec.audit import AuditResult, AuditRow, Claim, Scenario, Verdict
from suanzhang.spec.result import Interval
from suanzhang.spec.trust import Flag
from suanzhang.spec.trust_plain import plain
from suanzhang.units import MEGA, format_figure


def audit(path: str | Path, *, claim: str = "", checks: str | Path = "", seed: int = 0) -> AuditResult:
    """Recompute every claim of a claims file, or some of them.

    Args:
        path: a claims file; docs/guides/audit.md describes it.
        claim: ids of the claims to recompute, with commas; the beginning of an id is enough. All when left out.
        checks: a second claims file: a statement of the first that names no scenario takes that of the same id here.
        seed: of everything random.

    Raises:
        InputError: the file, a claim or the inputs of a scenario cannot be used.
    """
    document, claims = read_claims(Path(path), Path(checks) if checks else None)
    rows = tuple(_row(one) for one in _chosen(claims, claim))
    count = Counter(row.verdict for row in rows)
    return AuditResult(
        header(seed), document, rows, count["consistent"], count["inconsistent"], count["not checkable"],
        weak_inputs=_weak(rows), too_wide=sum(row.computed is not None and not row.decides for row in rows),
    )  # fmt: skip


def _chosen(claims: Sequence[Claim], wanted: str) -> tuple[Claim, ...]:
    """The claims whose ids begin as one of the wanted ones does; an id itself means that claim alone."""
    words = [word.strip().lower() for word in wanted.split(",") if word.strip()]
    if not words:
        return tuple(claims)
    ids = [one.id for one in claims]
    chosen: set[str] = set()
    for word in words:
        found = [name for name in ids if name.lower() == word] or [name for name in ids if name.lower().startswith(word)]
        if not found:
            near = nearest_names(word, ids)
            raise InputError(f"no claim is called {word!r}", fix=f"did you mean {' or '.join(near) or ids[0]}?")
        chosen |= set(found)
    return tuple(one for one in claims if one.id in chosen)


def _weak(rows: tuple[AuditRow, ...]) -> tuple[Flag, ...]:
    """Weak figures behind the computed values."""
    from suanzhang.app.explain import audit_trees
    from suanzhang.app.weak import weak_inputs

    return weak_inputs(audit_trees({"claims": [plain(row) for row in rows]}))


def _row(claim: Claim) -> AuditRow:
    if claim.scenario is None or claim.stated_low is None or claim.stated_high is None:
        return AuditRow(
            claim.id, claim.says, claim.quantity, claim.unit, claim.relation, None, None, None, None, None, None,
            "not checkable", claim.not_checkable, quote=claim.quote,
        )  # fmt: skip
    answer = _answer(claim.scenario, claim.id)
    computed, low, high = value_and_range(answer, claim.result_key, claim.id)
    for variant in claim.variants:
        other = _answer(Scenario(claim.scenario.verb, {**claim.scenario.inputs, **variant}), claim.id)
        _, variant_low, variant_high = value_and_range(other, claim.result_key, claim.id)
        low, high = min(low, variant_low), max(high, variant_high)
    verdict = judge(claim, computed, low, high)
    exact = claim.result_key in answer.get("exact", ())
    span = None if exact and low == high else Interval(low, computed, high)
    words = f"{answer.get('explanation', '')}{' Exact arithmetic over the stated figures.' if exact else ''}".strip()
    return AuditRow(
        claim.id, claim.says, claim.quantity, claim.unit, claim.relation, 0.5 * (claim.stated_low + claim.stated_high),
        claim.stated_low, claim.stated_high, computed, low, high, verdict,
        _explain(claim, (computed, low, high), verdict, words),
        claim.scenario.verb, dict(claim.scenario.inputs), span, verdict != "not checkable", exact, claim.quote,
    )  # fmt: skip


def _answer(asked: Scenario, name: str) -> Mapping[str, Any]:
    """The answer of a scenario; an error of what it asks for names the claim."""
    try:
        return run_scenario(asked, name)
    except PlannerError as error:
        if not error.message.startswith(name):
            error.message = f"{name}: {error.message}"
            error.args = (error.message,)
        raise


def value_and_range(answer: Mapping[str, Any], key: str, where: str) -> tuple[float, float, float]:
    """A scenario's value under a key with the range of its interval, or the value itself where it has none.

    Raises:
        CatalogError: the scenario has no such key; names the nearest.
    """
    value = answer.get(key)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        numbers = [name for name, found in answer.items() if isinstance(found, (int, float)) and not isinstance(found, bool)]
        raise unknown_name("result key", key, numbers, where)
    interval = answer.get(f"{key}_interval")
    if interval is None:
        return float(value), float(value), float(value)
    return float(value), min(float(value), interval.p05), max(float(value), interval.p95)


WIDE = 10.0
"""A range whose ends lie further apart than this factor says too little to judge a figure by."""


def judge(claim: Claim, computed: float, low: float, high: float) -> Verdict:
    """The verdict on a statement: one rule for all of them.

    What a statement allows is its figure ("about"), all between its ends ("range"), or all on one side of it ("at_least",
    "at_most"). It is consistent where it allows a figure of our 90 % range, or where our value lies within its tolerance,
    and else inconsistent. Where the range also holds figures against it, it is not checkable, since too wide to judge by, when
    its ends lie more than :data:`WIDE` times apart, or, for a bound, when they lie on its two sides.
    """
    (least, most), (least_near, most_near) = _allowed(claim, 0.0), _allowed(claim, claim.tolerance)
    if least_near <= low and high <= most_near:
        return "consistent"
    near = least_near <= computed <= most_near
    if not near and (high < least or low > most):
        return "inconsistent"
    both_sides = claim.relation in ("at_least", "at_most") and low < high
    return "not checkable" if both_sides or _far_apart(low, high) else "consistent"


def _allowed(claim: Claim, tolerance: float) -> tuple[float, float]:
    """The figures that a statement allows, widened by a tolerance."""
    assert claim.stated_low is not None and claim.stated_high is not None
    least = claim.stated_low - tolerance * abs(claim.stated_low)
    most = claim.stated_high + tolerance * abs(claim.stated_high)
    return (-math.inf if claim.relation == "at_most" else least), (math.inf if claim.relation == "at_least" else most)


def _far_apart(low: float, high: float) -> bool:
    """Whether the ends of a range lie more than :data:`WIDE` times apart, or on the two sides of zero."""
    if low == high:
        return False
    return low * high <= 0.0 or not math.isfinite(high - low) or max(abs(low), abs(high)) > WIDE * min(abs(low), abs(high))


APART = 1.5
"""Amounts that lie further apart than this factor are said to."""
_RELATION_WORDS = {"about": "about ", "at_least": "at least ", "at_most": "at most ", "range": "between "}
_ONE = {"chips": "chip", "runs": "run", "months": "month", "persons": "person", "kinds of chip": "kind of chip"}
_TIMES = ("months", "weeks", "days", "years")
"""Units in which what takes for ever is said never to come."""
_COUNTED = ("chips", "persons")


def amount_words(value: float, unit: str, more: int = 0) -> str:
    """An amount in words: percent, whole chips, ``1.1 times`` for a ratio, money in millions and billions.

    Args:
        value: the amount.
        unit: of it.
        more: digits beyond the usual ones, where two amounts would else read the same.

    Example:
        >>> amount_words(0.4, "fraction"), amount_words(1.104, "ratio"), amount_words(768.2, "chips")
        ('40 %', '1.10 times', '768 chips')
        >>> amount_words(0.688, "fraction", 1)
        '68.8 %'
    """
    if unit == "fraction" and math.isfinite(value):
        percent = 100.0 * value
        return f"{percent:,.{more}f} %" if abs(percent) >= 10.0 or percent == 0.0 else f"{percent:.{1 + more}f} %"
    if not math.isfinite(value):
        return "never" if unit in _TIMES and value > 0.0 else f"{'less' if value < 0.0 else 'more'} than any {unit or 'figure'}"
    if unit in _COUNTED and abs(value) < MEGA:
        value = float(round(value))
        return f"{value:,.0f} {_ONE.get(unit, unit) if value == 1.0 else unit}"
    word = "times" if unit == "ratio" else "" if unit == "1" else unit
    if value == round(value) and abs(value) < MEGA:
        return f"{value:,.0f} {_ONE.get(unit, word) if value == 1.0 else word}".rstrip()
    if more:
        return f"{significant(value, 3 + more)} {word}".rstrip()
    return format_figure(value, word).rstrip()


def _digits(values: Sequence[float], unit: str) -> int:
    """How many more digits keep amounts apart that are not the same."""
    for more in range(3):
        words: dict[str, float] = {}
        if all(math.isclose(words.setdefault(amount_words(value, unit, more), value), value, rel_tol=1e-3) for value in values):
            return more
    return 0


def _range_words(low: float, high: float, unit: str, more: int = 0) -> str:
    """Two ends with the unit once."""
    first, last = amount_words(low, unit, more), amount_words(high, unit, more)
    number, _, word = first.partition(" ")
    return f"{number} to {last}" if word and last.endswith(f" {word}") else f"{first} to {last}"


def _explain(claim: Claim, found: tuple[float, float, float], verdict: Verdict, scenario_words: str) -> str:
    assert claim.stated_low is not None and claim.stated_high is not None
    computed, low, high = found
    unit, more = claim.unit, _digits(found, claim.unit)
    if verdict == "inconsistent":
        more = max(more, _digits((computed, claim.stated_low, claim.stated_high), unit))
    spread = "" if math.isclose(low, high, rel_tol=1e-3) else f" ({_range_words(low, high, unit, more)})"
    stated = amount_words(claim.stated_low, unit, more)
    if claim.relation == "range":
        stated = _range_words(claim.stated_low, claim.stated_high, unit, more).replace(" to ", " and ")
    quantity = claim.quantity[:1].upper() + claim.quantity[1:]
    words = f"{quantity}: {amount_words(computed, unit, more)}{spread}. Stated: {_RELATION_WORDS[claim.relation]}{stated}"
    words += _apart(computed, 0.5 * (claim.stated_low + claim.stated_high))
    words += f". {_verdict_words(claim, found, verdict)}"
    return " ".join(part for part in (words, scenario_words, claim.note and f"Note: {claim.note}.") if part)


def _verdict_words(claim: Claim, found: tuple[float, float, float], verdict: Verdict) -> str:
    """The verdict with what it follows from."""
    _, low, high = found
    if verdict == "inconsistent":
        return "They do not agree."
    if verdict == "not checkable":
        if _far_apart(low, high):
            ends = f"its ends lie more than {WIDE:.0f} times apart or on both sides of zero"
            return f"It cannot be checked, since our range is too wide: {ends}."
        return "It cannot be checked, since our range is too wide: one end agrees, the other does not."
    least, most = _allowed(claim, 0.0)
    if high < least or low > most:
        return f"Both agree within the {100.0 * claim.tolerance:.0f} % that is allowed, though our range does not hold it."
    return "Both agree."


def _apart(computed: float, stated: float) -> str:
    """How far apart two positive amounts are, where it is more than half as much again."""
    if stated <= 0.0 or not 0.0 < computed < math.inf or 1.0 / APART <= computed / stated <= APART:
        return ""
    more = computed > stated
    factor = computed / stated if more else stated / computed
    size = f"{factor:.1f}" if factor < 10.0 else f"{factor:,.0f}"
    return f", and ours is {size} times {'as much' if more else 'smaller'}"
