"""A market that sells nothing but tokens: planned with them alone, and refused where they cannot answer what is asked."""

import pytest

import suanzhang
from suanzhang.app.plan_asks import resolve_world
from suanzhang.app.question import read_question
from suanzhang.errors import InputError
from suanzhang.report.view_buy import buy
from suanzhang.report.view_plan_service import service_section

TEXT = """
title: tokens only
currency: USD
start: 2026-10
months: 6
market:
  offers: [{{id: hosted, kind: api, chip: {sold}, price: 0.9}}]
{train}serve:
  - name: chat
    model: llama-3.1-8b
    visits_per_day: 1e5
    responses_per_visit: 4
    tokens: {{input: {{mean: 500}}, output: {{mean: 200}}}}
    load: {{shape: flat}}
    slo: {{ttft_p99: 3 s, tpot_p99: 60 ms}}
"""


def test_tokens_answer_all_of_it_at_their_price():
    question = read_question(TEXT.format(sold="llama-3.1-8b", train=""))
    found = suanzhang.buy(question, scenarios=1)
    assert {row.action for row in found.schedule} == {"api"}
    assert all(share.chip == "" and share.share == pytest.approx(1.0) for share in found.shares)
    mtokens = 1e5 * 4 / 86400.0 * 200 * 2629800.0 / 1e6
    assert found.cost.amount == pytest.approx(6 * 0.9 * mtokens, rel=1e-6)
    assert any("latency" in line for line in found.warnings)
    assert "others answer for tokens" in buy(found).verdict


def test_a_plan_prints_no_layout_that_nothing_uses():
    found = suanzhang.plan(read_question(TEXT.format(sold="llama-3.1-8b", train="")))
    (part,) = found.serve
    assert part.tokens_only and part.energy_j_per_response == 0.0
    section = service_section(part)
    words = {fact.name: fact.value for fact in section.blocks[0].facts}
    assert words["fleet"] == "tokens (100 %)" and "layout of a replica" not in words
    assert len(section.blocks) == 1


@pytest.mark.parametrize(
    ("sold", "train"),
    [("llama-3.1-70b", ""), ("llama-3.1-8b", "train: [{name: t, model: llama-3.1-8b, tokens: 1B}]\n")],
)
def test_what_tokens_cannot_do_is_refused_in_one_line(sold, train):
    with pytest.raises(InputError, match="neither trainings nor other models"):
        resolve_world(read_question(TEXT.format(sold=sold, train=train)))
