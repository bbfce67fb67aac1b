"""Who drafts in speculative decoding: a head, a look-up, or a small model that costs time and memory."""

import pytest

import suanzhang as sz
from suanzhang.app.serve_size_way import beside_draft, draft_share, prepare
from suanzhang.app.serve_verb_day import draft_of
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import serve_stack
from suanzhang.errors import CatalogError, Infeasible, InputError
from suanzhang.spec.job import LengthSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.serve_way import Draft, Way

LARGE, SMALL = model("llama-3.1-70b"), model("llama-3.2-1b")
DAY = {"isl": 500, "osl": 200, "rate": 1.0, "layout": "tp=4", "replicas": 1, "replications": 1}


def way(draft: Draft) -> Way:
    return Way(LARGE, chip("h100-sxm-80"), serve_stack("vllm-0.12"), ServeLayout(tp=4), "bf16", "bf16", draft)


def test_what_a_drafted_token_costs() -> None:
    head = draft_share(LARGE, Draft(3, 0.7))
    small = draft_share(LARGE, draft_of(3, 0.7, "llama-3.2-1b"))
    assert draft_share(LARGE, draft_of(3, 0.7, "lookup")) == 0.0
    assert small == pytest.approx(SMALL.matmul_params / LARGE.matmul_params)
    assert 0.01 < head < 0.05
    assert small < 0.03


def test_a_small_model_takes_its_weights_and_its_cache() -> None:
    plain, drafted = (prepare(way(d), LengthSpec("fixed", 500, 500), LengthSpec("fixed", 200, 200)) for d in
                      (Draft(3, 0.7), draft_of(3, 0.7, "llama-3.2-1b")))  # fmt: skip
    before = plain.settings.kv_blocks * plain.settings.block_tokens
    own, further = (LARGE.kv_bytes_per_token(2.0), SMALL.kv_bytes_per_token(2.0))
    expected = (before * own - 2.0 * SMALL.params) / (own + further)
    assert drafted.settings.kv_blocks * drafted.settings.block_tokens == pytest.approx(expected, rel=1e-3)
    assert beside_draft(way(Draft(3, 0.7)), 1000.0) == 1000.0
    with pytest.raises(Infeasible, match="leaves no room"):
        beside_draft(way(draft_of(3, 0.7, "llama-3.1-70b")), 10_000.0)


def test_the_cheaper_the_draft_the_faster_the_answer() -> None:
    found = [
        sz.simulate("llama-3.1-70b", "h100-sxm-80", draft_tokens=3, acceptance=0.7, draft_model=by, **DAY).tpot_s.mean
        for by in ("lookup", "llama-3.2-1b", "llama-3.1-8b")
    ]
    assert found == sorted(found)
    alone = sz.simulate("llama-3.1-70b", "h100-sxm-80", **DAY).tpot_s.mean
    assert found[0] < 0.5 * alone
    assert sz.simulate(
        "llama-3.1-70b", "h100-sxm-80", draft_tokens=3, acceptance=0.0, draft_model="lookup", **DAY
    ).tpot_s.mean > (0.98 * alone)


def test_a_drafter_that_cannot_be_is_one_line() -> None:
    with pytest.raises(InputError, match="no tokens to draft"):
        sz.simulate("llama-3.1-70b", "h100-sxm-80", draft_model="lookup", **DAY)
    with pytest.raises(CatalogError, match="unknown model"):
        sz.simulate("llama-3.1-70b", "h100-sxm-80", draft_tokens=3, draft_model="llama-9", **DAY)
