"""Parts of an explanation: quoted figures, sums with shares, and the figures of weak origin that weigh on an answer."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from suanzhang.app.physics import Physics
from suanzhang.catalog.stacks import stack_origin
from suanzhang.source import QUESTION, Quoted
from suanzhang.spec.chip import ChipSpec
from suanzhang.spec.stack import ServeStack, TrainStack
from suanzhang.spec.trust import Flag, Given, Node
from suanzhang.units import DAY_S, GB, HOUR_S

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


def leaf(given: Given) -> Node:
    """A figure that is a part by itself, such as a factor of a product or a side of a ratio."""
    value = None if isinstance(given.value, str) else given.value
    return Node(given.name, value, given.unit, note=given.note, source=given.source, grade=given.grade)


def constant(name: str, value: float, unit: str) -> Given:
    """A number that a definition says, such as the hours of a day."""
    return Given(name, value, unit, "derived", "derived")


def graded(node: Node) -> Node:
    """The node with a grade on everything below it that nothing makes: what this answer computed is derived."""
    if not node.parts and not node.inputs and not node.grade:
        return replace(node, grade="derived")
    return replace(node, parts=tuple(graded(part) for part in node.parts))


def over(name: str, first: Node, other: Node, unit: str, formula: str = "") -> Node:
    """The ratio of two values."""
    below = other.value or 0.0
    return Node(name, (first.value or 0.0) / below if below else None, unit, "ratio", formula, parts=(first, other))


def less(node: Node) -> Node:
    """A value that is taken away."""
    minus = Node("taken away", -1.0, "times")
    return Node(f"less {node.name}", -(node.value or 0.0), node.unit, "product", parts=(minus, node))


_CLOSE = 1e-9
_UNITS_APART = (1.0, DAY_S, HOUR_S, 1.0 / DAY_S, 1.0 / HOUR_S)
"""Factors by which a value may differ from the product of its parts, which are given in other units of time."""


def made_of(node: Node) -> bool:
    """Whether the parts of a node make its value in the way that it says; always for formulas."""
    value, parts = node.value, [part.value or 0.0 for part in node.parts]
    if value is None or not parts + [given for given in node.inputs if not isinstance(given.value, str)]:
        return node.joined in ("formula", "given")
    if node.joined == "sum":
        return abs(sum(parts) - value) <= _CLOSE * max(abs(value), *(abs(part) for part in parts))
    if node.joined == "largest":
        return math.isclose(max(parts), value, rel_tol=_CLOSE)
    if node.joined == "ratio":
        below = math.prod(parts[1:])
        return below != 0.0 and math.isclose(parts[0] / below, value, rel_tol=_CLOSE)
    if node.joined == "product":
        made = math.prod(parts) * math.prod(given.value for given in node.inputs if not isinstance(given.value, str))
        return any(math.isclose(made * factor, value, rel_tol=_CLOSE) for factor in _UNITS_APART)
    return True


def held(node: Node) -> Node:
    """The node; a formula of its parts where they do not make its value in the way that it says."""
    return node if made_of(node) else replace(node, joined="formula")


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

    The weight of a figure is the share of the answer whose terms it enters: added up over the terms of a sum and the factors
    of a product, where a figure that enters one weighs in full; the heaviest of the arguments of a formula, which mixes them
    in shares that are not known here.
    """
    found: dict[tuple[str, str], tuple[Given, float]] = {}
    for tree in trees:
        for name, (given, weight) in _weights(tree).items():
            if weight > WEIGHS:
                found[tree.name, name] = (given, min(weight, 1.0))
    flags = [Flag(g.name, g.grade, share, answer, g.source) for (answer, _), (g, share) in found.items()]
    return tuple(sorted(flags, key=lambda flag: (-flag.share, flag.answer, flag.figure)))


def _weights(node: Node) -> dict[str, tuple[Given, float]]:
    """Weak figures at and below a node with what rests on them, at most what rests on the node."""
    weak = [given for given in _own(node) if given.grade in WEAK and given.source != QUESTION]
    own = {given.name: (given, (node.share or 0.0) * given.weight_fraction) for given in weak}
    mixed = node.joined in ("formula", "given")
    for part in node.parts:
        for name, (given, weight) in _weights(part).items():
            known = own.get(name, (given, 0.0))[1]
            own[name] = (given, max(known, weight) if mixed else min(known + weight, max(node.share or 0.0, known)))
    return own


def _own(node: Node) -> tuple[Given, ...]:
    """Figures that enter a node itself, and itself where it is one."""
    itself = Given(node.name, node.value or 0.0, node.unit, node.source, node.grade, node.note)
    return (*node.inputs, itself) if node.source else node.inputs


def givens_of(trees: Iterable[Node]) -> Iterable[Given]:
    """Every figure of the trees."""
    for tree in trees:
        yield from _own(tree)
        yield from givens_of(tree.parts)


def nodes_of(tree: Node) -> Iterable[Node]:
    """A node and everything below it."""
    yield tree
    for part in tree.parts:
        yield from nodes_of(part)


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
