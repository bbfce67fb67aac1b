"""The scenarios by which claims are recomputed: each takes named inputs and answers with named figures.

A figure that the physics predicts comes with its ``<name>_interval``; ``explanation`` says in a sentence what was computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from suanzhang.app.scenario_inputs import Inputs
from suanzhang.errors import unknown_name
from suanzhang.spec.audit import Scenario

Answer = dict[str, Any]
_SCENARIOS: dict[str, Callable[[Inputs], Answer]] = {}


def scenario(name: str) -> Callable[[Callable[[Inputs], Answer]], Callable[[Inputs], Answer]]:
    """Register a scenario under the name that claims files use."""

    def register(function: Callable[[Inputs], Answer]) -> Callable[[Inputs], Answer]:
        _SCENARIOS[name] = function
        return function

    return register


def scenarios() -> Mapping[str, str]:
    """All scenarios: name to what they compute."""
    _load()
    return {name: (function.__doc__ or "").strip() for name, function in sorted(_SCENARIOS.items())}


def scenario_function(name: str) -> Callable[[Inputs], Answer] | None:
    """The function that computes a scenario; None when there is none of that name."""
    _load()
    return _SCENARIOS.get(name)


def describe_scenarios() -> str:
    """All scenarios with their inputs and answers, as text for people."""
    parts = []
    for name, words in scenarios().items():
        what, _, rest = " ".join(words.split()).partition(": inputs ")
        lines = [f"{name}", f"  {what}"]
        inputs, _, answers = rest.partition("; answers ")
        lines += [f"  {head:8} {words.strip(' .')}" for head, words in (("inputs:", inputs), ("answers:", answers)) if words]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def run_scenario(asked: Scenario, where: str) -> Answer:
    """The figures of a scenario.

    Raises:
        CatalogError: there is no such scenario; names the nearest.
        InputError: an input is missing, unknown or cannot be read.
    """
    _load()
    if asked.verb not in _SCENARIOS:
        raise unknown_name("scenario", asked.verb, _SCENARIOS, where)
    inputs = Inputs(asked.inputs, f"{where}: {asked.verb}")
    answer = _SCENARIOS[asked.verb](inputs)
    inputs.check_all_used()
    return answer


def _load() -> None:
    from suanzhang.app import (  # noqa: F401
        scenarios_jobs,
        scenarios_market,
        scenarios_money,
        scenarios_scaling,
        scenarios_serving,
        scenarios_verbs,
    )


def significant(value: float, digits: int) -> str:
    """A number with so many significant digits, thousands separated and nothing rounded before the point.

    Example:
        >>> significant(1.7, 3), significant(150000.0, 3), significant(0.04719, 3)
        ('1.70', '150,000', '0.0472')
    """
    if value == 0.0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"
