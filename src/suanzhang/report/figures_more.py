"""The larger figures of a page by the type of its result; other faces do not pay for them."""

from __future__ import annotations

import importlib
from typing import Any

from suanzhang.report.figures import Drawn

MAKERS = {
    "ExplainResult": "suanzhang.report.figures_train:explain_figures",
    "TrainResult": "suanzhang.report.figures_train:train_figures",
    "ServeResult": "suanzhang.report.figures_serve:serve_figures",
}


def more_figures(result: Any) -> list[Drawn]:
    """The larger figures of a result; none for a type without them."""
    target = MAKERS.get(type(result).__name__)
    if target is None:
        return []
    module, _, name = target.partition(":")
    return list(getattr(importlib.import_module(module), name)(result))
