"""Figures of weak origin that an answer rests on: grade unverified or assumed, and more than 5 % of the answer."""

from __future__ import annotations

from collections.abc import Iterable

from suanzhang.app.explain_tree import flags_of, summed
from suanzhang.spec.trust import Flag, Node


def weak_inputs(trees: Iterable[Node]) -> tuple[Flag, ...]:
    """Weak figures of trees of terms as :mod:`suanzhang.app.explain` builds them, the heaviest first.

    Args:
        trees: one for each answer, without shares; a leaf's ``inputs`` are what may be weak.
    """
    return flags_of(summed(tree) for tree in trees)
