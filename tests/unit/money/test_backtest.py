"""Replays of recorded prices: no foresight, no free lunch, and losses that are printed."""

import math
from dataclasses import replace

import pytest

from suanzhang.app import backtest as room
from suanzhang.app.backtest import History, Past, _Case, _Replay, backtest, need_levels, recorded
from suanzhang.errors import InputError
from suanzhang.report.views import report_of


@pytest.fixture(scope="module")
def result():
    return backtest(chips=16, horizon=12)


def test_hindsight_is_never_beaten_and_regret_is_what_it_says(result):
    for row in result.rows:
        ways = (
            row.planned.amount,
            row.rent_all.amount,
            row.contract_all.amount,
            row.contract_3y_all.amount,
            row.buy_at_once.amount,
        )
        assert row.foresight.amount <= min(ways) * (1.0 + 1e-5)
        assert row.regret_planned == pytest.approx(row.planned.amount / row.foresight.amount - 1.0, abs=1e-6)
        assert bool(row.beaten_by) == (min(ways[1:]) < ways[0] * (1.0 - 1e-6))
    assert result.losses == sum(bool(row.beaten_by) for row in result.rows)
    mean = dict(result.mean_regret)
    assert mean["planned"] == pytest.approx(sum(row.regret_planned for row in result.rows) / len(result.rows))
    assert mean["planned"] < min(mean["rent_all"], mean["buy_at_once"])


def test_what_comes_later_does_not_change_what_was_ordered_before():
    """The same past with another future gives the same first orders."""
    past = Past.recorded("h100-sxm-80")
    start = past.buy.months[1]

    def crashed(history):
        keep = [k for k, month in enumerate(history.months) if month <= start + 3]
        values = [history.at(start + 3) for _ in range(1)]
        months = (*(history.months[k] for k in keep), start + 3, start + 4, start + 40)
        return History(months, (*(history.values[k] for k in keep), *values, values[0] * 0.3, values[0] * 0.3), history.sources)

    case = _Case("h100-sxm-80", "growing", start, 12, 16, 0)
    later = replace(past, buy=crashed(past.buy), rent=crashed(past.rent))
    plain, other = _Replay(case, past).plan(), _Replay(case, later).plan()
    early = [{key: lots for key, lots in orders.items() if key[1] <= 3} for orders in (plain, other)]
    assert early[0] == early[1]
    assert plain


def test_trend_looks_at_the_past_alone_and_is_shrunk():
    history = History((0, 12, 24), (100.0, 100.0, 10.0), ("x",))
    prior = math.log(0.8)
    flat = history.trend(12, prior)
    assert prior < flat < 0.0
    assert history.trend(0, prior) == prior
    assert history.trend(24, prior) < prior


def test_needs():
    assert need_levels("steady", 3) == (1.0, 1.0, 1.0)
    assert need_levels("project", 12) == (1.0,) * 4 + (0.0,) * 8
    assert need_levels("growing", 4)[0] == 0.25
    assert need_levels("growing", 4)[-1] == 1.0
    assert set(need_levels("swinging", 12)) == {0.25, 1.0}


@pytest.mark.parametrize(("named", "words"), [({"chips": 12}, "whole servers"), ({"horizon": 50}, "shorter")])
def test_bad_input_is_one_line(named, words):
    with pytest.raises(InputError, match=words):
        backtest(**named)


def test_an_unrecorded_chip_is_refused():
    with pytest.raises(InputError, match="no price path"):
        recorded("t4-16", "rent")


def test_the_report_prints_losses(result):
    report = report_of(result)
    table = next(table for table in report.tables if table.title == "Replays")
    assert len(table.rows) == len(result.rows)
    assert sum(row[10] != "–" for row in table.rows) == result.losses
    assert f"in {result.losses} of {len(result.rows)}" in report.verdict
    assert tuple(dict.fromkeys(row.chip for row in result.rows)) == room.KINDS


def test_contracts_over_one_and_three_years_cost_their_share_of_the_rent_and_are_owed_in_full():
    past = Past.recorded("a100-sxm-80")
    start = past.rent.months[0]
    replay = _Replay(_Case("a100-sxm-80", "steady", start, 36, 16, 0), past)
    row = replay.row()
    hours = 16 * 730.5
    share = past.shares["contract-3y"].at(start)
    assert 0.3 < share < past.shares["contract"].at(start) < 1.0
    three = share * past.rent.at(start) * hours * 36
    one = sum(past.contract("contract", start + month) * hours * 12 for month in (0, 12, 24))
    assert row.contract_3y_all.amount == pytest.approx(three, rel=0.01)
    assert row.contract_all.amount == pytest.approx(one, rel=0.01)
    assert row.foresight.amount <= min(row.contract_3y_all.amount, row.contract_all.amount) * (1.0 + 1e-5)


def test_a_three_year_contract_costs_as_much_in_a_replay_of_one_year():
    past = Past.recorded("a100-sxm-80")
    start = past.rent.months[0]
    rows = [_Replay(_Case("a100-sxm-80", "steady", start, months, 16, 0), past).row() for months in (12, 24)]
    assert rows[0].contract_3y_all.amount == pytest.approx(rows[1].contract_3y_all.amount, rel=1e-6)
    assert rows[0].regret_contract_3y > rows[1].regret_contract_3y
