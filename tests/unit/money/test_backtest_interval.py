"""The interval of the mean regret comes from drawing first months again."""

from suanzhang.app.backtest import mean_interval


def test_one_first_month_has_no_spread_and_many_have_one():
    same = mean_interval(["2022-10"] * 4, [0.1, 0.2, 0.3, 0.4], 0)
    assert same.p05 == same.p50 == same.p95
    many = mean_interval([f"2022-{month:02d}" for month in range(1, 13)], [0.0, 0.4] * 6, 0)
    assert 0.05 < many.p05 < many.p50 < many.p95 < 0.35
