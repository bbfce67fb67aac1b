"""Where tokens of a mixture layer go, in which format, and what of their layer is kept in which."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suanzhang.app.physics import operator_args
from suanzhang.app.rows_training import train_case
from suanzhang.app.train_model import estimate_train, pack
from suanzhang.catalog.chips import chip
from suanzhang.catalog.hf_config import read_config
from suanzhang.catalog.models import model
from suanzhang.catalog.stacks import train_stack
from suanzhang.evidence.rows import shipped_rows
from suanzhang.perf.collectives import alltoall_s
from suanzhang.perf.training.layer import expert_comm_s, together_s
from suanzhang.perf.training.pack import layout_args
from suanzhang.perf.training.routing import places_reached
from suanzhang.spec.job import TrainJob
from suanzhang.spec.layout import TrainLayout

H800 = chip("h800-sxm-80")
REPORT = TrainLayout(
    pp=16, dp=128, ep=64, etp=1, zero_stage=1, micro_batch=1, recompute="selective", schedule="dualpipe", head_layers=2
)
"""The layout of the DeepSeek-V3 report: 16 stages, 64 expert ranks over 8 nodes, a sharded optimizer, no tensor ranks."""


def _job(**changes):
    return replace(TrainJob("v3", model("deepseek-v3"), 14.8e12, 4096, 15360, "fp8-block"), **changes)


def test_a_place_is_reached_unless_all_experts_miss_it():
    assert places_reached(8.0, 8.0, 1.0, 0.0) == pytest.approx(8.0 * (1.0 - (7.0 / 8.0) ** 8))
    assert places_reached(8.0, 8.0, 8.0, 4.0) == pytest.approx(4.0 * (1.0 - (3.0 / 4.0) ** 8)), "four nodes, eight experts"
    ranks = 64.0 * 0.5 * (1.0 - (1.0 - 1.0 / 32.0) ** 8)
    assert places_reached(64.0, 8.0, 8.0, 4.0) == pytest.approx(ranks), "32 ranks hold the four groups"
    missed = 15.0 / 70.0 + 40.0 / 70.0 * 0.75**8 + 15.0 / 70.0 * 0.5**8
    assert places_reached(4.0, 8.0, 8.0, 4.0) == pytest.approx(4.0 * (1.0 - missed)), "two groups on a node"


@given(
    st.sampled_from((1.0, 2.0, 4.0, 8.0, 16.0, 64.0)), st.integers(1, 16), st.sampled_from((2.0, 4.0, 8.0)), st.integers(1, 8)
)
def test_a_limit_never_reaches_more_and_none_is_the_limit_of_all(places, topk, groups, limit):
    free = places_reached(places, float(topk), 1.0, 0.0)
    limit = min(float(limit), groups)
    found = places_reached(places, float(topk), groups, limit)
    assert found <= free * (1.0 + 1e-12)
    assert 1.0 - 1e-9 <= found <= min(places, topk) + 1e-9
    assert found <= limit * max(1.0, places / groups) + 1e-9, "no more places than the groups lie on"
    assert places_reached(places, float(topk), groups, groups) == free


def test_routing_over_few_nodes_shortens_the_exchange():
    stack = train_stack("hai-llm-2024")
    row = layout_args(REPORT)

    def comm(moe, **changes):
        packed = pack(_job(model=replace(model("deepseek-v3"), moe=moe)), H800, replace(stack, **changes))
        return expert_comm_s(packed.shape, packed.run, row, packed.ops)

    moe = model("deepseek-v3").moe
    assert (moe.groups, moe.topk_groups) == (8, 4)
    free, all_nodes = comm(replace(moe, groups=1, topk_groups=0)), comm(replace(moe, topk_groups=8))
    assert all_nodes == free
    assert comm(moe) < 0.8 * free
    assert comm(moe, sent_bytes=0.0) > 1.2 * comm(moe), "8 bits one way are three quarters of the traffic"
    assert comm(moe, dedup_ep=False, sent_bytes=0.0) > 2.0 * comm(moe, sent_bytes=0.0)


def test_network_and_links_hand_tokens_on_side_by_side():
    link = operator_args(H800, "bf16").link
    inside = alltoall_s(1e9, 8.0, 1.0, link)
    assert together_s(1.0, 1e9, 8.0, 4.0, link) == pytest.approx(inside + link.nic_base_s)
    across = 0.75e9 / (link.nic_bytes_per_s * link.nic_efficiency)
    assert together_s(1e9, 1.0, 8.0, 4.0, link) == pytest.approx(link.base_s + link.nic_base_s + across)


@given(
    st.floats(1e3, 1e10), st.floats(1e3, 1e10), st.floats(1.0, 4.0), st.sampled_from(("nic_bytes_per_s", "link_bytes_per_s"))
)
def test_more_bandwidth_is_never_slower(crossing, handed, factor, name):
    link = operator_args(H800, "bf16").link
    faster = link._replace(**{name: factor * getattr(link, name)})
    assert together_s(crossing, handed, 8.0, 8.0, faster) <= together_s(crossing, handed, 8.0, 8.0, link)


def test_the_published_layout_fits_with_margin_by_8_bit_activations_and_16_bit_moments():
    stack = train_stack("hai-llm-2024")
    as_published = estimate_train(_job(), H800, REPORT, stack)
    assert as_published.fits and as_published.memory_bytes < 0.85 * 1.055 * 80e9
    plain = estimate_train(_job(), H800, REPORT, replace(stack, saved_bytes=0.0, optimizer_bytes=12.0))
    assert plain.memory_bytes > as_published.memory_bytes + 5e9
    moments = estimate_train(_job(), H800, REPORT, replace(stack, optimizer_bytes=12.0))
    states = {term.name: term.value for term in moments.memory[1].parts}["optimizer"]
    assert states == pytest.approx(1.5 * {term.name: term.value for term in as_published.memory[1].parts}["optimizer"])


def test_formats_of_8_bit_training_do_not_touch_one_in_16_bit():
    stack, job = train_stack("hai-llm-2024"), _job(precision="bf16")
    bare = replace(stack, sent_bytes=0.0, saved_bytes=0.0)
    assert estimate_train(job, H800, REPORT, stack) == estimate_train(job, H800, REPORT, bare)


def test_the_step_of_the_report_is_near_the_published_one():
    step = estimate_train(_job(), H800, REPORT, train_stack("hai-llm-2024")).step_s
    days = step * 14.8e12 / (4096 * 15360) / 86400.0
    assert days == pytest.approx(2.664e6 / 2048 / 24.0, rel=0.15), "2.664 M chip-hours"


def test_a_configuration_tells_its_groups():
    config = {
        "model_type": "deepseek_v3", "num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4, "vocab_size": 1000,
        "intermediate_size": 512, "n_routed_experts": 32, "num_experts_per_tok": 4, "moe_intermediate_size": 64, "n_group": 8,
        "topk_group": 3, "kv_lora_rank": 16, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16,
    }  # fmt: skip
    found = read_config(config, "here", "made").moe
    assert (found.groups, found.topk_groups) == (8, 3)
    assert read_config({**config, "n_group": 1, "topk_group": 1}, "here", "made").moe.topk_groups == 0


def test_published_runs_take_the_cut_of_their_recipe():
    runs = {row.id: row for row in shipped_rows("training") if "mbridge" in row.id and "DeepSeek-V3" in row.model_name}
    left = {}
    for row in runs.values():
        case = train_case(row)
        if hasattr(case, "layout"):
            left[(case.layout.pp, case.layout.vpp)] = case.layout.head_layers
    assert left[(16, 1)] == 2 and left[(4, 4)] == 2 and left[(2, 8)] == 1
    assert left[(8, 4)] == 1, "32 chunks: one layer in the first, none in the last"
    mtp = {case.row.id: case.job.model.mtp_layers for row in runs.values() if hasattr(case := train_case(row), "job")}
    assert sum(mtp.values()) == sum("variant: w/ MTP" in row.notes for row in runs.values()) > 0


def test_timings_of_links_hold_for_more_ranks_of_the_same_switch():
    link = operator_args(chip("gb200-nvl72"), "bf16").link
    rates = [4e8 * (ranks - 1) / ranks / alltoall_s(4e8, ranks, 1.0, link) for ranks in (4.0, 8.0, 16.0, 64.0)]
    assert all(math.isclose(rate, rates[0], rel_tol=0.05) for rate in rates), rates


def test_published_runs_hide_and_repeat_what_their_recipe_says():
    rows = [row for row in shipped_rows("training") if "mbridge" in row.id]
    cases = {row.id: case for row in rows if hasattr(case := train_case(row), "layout")}
    hidden = {(case.row.model_name, case.row.chip[:4]) for case in cases.values() if case.stack.overlap_ep > 0.0}
    assert hidden == {("DeepSeek-V3-671B", "H100"), ("Qwen3-235B-A22B", "H100")}
    again = {case.row.model_name for case in cases.values() if case.layout.recompute == "selective" and not case.open_recompute}
    assert {"DeepSeek-V3-671B", "Kimi-K2-1T"} <= again
