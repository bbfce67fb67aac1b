"""Every predicted figure of the reports of services, plans and purchases stands with its interval; what is none stands here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from intervals import bare

import suanzhang
from suanzhang.report.views import report_of

STARTUP = Path(__file__).resolve().parents[3] / "examples/gpu-rush-2023/startup.yaml"
DECIDED, GIVEN, COUNTED = "a decision of the plan", "given", "a count of work done"
END = "the end of an interval itself"
DELIVERY = dict.fromkeys(("comes after", "one in ten after"), "quoted")
LISTED: dict[str, dict[str, str]] = {
    "serve": {
        "simulated requests": COUNTED,
        "chips": "those of one replica follow from its layout; the replicas have their interval",
        "running sequences, most": "whole sequences that the cache and the settings of the engine allow",
        "Memory by part": "its weights follow from the architecture; the other parts have intervals",
        "load": GIVEN,
        "share": "of the amounts beside it",
    },
    "plan": {
        "budget": GIVEN,
        "chips": DECIDED,
        "Chips over time": DECIDED,
        "chip-hours": DECIDED,
        "more chips": DECIDED,
        "paid per kWh": "a tariff",
        "95th percentile as prices and physics move": END,
        "price": "a tariff, or quoted",
        **DELIVERY,
        "proved gap to the optimum": "proved by the solver",
        "solve": "a clock reading",
        "value": "the limit as it was given",
    },
    "buy": {
        "95th percentile over 20 futures and our physics": END,
        "price": "a tariff, or quoted",
        **DELIVERY,
        "proved gap to the optimum": "proved by the solver",
        "solve": "a clock reading",
        "chips": DECIDED,
        "Chips over time": DECIDED,
        "rent": "a quoted price",
        "chip-hours": DECIDED,
        "chip-months": DECIDED,
        "share": DECIDED,
        "carbon of the grid": GIVEN,
        **dict.fromkeys(("cost", "prices", "rents", "delivery", "demand", "rented by the hour"), "of one drawn future"),
    },
    "improve": {
        "requests simulated": COUNTED,
        "What each lever takes off the rent": "the table beside it has the intervals",
    },
    "units": {"length": GIVEN, "load": GIVEN},
}
MAKES: dict[str, Callable[[], Any]] = {
    "serve": lambda: suanzhang.serve(
        "llama-3.1-8b", "h100-sxm-80", isl=500, osl=150, isl_p95=1500, osl_p95=400, rate=200, ttft_p99_s=1.0, tpot_p99_s=0.04
    ),
    "plan": lambda: suanzhang.plan(STARTUP),
    "buy": lambda: suanzhang.buy(STARTUP),
    "improve": lambda: suanzhang.improve(STARTUP),
    "units": lambda: suanzhang.serve_units(STARTUP),
}


@pytest.mark.parametrize("verb", MAKES)
def test_every_predicted_figure_of_the_report_has_its_interval(verb: str) -> None:
    assert bare(report_of(MAKES[verb]()), LISTED[verb]) == []
