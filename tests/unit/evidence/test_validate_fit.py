import pytest

from suanzhang.app.validate_fit import stability_of


def test_stability_tells_covered_chips_from_lonely_ones():
    chips = {"a": {"x"}, "b": {"x"}, "c": {"x"}, "d": {"x", "y"}, "lonely": {"z"}}
    complete = {"a": 10.0, "b": 5.0, "c": 8.0, "d": 7.0, "lonely": 4.0}
    without = {"a": {**complete, "b": 7.5, "lonely": 6.0}, "b": {**complete, "b": 90.0}}
    found = stability_of(complete, without, chips)
    assert found["largest_move_points"] == pytest.approx(2.5)
    assert found["largest_growth_elsewhere"] == pytest.approx(1.5)
