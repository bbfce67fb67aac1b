"""Every line of what chips cost can be given in the question, and moves the total."""

from __future__ import annotations

import json

import pytest

import suanzhang
from suanzhang.app.buy_spread import RANGES, range_of
from suanzhang.app.explain_tree import givens_of
from suanzhang.catalog.chips import chip
from suanzhang.catalog.sites import site
from suanzhang.errors import InputError
from suanzhang.money.costs import OwnershipTerms, chip_costs, chip_hour_lines
from suanzhang.money.figures import RESALE, figure, figures, instead
from suanzhang.report.jsonable import to_text

QUESTION = """\
title: Buy
currency: USD
start: 2023-05
months: 24
site: us-virginia
market: {id: us-2023-04, exclude: [a100-cloud, a100-cloud-1y, a100-cloud-3y, dgx-cloud, h100-cloud, v100-cloud, a100-spot]}
chips: [a100-sxm-80]
serve:
  - name: chat
    model: llama-2-13b
    visits_per_day: 2e6
    tokens: {input: 300, output: 200}
    start: 2023-09
COSTS
"""
ELSEWHERE = {
    "fleet_draw": "the draw of a fleet in the audit of bills",
    "network_port_bytes_per_s": "the speed of a port, by which its price is scaled",
    "peak_draw": "the limit of power",
    "network_radix": "tiers that the number of chips decides",
    "network_adapter_share": "networks of another topology than the sourced one",
    "price_change_per_year": "prices that orders meet later",
    "rack_power_w": "the racks that chips take",
    "site_build_months": "works", "site_cost_per_w": "works", "site_life_months": "works",
    "move_cost_per_chip": "moves", "move_months": "moves",
    "server_over_chip_power": "the draw of chips whose server nobody has measured",
    "spot_replace_months": "spares of spot chips",
    "staff_per_chip_month_cny": "plans in yuan",
    "tax_life_years": "plans with a tax shield", "tax_declining_per_year": "plans with a tax shield",
}  # fmt: skip
"""Figures that the cost of a chip-hour of one's own in dollars does not hold, and what they bear on."""


def _hour():
    costs = chip_costs(chip("a100-sxm-80"), 15000.0, site("us-virginia"), 60, "USD", 1.0)
    terms = OwnershipTerms(48.0, 0.7, figure("interest_per_year").value, costs.resale[48], figure("tax_shield").value)
    return sum(chip_hour_lines(15000.0, costs, terms).values())


@pytest.mark.parametrize("key", sorted({*figures(), RESALE} - set(ELSEWHERE) - {"infra_life_months"}))
def test_every_figure_of_a_chip_hour_can_be_given_and_moves_it(key):
    usual = 0.8 if key == RESALE else figures()[key].value
    before = _hour()
    with instead({key: 1.2 * usual if usual else 0.2}):
        after = _hour()
    assert abs(after / before - 1.0) > 1e-4
    assert _hour() == before


def test_a_question_gives_its_own_figures_and_explain_says_so(tmp_path):
    def asked(costs):
        path = tmp_path / "question.yaml"
        path.write_text(QUESTION.replace("COSTS", costs))
        return suanzhang.plan(path)

    plain, own = asked(""), asked("costs: {host_per_chip: 20000, interest_per_year: 0.15, support_per_year: 0.1}")
    lines = [{line.name: line.cost.amount for line in result.costs} for result in (plain, own)]
    assert lines[1]["support"] > 2.0 * lines[0]["support"]
    assert own.cost.amount > plain.cost.amount
    found = list(givens_of(suanzhang.explain(json.loads(to_text(own))).trees))
    assert any(given.grade == "asked" and given.value == 0.15 for given in found)
    assert suanzhang.replay(json.loads(to_text(own))).identical


@pytest.mark.parametrize(
    ("costs", "says"),
    [
        ("costs: {host_per_chp: 1}", "did you mean host_per_chip"),
        ("costs: {interest_per_year: 8}", "from 0 to 1"),
        ("costs: {storage_per_chip: -1}", "at least 0"),
        ("costs: {infra_life_months: 0}", "from 1 to 600"),
        ("costs: {resale_per_year: 3}", "from 0 to 2"),
        ("costs: {tax_shield: 1}", "from 0 to 0.9"),
    ],
)
def test_a_figure_that_cannot_be_is_one_line(costs, says, tmp_path):
    path = tmp_path / "question.yaml"
    path.write_text(QUESTION.replace("COSTS", costs))
    with pytest.raises(InputError) as caught:
        suanzhang.plan(path)
    assert says in f"{caught.value.message}; {caught.value.fix}"
    assert "question.yaml" in caught.value.message


@pytest.mark.parametrize("key", sorted(set(RANGES.values())))
def test_a_figure_of_zero_has_no_range(key):
    with instead({key: 0.0}):
        span = range_of(key)
    assert (span.p05, span.p50, span.p95) == (1.0, 1.0, 1.0)
