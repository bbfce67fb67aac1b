"""Drafts, a prefix cache and an offloaded one by formulas: what the event simulation carries, within a few percent."""

from dataclasses import replace

import pytest

from suanzhang.app.serve_size_way import draw_demand, prepare, run_at
from suanzhang.app.serve_way_closed import closed_by, closed_way, expected_tokens
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import serve_stack
from suanzhang.errors import InputError
from suanzhang.spec.job import LengthSpec
from suanzhang.spec.layout import ServeLayout
from suanzhang.spec.serve_way import Draft, Prefix, Way

INPUT, OUTPUT = LengthSpec("fixed", 1500, 1500), LengthSpec("fixed", 300, 300)
DEMAND = draw_demand(INPUT, OUTPUT)
STACK, FIRST = (replace(serve_stack(name), max_seqs=128) for name in ("vllm-0.12", "sglang-0.5.9"))
"""Engines that run out of places before they run out of cache, so that nothing is preempted."""
WAY = Way(model("llama-3.1-8b"), chip("h100-sxm-80"), STACK, ServeLayout(), "bf16", "bf16")
WAYS = {
    "plain": WAY,
    "drafts": replace(WAY, draft=Draft(3, 0.7)),
    "prefix": replace(WAY, prefix=Prefix(0.6)),
    "offloaded": replace(WAY, prefix=Prefix(0.6, 1.0)),
    "both": replace(WAY, draft=Draft(2, 0.8), prefix=Prefix(0.5)),
    "prompts first": replace(WAY, stack=FIRST, prefix=Prefix(0.5)),
}


@pytest.mark.parametrize("name", list(WAYS))
def test_the_formulas_carry_what_the_simulation_carries(name: str) -> None:
    ready = prepare(WAYS[name], INPUT, OUTPUT)
    closed = closed_by(ready, INPUT, OUTPUT)
    found = run_at(ready, DEMAND, 3.0 * closed.requests_per_s, 1)
    assert closed.requests_per_s == pytest.approx(found.completed_per_s, rel=0.06)
    assert closed.tpot_s == pytest.approx(found.tpot_s.p50, rel=0.10)


def test_each_lever_moves_what_it_should() -> None:
    found = {name: closed_way(way, INPUT, OUTPUT, 16.0) for name, way in WAYS.items()}
    assert found["prefix"].prompt_tokens == pytest.approx(600.0)
    assert found["prefix"].ttft_s < found["offloaded"].ttft_s < found["plain"].ttft_s
    assert found["prefix"].requests_per_s > found["offloaded"].requests_per_s > found["plain"].requests_per_s
    assert found["drafts"].tokens_per_round == pytest.approx((1.0 - 0.7**4) / 0.3)
    assert found["drafts"].tpot_s < found["plain"].tpot_s
    useless = closed_way(replace(WAY, draft=Draft(3, 0.0)), INPUT, OUTPUT, 16.0)
    assert useless.tpot_s > found["plain"].tpot_s


def test_a_chain_of_certain_tokens_is_one_longer_than_the_drafts() -> None:
    assert expected_tokens(4, 1.0) == 5.0
    assert expected_tokens(0, 0.7) == 1.0
    with pytest.raises(InputError, match="acceptance"):
        expected_tokens(3, 1.5)
