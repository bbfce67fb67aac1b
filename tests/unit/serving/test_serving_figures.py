"""Figures of services are drawn to scale: numbers as numbers, and costs far apart on a logarithmic axis."""

from __future__ import annotations

import json

import pytest

from suanzhang.report.blocks import Chart, Point
from suanzhang.report.figures import description, svg

FRONT = Chart("Front", "line", "tokens/s/user", "output", "tokens/s/chip",
              tuple(Point(str(x), "a", y) for x, y in ((5, 900.0), (10, 500.0), (100, 10.0))), numbers=True)  # fmt: skip


def test_numbers_are_placed_to_scale() -> None:
    body = json.dumps(description(FRONT))
    assert '"quantitative"' in body
    assert '"ordinal"' not in body
    assert "<svg" in svg(FRONT)


@pytest.mark.parametrize("log", [False, True])
def test_a_logarithmic_axis_is_one(log: bool) -> None:
    chart = Chart("Cost", "line", "hour", "cost", "USD", (Point("00:00", "", 80.0), Point("01:00", "", 0.5)), log=log)
    assert ('"log"' in json.dumps(description(chart))) == log
