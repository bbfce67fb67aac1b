"""All-reduces of engines whose NCCL is older than sums in the switch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from suanzhang.app.serve_args import chip_physics, op_args
from suanzhang.app.serve_links import RING_SHARE, without_switch_sums
from suanzhang.catalog.chips import chip
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import serve_stack
from suanzhang.perf.collectives import allreduce_s


def _timed(name: str):
    return chip_physics(chip(name), "bf16", "").args.link


def test_eight_h100_without_the_switch_reach_the_rate_of_a_ring():
    link = without_switch_sums(_timed("h100-sxm-80"))
    size = 2.0**29
    rate = 1.75 * size / allreduce_s(size, 8.0, 1.0, link)
    assert rate == pytest.approx(RING_SHARE * link.link_bytes_per_s, rel=0.02)
    assert 1.75 * size / allreduce_s(size, 8.0, 1.0, _timed("h100-sxm-80")) > 1.05 * rate


@pytest.mark.parametrize(("name", "ranks"), [("h100-sxm-80", 2.0), ("a100-sxm-80", 2.0), ("a100-sxm-80", 8.0)])
def test_what_beats_no_ring_stays(name: str, ranks: float):
    timed = _timed(name)
    rings = without_switch_sums(timed)
    for size in (1e5, 1e7, 5e8):
        assert allreduce_s(size, ranks, 1.0, rings) == pytest.approx(allreduce_s(size, ranks, 1.0, timed), rel=0.01)


def test_small_messages_keep_their_time():
    timed = _timed("h100-sxm-80")
    now, before = (allreduce_s(1e4, 8.0, 1.0, link) for link in (without_switch_sums(timed), timed))
    assert before <= now < 1.02 * before


def test_vllm_of_2023_joins_eight_h100_more_slowly_than_with_a_later_library():
    old = serve_stack("vllm-0.2")
    assert not old.switch_sums
    times = []
    for stack in (old, replace(old, switch_sums=True)):
        ops, _ = op_args(model("llama-2-70b"), chip("h100-sxm-80"), "fp16", stack, 8)
        times.append(allreduce_s(2.0**25, 8.0, 1.0, ops.link))
    assert times[0] > 1.15 * times[1]
