"""What binds a plan, in words: one line for each limit, the months in which it binds alike joined."""

from __future__ import annotations

import re

from suanzhang.money.procurement.calendar import month_number
from suanzhang.spec.buy import Binding, BuyResult
from suanzhang.units import format_figure

_MONTH = re.compile(r"\b\d{4}-\d{2}\b")


def binding_words(bought: BuyResult) -> tuple[str, ...]:
    """One line for each limit that binds, the dearest first.

    The months of a limit stand together; its value and what one more unit saves are then ranges.
    """
    groups: list[tuple[str, list[Binding], list[str]]] = []
    for limit in bought.binding:
        found = _MONTH.findall(limit.limit)
        stem = _MONTH.sub("@", limit.limit) if len(found) == 1 else limit.limit
        same = next((group for group in groups if group[0] == stem), None)
        if same is None:
            groups.append((stem, [limit], found if len(found) == 1 else []))
        else:
            same[1].append(limit)
            same[2].extend(found)
    return tuple(_words(stem, limits, months, bought.cost.currency) for stem, limits, months in groups)


def months_words(months: list[str]) -> str:
    """ISO months, neighbours joined.

    Example:
        >>> months_words(["2023-07", "2023-05", "2023-06", "2023-12"])
        '2023-05 to 2023-07, 2023-12'
    """
    runs: list[list[str]] = []
    for month in sorted(set(months)):
        if runs and month_number(month) == month_number(runs[-1][-1]) + 1:
            runs[-1].append(month)
        else:
            runs.append([month])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def _words(stem: str, limits: list[Binding], months: list[str], currency: str) -> str:
    first = limits[0]
    step = "" if first.step_saves is None else f"; {first.step}: {format_figure(first.step_saves.amount, currency)}"
    worth = _range([format_figure(limit.worth, currency) for limit in sorted(limits, key=lambda limit: limit.worth)])
    text = stem.replace("@", months_words(months)) if months else stem
    if first.kind == "due":
        when = "in one of these months" if len(set(months)) > 1 else "then"
        return f"{text}: carrying none of it {when} would save {worth}{step}"
    value = _range([f"{limit.value:,.0f}" for limit in sorted(limits, key=lambda limit: limit.value)])
    unit = first.unit[:-1] if first.unit.endswith("s") and len(first.unit) > 2 else first.unit
    return f"{text} ({value} {first.unit}): one more {unit} would save {worth}{step}"


def _range(texts: list[str]) -> str:
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"
