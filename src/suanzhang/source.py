"""Where a number comes from: a source, and a value quoted from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Grade = Literal["vendor", "measured", "published", "derived", "press", "unverified", "assumed"]

GRADES: tuple[Grade, ...] = ("measured", "vendor", "published", "derived", "press", "unverified", "assumed")
"""All grades, the firmest first."""
QUESTION = "question"
"""Source key of what the user gave."""


@dataclass(frozen=True, slots=True)
class Source:
    """A document, table or repository that a value was read from.

    Args:
        key: short unique key, also its entry in ``sources.bib``.
        title: what it is, in words.
        url: where it is, empty when it has none.
        date: when it was published or read, ISO date or its year.
    """

    key: str
    title: str
    url: str = ""
    date: str = ""


@dataclass(frozen=True, slots=True)
class Quoted:
    """A value with its unit, where it was read, when it held, and how far to trust it.

    Args:
        value: the number, in ``unit``.
        unit: SI unit, currency, or "1" for a plain number.
        source: key of a :class:`Source`.
        grade: how far to trust it.
        date: the day or month it held, ISO; empty when timeless.
        note: what else a reader must know, such as a disputing figure.
    """

    value: float
    unit: str
    source: str
    grade: Grade
    date: str = ""
    note: str = ""
