"""The error tree. Every failure that a user can cause or meet is one of these, and says what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any


class PlannerError(Exception):
    """Base of all errors of the planner: one line that says what was wrong, where, and what to do.

    Args:
        message: what was wrong and where.
        fix: what the user can do about it.
        details: further machine-readable facts for the JSON body.
    """

    exit_code = 4
    kind = "internal"

    def __init__(self, message: str, *, fix: str = "", details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.details = dict(details or {})

    def __str__(self) -> str:
        return f"{self.message}; {self.fix}" if self.fix else self.message

    def body(self) -> dict[str, Any]:
        """The one JSON error body that every face prints."""
        return {
            "error": {"kind": self.kind, "message": self.message, "fix": self.fix, "exit_code": self.exit_code, **self.details}
        }


class InputError(PlannerError):
    """What the user gave cannot be used: a bad value, key, unit, file or flag."""

    exit_code = 2
    kind = "input"


class CatalogError(InputError):
    """A catalog entry is unknown, has no source, or is stale."""

    kind = "catalog"


class OutOfDomain(InputError):
    """A formula was asked outside the range in which it holds."""

    kind = "out-of-domain"


class Infeasible(PlannerError):
    """No answer exists under the given limits: does not fit, target unreachable, budget too small.

    Args:
        message: which question has no answer.
        binding: the limits that exclude every answer, each with its value and unit in words.
        nearest: the nearest feasible point (key to value), empty when none was found.
        fix: what the user can relax.
    """

    exit_code = 3
    kind = "infeasible"

    def __init__(
        self, message: str, *, binding: Iterable[str], nearest: Mapping[str, Any] | None = None, fix: str = ""
    ) -> None:
        self.binding = tuple(binding)
        self.nearest = dict(nearest or {})
        super().__init__(message, fix=fix)

    def body(self) -> dict[str, Any]:
        """The JSON error body, with what binds and the nearest feasible point."""
        body = super().body()
        return {**body, "binding": list(self.binding), "nearest": self.nearest}


class SolverError(PlannerError):
    """The optimiser or a numeric method failed although the question is well posed."""

    kind = "solver"


class Interrupted(PlannerError):
    """The user ended the work before there was an answer."""

    exit_code = 130
    kind = "interrupted"


def nearest_names(name: str, known: Iterable[str], count: int = 3) -> tuple[str, ...]:
    """The known names closest to a misspelt one, best first."""
    by_folded = {item.lower(): item for item in known}
    matches = difflib.get_close_matches(name.lower(), list(by_folded), n=count, cutoff=0.4)
    return tuple(by_folded[match] for match in matches)


def unknown_name(what: str, name: str, known: Iterable[str], where: str = "") -> CatalogError:
    """The error for a name that is not in the catalog, naming the nearest ones."""
    known = tuple(known)
    near = nearest_names(name, known)
    prefix = f"{where}: " if where else ""
    fix = f"did you mean {' or '.join(near)}?" if near else f"see the {len(known)} known ones with `suanzhang catalog`"
    return CatalogError(f"{prefix}unknown {what} {name!r}", fix=fix, details={"nearest_names": list(near)})
