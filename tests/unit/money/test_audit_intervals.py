"""Answers of scenarios: what rests on uncertain inputs has an interval, arithmetic over stated figures has none and says so."""

import json
from pathlib import Path

import numpy as np
import pytest

from suanzhang.app import scenario_futures
from suanzhang.app.audit import audit, value_and_range
from suanzhang.app.claims import read_claims
from suanzhang.app.scenario_draws import figure_draws, over_figures, price_factors, spread_of
from suanzhang.app.scenario_owning import owning, owning_draws, rent_draws
from suanzhang.app.scenarios import run_scenario
from suanzhang.catalog.chips import chip
from suanzhang.catalog.markets import market
from suanzhang.money.figures import figure
from suanzhang.report.jsonable import to_json
from suanzhang.report.views import report_of
from suanzhang.spec.audit import Scenario

ROOT = Path(__file__).resolve().parents[3]
CLAIMS = {
    claim.id: claim
    for name in ("gpu-rush-2023", "audit-2026")
    for claim in read_claims(ROOT / "examples" / name / "claims.yaml")[1]
    if claim.scenario is not None
}
EXACT = {
    "S02-price-rise", "S08-entry-ticket", "S11-chip-bill", "S14-cost-per-response", "S15-electricity",
    "S17b-price-at-which-it-holds", "B01-h100-rent-rise", "B02-v100-street-price", "B03-glut-of-2024", "B05-b300-server",
}  # fmt: skip
"""Claims that follow from the figures that they name, whatever the world is like."""


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_has_an_interval_or_is_exact_arithmetic(name, monkeypatch):
    monkeypatch.setattr(scenario_futures, "FUTURES", 8)
    claim = CLAIMS[name]
    answer = run_scenario(claim.scenario, name)
    value, low, high = value_and_range(answer, claim.result_key, name)
    exact = claim.result_key in answer.get("exact", ())
    assert exact == (name in EXACT)
    if exact:
        assert low == value == high
    else:
        assert low <= value <= high
        assert high > low
        if claim.result_key != "kinds":  # whole counts
            whole = claim.result_key == "mixed_share" and value == high == 1.0  # all of the few futures
            assert low < value < high or (whole and low < 1.0)
            assert high - low > 0.005 * abs(value)


def ask(verb, **inputs):
    return run_scenario(Scenario(verb, inputs), "c")


def test_the_same_chip_twice_differs_by_nothing():
    twice = ask("older-chip", chip="a100-sxm-80", other="a100-sxm-80", market="cn-2023-04", relative_performance=1.0, months=36)
    assert value_and_range(twice, "extra_cost", "c") == (0.0, 0.0, 0.0)
    same = ask("compare-training", model="gpt3-13b", chips=64, chip="h100-sxm-80", other="h100-sxm-80")
    assert value_and_range(same, "time_ratio", "c") == pytest.approx((1.0, 1.0, 1.0))


def test_a_rent_that_is_stated_is_not_drawn():
    stated = ask("rent-or-buy", chip="a100-sxm-80", market="us-2023-04", rent_per_month=2.04 * 730.5, chips=1)
    listed = ask("rent-or-buy", chip="a100-sxm-80", market="us-2023-04")
    assert stated["break_even_months"] == pytest.approx(listed["break_even_months"])
    narrow, wide = stated["break_even_months_interval"], listed["break_even_months_interval"]
    assert wide.p95 / wide.p05 > 2.0 * narrow.p95 / narrow.p05
    assert "rent_per_chip_h" in stated["exact"]
    assert "rent_per_chip_h" not in listed["exact"]


def test_prices_move_over_the_offers_seen_or_by_their_grade():
    us = market("us-2023-04")
    by_id = {offer.id: offer for offer in us.offers}
    seen = price_factors(by_id["a100-cloud"], us)
    assert (seen.p05, seen.p95) == pytest.approx((1.25 / 2.04, 5.12 / 2.04))
    graded = price_factors(by_id["dgx-cloud"], us)
    assert graded.p95 == pytest.approx(1.12)
    assert graded.p05 == pytest.approx(1.0 / 1.12)
    assert np.quantile(rent_draws(us, "a100-sxm-80"), 0.95) == pytest.approx(5.12 / 2.04, rel=0.02)


