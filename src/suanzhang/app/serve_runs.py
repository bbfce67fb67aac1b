"""Engine settings of published runs that their tables leave out but the scripts of the benchmark state."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from suanzhang.spec.layout import ServeLayout

_FILE = Path(__file__).resolve().parent / "data" / "serve_runs.yaml"
_PATTERNS = ("source", "engine", "model")
_BOUNDS = ("isl", "osl", "users", "tp", "dp", "ep")


@functools.cache
def _rules() -> tuple[dict[str, Any], ...]:
    body = cast(dict[str, Any], yaml.safe_load(_FILE.read_text(encoding="utf-8")))
    return tuple(body["rules"])


def _matches(rule: Mapping[str, Any], texts: Mapping[str, str], numbers: Mapping[str, float], dtype: str, split: bool) -> bool:
    if bool(rule.get("split", False)) != split and "split" in rule:
        return False
    if "dtypes" in rule and dtype not in rule["dtypes"]:
        return False
    if not all(re.search(rule[name], texts[name], re.IGNORECASE) for name in _PATTERNS if name in rule):
        return False
    if "measured" in rule and not str(rule["measured"][0]) <= texts.get("measured", "") <= str(rule["measured"][1]):
        return False
    return all(rule[name][0] <= numbers.get(name, 0.0) <= rule[name][1] for name in _BOUNDS if name in rule)


def _value(stated: Any, numbers: Mapping[str, float]) -> Any:
    """A setting as it stands, or the sum of its terms where the script computes it from the load."""
    if not isinstance(stated, Mapping):
        return stated
    known = {"fixed": 1.0, "isl_by_group": numbers.get("isl", 0.0) * numbers.get("dp", 1.0), **numbers}
    return round(sum(float(factor) * known[name] for name, factor in stated.items()))


def run_settings(texts: Mapping[str, str], numbers: Mapping[str, float], weight_dtype: str, split: bool) -> dict[str, Any]:
    """What the scripts of a benchmark set for a run: the format of the cache and fields of the engine.

    Args:
        texts: "source", "engine" and "model" of the row, and "measured", the day of the run as far as it is known, ISO.
        numbers: "isl", "osl", "users" (requests in flight), "tp", "dp" and "ep".
        weight_dtype: of the row.
        split: prefill and decode have chips of their own.
    """
    found: dict[str, Any] = {}
    for rule in _rules():
        if "values" in rule and _matches(rule, texts, numbers, weight_dtype, split):
            found.update({name: _value(stated, numbers) for name, stated in rule["values"].items()})
    return found


def run_layout(
    layout: ServeLayout, texts: Mapping[str, str], numbers: Mapping[str, float], weight_dtype: str, split: bool
) -> ServeLayout:
    """The layout that the script of a benchmark gave a run whose table has no columns for it, else the one given.

    Args:
        layout: as the table gives it.
        texts, numbers, weight_dtype, split: as for :func:`run_settings`.
    """
    if layout.dp > 1 or layout.ep > 1 or layout.pp > 1:
        return layout
    for rule in _rules():
        if "layout" in rule and _matches(rule, texts, numbers, weight_dtype, split):
            chips = layout.chips
            groups = rule["layout"] == "experts-and-groups"
            layout = ServeLayout(tp=1, dp=chips, ep=chips) if groups else ServeLayout(tp=chips, ep=chips)
    return layout
