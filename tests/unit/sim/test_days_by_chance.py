"""Several days of one fleet: what their spread says, and that the answer itself does not move."""

from dataclasses import replace

import pytest

from suanzhang.app.serve_verb_chance import by_chance, days_of
from suanzhang.app.serve_verb_day import serve_day
from suanzhang.errors import InputError
from suanzhang.report.views import report_of
from suanzhang.spec.serve_day import DayResult

ASK = {"isl": 200.0, "osl": 20.0, "rate": 0.5, "replicas": 1, "layout": "tp=1"}


def test_days_with_other_seeds_leave_the_answer_as_it_is() -> None:
    alone, several = (serve_day("llama-3.1-8b", "h100-sxm-80", replications=days, **ASK) for days in (1, 4))
    assert alone.chance == () and {one.days for one in several.chance} == {4}
    assert replace(several, chance=(), wall_s=0.0) == replace(alone, wall_s=0.0)
    for one in several.chance:
        assert one.value_interval.p05 <= one.value == one.value_interval.p50 <= one.value_interval.p95
    assert several.chance[-1].value_interval.p05 < several.chance[-1].value
    late = several.chance[0]
    assert late.unit == "s" and late.value == pytest.approx(several.ttft_s.p99, rel=0.05)
    assert any(block.title == "What chance leaves open" for section in report_of(several).sections for block in section.blocks)


def test_a_line_is_the_mean_of_the_days_with_the_width_of_student() -> None:
    first, second = (serve_day("llama-3.1-8b", "h100-sxm-80", replications=1, seed=seed, **ASK) for seed in (1, 2))
    asked: list[int] = []

    def again(seed: int) -> DayResult:
        asked.append(seed)
        return second

    found = by_chance(first, again, 2)[-1]
    rates = (first.output_tokens_per_s, second.output_tokens_per_s)
    assert len(set(asked)) == 1 and asked[0] != 1
    assert found.value == pytest.approx(sum(rates) / 2.0)
    assert found.value_interval.p95 - found.value == pytest.approx(12.706 * abs(rates[0] - rates[1]) / 2.0, rel=1e-3)


def test_long_days_are_followed_once_and_odd_counts_refused() -> None:
    assert [days_of(0, requests, 4) for requests in (1000, 3_000_001, 10_000_001)] == [5, 3, 1]
    assert [days_of(0, requests) for requests in (10_000_001, 30_000_001, 200_000_001)] == [3, 2, 1]
    assert days_of(7, 10**9) == 7
    for wrong in (-1, 21):
        with pytest.raises(InputError, match="replications"):
            days_of(wrong, 10)
    with pytest.raises(InputError, match="replications: 99"):
        serve_day("llama-3.1-8b", "h100-sxm-80", replications=99, **ASK)
