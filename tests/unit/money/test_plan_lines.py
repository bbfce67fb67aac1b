"""Lines that a buyer reads: what a spot market may take back, and where a wrong model stands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from suanzhang.app.buy import plan_purchases
from suanzhang.app.claims import read_claims
from suanzhang.app.plan_risks import _spot_risks
from suanzhang.app.question import read_question
from suanzhang.catalog.markets import market
from suanzhang.errors import CatalogError, InputError
from suanzhang.spec.buy import Demand, Holding, Need


def test_chips_that_may_be_taken_back_are_a_risk_of_their_size():
    offers = market("us-2026-10").offers
    spot = next(offer for offer in offers if offer.kind == "spot")
    rows = [SimpleNamespace(offer=spot.id, action="spot", chips=chips, chips_interval=None) for chips in (16.0, 40.0, 8.0)]
    world = SimpleNamespace(world=SimpleNamespace(market=SimpleNamespace(offers=offers)))
    (risk,) = _spot_risks(world, SimpleNamespace(schedule=rows))
    assert risk.value == pytest.approx(40.0 * spot.interruption_per_month)
    calm = SimpleNamespace(world=SimpleNamespace(market=SimpleNamespace(offers=(replace(spot, interruption_per_month=0.0),))))
    assert _spot_risks(calm, SimpleNamespace(schedule=rows)) == []


def test_an_unknown_model_is_named_with_its_file_and_line(tmp_path: Path):
    text = Path("examples/2026-10/question.yaml").read_text()
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if "model:" in line)
    head, _, rest = lines[at].partition("model: ")
    lines[at] = f"{head}model: gtp3-175b" + ("," + rest.partition(",")[2] if "," in rest else "")
    file = tmp_path / "q.yaml"
    file.write_text("\n".join(lines))
    with pytest.raises(CatalogError, match=rf"q\.yaml, line {at + 1}.*gtp3-175b"):
        read_question(file)


def test_an_empty_claims_file_is_pointed_to_an_example_of_claims(tmp_path: Path):
    file = tmp_path / "claims.yaml"
    file.write_text("")
    with pytest.raises(InputError) as caught:
        read_claims(file)
    assert "claims" in caught.value.fix


def test_chips_that_are_sold_are_not_left_over_too():
    given = {"budget": 1e9, "months": 12, "start": "2026-10", "currency": "USD"}
    run = Demand("base", "train", (Need("h100-sxm-80", 64.0, 1.0, 1.5), Need("a100-sxm-80", 512.0, 1.0, 3.0)), due_months=6.0)
    have = (Holding("a100-sxm-80", 64.0, value_per_chip=11e3),)
    result = plan_purchases((run,), market("us-2026-10"), "us-texas", have=have, **given)
    sold = sum(row.chips for row in result.schedule if row.action in ("resell", "retire") and row.chip == "a100-sxm-80")
    left = [row for row in result.schedule if row.action == "value left" and row.chip == "a100-sxm-80"]
    assert sold == pytest.approx(64.0)
    assert sum(row.chips for row in left) == pytest.approx(64.0 - sold)
    assert not any(name == "value left" and abs(amount) > 1.0 for row in left for name, amount in row.lines)
    price = sum(row.cost.amount for row in result.schedule if row.action == "resell")
    assert price == pytest.approx(sum(dict(row.lines)["chips"] for row in result.schedule if row.action == "resell"))
    assert sum(row.cost.amount for row in result.schedule) == pytest.approx(result.cost.amount, abs=0.005)
