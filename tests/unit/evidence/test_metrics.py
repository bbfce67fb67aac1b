import pytest

from suanzhang.evidence.metrics import Residual, by_label, regret, sources_weights, spearman, summarise, worst


def item(predicted, measured, source="s", sweep="w", metric="step_s", **more):
    return Residual(f"{predicted} {measured}", source, metric, predicted, measured, sweep, **more)


def test_errors_are_signed_and_absolute():
    summary = summarise([item(1.1, 1.0), item(0.8, 1.0), item(1.0, 1.0)])
    assert summary.n == 3
    assert summary.median_abs_pct == pytest.approx(10.0)
    assert summary.bias_pct == pytest.approx(0.0)
    assert summary.rank_corr is None


def test_order_is_judged_inside_sweeps_only():
    good = [item(value, 2.0 * value, sweep="a") for value in (1, 2, 3, 4, 5)]
    bad = [item(value, 6.0 - value, sweep="b") for value in (1, 2, 3, 4, 5)]
    assert summarise(good).rank_corr == pytest.approx(1.0)
    assert summarise(bad).rank_corr == pytest.approx(-1.0)
    assert summarise(good + bad).rank_corr == pytest.approx(0.0)
    assert summarise(good[:4]).rank_corr is None


def test_spearman_shares_ties_and_refuses_constants():
    assert spearman([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(0.9487, abs=1e-4)
    assert spearman([1, 1, 1], [1, 2, 3]) is None
    assert spearman([1, 2, 3, 4, 5], [1, 3, 2, 4, 5]) == 0.9  # 1 - 6 x 2 / (5 x 24), without what floats leave behind


def test_regret_is_what_the_choice_costs():
    times = [item(1.0, 3.0), item(2.0, 2.0), item(3.0, 4.0)]
    assert regret(times, larger_is_better=False) == pytest.approx(0.5)
    rates = [item(9.0, 3.0), item(8.0, 6.0)]
    assert regret(rates, larger_is_better=True) == pytest.approx(1.0)


def test_coverage_counts_only_rows_with_an_interval():
    rows = [item(1.0, 1.0, low=0.9, high=1.1), item(1.0, 2.0, low=0.9, high=1.1), item(1.0, 5.0)]
    summary = summarise(rows)
    assert summary.interval90_coverage == pytest.approx(0.5)
    assert summary.interval_ratio == pytest.approx(1.1 / 0.9)


def test_the_bootstrap_goes_over_sources():
    one = summarise([item(1.5, 1.0) for _ in range(50)])
    two = summarise([item(1.5, 1.0, source="a") for _ in range(50)] + [item(1.0, 1.0, source="b") for _ in range(50)])
    assert one.median_abs_low_pct == one.median_abs_high_pct == one.median_abs_pct
    assert two.median_abs_low_pct < two.median_abs_high_pct


def test_a_large_source_weighs_less_per_row():
    weights = sources_weights(["a"] * 9 + ["b"])
    assert sum(weights) == pytest.approx(1.0)
    assert weights[9] == pytest.approx(3.0 * weights[0])


def test_worst_is_symmetric_in_double_and_half():
    rows = [item(1.2, 1.0), item(1.0, 3.0), item(2.0, 1.0)]
    assert [round(row.error, 2) for row in worst(rows, 2)] == [-0.67, 1.0]


def test_groups_leave_out_rows_without_the_label():
    rows = [item(1.0, 1.0, labels={"chip": "a"}), item(1.0, 1.0)]
    assert list(by_label(rows, lambda row: row.labels.get("chip"))) == ["a"]
