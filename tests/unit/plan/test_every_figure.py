"""Every figure that serve, plan, buy and audit predict has its interval; what is no prediction stands here with the reason."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from intervals import unspanned

import suanzhang
from suanzhang.app.buy_spread import spread_bought
from suanzhang.app.serve_verb_day import serve_day
from suanzhang.report.blocks import Ranged, Table
from suanzhang.report.csv import table_csv
from suanzhang.report.text import print_report
from suanzhang.report.views import report_of
from suanzhang.spec.plan import PlanResult
from suanzhang.spec.question import Question
from suanzhang.spec.serve_improve import ImproveResult

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
TRAFFIC = {"isl": 500, "osl": 150, "isl_p95": 1500, "osl_p95": 400, "ttft_p99_s": 1.0, "tpot_p99_s": 0.04}

FLAGS = {"Flag": "weights of figures, exact by the formulas"}
CLOCK = "a clock reading"
COUNTED = "a count of work done"

REPLICA = {
    "ServeEstimate.chips": "follows from the layout",
    "ServeEstimate.batch_limit": "whole sequences that the cache and the settings of the engine allow",
    **dict.fromkeys(
        (f"ServeMemory.{name}" for name in ("weights_bytes", "kv_bytes_per_token", "state_bytes_per_seq")),
        "arithmetic of the architecture and the layout",
    ),
    "ServeEstimate.requests_simulated": COUNTED,
    "ServeEstimate.simulated_s": COUNTED,
    "ServeEstimate.wall_s": CLOCK,
}
SIZED = {
    "SizedService.spare_replicas": "asked",
    "ChipCount.requests_per_s": "the load that was asked about",
    "SizedService.layouts_evaluated": COUNTED,
    "SizedService.alternatives": "runners-up of a search, as it ranks them",
    "SizedService.size_s": CLOCK,
}
SERVE = {
    **REPLICA, **SIZED, **FLAGS,
    "ServeResult.requests_simulated": COUNTED,
    "ServeResult.simulated_s": COUNTED,
    "ServeResult.wall_s": CLOCK,
    "ServeResult.isl": "given",
    "ServeResult.osl": "given",
}  # fmt: skip
KINDS = {
    **FLAGS,
    "KindsResult.requests_per_s": "given",
    "KindOption.max_batched_tokens": "a setting",
    "FrontPoint.concurrency": "the load at which the point lies",
    "KindsResult.ways_evaluated": COUNTED,
    "KindsResult.requests_simulated": COUNTED,
    "KindsResult.wall_s": CLOCK,
}
IMPROVE = {
    **FLAGS,
    "Step.cost_fraction": "1 by definition at the start; the other steps are looked at by themselves",
    "ImproveResult.requests_simulated": COUNTED,
    "ImproveResult.wall_s": CLOCK,
}
UNITS = {
    **FLAGS,
    "HourCost.hours": "length of the tier",
    "HourCost.requests_per_s": "the load that was asked about",
    "UnitsResult.requests_simulated": COUNTED,
    "UnitsResult.wall_s": CLOCK,
}
SHARE = {**FLAGS, "ShareResult.requests_simulated": COUNTED, "ShareResult.wall_s": CLOCK}
_EVENT = "what happened to the requests of one simulated day"
DAY = {
    **FLAGS,
    "DayResult.replicas_followed": "a setting",
    "DayChance.days": "a setting",
    "DayResult.cells": "a setting",
    **dict.fromkeys((f"DayResult.{name}" for name in ("requests_per_s", "isl", "osl", "peak_to_mean")), "traffic asked about"),
    **dict.fromkeys(
        (f"DayResult.{name}" for name in ("requests", "finished", "timed_out", "rejected", "unfinished", "failures", "moved",
                                          "preemptions")), _EVENT
    ),
    "DayResult.requests_simulated": COUNTED,
    "DayResult.requests_counted": COUNTED,
    "DayResult.warmup_s": "a setting, found by a rule where it is left out",
    "DayResult.simulated_s": COUNTED,
    "DayResult.wall_s": CLOCK,
}  # fmt: skip
_DECIDED = "a decision of the plan"
BUY = {
    **FLAGS,
    "ScheduleRow.chips": _DECIDED,
    "BuyResult.cost_p95": "the end of an interval itself",
    "BuyResult.gap": "proved by the solver",
    "BuyResult.bound": "proved by the solver",
    "BuyResult.solve_s": CLOCK,
    "BuyResult.scenarios": "given",
    "BuyResult.budget": "given",
    "BuyResult.tail_weight": "given",
    "BuyResult.tail_share": "given",
    "Binding.value": "the limit as it was given, or the plan decided it",
    "RunWindow.chips": _DECIDED,
    "ServiceShare.chips": _DECIDED,
    "ServiceShare.share": _DECIDED,
    "ServiceShare.size_factor": _DECIDED,
    "SiteEnergy.carbon_kg_per_kwh": "a quoted figure of the grid",
    "MonthState.owned": _DECIDED,
    "OfferTaken": "quoted prices and delays, each with its source",
    "MonthState.rented": _DECIDED,
    "RentOrBuy.rent_per_chip_h": "a quoted price",
    "ChargeBack.chip_months": _DECIDED,
    "EnergyBand.price_per_kwh": "given",
    "UnitCosts.chip_hours": _DECIDED,
    "UnitCosts.useful_flop": "arithmetic of the architecture and the tokens",
    "UnitCosts.tokens": "given, or written in the answers that are given",
    "UnitCosts.responses": "the demand that the plan carries",
}
PLAN = {
    **{name: why for name, why in BUY.items() if name != "ChargeBack.chip_months"},
    **REPLICA, **SIZED,
    "PlanResult.months": "given",
    "PlanResult.budget": "given",
    "PowerRow.limit_w": "a limit of the site",
    "PowerRow.tariff_per_kwh": "the tariff as it was given, by when chips work",
    "TrainOption.chips": _DECIDED,
    "TrainOption.global_batch": _DECIDED,
    "FleetShare": _DECIDED,
    "ServicePlan.served": _DECIDED,
    "ChipsRow.chips": _DECIDED,
    "Flip.chips_change": "a decision of the changed plan",
    "Risk.value": "chances, quoted delays and what the plan has decided; the others are looked at by name below",
}  # fmt: skip
AUDIT = {
    **FLAGS,
    "AuditRow.stated": "what others state",
    "AuditRow.stated_low": "what others state",
    "AuditRow.stated_high": "what others state",
    "AuditRow.low": "the end of an interval itself",
    "AuditRow.high": "the end of an interval itself",
    "AuditRow.inputs": "inputs of the claim",
    **dict.fromkeys(
        (f"AuditResult.{name}" for name in ("consistent", "inconsistent", "not_checkable", "too_wide")), "a count of claims"
    ),
}


def findings(result: object, listed: dict[str, str]) -> list[str]:
    """What lacks an interval; an answer may rest on no weak figure, and a plan may lack a part that others have."""
    optional = (
        "Flag",
        "OfferTaken",
        "RentOrBuy",
        "SizedService",
        "ServeMemory",
        "BuyResult",
        "ServeEstimate",
        "RunWindow",
        "Refusal",
    )
    lines = unspanned([result], listed)
    return [line for line in lines if not (line.startswith(optional) and line.endswith("no result has it"))]


@pytest.fixture(scope="module")
def bought(question: Question) -> object:
    return suanzhang.buy(question, scenarios=1)


@pytest.fixture(scope="module")
def levers() -> ImproveResult:
    found = suanzhang.improve(EXAMPLES / "shared-fleet" / "question.yaml", "ranker")
    assert isinstance(found, ImproveResult)
    return found


def test_serve() -> None:
    sized = suanzhang.serve("llama3-8b", "h100-sxm-80", rate=60.0, peak_to_mean=2.0, simulated_requests=3000, **TRAFFIC)
    alone = suanzhang.serve("llama3-8b", "h100-sxm-80", concurrency=32, isl=500, osl=150)
    assert unspanned([sized, alone], SERVE) == []


def test_serve_over_kinds() -> None:
    found = suanzhang.serve_kinds("llama3-8b", "h100-sxm-80,l40s-48", rate=30.0, **TRAFFIC)
    assert findings(found, KINDS) == []


def test_improve(levers: ImproveResult) -> None:
    assert findings(levers, IMPROVE) == []
    for step in levers.steps[1:]:
        assert step.cost_fraction_interval is not None
        assert step.cost_fraction_interval.p05 <= step.cost_fraction <= step.cost_fraction_interval.p95


def test_a_lever_is_known_better_than_what_it_acts_on(levers: ImproveResult) -> None:
    """Deployments of one model on one chip share most of their error, so that a difference of them has less of it."""
    rent, saved = levers.baseline.rent_per_month_interval, levers.saving_fraction_interval
    assert rent is not None and saved is not None
    left = (1.0 - saved.p05) / (1.0 - saved.p95)
    assert left < rent.p95 / rent.p05


def test_units_and_share() -> None:
    assert findings(suanzhang.serve_units(EXAMPLES / "shared-fleet" / "question.yaml", "chat"), UNITS) == []
    assert findings(suanzhang.serve_share(EXAMPLES / "shared-fleet" / "question.yaml"), SHARE) == []


def test_a_simulated_day() -> None:
    found = serve_day("llama3-8b", "h100-sxm-80", rate=20.0, peak_to_mean=2.0, urgent=0.1, autoscale=True, follow=2, **TRAFFIC)
    assert findings(found, DAY) == []


def test_plan(answer: PlanResult) -> None:
    assert findings(answer, PLAN) == []
    assert {risk.name for risk in answer.risks if risk.value_interval} >= {"interruptions of base"}


_SURE = re.compile(
    r".* (misses its deadline|arrives late|is not carried in full at first|is sold out or dearer)|export rule on .*"
)
"""Chances, quoted delays, and what the plan decides: chips to be free on the day have an interval where futures differ."""


def test_risks_that_are_no_chance_and_no_decision_have_an_interval(answer: PlanResult) -> None:
    bare = [risk.name for risk in answer.risks if risk.value_interval is None and not _SURE.fullmatch(risk.name)]
    assert bare == []


def test_parts_of_a_row_have_the_interval_of_what_moves_them(answer: PlanResult) -> None:
    """A part that is the whole of its row spreads as the row does, and no part is known better than its figure."""
    for one in answer.buy.schedule:
        amounts = {name: amount for name, amount in one.lines if amount}
        assert set(one.lines_interval) == set(amounts)
        for name, amount in amounts.items():
            span = one.lines_interval[name]
            assert span.p05 <= amount <= span.p95 and span.p05 < span.p95, (one.offer, name)
        if len(amounts) == 1 and one.cost_interval is not None:
            (span,) = one.lines_interval.values()
            assert span.p05 == pytest.approx(one.cost_interval.p05, rel=1e-3)
            assert span.p95 == pytest.approx(one.cost_interval.p95, rel=1e-3)


def test_buy(bought: object) -> None:
    assert findings(bought, BUY) == []


def test_rows_of_a_schedule_move_with_the_whole(answer: PlanResult) -> None:
    """All rows share prices and physics: the ends of their sum lie no further out than the sum of their ends."""
    rows = [row.cost_interval for row in answer.buy.schedule]
    whole = answer.buy.cost_interval
    assert sum(one.p05 for one in rows if one) <= whole.p05 * (1.0 + 1e-9)
    assert sum(one.p95 for one in rows if one) >= whole.p95 * (1.0 - 1e-9)
    assert answer.cost_interval == whole


def test_weak_figures_are_named_in_the_view_and_in_json(answer: PlanResult, bought: object) -> None:
    from suanzhang.report.jsonable import to_json

    for result in (answer, bought):
        body = to_json(result)
        assert body["weak_inputs"] and all(flag["share"] > 0.05 for flag in body["weak_inputs"])
        assert {flag["grade"] for flag in body["weak_inputs"]} <= {"unverified", "assumed"}
        out = io.StringIO()
        print_report(report_of(result), file=out, width=110)
        words = " ".join(out.getvalue().split())
        assert f"rests on: {body['weak_inputs'][0]['figure']} (" in words


def test_over_many_futures_the_cost_holds_our_physics_too(question: Question) -> None:
    from suanzhang.app.buy import RiskOptions
    from suanzhang.app.plan import schedule, size_question

    sized = size_question(question, lambda _: None)
    plain = schedule(sized, deep=True, risk=RiskOptions(4, 0, gap=5e-3))
    found = spread_bought(plain, sized)
    before, after = plain.cost_interval, found.cost_interval
    assert after.p95 - after.p05 > before.p95 - before.p05
    assert found.cost_p95.amount == pytest.approx(after.p95, abs=0.01)


def test_audit() -> None:
    found = suanzhang.audit(EXAMPLES / "audit-2026" / "claims.yaml")
    exact = [row for row in found.claims if row.exact]
    assert {row.verb for row in exact} == {"change", "product"}
    assert all((row.computed_interval is None) == (row.low == row.high) for row in exact)
    estimated = replace(found, claims=tuple(row for row in found.claims if not row.exact))
    assert findings(estimated, AUDIT) == []


def test_tables_show_the_interval_where_the_figure_stands(answer: PlanResult) -> None:
    tables = {table.title: table for table in report_of(answer).tables}
    for name in ("Purchases and rents by run of months", "Costs", "Power", "chat: latency", "What would change the answer"):
        assert any(isinstance(cell, Ranged) for row in tables[name].rows for cell in row), name
    out = io.StringIO()
    print_report(report_of(answer), file=out, width=110)
    assert "in brackets: 5th to 95th percentile of our prediction" in " ".join(out.getvalue().split())
    head = table_csv(tables["Costs"]).splitlines()[0]
    assert "cost p05" in head and "cost p50" in head and "cost p95" in head
    assert isinstance(tables["Costs"], Table)
