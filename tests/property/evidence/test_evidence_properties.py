import json

from hypothesis import given, settings
from hypothesis import strategies as st

from suanzhang.errors import InputError
from suanzhang.evidence.metrics import Residual, ranks, spearman, summarise, weighted_quantile
from suanzhang.evidence.rows import parse_rows
from suanzhang.evidence.spread import Spread

positive = st.floats(1e-6, 1e6)
values = st.lists(positive, min_size=5, max_size=30)


@given(values, st.floats(0.1, 10.0))
def test_order_does_not_depend_on_the_unit(found, scale):
    other = list(reversed(found))
    direct = spearman(found, other)
    scaled = spearman([value * scale for value in found], other)
    assert direct is None or abs(direct - scaled) < 1e-9 or len(set(found)) != len({value * scale for value in found})


@given(values)
def test_ranks_sum_to_the_same(found):
    assert abs(ranks(found).sum() - len(found) * (len(found) + 1) / 2) < 1e-9


@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=20))
def test_summary_bounds(pairs):
    rows = [Residual(str(i), f"s{i % 3}", "tpot_s", a, b, "w") for i, (a, b) in enumerate(pairs)]
    summary = summarise(rows, draws=20)
    assert summary.n == len(rows)
    assert 0.0 <= summary.median_abs_pct <= summary.p90_abs_pct * (1 + 1e-12) + 1e-12
    assert summary.bias_pct >= -100.0
    assert summary.regret_pct is None or summary.regret_pct >= 0.0


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=40), st.floats(0.0, 1.0))
def test_weighted_quantile_stays_inside(found, share):
    import numpy as np

    array = np.array(found)
    quantile = weighted_quantile(array, np.ones(len(array)), share)
    assert min(found) - 1e-12 <= quantile <= max(found) + 1e-12


@given(st.floats(0.0, 3.0), st.floats(0.0, 50.0), st.floats(0.0, 50.0), st.floats(-3.0, 3.0), st.floats(-9.0, 9.0))
def test_farther_or_of_a_worse_grade_is_never_narrower(slope, near, more, other, value):
    names = {"not calibrated": slope, "physics only": slope, "distance": slope, "x": other}
    spread = Spread(0.0, -2.0, names, dict.fromkeys(names, 0.3))
    found = [spread.at(grade, near, {"x": value}) for grade in ("calibrated", "relative", "physics-only")]
    assert found == sorted(found)
    assert spread.at("calibrated", near + more, {"x": value}) >= found[0]


json_values = st.sampled_from(
    [None, True, -1, 0, 2.5, 1e308, "", "inf", "max", "12", "x", [], [1, "a"], {}, {"tp": 2}, {"iter_s": 1}, {"iter_s": "x"}]
)
row_keys = st.sampled_from(
    ["source", "chip", "model", "measured", "isl", "osl", "engine", "seq_len", "layout", "chips", "precision", "global_batch"]
)


@settings(max_examples=200)
@given(st.lists(st.dictionaries(row_keys, json_values, max_size=12), max_size=4))
def test_any_json_is_read_or_refused_never_a_crash(records):
    try:
        rows = parse_rows([json.dumps(record) for record in records], "x.jsonl")
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert len(rows) == len(records)
