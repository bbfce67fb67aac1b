"""The unit of a value of a flat result: what stands beside it, what its key ends in, or what it counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from suanzhang.units import in_words, unit_of_key

_ENDS = frozenset(("p05", "p50", "p95", "p90", "p99", "mean"))
_IN_CURRENCY = frozenset(("cash", "bound", "worth", "lines"))
"""Amounts in the currency that a result says once."""
_CURRENCIES = ("usd", "cny", "eur")
_COUNTED: Mapping[str, str] = {
    **dict.fromkeys(("tp", "pp", "dp", "cp", "ep", "etp", "shard_ranks"), "ranks"),
    **dict.fromkeys(("global_batch", "micro_batch"), "sequences"),
    **dict.fromkeys(("seq_len", "isl", "osl", "isl_p95", "osl_p95", "max_seq"), "tokens"),
    **dict.fromkeys(("share", "served", "weight", "bubble"), "fraction"),
    "vpp": "chunks",
}
"""What a count without a unit counts; the others count what they are called."""
_NOUNS = ("chips", "replicas", "requests", "layers")
"""What keys that begin so count, such as ``chips_mean``."""


def unit_at(key: str, body: Mapping[str, Any]) -> str:
    """The unit of the value at a path of a flat result; never empty.

    Args:
        key: the path.
        body: the flat result.

    Example:
        >>> unit_at("memory_bytes.by_stage[0]", {}), unit_at("layout.tp", {}), unit_at("months[2026-01].cash", {"cost_cny": 1})
        ('B', 'ranks', 'CNY')
    """
    figure = figure_of(key) or key
    money = next((code for code in _CURRENCIES if f"{figure}_{code}" in body), "")
    if money:
        return money.upper()
    parent = figure.rpartition(".")[0]
    beside = body.get(f"{parent}.unit" if parent else "unit")
    if isinstance(beside, str) and beside:
        return beside
    steps = [step.partition("[")[0].removesuffix("_no_slo") for step in figure.split(".")]
    named = [step for step in steps if step not in _ENDS] or steps
    last = unit_of_key(named[-1])
    if last != "1":
        return last
    if set(named[-2:]) & _IN_CURRENCY:
        return _currency(body) or in_words(named[-1])
    above = next((unit_of_key(step) for step in reversed(named[:-1]) if "_" in step and unit_of_key(step) != "1"), "")
    counted = next((noun for noun in _NOUNS if named[-1].startswith(f"{noun}_")), "")
    return above or counted or _COUNTED.get(named[-1], in_words(named[-1])) or "value"


def figure_of(key: str) -> str:
    """The path of the figure whose interval a key is an end of, a currency left out; empty where it is no such end.

    Example:
        >>> figure_of("lines_interval.power.p05"), figure_of("days")
        ('lines.power', '')
    """
    before, mark, after = key.rpartition("_interval")
    return before + after.rpartition(".")[0] if mark and key.endswith((".p05", ".p50", ".p95")) else ""


def _currency(body: Mapping[str, Any]) -> str:
    """The currency of a result, from its key or that of its cost."""
    said = body.get("currency")
    return said if isinstance(said, str) else next((code.upper() for code in _CURRENCIES if f"cost_{code}" in body), "")
