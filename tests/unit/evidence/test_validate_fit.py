import pytest

from suanzhang.app import validate_fit
from suanzhang.app.train_coefficients import shipped_coefficients
from suanzhang.app.validate_fit import Folds, folds_to_json, left_out_judges, recorded_folds, train_from, train_record
from suanzhang.app.validate_folds import Store, stability_of
from suanzhang.spec.serve import ServeCoefficients


def test_stability_tells_covered_chips_from_lonely_ones():
    chips = {"a": {"x"}, "b": {"x"}, "c": {"x"}, "d": {"x", "y"}, "lonely": {"z"}}
    complete = {"a": 10.0, "b": 5.0, "c": 8.0, "d": 7.0, "lonely": 4.0}
    without = {"a": {**complete, "b": 7.5, "lonely": 6.0}, "b": {**complete, "b": 90.0}}
    found = stability_of(complete, without, chips)
    assert found["largest_move_points"] == pytest.approx(2.5)
    assert found["largest_growth_elsewhere"] == pytest.approx(1.5)


def test_stability_counts_the_pairs_beyond_the_limits():
    chips = {"a": {"x"}, "b": {"x"}, "c": {"x"}, "d": {"x"}, "lonely": {"z"}}
    complete = {"a": 10.0, "b": 5.0, "c": 8.0, "d": 7.0, "lonely": 4.0}
    found = stability_of(complete, {"a": {**complete, "b": 8.5, "c": 4.9, "d": 9.9, "lonely": 8.1}}, chips)
    assert (found["pairs"], found["pairs_beyond_3_points"], found["pairs_beyond_double"]) == (4, 2, 1)


def test_a_fit_is_kept_and_found_again_until_something_changes(tmp_path):
    store = Store(tmp_path)
    store.put("training", "a source: x", {"values": [1.0]})
    assert Store(tmp_path).get("training", "a source: x") == {"values": [1.0]}
    assert store.get("serving", "a source: x") is None
    store.state["training"] = "other code"
    assert store.get("training", "a source: x") is None


def test_coefficients_survive_their_record():
    shipped = shipped_coefficients()
    again = train_from(train_record(shipped))
    assert train_record(again) == train_record(shipped)
    tables = train_record(shipped)
    name = next(iter(tables["values"]))
    tables["values"][name] = 7.0
    assert getattr(train_from(tables).values, name) == 7.0


def test_folds_survive_writing_and_judge_only_their_source(monkeypatch, tmp_path):
    tables = train_record(shipped_coefficients())
    tables["values"]["data"] = 9.0
    folds = Folds({"one": train_from(tables)}, {"two": ServeCoefficients(matmul={"*": 1.5})}, {"training": "x"})
    path = tmp_path / "folds.json"
    path.write_text(folds_to_json(folds, "2026-11-22"), encoding="utf-8")
    monkeypatch.setattr(validate_fit, "FOLDS_FILE", path)
    recorded_folds.cache_clear()
    try:
        found = recorded_folds()
        assert found.training["one"].values.data == 9.0
        assert found.serving["two"].matmul == {"*": 1.5}
        assert "coefficients fitted to the other sources" not in left_out_judges(["training"]).title, "of other coefficients"
    finally:
        recorded_folds.cache_clear()
