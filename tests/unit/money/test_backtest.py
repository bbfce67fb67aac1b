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
        ways = (row.planned.amount, row.rent_all.amount, row.contract_all.amount, row.buy_at_once.amount)
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
    assert sum(row[9] != "–" for row in table.rows) == result.losses
    assert f"in {result.losses} of {len(result.rows)}" in report.verdict
    assert tuple(dict.fromkeys(row.chip for row in result.rows)) == room.KINDS
