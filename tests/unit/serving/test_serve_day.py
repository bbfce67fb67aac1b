"""A day of a fleet: conserved requests, overload answered, and each rule felt."""

import json
from pathlib import Path

import pytest

import suanzhang
from suanzhang.errors import Infeasible, InputError
from suanzhang.spec.serve import ServeResult
from suanzhang.spec.serve_day import DayResult

CASE = {"isl": 200, "osl": 40, "rate": 8.0, "peak_to_mean": 1.5, "layout": "tp=1", "replicas": 2, "workers": 1}


def day(**changes: object) -> DayResult:
    answer = suanzhang.simulate("llama-3.1-8b", "a100-sxm-80", **(CASE | changes))
    assert isinstance(answer, DayResult)
    return answer


@pytest.fixture(scope="module")
def plain() -> DayResult:
    return day()


def conserved(one: DayResult) -> bool:
    return one.requests == one.finished + one.timed_out + one.rejected + one.unfinished


def test_every_request_of_the_day_is_followed(plain: DayResult) -> None:
    assert plain.requests == round(8.0 * 86400) == plain.finished
    assert conserved(plain)
    assert len(plain.hours) == 24
    assert plain.hours[12].running > plain.hours[0].running
    assert plain.on_fraction == 1.0


def test_threads_do_not_change_the_answer(plain: DayResult) -> None:
    again = day(workers=3)
    assert (again.ttft_s, again.tpot_s, again.hours) == (plain.ttft_s, plain.tpot_s, plain.hours)


def test_failures_move_requests_and_lengthen_the_tail(plain: DayResult) -> None:
    found = day(mtbf_s=20_000.0, repair_s=600.0)
    assert found.failures > 0
    assert conserved(found)
    assert found.e2e_s.p99 >= plain.e2e_s.p99


def test_scaling_pays_for_less(plain: DayResult) -> None:
    found = day(autoscale=True, replicas=6)
    assert found.on_fraction < 0.95
    assert conserved(found)


def test_a_cache_and_drafts_shorten_the_day(plain: DayResult) -> None:
    assert day(prefix_share=0.8).ttft_s.mean < plain.ttft_s.mean
    assert day(draft_tokens=3).tpot_s.mean < plain.tpot_s.mean
    assert day(prefix_share=0.8, offloaded=1.0).ttft_s.mean > day(prefix_share=0.8).ttft_s.mean


def test_readers_who_stop_leave_fewer_tokens(plain: DayResult) -> None:
    assert day(cancelled=0.5).output_tokens_per_s == pytest.approx(0.75 * plain.output_tokens_per_s, rel=0.03)


def test_overload_is_answered_with_the_capacity() -> None:
    found = day(rate=400.0, replicas=1)
    assert found.overloaded
    assert 1.0 < found.capacity_requests_per_s < 400.0
    assert conserved(found)
    assert any("overloaded" in line for line in found.warnings)


def test_a_flood_has_the_capacity_of_a_slow_overload_and_ends_its_hours_where_it_stopped() -> None:
    slow, flood = (
        suanzhang.simulate("llama-3.1-8b", "h100-sxm-80", isl=200, osl=300, rate=rate, replicas=2, replications=1)
        for rate in (120.0, 5000.0)
    )
    assert flood.overloaded
    assert flood.finished > 0
    assert flood.capacity_requests_per_s == pytest.approx(slow.capacity_requests_per_s, rel=0.1)
    assert len(flood.hours) == 1
    assert flood.hours[0].running_interval.p95 <= 1024


def test_a_timeout_sheds_load_instead() -> None:
    found = day(rate=150.0, replicas=1, queue_timeout_s=2.0, follow=1, peak_to_mean=1.0)
    assert not found.overloaded
    assert found.timed_out > 0
    assert conserved(found)


def test_bad_rules_are_refused() -> None:
    for bad in ({"router": "nearest"}, {"urgent": 2.0}, {"mtbf_s": -1.0}, {"queue_timeout_s": 0.0}, {"prefix_share": 1.0}):
        with pytest.raises((InputError, Infeasible, suanzhang.errors.CatalogError)):
            day(**bad)
    with pytest.raises(InputError):
        suanzhang.simulate("llama-3.1-8b", "a100-sxm-80", isl=200, osl=40)


def test_a_trace_with_block_hashes_is_replayed_with_prefix_caches(tmp_path: Path) -> None:
    def asked(name: str, shared: bool) -> ServeResult:
        lines = [
            {
                "timestamp": 400 * i,
                "input_length": 4096,
                "output_length": 50,
                "hash_ids": [*range(7), 100 + i] if shared else list(range(8 * i, 8 * i + 8)),
            }
            for i in range(300)
        ]
        path = tmp_path / name
        path.write_text("\n".join(json.dumps(line) for line in lines))
        found = suanzhang.serve("llama-3.1-8b", "a100-sxm-80", trace=str(path), layout="tp=1")
        assert isinstance(found, ServeResult)
        return found

    same, unlike = asked("same.jsonl", True), asked("unlike.jsonl", False)
    assert same.ttft_s.mean < 0.7 * unlike.ttft_s.mean
    assert any("87% of the prompt tokens" in line for line in same.replica.warnings)
    assert any(line.startswith("0% of the prompt tokens") for line in unlike.replica.warnings)
