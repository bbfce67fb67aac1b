"""Fit of the serving coefficients to published runs, and the coefficients that ship with the package."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import yaml

from suanzhang.errors import CatalogError
from suanzhang.spec.serve import ServeCoefficients

_FILE = "data/coefficients/serving.yaml"


def load_coefficients() -> ServeCoefficients:
    """The coefficients that ship with the package; none fitted yet means one for each.

    Raises:
        CatalogError: the file names a coefficient that is not known, or has no record of what it was fitted on.
    """
    path = files("suanzhang.evidence").joinpath(_FILE)
    if not path.is_file():
        return ServeCoefficients()
    body: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return from_record(body)


def from_record(body: dict[str, Any]) -> ServeCoefficients:
    """Coefficients from the text form in which they are kept.

    Raises:
        CatalogError: an unknown coefficient, or no record of what it was fitted on.
    """
    if not body.get("fitted_on"):
        raise CatalogError("serving coefficients without a record of what they were fitted on", fix="fit them again")
    groups = {}
    for name, entry in body["coefficients"].items():
        if name not in {"matmul", "attention", "memory", "collective", "host"}:
            raise CatalogError(f"unknown serving coefficient {name!r}", fix="remove it")
        groups[name] = {str(key): float(value) for key, value in entry["values"].items()}
    return ServeCoefficients(**groups, fitted_on=tuple(body["fitted_on"]), residual_p90=float(body.get("residual_p90", 0.0)))
