"""What a reader stumbles over: names broken over two lines, sums of what runs side by side, clock readings in a verdict."""

from __future__ import annotations

import io

import suanzhang
from suanzhang.report.html import page
from suanzhang.report.text import print_report
from suanzhang.report.views import report_of


def test_kinds_of_chips_keep_their_names_on_one_line() -> None:
    result = suanzhang.scaling("h100-sxm-80,a100-sxm-80", budget="20M", deadline="220d")
    out = io.StringIO()
    print_report(report_of(result), file=out, width=110)
    shown = out.getvalue()
    table = shown[shown.index("Kinds of chips") : shown.index("Other sizes")]
    assert "h100-sxm-80" in table
    assert "[nats/token]" in table
    assert "each for 220 days" in table
    kinds = next(table for table in report_of(result).tables if table.title == "Kinds of chips")
    assert "duration" in [column.name for column in kinds.columns], "programs read the same columns whatever was asked"


def test_sides_that_work_at_the_same_time_are_not_summed() -> None:
    result = suanzhang.post_train("llama-3.1-8b", "h100-sxm-80:64", response_tokens=2000, steps=500)
    sides = next(table for table in report_of(result).tables if table.title == "Sides of the fleet")
    assert max(row[1] for row in sides.rows) < result.best.step_s * 1.01
    assert "sum" not in sides.note


def test_the_verdict_of_a_day_holds_no_clock_reading() -> None:
    result = suanzhang.simulate("llama-3.1-8b", "h100-sxm-80", isl=200, osl=40, rate=2.0, workers=1)
    assert "per second" not in report_of(result).verdict


def test_heads_of_wide_tables_wrap_on_a_page() -> None:
    shown = page(report_of(suanzhang.scaling(flop=1e23)))
    rules = [line for line in shown.splitlines() if line.startswith(".wide th")]
    assert len(rules) == 1
    assert ".wide th.n" in rules[0]
    assert "white-space: normal" in rules[0]
