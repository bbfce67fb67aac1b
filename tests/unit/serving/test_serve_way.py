"""The verb ``serve`` with drafts and cached prompts: nothing asked changes nothing, and formulas stand near the simulation."""

from dataclasses import replace

import pytest

from suanzhang.app.serve_verb import serve
from suanzhang.app.serve_verb_confirm import Ask
from suanzhang.app.serve_verb_way import estimator
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import serve_stack
from suanzhang.errors import Infeasible, InputError
from suanzhang.spec.job import LengthSpec, SloSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.serve import ClosedLoop, OpenLoop, ServeResult
from suanzhang.spec.serve_way import Prefix

ASK = Ask(
    model("llama-3.1-8b"), chip("h100-sxm-80"), serve_stack("vllm-0.12"), "bf16", "bf16",
    LengthSpec("fixed", 1500, 1500), LengthSpec("fixed", 300, 300), SloSpec(), 0, 0,
)  # fmt: skip
LEVERS: dict[str, dict[str, float]] = {
    "drafts": {"draft_tokens": 3},
    "prefix": {"prefix_share": 0.6},
    "offloaded": {"prefix_share": 0.6, "offloaded": 1.0},
    "both": {"draft_tokens": 2, "acceptance": 0.8, "prefix_share": 0.5},
}


def _closed(**levers: float) -> ServeResult:
    return serve("llama-3.1-8b", "h100-sxm-80", isl=1500, osl=300, concurrency=32, layout="tp=1", **levers)  # type: ignore[arg-type]


def test_drafts_that_are_never_accepted_are_no_gain_and_certain_ones_are() -> None:
    plain, useless, certain = _closed(), _closed(draft_tokens=3, acceptance=0.0), _closed(draft_tokens=3, acceptance=1.0)
    assert useless.tpot_s.mean > plain.tpot_s.mean > certain.tpot_s.mean
    assert useless.output_tokens_per_s < plain.output_tokens_per_s < certain.output_tokens_per_s


def test_cached_prompts_answer_sooner_and_those_in_host_memory_between() -> None:
    plain, cached, offloaded = (_closed(**each) for each in ({}, LEVERS["prefix"], LEVERS["offloaded"]))
    assert cached.ttft_s.mean < offloaded.ttft_s.mean < plain.ttft_s.mean
    assert plain.output_tokens_per_s < offloaded.output_tokens_per_s < cached.output_tokens_per_s


@pytest.mark.parametrize("work", [ClosedLoop(64.0, 1500.0, 300.0), OpenLoop(6.0, ASK.input, ASK.output)])
def test_a_lever_of_no_size_leaves_the_estimate_where_it_was(work: ClosedLoop | OpenLoop) -> None:
    usual = estimator(ASK, ServeLayout())(work)
    nearly = estimator(replace(ASK, prefix=Prefix(1e-12)), ServeLayout())(work)
    for name in ("output_tokens_per_s", "capacity_requests_per_s", "running_batch", "energy_j_per_response"):
        assert getattr(nearly, name) == pytest.approx(getattr(usual, name), rel=1e-6)
    assert nearly.ttft_s.p99 == pytest.approx(usual.ttft_s.p99, rel=1e-6)
    assert nearly.tpot_s.p99 == pytest.approx(usual.tpot_s.p99, rel=1e-6)


@pytest.mark.parametrize("name", list(LEVERS))
def test_the_formulas_stand_near_the_simulation(name: str) -> None:
    def found(requests: int) -> ServeResult:
        return serve(
            "llama-3.1-8b", "h100-sxm-80", isl=1500, osl=300, rate=6, layout="tp=1", simulated_requests=requests,
            **LEVERS[name],
        )  # type: ignore[arg-type]  # fmt: skip

    formulas, events = found(0), found(4000)
    assert events.requests_simulated > 0
    assert events.replica.warnings == formulas.replica.warnings
    assert formulas.tpot_s.mean == pytest.approx(events.tpot_s.mean, rel=0.15)
    assert formulas.ttft_s.mean == pytest.approx(events.ttft_s.mean, rel=0.35)


def test_a_searched_layout_takes_no_more_chips_than_a_given_one() -> None:
    asked = {"isl": 1000, "osl": 300, "rate": 20, "ttft_p99_s": 2.0, "tpot_p99_s": 0.05, "draft_tokens": 3}
    free = serve("llama-3-70b", "h100-sxm-80", simulated_requests=3000, **asked)  # type: ignore[arg-type]
    fixed = serve("llama-3-70b", "h100-sxm-80", simulated_requests=3000, layout="tp=4", **asked)  # type: ignore[arg-type]
    assert free.chips <= fixed.chips


@pytest.mark.parametrize(
    ("levers", "said"),
    [
        ({"draft_tokens": -1}, "draft tokens"),
        ({"acceptance": 0.5}, "without draft tokens"),
        ({"draft_tokens": 3, "acceptance": 1.5}, "no chance"),
        ({"prefix_share": 1.0}, "below 1"),
        ({"prefix_share": 0.5, "offloaded": 2.0}, "no fraction"),
        ({"offloaded": 0.5}, "without a prefix share"),
    ],
)
def test_shares_that_cannot_be_are_refused(levers: dict[str, float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        _closed(**levers)


def test_a_target_that_no_draft_reaches_is_refused() -> None:
    with pytest.raises(Infeasible):
        serve("llama-3-70b", "h100-sxm-80", isl=1000, osl=300, rate=5, tpot_p99_s=1e-4, draft_tokens=3)
