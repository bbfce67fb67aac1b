"""Which view shows which result: a new result needs one entry here, and every face can show it."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

from suanzhang.report.blocks import Report
from suanzhang.report.jsonable import header_of

VIEWS: dict[str, str] = {
    "TrainResult": "suanzhang.report.view_train:train",
    "MixedResult": "suanzhang.report.view_train_mixed:mixed",
    "RunResult": "suanzhang.report.view_train_run:run",
    "ScalingResult": "suanzhang.report.view_train_scaling:scaling",
    "ServeResult": "suanzhang.report.view_serve:serve",
    "ImproveResult": "suanzhang.report.view_serve_improve:improve",
    "KindsResult": "suanzhang.report.view_serve_kinds:kinds",
    "LaunchResult": "suanzhang.report.view_launch:launch",
    "UnitsResult": "suanzhang.report.view_serve_units:units",
    "ShareResult": "suanzhang.report.view_serve_units:share",
    "ExamineResult": "suanzhang.report.view_import:examine",
    "BenchmarkResult": "suanzhang.report.view_import:benchmark",
    "DayResult": "suanzhang.report.view_serve_day:day",
    "PostResult": "suanzhang.report.view_post_training:post_training",
    "BuyResult": "suanzhang.report.view_buy:buy",
    "PlanResult": "suanzhang.report.view_plan:plan",
    "AuditResult": "suanzhang.report.view_audit:audit",
    "BacktestResult": "suanzhang.report.view_backtest:backtest",
    "CatalogResult": "suanzhang.report.view_catalog:catalog",
    "VariantsResult": "suanzhang.report.view_train_variants:variants",
    "ValidateResult": "suanzhang.report.view_validate:validate",
    "KernelCheck": "suanzhang.report.view_kernel_record:kernel_record",
    "ExplainResult": "suanzhang.report.view_trust:explain",
    "CiteResult": "suanzhang.report.view_trust:cite",
    "ReplayResult": "suanzhang.report.view_trust:replay",
    "DiffResult": "suanzhang.report.view_trust:diff",
    "SensitivityResult": "suanzhang.report.view_sensitivity:sensitivity",
    "OwnRunsResult": "suanzhang.report.view_own_runs:own_runs",
    "MeasuredResult": "suanzhang.report.view_trust_measure:measured",
}
"""Name of a result's type to the function that shows it. Types without an entry are shown key by key."""


def report_of(result: Any, *, command: str = "", call: str = "") -> Report:
    """The report of a result.

    Args:
        result: what a verb gave.
        command, call: the command and the Python call that give it again.
    """
    target = VIEWS.get(type(result).__name__, "suanzhang.report.view_any:anything")
    module, _, name = target.partition(":")
    view: Callable[[Any], Report] = getattr(importlib.import_module(module), name)
    report = view(result)
    return dataclasses.replace(report, command=command, call=call, footer=report.footer or _footer(result))


def _footer(result: Any) -> str:
    header = header_of(result)
    if header is None:
        return ""
    return f"suanzhang {header.version}, catalog of {header.catalog_date}, seed {header.seed}"
