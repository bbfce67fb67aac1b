"""`audit`: recompute the claims of a file and give each a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from suanzhang.app.claims import read_claims
from suanzhang.app.header import header
from suanzhang.app.scenarios import run_scenario
from suanzhang.spec.audit import AuditResult, AuditRow, Claim, Scenario, Verdict
from suanzhang.units import format_figure


def audit(path: str | Path, *, seed: int = 0) -> AuditResult:
    """Recompute every claim of a claims file.

    Args:
        path: a claims file; docs/guides/audit.md describes it.
        seed: of everything random.

    Raises:
        InputError: the file, a claim or the inputs of a scenario cannot be used.
    """
    document, claims = read_claims(Path(path))
    rows = tuple(_row(claim) for claim in claims)
    count = {verdict: sum(row.verdict == verdict for row in rows) for verdict in ("consistent", "inconsistent", "not checkable")}
    return AuditResult(header(seed), document, rows, count["consistent"], count["inconsistent"], count["not checkable"])


def _row(claim: Claim) -> AuditRow:
    if claim.scenario is None or claim.stated_low is None or claim.stated_high is None:
        return AuditRow(
            claim.id, claim.says, claim.quantity, claim.unit, claim.relation, None, None, None, None, None, None,
            "not checkable", claim.not_checkable,
        )  # fmt: skip
    answer = run_scenario(claim.scenario, claim.id)
    computed, low, high = value_and_range(answer, claim.result_key, claim.id)
    for variant in claim.variants:
        other = run_scenario(Scenario(claim.scenario.verb, {**claim.scenario.inputs, **variant}), claim.id)
        _, variant_low, variant_high = value_and_range(other, claim.result_key, claim.id)
        low, high = min(low, variant_low), max(high, variant_high)
    verdict = judge(claim, low, high)
    return AuditRow(
        claim.id, claim.says, claim.quantity, claim.unit, claim.relation, 0.5 * (claim.stated_low + claim.stated_high),
        claim.stated_low, claim.stated_high, computed, low, high, verdict,
        _explain(claim, computed, low, high, verdict, str(answer.get("explanation", ""))),
        claim.scenario.verb, dict(claim.scenario.inputs),
    )  # fmt: skip


def value_and_range(answer: Mapping[str, Any], key: str, where: str) -> tuple[float, float, float]:
    """A scenario's value under a key with the range of its interval, or the value itself where it has none.

    Raises:
        CatalogError: the scenario has no such key; names the nearest.
    """
    from suanzhang.errors import unknown_name  # noqa: PLC0415

    value = answer.get(key)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        numbers = [name for name, found in answer.items() if isinstance(found, (int, float)) and not isinstance(found, bool)]
        raise unknown_name("result key", key, numbers, where)
    interval = answer.get(f"{key}_interval")
    if interval is None:
        return float(value), float(value), float(value)
    return float(value), min(float(value), interval.p05), max(float(value), interval.p95)


def judge(claim: Claim, low: float, high: float) -> Verdict:
    """Whether the range that we compute agrees with what is stated.

    "about" and "range" agree when the two ranges meet, the stated one widened by the tolerance; "at_least" agrees
    when our largest value reaches the stated one, "at_most" when our smallest does not exceed it.
    """
    assert claim.stated_low is not None and claim.stated_high is not None
    slack = claim.tolerance
    stated_low = claim.stated_low - slack * abs(claim.stated_low)
    stated_high = claim.stated_high + slack * abs(claim.stated_high)
    if claim.relation == "at_least":
        agrees = high >= stated_low
    elif claim.relation == "at_most":
        agrees = low <= stated_high
    elif claim.relation == "range":
        agrees = high >= claim.stated_low and low <= claim.stated_high
    else:
        agrees = high >= stated_low and low <= stated_high
    return "consistent" if agrees else "inconsistent"


_RELATION_WORDS = {"about": "about", "at_least": "at least", "at_most": "at most", "range": "between"}


def _explain(claim: Claim, computed: float, low: float, high: float, verdict: Verdict, scenario_words: str) -> str:
    assert claim.stated_low is not None and claim.stated_high is not None
    unit = claim.unit
    spread = "" if math.isclose(low, high, rel_tol=1e-9) else f" ({format_figure(low, unit)} to {format_figure(high, unit)})"
    stated = format_figure(claim.stated_low, unit)
    if claim.relation == "range":
        stated = f"{stated} and {format_figure(claim.stated_high, unit)}"
    words = f"{claim.quantity}: we compute {format_figure(computed, unit)}{spread}, stated {_RELATION_WORDS[claim.relation]} {stated}"
    middle = 0.5 * (claim.stated_low + claim.stated_high)
    if middle and computed > 0 and not (0.5 <= computed / middle <= 2.0):
        words += f", {computed / middle:.2g} times that" if computed > middle else f", 1/{middle / computed:.2g} of that"
    words += "." if verdict == "consistent" else "; the two do not agree."
    return " ".join(part for part in (words, scenario_words, claim.note and f"Note: {claim.note}.") if part)
