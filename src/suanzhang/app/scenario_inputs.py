"""Named inputs of a scenario, read with their units; an input that nobody reads is an error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from suanzhang.app.question_schema import LengthModel, read_redundancy
from suanzhang.catalog import CATALOG_DATE
from suanzhang.catalog.markets import market as find_market
from suanzhang.errors import InputError, nearest_names
from suanzhang.spec.job import LengthSpec, Redundancy
from suanzhang.units import Dimension, parse_quantity

REQUIRED: Literal["required"] = "required"


class Inputs:
    """The inputs of one scenario.

    Args:
        given: name to what the user wrote.
        where: the claim and scenario, for error lines.
    """

    def __init__(self, given: Mapping[str, Any], where: str) -> None:
        self.given = dict(given)
        self.where = where
        self.used: set[str] = set()

    def has(self, name: str) -> bool:
        """Whether an input was given; counts as reading it."""
        self.used.add(name)
        return name in self.given

    def raw(self, name: str) -> Any:
        """An input as it was written.

        Raises:
            InputError: it is missing.
        """
        if not self.has(name):
            raise InputError(f"{self.where}: the input {name!r} is missing", fix="add it")
        return self.given[name]

    def text(self, name: str, default: str | None = None) -> str:
        """A name, such as a chip or model."""
        if default is not None and not self.has(name):
            return default
        value = self.raw(name)
        if not isinstance(value, str) or not value:
            raise InputError(f"{self.where}: {name} must be a name, got {str(value)[:40]!r}", fix="write a catalog id")
        return value

    def number(
        self, name: str, dimension: Dimension = "count", default: float | None = None, *, positive: bool = True
    ) -> float:
        """A quantity in SI units."""
        if default is not None and not self.has(name):
            return default
        value = parse_quantity(self.raw(name), dimension, f"{self.where}: {name}")
        if positive and value <= 0.0:
            raise InputError(f"{self.where}: {name} must be positive, got {value:g}", fix="give a value above zero")
        return value

    def optional(self, name: str, dimension: Dimension) -> float | None:
        """A quantity that may be left out."""
        return self.number(name, dimension) if self.has(name) else None

    def whole(self, name: str, default: int | None = None) -> int:
        """A positive whole number."""
        value = self.number(name, "count", None if default is None else float(default))
        if value != math.floor(value):
            raise InputError(f"{self.where}: {name} must be a whole number, got {value:g}", fix="write for example 1024")
        return int(value)

    def length(self, name: str) -> LengthSpec:
        """Token counts of requests: a number or a distribution."""
        value = self.raw(name)
        try:
            part = LengthModel.model_validate(value if isinstance(value, Mapping) else {"mean": value})
        except ValidationError as error:
            reason = error.errors(include_url=False)[0]
            message = str(reason.get("ctx", {}).get("message", reason["msg"]))
            raise InputError(
                f"{self.where}: {name}: {message}", fix="write 300 or {dist: lognormal, mean: 300, p95: 900}"
            ) from None
        return LengthSpec(part.dist, part.mean, part.p95 if part.p95 is not None else part.mean)

    def redundancy(self, name: str) -> Redundancy:
        """Spare replicas such as ``n+10%``; none when left out."""
        if not self.has(name):
            return Redundancy()
        try:
            return read_redundancy(self.given[name])
        except PydanticCustomError as error:
            raise InputError(f"{self.where}: {name}: {error.message()}", fix="write n, n+1 or n+10%") from None

    def check_all_used(self) -> None:
        """Refuse inputs that the scenario does not know.

        Raises:
            InputError: there is one; names the nearest known input.
        """
        for name in self.given:
            if name not in self.used:
                near = nearest_names(name, self.used)
                fix = f"did you mean {near[0]}?" if near else f"it takes {', '.join(sorted(self.used))}"
                raise InputError(f"{self.where}: unknown input {name!r}", fix=fix)


def dated(inputs: Inputs) -> str:
    """The month of a scenario, ISO: its input ``date``, else that of its market, else that of the catalog.

    It decides which software a job runs on, and the rates of currencies.
    """
    market = find_market(inputs.text("market")).date if inputs.has("market") else CATALOG_DATE
    return inputs.text("date", market[:7])
