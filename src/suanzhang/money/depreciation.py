"""What a used chip fetches: one curve for each family that has data, never one straight line for all."""

from __future__ import annotations

import csv
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from suanzhang.errors import CatalogError
from suanzhang.money.figures import DATA, RESALE, figure, given
from suanzhang.source import QUESTION

_RELATIVES = {"a800": "a100", "h800": "", "v100s": "v100", "rtx4090d": "rtx4090"}
_FIRM_MONTHS = 24.0


@dataclass(frozen=True, slots=True)
class ResaleCurve:
    """Yearly factor by which the price of a used chip changes.

    Args:
        family: whose data it rests on; "default" for none.
        factor_per_year: price a year later over the price now.
        months: span of the data.
        grade: "published" with two years of data, "derived" with less, "assumed" without.
        source: key of the source.
    """

    family: str
    factor_per_year: float
    months: float
    grade: str
    source: str


@functools.cache
def _points() -> Mapping[str, tuple[tuple[float, float, str], ...]]:
    raw: dict[str, list[tuple[float, float, str]]] = {}
    with (DATA / "resale.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if not row["source"] or not row["grade"] or not row["date"]:
                raise CatalogError(f"resale price of {row['chip']} has no source", fix="give its origin")
            year, month = (int(part) for part in row["date"].split("-"))
            raw.setdefault(row["chip"], []).append((year * 12.0 + month, float(row["price_usd"]), row["source"]))
    return MappingProxyType({chip: tuple(sorted(rows)) for chip, rows in raw.items()})


def resale_curve(chip: str) -> ResaleCurve:
    """The yearly price factor of used chips of a kind.

    Model:
        Constant yearly factor between the first and the last street price of its family. A family with less than two
        years of data is averaged (geometrically) with the general decline of prices; a chip without data gets that
        decline.

    Args:
        chip: catalog id; its first part names the family.

    Returns:
        The curve with its grade.

    Equation:
        f = (p_last / p_first)**(12 / months).

    Validity:
        2019 to 2025, list and street prices of single cards; shortages raise prices above it.

    Sources:
        [street-price-tracker], [epoch-cost-method].

    Example:
        >>> round(1.0 - resale_curve("v100-sxm2-32").factor_per_year ** (27 / 12), 2)
        0.74
    """
    family = chip.split("-", 1)[0].lower()
    family = _RELATIVES.get(family, family)
    kept = given(RESALE)
    if kept is not None:
        return ResaleCurve("given", kept, 0.0, "derived", QUESTION)
    general = 1.0 + figure("price_change_per_year").value
    if family not in _points():
        return ResaleCurve("default", general, 0.0, "assumed", figure("price_change_per_year").quoted.source)
    points = _points()[family]
    months = points[-1][0] - points[0][0]
    own = (points[-1][1] / points[0][1]) ** (12.0 / months)
    if months >= _FIRM_MONTHS:
        return ResaleCurve(family, own, months, "published", points[0][2])
    return ResaleCurve(family, math.sqrt(own * general), months, "derived", points[0][2])


def resale_path(chip: str, months: int) -> tuple[float, ...]:
    """Price of a used chip at the end of months 0 to ``months``, in shares of the price of a new one today.

    Model:
        A chip is worth less as soon as it is not new; then the curve of its family.

    Args:
        chip: catalog id.
        months: length of the path.

    Returns:
        ``months + 1`` shares [1].

    Equation:
        v_t = (1 - u) f**(t / 12).

    Validity:
        As :func:`resale_curve`.

    Sources:
        [street-price-tracker]; the discount of used chips is assumed.

    Example:
        >>> [round(v, 3) for v in resale_path("no-data", 1)]
        [0.85, 0.827]
    """
    factor = resale_curve(chip).factor_per_year
    used = 1.0 - figure("used_discount").value
    return tuple(used * factor ** (month / 12.0) for month in range(months + 1))
