"""From money, chips and a date to a model."""

from __future__ import annotations

import pytest

from suanzhang.app.train_scaling import scaling, shape_for, until
from suanzhang.catalog.models import model
from suanzhang.errors import Infeasible, InputError
from suanzhang.perf.scaling import kaplan_params
from suanzhang.report.views import report_of

GIVEN = {"price_per_chip_h": 2.0, "deadline": "90d", "stack": "megatron-lm-2025"}


@pytest.fixture(scope="module")
def twenty():
    return scaling("h100-sxm-80", budget="20M", **GIVEN)


def test_the_money_is_spent_and_not_more(twenty) -> None:
    best = twenty.best
    assert 0.96 * 20e6 < best.cost.amount <= 20e6
    assert best.cost.amount == pytest.approx(best.chips * best.days * 24.0 * 2.0)
    assert best.chips % 8 == 0


def test_compute_is_what_the_chips_give(twenty) -> None:
    best = twenty.best
    given = best.chips * 989.4e12 * best.mfu * best.goodput_fraction * best.days * 86400.0
    assert best.flop == pytest.approx(given, rel=0.12)  # attention counts in the utilisation, not in six per parameter
    assert best.flop == pytest.approx(6.0 * best.params * best.tokens)


def test_more_money_never_raises_the_loss(twenty) -> None:
    assert scaling("h100-sxm-80", budget="60M", **GIVEN).best.loss < twenty.best.loss
    assert scaling("h100-sxm-80", budget="2M", **GIVEN).best.loss > twenty.best.loss


def test_intervals_hold_their_values(twenty) -> None:
    best = twenty.best
    for name in ("flop", "params", "tokens", "loss"):
        span = getattr(best, f"{name}_interval")
        assert span.p05 <= getattr(best, name) <= span.p95
        assert span.p05 < span.p95


def test_the_best_kind_comes_first() -> None:
    result = scaling("a100-sxm-80,h100-sxm-80", budget="5M", **GIVEN)
    assert [row.loss for row in result.rows] == sorted(row.loss for row in result.rows)
    assert result.best.chip == "h100-sxm-80"  # three times the speed at the same price
    assert "h100" in report_of(result).verdict


def test_compute_alone_gives_the_published_sizes() -> None:
    row = scaling(flop=5.76e23).best
    assert row.params == pytest.approx(70e9, rel=0.1)
    assert row.loss == pytest.approx(min(size.loss for size in scaling(flop=5.76e23).sizes if "size" in size.law), abs=0.01)


def test_a_fixed_ratio_and_little_text_move_the_size() -> None:
    plain = scaling(flop=1e24).best
    longer = scaling(flop=1e24, tokens_per_param=200.0).best
    assert longer.tokens / longer.params == pytest.approx(200.0)
    assert longer.params < plain.params and longer.loss > plain.loss
    short = scaling(flop=1e24, unique_tokens="100B").best
    assert short.tokens == pytest.approx(400e9)
    assert short.params > plain.params and short.loss > plain.loss


@pytest.mark.parametrize("name", ["llama-3.2-3b", "llama-3-8b", "llama-3-70b", "llama-3.1-405b"])
def test_shapes_are_those_that_people_build(name) -> None:
    known = model(name)
    shape = shape_for(known.params)
    assert shape.params == pytest.approx(known.params, rel=0.06)
    assert shape.hidden == pytest.approx(known.hidden, rel=0.25)
    assert shape.layers == pytest.approx(known.layers, rel=0.4)


def test_kaplan_advises_larger_models() -> None:
    assert kaplan_params(1e24) > 5.0 * scaling(flop=1e24).best.params


def test_dates_and_durations() -> None:
    assert until("90d", "") == 90 * 86400.0
    assert until("2027-01-31", "2027-01-01") == 30 * 86400.0
    assert until("2027-02", "2027-01") == 31 * 86400.0


@pytest.mark.parametrize(
    ("chips", "given"),
    [
        ("", {}),
        ("h100-sxm-80", {}),
        ("h100-sxm-80:64", {}),
        ("h100-sxm-80", {"budget": "20M", "flop": 1e24}),
        ("h100-sxm-80", {"budget": "20M", "deadline": "2020-01-01", "start": "2026-01"}),
        ("h100-sxm-80", {"budget": "20M", "deadline": "2026-13"}),
        ("h100-sxm-80", {"budget": "20M", "deadline": "soon"}),
        ("h100-sxm-80", {"budget": -5.0}),
        ("v100-pcie-16", {"budget": "20M", "currency": "XAU"}),
    ],
)
def test_bad_questions(chips, given) -> None:
    with pytest.raises(InputError):
        scaling(chips, **given)


def test_too_little_money_is_refused() -> None:
    with pytest.raises(Infeasible, match="no node"):
        scaling("h100-sxm-80", budget=100.0, **GIVEN)


def test_money_and_a_date_alone_have_an_answer() -> None:
    found = scaling(budget="20M", deadline="2027-06-30", start="2026-11-22")
    kinds = {row.chip for row in found.rows}
    assert {"a100-sxm-80", "h100-sxm-80", "b200-sxm-180"} <= kinds
    assert found.best.loss == min(row.loss for row in found.rows)
    assert any("chips not given" in note for note in found.warnings)
    alone = scaling(found.best.chip, budget="20M", deadline="2027-06-30", start="2026-11-22")
    assert alone.best.params == found.best.params


def test_money_in_a_currency_without_rents_asks_for_a_price() -> None:
    with pytest.raises(InputError, match="no rent in EUR"):
        scaling(budget="20M", currency="EUR")
    assert len(scaling(budget="20M", currency="EUR", price_per_chip_h=3.0).rows) == 4


def test_more_chips_than_a_batch_can_be_dealt_to_is_a_refusal_that_says_so() -> None:
    with pytest.raises(Infeasible, match=r"no layout deals .* sequences to") as refusal:
        scaling("a100-sxm-80", budget="20M", deadline="1d", price_per_chip_h=1.48)
    assert "more days" in refusal.value.fix
