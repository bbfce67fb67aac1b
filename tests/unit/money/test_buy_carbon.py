"""Energy, its cost and carbon of a purchase plan by site: the parts sum to the whole, each at the carbon of its own grid."""

from dataclasses import replace
from pathlib import Path

import pytest

from suanzhang.app.buy import plan_purchases
from suanzhang.app.buy_sites import carbon_by_month, with_carbon
from suanzhang.app.plan_asks import resolve_world
from suanzhang.app.question import read_question
from suanzhang.report.view_buy import months_table
from suanzhang.report.view_costs import carbon_table
from suanzhang.spec.buy import BuyResult, Demand, Need
from suanzhang.spec.place import PlaceState
from suanzhang.units import J_PER_KWH

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "2026-10"


def bought() -> BuyResult:
    chat = Demand("chat", "serve", (Need("a100-sxm-80", 64.0, 0.5),), first_month=2)
    return plan_purchases((chat,), "us-2026-10", "us-texas", budget=None, months=18, start="2026-10", currency="USD")


def test_one_site_has_all_energy_and_its_cost_is_the_line_power():
    question = read_question(EXAMPLES / "question.yaml")
    plan = bought()
    assert plan.lines["power"].amount > 0.0
    found = with_carbon(question, resolve_world(question), plan)
    (site,) = found.carbon
    assert (site.site, site.region) == ("us-texas", "US")
    assert site.energy_j == pytest.approx(sum(month.energy_j for month in plan.months))
    assert site.cost == plan.lines["power"]
    assert site.carbon_kg == pytest.approx(site.energy_j / J_PER_KWH * site.carbon_kg_per_kwh)
    assert sum(month.carbon_kg for month in found.months) == pytest.approx(site.carbon_kg)
    assert carbon_table(found.carbon).rows[0][0] == "us-texas"
    assert "carbon [t]" in [column.header for column in months_table(found).columns]


def test_each_site_counts_at_the_carbon_of_its_own_grid():
    question = read_question(EXAMPLES / "two-sites.yaml")
    world, plan = resolve_world(question), bought()
    names = [question.site.id or world.site.id, question.sites[0].id]
    parts = tuple(
        PlaceState(name, (), 0.0, 0.0, energy) for name, energy in zip(names, (2.0 * J_PER_KWH, 3.0 * J_PER_KWH), strict=True)
    )
    plan = replace(plan, months=tuple(replace(month, energy_j=5.0 * J_PER_KWH, places=parts) for month in plan.months))
    found = with_carbon(question, world, plan)
    assert {one.site: one.energy_j / J_PER_KWH for one in found.carbon} == pytest.approx(
        dict(zip(names, (36.0, 54.0), strict=True))
    )
    whole = sum(carbon_by_month(question, world, plan))
    assert sum(one.carbon_kg for one in found.carbon) == pytest.approx(whole)
    grids = {one.site: one.carbon_kg_per_kwh for one in found.carbon}
    assert whole == pytest.approx(36.0 * grids[names[0]] + 54.0 * grids[names[1]])
    assert sum(one.cost.amount for one in found.carbon) == pytest.approx(plan.lines["power"].amount)
