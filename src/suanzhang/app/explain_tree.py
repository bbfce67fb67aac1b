"""Parts of an explanation: quoted figures, sums with shares, and the figures of weak origin that weigh on an answer."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from suanzhang.app.physics import Physics
from suanzhang.catalog.stacks import stack_origin
from suanzhang.source import QUESTION, Quoted
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.stack import ServeStack, TrainStack
from suanzhang.spec.trust import Flag, Given, Node
from suanzhang.units import GB

WEAK = ("unverified", "assumed")
"""Grades that are flagged where they weigh."""
WEIGHS = 0.05
"""Share of an answer from which a weak figure is flagged."""

_NOMINAL = "as sold; nominal gigabytes of memory are binary ones"


def dotted(function: Callable[..., Any]) -> str:
    """The name under which a formula can be found: module and function."""
    plain = getattr(function, "py_func", function)
    return f"{plain.__module__}.{plain.__qualname__}"


def find_formula(name: str) -> Callable[..., Any]:
    """The function behind a dotted name.

    Raises:
        ModuleNotFoundError, AttributeError: there is none.
    """
    module, _, function = name.rpartition(".")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def quoted(name: str, quote: Quoted | None, missing: str = "in no source") -> Given:
    """A figure with its origin; one without an origin counts as assumed."""
    if quote is None:
        return Given(name, missing, "", "", "assumed")
    dated = ", ".join(part for part in (quote.date, quote.note) if part)
    grade = "asked" if quote.source == QUESTION else quote.grade
    return Given(name, quote.value, quote.unit, quote.source, grade, dated)


def of_chip(chip: ChipSpec, figure: str, name: str) -> Given:
    """A figure of a chip with its origin."""
    found = quoted(f"{name} of {chip.id}", chip.quotes.get(figure))
    if figure == "hbm_bytes" and isinstance(found.value, float):
        return replace(
            found, value=found.value / GB, unit="GB", note=", ".join(part for part in (found.note, _NOMINAL) if part)
        )
    return found


def of_stack(stack: TrainStack | ServeStack, setting: str, unit: str, name: str) -> Given:
    """A setting of a software generation with its origin."""
    origin = stack_origin(stack, setting)
    return Given(f"{name} of {stack.id}", float(getattr(stack, setting)), unit, origin.source, origin.grade, origin.date)


def efficiencies(found: Physics, chip: ChipSpec) -> Given:
    """The fitted surfaces that say how much of its peaks a chip reaches."""
    source = "aiconfigurator-2026" if found.profile else "typical-efficiency"
    return Given(f"kernel efficiencies of {chip.id}", found.profile or found.note, "", source, found.grade, found.note)


def asked(name: str, value: float | str, unit: str, *, given: bool, note: str = "") -> Given:
    """What the user asked, or the usual value that stands in when nothing was asked."""
    return Given(name, value, unit, QUESTION if given else "planner-default", "asked" if given else "assumed", note)


def named(name: str, value: float, unit: str, formula: str = "", note: str = "") -> Node:
    """A value that is explained elsewhere."""
    return Node(name, value, unit, "given", formula, note=note)


def over(name: str, first: Node, other: Node, unit: str, formula: str = "") -> Node:
    """The ratio of two values."""
    below = other.value or 0.0
    return Node(name, (first.value or 0.0) / below if below else None, unit, "ratio", formula, parts=(first, other))


def summed(node: Node) -> Node:
    """The node and everything below it with shares.

    A part of a sum weighs by its size over that of the sum (at most in full: a sum may hold an income); of the largest of
    several only that one weighs; a factor and an argument of a formula weigh as much as what they make.
    """
    share = 1.0 if node.share is None else node.share
    total = abs(node.value or 0.0) or sum(abs(part.value or 0.0) for part in node.parts)
    parts = []
    for part in node.parts:
        own = share
        if node.joined == "sum":
            own = min(1.0, share * abs(part.value or 0.0) / total) if total else 0.0
        elif node.joined == "largest":
            own = share if part.value == max(one.value or 0.0 for one in node.parts) else 0.0
        parts.append(summed(replace(part, share=own)))
    return replace(node, share=share, parts=tuple(parts))


def flags_of(trees: Iterable[Node]) -> tuple[Flag, ...]:
    """Figures of grade unverified or assumed that weigh more than 5 % of an answer, the heaviest first.

    The weight of a figure is the share of the answer whose terms it enters; a figure that enters a factor weighs in full.
    """
    found: dict[tuple[str, str], tuple[Given, float]] = {}
    for tree in trees:
        weights: dict[str, float] = {}
        givens: dict[str, Given] = {}
        _weigh(tree, weights, givens)
        for name, weight in weights.items():
            if weight > WEIGHS:
                found[tree.name, name] = (givens[name], min(weight, 1.0))
    flags = [Flag(g.name, g.grade, share, answer, g.source) for (answer, _), (g, share) in found.items()]
    return tuple(sorted(flags, key=lambda flag: (-flag.share, flag.answer, flag.figure)))


def _weigh(node: Node, weights: dict[str, float], givens: dict[str, Given]) -> None:
    for given in node.inputs:
        if given.grade in WEAK and given.source != QUESTION:
            weights[given.name] = weights.get(given.name, 0.0) + (node.share or 0.0)
            givens[given.name] = given
    for part in node.parts:
        _weigh(part, weights, givens)


def givens_of(trees: Iterable[Node]) -> Iterable[Given]:
    """Every figure of the trees."""
    for tree in trees:
        yield from tree.inputs
        yield from givens_of(tree.parts)


def formulas_of(trees: Iterable[Node]) -> Iterable[str]:
    """Every formula of the trees."""
    for tree in trees:
        if tree.formula:
            yield tree.formula
        yield from formulas_of(tree.parts)


def moved_words(name: str, stored: Mapping[str, Any], key: str, now: float) -> list[str]:
    """A line when a result holds another value than the same formulas give now."""
    before = stored.get(key)
    if not isinstance(before, (int, float)) or abs(float(before) - now) <= 1e-9 * max(abs(now), 1e-300):
        return []
    return [f"{name} is {now:.6g} by the formulas of this version, the result holds {float(before):.6g}"]
