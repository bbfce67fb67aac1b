"""suanzhang 算账: how many chips a large model needs, which ones, in which layout, when, and at what cost.

The verbs of the command line are functions of this module: ``suanzhang.train(...)``, ``suanzhang.plan(...)``.
They are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "audit": "suanzhang.app.audit:audit",
    "backtest": "suanzhang.app.backtest:backtest",
    "buy": "suanzhang.app.verbs:buy",
    "calibrate": "suanzhang.app.verbs:calibrate",
    "calibrate_check": "suanzhang.app.calibrate_check:calibrate_check",
    "calibrate_runs": "suanzhang.app.calibrate_runs:calibrate_runs",
    "cite": "suanzhang.app.cite:cite",
    "compare_benchmark": "suanzhang.app.import_benchmark:compare_benchmark",
    "compare_measured": "suanzhang.app.measure_report:compare_measured",
    "diff": "suanzhang.app.diff:diff",
    "examine": "suanzhang.app.import_job:examine",
    "explain": "suanzhang.app.explain:explain",
    "improve": "suanzhang.app.serve_improve:improve",
    "goodput": "suanzhang.app.train_run:goodput",
    "launch_serve": "suanzhang.app.launch:launch_serve",
    "launch_train": "suanzhang.app.launch:launch_train",
    "look_up": "suanzhang.app.catalog:catalog",
    "plan": "suanzhang.app.plan:plan",
    "post_train": "suanzhang.app.post_training:post_train",
    "print_report": "suanzhang.report.text:print_answer",
    "replay": "suanzhang.app.replay:replay",
    "read_question": "suanzhang.app.question:read_question",
    "sensitivity": "suanzhang.app.sensitivity:sensitivity",
    "scaling": "suanzhang.app.train_scaling:scaling",
    "serve": "suanzhang.app.serve:serve",
    "serve_kinds": "suanzhang.app.serve_size_kinds:serve_kinds",
    "serve_share": "suanzhang.app.serve_share:serve_share",
    "serve_units": "suanzhang.app.serve_units:serve_units",
    "serve_question": "suanzhang.app.verbs_question:serve_question",
    "simulate": "suanzhang.app.serve_verb_day:serve_day",
    "simulate_question": "suanzhang.app.serve_verb_day_question:simulate_question",
    "to_json": "suanzhang.report.jsonable:to_json",
    "train": "suanzhang.app.train:train",
    "train_mixed": "suanzhang.app.train_mixed:train_mixed",
    "train_question": "suanzhang.app.verbs_question:train_question",
    "variants": "suanzhang.app.train_variants:variants",
    "validate": "suanzhang.app.validate:validate",
}
"""Public function to its home. The verb ``catalog`` is called ``look_up``, since ``suanzhang.catalog`` is a package."""

_PLAIN = frozenset(("print_report", "read_question", "to_json"))
"""Functions that are no verbs. What every other one answers holds what it was called with, so that it can be repeated."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'suanzhang' has no attribute {name!r}")
    module, _, function = _HOMES[name].partition(":")
    found = getattr(importlib.import_module(module), function)
    if name not in _PLAIN:
        return importlib.import_module("suanzhang.app.replay_inputs").recorded(name, found)
    return found


def __dir__() -> list[str]:
    return sorted(("__version__", *_HOMES))