def test_cost_figures_are_drawn_over_their_ranges_and_the_same_for_all():
    host = figure("host_per_chip")
    drawn = figure_draws("host_per_chip")
    assert np.quantile(drawn, (0.05, 0.5, 0.95)) == pytest.approx((host.low, host.value, host.high), rel=0.02)
    assert np.all(figure_draws("busy_draw") <= 1.0)
    inside = over_figures(("host_per_chip",), lambda _: figure("host_per_chip").value)
    assert np.array_equal(inside, drawn)
    assert figure("host_per_chip").value == host.value


def test_owned_chips_are_drawn_round_the_expected_one():
    us, one = market("us-2023-04"), chip("a100-sxm-80")
    expected, drawn = owning(us, one, 48), owning_draws(us, one, 48)
    for name in ("price", "upfront", "run", "left"):
        values = np.array([getattr(own, name) for own in drawn])
        found = spread_of(getattr(expected, name), values)
        assert found.p05 < getattr(expected, name) < found.p95
        assert found.p50 == pytest.approx(getattr(expected, name), rel=0.12)


def test_a_month_that_never_comes_is_an_end_of_the_interval():
    found = spread_of(5.0, np.array([4.0] * 50 + [np.inf] * 50))
    assert (found.p05, found.p95) == (4.0, np.inf)


CLAIMS_TEXT = """
document: test
claims:
  - {id: rise, says: s, quantity: rise, stated: 1.0, unit: fraction, result_key: fraction,
     scenario: {verb: change, inputs: {from: 50000, to: 100000}}}
  - {id: rise-or-so, says: s, quantity: rise, stated: 1.0, unit: fraction, result_key: fraction,
     scenario: {verb: change, inputs: {from: 50000, to: 100000}}, variants: [{to: 95000}]}
  - {id: share, says: s, quantity: share, stated: 0.5, unit: fraction, result_key: share_beyond_chip,
     scenario: {verb: beyond-the-chip, inputs: {chip: a100-sxm-80, market: us-2023-04, months: 48}}}
"""


def test_the_page_says_exact_arithmetic_instead_of_three_equal_percentiles(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text(CLAIMS_TEXT)
    found = audit(path)
    alone, variants, share = found.claims
    assert (alone.exact, variants.exact, share.exact) == (True, True, False)
    assert alone.computed_interval is None
    assert (variants.low, variants.high) == pytest.approx((0.9, 1.0))
    assert "Exact arithmetic over the stated figures" in alone.explanation
    assert "Exact arithmetic" not in share.explanation
    rows = {row[0]: row for row in next(table for table in report_of(found).tables if table.title == "Claims").rows}
    assert rows["rise"][4:6] == (None, None)
    assert rows["rise"][7] == "exact arithmetic"
    assert rows["share"][4] < rows["share"][3] < rows["share"][5]
    assert rows["share"][7] == "estimated"
    written = to_json(found)["claims"]
    assert written[0]["computed_interval"] is None
    assert written[0]["exact"] is True
    assert written[2]["computed_interval"]["p05"] < written[2]["computed_interval"]["p95"]
    assert json.dumps(written)


@pytest.mark.parametrize(
    ("stated", "words"), [(0.7, "Both agree."), (0.67, "within the 15 % that is allowed"), (0.3, "They do not agree")]
)
def test_a_statement_that_only_the_tolerance_holds_is_told_apart(tmp_path, stated, words):
    path = tmp_path / "claims.yaml"
    path.write_text(
        "document: t\nclaims:\n"
        f"  - {{id: share, says: s, quantity: share, stated: {stated}, unit: fraction, result_key: share_beyond_chip,\n"
        "     scenario: {verb: beyond-the-chip, inputs: {chip: a100-sxm-80, market: us-2023-04, months: 48}}}\n"
    )
    (row,) = audit(path).claims
    assert words in row.explanation
    assert ("times as much" in row.explanation) == (stated == 0.3)
