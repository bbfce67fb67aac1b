"""Lengths of the verb: equal ones by default, lognormal ones by their 95th percentile."""

from __future__ import annotations

import pytest

import suanzhang
from suanzhang.app.serve_args import host_age
from suanzhang.app.serve_verb_lengths import spec_of_length
from suanzhang.catalog.chips import chip
from suanzhang.errors import InputError
from suanzhang.report.text import print_answer


def test_lengths_are_equal_without_a_percentile() -> None:
    assert spec_of_length("isl", 100.0, None).kind == "fixed"


def test_percentile_makes_lengths_lognormal() -> None:
    found = spec_of_length("isl", 100.0, 250.0)
    assert (found.kind, found.mean, found.p95) == ("lognormal", 100.0, 250.0)


@pytest.mark.parametrize("p95", [50.0, 1000.0, float("nan")])
def test_percentiles_that_no_lognormal_has_are_refused(p95: float) -> None:
    with pytest.raises(InputError, match="isl_p95"):
        spec_of_length("isl", 100.0, p95)


def test_hosts_of_older_chips_are_slower() -> None:
    assert host_age(chip("v100-sxm2-32")) > host_age(chip("a100-sxm-80")) > host_age(chip("b200-sxm-180"))


def test_requests_longer_than_the_context_are_refused() -> None:
    long = {"isl": 131_000.0, "osl": 300.0, "rate": 1.0}
    with pytest.raises(InputError, match=r"longer than the context of Llama .* 131,072 tokens"):
        suanzhang.serve("llama-3.1-70b", "h100-sxm-80", **long)
    with pytest.raises(InputError, match="longer than the context"):
        suanzhang.serve_kinds("llama-3.1-70b", "h100-sxm-80,h200-sxm-141", **long)


def test_a_model_without_attention_has_no_longest_context() -> None:
    found = suanzhang.serve("mamba-2.8b", "h100-sxm-80", isl=100_000.0, osl=10.0, rate=0.1, simulated_requests=0)
    assert found.replicas >= 1


def test_a_rate_that_no_clock_can_follow_is_refused() -> None:
    with pytest.raises(InputError, match="less than one in eleven days"):
        suanzhang.serve("llama-3.1-8b", "h100-sxm-80", isl=1000.0, osl=100.0, rate=1e-12)
    quiet = suanzhang.serve("llama-3.1-8b", "h100-sxm-80", isl=1000.0, osl=100.0, rate=1e-5)
    slow = suanzhang.serve("llama-3.1-8b", "h100-sxm-80", isl=1000.0, osl=100.0, rate=1e-2)
    assert quiet.ttft_s.mean == pytest.approx(slow.ttft_s.mean, rel=0.05)


def test_only_an_answer_by_formulas_says_that_nothing_was_simulated(capsys: pytest.CaptureFixture[str]) -> None:
    asked = {"isl": 1000.0, "osl": 100.0, "rate": 1.0}
    print_answer(suanzhang.serve("llama-3.1-8b", "h100-sxm-80", **asked, simulated_requests=0), width=200)
    assert "no events simulated" in capsys.readouterr().out
    print_answer(suanzhang.serve("llama-3.1-8b", "h100-sxm-80", **asked, simulated_requests=3000), width=200)
    assert "no events simulated" not in capsys.readouterr().out
