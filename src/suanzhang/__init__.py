"""suanzhang 算账: how many chips a large model needs, which ones, in which layout, when, and at what cost.

The verbs of the command line are functions of this module: ``suanzhang.train(...)``, ``suanzhang.plan(...)``.
They are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_VERBS = {
    "audit": "suanzhang.app.audit",
    "buy": "suanzhang.app.buy",
    "calibrate": "suanzhang.app.calibrate",
    "catalog": "suanzhang.app.catalog",
    "plan": "suanzhang.app.plan",
    "read_question": "suanzhang.app.question",
    "serve": "suanzhang.app.serve",
    "train": "suanzhang.app.train",
    "validate": "suanzhang.app.validate",
}
"""Public function to the module that holds it."""

_FACES = {
    "to_json": "suanzhang.report.jsonable",
    "to_text": "suanzhang.report.jsonable",
    "print_report": "suanzhang.report.text",
}


def __getattr__(name: str) -> Any:
    module = _VERBS.get(name) or _FACES.get(name)
    if module is None:
        raise AttributeError(f"module 'suanzhang' has no attribute {name!r}")
    return getattr(importlib.import_module(module), name)


def __dir__() -> list[str]:
    return sorted(("__version__", *_VERBS, *_FACES))
